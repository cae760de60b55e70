"""Episodes, alone and joined in one array a leaf: named, held to specs, cut apart, played.

Shapes: T steps, E episodes.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import dm_env
import numpy as np
import tree

from acme import specs, types, validation

LENGTH = "length"  # The array that says how many steps each of several episodes has.


class Episode(NamedTuple):
  """T steps."""

  observation: types.NestedArray  # [T + 1, …]
  action: types.NestedArray  # [T, …]
  reward: types.NestedArray  # [T, …]
  discount: types.NestedArray  # [T, …]
  extras: types.NestedArray = ()  # [T, …]
  core: types.NestedArray = ()  # [T, …], the recurrent state before each action


def num_steps(episode: Episode) -> int:
  """T."""
  return len(tree.flatten(episode.reward)[0])


def total_return(episode: Episode) -> float:
  """Σ_t r_t; where rewards are nested or arrays, the sum of them all."""
  return float(sum(np.sum(leaf, dtype=np.float64) for leaf in tree.flatten(episode.reward)))


def play(episode: Episode) -> Iterator[tuple[types.NestedArray, dm_env.TimeStep, types.NestedArray]]:
  """An episode as an adder takes it: (action, timestep, extras) of each step, the first without an action."""
  observations = _rows(episode.observation)
  yield None, dm_env.restart(next(observations)), ()
  types_ = itertools.chain(itertools.repeat(dm_env.StepType.MID, num_steps(episode) - 1), [dm_env.StepType.LAST])
  fields = map(_rows, (episode.action, episode.reward, episode.discount, episode.extras))
  for step_type, observation, action, reward, discount, extras in zip(types_, observations, *fields, strict=False):
    yield action, dm_env.TimeStep(step_type, reward, discount, observation), extras


def _rows(nest: types.NestedArray) -> Iterator[types.NestedArray]:
  """What lies at 0, 1, … of each leaf; for ever, where there is no leaf."""
  if isinstance(nest, np.ndarray):
    return iter(nest)
  leaves = tree.flatten(nest)
  if not leaves:
    return itertools.repeat(nest)
  return (tree.unflatten_as(nest, row) for row in zip(*leaves, strict=True))


def episode_spec(step_spec: types.Step, core: types.NestedSpec = ()) -> Episode:
  """The specs of an episode's leaves at one step, from those of a step and of a recurrent state."""
  return Episode(step_spec.observation, step_spec.action, step_spec.reward, step_spec.discount, step_spec.extras, core)


def names(field: str, nest: Any) -> list[str]:
  """What the arrays of a field are called, by the keys that lead to them: `observation/position`."""
  return ["/".join([field, *map(str, path)]) for path, _ in tree.flatten_with_path(nest)]


def to_arrays(episode: Episode) -> dict[str, np.ndarray]:
  """The arrays of an episode, or of several joined, by name."""
  return {
    name: np.asarray(leaf)
    for field, nest in zip(Episode._fields, episode, strict=True)
    for name, leaf in zip(names(field, nest), tree.flatten(nest), strict=True)
  }


def from_arrays(arrays: Mapping[str, np.ndarray], spec: Episode) -> Episode:
  """Takes an episode, or several joined, out of arrays, as the specs have it.

  Raises:
    ValueError: one is missing, or does not fit its spec.
  """
  return Episode(*(take(arrays, field, getattr(spec, field)) for field in Episode._fields))


def take(arrays: Mapping[str, np.ndarray], field: str, spec: types.NestedSpec) -> types.NestedArray:
  """Takes one field; raises as `from_arrays`."""
  wanted = names(field, spec)
  missing = [name for name in wanted if name not in arrays]
  if missing:
    raise ValueError(f"it lacks {', '.join(missing)}; it has {', '.join(arrays)}.")
  leaves = [fit(name, leaf, arrays[name]) for name, leaf in zip(wanted, tree.flatten(spec), strict=True)]
  return tree.unflatten_as(spec, leaves)


