"""Checkpoints: what goes in comes out, and what is torn, altered or foreign is refused and never executed."""

import json
import os
import pathlib
import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from acme import checkpointing
from acme.checkpointing import Checkpointer, CheckpointError

STATE = {
  "params": {"mlp/~/linear_0": {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.zeros(0)}},
  "rng": {"state": 2**127 + 3, "negative": -(2**90), "has_uint32": False},
  "empty": [{}, [], (), ""],
  "floats": (0.1, float("nan"), float("inf"), -0.0),
  "scalars": [np.float32(0.1), np.int64(7), np.array(3, np.uint8), np.True_],
  "none": None,
  "text": "line\nλ\ud83d\x00",
  "names": np.array(["a", "bc"]),
  "keys": {"array": 1, "dict": {"list": [2]}, "tuple": (), "": 0},
  "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
}


def assert_same(one, other):
  """Equal in every value, type of container, dtype and shape."""
  if isinstance(other, dict):
    assert isinstance(one, dict) and list(one) == list(other)
    for key in other:
      assert_same(one[key], other[key])
  elif isinstance(other, list | tuple):
    assert type(one) is type(other) and len(one) == len(other)
    for a, b in zip(one, other, strict=True):
      assert_same(a, b)
  elif isinstance(other, np.ndarray | np.generic):
    assert one.dtype == other.dtype and one.shape == other.shape
    assert one.tobytes() == other.tobytes()
  else:
    assert type(one) is type(other) and repr(one) == repr(other)


def test_round_trip(tmp_path):
  path = Checkpointer(tmp_path).save(50_000, STATE, {"agent": "dqn", "version": "0.1.0"})
  assert path.name == "step-000000050000" and not list(tmp_path.glob("*.tmp"))
  checkpoint = Checkpointer(tmp_path).load()
  assert checkpoint.step == 50_000 and checkpoint.metadata == {"agent": "dqn", "version": "0.1.0"}
  assert_same(checkpoint.state, STATE)


@pytest.mark.parametrize("state", [None, 3, np.arange(3), [], {}, "x"], ids=repr)
def test_a_state_may_be_anything(tmp_path, state):
  Checkpointer(tmp_path).save(0, state)
  assert_same(Checkpointer(tmp_path).load().state, state)


@pytest.mark.parametrize(
  "state",
  [
    {"a.b": np.array([1]), "a": {"b": np.array([2])}},
    {"x": np.array([1]), "x.npy": np.array([2])},
    {"file": np.array([1]), "allow_pickle": np.array([2]), "../../up": np.array([3])},
  ],
  ids=["dots", "npy", "arguments"],
)
def test_arrays_whose_names_look_alike_stay_apart(tmp_path, state):
  Checkpointer(tmp_path).save(0, state)
  assert_same(Checkpointer(tmp_path).load().state, state)


OBJECTS = {
  "object array": np.array([object()]),
  "ragged": np.array([[1], [2, 3]], dtype=object),
  "object": object(),
  "set": {1},
  "function": len,
  "structured with objects": np.zeros(1, [("a", object)]),
  "keys": {1: 2},
}


@pytest.mark.parametrize("value", OBJECTS.values(), ids=OBJECTS)
def test_objects_are_refused_by_name(tmp_path, value):
  with pytest.raises(TypeError, match="Expected .* at state.learner|Expected strings as the keys of state.learner"):
    Checkpointer(tmp_path).save(0, {"learner": value})


def test_bytes_are_refused_or_kept(tmp_path):
  try:
    Checkpointer(tmp_path).save(0, {"key": b"ab\0\0"})
  except TypeError:
    return
  assert_same(Checkpointer(tmp_path).load().state, {"key": b"ab\0\0"})


def test_other_floats_are_refused_or_kept(tmp_path):
  ml_dtypes = pytest.importorskip("ml_dtypes")
  value = np.arange(3).astype(ml_dtypes.bfloat16)
  try:
    Checkpointer(tmp_path).save(0, {"w": value})
  except TypeError:
    return
  assert_same(Checkpointer(tmp_path).load().state, {"w": value})


