"""Checkpoints that survive what may happen to a machine.

A checkpoint is a directory `step-000000050000` of `arrays.npz`, every array of a state (never pickled),
`manifest.json`, the rest of the state, with versions, and the checksums of both. It is written under a temporary name,
flushed to disk, then renamed; a torn or corrupt one is passed over with a warning.
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
_ARRAYS, _MANIFEST, _CHECKSUMS = "arrays.npz", "manifest.json", "SHA256SUMS"


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
    for old in self._directory.glob("*.old"):  # A crash came between the two renames of `save`, or after them.
      if old.with_suffix("").exists():
        shutil.rmtree(old, ignore_errors=True)
      else:
        old.rename(old.with_suffix(""))

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
        path.rename(path.with_suffix(".old"))
      temporary.rename(path)
      _sync(self._directory)
      shutil.rmtree(path.with_suffix(".old"), ignore_errors=True)
    except OSError as error:
      raise CheckpointError(
        f"Could not write the checkpoint {path}: {error}. Earlier checkpoints are whole."
      ) from error
    finally:
      shutil.rmtree(temporary, ignore_errors=True)
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
  np.savez(directory / _ARRAYS, allow_pickle=False, **arrays)
  (directory / _MANIFEST).write_text(json.dumps({"format": FORMAT, "structure": structure, **header}))
  (directory / _CHECKSUMS).write_text(_checksums(directory))
  for path in (*directory.iterdir(), directory):
    _sync(path)


def read(directory: pathlib.Path) -> tuple[types.State, dict[str, Any]]:
  """Reads what `write` wrote: the state and the manifest.

  Raises:
    CheckpointError: a file is missing, torn, altered, or of a newer format; nothing in it is ever executed.
  """
  try:
    manifest = json.loads((directory / _MANIFEST).read_text())
    if manifest["format"] != FORMAT:
      raise CheckpointError(f"{directory} has format {manifest['format']}; this acme-core reads format {FORMAT}.")
    if _checksums(directory) != (directory / _CHECKSUMS).read_text():
      raise CheckpointError(f"{directory} does not match its checksums: it is torn or was altered.")
    with np.load(directory / _ARRAYS, allow_pickle=False) as arrays:
      return _decode(manifest["structure"], arrays), manifest
  except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
    raise CheckpointError(f"{directory} is not a whole checkpoint: {error!r}") from error


def _encode(value: Any, arrays: dict[str, np.ndarray], name: str) -> Any:
  """A state as JSON, with its arrays set aside in `arrays` under keys that the JSON refers to; `name` is for errors."""
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
  if array.dtype.kind not in "biufcU":
    raise TypeError(
      f"Expected arrays, numbers and strings in a saved state, got {type(value)} {array.dtype} at {name}."
    )
  key = f"array{len(arrays)}"
  arrays[key] = array
  return {"array": key}


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


def _checksums(directory: pathlib.Path) -> str:
  """Those of arrays and manifest, as `sha256sum` prints and checks them."""
  text = ""
  for name in (_ARRAYS, _MANIFEST):
    with (directory / name).open("rb") as file:
      text += f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}\n"
  return text


def _sync(path: pathlib.Path) -> None:
  """Flushes a file, or a directory's names, to disk."""
  descriptor = os.open(path, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)
