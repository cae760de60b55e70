"""Minari's format: `main_data.hdf5` with a group an episode, and `metadata.json` with the spaces.

Read and written with h5py alone. Observations are [T + 1, …], all else [T, …]; a termination is a discount of 0, and a
truncation one of 1. What of `infos` and options there is, is passed over; so are rewards' and actions' other names.

A dataset of Gymnasium's spaces has the specs that `gym:NAME` has: floats and integers of 32 bits, discrete numbers from
0. What is written has a space for each spec, in its own dtype.
"""

import contextlib
import io
import json
import os
import pathlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import tree

from acme import specs, types
from acme_replay.datasets import episodes as episodes_
from acme_replay.datasets.episodes import Episode
from acme_replay.datasets.index import Index, check_shape, open_plain
from acme_replay.embedded import free_memory

PREFIX = "minari:"
DATA = "data"  # The folder within that of a dataset in which its files lie.
FILE, _METADATA = "main_data.hdf5", "metadata.json"
_OURS = "acme"  # What of the metadata Minari passes over: the origin of the episodes, and names such as dm_control's.
_VERSION = "0.5.4"  # Whose format this is.
_NAME = re.compile(r"([-\w]{2,}/)*[-\w]{2,}-v\d+")
_SINGLE = {np.dtype(np.float64): np.dtype(np.float32), np.dtype(np.int64): np.dtype(np.int32)}


def folder(name: str) -> pathlib.Path:
  """Where Minari keeps the dataset `name`. Raises ValueError where that is no name of one."""
  if not _NAME.fullmatch(name):
    raise ValueError(f"{PREFIX}{name}: expected the name of a Minari dataset, such as {PREFIX}cartpole/expert-v0.")
  root = os.environ.get("MINARI_DATASETS_PATH")
  return (pathlib.Path(root) if root is not None else pathlib.Path.home() / ".minari" / "datasets") / name


def holds(path: pathlib.Path) -> bool:
  """Whether a folder holds the files of a Minari dataset."""
  return (path / _METADATA).is_file() and not (path / "dataset.json").exists()


def read_index(path: pathlib.Path) -> Index:
  """What the metadata says, as an index. Raises ValueError where it is damaged, or a space has no spec."""
  metadata = _metadata(path)
  with _named(path / _METADATA):
    name = json.loads(metadata.get("env_spec", "null"))
    ours = metadata.get(_OURS, {})
    origin = {"minari": metadata.get("dataset_id"), "policy": metadata.get("algorithm_name")}
    return Index(
      spec=specs.EnvironmentSpec(
        observations=_spec(_space(metadata, "observation"), "observation"),
        actions=_spec(_space(metadata, "action"), "action"),
        rewards=specs.Array((), np.float32, "reward"),
        discounts=specs.BoundedArray((), np.float32, 0, 1, "discount"),
      ),
      environment=ours.get("environment") if name is None else f"gym:{name['id']}",
      origin=(*ours.get("origin", ()), {key: value for key, value in origin.items() if value is not None}),
    )


def num_rows(path: pathlib.Path) -> tuple[int, int]:
  """How many observations there are, and how many episodes."""
  metadata = _metadata(path)
  with _named(path / _METADATA):
    return metadata["total_steps"] + metadata["total_episodes"], metadata["total_episodes"]


def read(path: pathlib.Path, spec: Episode) -> Iterator[Episode]:
  """Reads the episodes, as the specs have them. Raises ValueError that names the file and the episode."""
  metadata = _metadata(path)
  with _named(path / _METADATA):
    spaces = {name: _space(metadata, name) for name in ("observation", "action")}
    if metadata.get("data_format", "hdf5") != "hdf5":
      raise ValueError(f"expected data in hdf5, got {metadata['data_format']!r}: convert it with the package minari.")
    discount = tree.flatten(spec.discount)[0]
  jpeg = metadata.get("jpeg_encoding", True)
  count, steps = metadata["total_episodes"], 0
  with _opened(path / FILE, "r") as file:
    for i in range(count):
      with _named(path / FILE, f"episode_{i}"):
        episode = episodes_.from_arrays(_arrays(_get(file, f"episode_{i}"), spaces, jpeg, discount.dtype), spec)
        episodes_.check_lengths(episode)
        steps += episodes_.num_steps(episode)
      yield episode
    with _named(path / FILE):
      more = f"episode_{count}" in file
      if more or steps != metadata["total_steps"]:
        raise ValueError(
          f"expected {count} episodes of {metadata['total_steps']} steps as {_METADATA} says, got {steps} steps"
          f"{' and more episodes' if more else ''}"
        )


def _get(group: Any, key: str) -> Any:
  """What a group has by a key. Raises ValueError where another file would be read for it, or more than memory holds."""
  import h5py

  found = group[key]
  if found.file.filename != group.file.filename:
    raise ValueError(f"{key}: expected it in this file, got a link to {found.file.filename}: copy it into one file.")
  if isinstance(found, h5py.Dataset):
    if found.external or found.is_virtual:
      raise ValueError(f"{key}: expected its numbers in this file, got them in others: copy them into one file.")
    if found.nbytes > (available := free_memory()):
      raise ValueError(f"{key} takes {found.nbytes / 2**30:,.2f} GiB, and {available / 2**30:,.2f} GiB are available")
  return found


