"""Datasets from datasets: several made one, and to and from Minari's format."""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Iterator, Sequence

from acme_replay.datasets import episodes as episodes_
from acme_replay.datasets import minari, reading, writing
from acme_replay.datasets.episodes import Episode
from acme_replay.datasets.index import Index

Path = reading.Path


def merge(paths: Sequence[Path], out: Path) -> Index:
  """Makes a new dataset of all episodes of several, in that order, or fuller parts of one.

  Raises:
    ValueError: their specs or environments differ, an episode comes twice, or a file is damaged; the message names it.
    FileExistsError: something is at `out`.
  """
  indices = [reading.read_index(path) for path in paths]
  first = indices[0]
  for path, index in zip(paths, indices, strict=True):
    if difference := writing.disagreement(first, index):
      raise ValueError(f"{paths[0]} and {path} are of two kinds: {difference}. Nothing was written.")
  origin = tuple(entry for index in indices for entry in index.origin)
  named = next((index.environment for index in indices if index.environment is not None), None)
  index = dataclasses.replace(first, origin=origin, environment=named)
  return _write_new(out, index, _unlike(paths, index))


def convert(path: Path, out: Path, to_minari: bool | None = None) -> Index:
  """Writes a dataset anew in the other format, or in that which is asked for.

  Args:
    path: of either format.
    out: a path, or `minari:NAME` in Minari's data directory.
    to_minari: whether it is to be Minari's; None for the one that it is not.

  Returns:
    The index of what was written.

  Raises:
    ValueError: what is there cannot be said in the other format, or is damaged.
    FileExistsError: something is at `out`.
  """
  index = reading.read_index(path)
  text = os.fspath(out)
  if to_minari is None:
    to_minari = text.startswith(minari.PREFIX) or not minari.holds(reading.locate(path))
  if not to_minari:
    return _write_new(out, index, reading.read(path))
  minari.check_installed(text)
  name = text.removeprefix(minari.PREFIX)
  folder = minari.folder(name) if text != name else pathlib.Path(text)
  with writing.at_one_stroke(folder) as temporary:
    (temporary / minari.DATA).mkdir()
    minari.write(temporary / minari.DATA, index, reading.read(path), name if text != name else folder.name)
  return reading.read_index(folder)


def _write_new(out: Path, index: Index, episodes: Iterator[Episode]) -> Index:
  with writing.at_one_stroke(writing.plain(out)) as temporary:
    temporary.rmdir()  # The writer makes it.
    with writing.Writer(temporary, index, part_seconds=float("inf")) as writer:
      for episode in episodes:
        writer.write(episode)
    return writer.index


def _unlike(paths: Sequence[Path], index: Index) -> Iterator[Episode]:
  """The episodes of all. Raises ValueError at the first that came before."""
  seen: dict[bytes, str] = {}
  for path in paths:
    for i, episode in enumerate(reading.read(path, index.step_spec, index.core)):
      digest = hashlib.sha256()
      for name, array in episodes_.to_arrays(episode).items():
        digest.update(name.encode())
        digest.update(array.tobytes())
      where, key = f"episode {i} of {path}", digest.digest()
      if key in seen:
        raise ValueError(f"{where} is {seen[key]}, too: leave one of them out. Nothing was written.")
      seen[key] = where
      yield episode
