import dm_env
import numpy as np
import pytest
from dm_env import specs

import acme
import acme_envs


def findings(environment):
  return acme_envs.check_environment(environment, num_episodes=3)


def test_a_sound_environment_has_no_findings(seeded_fake):
  environment = seeded_fake()
  environment.action_spec = lambda: specs.DiscreteArray(2)
  assert findings(environment) == []
  assert not environment.closed


def change(index=None, **fields):
  """Replaces fields of every timestep, or of one kind of them."""

  def mend(timestep, count):
    return timestep._replace(**fields) if index is None or index == count else timestep

  return mend


def replaced(timestep, **leaves):
  return timestep._replace(observation={**timestep.observation, **leaves})


BROKEN_STEPS = {
  "reward: expected finite": change(reward=np.float32(np.nan)),
  "reward: expected shape": change(reward=np.zeros(1, np.float32)),
  "reward: expected dtype": change(reward=np.array(1.0)),
  r"discount: expected a number in \[0, 1\]": change(discount=np.float32(1.5)),
  "gave a timestep of type FIRST": change(3, step_type=dm_env.StepType.FIRST),
  r"observation: .*expected shape \(2,\)": lambda timestep, _: replaced(timestep, b=np.zeros(3, np.float32)),
  "observation: .*expected the structure": lambda timestep, _: timestep._replace(observation=np.zeros(3)),
  "observation: .*expected finite": lambda timestep, _: replaced(timestep, b=np.full(2, np.inf, np.float32)),
}


@pytest.mark.parametrize("message", BROKEN_STEPS)
def test_wrong_steps_are_found(seeded_fake, message):
  class Broken(seeded_fake):
    def step(self, action):
      timestep = super().step(action)
      return timestep if timestep.first() else BROKEN_STEPS[message](timestep, self._count)

  found = findings(Broken())
  assert [finding.severity for finding in found] == ["error"]
  with pytest.raises(AssertionError, match=message):
    raise AssertionError(found[0].message)


def test_episodes_that_never_end_are_said(seeded_fake, monkeypatch):
  monkeypatch.setattr(acme_envs.checking, "_MAX_STEPS", 20)
  monkeypatch.setattr(seeded_fake, "reset", lambda self: super(seeded_fake, self).reset())
  environment = seeded_fake()
  environment.length = 10**6
  one(findings(environment), "warning", "No episode of 3 ended within 20 steps")


def one(found, severity, text):
  assert any(finding.severity == severity and text in finding.message for finding in found), found


def test_wrong_resets_are_found(seeded_fake):
  class Broken(seeded_fake):
    def reset(self):
      return super().reset()._replace(reward=0.0, discount=1.0)

  one(findings(Broken()), "error", "expected None for reward and discount")

  class Stuck(seeded_fake):
    def reset(self):
      return super().reset()._replace(step_type=dm_env.StepType.MID)

  one(findings(Stuck()), "error", "expected a timestep of type FIRST")


def test_no_reset_after_the_last_step_is_found(seeded_fake):
  class Broken(seeded_fake):
    def step(self, action):
      self._count = min(self._count, self.length - 1)
      return super().step(action)

  one(findings(Broken()), "error", "step() after the last timestep")


def test_observations_written_to_again_are_found(seeded_fake):
  class Reusing(seeded_fake):
    buffer = np.zeros(2, np.float32)

    def _observation(self):
      self.buffer += 1
      return {**super()._observation(), "b": self.buffer}

  one(findings(Reusing()), "error", "wrote into the observation")


def test_actions_written_to_are_found(seeded_fake):
  class Greedy(seeded_fake):
    def step(self, action):
      action[:] = 0
      return super().step(action)

  one(findings(Greedy()), "error", "wrote into the action")


def test_a_seed_that_is_not_obeyed_is_found(seeded_fake):
  class Wilful(seeded_fake):
    def seed(self, seed):
      pass

  one(findings(Wilful()), "error", "After seed(3)")


def test_missing_seed_and_suspicious_time_limits_are_warned_of(fake):
  found = findings(fake(length=7))
  one(found, "warning", "no method seed(int)")
  one(found, "warning", "after 7 steps with discount 0")
  assert len(found) == 2
  assert len(findings(fake(length=7, last_discount=1.0))) == 1


def test_specs_are_looked_at(seeded_fake):
  environment = seeded_fake()
  environment.action_spec = lambda: specs.Array((2,), np.float64)
  found = findings(environment)
  one(found, "error", "no finite bounds")
  one(found, "warning", "acme.wrappers.SinglePrecision")


def test_no_environment_at_all():
  (finding,) = findings(object())
  assert "Expected a dm_env.Environment" in finding.message


def test_what_the_environment_raises_is_a_finding(fake):
  class Raising(fake):
    def step(self, action):
      raise ZeroDivisionError("oh")

  one(findings(Raising()), "error", "raised ZeroDivisionError: oh")


