"""The loop: what it runs, counts, logs and saves, and that it leaves no environment open."""

import dm_env
import numpy as np
import pytest
import tree

from acme import (
  EnvironmentLoop,
  checkpointing,
  counting,
  environment_loop,
  episode_seed,
  evaluate,
  loggers,
  specs,
  wrappers,
)
from acme_testing import fakes

SPEC = fakes.make_spec()
SCRIPT_SPEC = SPEC._replace(observations=specs.Array((1,), np.float32))


class Recorder(fakes.RandomActor):
  """A random actor that keeps the calls it gets."""

  def __init__(self, spec=SPEC, seed=0):
    super().__init__(spec, seed=seed)
    self.calls = []
    self.timesteps = []

  def select_action(self, observation):
    self.calls.append("select_action")
    return super().select_action(observation)

  def observe_first(self, timestep):
    self.calls.append("observe_first")
    self.timesteps.append(timestep)

  def observe(self, action, next_timestep):
    self.calls.append("observe")
    self.timesteps.append(next_timestep)

  def update(self, wait=False):
    self.calls.append("update(wait)" if wait else "update")


class Watcher:
  def __init__(self):
    self.seen = []

  def observe_first(self, environment, timestep):
    self.seen.append(timestep)

  def observe(self, environment, timestep, action):
    self.seen.append((timestep, action))

  def get_metrics(self):
    return {"watched": len(self.seen)}


def make(episode_length=3, actor=None, spec=SPEC, **kwargs):
  environment = fakes.FakeEnvironment(spec, episode_length=episode_length)
  logger = loggers.InMemoryLogger()
  actor = actor if actor is not None else fakes.RandomActor(spec)
  return EnvironmentLoop(environment, actor, logger=logger, **kwargs), environment, logger


def test_run_episodes():
  loop, _, logger = make()
  assert loop.run(num_episodes=2) == 6
  assert [row["episode_length"] for row in logger.rows] == [3, 3]
  assert [(row["train_episodes"], row["train_steps"]) for row in logger.rows] == [(1, 3), (2, 6)]
  assert loop.run(num_episodes=0) == 0 and loop.steps == 6


def test_run_steps_is_exact_and_goes_on_within_an_episode():
  actor = Recorder()
  loop, _, logger = make(actor=actor)
  assert loop.run(num_steps=4) == 4
  assert (len(logger.rows), loop.steps, loop.counter.get("steps")) == (1, 4, 3)
  assert loop.run(num_steps=2) == 2 and loop.run(num_steps=0) == 0
  assert (len(logger.rows), loop.steps) == (2, 6)
  assert actor.calls.count("observe_first") == 2


def test_run_episodes_ends_the_episode_in_progress_first():
  loop, _, logger = make()
  loop.run(num_steps=1)
  assert loop.run(num_episodes=1) == 2 and len(logger.rows) == 1


@pytest.mark.parametrize(
  "kwargs, message",
  [
    ({"num_episodes": 1, "num_steps": 1}, "num_episodes or num_steps, got both"),
    ({"num_episodes": 0, "num_steps": 0}, "got both"),
    ({"num_episodes": -1}, "num_episodes: expected 0 or more, got -1"),
    ({"num_steps": -5}, "num_steps: expected 0 or more, got -5"),
  ],
)
def test_run_refuses(kwargs, message):
  with pytest.raises(ValueError, match=message):
    make()[0].run(**kwargs)


def test_run_for_ever_until_stopped():
  class Stopper(Watcher):
    def observe(self, environment, timestep, action):
      super().observe(environment, timestep, action)
      if len(self.seen) == 6:  # In the middle of the second episode.
        loop.stop()

  loop, environment, _ = make(observers=[Stopper()])
  assert loop.run() == 4
  assert loop.run(num_steps=2) == 2, "a stopped loop runs again"
  assert not environment.closed


def test_calls_of_an_episode():
  actor = Recorder()
  make(episode_length=2, actor=actor)[0].run_episode()
  assert actor.calls == ["observe_first"] + ["select_action", "observe", "update"] * 2
  assert [t.step_type for t in actor.timesteps] == [dm_env.StepType.FIRST, dm_env.StepType.MID, dm_env.StepType.LAST]


def test_should_update_false():
  actor = Recorder()
  make(actor=actor, should_update=False)[0].run_episode()
  assert "update" not in actor.calls


