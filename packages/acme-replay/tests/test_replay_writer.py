"""Appending to a dataset: whole episodes only, whatever happens on the way."""

import dataclasses
import os
import pathlib
import random
import resource
import signal
import sys
import tempfile

import numpy as np
import pytest
import tree

from acme import specs
from acme_replay import datasets
from acme_replay.datasets import Episode, Index, Writer

KILLS = int(os.environ.get("ACME_KILLS", "50"))
SCALAR = specs.Array((), np.float32)
SPEC = specs.EnvironmentSpec(
  observations={"x": specs.Array((3,), np.float32), "seen": (specs.Array((), np.int32),)},
  actions=specs.BoundedArray((2,), np.float32, -1, 1),
  rewards=SCALAR,
  discounts=SCALAR,
)
INDEX = Index(
  spec=SPEC,
  extras={"log_prob": SCALAR},
  core=(specs.Array((4,), np.float32),),
  environment="gym:Reach-v0",
  origin=({"run": "a"},),
)


def make_episode(seed, num_steps=None):
  rng = np.random.default_rng(seed)
  num_steps = int(rng.integers(1, 9)) if num_steps is None else num_steps
  floats = lambda *shape: rng.uniform(-1, 1, shape).astype(np.float32)  # noqa: E731
  return Episode(
    observation={"x": floats(num_steps + 1, 3), "seen": (np.arange(num_steps + 1, dtype=np.int32),)},
    action=floats(num_steps, 2),
    reward=floats(num_steps),
    discount=np.append(np.ones(num_steps - 1), seed % 2).astype(np.float32),
    extras={"log_prob": floats(num_steps)},
    core=(floats(num_steps, 4),),
  )


def write(path, seeds, index=INDEX, **options):
  with Writer(path, index, **options) as writer:
    for seed in seeds:
      writer.write(make_episode(seed))


def assert_holds(path, seeds, spec=None, core=()):
  found = list(datasets.read(path, spec, core))
  tree.map_structure(np.testing.assert_array_equal, found, [make_episode(seed) for seed in seeds])


@pytest.fixture
def tmp_path(tmp_path):
  """A folder in memory where there is one, where flushing to disk takes no time."""
  memory = pathlib.Path("/dev/shm")
  with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as folder:
    yield pathlib.Path(folder)


@pytest.mark.parametrize("part_bytes", [1, 1000, 2**25])
def test_what_is_read_is_what_was_written(tmp_path, part_bytes):
  path = tmp_path / "new" / "data"
  write(path, range(20), part_bytes=part_bytes)
  assert_holds(path, range(20))
  index = datasets.read_index(path)
  assert len(index.parts) == {1: 20, 2**25: 1}.get(part_bytes, len(index.parts))
  assert {file.name for file in path.iterdir()} == {part.file for part in index.parts} | {datasets.INDEX}
  steps = sum(datasets.num_steps(make_episode(seed)) for seed in range(20))
  assert datasets.num_rows(path, index.step_spec) == (steps + 20, 20)
  assert sum(part.steps for part in index.parts) == steps
  assert sum(part.episodes for part in index.parts) == 20


def test_extras_and_recurrent_states_may_be_left_out(tmp_path):
  write(tmp_path / "data", range(3))
  spec = INDEX.step_spec._replace(extras=())
  found = list(datasets.read(tmp_path / "data", spec))
  assert [(episode.extras, episode.core) for episode in found] == [((), ())] * 3


def test_episodes_are_appended_and_say_where_they_came_from(tmp_path):
  write(tmp_path / "data", range(3))
  write(tmp_path / "data", [], Index(**(vars(INDEX) | {"origin": ({"run": "nothing came of it"},)})))
  write(tmp_path / "data", range(3, 7), Index(**(vars(INDEX) | {"origin": ({"run": "b"},), "environment": None})))
  assert_holds(tmp_path / "data", range(7))
  index = datasets.read_index(tmp_path / "data")
  assert [entry["run"] for entry in index.origin] == ["a", "b"] and index.environment == "gym:Reach-v0"


OTHERS = {
  "observations": {"spec": SPEC._replace(observations=SCALAR)},
  "actions": {"spec": SPEC._replace(actions=specs.BoundedArray((2,), np.float32, -1, 2))},
  "extras": {"extras": ()},
  "core": {"core": ()},
  "gym:Other-v0": {"environment": "gym:Other-v0"},
}


@pytest.mark.parametrize("name", OTHERS)
def test_episodes_of_another_kind_are_refused(tmp_path, name):
  write(tmp_path / "data", range(3))
  with pytest.raises(ValueError, match=f"data is of another kind: .*{name}.*Give another path"):
    write(tmp_path / "data", [], Index(**(vars(INDEX) | OTHERS[name])))
  write(tmp_path / "data", [3])  # The lock is free.
  assert_holds(tmp_path / "data", range(4))


