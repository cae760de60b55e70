import csv

import numpy as np
import pytest

import acme
import acme_envs

pytest.importorskip("bsuite")


def run(tmp_path, name, policy, episodes):
  environment = acme_envs.make(f"bsuite:{name}", seed=0, bsuite_dir=str(tmp_path))
  for _ in range(episodes):
    timestep = environment.reset()
    while not timestep.last():
      timestep = environment.step(policy(timestep.observation))


def oracle(board):
  """Moves the paddle of catch under its ball."""
  paddle = int(np.argmax(board[-1]))
  ball = int(np.argmax(board[:-1].max(axis=0)))
  return int(np.sign(ball - paddle)) + 1


def test_catch_scores_of_an_oracle_and_of_chance(tmp_path):
  rng = np.random.default_rng(0)
  run(tmp_path / "oracle", "catch/0", oracle, 100)
  run(tmp_path / "random", "catch/0", lambda _: rng.integers(3), 100)
  best = acme_envs.bsuite.score(tmp_path / "oracle")
  assert best == {"catch": acme_envs.bsuite.Score(1.0, False, 1, ("basic", "credit_assignment"))}
  assert acme_envs.bsuite.score(tmp_path / "random")["catch"].score < 0.4


@pytest.mark.parametrize("name", ["deep_sea", "deep_sea_stochastic"])
def test_deep_sea_scores(tmp_path, name):
  """An agent that knows the way solves its size; one that always goes left never does."""
  environment = acme_envs.make(f"bsuite:{name}/0", seed=0, bsuite_dir=str(tmp_path / "oracle"))
  mapping = environment.environment.raw_env._action_mapping
  for _ in range(200):
    timestep = environment.reset()
    while not timestep.last():
      row, column = np.argwhere(timestep.observation)[0]
      timestep = environment.step(mapping[row, column])
  assert acme_envs.bsuite.score(tmp_path / "oracle")[name].score == 1
  run(tmp_path / "zero", f"{name}/0", lambda _: 0, 200)
  assert acme_envs.bsuite.score(tmp_path / "zero")[name].score == 0


@pytest.mark.parametrize(
  "name", ["cartpole_swingup/0", "bandit/0", "memory_len/0", "umbrella_length/0", "catch_noise/0"]
)
def test_other_experiments_can_be_scored(tmp_path, name):
  run(tmp_path, name, lambda _: 1, 20)
  (score,) = acme_envs.bsuite.score(tmp_path).values()
  assert 0 <= score.score <= 1
  assert not score.finished


def test_scoring_leaves_matplotlib_as_it_was(tmp_path):
  import matplotlib

  before = dict(matplotlib.rcParams)
  run(tmp_path, "catch/0", oracle, 2)
  acme_envs.bsuite.score(tmp_path)
  assert dict(matplotlib.rcParams) == before


def test_no_logs_are_an_error(tmp_path):
  with pytest.raises(FileNotFoundError, match="expected bsuite logs"):
    acme_envs.bsuite.score(tmp_path)


def test_a_log_is_not_overwritten_unasked(tmp_path):
  run(tmp_path, "catch/0", oracle, 1)
  with pytest.raises(ValueError, match="already exists"):
    acme_envs.make("bsuite:catch/0", bsuite_dir=str(tmp_path))
  acme_envs.make("bsuite:catch/0", bsuite_dir=str(tmp_path), overwrite=True)


class Drawing(acme.core.Actor):
  """Draws actions."""

  def __init__(self, num_actions):
    self._rng, self._num_actions = np.random.default_rng(0), num_actions

  def select_action(self, observation):
    return np.int32(self._rng.integers(self._num_actions))

  def observe_first(self, timestep):
    pass

  def observe(self, action, next_timestep):
    pass

  def update(self, wait=False):
    pass


def play(environment, actor, episodes=None, steps=None, state=None):
  """The results of a loop that is observed, and its state."""
  results = acme.loggers.InMemoryLogger()
  loop = acme.EnvironmentLoop(environment, actor, logger=results, observers=[acme_envs.bsuite.EpisodeInfo()], seed=5)
  if state is not None:
    loop.restore(state)
  loop.run(num_episodes=episodes, num_steps=steps)
  return results.rows, loop.save()


@pytest.mark.parametrize(
  ("name", "episodes"),
  [("catch_noise/3", 34), ("cartpole_swingup/1", 2), ("cartpole_scale/2", 6), ("deep_sea_stochastic/0", 27),
   ("memory_size/2", 21), ("mountain_car/0", 1), ("umbrella_length/3", 20), ("discounting_chain/0", 3),
   ("bandit/4", 20)],
)  # fmt: skip
def test_of_what_is_observed_comes_the_log_that_the_suite_writes(tmp_path, name, episodes):
  """Also where the environment was tried before, and the loop stopped within an episode and restored."""
  theirs = acme_envs.make(f"bsuite:{name}", seed=0, bsuite_dir=str(tmp_path / "theirs"))
  num_actions = theirs.action_spec().num_values
  play(theirs, Drawing(num_actions), episodes)
  actor, results, state = Drawing(num_actions), [], None
  while len(results) < episodes:
    environment = acme_envs.make(f"bsuite:{name}", seed=0)
    acme_envs.repeats(environment, seed=1)
    rows, state = play(environment, actor, steps=7 if state is None else 901, state=state)
    results += rows
  (tmp_path / "ours").mkdir()
  acme_envs.bsuite.write_log(tmp_path / "ours", name, results[:episodes])
  logs = []
  for folder in ("theirs", "ours"):
    (file,) = (tmp_path / folder).iterdir()
    with file.open() as opened:
      logs.append((file.name, list(csv.DictReader(opened))))
  (their_file, their_rows), (file, rows) = logs
  assert file == their_file and [list(row) for row in rows] == [list(row) for row in their_rows]
  for row, their_row in zip(rows, their_rows, strict=True):
    assert {k: float(v) for k, v in row.items()} == pytest.approx({k: float(v) for k, v in their_row.items()}, rel=1e-6)


def test_the_suite_logs_the_same_episodes():
  theirs = pytest.importorskip("bsuite.utils.wrappers")._logarithmic_logging
  for episode in (*range(1, 2000), 2500, 5000, 5001, 9999, 10_000):
    assert acme_envs.bsuite._is_logged(episode) == theirs(episode), episode


def test_ids_are_chosen_by_sweep_experiment_or_name():
  choose = acme_envs.bsuite.choose
  assert choose(["testing"])[:2] == ["bandit/0", "cartpole/0"] and len(choose(["testing"])) == 13
  assert len(choose(["all"])) == 468 and choose(["catch"]) == [f"catch/{i}" for i in range(20)]
  assert choose(["catch/3", "memory_len/0", "catch/3"]) == ["catch/3", "memory_len/0"]
  assert acme_envs.bsuite.num_episodes("catch/3") == 10_000
  with pytest.raises(ValueError, match="got 'catsh/0': did you mean catch/0"):
    choose(["catsh/0"])