def test_a_refused_state_leaves_nothing_behind(tmp_path):
  checkpointer = Checkpointer(tmp_path)
  for state, metadata in (({"x": object()}, {}), ({}, {"x": object()})):
    with pytest.raises(TypeError):
      checkpointer.save(0, state, metadata)
    assert not list(tmp_path.iterdir())


def test_keeps_the_newest(tmp_path):
  checkpointer = Checkpointer(tmp_path, keep=3)
  for step in (1, 2, 30, 4, 5):
    checkpointer.save(step, {"step": step})
  assert sorted(path.name[-2:] for path in tmp_path.iterdir()) == ["04", "05", "30"]
  assert checkpointer.load().step == 30
  with pytest.raises(ValueError, match="keep: expected 1 or more, got 0"):
    Checkpointer(tmp_path, keep=0)


def test_saving_a_step_again_replaces_it(tmp_path):
  checkpointer = Checkpointer(tmp_path)
  checkpointer.save(1, "old")
  checkpointer.save(1, "new")
  assert checkpointer.load().state == "new"


def flip(path, at):
  data = bytearray(path.read_bytes())
  data[at] ^= 1
  path.write_bytes(data)


def edit(path, **changes):
  manifest = json.loads(path.read_text())
  path.write_text(json.dumps({**manifest, **changes}))


DAMAGE = {
  "no manifest": lambda d: (d / "manifest.json").unlink(),
  "no arrays": lambda d: (d / "arrays.npz").unlink(),
  "torn manifest": lambda d: os.truncate(d / "manifest.json", 50),
  "empty manifest": lambda d: os.truncate(d / "manifest.json", 0),
  "torn arrays": lambda d: os.truncate(d / "arrays.npz", 50),
  "empty arrays": lambda d: os.truncate(d / "arrays.npz", 0),
  "altered byte in an array": lambda d: flip(d / "arrays.npz", 150),
  "altered last byte": lambda d: flip(d / "arrays.npz", -1),
  "manifest of another kind": lambda d: (d / "manifest.json").write_text("[1]"),
  "manifest not text": lambda d: (d / "manifest.json").write_bytes(b"\xff\xfe\0"),
  "no checksum": lambda d: edit(d / "manifest.json", sha256=None),
  "unknown array": lambda d: edit(d / "manifest.json", structure={"array": "nothing"}),
  "unknown kind": lambda d: edit(d / "manifest.json", structure={"dict": [1, 2]}),
  "two kinds": lambda d: edit(d / "manifest.json", structure={"dict": {}, "list": []}),
  "newer format": lambda d: edit(d / "manifest.json", format=checkpointing.FORMAT + 1),
  "nothing": lambda d: [file.unlink() for file in d.iterdir()],
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_checkpoint_is_passed_over(tmp_path, damage):
  checkpointer = Checkpointer(tmp_path)
  checkpointer.save(1, STATE)
  path = checkpointer.save(2, STATE)
  damage(path)
  with pytest.warns(UserWarning, match="Passing over a checkpoint.*step-000000000002"):
    assert checkpointer.load().step == 1
  damage(tmp_path / "step-000000000001")
  with pytest.warns(UserWarning), pytest.raises(CheckpointError, match="No whole checkpoint in"):
    checkpointer.load()


@pytest.mark.parametrize("old, new", [('"steps": 1234', '"steps": 1235'), ('"agent": "dqn"', '"agent": "d4p"')])
def test_an_altered_number_in_the_manifest_is_noticed(tmp_path, old, new):
  checkpointer = Checkpointer(tmp_path)
  path = checkpointer.save(2, {"steps": 1234}, {"agent": "dqn"}) / "manifest.json"
  text = path.read_text()
  assert old in text
  path.write_text(text.replace(old, new))
  with pytest.warns(UserWarning), pytest.raises(CheckpointError):
    checkpointer.load()


def test_newer_format_says_so(tmp_path):
  path = Checkpointer(tmp_path).save(1, STATE)
  edit(path / "manifest.json", format=99)
  with pytest.raises(CheckpointError, match="format 99; this acme-core reads format 1"):
    checkpointing.read(path)


def test_nothing_is_loaded_from_nowhere(tmp_path):
  with pytest.raises(CheckpointError, match="No whole checkpoint"):
    Checkpointer(tmp_path / "nowhere").load()


def test_what_a_crash_left_is_removed(tmp_path):
  Checkpointer(tmp_path).save(1, "whole")
  torn = tmp_path / "step-000000000002.tmp"
  torn.mkdir()
  (torn / "arrays.npz").write_bytes(b"half")
  assert Checkpointer(tmp_path).load().step == 1
  assert not torn.exists()


class Bomb:
  def __reduce__(self):
    return (pathlib.Path("/tmp/acme-core-was-here").touch, ())


def test_a_pickle_is_never_executed(tmp_path, monkeypatch):
  marker = pathlib.Path("/tmp/acme-core-was-here")
  checkpointer = Checkpointer(tmp_path)
  path = checkpointer.save(1, {"x": np.zeros(1)})
  manifest = json.loads((path / "manifest.json").read_text())
  np.savez(path / "arrays.npz", **{manifest["structure"]["dict"]["x"]["array"]: np.array([Bomb()], dtype=object)})
  (path / "SHA256SUMS").write_text(checkpointing._checksums(path))
  with pytest.warns(UserWarning), pytest.raises(CheckpointError):
    checkpointer.load()
  (path / "arrays.npz").write_bytes(pickle.dumps(Bomb()))
  (path / "SHA256SUMS").write_text(checkpointing._checksums(path))
  with pytest.warns(UserWarning), pytest.raises(CheckpointError):
    checkpointer.load()
  assert not marker.exists()


@pytest.mark.parametrize("size", [500, 40_000, 900_000])
def test_a_full_disk_is_an_error_and_earlier_checkpoints_are_whole(tmp_path, size):
  code = """
    import resource, signal, sys
    import numpy as np
    from acme.checkpointing import Checkpointer, CheckpointError
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    checkpointer = Checkpointer(sys.argv[1])
    checkpointer.save(1, {"x": np.arange(10)})
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
    try:
      checkpointer.save(2, {"x": np.random.default_rng(0).random(120_000), "y": np.zeros(9)})
    except CheckpointError as error:
      print(error)
  """
  command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path), str(size)]
  result = subprocess.run(command, capture_output=True, text=True, check=False)
  assert "Could not write the checkpoint" in result.stdout and "Earlier checkpoints are whole" in result.stdout, result
  assert not result.stderr
  assert [path.name for path in tmp_path.iterdir()] == ["step-000000000001"]
  np.testing.assert_array_equal(Checkpointer(tmp_path).load().state["x"], np.arange(10))


