"""Minari's format, read and written; and by Minari itself, where that is installed."""

import io
import json
import os

import numpy as np
import pytest
import tree

from acme import specs
from acme_replay import datasets
from acme_replay.datasets import Episode, Index, Writer, minari

h5py = pytest.importorskip("h5py")
SCALAR = specs.Array((), np.float32, "reward")
DISCOUNT = specs.BoundedArray((), np.float32, 0, 1, "discount")
BOX = {"type": "Box", "dtype": "float64", "shape": [2], "low": [-1.0, -np.inf], "high": [1.0, np.inf]}
DISCRETE = {"type": "Discrete", "dtype": "int64", "start": 2, "n": 3}


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
  """Where Minari keeps its datasets."""
  monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "root"))
  return tmp_path / "root"


@pytest.fixture
def made(root):
  """A dataset as Minari writes one, of two episodes: the first terminates, the second is cut off."""
  data = root / "reach" / "random-v0" / "data"
  data.mkdir(parents=True)
  space = {"type": "Dict", "subspaces": {"x": BOX, "pair": {"type": "Tuple", "subspaces": [DISCRETE, DISCRETE]}}}
  with h5py.File(data / "main_data.hdf5", "x") as file:
    for i, steps in enumerate([3, 2]):
      group = file.create_group(f"episode_{i}")
      group["observations/x"] = np.arange(2.0 * steps + 2).reshape(steps + 1, 2)
      group["observations/pair/_index_0"] = np.full(steps + 1, 2)
      group["observations/pair/_index_1"] = np.full(steps + 1, 4)
      group["actions"] = np.arange(2, 2 + steps)
      group["rewards"] = np.arange(1.0, steps + 1)
      group["terminations"] = np.arange(steps) == (2 if i == 0 else -1)
      group["truncations"] = np.arange(steps) == (1 if i == 1 else -1)
      group["infos/speed"] = np.zeros(steps + 1)
  metadata = {
    "total_episodes": 2,
    "total_steps": 5,
    "data_format": "hdf5",
    "observation_space": json.dumps(space),
    "action_space": json.dumps(DISCRETE),
    "env_spec": json.dumps({"id": "Reach-v0"}),
    "dataset_id": "reach/random-v0",
    "algorithm_name": "random",
    "minari_version": "0.5.4",
  }
  (data / "metadata.json").write_text(json.dumps(metadata))
  return data


@pytest.mark.parametrize("how", ["name", "folder", "data"])
def test_what_minari_wrote_is_read(made, how):
  path = {"name": "minari:reach/random-v0", "folder": made.parent, "data": str(made)}[how]
  index = datasets.read_index(path)
  assert (index.environment, index.origin) == ("gym:Reach-v0", ({"minari": "reach/random-v0", "policy": "random"},))
  observations, actions, rewards, discounts = datasets.environment_spec(path)
  assert actions == specs.DiscreteArray(3, np.int32) and rewards == SCALAR and discounts == DISCOUNT
  assert observations["pair"] == (actions, actions)
  assert observations["x"] == specs.BoundedArray((2,), np.float32, [-1, -np.inf], [1, np.inf])
  first, second = datasets.read(path)
  np.testing.assert_array_equal(first.observation["x"], np.arange(8, dtype=np.float32).reshape(4, 2))
  np.testing.assert_array_equal(first.observation["pair"], [[0] * 4, [2] * 4])  # The spec counts from 0.
  assert first.observation["x"].dtype == np.float32 and first.action.dtype == np.int32
  assert (first.action.tolist(), first.reward.tolist(), first.discount.tolist()) == ([0, 1, 2], [1, 2, 3], [1, 1, 0])
  assert second.discount.tolist() == [1, 1]
  assert datasets.num_rows(path, index.step_spec) == (7, 2) and datasets.check(path) == []
  assert datasets.checksum(path) == datasets.checksum(made)


OBSERVATIONS = {
  "vector": specs.BoundedArray((3,), np.float32, [-1, -np.inf, 0], 1),
  "unbounded": specs.Array((2, 2), np.int16),
  "images": specs.BoundedArray((40, 40, 3), np.uint8, 0, 255),
  "nest": {"b": specs.DiscreteArray(4, np.int32), "a": (specs.Array((), bool), {"c": specs.Array((2,), np.float64)})},
}


def make_episode(spec, steps, end, seed):
  rng = np.random.default_rng(seed)

  def values(count):
    return lambda leaf: rng.integers(0, 2, (count, *leaf.shape)).astype(leaf.dtype)

  observation = tree.map_structure(values(steps + 1), spec.observations)
  action = tree.map_structure(values(steps), spec.actions)
  discount = np.append(np.ones(steps - 1), end).astype(np.float32)
  return Episode(observation, action, rng.normal(size=steps).astype(np.float32), discount)


