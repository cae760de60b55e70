"""Gymnasium and old Gym environments as dm_env ones. Neither is imported here: spaces are known by their names."""

from typing import Any

import dm_env
import numpy as np
import tree
from dm_env import specs

from acme import types


class GymWrapper(dm_env.Environment):
  """A Gymnasium environment, or one of old Gym, as a dm_env environment.

  `terminated` ends an episode with discount 0; `truncated` (in old Gym `info["TimeLimit.truncated"]`) ends it with
  discount 1, so that learners bootstrap from its last observation.
  """

  def __init__(self, environment: Any) -> None:
    """Wraps an environment.

    Raises:
      TypeError: a space of a kind that has no spec; the message names it.
    """
    self._environment = environment
    self._observation_spec = _spec(environment.observation_space, "observation")
    self._action_spec = _spec(environment.action_space, "action")
    self._to_action = converter(environment.action_space)
    self._reward_spec = specs.Array((), np.float32, name="reward")
    self._discount_spec = specs.BoundedArray((), np.float32, 0.0, 1.0, name="discount")
    # A leaf that already has its spec's dtype is passed on as it is; Dict and Tuple spaces are mapped over.
    self._dtypes = tree.map_structure(lambda spec: spec.dtype, self._observation_spec)
    self._flat = isinstance(self._observation_spec, specs.Array)
    self._seed: int | None = None
    self._over = True
    self._last_info: dict[str, Any] = {}

  @property
  def environment(self) -> Any:
    """The environment inside."""
    return self._environment

  @property
  def last_info(self) -> dict[str, Any]:
    """The `info` of the newest timestep."""
    return self._last_info

  def seed(self, seed: int) -> None:
    """Makes the next reset use `seed`."""
    self._seed = seed

  def reset(self) -> dm_env.TimeStep:
    self._over = False
    result = self._reset()
    # Gymnasium, and Gym since 0.26, return (observation, info).
    is_pair = isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict)
    observation, self._last_info = result if is_pair else (result, {})
    return dm_env.restart(self.convert(observation))

  def step(self, action: types.NestedArray) -> dm_env.TimeStep:
    """Takes a step; after the last one of an episode, resets instead and passes over the action, as dm_env asks."""
    if self._over:
      return self.reset()
    result = self._environment.step(self._to_action(action))
    if len(result) == 5:
      observation, reward, terminated, truncated, self._last_info = result
    else:
      observation, reward, done, self._last_info = result
      truncated = bool(done and self._last_info.get("TimeLimit.truncated", False))
      terminated = done and not truncated
    self._over = bool(terminated or truncated)
    step_type = dm_env.StepType.LAST if self._over else dm_env.StepType.MID
    discount = np.float32(0.0 if terminated else 1.0)
    return dm_env.TimeStep(step_type, np.float32(reward), discount, self.convert(observation))

  def observation_spec(self) -> types.NestedSpec:
    return self._observation_spec

  def action_spec(self) -> types.NestedSpec:
    return self._action_spec

  def reward_spec(self) -> specs.Array:
    return self._reward_spec

  def discount_spec(self) -> specs.BoundedArray:
    return self._discount_spec

  def render(self) -> Any:
    """What the environment's own `render` returns: an image [height, width, 3] with `render_mode="rgb_array"`."""
    return self._environment.render()

  def close(self) -> None:
    self._environment.close()

  def _reset(self) -> Any:
    seed, self._seed = self._seed, None
    if seed is None:
      return self._environment.reset()
    try:
      return self._environment.reset(seed=seed)
    except TypeError:  # Gym before 0.26 has a method for it.
      self._environment.seed(seed)
      return self._environment.reset()

  def convert(self, observation: Any) -> types.NestedArray:
    """An observation of the space as the spec has it."""
    if self._flat:
      return np.asarray(observation, self._dtypes)
    return _map(np.asarray, observation, self._dtypes)


def _map(convert: Any, value: Any, dtypes: Any) -> Any:
  """Converts a Dict or Tuple observation, in the order of its spec: spaces sort their keys, wrappers may not."""
  if isinstance(dtypes, dict):
    return {key: _map(convert, value[key], dtype) for key, dtype in dtypes.items()}
  if isinstance(dtypes, tuple):
    return tuple(_map(convert, item, dtype) for item, dtype in zip(value, dtypes, strict=True))
  return convert(value, dtypes)


def _kind(space: Any) -> str:
  """The name of the library's own class that a space is of, where that is a base class of its own."""
  kinds = ("Discrete", "Box", "MultiDiscrete", "MultiBinary", "Dict", "Tuple")
  for cls in type(space).__mro__:
    if cls.__name__ in kinds:
      return cls.__name__
  raise TypeError(f"Expected a space of {', '.join(kinds)}, got {type(space).__name__}: it has no dm_env spec.")


def _spec(space: Any, name: str) -> types.NestedSpec:
  kind = _kind(space)
  if kind == "Dict":
    return {key: _spec(value, f"{name}[{key}]") for key, value in space.spaces.items()}
  if kind == "Tuple":
    return tuple(_spec(value, f"{name}[{i}]") for i, value in enumerate(space.spaces))
  if kind == "Discrete":
    return specs.DiscreteArray(int(space.n), np.int32, name=name)
  if kind == "MultiDiscrete":
    return specs.BoundedArray(space.shape, np.int32, 0, np.asarray(space.nvec) - 1, name=name)
  if kind == "MultiBinary":
    return specs.BoundedArray(space.shape, space.dtype, 0, 1, name=name)
  return specs.BoundedArray(space.shape, space.dtype, space.low, space.high, name=name)


def converter(space: Any) -> Any:
  """Makes a function from an action as the spec has it to one as the space has it."""
  kind = _kind(space)
  if kind == "Dict":
    converters = {key: converter(value) for key, value in space.spaces.items()}
    return lambda action: {key: convert(action[key]) for key, convert in converters.items()}
  if kind == "Tuple":
    in_order = [converter(value) for value in space.spaces]
    return lambda action: tuple(convert(a) for convert, a in zip(in_order, action, strict=True))
  start = getattr(space, "start", 0)  # The spec counts from 0 wherever the space starts.
  if kind == "Discrete":
    return lambda action: int(action) + int(start)
  if kind == "MultiDiscrete":
    return lambda action: np.asarray(action, space.dtype) + start
  return lambda action: np.asarray(action, space.dtype)
