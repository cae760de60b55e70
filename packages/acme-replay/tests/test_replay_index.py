"""What a dataset says of itself: specs that come back exactly, and damage that is named."""

import collections
import json

import numpy as np
import pytest

from acme import specs, types
from acme_replay import datasets
from acme_replay.datasets.index import agree

Stack = collections.namedtuple("Stack", ["pixels", "age"])
SCALAR = specs.Array((), np.float32, "reward")
DISCOUNT = specs.BoundedArray((), np.float32, 0, 1, "discount")

OBSERVATIONS = {
  "vector": specs.Array((3,), np.float64, "position"),
  "scalar bounds": specs.BoundedArray((2, 2), np.float32, -0.1, 0.1),
  "full bounds": specs.BoundedArray((3,), np.float32, [-1, -np.inf, 1e-38], [1 / 3, 2, np.inf]),
  "equal full bounds": specs.BoundedArray((84, 84, 4), np.uint8, np.zeros((84, 84, 4)), np.full((84, 84, 4), 255)),
  "bounds of one axis": specs.BoundedArray((2, 3), np.float32, [0, 1, 2], 5),
  "infinite bounds": specs.BoundedArray((2,), np.float32, -np.inf, [np.inf, np.inf]),
  "large integers": specs.BoundedArray((), np.int64, -(2**63), 2**63 - 1),
  "truth values": specs.BoundedArray((2,), bool, False, True),
  "nothing": specs.BoundedArray((0, 3), np.float32, np.zeros((0, 3)), np.zeros((0, 3))),
  "discrete": specs.DiscreteArray(5, np.int64, "cell"),
  "a nest": {"b": [SCALAR, (SCALAR, DISCOUNT)], "a": {"c": SCALAR}, "empty": ()},
  "a named tuple": Stack(specs.Array((4, 4), np.uint8), {"age": SCALAR}),
}


def exactly(spec):
  """All that a spec says."""
  if isinstance(spec, dict | list | tuple):
    children = spec.items() if isinstance(spec, dict) else enumerate(spec)
    return type(spec).__name__, [(key, exactly(child)) for key, child in children]
  bounds = [
    (b.dtype, b.shape, b.tolist()) for b in (getattr(spec, n, None) for n in ("minimum", "maximum")) if b is not None
  ]
  return type(spec), spec.shape, spec.dtype, spec.name, bounds, getattr(spec, "num_values", None)


@pytest.mark.parametrize("case", OBSERVATIONS)
def test_specs_come_back_exactly(tmp_path, case):
  spec = specs.EnvironmentSpec(OBSERVATIONS[case], specs.DiscreteArray(3), SCALAR, DISCOUNT)
  index = datasets.Index(
    spec=spec,
    extras={"log_prob": SCALAR},
    core=(SCALAR, SCALAR),
    environment="gym:Catch-v1",
    origin=({"run": "runs/dqn", "seed": 3},),
    parts=(datasets.Part(file="000000.npz", episodes=2, steps=7, sha256="0" * 64),),
  )
  datasets.write_index(tmp_path, index)
  found = datasets.read_index(tmp_path)
  assert exactly(datasets.environment_spec(str(tmp_path))) == exactly(spec)
  assert exactly(found.step_spec) == exactly(index.step_spec) and exactly(found.core) == exactly(index.core)
  for field in ("environment", "origin", "parts"):
    assert getattr(found, field) == getattr(index, field)
  assert (tmp_path / datasets.INDEX).stat().st_size < 5000


def test_an_index_without_parts_stands_for_every_file(tmp_path):
  spec = specs.EnvironmentSpec(SCALAR, specs.DiscreteArray(3), SCALAR, DISCOUNT)
  datasets.write_index(tmp_path, datasets.Index(spec=spec))
  found = datasets.read_index(tmp_path)
  assert (found.parts, found.environment, found.origin, found.extras) == (None, None, (), ())
  assert isinstance(found.step_spec, types.Step)


@pytest.mark.parametrize("spec", [{1: SCALAR}, specs.Array((), object), np.zeros(3)], ids=["keys", "objects", "array"])
def test_what_no_index_can_say(tmp_path, spec):
  spec = specs.EnvironmentSpec(spec, specs.DiscreteArray(3), SCALAR, DISCOUNT)
  with pytest.raises(ValueError, match="Expected .*specs"):
    datasets.write_index(tmp_path, datasets.Index(spec=spec))
  assert not list(tmp_path.iterdir())