def write(path, observations=OBSERVATIONS["vector"], environment=None, origin=()):
  spec = specs.EnvironmentSpec(observations, specs.DiscreteArray(2, np.int32), SCALAR, DISCOUNT)
  episodes = [make_episode(spec, steps, end, steps) for steps, end in ((4, 0), (1, 1), (12, 0))]
  with Writer(path, Index(spec=spec, environment=environment, origin=origin)) as writer:
    for episode in episodes:
      writer.write(episode)
  return episodes


@pytest.mark.parametrize("kind", OBSERVATIONS)
def test_there_and_back(tmp_path, kind):
  written = write(tmp_path / "ours", OBSERVATIONS[kind])
  index = datasets.convert(tmp_path / "ours", "minari:walk/made-v0")
  assert index.origin == ({"minari": "walk/made-v0"},) and datasets.check("minari:walk/made-v0") == []
  datasets.convert(tmp_path / "ours", tmp_path / "made")
  datasets.convert("minari:walk/made-v0", tmp_path / "back")
  datasets.convert(tmp_path / "back", tmp_path / "same", to_minari=False)
  for path in (tmp_path / "made", "minari:walk/made-v0", tmp_path / "back", tmp_path / "same"):
    assert datasets.check(path) == []
    tree.map_structure(np.testing.assert_array_equal, list(datasets.read(path)), written)
  assert json.loads((tmp_path / "made" / "data" / "metadata.json").read_text())["total_steps"] == 17


def test_where_it_came_from_goes_there_and_back(tmp_path):
  pytest.importorskip("h5py")
  origin = {"run": "first", "seed": 3}
  write(tmp_path / "ours", environment="dm_control:cartpole:balance", origin=(origin,))
  datasets.convert(tmp_path / "ours", tmp_path / "made")
  index = datasets.convert(tmp_path / "made", tmp_path / "back")
  assert index.environment == "dm_control:cartpole:balance"
  assert index.origin == (origin, {"minari": "made-v0"})


def test_what_cannot_be_written(tmp_path):
  write(tmp_path / "ours")
  with pytest.raises(ValueError, match="minari:nothing: expected the name of a Minari dataset"):
    datasets.convert(tmp_path / "ours", "minari:nothing")
  (tmp_path / "taken").mkdir()
  (tmp_path / "taken" / "file").touch()
  with pytest.raises(FileExistsError, match="taken is there already"):
    datasets.convert(tmp_path / "ours", tmp_path / "taken")
  rewards = specs.Array((2,), np.float32)
  spec = specs.EnvironmentSpec(SCALAR, specs.DiscreteArray(2), rewards, DISCOUNT)
  with Writer(tmp_path / "two", Index(spec=spec)) as writer:
    writer.write(Episode(np.zeros(2, np.float32), np.zeros(1, np.int32), np.zeros((1, 2)), np.ones(1)))
  with pytest.raises(ValueError, match="Minari has one number for a reward"):
    datasets.convert(tmp_path / "two", tmp_path / "out")
  assert not (tmp_path / "out").exists()


