"""Recorded episodes on disk, read one after the other.

A dataset is a folder of files `*.npz`, in the order of their names, each an episode of T steps:

  observation  [T + 1, …] o_0 … o_T        action    [T, …] a_0 … a_{T-1}
  reward       [T, …] r_1 … r_T            discount  [T, …] d_1 … d_T, 0 at the end of one that terminated

A nest has an array for each leaf, named `observation/position`, `action/0`, by the keys that lead to it; extras, of
each action, are `extras/…` [T, …]. Nothing in such a file can execute code.
"""

import hashlib
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import dm_env
import numpy as np
import tree

from acme import specs, types, validation

__all__ = ["Episode", "checksum", "num_rows", "play", "read", "write"]


class Episode(NamedTuple):
  """T steps."""

  observation: types.NestedArray  # [T + 1, …]
  action: types.NestedArray  # [T, …]
  reward: types.NestedArray  # [T, …]
  discount: types.NestedArray  # [T, …]
  extras: types.NestedArray = ()  # [T, …]


def write(path: str | pathlib.Path, episode: Episode) -> None:
  """Writes one episode to a new file.

  Raises:
    FileExistsError: there is one already.
    ValueError: the file is no `*.npz`, an array is of objects, or they differ in length.
  """
  path = pathlib.Path(path)
  if path.suffix != ".npz":
    raise ValueError(f"{path}: expected a name that ends in .npz, which is what is read.")
  arrays = {
    name: np.asarray(leaf)
    for field, nest in zip(Episode._fields, episode, strict=True)
    for name, leaf in zip(_names(field, nest), tree.flatten(nest), strict=True)
  }
  objects = [name for name, array in arrays.items() if array.dtype.hasobject]
  if objects:
    raise ValueError(f"{path}: expected arrays of numbers, got objects in {', '.join(objects)}.")
  _check_lengths(path, episode)
  with path.open("xb") as file:
    np.savez(file, **arrays)  # type: ignore[arg-type]


def read(path: str | pathlib.Path, spec: types.Step) -> Iterator[Episode]:
  """Reads the episodes of a dataset, of the dtypes that the step spec has.

  Raises:
    FileNotFoundError: there is no such folder, or no episode in it.
    ValueError: a file is damaged, lacks an array, has one that does not fit the spec or is not finite, or its arrays
      differ in length; an action is out of bounds, or a discount out of [0, 1]. The message names the file.
  """
  for file in _files(path):
    episode = Episode(*_read(file, spec, Episode._fields))
    _check_lengths(file, episode)
    yield episode


def play(episode: Episode) -> Iterator[tuple[types.NestedArray, dm_env.TimeStep, types.NestedArray]]:
  """An episode as an adder takes it: (action, timestep, extras) of each step, the first without an action."""

  def at(nest: types.NestedArray, t: int) -> types.NestedArray:
    return tree.map_structure(lambda leaf: leaf[t], nest)

  length = len(tree.flatten(episode.reward)[0])
  yield None, dm_env.restart(at(episode.observation, 0)), ()
  for t in range(length):
    step_type = dm_env.StepType.LAST if t == length - 1 else dm_env.StepType.MID
    timestep = dm_env.TimeStep(
      step_type, at(episode.reward, t), at(episode.discount, t), at(episode.observation, t + 1)
    )
    yield at(episode.action, t), timestep, at(episode.extras, t)


def num_rows(path: str | pathlib.Path, spec: types.Step) -> tuple[int, int]:
  """How many observations a dataset has, and how many episodes; raises as `read`."""
  lengths = [len(tree.flatten(reward)[0]) + 1 for file in _files(path) for reward in _read(file, spec, ["reward"])]
  return sum(lengths), len(lengths)


def checksum(path: str | pathlib.Path) -> str:
  """A digest of the names and contents of a dataset's files."""
  digest = hashlib.sha256()
  for file in _files(path):
    digest.update(file.name.encode())
    with file.open("rb") as contents:
      digest.update(hashlib.file_digest(contents, "sha256").digest())
  return digest.hexdigest()


def _files(path: str | pathlib.Path) -> list[pathlib.Path]:
  files = sorted(pathlib.Path(path).glob("*.npz"))
  if not files:
    raise FileNotFoundError(f"{path}: expected a folder with episodes in files *.npz, found none.")
  return files


def _names(field: str, nest: Any) -> list[str]:
  return ["/".join([field, *map(str, path)]) for path, _ in tree.flatten_with_path(nest)]


def _read(file: pathlib.Path, spec: types.Step, fields: Sequence[str]) -> list[types.NestedArray]:
  """Reads some fields of an episode, as the spec has them."""
  nests = []
  try:
    with file.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
      for field in fields:
        wanted = getattr(spec, field)
        names = _names(field, wanted)
        missing = [name for name in names if name not in arrays.files]
        if missing:
          raise ValueError(f"it lacks {', '.join(missing)}; it has {', '.join(arrays.files)}.")
        leaves = [_fit(name, leaf, arrays[name]) for name, leaf in zip(names, tree.flatten(wanted), strict=True)]
        nests.append(tree.unflatten_as(wanted, leaves))
  except Exception as error:  # Whatever a damaged file makes zipfile and NumPy raise.
    raise ValueError(f"{file} is no episode that fits: {error}") from error
  return nests


def _fit(name: str, spec: specs.Array, array: np.ndarray) -> np.ndarray:
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


def _check_lengths(file: pathlib.Path, episode: Episode) -> None:
  steps = {len(leaf) for leaf in tree.flatten(episode[1:])}
  observations = {len(leaf) for leaf in tree.flatten(episode.observation)}
  if len(steps) != 1 or observations != {max(steps) + 1} or 0 in steps:
    raise ValueError(
      f"{file}: expected T + 1 observations and T of all else, T of 1 or more, got {sorted(observations)} and "
      f"{sorted(steps)}."
    )
