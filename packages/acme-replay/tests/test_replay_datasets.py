"""Recorded episodes: written, read, played, and refused with the name of the file."""

import dataclasses
import os
import zipfile

import dm_env
import numpy as np
import pytest
import tree

from acme import core, experience, specs, types
from acme_replay import EmbeddedReplay, MappedReplay, datasets, make_adder, split
from acme_testing import golden

SCALAR = specs.Array((), np.float32)
SPEC = types.Step(
  observation={"position": specs.Array((2,), np.float32), "seen": (specs.Array((), np.int32),)},
  action=specs.DiscreteArray(4),
  reward=SCALAR,
  discount=SCALAR,
  start_of_episode=specs.Array((), bool),
  extras={"log_prob": SCALAR},
)


def make_episode(num_steps, seed=0, end=0.0):
  rng = np.random.default_rng(seed)
  floats = lambda *shape: rng.standard_normal(shape).astype(np.float32)  # noqa: E731
  return datasets.Episode(
    observation={"position": floats(num_steps + 1, 2), "seen": (np.arange(num_steps + 1, dtype=np.int32),)},
    action=rng.integers(0, 4, num_steps).astype(np.int32),
    reward=floats(num_steps),
    discount=np.append(np.ones(num_steps - 1), end).astype(np.float32),
    extras={"log_prob": floats(num_steps)},
  )


@pytest.fixture
def folder(tmp_path):
  """Three episodes, of 5, 1 and 8 steps; the second is cut off."""
  for i, (num_steps, end) in enumerate([(5, 0), (1, 1), (8, 0)]):
    datasets.write(tmp_path / f"episode_{i}.npz", make_episode(num_steps, i, end))
  return tmp_path


def test_what_is_read_is_what_was_written(folder):
  found = list(datasets.read(folder, SPEC))
  wanted = [make_episode(5, 0, 0), make_episode(1, 1, 1), make_episode(8, 2, 0)]
  tree.map_structure(np.testing.assert_array_equal, found, wanted)
  assert datasets.num_rows(folder, SPEC) == (17, 3)
  assert datasets.num_rows(str(folder), SPEC) == (17, 3)


def test_playing_an_episode():
  episode = make_episode(3, end=0.5)
  (action, first, extras), *steps = datasets.play(episode)
  assert action is None and first.first() and extras == ()
  assert [step.step_type for _, step, _ in steps] == [1, 1, 2] and steps[-1][1].discount == 0.5
  for t, (action, timestep, extras) in enumerate(steps):
    assert (action, timestep.reward) == (episode.action[t], episode.reward[t])
    assert extras["log_prob"] == episode.extras["log_prob"][t] and timestep.observation["seen"] == (t + 1,)


def test_numbers_of_another_size_become_those_of_the_spec(tmp_path):
  episode = make_episode(3)
  wide = tree.map_structure(lambda x: x.astype(np.float64 if x.dtype.kind == "f" else np.int64), episode)
  datasets.write(tmp_path / "0.npz", wide)
  (found,) = datasets.read(tmp_path, SPEC)
  tree.map_structure(np.testing.assert_array_equal, found, episode)
  assert {leaf.dtype for leaf in tree.flatten(found)} == {np.dtype(np.float32), np.dtype(np.int32)}


def test_a_checksum_is_of_names_and_contents(folder):
  before = datasets.checksum(folder)
  assert before == datasets.checksum(folder)
  seen = {before}
  (folder / "episode_1.npz").rename(folder / "episode_3.npz")
  seen.add(datasets.checksum(folder))
  (folder / "notes.txt").write_text("not an episode")
  seen.add(datasets.checksum(folder))
  content = bytearray((folder / "episode_3.npz").read_bytes())
  content[200] ^= 1
  (folder / "episode_3.npz").write_bytes(content)
  seen.add(datasets.checksum(folder))
  assert len(seen) == 3


def rewrite(path, change):
  """Writes an episode's arrays again as `change` leaves them."""
  with np.load(path) as arrays:
    kept = dict(arrays)
  change(kept)
  np.savez(path, **kept)


def remove(name):
  return lambda arrays: arrays.pop(name)


def replace(name, value):
  return lambda arrays: arrays.update({name: value})