def _arrays(group: Any, spaces: Mapping[str, Any], jpeg: bool, dtype: Any) -> dict[str, np.ndarray]:
  """The arrays of an episode by the names of this format."""
  terminations = np.asarray(_get(group, "terminations")[()], bool)
  if terminations[:-1].any() or np.asarray(_get(group, "truncations")[()], bool)[:-1].any():
    raise ValueError("expected an end at the last step alone.")
  arrays = {"reward": _get(group, "rewards")[()], "discount": 1 - terminations.astype(dtype)}
  for name, space in spaces.items():
    _take(_get(group, f"{name}s"), space, name, jpeg, arrays)
  return arrays


def _take(stored: Any, space: Mapping[str, Any], name: str, jpeg: bool, arrays: dict[str, np.ndarray]) -> None:
  """Puts what a space's values are into arrays by name; images may be stored as JPEG."""
  if space["type"] == "Dict":
    for key, child in space["subspaces"].items():
      _take(_get(stored, key), child, f"{name}/{key}", jpeg, arrays)
  elif space["type"] == "Tuple":
    for i, child in enumerate(space["subspaces"]):
      _take(_get(stored, f"_index_{i}"), child, f"{name}/{i}", jpeg, arrays)
  elif jpeg and _is_image(space):
    arrays[name] = np.stack([_decode(image) for image in stored[()]])
  else:
    array = stored[()]
    arrays[name] = array - np.asarray(space["start"], array.dtype) if np.any(space.get("start", 0)) else array


def _space(metadata: Mapping[str, Any], name: str) -> Any:
  text = metadata.get(f"{name}_space")
  if text is None:
    raise ValueError(f"it has no {name}_space: write the dataset anew with Minari {_VERSION}, which stores one.")
  return json.loads(text)


def _decode(image: np.ndarray) -> np.ndarray:
  """The pixels of a JPEG."""
  try:
    from PIL import Image
  except ImportError as error:
    raise ValueError("its images are stored as JPEG, which takes Pillow: pip install pillow.") from error
  return np.asarray(Image.open(io.BytesIO(image.tobytes()), formats=["JPEG"]))


def _is_image(space: Mapping[str, Any]) -> bool:
  """Whether Minari takes a space for one of images."""
  shape = space.get("shape", ())
  if space["type"] != "Box" or space["dtype"] != "uint8" or len(shape) not in (2, 3) or min(shape[:2]) < 32:
    return False
  return bool(np.all(np.array(space["low"]) == 0) and np.all(np.array(space["high"]) == 255))


def _spec(space: Any, name: str) -> types.NestedSpec:
  """The spec of a space, as acme.wrappers.GymWrapper and SinglePrecision make it."""
  kind = space["type"]
  if kind == "Dict":
    return {key: _spec(child, f"{name}[{key}]") for key, child in space["subspaces"].items()}
  if kind == "Tuple":
    return tuple(_spec(child, f"{name}[{i}]") for i, child in enumerate(space["subspaces"]))
  if kind == "Discrete":
    return specs.DiscreteArray(space["n"], np.int32, name)
  if kind == "MultiDiscrete":
    return specs.BoundedArray(np.shape(space["nvec"]), np.int32, 0, np.array(space["nvec"]) - 1, name)
  if kind == "MultiBinary":
    return specs.BoundedArray(tuple(np.atleast_1d(space["n"]).tolist()), np.int8, 0, 1, name)
  if kind != "Box":
    raise ValueError(f"{name}: expected a space of numbers, got {kind}, which has no dm_env spec.")
  dtype = np.dtype(space["dtype"])
  if dtype.kind not in "biuf":
    raise ValueError(f"{name}: expected a space of numbers, got one of {dtype}.")
  check_shape(tuple(space["shape"]))
  low, high = np.array(space["low"], dtype), np.array(space["high"], dtype)
  single = _SINGLE.get(dtype, dtype)
  if single != dtype and single.kind == "i":
    low, high = np.clip([low, high], -(2**31), 2**31 - 1)
  with np.errstate(over="ignore"):
    return specs.BoundedArray(tuple(space["shape"]), single, low.astype(single), high.astype(single), name)


