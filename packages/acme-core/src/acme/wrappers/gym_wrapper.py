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
    self.convert = reader(environment.observation_space)  # From an observation of the space to one of the spec.
    self._is_tuple = _kind(environment.observation_space) == "Tuple"
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
    is_pair = is_pair and (not self._is_tuple or isinstance(result[0], tuple))
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


def _kind(space: Any) -> str:
  """The name of the library's own class that a space is of, where that is a base class of its own."""
  kinds = ("Discrete", "Box", "MultiDiscrete", "MultiBinary", "Dict", "Tuple")
  for cls in type(space).__mro__:
    if cls.__name__ in kinds:
      return cls.__name__
  raise TypeError(f"Expected a space of {', '.join(kinds)}, got {type(space).__name__}: it has no dm_env spec.")


def _leaves(space: Any) -> Any:
  """A space as a nest, with other spaces than Dict and Tuple at the leaves."""
  kind = _kind(space)
  if kind == "Dict":
    return {key: _leaves(value) for key, value in space.spaces.items()}
  return tuple(map(_leaves, space.spaces)) if kind == "Tuple" else space


def _spec(space: Any, name: str) -> types.NestedSpec:
  def spec(path: tuple[Any, ...], leaf: Any) -> specs.Array:
    name_ = name + "".join(f"[{key}]" for key in path)
    kind = _kind(leaf)
    if kind == "Discrete":
      return specs.DiscreteArray(int(leaf.n), np.int32, name=name_)
    if kind == "MultiDiscrete":
      return specs.BoundedArray(leaf.shape, np.int32, 0, np.asarray(leaf.nvec) - 1, name=name_)
    low, high = (0, 1) if kind == "MultiBinary" else (leaf.low, leaf.high)
    return specs.BoundedArray(leaf.shape, leaf.dtype, low, high, name=name_)

  return tree.map_structure_with_path(spec, _leaves(space))


def reader(space: Any) -> Any:
  """Makes a function from an observation as the space has it to one as the spec has it, in the order of the spec."""

  def read(leaf: Any) -> Any:
    if _kind(leaf) in ("Discrete", "MultiDiscrete"):
      start = getattr(leaf, "start", 0)  # The spec counts from 0 wherever the space starts.
      return lambda observation: np.asarray(observation - start, np.int32)
    return lambda observation: np.asarray(observation, leaf.dtype)

  return _apply(tree.map_structure(read, _leaves(space)))


def converter(space: Any) -> Any:
  """Makes a function from an action as the spec has it to one as the space has it."""

  def convert(leaf: Any) -> Any:
    start = getattr(leaf, "start", 0)
    if _kind(leaf) == "Discrete":
      return lambda action: int(action) + int(start)
    if _kind(leaf) == "MultiDiscrete":
      return lambda action: np.asarray(action, leaf.dtype) + start
    return lambda action: np.asarray(action, leaf.dtype)

  return _apply(tree.map_structure(convert, _leaves(space)))


def _apply(functions: Any) -> Any:
  """A nest of functions as one function of a nest of values."""
  if callable(functions):
    return functions
  return lambda value: tree.map_structure_up_to(functions, lambda f, x: f(x), functions, value, check_types=False)