def test_specs_agree_whatever_their_names():
  nest = {"a": specs.Array((2,), np.float32, "x"), "b": DISCOUNT}
  assert agree(nest, {"b": DISCOUNT, "a": specs.Array((2,), np.float32, "y")})
  for other in (
    {"a": specs.Array((3,), np.float32), "b": DISCOUNT},
    {"a": specs.Array((2,), np.float64), "b": DISCOUNT},
    {"a": specs.Array((2,), np.float32), "b": SCALAR},
    {"a": specs.Array((2,), np.float32), "b": specs.BoundedArray((), np.float32, 0, 2)},
    {"a": specs.Array((2,), np.float32)},
    (),
  ):
    assert not agree(nest, other)


@pytest.fixture
def content(tmp_path):
  """The content of an index, and what writes it with changes."""
  spec = specs.EnvironmentSpec({"x": SCALAR}, specs.DiscreteArray(3), SCALAR, DISCOUNT)
  datasets.write_index(tmp_path, datasets.Index(spec=spec, parts=()))
  return json.loads((tmp_path / datasets.INDEX).read_text())


LEAF = {"shape": [], "dtype": "float32", "name": None}
PART = {"file": "0.npz", "episodes": 1, "steps": 1, "sha256": "0" * 64}


@pytest.mark.parametrize(
  "changes",
  [
    {"format": "zip"},
    {"version": 2},
    {"observations": {}},
    {"observations": {"set": []}},
    {"observations": {"array": LEAF | {"dtype": "object"}}},
    {"observations": {"array": LEAF | {"dtype": "float33"}}},
    {"observations": {"array": LEAF | {"shape": [2**40]}}},
    {"observations": {"array": LEAF | {"shape": [2**28]}}},
    {"observations": {"array": LEAF | {"shape": [-1]}}},
    {"observations": {"bounded": LEAF | {"minimum": 0}}},
    {"observations": {"bounded": LEAF | {"minimum": 0, "maximum": {"shape": [2**40], "fill": 0}}}},
    {"observations": {"namedtuple": "import os", "fields": {}}},
    {"observations": {"namedtuple": "X", "fields": {"a b": {"array": LEAF}}}},
    {"actions": {"discrete": LEAF | {"num_values": 0}}},
    {"origin": [3]},
    {"origin": 3},
    {"environment": 3},
    {"parts": [PART | {"file": "../0.npz"}]},
    {"parts": [PART | {"file": "0.txt"}]},
    {"parts": [PART | {"file": "a\0.npz"}]},
    {"parts": [PART | {"file": "\ud800.npz"}]},
    {"parts": [PART | {"steps": 0}]},
    {"parts": [PART | {"steps": 10**30}]},
    {"parts": [PART | {"episodes": True}]},
    {"parts": [PART | {"episodes": 10**12}]},
    {"parts": [PART | {"sha256": "zz"}]},
    {"parts": [PART, PART]},
    {"parts": [PART | {"more": 0}]},
    {"parts": 5},
  ],
  ids=str,
)
def test_a_damaged_index_is_named(tmp_path, content, changes):
  (tmp_path / datasets.INDEX).write_text(json.dumps(content | changes))
  with pytest.raises(ValueError, match=r"dataset\.json (cannot be read|has version 2)"):
    datasets.environment_spec(tmp_path)


@pytest.mark.parametrize("name", ["format", "rewards", "extras", "core", "parts", "environment", "origin"])
def test_an_index_that_lacks_something_is_named(tmp_path, content, name):
  del content[name]
  (tmp_path / datasets.INDEX).write_text(json.dumps(content))
  with pytest.raises(ValueError, match=r"dataset\.json cannot be read"):
    datasets.environment_spec(tmp_path)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_index_is_named(tmp_path, text):
  (tmp_path / datasets.INDEX).write_bytes(text)
  with pytest.raises(ValueError, match=r"dataset\.json cannot be read"):
    datasets.environment_spec(tmp_path)


def test_a_folder_without_an_index(tmp_path):
  (tmp_path / "file").touch()
  missing = r"found no dataset\.json"
  for name, message in {"": missing, "file": missing, "nowhere": "nothing is there"}.items():
    with pytest.raises(FileNotFoundError, match=message):
      datasets.environment_spec(tmp_path / name)


def test_an_index_is_replaced_at_one_stroke(tmp_path, monkeypatch):
  spec = specs.EnvironmentSpec(SCALAR, specs.DiscreteArray(3), SCALAR, DISCOUNT)
  datasets.write_index(tmp_path, datasets.Index(spec=spec, environment="before"))

  def full(descriptor):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr("os.fsync", full)
  with pytest.raises(OSError, match="No space left"):
    datasets.write_index(tmp_path, datasets.Index(spec=spec, environment="after"))
  assert datasets.read_index(tmp_path).environment == "before"
  assert [file.name for file in tmp_path.iterdir()] == [datasets.INDEX]
