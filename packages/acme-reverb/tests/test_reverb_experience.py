"""Every kind of experience through both replays: the same items, shares, limits and states."""

import contextlib
import dataclasses
import logging
import subprocess
import sys

import numpy as np
import pytest
import tree

from acme import experience, replay, specs, types
from acme_testing import golden

pytest.importorskip("reverb")
acme_replay = pytest.importorskip("acme_replay")

from acme_replay import datasets  # noqa: E402
from acme_reverb import ReverbReplay, ReverbStore, serve  # noqa: E402

SCALAR = specs.Array((), np.float32)
SPEC = types.Step(SCALAR, specs.Array((), np.int32), SCALAR, SCALAR, specs.Array((), bool))
CORE = {"hidden": specs.Array((2,), np.float32)}
TRANSITIONS = experience.Transitions(max_size=30, min_size=3, batch_size=6, priority_exponent=1.0, priority_bonus=0.5)


@pytest.fixture(params=["embedded", "reverb"])
def make(request):
  """A function that makes a replay of an experience; all are closed in the end."""
  with contextlib.ExitStack() as stack:

    def make_replay(description, seed=0):
      if request.param == "embedded":
        return acme_replay.EmbeddedReplay(description, SPEC, seed)
      made = ReverbReplay(description, SPEC, seed, timeout=5, listen_everywhere=True)
      stack.callback(made.close)
      return made

    yield make_replay


def trajectory(num_streams, scale=1):
  """Four episodes, and for several streams the same beside others."""
  episodes = [
    golden.episode([scale * r for r in rewards], [1] * (len(rewards) - 1) + [end], first=100 * i)
    for i, (rewards, end) in enumerate([([1, 2, 4, 8, 16], 0), ([1, 2], 1), ([4], 0), ([1, 1, 1, 1, 1, 1], 1)])
  ]
  forward = [tick for episode in episodes for tick in episode]
  backward = [tick for episode in reversed(episodes) for tick in episode]
  return forward if num_streams is None else golden.stack([forward, backward, forward][:num_streams])


def play(adder, ticks):
  """Shows an adder ticks; the recurrent state that goes into `act` has the observation, and minus it."""
  observation = None
  for tick in ticks:
    if tick.action is None:
      adder.add_first(tick.timestep)
    else:
      adder.add(tick.action, tick.timestep, tick.extras, {"hidden": np.stack([observation, -observation], axis=1)})
    observation = np.atleast_1d(tick.timestep.observation)


def in_order(items):
  """The same items in a table that gives each once, the oldest first."""

  class Once(type(items)):
    def table(self, name):
      return golden.fifo_table(name)

  return Once(**{field.name: getattr(items, field.name) for field in dataclasses.fields(items)})


KINDS = {
  "transitions": experience.Transitions(n_step=3, discount=0.5),
  "clipped": experience.Transitions(n_step=2, max_abs_reward=1.5),
  "queue": experience.Queue(length=3, stored_state=True).with_core(CORE),
  **{
    end: experience.Sequences(length=4, period=2, end_of_episode=end, stored_state=True).with_core(CORE)
    for end in ("zero_pad", "truncate", "write", "continue")
  },
  "without state": experience.Sequences(length=3, period=3),
}