def fit(name: str, spec: specs.Array, array: np.ndarray) -> np.ndarray:
  """An array [T, …] of the spec's dtype. Raises ValueError where it does not fit the spec."""
  if array.ndim == 0 or array.shape[1:] != tuple(spec.shape):
    raise ValueError(f"{name}: expected shape [T, *{tuple(spec.shape)}] as the spec says, got {array.shape}.")
  integers = array.dtype.kind in "biu" and np.dtype(spec.dtype).kind in "iu"
  if not integers and not np.can_cast(array.dtype, spec.dtype, "same_kind"):
    raise ValueError(f"{name}: expected dtype {np.dtype(spec.dtype)} as the spec says, got {array.dtype}.")
  if array.dtype.kind == "f" and not np.isfinite(array).all():
    raise ValueError(f"{name}: expected finite numbers, got a NaN or an infinity.")
  if isinstance(spec, specs.DiscreteArray):
    _check_range(name, array, 0, spec.num_values - 1)
  array = validation.convert(name, array, np.dtype(spec.dtype))
  field = name.partition("/")[0]
  if field == "action" and isinstance(spec, specs.BoundedArray):
    _check_range(name, array, spec.minimum, spec.maximum)
  if field == "discount":
    _check_range(name, array, 0, 1)
  return array


def _check_range(name: str, array: np.ndarray, low: Any, high: Any) -> None:
  if not ((array >= low) & (array <= high)).all():
    raise ValueError(f"{name}: expected numbers from {low} to {high}, got {array.min()} to {array.max()}.")


def check_lengths(episode: Episode) -> None:
  """Raises ValueError where an episode's arrays differ in length, or there is no step."""
  steps = {len(leaf) for leaf in tree.flatten(episode[1:])}
  observations = {len(leaf) for leaf in tree.flatten(episode.observation)}
  if len(steps) != 1 or observations != {max(steps) + 1} or 0 in steps:
    raise ValueError(
      f"expected T + 1 observations and T of all else, T of 1 or more, got {sorted(observations)} and {sorted(steps)}."
    )


def join(episodes: Sequence[Episode]) -> dict[str, np.ndarray]:
  """Several episodes of one structure as arrays by name: one array a leaf, end to end, and their lengths."""
  arrays = [to_arrays(episode) for episode in episodes]
  joined = {name: np.concatenate([each[name] for each in arrays]) for name in arrays[0]}
  return {LENGTH: np.array([num_steps(episode) for episode in episodes], np.int64)} | joined


def cut(joined: Episode, lengths: np.ndarray, spec: Episode) -> Iterator[Episode]:
  """Cuts joined episodes apart; each is a view.

  Raises:
    ValueError: the lengths are not those of the arrays.
  """
  total, count = num_joined(lengths)
  for name, array in to_arrays(joined).items():
    wanted = total + count if name.partition("/")[0] == "observation" else total
    if len(array) != wanted:
      raise ValueError(f"{name}: expected {wanted} rows in {count} episodes of {total} steps, got {len(array)}.")
  return _cut(joined, lengths.tolist(), spec)


def num_joined(lengths: np.ndarray) -> tuple[int, int]:
  """The steps of joined episodes, and how many these are. Raises ValueError where that is not what lengths say."""
  if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or not len(lengths) or lengths.min() < 1:
    raise ValueError(f"{LENGTH}: expected [E] whole numbers of 1 or more, got {validation.brief(lengths)}.")
  return sum(lengths.tolist()), len(lengths)  # Python's numbers do not overflow.


def _cut(joined: Episode, lengths: list[int], spec: Episode) -> Iterator[Episode]:
  first, *others = [(tree.flatten(nest), _rebuild(each)) for nest, each in zip(joined, spec, strict=True)]
  start = 0
  for i, length in enumerate(lengths):
    end = start + length
    observation = first[1]([leaf[start + i : end + i + 1] for leaf in first[0]])
    yield Episode(observation, *[rebuild([leaf[start:end] for leaf in leaves]) for leaves, rebuild in others])
    start = end


def _rebuild(spec: types.NestedSpec) -> Callable[[list[np.ndarray]], types.NestedArray]:
  """What makes a nest of its leaves."""
  if isinstance(spec, specs.Array):
    return lambda leaves: leaves[0]
  if not tree.flatten(spec):
    return lambda leaves: spec
  return lambda leaves: tree.unflatten_as(spec, leaves)