def test_result_fields():
  actor = Recorder()
  loop, _, logger = make(actor=actor)
  result = loop.run_episode()
  assert logger.rows == [result]
  assert set(result) == {
    "episode_length",
    "episode_return",
    "truncated",
    "steps_per_second",
    "environment_seconds",
    "action_seconds",
    "train_episodes",
    "train_steps",
  }
  assert result["episode_return"] == pytest.approx(sum(float(t.reward) for t in actor.timesteps[1:]), rel=1e-6)
  assert isinstance(result["episode_return"], float) and isinstance(result["episode_length"], int)
  assert result["steps_per_second"] > 0
  seconds = result["environment_seconds"] + result["action_seconds"]
  assert result["action_seconds"] > 0 and 0 < seconds <= result["episode_length"] / result["steps_per_second"] * 1.001


def test_time_is_split_between_environment_and_actor():
  now = [0.0]

  class SlowEnvironment(wrappers.EnvironmentWrapper):
    def reset(self):
      now[0] += 5
      return super().reset()

    def step(self, action):
      now[0] += 2
      return super().step(action)

  class SlowActor(fakes.RandomActor):
    def select_action(self, observation):
      now[0] += 1
      return super().select_action(observation)

  environment = SlowEnvironment(fakes.FakeEnvironment(SPEC, episode_length=3))
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(environment_loop.time, "perf_counter", lambda: now[0])
    result = EnvironmentLoop(environment, SlowActor(SPEC), logger=loggers.NullLogger()).run_episode()
  assert (result["environment_seconds"], result["action_seconds"]) == (11, 3)
  assert result["steps_per_second"] == pytest.approx(3 / 14)


def test_truncation_is_not_termination():
  o = np.zeros(1, np.float32)
  script = [dm_env.restart(o), dm_env.truncation(1.0, o), dm_env.restart(o), dm_env.termination(1.0, o)]
  loop = EnvironmentLoop(
    fakes.ScriptedEnvironment(script, SCRIPT_SPEC), fakes.RandomActor(SPEC), logger=loggers.NullLogger()
  )
  assert [loop.run_episode()["truncated"] for _ in range(2)] == [True, False]


def test_nested_rewards_have_nested_returns():
  spec = SPEC._replace(rewards={"a": specs.Array((), np.float32), "b": specs.Array((2,), np.float64)})
  actor = Recorder(spec)
  result = make(spec=spec, actor=actor)[0].run_episode()
  rewards = [t.reward for t in actor.timesteps[1:]]
  assert result["episode_return"]["a"] == pytest.approx(sum(float(r["a"]) for r in rewards), rel=1e-6)
  np.testing.assert_allclose(result["episode_return"]["b"], sum(r["b"] for r in rewards))


def test_returns_do_not_lose_small_rewards():
  o = np.zeros(1, np.float32)
  rewards = [2.0**24, 1.0, 1.0, 1.0]
  script = [dm_env.restart(o), *(dm_env.transition(np.float32(r), o) for r in rewards), dm_env.termination(0.0, o)]
  loop = EnvironmentLoop(
    fakes.ScriptedEnvironment(script, SCRIPT_SPEC), fakes.RandomActor(SPEC), logger=loggers.NullLogger()
  )
  assert loop.run_episode()["episode_return"] == 2**24 + 3


def test_counters_are_shared_by_label():
  root = counting.Counter()
  train, evaluation = make(counter=root)[0], make(counter=root, label="evaluation")[0]
  train.run(num_episodes=2)
  evaluation.run(num_episodes=1)
  counts = {"train_episodes": 2, "train_steps": 6, "evaluation_episodes": 1, "evaluation_steps": 3}
  assert root.get_counts() == counts
  assert evaluation.run_episode().items() >= {**counts, "evaluation_episodes": 2, "evaluation_steps": 6}.items()
  assert train.run_episode().items() >= {"train_episodes": 3, "train_steps": 9}.items()


def test_steps_of_a_loop_whose_counter_has_a_prefix():
  loop = make(counter=counting.Counter(counting.Counter(), prefix="actor_7"))[0]
  loop.run(num_steps=4)
  assert loop.steps == 4 and loop.counter.get("episodes") == 1


