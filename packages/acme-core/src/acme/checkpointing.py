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
_KINDS = "biufcU"  # Of the arrays in a state.
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
    self._whole: dict[pathlib.Path, bool] = {}  # Those looked into so far.
    for torn in self._directory.glob("step-*.tmp"):
      shutil.rmtree(torn, ignore_errors=True)
    for old in self._directory.glob("step-*.old"):  # A crash came between the two renames of `save`, or after them.
      if old.with_suffix("").exists():
        shutil.rmtree(old, ignore_errors=True)
      else:
        old.rename(old.with_suffix(""))

  def save(self, step: int, state: types.State, metadata: Mapping[str, Any] | None = None) -> pathlib.Path:
    """Writes a checkpoint, and returns its path.

    Beside it stay the newest others that are whole, `keep` in all; everything else goes, the torn ones too.

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
      self._directory.mkdir(parents=True, exist_ok=True)
      if temporary.is_symlink():
        temporary.unlink()  # Else the files would be written wherever it leads.
      shutil.rmtree(temporary, ignore_errors=True)
      temporary.mkdir()
      write(temporary, state, {"step": step, "metadata": dict(metadata or {})})
      if path.exists():
        path.rename(path.with_suffix(".old"))
      temporary.rename(path)
      sync(self._directory)
      shutil.rmtree(path.with_suffix(".old"), ignore_errors=True)
    except OSError as error:
      raise CheckpointError(
        f"Could not write the checkpoint {path}: {error}. Earlier checkpoints are whole."
      ) from error
    finally:
      shutil.rmtree(temporary, ignore_errors=True)
    self._whole[path] = True
    self._prune(path)
    return path

  def load(self) -> Checkpoint:
    """Reads the newest checkpoint that is whole, warning of each that is not.

    Raises:
      CheckpointError: there is none, or the directory or the newest one may not be read.
    """
    checkpoint = load(self._directory)
    for step, path in find(self._directory):
      if step >= checkpoint.step:
        self._whole[path] = step == checkpoint.step
    return checkpoint

  def _prune(self, written: pathlib.Path) -> None:
    """Removes what need not be kept beside the checkpoint just written, whatever the steps of the others are."""
    left = self._keep - 1
    for _, path in reversed(find(self._directory)):
      if path == written:
        continue
      if left > 0 and self._is_whole(path):
        left -= 1
      else:
        shutil.rmtree(path, ignore_errors=True)

  def _is_whole(self, path: pathlib.Path) -> bool:
    """Whether a checkpoint matches its checksums; each is read once."""
    if path not in self._whole:
      try:
        self._whole[path] = _checksums(path) == (path / _CHECKSUMS).read_text()
      except (OSError, ValueError):
        self._whole[path] = False
    return self._whole[path]


def find(directory: pathlib.Path) -> list[tuple[int, pathlib.Path]]:
  """The checkpoints in a directory by step, the newest last, without a look inside; none where there is no directory.

  Raises:
    CheckpointError: it cannot be told whether there are any.
  """
  try:
    names = os.listdir(directory)
  except OSError as error:
    if isinstance(error, FileNotFoundError) and not directory.is_symlink():
      return []
    raise CheckpointError(
      f"The checkpoints in {directory} cannot be seen: {error.strerror}. Mount the disk, mend the link or the "
      "permissions, then try again; nothing was changed."
    ) from error
  matches = (_NAME.fullmatch(name) for name in names)
  return sorted((int(match[1]), directory / match[0]) for match in matches if match is not None)


def load(directory: pathlib.Path) -> Checkpoint:
  """Reads the newest checkpoint in a directory that is whole, warning of each that is not; changes nothing.

  Raises:
    CheckpointError: there is none, or the directory or the newest one may not be read.
  """
  for step, path in reversed(find(directory)):
    try:
      state, manifest = read(path)
      if manifest.get("step") != step or not isinstance(manifest.get("metadata"), dict):
        raise CheckpointError(f"{path} is not a whole checkpoint: its manifest lacks the step {step} or the metadata.")
      return Checkpoint(step, state, manifest["metadata"])
    except CheckpointError as error:
      if isinstance(error.__cause__, PermissionError):
        raise  # It may be whole.
      warnings.warn(f"Passing over a checkpoint: {error}", stacklevel=2)
  raise CheckpointError(f"No whole checkpoint in {directory}.")


def write(directory: pathlib.Path, state: types.State, header: Mapping[str, Any]) -> None:
  """Writes a state into an existing directory, flushed to disk."""
  arrays: dict[str, np.ndarray] = {}
  structure = _encode(state, arrays, "state")
  # As np.savez does, which in NumPy 1 leaves a failed archive open.
  with zipfile.ZipFile(directory / _ARRAYS, "x") as archive:
    for name, array in arrays.items():
      with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        np.lib.format.write_array(file, array, allow_pickle=False)
  (directory / _MANIFEST).write_text(json.dumps({"format": FORMAT, "structure": structure, **header}))
  (directory / _CHECKSUMS).write_text(_checksums(directory))
  for path in (*directory.iterdir(), directory):
    sync(path)


def read(directory: pathlib.Path) -> tuple[types.State, dict[str, Any]]:
  """Reads what `write` wrote: the state and the manifest.

  Raises:
    CheckpointError: a file is missing, torn, altered, or of a newer format; nothing in it is ever executed, and no more
      memory is taken than its files are long.
  """
  try:
    for name in (_ARRAYS, _MANIFEST, _CHECKSUMS):
      if (directory / name).is_symlink() or not (directory / name).is_file():
        raise CheckpointError(f"{directory} is not a whole checkpoint: {name} is no plain file.")
    manifest = json.loads((directory / _MANIFEST).read_text())
    if manifest["format"] != FORMAT:
      raise CheckpointError(f"{directory} has format {manifest['format']}; this acme-core reads format {FORMAT}.")
    if _checksums(directory) != (directory / _CHECKSUMS).read_text():
      raise CheckpointError(f"{directory} does not match its checksums: it is torn or was altered.")
    return _decode(manifest["structure"], _read_arrays(directory / _ARRAYS)), manifest
  except CheckpointError:
    raise
  except Exception as error:  # Whatever a damaged or hostile file makes JSON, zipfile and NumPy raise.
    raise CheckpointError(f"{directory} is not a whole checkpoint: {error!r}") from error


def _read_arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
  """The arrays of an archive that, as `write` writes it, is no longer unpacked than packed."""
  with zipfile.ZipFile(path) as archive:
    entries = archive.infolist()
    packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
    if packed or sum(entry.file_size for entry in entries) > path.stat().st_size:
      raise CheckpointError(f"{path} unpacks to more than it holds: no checkpoint is written so, and it is refused.")
  with np.load(path, allow_pickle=False) as archive:
    arrays = {name: archive[name] for name in archive.files}
  for name, array in arrays.items():
    if not isinstance(array, np.ndarray) or array.dtype.kind not in _KINDS:
      raise CheckpointError(f"{path}: expected arrays of numbers or text, got {type(array).__name__} at {name}.")
  return arrays


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
  if array.dtype.kind not in _KINDS:
    raise TypeError(
      f"Expected arrays, numbers and strings in a saved state, got {type(value)} {array.dtype} at {name}."
    )
  key = f"array{len(arrays)}"
  arrays[key] = array
  return {"array": key}


def _decode(value: Any, arrays: dict[str, np.ndarray]) -> Any:
  """The state that `_encode` gave; an array is taken out of `arrays`, since it is referred to once."""
  if not isinstance(value, dict):
    return value
  ((kind, content),) = value.items()
  if kind == "dict":
    return {key: _decode(item, arrays) for key, item in content.items()}
  if kind == "array":
    return arrays.pop(content)
  return {"tuple": tuple, "list": list}[kind](_decode(item, arrays) for item in content)


def _checksums(directory: pathlib.Path) -> str:
  """Those of arrays and manifest, as `sha256sum` prints and checks them."""
  text = ""
  for name in (_ARRAYS, _MANIFEST):
    with (directory / name).open("rb") as file:
      text += f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}\n"
  return text


def sync(path: pathlib.Path) -> None:
  """Flushes a file, or a directory's names, to disk."""
  descriptor = os.open(path, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)
