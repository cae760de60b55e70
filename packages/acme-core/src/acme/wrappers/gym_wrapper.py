"""Gymnasium and old Gym environments as dm_env ones. Neither is imported here: spaces are known by their names."""

import operator
from collections.abc import Iterator, Mapping
from typing import Any

import dm_env
import numpy as np
import tree
from dm_env import specs

from acme import types
from acme.validation import brief, convert
from acme.wrappers import checked

_FLOAT32, _INT32, _INT64 = np.dtype(np.float32), np.dtype(np.int32), np.dtype(np.int64)
_KINDS = ("Discrete", "Box", "MultiDiscrete", "MultiBinary", "Dict", "Tuple")
_LARGEST = float(np.finfo(np.float32).max)


class GymWrapper(dm_env.Environment):
  """A Gymnasium environment, or one of old Gym, as a dm_env environment.

  `terminated` ends an episode with discount 0; `truncated` (in old Gym `info["TimeLimit.truncated"]`) ends it with
  discount 1, so that learners bootstrap from its last observation.
  """

  def __init__(self, environment: Any) -> None:
    """Wraps an environment.

    Raises:
      TypeError: a space of a kind that has no spec (Text, Sequence, Graph); the message names it, and says what to do.
    """
    _check_space(environment.observation_space, "observation")
    _check_space(environment.action_space, "action")
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
    if not isinstance(result, tuple) or len(result) not in (4, 5):
      raise TypeError(
        "step(): expected (observation, reward, terminated, truncated, info), or old Gym's (observation, reward, done, "
        f"info), got {brief(result)}."
      )
    if len(result) == 5:
      observation, reward, terminated, truncated, self._last_info = result
    else:
      observation, reward, terminated, self._last_info = result
      truncated = self._last_info.get("TimeLimit.truncated", False) and _flag("done", terminated)
      terminated = terminated and not truncated
    if type(terminated) is not bool or type(truncated) is not bool:
      terminated, truncated = _flag("terminated", terminated), _flag("truncated", truncated)
    self._over = terminated or truncated
    step_type = dm_env.StepType.LAST if self._over else dm_env.StepType.MID
    discount = np.float32(0.0 if terminated else 1.0)
    return dm_env.TimeStep(step_type, _reward(reward), discount, self.convert(observation))

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
      return checked.with_seed(lambda seed: self._environment.reset(seed=seed), seed)
    except TypeError as error:
      # Gym before 0.26 has a method for it, and its reset takes no seed; other errors are the environment's own.
      if "keyword argument" not in str(error) or not hasattr(self._environment, "seed"):
        raise
      checked.with_seed(self._environment.seed, seed)
      return self._environment.reset()


def _reward(reward: Any) -> Any:
  """A reward as float32; ValueError where that does not hold it."""
  if type(reward) is float and -_LARGEST <= reward <= _LARGEST:
    return np.float32(reward)
  return convert("reward", reward, _FLOAT32)[()]


def _flag(name: str, value: Any) -> bool:
  if isinstance(value, int):
    return bool(value)
  if np.ndim(value) == 0 and np.asarray(value).dtype.kind in "biu":
    return bool(value)
  raise TypeError(f"{name}: expected a truth value, got {brief(value)}.")


def _kind(space: Any) -> str | None:
  """The name of the library's own class that a space is of, where that is a base class of its own; None of others."""
  return next((cls.__name__ for cls in type(space).__mro__ if cls.__name__ in _KINDS), None)


def _check_space(space: Any, name: str) -> None:
  """Raises TypeError for a space that has no spec, in one line that says how to do without it."""
  unknown = list(_unknown(space, ()))
  if not unknown:
    return
  path, leaf = unknown[0]
  hint = f"make another of it with gymnasium.wrappers.Transform{name.title()}(environment, function, space)."
  kept = [key for key in space.spaces if all(key != path[0] for path, _ in unknown)] if _kind(space) == "Dict" else []
  if kept and name == "observation":
    hint = f"leave it out with gymnasium.wrappers.FilterObservation(environment, {kept}), or {hint}"
  raise TypeError(
    f"{_name(name, path)}: expected a space of {', '.join(_KINDS)}, got {type(leaf).__name__}, which has no dm_env "
    f"spec: {hint}"
  )


def _unknown(space: Any, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Any]]:
  """The spaces within one that have no spec, each with its path."""
  if _kind(space) is None:
    yield path, space
  elif _kind(space) in ("Dict", "Tuple"):
    for key, child in space.spaces.items() if _kind(space) == "Dict" else enumerate(space.spaces):
      yield from _unknown(child, (*path, key))


def _leaves(space: Any) -> Any:
  """A space as a nest, with other spaces than Dict and Tuple at the leaves."""
  kind = _kind(space)
  if kind == "Dict":
    return {key: _leaves(value) for key, value in space.spaces.items()}
  return tuple(map(_leaves, space.spaces)) if kind == "Tuple" else space


def _spec(space: Any, name: str) -> types.NestedSpec:
  def spec(path: tuple[Any, ...], leaf: Any) -> specs.Array:
    name_ = _name(name, path)
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

  def read(path: tuple[Any, ...], leaf: Any) -> Any:
    name = _name("observation", path)
    if _kind(leaf) in ("Discrete", "MultiDiscrete"):
      start = getattr(leaf, "start", 0)  # The spec counts from 0 wherever the space starts.
      return lambda observation: convert(name, convert(name, observation, _INT64) - start, _INT32)
    dtype = np.dtype(leaf.dtype)
    return lambda o: o if type(o) is np.ndarray and o.dtype == dtype else convert(name, o, dtype)

  return _apply(tree.map_structure_with_path(read, _leaves(space)), "observation")


def converter(space: Any) -> Any:
  """Makes a function from an action as the spec has it to one as the space has it, which shares no array with it."""

  def write(path: tuple[Any, ...], leaf: Any) -> Any:
    name, start = _name("action", path), getattr(leaf, "start", 0)
    if _kind(leaf) == "Discrete":
      return lambda action: _index(name, action) + int(start)
    if _kind(leaf) == "MultiDiscrete":
      return lambda action: convert(name, action, np.dtype(leaf.dtype)) + start
    return lambda action: np.array(convert(name, action, np.dtype(leaf.dtype)))

  return _apply(tree.map_structure_with_path(write, _leaves(space)), "action")


def _index(name: str, action: Any) -> int:
  try:
    return operator.index(action)
  except TypeError:
    return int(convert(name, action, _INT64))


def _name(name: str, path: tuple[Any, ...]) -> str:
  return name + "".join(f"[{key}]" for key in path)


def _apply(functions: Any, name: str) -> Any:
  """A nest of functions as one function of a nest of values."""
  if callable(functions):
    return functions
  if isinstance(functions, dict):
    children = {key: _apply(function, _name(name, (key,))) for key, function in functions.items()}

    def apply_dict(value: Any) -> dict[str, Any]:
      if not isinstance(value, Mapping) or value.keys() != children.keys():
        raise ValueError(f"{name}: expected a dict with the keys {list(children)}, got {brief(value)}.")
      return {key: child(value[key]) for key, child in children.items()}

    return apply_dict
  parts = [_apply(function, _name(name, (i,))) for i, function in enumerate(functions)]

  def apply_tuple(value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple) or len(value) != len(parts):
      raise ValueError(f"{name}: expected a tuple of {len(parts)}, got {brief(value)}.")
    return tuple(part(child) for part, child in zip(parts, value, strict=True))

  return apply_tuple