def test_a_manifest_that_does_not_fit_on_the_disk(tmp_path, monkeypatch):
  checkpointer = Checkpointer(tmp_path)
  checkpointer.save(1, "whole")

  def full(*args, **kwargs):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(checkpointing.json, "dump", full)
  monkeypatch.setattr(checkpointing.json, "dumps", full)
  with pytest.raises(CheckpointError, match="No space left"):
    checkpointer.save(2, "torn")
  assert checkpointer.load().state == "whole" and len(list(tmp_path.iterdir())) == 1


def test_replacing_a_checkpoint_keeps_the_old_one_until_the_new_one_is_in_place(tmp_path, monkeypatch):
  checkpointer = Checkpointer(tmp_path, keep=1)
  checkpointer.save(1, "old")

  def fail(*args, **kwargs):
    raise OSError(5, "Input/output error")

  for name in ("rename", "replace"):
    monkeypatch.setattr(pathlib.Path, name, fail)
    monkeypatch.setattr(os, name, fail)
  with pytest.raises(CheckpointError):
    checkpointer.save(1, "new")
  monkeypatch.undo()
  assert Checkpointer(tmp_path, keep=1).load().state == "old"


def test_a_directory_that_cannot_be_made(tmp_path):
  (tmp_path / "file").write_text("")
  with pytest.raises(CheckpointError, match="Could not write"):
    Checkpointer(tmp_path / "file" / "checkpoints").save(1, {})
