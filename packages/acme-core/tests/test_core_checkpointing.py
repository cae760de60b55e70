"""Checkpoints: what goes in comes out, and what is torn, altered or foreign is refused and never executed."""

import json
import os
import pathlib
import pickle
import random
import subprocess
import sys
import textwrap
import warnings
import zipfile

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


# What is kept.


def steps_in(folder):
  return sorted(int(path.name.removeprefix("step-")) for path in folder.iterdir())


def test_what_was_just_written_is_kept_whatever_its_step(tmp_path):
  checkpointer = Checkpointer(tmp_path)
  for step in (5000, 6000):
    checkpointer.save(step, step)
  assert checkpointer.save(100, 100).exists()
  assert steps_in(tmp_path) == [100, 6000]


@pytest.mark.parametrize("again", [True, False], ids=["a new process", "the same"])
def test_torn_checkpoints_count_for_nothing(tmp_path, again):
  checkpointer = Checkpointer(tmp_path, keep=3)
  for step in (500, 1000, 1500):
    checkpointer.save(step, step)
  for step in (1000, 1500):
    (tmp_path / f"step-{step:012d}" / "arrays.npz").write_bytes(b"torn")
  checkpointer = Checkpointer(tmp_path) if again else checkpointer
  with pytest.warns(UserWarning, match="Passing over"):
    assert checkpointer.load().step == 500
  checkpointer.save(600, 600)
  assert steps_in(tmp_path) == [500, 600]
  assert checkpointer.load().state == 600


def test_torn_checkpoints_count_for_nothing_where_none_was_loaded(tmp_path):
  for step in (1, 2):
    Checkpointer(tmp_path).save(step, step)
  (tmp_path / "step-000000000002" / "manifest.json").write_text("torn")
  Checkpointer(tmp_path).save(3, 3)
  assert steps_in(tmp_path) == [1, 3]


# What cannot be seen.


def test_a_directory_that_cannot_be_seen_is_not_an_empty_one(tmp_path):
  (tmp_path / "link").symlink_to(tmp_path / "not-mounted")
  (tmp_path / "file").write_text("")
  for name in ("link", "file"):
    with pytest.raises(CheckpointError, match="cannot be seen"):
      Checkpointer(tmp_path / name).load()
  assert checkpointing.find(tmp_path / "nowhere") == []


def test_a_checkpoint_that_may_not_be_read_is_not_passed_over(tmp_path, monkeypatch):
  checkpointer = Checkpointer(tmp_path)
  for step in (1, 2):
    checkpointer.save(step, step)
  read = pathlib.Path.read_text

  def refuse(path, *args):
    if "step-000000000002" in str(path):
      raise PermissionError(13, "Permission denied")
    return read(path, *args)

  monkeypatch.setattr(pathlib.Path, "read_text", refuse)
  with pytest.raises(CheckpointError, match="Permission denied"):
    checkpointer.load()


# Hostile files. Their checksums are right, so that something looks into them.


def forge(path, structure, pack):
  """Puts an archive that `pack` writes, and a structure, in the place of those of a checkpoint."""
  with zipfile.ZipFile(path / "arrays.npz", "w") as archive:
    pack(archive)
  edit(path / "manifest.json", structure=structure)
  (path / "SHA256SUMS").write_text(checkpointing._checksums(path))


def npy(header, data=b""):
  """The bytes of an array file with such a header."""
  text = header.encode().ljust(117) + b"\n"
  return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


def header(shape, descr="<f8"):
  return repr({"descr": descr, "fortran_order": False, "shape": shape})


def encrypted(archive):
  archive.writestr("array0.npy", npy(header((1,)), bytes(8)))
  archive.filelist[0].flag_bits |= 1


def deflated(archive):
  archive.writestr("array0.npy", npy(header((10**6,)), bytes(8 * 10**6)), zipfile.ZIP_DEFLATED)


def stored(*content):
  return lambda archive: [archive.writestr(f"array{i}.npy", data) for i, data in enumerate(content)]


ONE = {"array": "array0"}
HOSTILE = {
  "a header of 10^12 numbers": (ONE, stored(npy(header((10**12,))))),
  "a header of 10^30 numbers": (ONE, stored(npy(header((10**30,))))),
  "a header of -1 numbers": (ONE, stored(npy(header((-1,))))),
  "a deep header": (ONE, stored(npy("(" * 5000))),
  "a header that is a program": (ONE, stored(npy("__import__('os')"))),
  "an array of objects": (ONE, stored(npy(header((1,), "|O"), bytes(8)))),
  "an array of records": (ONE, stored(npy(header((1,), "|V8"), bytes(8)))),
  "no array": (ONE, stored(b"text")),
  "an empty archive": (ONE, stored()),
  "an encrypted archive": (ONE, encrypted),
  "an archive that inflates": (ONE, deflated),
  "one array for two": ({"list": [ONE, ONE]}, stored(npy(header((1,)), bytes(8)))),
  "an unknown kind": ({"set": []}, stored()),
  "a kind with a list for a name": ({"array": [1]}, stored()),
  "an empty kind": ({}, stored()),
}


