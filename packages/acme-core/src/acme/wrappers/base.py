"""The wrapper that changes nothing, and what the others share."""

from typing import Any

import dm_env
import numpy as np
import tree

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


def copied(nest: types.NestedArray) -> types.NestedArray:
  """The same nest, with copies of its arrays."""
  if isinstance(nest, np.ndarray):
    return nest.copy()
  if isinstance(nest, np.generic):  # The most common of what has nothing to copy.
    return nest
  if type(nest) is dict:
    return {key: copied(value) for key, value in nest.items()}
  return tree.map_structure(copied, nest) if isinstance(nest, dict | list | tuple) else nest
