"""Floats of 64 bits as 32, integers of 64 bits as 32."""

from typing import Any

import dm_env
import numpy as np
import tree
from dm_env import specs

from acme import types
from acme.validation import convert
from acme.wrappers import base

_SINGLE = {np.dtype(np.float64): np.dtype(np.float32), np.dtype(np.int64): np.dtype(np.int32)}


class SinglePrecision(base.EnvironmentWrapper):
  """Gives and takes single precision, as accelerators and replay prefer it.

  Floats are rounded; a number that 32 bits do not hold is a ValueError.
  """

  def __init__(self, environment: dm_env.Environment) -> None:
    super().__init__(environment)
    self._actions = environment.action_spec()

  def reset(self) -> dm_env.TimeStep:
    return self._convert(self._environment.reset())

  def step(self, action: types.NestedArray) -> dm_env.TimeStep:
    action = tree.map_structure(lambda spec, a: convert("action", a, spec.dtype), self._actions, action)
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
    step_type, reward, discount, observation = timestep
    return dm_env.TimeStep(
      step_type, _single("reward", reward), _single("discount", discount), _single("observation", observation)
    )


def _single(name: str, nest: types.NestedArray) -> types.NestedArray:
  def convert_leaf(path: tuple[Any, ...], value: Any) -> Any:
    single = None if value is None else _SINGLE.get(np.asarray(value).dtype)
    if single is None:
      return value
    return convert(name + "".join(f"[{key}]" for key in path), value, single)[()]

  if isinstance(nest, np.ndarray | np.generic | float | int):  # Walking a nest is slow.
    return convert_leaf((), nest)
  return tree.map_structure_with_path(convert_leaf, nest)


def _convert_spec(spec: specs.Array) -> specs.Array:
  single = _SINGLE.get(np.dtype(spec.dtype))
  if single is None or not isinstance(spec, specs.BoundedArray) or isinstance(spec, specs.DiscreteArray):
    return spec if single is None else spec.replace(dtype=single)
  low, high = spec.minimum, spec.maximum
  if single.kind == "i":
    low, high = np.clip([low, high], -(2**31), 2**31 - 1)
  with np.errstate(over="ignore"):  # Bounds beyond 32 bits become infinite, or above the largest integers.
    return spec.replace(dtype=single, minimum=low, maximum=high)