@pytest.mark.parametrize(("structure", "pack"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_checkpoint_is_passed_over(tmp_path, structure, pack):
  checkpointer = Checkpointer(tmp_path)
  checkpointer.save(1, "whole")
  forge(checkpointer.save(2, STATE), structure, pack)
  with pytest.warns(UserWarning, match="Passing over a checkpoint.*step-000000000002"):
    assert checkpointer.load().state == "whole"


@pytest.mark.parametrize(
  ("old", "new"),
  [
    ('"step": 2', '"stop": 2'),
    ('"step": 2', '"step": 3'),
    ('"metadata": {}', '"metadata": []'),
    ('"state"', "[" * 100_000),
  ],
)
def test_a_manifest_that_lacks_something_is_passed_over(tmp_path, old, new):
  checkpointer = Checkpointer(tmp_path)
  checkpointer.save(1, "whole")
  path = checkpointer.save(2, "state")
  text = (path / "manifest.json").read_text()
  assert old in text
  (path / "manifest.json").write_text(text.replace(old, new))
  (path / "SHA256SUMS").write_text(checkpointing._checksums(path))
  with pytest.warns(UserWarning, match="Passing over a checkpoint"):
    assert checkpointer.load().state == "whole"


@pytest.mark.parametrize("name", ["arrays.npz", "manifest.json", "SHA256SUMS"])
def test_links_and_pipes_in_a_checkpoint_are_not_opened(tmp_path, name):
  checkpointer = Checkpointer(tmp_path)
  checkpointer.save(1, "whole")
  path = checkpointer.save(2, "state") / name
  path.rename(tmp_path / "elsewhere")
  path.symlink_to(tmp_path / "elsewhere")
  with pytest.warns(UserWarning, match=f"{name} is no plain file"):
    assert checkpointer.load().state == "whole"
  path.unlink()
  os.mkfifo(path)
  with pytest.warns(UserWarning, match=f"{name} is no plain file"):
    assert checkpointer.load().state == "whole"


def test_nothing_is_written_through_a_link_or_removed_that_is_not_ours(tmp_path):
  elsewhere, folder = tmp_path / "elsewhere", tmp_path / "checkpoints"
  elsewhere.mkdir()
  (folder / "notes.tmp").mkdir(parents=True)
  (folder / "step-000000000001.tmp").symlink_to(elsewhere)
  assert Checkpointer(folder).save(1, "state").exists()
  assert Checkpointer(folder).load().state == "state"
  assert list(elsewhere.iterdir()) == [] and (folder / "notes.tmp").exists()


# Noise: ACME_FUZZ=1000 for the long session.

FUZZ = int(os.environ.get("ACME_FUZZ", "200"))


def mutate(path, rng):
  """Changes, cuts or lengthens one file of a checkpoint somewhere."""
  file = path / rng.choice(["arrays.npz", "manifest.json", "SHA256SUMS"])
  data = bytearray(file.read_bytes())
  at = rng.randrange(len(data))
  kind = rng.randrange(4)
  if kind == 0:
    data[at] ^= 1 << rng.randrange(8)
  elif kind == 1:
    del data[at : at + rng.randrange(1, 50)]
  elif kind == 2:
    data[at:at] = rng.randbytes(rng.randrange(1, 50))
  else:
    data[at : at + 8] = bytes(byte ^ rng.choice([1, 9, 255]) for byte in data[at : at + 8])
  file.write_bytes(data)


def outside(folder):
  return sorted(str(path) for path in folder.rglob("*") if folder / "checkpoints" not in path.parents)


@pytest.mark.parametrize("sealed", [False, True], ids=["plain", "with the right checksums"])
def test_noise_in_a_checkpoint_is_an_error_or_passed_over(tmp_path, sealed):
  """Without checksums every change is found; with them a change may pass, and then it is a state."""
  rng = random.Random(0)
  folder = tmp_path / "checkpoints"
  state = {"a": np.arange(20.0), "b": [np.zeros((2, 3), np.uint8), (1, "x", None)], "c": {"d": np.array(["e", "fg"])}}
  checkpointer = Checkpointer(folder)
  checkpointer.save(1, "whole")
  path = checkpointer.save(2, state, {"agent": "dqn"})
  whole = {file.name: file.read_bytes() for file in path.iterdir()}
  before = outside(tmp_path)
  passed = 0
  for _ in range(FUZZ):
    for name, data in whole.items():
      (path / name).write_bytes(data)
    mutate(path, rng)
    if sealed:
      (path / "SHA256SUMS").write_text(checkpointing._checksums(path))
    with warnings.catch_warnings(record=True) as caught:
      warnings.simplefilter("always")
      checkpoint = checkpointing.load(folder)
    passed += checkpoint.step == 2
    assert checkpoint.step == 2 or (checkpoint.state == "whole" and len(caught) == 1)
  assert outside(tmp_path) == before
  assert passed < FUZZ if sealed else passed == 0


def test_noise_in_an_archive_is_an_error_or_passed_over(tmp_path):
  rng = random.Random(0)
  checkpointer = Checkpointer(tmp_path)
  checkpointer.save(1, "whole")
  path = checkpointer.save(2, STATE)
  shapes = [
    (),
    (1,),
    (3,),
    (-1,),
    (2, 2),
    (2**31, 2**31),
    (2**62, 4),
    (10**9,),
    (10**15,),
    (0, 10**12),
    (1.5,),
    "x",
    None,
  ]
  kinds = ["<f8", "|b1", "<U4", "<U0", "|S3", "|O", "|V4", "<M8[s]", "<f2", "<c16", "f8,i4", "", "evil", [("a", "|O")]]
  structures = [
    ONE,
    {"list": [ONE]},
    {"tuple": [ONE, {"array": "array1"}]},
    {"dict": {"": ONE}},
    ONE | {"list": []},
    [],
  ]
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    for _ in range(FUZZ // 2):
      arrays = [npy(header(rng.choice(shapes), rng.choice(kinds)), rng.randbytes(rng.randrange(80))) for _ in range(2)]
      forge(path, rng.choice(structures), stored(*arrays))
      assert checkpointing.load(tmp_path).step in (1, 2)
