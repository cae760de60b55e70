"""The wrapper that changes nothing."""

from typing import Any

import dm_env

from acme import types


class EnvironmentWrapper(dm_env.Environment):
  """Passes every call on to the environment inside; wrappers override what they change.

  Attributes that this class does not have, `seed` among them, are those of the environment inside.
  """

  def __init__(self, environment: dm_env.Environment) -> None:
    self._environment = environment

  def __getattr__(self, name: str) -> Any:
    if name.startswith("_"):  # Also stops copy and pickle from asking a half-made wrapper for `_environment` for ever.
      raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
    return getattr(self._environment, name)

  @property
  def environment(self) -> dm_env.Environment:
    """The environment inside."""
    return self._environment

  def reset(self) -> dm_env.TimeStep:
    return self._environment.reset()

  def step(self, action: types.NestedArray) -> dm_env.TimeStep:
    return self._environment.step(action)

  def observation_spec(self) -> types.NestedSpec:
    return self._environment.observation_spec()

  def action_spec(self) -> types.NestedSpec:
    return self._environment.action_spec()

  def reward_spec(self) -> types.NestedSpec:
    return self._environment.reward_spec()

  def discount_spec(self) -> types.NestedSpec:
    return self._environment.discount_spec()

  def close(self) -> None:
    self._environment.close()