def write(path: pathlib.Path, index: Index, episodes: Iterable[Episode], name: str) -> tuple[int, int]:
  """Writes a new dataset.

  Args:
    path: an empty folder for its files.
    index: says what the episodes are.
    episodes: their rewards are single numbers; extras and recurrent states are left out.
    name: its Minari id, to which a version is added where it has none.

  Returns:
    How many episodes and steps were written.

  Raises:
    ValueError: a spec has no space, or rewards are not single numbers.
  """
  if not isinstance(index.spec.rewards, specs.Array) or index.spec.rewards.shape:
    raise ValueError(f"Minari has one number for a reward, and these are {specs.describe(index.spec.rewards)}.")
  metadata: dict[str, Any] = {
    "data_format": "hdf5",
    "jpeg_encoding": False,
    "observation_space": json.dumps(_to_space(index.spec.observations)),
    "action_space": json.dumps(_to_space(index.spec.actions)),
    "dataset_id": name if _NAME.fullmatch(name) else f"{name}-v0",
    "minari_version": _VERSION,
    _OURS: {"environment": index.environment, "origin": [dict(entry) for entry in index.origin]},
  }
  if (env_spec := _env_spec(index.environment)) is not None:
    metadata["env_spec"] = env_spec
  count = total = 0
  with _opened(path / FILE, "x") as file:
    for episode in episodes:
      steps = episodes_.num_steps(episode)
      group = file.create_group(f"episode_{count}")
      group.attrs.update({"id": count, "total_steps": steps})
      over = tree.flatten(episode.discount)[0][-1] == 0
      _put(group, "observations", episode.observation)
      _put(group, "actions", episode.action)
      _put(group, "rewards", episode.reward)
      for key, ends in (("terminations", over), ("truncations", not over)):
        _put(group, key, np.arange(steps) == (steps - 1 if ends else steps))
      count, total = count + 1, total + steps
  size = round((path / FILE).stat().st_size / 1e6, 1)
  metadata |= {"total_episodes": count, "total_steps": total, "dataset_size": size}
  (path / _METADATA).write_text(json.dumps(metadata))
  return count, total


def _env_spec(environment: str | None) -> str | None:
  """What Minari knows an environment `gym:NAME` by; None of others, and where Gymnasium cannot say."""
  if environment is None or not environment.startswith("gym:"):
    return None
  try:
    import gymnasium

    return str(gymnasium.spec(environment.removeprefix("gym:")).to_json())
  except Exception:  # It is not installed, or does not know the name.
    return None


def _put(group: Any, name: str, nest: types.NestedArray) -> None:
  if isinstance(nest, dict | list | tuple):
    inner = group.create_group(name, track_order=True)
    for key, child in _children(nest).items():
      _put(inner, key, child)
  else:
    group.create_dataset(name, data=nest, chunks=True, maxshape=(None, *nest.shape[1:]))


def _children(nest: Any) -> dict[str, Any]:
  """What is in a dict or a named tuple by its key, in a tuple by the name that Minari has for it."""
  if hasattr(nest, "_asdict"):
    return dict(nest._asdict())
  return nest if isinstance(nest, dict) else {f"_index_{i}": child for i, child in enumerate(nest)}


def _to_space(spec: types.NestedSpec) -> dict[str, Any]:
  if isinstance(spec, dict) or hasattr(spec, "_asdict"):
    return {"type": "Dict", "subspaces": {key: _to_space(child) for key, child in _children(spec).items()}}
  if isinstance(spec, list | tuple):
    return {"type": "Tuple", "subspaces": [_to_space(child) for child in spec]}
  if isinstance(spec, specs.DiscreteArray):
    return {"type": "Discrete", "dtype": "int64", "start": 0, "n": int(spec.num_values)}
  dtype = np.dtype(spec.dtype)
  if isinstance(spec, specs.BoundedArray):
    low, high = (np.broadcast_to(bound, spec.shape) for bound in (spec.minimum, spec.maximum))
  else:
    ends = (-np.inf, np.inf) if dtype.kind == "f" else _range(dtype)
    low, high = (np.full(spec.shape, end, dtype) for end in ends)
  return {"type": "Box", "dtype": dtype.name, "shape": list(spec.shape), "low": low.tolist(), "high": high.tolist()}


def _range(dtype: np.dtype[Any]) -> tuple[Any, Any]:
  return (False, True) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)


def _metadata(path: pathlib.Path) -> dict[str, Any]:
  with _named(path / _METADATA):
    content = json.loads((path / _METADATA).read_bytes())
    episodes, steps = content["total_episodes"], content["total_steps"]
    if type(episodes) is not int or type(steps) is not int or not 1 <= episodes <= steps:
      raise ValueError(f"expected numbers of episodes, 1 or more, and of their steps, got {episodes!r} and {steps!r}")
    return dict(content)


@contextlib.contextmanager
def _named(file: pathlib.Path, where: str = "it") -> Iterator[None]:
  """Makes whatever goes wrong with a file a ValueError that names it."""
  try:
    yield
  except Exception as error:  # Whatever a damaged file makes JSON and HDF5 raise.
    raise ValueError(f"{file} cannot be read: {where}: {type(error).__name__}: {error}") from error


def check_installed(path: str | pathlib.Path) -> None:
  """Raises ValueError that names the path where HDF5 can be neither read nor written."""
  try:
    import h5py  # noqa: F401
  except ImportError as error:
    raise ValueError(f'{path} is HDF5, which takes h5py: pip install "acme-replay[minari]".') from error


@contextlib.contextmanager
def _opened(file: pathlib.Path, mode: str) -> Iterator[Any]:
  """Opens a file of HDF5."""
  check_installed(file)
  import h5py

  try:
    if mode == "r":
      open_plain(file).close()
    opened = h5py.File(file, mode, track_order=True)
  except (OSError, ValueError) as error:
    raise ValueError(f"{file} cannot be opened: {error}") from error
  with opened:
    yield opened