def test_training_rows_are_no_evaluations_though_they_share_a_counter():
  root = counting.Counter()
  make(counter=root, label="evaluation")[0].run(num_episodes=1)
  loop, _, logger = make(counter=root)
  loop.run(num_episodes=1)
  assert not loggers.is_evaluation(logger.rows[0]), "a TimeFilter would pass on every row"


def test_observers_see_every_step_and_add_metrics():
  watcher = Watcher()
  loop, _, logger = make(observers=[watcher])
  loop.run(num_episodes=2)
  assert [row["watched"] for row in logger.rows] == [4, 8]
  assert watcher.seen[0].first() and watcher.seen[3][0].last() and watcher.seen[4].first()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize(
  "where", ["reset", "step", "select_action", "observe_first", "observe", "update", "watch", "log"]
)
def test_environments_are_closed_on_every_path(where, error):
  def fail(*args, **kwargs):
    raise error("boom")

  for run in (lambda loop: loop.run(num_episodes=1), lambda loop: loop.run(), lambda loop: loop.run_episode()):
    watcher = Watcher()
    loop, environment, logger = make(observers=[watcher])
    owner = {"reset": environment, "step": environment, "watch": watcher, "log": logger}.get(where, loop._actor)
    setattr(owner, {"watch": "get_metrics", "log": "write"}.get(where, where), fail)
    with pytest.raises(error):
      run(loop)
    assert environment.closed


def test_a_loop_is_a_context():
  class Closed(loggers.InMemoryLogger):
    closed = False

    def close(self):
      self.closed = True

  environment, logger = fakes.FakeEnvironment(SPEC), Closed()
  with EnvironmentLoop(environment, fakes.RandomActor(SPEC), logger=logger) as loop:
    loop.run(num_steps=1)
  assert environment.closed and logger.closed


def test_logs_to_the_terminal_by_default(capsys):
  with EnvironmentLoop(fakes.FakeEnvironment(SPEC), fakes.RandomActor(SPEC)) as loop:
    loop.run(num_episodes=3)
  lines = capsys.readouterr().out.splitlines()
  assert lines[0].startswith("[train] episode_length = 7") and "train_episodes = 3" in lines[-1]


def observations(seed, episodes=2, length=3, spec=SPEC):
  actor = Recorder(spec)
  environment = fakes.FakeEnvironment(spec, episode_length=length, seed=99)
  EnvironmentLoop(environment, actor, logger=loggers.NullLogger(), seed=seed).run(num_episodes=episodes)
  return np.stack([t.observation for t in actor.timesteps])


def test_resets_are_seeded_by_episode():
  one = observations(0)
  np.testing.assert_array_equal(one, observations(0))
  assert not np.array_equal(one, observations(1))
  assert not np.array_equal(one[:4], one[4:])
  np.testing.assert_array_equal(observations(0, episodes=3)[:8], one)
  np.testing.assert_array_equal(observations(0, length=1)[2], one[4])  # However long the first episode was.


def test_episode_seeds_are_apart():
  seeds = {episode_seed(seed, episode) for seed in range(30) for episode in range(30)}
  assert len(seeds) == 900 and all(isinstance(seed, int) and 0 <= seed < 2**32 for seed in seeds)


class Unseeded(wrappers.EnvironmentWrapper):
  """Has no method `seed`."""

  def __getattr__(self, name):
    if name == "seed":
      raise AttributeError(name)
    return super().__getattr__(name)


def test_an_environment_without_a_seed_runs_but_is_not_saved_within_an_episode():
  loop = EnvironmentLoop(
    Unseeded(fakes.FakeEnvironment(SPEC, episode_length=3)),
    fakes.RandomActor(SPEC),
    logger=loggers.NullLogger(),
    seed=1,
  )
  assert not loop.reproducible
  loop.run(num_episodes=1)
  loop.save()
  loop.run(num_steps=1)
  with pytest.raises(RuntimeError, match=r"no seed\(int\) method.*run\(num_episodes"):
    loop.save()