@pytest.mark.parametrize("num_streams", [None, 1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_items(make, kind, num_streams):
  recorder, made = golden.RecordingWriter(num_streams), make(in_order(KINDS[kind]))
  play(acme_replay.make_adder(KINDS[kind], recorder, "replay"), trajectory(num_streams))
  play(made.adder(num_streams), trajectory(num_streams))
  items = golden.read_items(made.store)
  golden.assert_items_equal(items, recorder.items())
  assert len(items) > 3
  for item in items:
    if isinstance(item, types.Sequence) and item.core != () and item.acted[0]:
      np.testing.assert_array_equal(item.core["hidden"], [item.observation[0], -item.observation[0]])


@pytest.mark.parametrize("num_streams", [None, 3])
@pytest.mark.parametrize("n_step", [1, 3])
@pytest.mark.parametrize("limit", [None, 3.0])
def test_one_step(make, n_step, num_streams, limit):
  made = make(in_order(experience.Transitions(n_step=n_step, one_step=True, max_abs_reward=limit)))
  ticks = trajectory(None)
  play(made.adder(num_streams), trajectory(num_streams))
  led_to = {  # By the observation before.
    float(before.timestep.observation): after.timestep
    for before, after in zip(ticks, ticks[1:], strict=False)
    if after.action is not None
  }
  items = golden.read_items(made.store)
  assert len(items) > 10
  for item in items:
    after = led_to[float(item.observation)]
    assert item.one_step.next_observation == after.observation and item.one_step.discount == after.discount
    assert item.one_step.reward == (after.reward if limit is None else min(after.reward, limit))


def test_transitions_of_several_lengths_are_one_batch(make):
  made = make(in_order(experience.Transitions(n_step=3, one_step=True)))
  golden.run_adder(made.adder(), golden.episode([1, 2, 4, 8], [1, 1, 1, 1]))
  data = next(made.store.dataset("replay", 6)).data
  assert data.observation.tolist() == [0, 0, 0, 1, 2, 3] and data.next_observation.tolist() == [1, 2, 3, 4, 4, 4]
  assert data.one_step.next_observation.tolist() == [1, 1, 1, 2, 3, 4]
  assert data.one_step.reward.tolist() == [1, 1, 1, 2, 4, 8]


def test_a_queue_is_given_once_and_full_it_is_an_error(make):
  made = make(experience.Queue(length=3, batch_size=2, max_size=4))
  adder, dataset = made.adder(), made.dataset()
  seen = []
  for tick in golden.episode([1] * 21, [1] * 21):
    play_one(adder, tick)
    while made.available() >= 2:
      seen.extend(next(dataset).data.observation.tolist())
  assert seen == [[2 * i, 2 * i + 1, 2 * i + 2] for i in range(10)]
  with pytest.raises(RuntimeError, match="The queue 'replay' is full: it holds 4 of 4"):
    for tick in golden.episode([1] * 21, [1] * 21):
      play_one(adder, tick)


def play_one(adder, tick):
  if tick.action is None:
    adder.add_first(tick.timestep)
  else:
    adder.add(tick.action, tick.timestep)


def test_priorities_have_the_bonus(make):
  made = make(dataclasses.replace(TRANSITIONS, batch_size=64))
  golden.run_adder(made.adder(), golden.episode([1] * 4, [1] * 4))
  dataset = made.dataset()
  batch = next(dataset)
  made.update_priorities(batch.keys, batch.data.observation)
  batch = next(dataset)
  np.testing.assert_allclose(batch.probabilities, (batch.data.observation + 0.5) / 8, rtol=1e-6)


@pytest.fixture
def recorded(tmp_path):
  """An episode of 6 steps with observations from -7 to -1."""
  ticks = np.arange(-7, 0, dtype=np.float32)
  ones = np.ones(6, np.float32)
  datasets.write(tmp_path / "0.npz", datasets.Episode(ticks, ones.astype(np.int32), ones, ones))
  return str(tmp_path)


def mixed(path, share, **others):
  parts = {"demos": dataclasses.replace(TRANSITIONS, priority_bonus=2.0).from_dataset(path), "acting": TRANSITIONS}
  return experience.Mixed(parts=parts, share=share, batch_size=5, **others)


SHARES = {"demos": 0.3, "acting": 0.7}


def test_a_mixture_by_fixed_shares(make, recorded):
  made = make(mixed(recorded, SHARES, samples_per_insert=4.0))
  dataset, adder = made.dataset(), made.adder()
  assert made.available() == 0 and (next(dataset).data.observation < 0).all()  # Before acting.
  counts, batches = np.zeros(2, int), 0
  for inserts, tick in enumerate(golden.episode([1] * 60, [1] * 60)):
    play_one(adder, tick)
    while made.available() >= 5:
      batch = next(dataset)
      np.testing.assert_array_equal(batch.table, batch.data.observation >= 0)
      np.testing.assert_array_equal(batch.keys[:, 0], batch.table)
      counts += np.bincount(batch.table, minlength=2)
      batches += 1
      made.update_priorities(batch.keys, np.zeros(5))
    assert batches == max(0, (inserts - 3) * 4) // 5  # The whole batch counts.
  assert abs(counts[0] - 0.3 * 5 * batches) < 1
  made.update_priorities(batch.keys, np.array([3, 3, 3, 3, 3]))
  with pytest.raises(RuntimeError, match="insert more first"):
    next(dataset)


def test_a_saved_mixture_goes_on(make, recorded):
  """Each has its own bonus, and a restored one the same priorities, shares and counts."""
  made, other = (make(mixed(recorded, SHARES, samples_per_insert=4.0), seed) for seed in (0, 1))
  adder, dataset = made.adder(), made.dataset()
  golden.run_adder(adder, golden.episode([1] * 12, [1] * 12, open_end=True))
  for _ in range(3):
    batch = next(dataset)
    made.update_priorities(batch.keys, np.zeros(5))
  assert made.available() == 9 * 4 - 15
  other.restore(made.save())
  other_adder = other.adder()
  other_adder.restore(adder.save())
  for each, its_adder in ((made, adder), (other, other_adder)):
    assert each.available() == 9 * 4 - 15 and each.info()["acting"].inserts == 12
    golden.run_adder(its_adder, [golden.Tick(np.int32(1), t.timestep) for t in golden.episode([2], [1], first=12)[1:]])
    assert each.info()["acting"].inserts == 13
  tables = [np.concatenate([next(each.dataset()).table for _ in range(3)]) for each in (made, other)]
  np.testing.assert_array_equal(*tables)


def test_a_dataset_alone_needs_no_server(recorded):
  made = ReverbReplay(TRANSITIONS.from_dataset(recorded), SPEC)
  assert (next(made.dataset()).data.observation < 0).all()


def test_shares_by_priority_are_refused(recorded):
  with pytest.raises(ValueError, match="cannot say the sum of its priorities; give fixed shares"):
    ReverbReplay(mixed(recorded, "priority"), SPEC, listen_everywhere=True)


# --- At an address. ---


@pytest.fixture
def served(tmp_path):
  """A function that serves an experience in this process, and returns what connects to it."""
  with contextlib.ExitStack() as stack:

    def start(description, **others):
      server = serve(description, SPEC, None, tmp_path / "checkpoints", listen_everywhere=True)
      stack.callback(server.close)
      made = ReverbReplay(description, SPEC, address=f"localhost:{server.port}", **{"timeout": 30, **others})
      stack.callback(made.close)
      return made

    yield start


@pytest.mark.parametrize("kind", ["transitions", "zero_pad", "queue"])
def test_items_at_an_address(served, kind):
  made, recorder = served(in_order(KINDS[kind])), golden.RecordingWriter(3)
  play(acme_replay.make_adder(KINDS[kind], recorder, "replay"), trajectory(3))
  play(made.adder(3), trajectory(3))
  golden.assert_items_equal(golden.read_items(made.store), recorder.items())


def test_a_mixture_at_an_address(served, tmp_path):
  (tmp_path / "data").mkdir()
  ones = np.ones(6, np.float32)
  episode = datasets.Episode(np.arange(-7, 0, dtype=np.float32), ones.astype(np.int32), ones, ones)
  datasets.write(tmp_path / "data" / "0.npz", episode)
  made = served(mixed(str(tmp_path / "data"), SHARES, samples_per_insert=4.0))
  assert (next(made.dataset()).data.observation < 0).all()
  golden.run_adder(made.adder(), golden.episode([1] * 23, [1] * 23))
  tables = [next(made.dataset()).table for _ in range(16)]
  assert np.bincount(np.concatenate(tables)).tolist() == [24, 56] and made.available() == 0
  state = made.save()
  assert "files" not in state["parts"]["acting"] and "checksum" in state["parts"]["demos"]
  made.restore(state)


def test_another_experience_at_an_address_is_refused(served):
  made = served(KINDS["zero_pad"])
  for other, message in (
    (dataclasses.replace(KINDS["zero_pad"], core_spec=()), "it has also item_core/hidden"),
    (KINDS["zero_pad"].with_core({"hidden": specs.Array((3,), np.float32)}), r"item_core/hidden is float32\[3\] here"),
    (dataclasses.replace(KINDS["zero_pad"], max_size=9), "max_size"),
  ):
    with pytest.raises(ValueError, match=message):
      ReverbReplay(other, SPEC, address=made.store.address, timeout=5)


# --- Who may reach it, and what a checkpoint may write. ---


def test_a_server_is_refused_unless_it_may_listen_everywhere(tmp_path, caplog):
  start = (
    lambda **allow: ReverbReplay(TRANSITIONS, SPEC, **allow),
    lambda **allow: ReverbStore([replay.Table()], SPEC, **allow),
    lambda **allow: serve(TRANSITIONS, SPEC, None, tmp_path / "here", **allow),
  )
  for make_server in start:
    with pytest.raises(ValueError, match="EVERY network interface.*listen_everywhere=True, or --listen-everywhere"):
      make_server()
    caplog.clear()
    with caplog.at_level(logging.WARNING):
      make_server(listen_everywhere=True).close()
    assert "EVERY network interface" in caplog.text and "firewall" in caplog.text
  with pytest.raises(ConnectionError):  # Who connects listens nowhere.
    ReverbReplay(TRANSITIONS, SPEC, address="localhost:1", timeout=1)


def test_a_server_for_datasets_alone_is_refused(recorded, tmp_path):
  with pytest.raises(ValueError, match="no table that actors add to"):
    serve(TRANSITIONS.from_dataset(recorded), SPEC, None, tmp_path, listen_everywhere=True)


@pytest.mark.parametrize("where", ["../escaped", "{outside}", "a/DONE", "DONE/../../escaped", "", "other.tfrecord"])
def test_a_checkpoint_writes_no_file_but_its_own(where, tmp_path):
  outside = tmp_path / "escaped"
  (tmp_path / "servers").mkdir()
  made = ReverbReplay(TRANSITIONS, SPEC, checkpoint_dir=tmp_path / "servers", listen_everywhere=True)
  golden.run_adder(made.adder(), golden.episode([1] * 6, [1] * 6))
  state = made.save()
  assert set(state["parts"]["replay"]["files"]) == {"DONE", "chunks.tfrecord", "items.tfrecord", "tables.tfrecord"}
  files = state["parts"]["replay"]["files"]
  files[where.format(outside=outside)] = np.frombuffer(b"anything", np.uint8)
  before = sorted(tmp_path.rglob("*"))
  with pytest.raises(ValueError, match="files that no checkpoint of Reverb has"):
    made.restore(state)
  assert sorted(tmp_path.rglob("*")) == before
  assert made.info()["replay"].size == 6  # It goes on as it was.
  del files[where.format(outside=outside)]
  made.restore(state)
  assert made.info()["replay"].size == 6
  made.close()
  assert not outside.exists()


def test_the_command_line_finds_both():
  program = (
    "from importlib import metadata\n"
    "from acme import plugins\n"
    "assert plugins.load_replay('reverb').__name__ == 'ReverbReplay'\n"
    "assert [e.load().__name__ for e in metadata.entry_points(group='acme.replay_servers')] == ['serve']\n"
  )
  subprocess.run([sys.executable, "-c", program], check=True, timeout=100)


def test_sequences_of_unequal_lengths_from_both_stores_make_one_batch(make, recorded):
  online = experience.Sequences(length=3, period=2, max_size=40, stored_state=True)
  parts = {"acting": online, "demos": dataclasses.replace(online, length=6).from_dataset(recorded)}
  made = make(experience.Mixed(parts=parts, share={"acting": 0.5, "demos": 0.5}, batch_size=4).with_core(CORE))
  play(made.adder(), trajectory(None))
  data = next(made.dataset()).data
  assert data.mask.shape == (4, 6) and data.core["hidden"].shape == (4, 2)
  assert all(leaf.shape[:1] == (4,) for leaf in tree.flatten(data))