def change_metadata(data, **changes):
  path = data / "metadata.json"
  path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def cut(data):
  content = (data / "main_data.hdf5").read_bytes()
  (data / "main_data.hdf5").write_bytes(content[: len(content) // 2])


DAMAGE = {
  "no text": (lambda data: (data / "metadata.json").write_text("{"), "metadata.json cannot be read"),
  "no numbers": (lambda data: change_metadata(data, total_steps=None), "metadata.json cannot be read"),
  "no space": (lambda data: change_metadata(data, action_space=None), "no action_space"),
  "text": (
    lambda data: change_metadata(data, action_space='{"type": "Text"}'),
    "expected a space of numbers, got Text",
  ),
  "no origins": (lambda data: change_metadata(data, acme={"origin": [3]}), "a tuple of origins"),
  "no name": (lambda data: change_metadata(data, acme={"environment": 3}, env_spec="null"), "environment's name"),
  "no episodes": (lambda data: change_metadata(data, total_episodes=0, total_steps=0), "expected numbers of episodes"),
  "fewer than none": (lambda data: change_metadata(data, total_episodes=-1), "expected numbers of episodes"),
  "true": (lambda data: change_metadata(data, total_episodes=True), "expected numbers of episodes"),
  "fewer steps": (lambda data: change_metadata(data, total_steps=4), "expected 2 episodes of 4 steps .* got 5 steps"),
  "more episodes": (lambda data: change_metadata(data, total_episodes=1), "got 3 steps and more episodes"),
  "objects": (
    lambda data: change_metadata(data, action_space=json.dumps(BOX | {"dtype": "object"})),
    "expected a space of numbers, got one of object",
  ),
  "too few": (lambda data: change_metadata(data, total_episodes=3), "main_data.hdf5 cannot be read: episode_2"),
  "arrow": (lambda data: change_metadata(data, data_format="arrow"), "expected data in hdf5, got 'arrow'"),
  "half": (cut, "main_data.hdf5 cannot be opened"),
  "none": (lambda data: (data / "main_data.hdf5").unlink(), "main_data.hdf5 cannot be opened"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_named(made, case):
  damage, message = DAMAGE[case]
  damage(made)
  with pytest.raises(ValueError, match=message):
    list(datasets.read(made))
  (finding,) = datasets.check(made)
  assert finding.severity == "error" and "cannot be" in finding.message


def link(name, made, other):
  """Puts something that another file has in the place of an array."""

  def external(group):
    group["actions"] = h5py.ExternalLink(str(other), "/episode_0/actions")

  def numbers(group):
    group.create_dataset("actions", (3,), np.int64, external=[(str(other), 0, 24)])

  def virtual(group):
    layout = h5py.VirtualLayout((3,), np.int64)
    layout[:] = h5py.VirtualSource(str(other), "episode_0/actions", (3,))
    group.create_virtual_dataset("actions", layout)

  def huge(group):
    group.create_dataset("actions", (2**45,), np.int64, chunks=(10,))

  with h5py.File(made / "main_data.hdf5", "a") as file:
    del file["episode_0/actions"]
    {"link": external, "numbers": numbers, "virtual": virtual, "huge": huge}[name](file["episode_0"])


@pytest.mark.parametrize(
  ("name", "message"),
  [
    ("link", "actions: expected it in this file, got a link to .*other.hdf5"),
    ("numbers", "actions: expected its numbers in this file"),
    ("virtual", "actions: expected its numbers in this file"),
    ("huge", "actions takes 262,144.00 GiB"),
  ],
)
def test_no_other_file_is_read_and_no_more_than_memory_holds(made, name, message):
  other = made / "other.hdf5"
  other.write_bytes((made / "main_data.hdf5").read_bytes())
  link(name, made, other)
  with pytest.raises(ValueError, match=f"main_data.hdf5 cannot be read: episode_0: .*{message}"):
    list(datasets.read(made))


def test_a_pipe_in_place_of_the_data(made):
  (made / "main_data.hdf5").unlink()
  os.mkfifo(made / "main_data.hdf5")
  with pytest.raises(ValueError, match="main_data.hdf5 cannot be opened: expected a plain file"):
    list(datasets.read(made))


def test_images_are_jpeg_alone():
  """Pillow would hand other formats to other programs."""
  image = pytest.importorskip("PIL.Image")
  for form in ("JPEG", "EPS", "BMP"):
    image.new("RGB", (8, 8)).save(file := io.BytesIO(), form)
    content = np.frombuffer(file.getvalue(), np.uint8)
    if form == "JPEG":
      assert minari._decode(content).shape == (8, 8, 3)
      continue
    with pytest.raises(OSError, match="cannot identify image"):
      minari._decode(content)


ARRAYS = {
  "rewards": (np.zeros(2), r"episode_0: .*expected T \+ 1 observations"),
  "terminations": (np.ones(3, bool), "episode_0: .*expected an end at the last step alone"),
  "actions": (np.array([2, 3, 5]), "episode_0: .*action: expected numbers from 0 to 2"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_an_episode_that_does_not_fit_is_named(made, name):
  value, message = ARRAYS[name]
  with h5py.File(made / "main_data.hdf5", "a") as file:
    del file[f"episode_0/{name}"]
    file[f"episode_0/{name}"] = value
  with pytest.raises(ValueError, match=f"main_data.hdf5 cannot be read: {message}"):
    list(datasets.read(made))


def test_without_h5py_the_extra_is_named(made, tmp_path, monkeypatch):
  write(tmp_path / "ours")
  monkeypatch.setitem(__import__("sys").modules, "h5py", None)
  with pytest.raises(ValueError, match=r'there is HDF5, which takes h5py: pip install "acme-replay\[minari\]"'):
    datasets.convert(tmp_path / "ours", tmp_path / "new" / "there")
  assert not (tmp_path / "new").exists()
  assert datasets.read_index(made).environment == "gym:Reach-v0"
  with pytest.raises(ValueError, match=r'pip install "acme-replay\[minari\]"'):
    list(datasets.read(made))


def test_a_name_that_is_not_there():
  with pytest.raises(FileNotFoundError, match="random-v7"):
    datasets.environment_spec("minari:reach/random-v7")


def test_minari_itself_reads_and_writes_it(tmp_path):
  theirs = pytest.importorskip("minari")
  pytest.importorskip("gymnasium")
  written = write(tmp_path / "ours", OBSERVATIONS["nest"], environment="gym:CartPole-v1")
  datasets.convert(tmp_path / "ours", "minari:walk/made-v0")
  loaded = theirs.load_dataset("walk/made-v0")
  assert (loaded.total_episodes, loaded.total_steps, loaded.env_spec.id) == (3, 17, "CartPole-v1")
  for episode, found in zip(written, loaded.iterate_episodes(), strict=True):
    tree.map_structure(
      np.testing.assert_array_equal, tree.flatten(episode.observation), tree.flatten(found.observations)
    )
    np.testing.assert_array_equal(episode.action, found.actions)
    np.testing.assert_array_equal(episode.discount == 0, found.terminations)
  split = theirs.split_dataset(loaded, sizes=[2, 1], seed=0)
  assert [part.total_episodes for part in split] == [2, 1]