@pytest.mark.parametrize("observation, action", [("vector", "discrete"), ("nested", "dict"), ("image", "matrix")])
@pytest.mark.parametrize("steps", [0, 1, 7, 10, 17])
def test_saved_within_an_episode_it_goes_on_as_if_it_had_not_stopped(tmp_path, observation, action, steps):
  spec = fakes.make_spec(observation, action)

  def start():
    actor = Recorder(spec)
    environment = fakes.FakeEnvironment(spec, seed=np.random.randint(100))
    logger = loggers.InMemoryLogger()
    return EnvironmentLoop(environment, actor, logger=logger, seed=3), actor, logger

  whole, actor, logger = start()
  whole.run(num_steps=steps)
  saved = {"loop": whole.save(), "actor": actor.save()}
  checkpointing.Checkpointer(tmp_path).save(steps, saved)
  seen, rows = len(actor.timesteps), len(logger.rows)
  whole.run(num_steps=20)

  again, actor_again, logger_again = start()
  state = checkpointing.Checkpointer(tmp_path).load().state
  actor_again.restore(state["actor"])
  again.restore(state["loop"])
  assert again.steps == steps
  again.run(num_steps=20)
  for one, other in zip(actor.timesteps[seen:], actor_again.timesteps, strict=True):
    tree.map_structure(np.testing.assert_array_equal, one, other)
  fields = ["episode_length", "episode_return", "truncated", "train_steps", "train_episodes"]
  for one, other in zip(logger.rows[rows:], logger_again.rows, strict=True):
    assert [one[field] for field in fields] == [other[field] for field in fields]


def test_a_replay_that_comes_elsewhere_gives_the_episode_up():
  loop = make(seed=1)[0]
  loop.run(num_steps=2)
  state = loop.save()

  class Wild(wrappers.EnvironmentWrapper):
    def seed(self, seed):
      self._environment.seed(seed + 1)

  other = EnvironmentLoop(Wild(fakes.FakeEnvironment(SPEC, episode_length=3)), fakes.RandomActor(SPEC), seed=1)
  with pytest.warns(UserWarning, match="Episode 0.*2 actions.*not deterministic given its seed"):
    other.restore(state)
  assert other.steps == 0 and other.run(num_episodes=1) == 3


class Reusing(wrappers.EnvironmentWrapper):
  """Gives the same array each time, overwritten, as some simulators do."""

  def _reuse(self, timestep):
    if not hasattr(self, "buffer"):
      self.buffer = timestep.observation.copy()
    self.buffer[...] = timestep.observation
    return timestep._replace(observation=self.buffer)

  def reset(self):
    return self._reuse(self._environment.reset())

  def step(self, action):
    return self._reuse(self._environment.step(action))


def test_a_saved_state_does_not_change_with_the_environment():
  loop = EnvironmentLoop(
    Reusing(fakes.FakeEnvironment(SPEC)), fakes.RandomActor(SPEC), logger=loggers.NullLogger(), seed=0
  )
  loop.run(num_steps=2)
  state = loop.save()
  loop.run(num_steps=2)
  loop.restore(state)
  assert loop.steps == 2


def test_an_actor_may_reuse_its_action():
  spec = fakes.make_spec(action="continuous")

  class ReusingActor(fakes.RandomActor):
    buffer = np.zeros(2, np.float32)

    def select_action(self, observation):
      self.buffer[...] = super().select_action(observation)
      return self.buffer

  loop = EnvironmentLoop(fakes.FakeEnvironment(spec), ReusingActor(spec), logger=loggers.NullLogger(), seed=0)
  loop.run(num_steps=3)
  loop.restore(loop.save())
  assert loop.steps == 3


def test_evaluate_runs_whole_episodes_without_updates_between():
  actor = Recorder()
  environment = fakes.FakeEnvironment(SPEC, episode_length=3)
  results = evaluate(environment, actor, 2, seed=5)
  assert [r["episode_length"] for r in results] == [3, 3] and actor.calls.count("observe_first") == 2
  assert actor.calls[0] == "update(wait)" and "update" not in actor.calls
  again = evaluate(environment, Recorder(), 2, seed=5)
  assert [r["episode_return"] for r in results] == [r["episode_return"] for r in again]
  assert all(map(loggers.is_evaluation, results))


def test_evaluate_closes_the_environment_when_it_fails():
  class Broken(Recorder):
    def select_action(self, observation):
      raise RuntimeError("boom")

  environment = fakes.FakeEnvironment(SPEC)
  with pytest.raises(RuntimeError, match="boom"):
    evaluate(environment, Broken(), 1)
  assert environment.closed
