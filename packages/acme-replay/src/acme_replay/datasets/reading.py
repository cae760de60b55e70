"""Reading a dataset, of this format or Minari's, one file in memory at a time."""

import hashlib
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tree

from acme import specs, types
from acme_replay.datasets import episodes as episodes_
from acme_replay.datasets import index as index_
from acme_replay.datasets import minari
from acme_replay.datasets.episodes import LENGTH, Episode
from acme_replay.datasets.index import INDEX, Index, Part, agree
from acme_replay.embedded import free_memory

Path = str | os.PathLike[str]


def locate(path: Path) -> pathlib.Path:
  """The folder of a dataset: that of a path, or of `minari:NAME` in Minari's data directory."""
  text = os.fspath(path)
  folder = minari.folder(text.removeprefix(minari.PREFIX)) if text.startswith(minari.PREFIX) else pathlib.Path(text)
  return folder / minari.DATA if minari.holds(folder / minari.DATA) else folder


def environment_spec(path: Path) -> specs.EnvironmentSpec:
  """The specs of the environment that a dataset was recorded in.

  Raises:
    FileNotFoundError: the folder has no index.
    ValueError: the index is damaged, of a newer format, or says what no spec can.
  """
  return read_index(path).spec


def read_index(path: Path) -> Index:
  """Reads a dataset's index; raises as `environment_spec`."""
  folder = locate(path)
  return minari.read_index(folder) if minari.holds(folder) else index_.load(folder)


def read(path: Path, spec: types.Step | None = None, core: types.NestedSpec = ()) -> Iterator[Episode]:
  """Reads the episodes of a dataset, one part in memory at a time.

  Args:
    path: the folder.
    spec: of a step, whose dtypes they get; None for what the index says, extras and recurrent states included.
    core: the spec of the recurrent states that are read, too; () for none.

  Raises:
    FileNotFoundError: there is no such folder, no episode in it, or, without a spec, no index.
    ValueError: a file is damaged, lacks an array, has one that does not fit the spec or is not finite, or its arrays
      differ in length; an action is out of bounds, or a discount out of [0, 1]. The message names the file.
  """
  if spec is None:
    index = read_index(path)
    spec, core = index.step_spec, index.core
  wanted, folder = episodes_.episode_spec(spec, core), locate(path)
  if minari.holds(folder):
    yield from minari.read(folder, wanted)
    return
  for file, part in files(folder):
    yield from read_part(file, part, wanted)


def read_part(file: pathlib.Path, part: Part | None, spec: Episode) -> Iterator[Episode]:
  """Reads the episodes of one file; raises ValueError as `read`."""
  try:
    with index_.open_plain(file) as opened:
      _check_sum(opened, part)
      with np.load(opened, allow_pickle=False) as arrays:
        _check_memory(arrays)
        joined = episodes_.from_arrays(arrays, spec)
        if LENGTH not in arrays:
          episodes_.check_lengths(joined)
        lengths = arrays[LENGTH] if LENGTH in arrays else np.array([episodes_.num_steps(joined)])
    found = episodes_.cut(joined, lengths, spec)
    if part is not None and (counted := episodes_.num_joined(lengths)) != (part.steps, part.episodes):
      raise ValueError(f"expected {part.episodes} episodes of {part.steps} steps, got {counted[1]} of {counted[0]}.")
  except Exception as error:  # Whatever a damaged file makes zipfile and NumPy raise.
    raise ValueError(f"{file} is no episode that fits: {error}") from error
  yield from found


def _check_sum(opened: Any, part: Part | None) -> None:
  """Raises ValueError where an open file is not what its part says."""
  if part is None:
    return
  found = hashlib.file_digest(opened, "sha256").hexdigest()
  if found != part.sha256:
    raise ValueError(
      f"its SHA-256 is {found[:12]}…, and {INDEX} says {part.sha256[:12]}…: it is damaged. Put it back from a copy."
    )
  opened.seek(0)


def _check_memory(archive: Any) -> None:
  """Raises ValueError where an archive unpacks to more than there is room for."""
  needed, available = sum(entry.file_size for entry in archive.zip.infolist()), free_memory()
  if needed > available:
    raise ValueError(f"it unpacks to {needed / 2**30:,.2f} GiB, and {available / 2**30:,.2f} GiB are available.")


def num_rows(path: Path, spec: types.Step) -> tuple[int, int]:
  """How many observations a dataset has, and how many episodes; raises as `read`."""
  folder = locate(path)
  if minari.holds(folder):
    return minari.num_rows(folder)
  rows = count = 0
  for file, part in files(folder):
    steps, episodes = (part.steps, part.episodes) if part is not None else _count(file, spec)
    rows, count = rows + steps + episodes, count + episodes
  return rows, count


def _count(file: pathlib.Path, spec: types.Step) -> tuple[int, int]:
  """The steps and episodes of a file that no list has. Raises ValueError where they are not as many as its rewards."""
  try:
    with index_.open_plain(file) as opened, np.load(opened, allow_pickle=False) as arrays:
      _check_memory(arrays)
      first = tree.flatten(episodes_.take(arrays, "reward", spec.reward))[0]
      steps, episodes = episodes_.num_joined(arrays[LENGTH]) if LENGTH in arrays else (len(first), 1)
      if steps != len(first):
        raise ValueError(f"{LENGTH}: expected lengths that add up to its {len(first)} rewards, got {steps}.")
    return steps, episodes
  except Exception as error:  # As in `read_part`.
    raise ValueError(f"{file} is no episode that fits: {error}") from error


def has_core(path: Path, spec: types.NestedSpec) -> bool:
  """Whether recurrent states like this were recorded in a dataset."""
  try:
    found = read_index(path).core
  except FileNotFoundError:
    return False
  return bool(tree.flatten(spec)) and agree(found, spec)


def checksum(path: Path) -> str:
  """A digest of the names and contents of a dataset's files; of parts as the index says, to which `read` holds them."""
  folder, digest = locate(path), hashlib.sha256()
  for file, part in [(folder / minari.FILE, None)] if minari.holds(folder) else files(folder):
    digest.update(file.name.encode())
    if part is not None:
      digest.update(bytes.fromhex(part.sha256))
    else:
      with index_.open_plain(file) as contents:
        digest.update(hashlib.file_digest(contents, "sha256").digest())
  return digest.hexdigest()


def files(folder: pathlib.Path) -> list[tuple[pathlib.Path, Part | None]]:
  """The files of a dataset of this format in order, and what the index says of each, if anything."""
  parts = index_.load(folder).parts if (folder / INDEX).exists() else None
  found: list[tuple[pathlib.Path, Part | None]]
  if parts is not None:
    found = [(folder / part.file, part) for part in parts]
  else:
    found = [(file, None) for file in sorted(folder.glob("*.npz"))]
  if not found:
    raise FileNotFoundError(f"{folder}: expected a folder with episodes in files *.npz, found none.")
  return found
