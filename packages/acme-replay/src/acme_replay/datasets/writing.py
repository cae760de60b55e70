"""Writing episodes: whole parts that are appended at one stroke, each with its checksum in the index.

A part is written under another name, flushed to disk and renamed; then the index, which alone says what is there, is
replaced in the same way. Whenever the process dies, the index lists whole parts only.
"""

import contextlib
import dataclasses
import errno
import hashlib
import os
import pathlib
import re
import tempfile
import time
from collections.abc import Iterator, Sequence

import numpy as np
import tree

from acme import checkpointing
from acme_replay.datasets import episodes as episodes_
from acme_replay.datasets import index as index_
from acme_replay.datasets import minari
from acme_replay.datasets.episodes import Episode
from acme_replay.datasets.index import INDEX, Index, Part

Path = str | os.PathLike[str]
PART_BYTES = 2**25  # Of a part, about; it is what a reader holds in memory.
PART_SECONDS = 60.0  # What a crash may lose, where steps come slowly.


def write(path: Path, episode: Episode) -> None:
  """Writes one episode to a new file, for a folder without a list of its parts; `Writer` keeps one.

  Raises:
    FileExistsError: there is one already.
    ValueError: the file is no `*.npz`, an array is of objects, or they differ in length.
  """
  path = pathlib.Path(path)
  if path.suffix != ".npz":
    raise ValueError(f"{path}: expected a name that ends in .npz, which is what is read.")
  arrays = episodes_.to_arrays(episode)
  objects = [name for name, array in arrays.items() if array.dtype.hasobject]
  if objects:
    raise ValueError(f"{path}: expected arrays of numbers, got objects in {', '.join(objects)}.")
  try:
    episodes_.check_lengths(episode)
  except ValueError as error:
    raise ValueError(f"{path}: {error}") from None
  with path.open("xb") as file:
    np.savez(file, **arrays)  # type: ignore[arg-type]


class Writer:
  """Appends whole episodes to a dataset; whatever happens, what was there stays, and no episode is there in part.

  with Writer(path, Index(spec=spec, environment="gym:CartPole-v1")) as writer:
    writer.write(episode)

  Episodes wait in memory for a part of about `part_bytes`, or for `part_seconds`, and are lost where the process dies.
  """

  def __init__(
    self, path: Path, index: Index, *, part_bytes: int = PART_BYTES, part_seconds: float = PART_SECONDS
  ) -> None:
    """Opens a dataset, or makes a new one; nobody else may append to it meanwhile.

    Args:
      path: the folder.
      index: its specs, environment and origin; of one that is there these must be the same, and the origin is added.
      part_bytes: of episodes that make a part.
      part_seconds: after so many a part is written however small it is.

    Raises:
      ValueError: the dataset that is there has other specs, or no list of its parts; the origin is not what JSON holds.
      FileExistsError: something else is there.
      BlockingIOError: another process appends to it.
    """
    self._folder = plain(path)
    index_.encode(index)  # Complains now of what it would complain of when there is something to lose.
    self._new_origin = index.origin
    self._part_bytes, self._part_seconds = part_bytes, part_seconds
    _create(self._folder, dataclasses.replace(index, origin=(), parts=()))
    self._lock = contextlib.ExitStack()
    self._lock.enter_context(_locked(self._folder))
    with contextlib.ExitStack() as on_error:
      on_error.callback(self._lock.close)
      self._index = index_.load(self._folder)
      _check_agrees(self._folder, self._index, index)
      on_error.pop_all()
    self._spec = episodes_.episode_spec(self._index.step_spec, self._index.core)
    self._episodes: list[Episode] = []
    self._bytes = 0
    self._closed = False
    self._last = time.monotonic()

  @property
  def index(self) -> Index:
    """What is on disk."""
    return self._index

  def write(self, episode: Episode) -> None:
    """Takes an episode, which is copied.

    Raises:
      ValueError: it does not fit the specs, or its arrays differ in length.
      OSError: the disk is full; what was there is whole.
      RuntimeError: the writer is closed, and another may append.
    """
    if self._closed:
      raise RuntimeError(f"{self._folder}: this writer is closed: make another one to append more.")
    episode = episodes_.from_arrays({k: np.array(v) for k, v in episodes_.to_arrays(episode).items()}, self._spec)
    episodes_.check_lengths(episode)
    self._episodes.append(episode)
    self._bytes += sum(leaf.nbytes for leaf in tree.flatten(episode))
    if self._bytes >= self._part_bytes or time.monotonic() - self._last > self._part_seconds:
      self.flush()

  def flush(self) -> None:
    """Writes what waits as a part. Raises OSError as `write`."""
    episodes, self._episodes, self._bytes = self._episodes, [], 0
    self._last = time.monotonic()
    if not episodes:
      return
    parts = self._index.parts or ()
    stems = (part.file.removesuffix(".npz") for part in parts)  # Others may have other names.
    number = 1 + max((int(stem) for stem in stems if re.fullmatch("[0-9]+", stem)), default=-1)
    file = self._folder / f"{number:06d}.npz"
    part = Part(
      file=file.name,
      episodes=len(episodes),
      steps=sum(map(episodes_.num_steps, episodes)),
      sha256=_write_part(file, episodes),
    )
    origin = (*self._index.origin, *self._new_origin)
    index = dataclasses.replace(self._index, origin=origin, parts=(*parts, part))
    try:
      index_.write_index(self._folder, index)
    except OSError as error:
      file.unlink(missing_ok=True)
      raise _lost(error, file, len(episodes)) from error
    self._index, self._new_origin = index, ()

  def close(self) -> None:
    """Writes what waits, and lets others append."""
    try:
      self.flush()
    finally:
      self._closed = True
      self._lock.close()

  def __enter__(self) -> "Writer":
    return self

  def __exit__(self, *error: object) -> None:
    self.close()


