"""A limit on the steps of an episode."""

import dm_env

from acme import types
from acme.wrappers import base


class StepLimit(base.EnvironmentWrapper):
  """Ends an episode after `step_limit` steps, as a truncation: the discount stays what it was."""

  def __init__(self, environment: dm_env.Environment, step_limit: int) -> None:
    """Wraps an environment; `step_limit` is 1 or more."""
    if step_limit < 1:
      raise ValueError(f"StepLimit step_limit: expected 1 or more, got {step_limit!r}.")
    super().__init__(environment)
    self._step_limit = step_limit
    self._steps = 0
    self._over = True

  def reset(self) -> dm_env.TimeStep:
    self._steps = 0
    self._over = False
    return self._environment.reset()

  def step(self, action: types.NestedArray) -> dm_env.TimeStep:
    if self._over:
      return self.reset()
    timestep = self._environment.step(action)
    self._steps += 1
    if self._steps >= self._step_limit:
      timestep = timestep._replace(step_type=dm_env.StepType.LAST)
    self._over = timestep.last()
    return timestep
