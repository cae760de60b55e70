"""Checkpoints that survive what may happen to a machine.

A checkpoint is a directory `step-000000050000` of two files: `arrays.npz`, every array of a state (never pickled), and
`manifest.json`, the rest of the state, with versions and the checksum of the arrays. It is written under a temporary
name, flushed to disk, then renamed; a torn or corrupt one is passed over with a warning.
"""

import hashlib
import json
import os
import pathlib
import re
import shutil
import warnings
import zipfile
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from acme import types

FORMAT = 1
_NAME = re.compile(r"step-(\d{12})")
_ARRAYS, _MANIFEST = "arrays.npz", "manifest.json"


class CheckpointError(RuntimeError):
  """A checkpoint that cannot be written, is not there, is corrupt, or is of something else."""


class Checkpoint(NamedTuple):
  """A state read back."""

  step: int
  state: types.State
  metadata: dict[str, Any]


class Checkpointer:
  """Keeps the newest checkpoints of a run in a directory."""

  def __init__(self, directory: str | os.PathLike[str], keep: int = 2) -> None:
    """Makes a checkpointer that keeps the newest `keep` checkpoints; what a crash left half-written is removed."""
    if keep < 1:
      raise ValueError(f"Checkpointer keep: expected 1 or more, got {keep}.")
    self._directory = pathlib.Path(directory)
    self._keep = keep
    for torn in self._directory.glob("*.tmp"):
      shutil.rmtree(torn, ignore_errors=True)

  def save(self, step: int, state: types.State, metadata: Mapping[str, Any] | None = None) -> pathlib.Path:
    """Writes a checkpoint, and returns its path.

    Args:
      step: what it is called by; the newest is the one with the largest.
      state: what `Saveable.save` returned.
      metadata: JSON values kept beside it, such as the agent's name and version.

    Raises:
      CheckpointError: it could not be written, as on a full disk; earlier checkpoints stay whole.
    """
    path = self._directory / f"step-{step:012d}"
    temporary = path.with_suffix(".tmp")
    try:
      temporary.mkdir(parents=True, exist_ok=True)
      write(temporary, state, {"step": step, "metadata": dict(metadata or {})})
      if path.exists():
        shutil.rmtree(path)
      temporary.rename(path)
      _sync(self._directory)
    except OSError as error:
      shutil.rmtree(temporary, ignore_errors=True)
      raise CheckpointError(
        f"Could not write the checkpoint {path}: {error}. Earlier checkpoints are whole."
      ) from error
    for _, old in self._checkpoints()[: -self._keep]:
      shutil.rmtree(old, ignore_errors=True)
    return path

  def load(self) -> Checkpoint:
    """Reads the newest checkpoint that is whole, warning of each that is not.

    Raises:
      CheckpointError: there is none.
    """
    for step, path in reversed(self._checkpoints()):
      try:
        state, manifest = read(path)
        return Checkpoint(step, state, manifest["metadata"])
      except CheckpointError as error:
        warnings.warn(f"Passing over a checkpoint: {error}", stacklevel=2)
    raise CheckpointError(f"No whole checkpoint in {self._directory}.")

  def _checkpoints(self) -> list[tuple[int, pathlib.Path]]:
    """The checkpoints by step, the newest last."""
    matches = ((_NAME.fullmatch(path.name), path) for path in self._directory.glob("step-*"))
    return sorted((int(match[1]), path) for match, path in matches if match is not None)


def write(directory: pathlib.Path, state: types.State, header: Mapping[str, Any]) -> None:
  """Writes a state into an existing directory, flushed to disk."""
  arrays: dict[str, np.ndarray] = {}
  structure = _encode(state, arrays, "state")
  with (directory / _ARRAYS).open("wb") as file:
    np.savez(file, allow_pickle=False, **arrays)
    _flush(file)
  manifest = {"format": FORMAT, "sha256": _checksum(directory / _ARRAYS), "structure": structure, **header}
  with (directory / _MANIFEST).open("w") as file:
    json.dump(manifest, file, allow_nan=True)
    _flush(file)
  _sync(directory)


def read(directory: pathlib.Path) -> tuple[types.State, dict[str, Any]]:
  """Reads what `write` wrote: the state and the manifest.

  Raises:
    CheckpointError: a file is missing, torn, altered, or of a newer format; nothing in it is ever executed.
  """
  try:
    manifest = json.loads((directory / _MANIFEST).read_text())
    if manifest["format"] != FORMAT:
      raise CheckpointError(f"{directory} has format {manifest['format']}; this acme-core reads format {FORMAT}.")
    if _checksum(directory / _ARRAYS) != manifest["sha256"]:
      raise CheckpointError(f"{directory / _ARRAYS} does not match its checksum: it is torn or was altered.")
    with np.load(directory / _ARRAYS, allow_pickle=False) as arrays:
      return _decode(manifest["structure"], arrays), manifest
  except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
    raise CheckpointError(f"{directory} is not a whole checkpoint: {error!r}") from error


def _encode(value: Any, arrays: dict[str, np.ndarray], name: str) -> Any:
  """A state as JSON, with its arrays set aside in `arrays` under the names that the JSON refers to."""
  if value is None or isinstance(value, bool | int | float | str):
    return value
  if isinstance(value, Mapping):
    if not all(isinstance(key, str) for key in value):
      raise TypeError(f"Expected strings as the keys of {name} in a saved state, got {list(value)}.")
    return {"dict": {key: _encode(item, arrays, f"{name}.{key}") for key, item in value.items()}}
  if isinstance(value, list | tuple):
    items = [_encode(item, arrays, f"{name}.{i}") for i, item in enumerate(value)]
    return {"tuple" if isinstance(value, tuple) else "list": items}
  array = np.asarray(value)
  if array.dtype == object:
    raise TypeError(f"Expected arrays, numbers, strings and containers in a saved state, got {type(value)} at {name}.")
  arrays[name] = array
  return {"array": name}


def _decode(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
  if not isinstance(value, dict):
    return value
  ((kind, content),) = value.items()
  if kind == "dict":
    return {key: _decode(item, arrays) for key, item in content.items()}
  if kind == "array":
    return arrays[content]
  items = [_decode(item, arrays) for item in content]
  return tuple(items) if kind == "tuple" else items


def _checksum(path: pathlib.Path) -> str:
  with path.open("rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(file: Any) -> None:
  file.flush()
  os.fsync(file.fileno())


def _sync(directory: pathlib.Path) -> None:
  """Flushes a directory's names to disk."""
  descriptor = os.open(directory, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)