REFUSED = {
  "a missing array": (remove("reward"), "it lacks reward; it has observation/position, observation/seen/0, action"),
  "a missing leaf": (remove("observation/seen/0"), "it lacks observation/seen/0"),
  "missing extras": (remove("extras/log_prob"), "it lacks extras/log_prob"),
  "as many observations as steps": (
    replace("observation/position", np.zeros((5, 2), np.float32)),
    r"expected T \+ 1 observations and T of all else, T of 1 or more, got \[5, 6\] and \[5\]",
  ),
  "fewer actions": (replace("action", np.zeros(4, np.int32)), r"got \[6\] and \[4, 5\]"),
  "another shape": (
    replace("observation/position", np.zeros((6, 3), np.float32)),
    r"observation/position: expected shape \[T, \*\(2,\)\] as the spec says, got \(6, 3\)",
  ),
  "no axis of time": (replace("reward", np.float32(1)), r"reward: expected shape \[T, \*\(\)\].*got \(\)"),
  "another kind of number": (replace("action", np.zeros(5, np.float32)), "action: expected dtype int32.*got float32"),
  "objects": (replace("reward", np.array([None] * 5)), "Object arrays cannot be loaded"),
  "a NaN": (replace("reward", np.full(5, np.nan, np.float32)), "reward: expected finite numbers"),
  "an action that there is not": (replace("action", np.full(5, 4)), "action: expected numbers from 0 to 3, got 4 to 4"),
  "a number that becomes infinite": (
    replace("reward", np.full(5, 1e300)),
    r"reward\[0\]: expected a number that float32 holds, got .*1e\+300",
  ),
  "a whole number that is rounded": (
    replace("reward", np.full(5, 2**24 + 1)),
    r"reward\[0\]: expected a number that float32 holds, got .*16777217",
  ),
  "a discount of 5": (replace("discount", np.full(5, 5.0)), r"discount: expected numbers from 0 to 1, got 5.0 to 5.0"),
  "a negative discount": (replace("discount", np.full(5, -1.0)), r"discount: expected numbers from 0 to 1, got -1.0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_episodes_that_do_not_fit_are_refused_by_name(folder, case):
  change, message = REFUSED[case]
  rewrite(folder / "episode_0.npz", change)
  with pytest.raises(ValueError, match=f"episode_0.npz.*{message}"):
    list(datasets.read(folder, SPEC))
  with pytest.raises(ValueError, match="episode_0.npz"):
    EmbeddedReplay(experience.Transitions(dataset=str(folder)), SPEC)


def test_actions_out_of_bounds_are_refused(tmp_path):
  spec = SPEC._replace(observation=SCALAR, action=specs.BoundedArray((2,), np.float32, -1, 1), extras=())
  steps = np.zeros(3, np.float32)
  datasets.write(tmp_path / "0.npz", datasets.Episode(np.zeros(4, np.float32), np.full((3, 2), 1.01), steps, steps))
  with pytest.raises(ValueError, match="0.npz.*action: expected numbers from -1.0 to 1.0, got 1.0"):
    list(datasets.read(tmp_path, spec))


def npy(header):
  """The bytes of an array file with such a header."""
  text = header.encode().ljust(117) + b"\n"
  return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize("shape", ["(10**12,)", (10**12,), (10**30,), (-1,), "(" * 5000], ids=lambda s: str(s)[:20])
def test_headers_that_ask_for_the_impossible_are_refused_by_name(folder, shape):
  header = shape if isinstance(shape, str) else repr({"descr": "<f4", "fortran_order": False, "shape": shape})
  rewrite(folder / "episode_0.npz", remove("reward"))
  with zipfile.ZipFile(folder / "episode_0.npz", "a") as archive:
    archive.writestr("reward.npy", npy(header))
  with pytest.raises(ValueError, match="episode_0.npz is no episode that fits"):
    list(datasets.read(folder, SPEC))


def damage(content, rng):
  content = bytearray(content)
  for place in rng.integers(0, len(content), 20):
    content[place] = rng.integers(0, 256)
  return bytes(content[: rng.integers(0, len(content))]) if rng.random() < 0.3 else bytes(content)


def test_damaged_files_are_refused_by_name(folder):
  """Whatever happened to a file: it is read, or named."""
  path, rng = folder / "episode_1.npz", np.random.default_rng(0)
  with np.load(path) as arrays:
    np.savez_compressed(folder / "packed.npz", **arrays)
  packed = (folder / "packed.npz").read_bytes()
  (folder / "packed.npz").unlink()
  named = 0
  for content in (path.read_bytes(), packed):
    for damaged in (b"", b"no episode", content[:100], *(damage(content, rng) for _ in range(150))):
      path.write_bytes(damaged)
      try:
        list(datasets.read(folder, SPEC))
      except ValueError as error:
        assert "episode_1.npz" in str(error)
        named += 1
  assert named > 250


@pytest.mark.parametrize(
  "length", [np.array(14), np.array([[5]]), [-5], [5.0], ["5"], [0], [4], [2**62] * 4 + [5], np.array([], int)], ids=str
)
def test_lengths_that_are_none_are_refused_by_name(folder, length):
  rewrite(folder / "episode_0.npz", replace("length", np.asarray(length)))
  for ask in (lambda: datasets.num_rows(folder, SPEC), lambda: list(datasets.read(folder, SPEC))):
    with pytest.raises(ValueError, match=r"episode_0.npz is no episode that fits: .*expected"):
      ask()


def test_what_is_no_plain_file_is_refused_by_name(folder):
  os.mkfifo(folder / "episode_3.npz")  # To open it would be to wait for ever.
  (folder / "episode_4.npz").symlink_to("/dev/zero")
  for name in ("episode_3.npz", "episode_4.npz"):
    with pytest.raises(ValueError, match=f"{name} is no episode that fits: expected a plain file"):
      list(datasets.read(folder, SPEC))
    (folder / name).unlink()
  (folder / datasets.INDEX).symlink_to("/dev/zero")
  with pytest.raises(ValueError, match=r"dataset.json cannot be read: expected a plain file"):
    list(datasets.read(folder, SPEC))


def test_an_archive_that_unpacks_to_more_than_memory_is_refused_by_name(folder):
  with zipfile.ZipFile(folder / "episode_0.npz", "a") as archive:
    archive.writestr("extras/more.npy", b"")
    archive.infolist()[-1].file_size = 2**50  # What the directory at its end is written with.
  for ask in (lambda: datasets.num_rows(folder, SPEC), lambda: list(datasets.read(folder, SPEC))):
    with pytest.raises(ValueError, match=r"episode_0.npz .*it unpacks to 1,048,576.00 GiB, and .* are available"):
      ask()


def test_what_is_appended_while_it_is_read_is_refused(tmp_path, monkeypatch):
  """Else a replay of the fewer episodes that it has room for would say that it is of the whole."""
  spec = specs.EnvironmentSpec(SPEC.observation, SPEC.action, SPEC.reward, SPEC.discount)
  index, read = datasets.Index(spec=spec, extras=SPEC.extras), datasets.read

  def append(number):
    with datasets.Writer(tmp_path / "data", index) as writer:
      writer.write(make_episode(40, number))

  def read_after_another_wrote(*arguments):
    append(1)
    return read(*arguments)

  append(0)
  before = datasets.checksum(tmp_path / "data")
  items = experience.Transitions(dataset=str(tmp_path / "data"))
  with monkeypatch.context() as patch:
    patch.setattr(datasets, "read", read_after_another_wrote)
    with pytest.raises(ValueError, match="data: expected 41 observations, got 82: it changed while it was read"):
      EmbeddedReplay(items, SPEC)

  def read_before_another_writes(*arguments):
    yield from read(*arguments)
    append(2)

  monkeypatch.setattr(datasets, "read", read_before_another_writes)
  held = datasets.checksum(tmp_path / "data")
  assert before != held == EmbeddedReplay(items, SPEC).save()["parts"]["replay"]["checksum"]


def test_an_array_in_place_of_an_archive_is_refused_by_name(folder):
  with (folder / "episode_1.npz").open("wb") as file:
    np.save(file, np.zeros(3))
  with pytest.raises(ValueError, match="episode_1.npz"):
    list(datasets.read(folder, SPEC))


def test_a_folder_without_episodes(tmp_path):
  for path in (tmp_path, tmp_path / "nowhere"):
    for ask in (datasets.checksum, lambda p: list(datasets.read(p, SPEC)), lambda p: datasets.num_rows(p, SPEC)):
      with pytest.raises(FileNotFoundError, match="expected a folder with episodes"):
        ask(path)


def test_what_may_not_be_written(tmp_path):
  episode = make_episode(3)
  for path, change, message in (
    ("0.npy", {}, "ends in .npz"),
    ("0.npz", {"reward": np.array([None] * 3)}, "objects in reward"),
    ("0.npz", {"reward": np.ones(4)}, r"got \[4\] and \[3, 4\]"),
  ):
    with pytest.raises(ValueError, match=message):
      datasets.write(tmp_path / path, episode._replace(**change))
  assert not list(tmp_path.iterdir())
  datasets.write(tmp_path / "0.npz", episode)
  with pytest.raises(FileExistsError):
    datasets.write(tmp_path / "0.npz", episode)
  assert set(zipfile.ZipFile(tmp_path / "0.npz").namelist()) == {
    "observation/position.npy", "observation/seen/0.npy", "action.npy", "reward.npy", "discount.npy",
    "extras/log_prob.npy",
  }  # fmt: skip


ITEMS = {
  "one step": experience.Transitions(),
  "n steps": experience.Transitions(n_step=5, discount=0.9),  # More items than steps: the shorter ones at the end.
  "clipped": experience.Transitions(n_step=3, max_abs_reward=0.5, one_step=True),
  **{
    end: experience.Sequences(length=4, period=2, end_of_episode=end)
    for end in ("zero_pad", "truncate", "write", "continue")
  },
  "sequences of one step": experience.Sequences(length=1, period=1),
}


def around(episodes, kind):
  """The episodes; twice, where sequences cross from the last one into the first."""
  return list(episodes) * (1 + (kind == "continue"))


@pytest.mark.parametrize("kind", ITEMS)
def test_items_of_a_dataset_are_those_made_online(folder, kind):
  items = ITEMS[kind]
  recorder = golden.RecordingWriter()
  adder = make_adder(items, recorder, "replay")
  for episode in around(datasets.read(folder, SPEC), kind):
    for action, timestep, extras in datasets.play(episode):
      adder.add_first(timestep) if action is None else adder.add(action, timestep, extras)
  wanted = recorder.items()
  made = EmbeddedReplay(items.from_dataset(str(folder)), SPEC)
  table = made._parts["replay"].store.table("replay")
  size = made.info()["replay"].size
  assert size == (-(-datasets.num_rows(folder, SPEC)[0] // 2) if kind == "continue" else len(wanted))
  for key, want in enumerate(wanted[:size]):
    got = tree.map_structure(lambda leaf: leaf[0], table.items.take(np.array([key])))
    if isinstance(got, types.Transition):
      got = got._replace(one_step=())
    golden.assert_items_equal([got], [want], rtol=1e-6)


CORE = {"h": specs.Array((2,), np.float32)}


STATEFUL = [kind for kind, items in ITEMS.items() if isinstance(items, experience.Sequences)]


@pytest.mark.parametrize(
  ("kind", "stored_state"), [*((kind, False) for kind in ITEMS), *((kind, True) for kind in STATEFUL)]
)
def test_samples_of_a_dataset_are_those_of_acting(tmp_path, kind, stored_state):
  """The same episodes, acted out and read, are the same items to the bit: what came first, and recurrent state."""
  items = ITEMS[kind]
  if stored_state:
    items = dataclasses.replace(items, stored_state=True).with_core(CORE)
  spec = specs.EnvironmentSpec(SPEC.observation, SPEC.action, SPEC.reward, SPEC.discount)
  online = EmbeddedReplay(items, SPEC)
  adder = online.adder()
  index = datasets.Index(spec=spec, extras=SPEC.extras, core=CORE if stored_state else ())
  episodes = []
  with datasets.Writer(tmp_path / "data", index, part_bytes=500) as writer:
    for seed, (num_steps, end) in enumerate([(5, 0), (1, 1), (2, 0), (8, 1), (3, 0), (9, 0)]):
      core = {"h": np.random.default_rng(seed).random((num_steps, 2), np.float32)} if stored_state else ()
      episodes.append(make_episode(num_steps, seed, end)._replace(core=core))
      writer.write(episodes[-1])
  for episode in around(episodes, kind):
    for t, (action, timestep, extras) in enumerate(datasets.play(episode), start=-1):
      state = tree.map_structure(lambda leaf, t=t: leaf[t : t + 1], episode.core)
      adder.add_first(timestep) if t < 0 else adder.add(action, timestep, extras, state)
  assert len(datasets.read_index(tmp_path / "data").parts) > 1
  read = EmbeddedReplay(items.from_dataset(str(tmp_path / "data")), SPEC)
  tables = [replay._parts["replay"].store.table("replay") for replay in (online, read)]
  sizes = [replay.info()["replay"].size for replay in (online, read)]
  assert sizes[1] > 0 and (sizes[0] == sizes[1] or kind == "continue")
  for key in range(sizes[1]):
    acted, found = (table.items.take(np.array([key])) for table in tables)
    tree.map_structure(np.testing.assert_array_equal, found, acted)


@pytest.mark.parametrize(("length", "period"), [(4, 2), (5, 3), (2, 3), (3, 1), (40, 7)])
@pytest.mark.parametrize("held_out", [0.0, 0.4])
def test_sequences_that_cross_leave_out_no_step(tmp_path, length, period, held_out):
  """They lie on a ring of all rows, one from each multiple of the period on; also where it is shorter than they are."""
  episodes = [make_episode(num_steps, seed) for seed, num_steps in enumerate([5, 1, 4, 3, 2])]
  for i, episode in enumerate(episodes):
    datasets.write(tmp_path / f"{i}.npz", episode)
  items = experience.Sequences(length=length, period=period, end_of_episode="continue", held_out=held_out)
  made = EmbeddedReplay(items.from_dataset(str(tmp_path)), SPEC)
  apart = split.held_out(5, held_out)
  for held in (False, True)[: 2 if held_out else 1]:
    mine = [episode for i, episode in enumerate(episodes) if (i in apart) == held]
    rewards = np.concatenate([np.append(episode.reward, 0) for episode in mine])
    acted = np.concatenate([np.append(np.ones(len(episode.reward)), 0) for episode in mine])
    rows = (np.arange(0, len(rewards), period)[:, None] + np.arange(length)) % len(rewards)
    found = [sample.data for sample in made.once(held)]
    reward, marks = (np.concatenate([getattr(data, name) for data in found]) for name in ("reward", "acted"))
    reward, marks = (x[: len(rows)] if period == 1 else x for x in (reward, marks))  # Then there may be one more.
    np.testing.assert_array_equal(reward, rewards[rows].astype(np.float32))
    np.testing.assert_array_equal(marks, acted[rows])


@pytest.mark.parametrize("recorded", [True, False])
def test_recurrent_states_of_a_dataset_are_those_recorded_or_zeros(tmp_path, recorded):
  core = (specs.Array((2,), np.float32), {"c": SCALAR})
  spec = specs.EnvironmentSpec(SCALAR, specs.DiscreteArray(4), SCALAR, SCALAR)
  state = (np.arange(1, 13, dtype=np.float32).reshape(6, 2), {"c": np.arange(1, 7, dtype=np.float32)})
  floats = np.ones(6, np.float32)
  episode = datasets.Episode(np.arange(7, dtype=np.float32), np.zeros(6, np.int32), floats, floats, (), state)
  with datasets.Writer(tmp_path / "data", datasets.Index(spec=spec, core=core if recorded else ())) as writer:
    writer.write(episode if recorded else episode._replace(core=()))
  items = experience.Sequences(length=3, period=2, stored_state=True, dataset=str(tmp_path / "data")).with_core(core)
  replay = EmbeddedReplay(items, datasets.read_index(tmp_path / "data").step_spec)
  data = next(replay.dataset()).data
  start = data.observation[:, 0].astype(int)
  for i, t in enumerate(start):
    if t < 6:  # At the final observation nothing is done.
      wanted = tree.map_structure(lambda leaf, t=t: leaf[t] if recorded else np.zeros_like(leaf[t]), state)
      tree.map_structure(
        np.testing.assert_array_equal, tree.map_structure(lambda leaf, i=i: leaf[i], data.core), wanted
      )
  assert len(set(start.tolist())) > 1


class Counting(core.Actor):
  """Has for a recurrent state the sum of the observations before an action."""

  scale = 1

  def __init__(self, adder):
    self._adder = adder

  def observe_first(self, timestep):
    self._sum = np.zeros((1, 1), np.float32)
    self._adder.add_first(timestep)

  def select_action(self, observation):
    self._before, self._sum = self._sum, self._sum + self.scale * observation

  def observe(self, action, next_timestep):
    self._adder.add(action, next_timestep, (), self._before)

  def update(self, wait=False):
    pass


def test_recurrent_states_that_were_not_recorded_are_those_of_an_actor(tmp_path):
  """Which sees each episode from its beginning; they are saved, and restored into a replay of another actor."""
  spec = types.Step(SCALAR, specs.DiscreteArray(4), SCALAR, SCALAR, specs.Array((), bool))
  for i, num_steps in enumerate((6, 3)):
    floats = np.ones(num_steps, np.float32)
    observation = np.arange(num_steps + 1, dtype=np.float32)
    datasets.write(tmp_path / f"{i}.npz", datasets.Episode(observation, np.zeros(num_steps, np.int32), floats, floats))
  items = experience.Sequences(length=3, period=1, stored_state=True, dataset=str(tmp_path))
  replay, other = (EmbeddedReplay(items.with_core(specs.Array((1,), np.float32)), spec) for _ in range(2))
  assert not next(replay.dataset()).data.core.any()
  for each in (replay, other):
    each.remember(Counting)
    next(each.dataset())
    Counting.scale = 0
  other.restore(replay.save())
  for each in (replay, other):
    table = each._parts["replay"].store.table("replay")
    found = table.items.take(np.arange(table.info.inserts))
    start = found.observation[:, 0]
    np.testing.assert_array_equal(found.core[:, 0], start * (start - 1) / 2)
    assert sorted(start) == [0, 0, 1, 1, 2, 3, 4]


def test_a_dataset_too_short_for_one_item(folder):
  items = experience.Sequences(length=40, period=1, end_of_episode="write", dataset=str(folder))
  with pytest.raises(ValueError, match="its 3 episodes are too short for one item"):
    EmbeddedReplay(items, SPEC)


def test_returns_of_a_dataset_are_warned_of(tmp_path):
  episode = make_episode(2)._replace(reward=np.array([5, 5], np.float32))
  datasets.write(tmp_path / "0.npz", episode)
  with pytest.warns(UserWarning, match="returns from 5 to 10"):
    EmbeddedReplay(experience.Transitions(dataset=str(tmp_path), value_range=(0.0, 1.0)), SPEC)


def test_a_dataset_in_a_file_that_a_timestep_wrote():
  """dm_env's last timestep of an episode that was cut off keeps its discount."""
  steps = list(datasets.play(make_episode(2, end=1.0)))
  assert steps[-1][1] == dm_env.truncation(*(steps[-1][1][i] for i in (1, 3)), discount=steps[-1][1].discount)


@pytest.mark.parametrize("frame_stack", [None, 2])
def test_a_mapped_replay_gives_the_samples_of_the_embedded_one(folder, frame_stack, tmp_path):
  """Its observations lie in a file, which is not counted as memory."""
  step_spec, path = SPEC, str(folder)
  if frame_stack is not None:
    spec = specs.EnvironmentSpec(specs.Array((2, 3, 2), np.uint8), SPEC.action, SPEC.reward, SPEC.discount)
    path, step_spec = str(tmp_path / "stacks"), datasets.Index(spec=spec).step_spec
    frames = np.arange(54, dtype=np.uint8).reshape(9, 2, 3)
    stacks = np.stack([frames[:-1], frames[1:]], axis=-1)
    ones = np.ones(7, np.float32)
    with datasets.Writer(path, datasets.Index(spec=spec)) as writer:
      writer.write(datasets.Episode(stacks, np.zeros(7, np.int32), ones, ones))
  items = experience.Transitions(n_step=2, batch_size=8, priority_exponent=0.5, dataset=path)
  embedded, mapped = (
    make(items, step_spec, seed=3, frame_stack=frame_stack) for make in (EmbeddedReplay, MappedReplay)
  )
  for _ in range(5):
    wanted, found = next(embedded.dataset()), next(mapped.dataset())
    tree.map_structure(np.testing.assert_array_equal, found, wanted)
  large = SPEC._replace(observation=specs.Array((1000,), np.float32))
  items = experience.Transitions(max_size=10_000)
  with pytest.raises(MemoryError):
    EmbeddedReplay(items, large, available_memory=10_000_000)
  assert MappedReplay(items, large, available_memory=10_000_000).max_steps > 10_000


def test_a_mapped_replay_that_the_disk_does_not_hold(monkeypatch):
  def full(*_):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr("os.posix_fallocate", full)
  with pytest.raises(OSError, match="No space left"):
    MappedReplay(experience.Transitions(max_size=10), SPEC)
