import numpy as np
import pytest

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
  assert best == {"catch": acme_envs.bsuite.Score(1.0, False, 1)}
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