def plain(path: Path) -> pathlib.Path:
  """A path for a dataset of this format. Raises ValueError where it names one of Minari's."""
  if os.fspath(path).startswith(minari.PREFIX):
    raise ValueError(f"{path}: expected the path of a folder; of a dataset that is written, `convert` makes Minari's.")
  return pathlib.Path(path)


def _write_part(file: pathlib.Path, episodes: Sequence[Episode]) -> str:
  """Writes a part, whole or not at all; returns its checksum."""
  temporary = file.with_name(f".{file.name}.tmp")
  try:
    with index_.open_new(temporary) as opened:
      np.savez(opened, **episodes_.join(episodes))  # type: ignore[arg-type]
      opened.flush()
      os.fsync(opened.fileno())
      opened.seek(0)
      digest = hashlib.file_digest(opened, "sha256").hexdigest()
    temporary.replace(file)
    checkpointing.sync(file.parent)
  except OSError as error:
    temporary.unlink(missing_ok=True)
    raise _lost(error, file, len(episodes)) from error
  return digest


def _lost(error: OSError, file: pathlib.Path, count: int) -> OSError:
  message = f"{file} could not be written: {error.strerror}. {count} episodes are lost; what was there before is whole."
  return OSError(error.errno, message)


def _create(folder: pathlib.Path, index: Index) -> None:
  """Makes an empty dataset at one stroke, where there is none."""
  if (folder / INDEX).exists():
    return
  try:
    with at_one_stroke(folder) as temporary:
      index_.write_index(temporary, index)
  except FileExistsError:
    if not (folder / INDEX).exists():  # Else another writer was faster.
      raise


@contextlib.contextmanager
def at_one_stroke(folder: pathlib.Path) -> Iterator[pathlib.Path]:
  """Gives a folder under another name, which gets its own at the end. Raises FileExistsError where it is taken."""
  if folder.name in ("", ".."):
    raise FileExistsError(f"{folder} is there already, and is no dataset with an index: give the name of a new folder.")
  folder.parent.mkdir(parents=True, exist_ok=True)
  with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent, ignore_cleanup_errors=True) as made:
    temporary = pathlib.Path(made) / folder.name
    temporary.mkdir()
    yield temporary
    try:
      temporary.rename(folder)
    except OSError as error:
      if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
        raise
      what = "" if (folder / INDEX).exists() else ", and is no dataset with an index"
      raise FileExistsError(f"{folder} is there already{what}: give another path, or move it away.") from None
  checkpointing.sync(folder.parent)


@contextlib.contextmanager
def _locked(folder: pathlib.Path) -> Iterator[None]:
  """Holds a folder; the operating system lets go however the process ends."""
  import fcntl  # Not on Windows, where reading should still work.

  descriptor = os.open(folder, os.O_RDONLY)
  try:
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    yield
  except BlockingIOError:
    raise BlockingIOError(
      f"{folder}: another process appends to this dataset: wait for it, or write another."
    ) from None
  finally:
    os.close(descriptor)


def _check_agrees(folder: pathlib.Path, there: Index, new: Index) -> None:
  """Raises ValueError where a dataset cannot take episodes of another."""
  if there.parts is None:
    raise ValueError(
      f"{folder} has an index without a list of its files, and cannot grow: merge it into a new dataset."
    )
  if difference := disagreement(there, new):
    raise ValueError(f"{folder} is of another kind: {difference}. Give another path.")


def disagreement(one: Index, other: Index) -> str | None:
  """In what two datasets differ, in words; None where their episodes may be together."""
  pairs = {name: (getattr(one.spec, name), getattr(other.spec, name)) for name in one.spec._fields}
  pairs |= {name: (getattr(one, name), getattr(other, name)) for name in ("extras", "core")}
  for name, (this, that) in pairs.items():
    if not index_.agree(this, that):
      return f"its {name} are {index_.to_json(this)}, those of the other {index_.to_json(that)}"
  if None not in (one.environment, other.environment) and one.environment != other.environment:
    return f"it was recorded in {one.environment}, the other in {other.environment}"
  return None
