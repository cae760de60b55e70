"""Floats of 64 bits as 32, integers of 64 bits as 32."""

import dm_env
import numpy as np
import tree
from dm_env import specs

from acme import types
from acme.wrappers import base

_SINGLE = {np.dtype(np.float64): np.dtype(np.float32), np.dtype(np.int64): np.dtype(np.int32)}


class SinglePrecision(base.EnvironmentWrapper):
  """Gives and takes single precision, as accelerators and replay prefer it."""

  def __init__(self, environment: dm_env.Environment) -> None:
    super().__init__(environment)
    self._action_dtypes = tree.map_structure(lambda spec: spec.dtype, environment.action_spec())

  def reset(self) -> dm_env.TimeStep:
    return self._convert(self._environment.reset())

  def step(self, action: types.NestedArray) -> dm_env.TimeStep:
    action = tree.map_structure(lambda dtype, a: np.asarray(a, dtype), self._action_dtypes, action)
    return self._convert(self._environment.step(action))

  def observation_spec(self) -> types.NestedSpec:
    return tree.map_structure(_convert_spec, self._environment.observation_spec())

  def action_spec(self) -> types.NestedSpec:
    return tree.map_structure(_convert_spec, self._environment.action_spec())

  def reward_spec(self) -> types.NestedSpec:
    return tree.map_structure(_convert_spec, self._environment.reward_spec())

  def discount_spec(self) -> types.NestedSpec:
    return tree.map_structure(_convert_spec, self._environment.discount_spec())

  def _convert(self, timestep: dm_env.TimeStep) -> dm_env.TimeStep:
    return dm_env.TimeStep(timestep.step_type, *(tree.map_structure(_convert_value, value) for value in timestep[1:]))


def _convert_value(value: types.NestedArray) -> types.NestedArray:
  single = None if value is None else _SINGLE.get(np.asarray(value).dtype)
  return value if single is None else single.type(value)


def _convert_spec(spec: specs.Array) -> specs.Array:
  single = _SINGLE.get(np.dtype(spec.dtype))
  if single is None or not isinstance(spec, specs.BoundedArray) or isinstance(spec, specs.DiscreteArray):
    return spec if single is None else spec.replace(dtype=single)
  low, high = spec.minimum, spec.maximum
  if single.kind == "i":
    low, high = np.clip([low, high], -(2**31), 2**31 - 1)
  with np.errstate(over="ignore"):  # Bounds beyond 32 bits become infinite, or above the largest integers.
    return spec.replace(dtype=single, minimum=low, maximum=high)