def test_a_place_that_is_taken(tmp_path):
  (tmp_path / "file").write_text("mine")
  (tmp_path / "folder").mkdir()
  datasets.write(tmp_path / "folder" / "0.npz", make_episode(0))
  (tmp_path / "empty").mkdir()
  for name in ("file", "folder"):
    with pytest.raises(FileExistsError, match=f"{name} is there already, and is no dataset with an index"):
      write(tmp_path / name, [0])
  write(tmp_path / "empty", [0])
  assert_holds(tmp_path / "empty", [0])
  datasets.write_index(tmp_path / "folder", INDEX)
  with pytest.raises(ValueError, match="an index without a list of its files, and cannot grow"):
    write(tmp_path / "folder", [0])
  assert_holds(tmp_path / "folder", [0])
  assert {path.name for path in tmp_path.iterdir()} == {"file", "folder", "empty"}


def test_one_writer_at_a_time(tmp_path):
  with Writer(tmp_path / "data", INDEX), pytest.raises(BlockingIOError, match="another process appends"):
    Writer(tmp_path / "data", INDEX)
  write(tmp_path / "data", [0])


def test_an_episode_that_does_not_fit_changes_nothing(tmp_path):
  episode = make_episode(0, num_steps=3)
  with Writer(tmp_path / "data", INDEX) as writer:
    for change, message in (
      ({"action": np.full((3, 2), 1.5, np.float32)}, "action: expected numbers from"),
      ({"reward": np.full(3, np.nan, np.float32)}, "reward: expected finite numbers"),
      ({"reward": np.ones(4, np.float32)}, r"expected T \+ 1 observations"),
      ({"discount": np.full(3, 2.0, np.float32)}, "discount: expected numbers from 0 to 1"),
      ({"core": ()}, "it lacks core/0"),
    ):
      with pytest.raises(ValueError, match=message):
        writer.write(episode._replace(**change))
    writer.write(make_episode(1))
    episode = make_episode(2)
    writer.write(episode)
    episode.reward[:] = 7  # The caller may use its arrays again.
  assert_holds(tmp_path / "data", [1, 2])


def test_slow_steps_do_not_wait_for_a_full_part(tmp_path):
  with Writer(tmp_path / "data", INDEX, part_seconds=0.0) as writer:
    writer.write(make_episode(0))
    assert_holds(tmp_path / "data", [0])


def test_a_writer_that_is_closed_writes_no_more(tmp_path):
  """Another may append by then."""
  with Writer(tmp_path / "data", INDEX) as writer:
    writer.write(make_episode(0))
  with pytest.raises(RuntimeError, match="data: this writer is closed"):
    writer.write(make_episode(1))
  writer.close()
  assert_holds(tmp_path / "data", [0])


@pytest.mark.parametrize("origin", [{"seed": np.int64(3)}, {"return": float("nan")}, {"a": {1, 2}}], ids=str)
def test_an_origin_that_json_does_not_hold_is_refused_before_there_is_anything_to_lose(tmp_path, origin):
  with pytest.raises(ValueError, match="origin: expected entries of what JSON holds"):
    Writer(tmp_path / "data", Index(spec=SPEC, origin=(origin,)))
  assert not (tmp_path / "data").exists()


def test_nothing_is_written_where_a_link_leads(tmp_path):
  write(tmp_path / "data", [0])
  (tmp_path / "mine").write_text("mine")
  for name in (".dataset.json.tmp", ".000001.npz.tmp"):
    (tmp_path / "data" / name).symlink_to(tmp_path / "mine")
  write(tmp_path / "data", [1])
  assert_holds(tmp_path / "data", [0, 1])
  assert (tmp_path / "mine").read_text() == "mine"


def test_a_dataset_whose_parts_have_names_of_their_own_grows(tmp_path):
  write(tmp_path / "data", [0])
  (tmp_path / "data" / "000000.npz").rename(tmp_path / "data" / "walk.npz")
  index = datasets.read_index(tmp_path / "data")
  datasets.write_index(
    tmp_path / "data", dataclasses.replace(index, parts=(dataclasses.replace(index.parts[0], file="walk.npz"),))
  )
  write(tmp_path / "data", [1])
  assert_holds(tmp_path / "data", [0, 1])


@pytest.mark.parametrize("path", ["", ".", "..", "/"])
def test_a_path_without_a_name(tmp_path, monkeypatch, path):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(FileExistsError, match="is there already, and is no dataset with an index"):
    write(path, [0])
  assert not list(tmp_path.iterdir())
  write(tmp_path / "data", [0])
  monkeypatch.chdir(tmp_path / "data")
  write(".", [1])
  assert_holds(tmp_path / "data", [0, 1])


