import dm_env
import numpy as np
import pytest
from dm_env import specs

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
