"""What a dataset says of itself: `dataset.json`, with the environment's specs, exactly, and where it came from.

A nest is an object with one key: {"dict": {…}}, {"list": […]}, {"tuple": […]} or {"namedtuple": NAME, "fields": {…}};
a leaf has its kind, shape, dtype, name, and its bounds or number of values. An infinite bound is "inf" or "-inf".
"""

import collections
import dataclasses
import functools
import io
import json
import math
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import tree

from acme import builders, checkpointing, specs, types

INDEX = "dataset.json"
_FORMAT, _VERSION = "acme-dataset", 1
_LARGEST = 2**27  # Numbers in an observation: a damaged shape should not take all memory.
_CHECKSUM = re.compile("[0-9a-f]{64}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
  """One file of a dataset."""

  file: str
  """Its name in the folder."""
  episodes: int
  """Episodes in it."""
  steps: int
  """Environment steps of all of them."""
  sha256: str
  """Of its bytes, in hexadecimal."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Index:
  """What a dataset says of itself."""

  spec: specs.EnvironmentSpec
  """Of the environment that it was recorded in."""
  extras: types.NestedSpec = ()
  """Of what the policy noted at each action, such as its probability; () for nothing."""
  core: types.NestedSpec = ()
  """Of the policy's recurrent state before each action; () where there is none, or it was not recorded."""
  environment: str | None = None
  """The environment's name, such as gym:CartPole-v1; None where nobody said."""
  origin: tuple[Mapping[str, Any], ...] = ()
  """Where the episodes came from, an entry for each recording: its run, policy, seed, whatever JSON holds."""
  parts: tuple[Part, ...] | None = None
  """The files, in order; None for every `*.npz` in the folder, in the order of their names."""

  def __post_init__(self) -> None:
    if not isinstance(self.environment, str | None) or not all(isinstance(entry, Mapping) for entry in self.origin):
      raise ValueError(
        f"expected the environment's name and a tuple of origins, got {self.environment!r} and {self.origin!r}"
      )

  @property
  def step_spec(self) -> types.Step:
    """The spec of one step as a replay takes it."""
    return builders.step_spec(self.spec, self.extras)


def load(folder: pathlib.Path) -> Index:
  """Reads the index of a folder; raises as `environment_spec`."""
  file = folder / INDEX
  try:
    with open_plain(file) as opened:
      content = json.loads(opened.read())
  except (FileNotFoundError, NotADirectoryError):
    if not folder.exists():
      raise FileNotFoundError(f"{folder}: expected a dataset, and nothing is there: see to its path.") from None
    raise FileNotFoundError(
      f"{folder}: expected a dataset with an index, found no {INDEX} in it. Where the specs of the episodes are known, "
      "acme_replay.datasets.write_index makes one."
    ) from None
  except (ValueError, RecursionError) as error:
    raise ValueError(f"{file} cannot be read: {error}. Put it back from a copy.") from error
  if not isinstance(content, dict) or content.get("format") != _FORMAT:
    raise ValueError(f'{file} cannot be read: expected "format": "{_FORMAT}". Put it back from a copy.')
  if content.get("version") != _VERSION:
    raise ValueError(f"{file} has version {content.get('version')!r}; this acme-replay reads version {_VERSION}.")
  try:
    return _index(content)
  except Exception as error:  # Whatever a damaged file makes of it.
    raise ValueError(f"{file} cannot be read: {type(error).__name__}: {error}. Put it back from a copy.") from error


def write_index(path: str | os.PathLike[str], index: Index) -> None:
  """Writes the index of a folder, in the place of one that is there, at one stroke.

  Raises:
    ValueError: a spec is no dm_env spec of numbers, or a nest of something else than dicts, lists and tuples; or the
      origin is not what JSON holds.
  """
  replace_file(pathlib.Path(path) / INDEX, encode(index))


def encode(index: Index) -> bytes:
  """The content of an index's file; raises as `write_index`."""
  content = {
    "format": _FORMAT,
    "version": _VERSION,
    "environment": index.environment,
    "origin": [dict(entry) for entry in index.origin],
    **{name: to_json(nest) for name, nest in index.spec._asdict().items()},
    "extras": to_json(index.extras),
    "core": to_json(index.core),
    "parts": None if index.parts is None else [dataclasses.asdict(part) for part in index.parts],
  }
  try:
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()
  except (TypeError, ValueError, RecursionError) as error:
    raise ValueError(f"origin: expected entries of what JSON holds, got {index.origin}: {error}.") from error


def open_plain(file: pathlib.Path) -> io.BufferedReader:
  """Opens a file to read. Raises ValueError where it is a folder, a pipe or a device, which may have no end."""
  if file.exists() and not file.is_file():
    raise ValueError("expected a plain file, got something else of this name")
  return file.open("rb")


def replace_file(file: pathlib.Path, content: bytes) -> None:
  """Writes a file under another name, flushes it to disk, and renames it: it is the old one or the new one, whole."""
  temporary = file.with_name(f".{file.name}.tmp")
  try:
    with open_new(temporary) as opened:
      opened.write(content)
      opened.flush()
      os.fsync(opened.fileno())
    temporary.replace(file)
  except OSError:
    temporary.unlink(missing_ok=True)
    raise
  checkpointing.sync(file.parent)


def open_new(file: pathlib.Path) -> io.BufferedRandom:
  """Opens a file to write and read, in the place of one that is there: what a link leads to is not written."""
  file.unlink(missing_ok=True)
  return file.open("xb+")


def agree(one: types.NestedSpec, other: types.NestedSpec) -> bool:
  """Whether two specs are the same but for the names of their leaves."""
  return bool(to_json(_nameless(one)) == to_json(_nameless(other)))


def _nameless(spec: types.NestedSpec) -> types.NestedSpec:
  return tree.map_structure(lambda leaf: leaf.replace(name=None), spec)


def to_json(spec: types.NestedSpec) -> Any:
  """A spec, or a nest of them, as JSON has it. Raises ValueError where it cannot be."""
  if isinstance(spec, dict):
    if not all(isinstance(key, str) for key in spec):
      raise ValueError(f"Expected nests of specs with strings as keys, got {list(spec)}.")
    return {"dict": {key: to_json(spec[key]) for key in spec}}
  if isinstance(spec, tuple) and hasattr(spec, "_fields"):
    fields = zip(spec._fields, spec, strict=True)
    return {"namedtuple": type(spec).__name__, "fields": {name: to_json(child) for name, child in fields}}
  if isinstance(spec, list | tuple):
    return {type(spec).__name__: [to_json(child) for child in spec]}
  if not isinstance(spec, specs.Array) or np.dtype(spec.dtype).kind not in "biuf":
    raise ValueError(f"Expected dm_env specs of numbers in dicts, lists and tuples, got {spec!r}.")
  leaf: dict[str, Any] = {"shape": list(spec.shape), "dtype": np.dtype(spec.dtype).name, "name": spec.name}
  if isinstance(spec, specs.DiscreteArray):
    return {"discrete": leaf | {"num_values": int(spec.num_values)}}
  if isinstance(spec, specs.BoundedArray):
    return {"bounded": leaf | {name: _bound(getattr(spec, name)) for name in ("minimum", "maximum")}}
  return {"array": leaf}


def from_json(content: Any) -> types.NestedSpec:
  """The spec that `to_json` gave. Raises ValueError, TypeError or KeyError where it is none."""
  (kind, value), *others = content.items()
  if kind == "dict":
    return {key: from_json(child) for key, child in value.items()}
  if kind in ("list", "tuple"):
    children = [from_json(child) for child in value]
    return children if kind == "list" else tuple(children)
  if kind == "namedtuple":
    fields = dict(others)["fields"]
    return _named_tuple(value, tuple(fields))(*map(from_json, fields.values()))
  name, shape, dtype = value["name"], tuple(value["shape"]), np.dtype(value["dtype"])
  if dtype.kind not in "biuf":
    raise ValueError(f"expected the dtype of numbers, got {dtype}")
  check_shape(shape)
  if kind == "discrete":
    return specs.DiscreteArray(value["num_values"], dtype, name)
  if kind == "bounded":
    low, high = (_from_bound(value[bound], dtype) for bound in ("minimum", "maximum"))
    return specs.BoundedArray(shape, dtype, low, high, name)
  if kind == "array":
    return specs.Array(shape, dtype, name)
  raise ValueError(f"expected a spec or a nest of specs, got {kind!r}")


def check_shape(shape: tuple[int, ...]) -> None:
  """Raises ValueError where it is that of no array, or of one that no observation is as large as."""
  if math.prod(shape) > _LARGEST or min(shape, default=0) < 0:
    raise ValueError(f"expected a shape of at most {_LARGEST} numbers, got {shape}")


def _bound(bound: np.ndarray) -> Any:
  """A bound: a number, or [shape, number] where one number fills an array, else the numbers in lists."""
  if bound.ndim and (bound == bound.flat[0] if bound.size else np.True_).all():
    return {"shape": list(bound.shape), "fill": _numbers(bound.flat[0].item() if bound.size else 0)}
  return _numbers(bound.tolist())


def _numbers(value: Any) -> Any:
  """Numbers in lists; infinity, which JSON does not know, as a string."""
  if isinstance(value, list):
    return [_numbers(child) for child in value]
  return str(value) if isinstance(value, float) and not np.isfinite(value) else value


def _from_bound(value: Any, dtype: np.dtype[Any]) -> np.ndarray:
  if isinstance(value, dict):
    return np.broadcast_to(_from_bound(value["fill"], dtype), tuple(value["shape"]))
  return np.array(value, dtype)


@functools.cache
def _named_tuple(name: str, fields: tuple[str, ...]) -> Any:
  """A class like the one that was recorded, which need not be installed."""
  return collections.namedtuple(name, fields)  # noqa: PYI024 - the fields are known no earlier.


def _index(content: dict[str, Any]) -> Index:
  parts = content["parts"]
  listed = None if parts is None else tuple(map(_part, parts))
  if listed is not None and len({part.file for part in listed}) < len(listed):
    raise ValueError("expected each file once in the list of parts")
  return Index(
    spec=specs.EnvironmentSpec(*(from_json(content[name]) for name in specs.EnvironmentSpec._fields)),
    extras=from_json(content["extras"]),
    core=from_json(content["core"]),
    environment=content["environment"],
    origin=tuple(content["origin"]),
    parts=listed,
  )


def _part(content: dict[str, Any]) -> Part:
  part = Part(**content)
  named = isinstance(part.file, str) and part.file.isprintable() and part.file.endswith(".npz")
  if not named or pathlib.PurePath(part.file).name != part.file:
    raise ValueError(f"expected the name of a file *.npz in the folder, got {part.file!r}")
  counted = all(type(number) is int for number in (part.episodes, part.steps))
  if not counted or not 1 <= part.episodes <= part.steps < 2**63:
    raise ValueError(f"expected numbers of episodes, 1 or more, and of their steps, no fewer, got {part}")
  if not isinstance(part.sha256, str) or not _CHECKSUM.fullmatch(part.sha256):
    raise ValueError(f"expected a SHA-256 of 64 hexadecimal digits, got {part}")
  return part