def test_two_that_make_a_dataset_at_once(tmp_path, monkeypatch):
  """The slower one appends."""
  mkdtemp = tempfile.mkdtemp

  def make_one_meanwhile(*arguments, **options):
    monkeypatch.setattr(tempfile, "mkdtemp", mkdtemp)
    write(tmp_path / "data", [0])
    return mkdtemp(*arguments, **options)

  monkeypatch.setattr(tempfile, "mkdtemp", make_one_meanwhile)
  write(tmp_path / "data", [1])
  assert_holds(tmp_path / "data", [0, 1])


def test_what_is_whole_is_kept_where_something_fails(tmp_path):
  with pytest.raises(KeyboardInterrupt), Writer(tmp_path / "data", INDEX) as writer:
    writer.write(make_episode(0))
    raise KeyboardInterrupt
  assert_holds(tmp_path / "data", [0])


def test_a_full_disk_is_said_clearly_and_what_was_there_stays(tmp_path):
  write(tmp_path / "data", range(3))
  before = {file.name: file.read_bytes() for file in (tmp_path / "data").iterdir()}
  soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
  handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
  try:
    writer = Writer(tmp_path / "data", INDEX)
    writer.write(make_episode(3))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    with pytest.raises(OSError, match="000001.npz could not be written: .*1 episodes are lost; what was there"):
      writer.flush()
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {file.name: file.read_bytes() for file in (tmp_path / "data").iterdir()} == before
    writer.write(make_episode(3))  # There is room again.
    writer.close()
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, handler)
  assert_holds(tmp_path / "data", range(4))


def test_a_disk_too_full_for_the_index(tmp_path, monkeypatch):
  write(tmp_path / "data", range(3))
  before = {file.name: file.read_bytes() for file in (tmp_path / "data").iterdir()}
  writer = Writer(tmp_path / "data", INDEX)
  writer.write(make_episode(3))
  replace = pathlib.Path.replace

  def full(self, target):
    if target.name == datasets.INDEX:
      raise OSError(28, "No space left on device")
    return replace(self, target)

  with monkeypatch.context() as patch:
    patch.setattr(pathlib.Path, "replace", full)
    with pytest.raises(OSError, match="No space left on device"):
      writer.close()
  assert {file.name: file.read_bytes() for file in (tmp_path / "data").iterdir()} == before


def test_damage_is_named(tmp_path):
  write(tmp_path / "data", range(6), part_bytes=1000)
  first = tmp_path / "data" / "000000.npz"
  content = bytearray(first.read_bytes())
  content[len(content) // 2] ^= 1
  first.write_bytes(content)
  with pytest.raises(ValueError, match=r"000000.npz.*SHA-256.*damaged"):
    list(datasets.read(tmp_path / "data"))
  first.unlink()
  with pytest.raises(ValueError, match=r"000000.npz"):
    list(datasets.read(tmp_path / "data"))


FILE_EVENTS = ("open", "os.rename", "os.mkdir", "os.rmdir", "os.remove")


def append_until_killed(path, rng, first):
  """Appends episodes in a child that dies at a random moment or before a random file operation."""
  child = os.fork()
  if child:
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "the child ended by itself"
    return
  try:
    if rng.random() < 0.5:
      left = [rng.randrange(1, 60)]

      def hook(event, arguments):
        if event in FILE_EVENTS and str(path.name) in str(arguments[0]):
          left[0] -= 1
          if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

      sys.addaudithook(hook)
    else:
      signal.setitimer(signal.ITIMER_REAL, rng.uniform(0.001, 0.03))
    with Writer(path, INDEX, part_bytes=600) as writer:
      for seed in range(first, first + 100_000):
        writer.write(make_episode(seed))
  finally:
    os._exit(70)


def test_kills_leave_whole_episodes_only(tmp_path):
  rng, total = random.Random(0), 0
  for kill in range(KILLS):
    path = tmp_path / f"data-{kill // 5}"  # Appended to after a kill, too.
    held = sum(part.episodes for part in datasets.read_index(path).parts) if path.exists() else 0
    append_until_killed(path, rng, held)
    rng.random()  # So that the next child draws other numbers.
    if not path.exists():
      continue  # Killed before there was anything.
    parts = datasets.read_index(path).parts
    assert sum(part.episodes for part in parts) >= held
    assert not any(finding.severity == "error" for finding in datasets.check(path))
    if parts:
      assert_holds(path, range(sum(part.episodes for part in parts)))
    total += sum(part.episodes for part in parts) - held
  assert total > KILLS
