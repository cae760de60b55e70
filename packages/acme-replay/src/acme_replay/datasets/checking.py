"""What is in a dataset, and whether it is whole."""

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
import tree

from acme import specs, types
from acme_replay.datasets import episodes as episodes_
from acme_replay.datasets import minari, reading
from acme_replay.datasets.episodes import LENGTH, Episode
from acme_replay.datasets.index import INDEX, Index, Part

_COPY = "Put it back from a copy, or leave it out: take it from the list in " + INDEX + "."


class Finding(NamedTuple):
  """Something that a check found."""

  severity: Literal["error", "warning"]
  message: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Summary:
  """What is in a dataset."""

  index: Index
  """What it says of itself."""
  lengths: np.ndarray
  """[E] int64, the steps of each episode."""
  returns: np.ndarray
  """[E] float64, the sum of the rewards of each; where rewards are nested or arrays, of them all."""
  terminated: int
  """Episodes whose last discount is 0; the others were cut off."""


def summarize(path: reading.Path) -> Summary:
  """Reads a dataset once, and says what is in it; raises as `read`."""
  lengths, returns, terminated = [], [], 0
  for episode in reading.read(path):
    lengths.append(episodes_.num_steps(episode))
    returns.append(episodes_.total_return(episode))
    terminated += not any(np.any(leaf[-1]) for leaf in tree.flatten(episode.discount))
  return Summary(
    index=reading.read_index(path),
    lengths=np.array(lengths, np.int64),
    returns=np.array(returns, np.float64),
    terminated=terminated,
  )


def check(path: reading.Path, spec: types.Step | None = None) -> list[Finding]:
  """Looks at every file of a dataset: checksums, lengths, dtypes, shapes, bounds, NaN, discounts.

  Args:
    path: the dataset.
    spec: of a step, for a folder without an index.

  Returns:
    Errors, which break readers, and warnings; each says which file, and what to do. [] where all is well.
  """
  folder = reading.locate(path)
  try:
    index = reading.read_index(path) if spec is None else None
    wanted = _wanted(index, spec)
    if minari.holds(folder):
      return list(_check_episodes(minari.read(folder, wanted), minari.num_rows(folder)[1], folder))
    if index is not None and index.parts == ():
      return [Finding("warning", f"{path} has no episode yet."), *_left_over(folder, set())]
    files = reading.files(folder)
  except (OSError, ValueError) as error:
    return [Finding("error", str(error))]
  found = [finding for file, part in files for finding in _check_file(file, part, wanted)]
  return [*found, *_left_over(folder, {file.name for file, _ in files})]


def _wanted(index: Index | None, spec: types.Step | None) -> Episode:
  if index is not None:
    return episodes_.episode_spec(index.step_spec, index.core)
  assert spec is not None
  return episodes_.episode_spec(spec)


def _check_episodes(episodes: Iterator[Episode], count: int, folder: pathlib.Path) -> Iterator[Finding]:
  """Reads all there is."""
  try:
    read = sum(1 for _ in episodes)
  except ValueError as error:
    yield Finding("error", f"{error}. Put it back from a copy.")
    return
  if read != count:
    yield Finding("error", f"{folder}: expected {count} episodes as its metadata says, got {read}.")


def _check_file(file: pathlib.Path, part: Part | None, spec: Episode) -> Iterator[Finding]:
  try:
    for _ in reading.read_part(file, part, spec):
      pass
  except ValueError as error:
    yield Finding(
      "error", f"{error} {_COPY}" if part is not None else f"{error} Put it back from a copy, or remove it."
    )
    return
  with np.load(file, allow_pickle=False) as arrays:
    yield from _look_closely(file, arrays, spec)


def _look_closely(file: pathlib.Path, arrays: Mapping[str, np.ndarray], spec: Episode) -> Iterator[Finding]:
  """What readers put right or pass over: other dtypes, numbers out of bounds, arrays that the specs do not know."""
  known = {LENGTH}
  for field, nest in zip(Episode._fields, spec, strict=True):
    for name, leaf in zip(episodes_.names(field, nest), tree.flatten(nest), strict=True):
      known.add(name)
      array = arrays[name]
      if array.dtype != leaf.dtype:
        yield Finding("warning", f"{file}: {name} is {array.dtype}, and is read as {leaf.dtype}, as the spec says.")
      if isinstance(leaf, specs.BoundedArray) and not ((array >= leaf.minimum) & (array <= leaf.maximum)).all():
        yield Finding(
          "warning",
          f"{file}: {name} goes from {array.min()} to {array.max()}, beyond its bounds, {leaf.minimum} to "
          f"{leaf.maximum}: agents take it as it is; give the spec wider bounds.",
        )
  if unknown := [name for name in arrays if name not in known]:
    yield Finding("warning", f"{file}: {', '.join(unknown)} is in no spec, and is passed over.")


def _left_over(folder: pathlib.Path, known: set[str]) -> Iterator[Finding]:
  """What a writer that was killed left behind."""
  for file in sorted(folder.iterdir()):
    if file.suffix in (".npz", ".tmp") and file.name not in known:
      yield Finding(
        "warning", f"{file} is not in {INDEX}: a writer that was killed left it. It is passed over, and may be removed."
      )


def histogram(values: Any, bins: int = 10, width: int = 40) -> list[str]:
  """A histogram as lines of text: from, to, how many, and a bar."""
  low, high = np.min(values), np.max(values)
  counts, edges = np.array([len(values)]), np.array([low, high])
  if high - low > 1e-9 * max(-low, high, 1):  # Else no bins fit between them.
    counts, edges = np.histogram(values, bins=bins)
  most = counts.max()
  return [
    f"{low:>12,.2f} to {high:>12,.2f} {count:>8,} {'█' * -(-int(count) * width // int(most))}"
    for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
  ]