@pytest.mark.parametrize(
  "shape, dtype, advice",
  [
    ((3, 64, 48), np.uint8, "move the channels last"),
    ((64, 48), np.uint8, "add an axis of 1 channel"),
    ((4, 64, 48, 3), np.uint8, "FrameStacking"),
    ((64, 48, 3), np.uint8, None),
    ((5, 7, 3), np.uint8, None),
    ((8, 8), np.uint8, None),
    ((3, 64, 48), np.float32, None),
  ],
)
def test_unusual_image_layouts_are_warned_of_once(seeded_fake, shape, dtype, advice):
  environment = seeded_fake()
  spec = specs.BoundedArray(shape, dtype, 0, 255)
  environment.observation_spec = lambda: {"a": spec, "b": spec}
  environment._observation = lambda: {"a": np.ones(shape, dtype), "b": np.ones(shape, dtype)}
  found = findings(environment)
  assert len(found) == (advice is not None)
  if advice is not None:
    one(found, "warning", advice)
    assert "observation[a]" in found[0].message and "observation[b]" in found[0].message


def gym_environment(space, observe):
  gymnasium = pytest.importorskip("gymnasium")

  class Gym(gymnasium.Env):
    observation_space, action_space = space(gymnasium.spaces), gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
      super().reset(seed=seed)
      self.count = 0
      return observe(self.np_random), {}

    def step(self, action):
      self.count += 1
      return observe(self.np_random), 0.0, self.np_random.random() < 0.1, False, {}

  return acme.wrappers.GymWrapper(Gym())


def image(spaces):
  return spaces.Box(0, 255, (2,), np.uint8)


@pytest.mark.parametrize(
  "observe, severity, text",
  [
    (lambda rng: rng.integers(250, 300, 2), "error", "expected a number that uint8 holds, got "),
    (
      lambda rng: rng.integers(-9, 9, 2),
      "error",
      f"expected a number that uint8 holds, got {repr(np.int64(-1)).split('1')[0]}",
    ),
    (
      lambda rng: rng.random(2),
      "error",
      f"expected a number that uint8 holds, got {repr(np.float64(0.5)).split('5')[0]}",
    ),
    (
      lambda rng: rng.integers(0, 9, 2),
      "warning",
      "Gym: observation: expected dtype uint8 as its space says, got int64",
    ),
  ],
)
def test_gym_environments_are_checked_before_they_are_wrapped(observe, severity, text):
  one(findings(gym_environment(image, observe)), severity, text)


def test_a_sound_gym_environment_has_no_findings():
  def space(spaces):
    return spaces.Dict(image=image(spaces), count=spaces.Discrete(9, start=1))

  def observe(rng):
    return {"image": rng.integers(0, 255, 2, np.uint8), "count": rng.integers(1, 10)}

  assert findings(gym_environment(space, observe)) == []


def test_an_environment_is_checked_before_its_wrappers_cast(seeded_fake):
  class Wide(seeded_fake):
    def reward_spec(self):
      return specs.Array((), np.float64)

    def step(self, action):
      timestep = super().step(action)
      return timestep if timestep.first() else timestep._replace(reward=np.array(1, np.int64))

  found = findings(acme.wrappers.SinglePrecision(Wide()))
  one(found, "error", "Inside its wrappers, Wide: reward: expected dtype float64")


class Repeating(acme.wrappers.EnvironmentWrapper):
  """Has a seed, and adds to its observations what `drift` gives for the number of steps of all episodes so far."""

  def __init__(self, environment, drift):
    super().__init__(environment)
    self.drift, self.total = drift, 0

  def reset(self):
    return self._drifted(super().reset())

  def step(self, action):
    return self._drifted(super().step(action))

  def _drifted(self, timestep):
    self.total += 1
    b = timestep.observation["b"] + np.float32(self.drift(self.total))
    return timestep._replace(observation={**timestep.observation, "b": b})


@pytest.mark.parametrize("length", [1, 3, 100])
def test_whether_an_environment_repeats_its_episodes(fake, seeded_fake, length):
  assert acme_envs.repeats(seeded_fake(), seed=1)
  assert not acme_envs.repeats(fake(length=length), seed=1)  # It has no seed.
  ignoring = fake(length=length)
  ignoring.seed = lambda seed: None
  assert acme_envs.repeats(ignoring, seed=1)  # There is nothing random in it.
  random = np.random.default_rng(0)
  assert not acme_envs.repeats(Repeating(ignoring, lambda total: random.random()), seed=1)
  assert not acme_envs.repeats(Repeating(ignoring, lambda total: total), seed=1)  # It keeps statistics.
  assert not acme_envs.repeats(Repeating(ignoring, lambda total: total > 1), seed=1)
