"""Every kind of experience through the embedded replay: what adders make, what samples hold, what comes back."""

import copy
import dataclasses
import math
import warnings

import dm_env
import numpy as np
import pytest
import tree

from acme import checkpointing, experience, replay, specs, types
from acme_replay import EmbeddedReplay, EmbeddedStore, SequenceAdder, datasets, make_adder, size_in_bytes
from acme_testing import golden

FIRST, MID, LAST = (int(step_type) for step_type in dm_env.StepType)
SCALAR = specs.Array((), np.float32)
PAIR = specs.Array((2,), np.float32)
STEP = types.Step(PAIR, specs.Array((), np.int32), SCALAR, SCALAR, specs.Array((), bool))
ENDS = ("zero_pad", "truncate", "write", "continue")


class Streams:
  """N environments, or one, whose observation is (stream, tick); the reward that comes with it is the tick.

  The recurrent state that goes into `act` is the observation. Episodes have `shortest` steps or more.
  """

  def __init__(self, adder, num_streams=None, seed=0, mean_length=6.0, shortest=1):
    self.adder, self._count, self._one = adder, num_streams or 1, num_streams is None
    self._rng = np.random.default_rng(seed)
    self._mean, self._shortest = mean_length, shortest
    self._step_type, self._age = np.full(self._count, LAST), np.zeros(self._count, int)
    self._tick = 0

  def play(self, num_ticks):
    for _ in range(num_ticks):
      fresh = self._step_type == LAST
      self._age = np.where(fresh, 0, self._age + 1)
      ends = (self._age >= self._shortest) & (self._rng.random(self._count) < 1 / self._mean)
      self._step_type = np.where(fresh, FIRST, np.where(ends, LAST, MID))
      core = self._observation()
      self._tick += 1
      values = (
        self._step_type,
        np.full(self._count, self._tick, np.float32),
        np.where(self._step_type == LAST, 0, 1).astype(np.float32),
        self._observation(),
      )
      if self._one:
        values = [value[0] for value in values]
      timestep = dm_env.TimeStep(*values)
      if self._tick == 1 or (self._one and fresh[0]):
        self.adder.add_first(timestep)
      else:
        action = np.full(self._count, self._tick - 1, np.int32)
        self.adder.add(action[0] if self._one else action, timestep, (), core)
    return self

  def twin(self, adder):
    """Environments that go the same way from here on."""
    other = copy.deepcopy({name: value for name, value in vars(self).items() if name != "adder"})
    result = Streams(adder)
    vars(result).update(other)
    return result

  def _observation(self):
    return np.stack([np.arange(self._count), np.full(self._count, self._tick)], axis=1).astype(np.float32)


def in_order(items, **others):
  """A replay whose samples are every item once, the oldest first, and a function that reads them."""

  class Once(type(items)):
    def table(self, name):
      return golden.fifo_table(name, max_size=items.max_size)

  made = Once(**{field.name: getattr(items, field.name) for field in dataclasses.fields(items)})
  made = EmbeddedReplay(made, STEP, **others)
  return made, lambda: golden.read_items(made.store)


def sample(made):
  return next(made.dataset())


def assert_proportional(counts, weights):
  """A chi-squared test at about five standard deviations."""
  counts, weights = np.asarray(counts), np.asarray(weights)
  expected = counts.sum() * weights / weights.sum()
  statistic, freedom = np.sum((counts - expected) ** 2 / expected), len(counts) - 1
  assert abs(statistic - freedom) < 5 * math.sqrt(2 * freedom) + 5, (statistic, freedom)


# --- Transitions. ---


@pytest.mark.parametrize("num_streams", [None, 1, 3])
@pytest.mark.parametrize("limit", [None, 4.5])
@pytest.mark.parametrize("n_step", [1, 3])
def test_transitions(num_streams, limit, n_step):
  """R is the sum of the rewards, each clipped before; one_step is the first of them alone."""
  items = experience.Transitions(n_step=n_step, max_abs_reward=limit, one_step=True, max_size=1000)
  made, read = in_order(items)
  Streams(made.adder(num_streams), num_streams).play(40)
  found = read()
  assert len(found) > 30 * (num_streams or 1) / 2
  assert {int(item.observation[0]) for item in found} == set(range(num_streams or 1))
  for item in found:
    first, last = item.observation[1], item.next_observation[1]
    assert 1 <= last - first <= n_step and item.action == first
    rewards = np.arange(first + 1, last + 1)
    assert item.reward == np.minimum(rewards, np.inf if limit is None else limit).sum()
    assert item.one_step.reward == (first + 1 if limit is None else min(first + 1, limit))
    assert item.one_step.next_observation.tolist() == [item.observation[0], first + 1]
    assert item.one_step.discount == 1 or (item.one_step.discount == 0 and item.discount == 0)


def test_without_one_step_there_is_none():
  made, read = in_order(experience.Transitions(max_size=50))
  Streams(made.adder()).play(10)
  assert read()[0].one_step == ()


@pytest.mark.parametrize("limit", [None, 2.0])
def test_negative_rewards_are_clipped_too(limit):
  made, read = in_order(experience.Transitions(n_step=2, discount=0.5, max_abs_reward=limit, max_size=50))
  trajectory = golden.episode([-8, 4, -1], [1, 1, 0])
  adder = made.adder()
  for tick in trajectory:
    timestep = tick.timestep._replace(observation=np.full(2, tick.timestep.observation))
    adder.add_first(timestep) if tick.action is None else adder.add(tick.action, timestep)
  wanted = [-8, -6, 3.5, -1] if limit is None else [-2, -1, 1.5, -1]
  assert [item.reward for item in read()] == wanted


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
def test_whole_rewards_are_clipped_to_whole_numbers(dtype):
  step = dm_env.transition(dtype(5), np.zeros(2, np.float32), np.float32(1))

  def add(limit):
    items = experience.Transitions(max_abs_reward=limit, batch_size=1, min_size=1, max_size=50)
    made = EmbeddedReplay(items, STEP._replace(reward=specs.Array((), dtype)), seed=0)
    adder = made.adder()
    adder.add_first(dm_env.restart(np.zeros(2, np.float32)))
    adder.add(np.int32(0), step)
    return next(made.dataset()).data.reward.item()

  assert (add(None), add(1.0), add(3)) == (5, 1, 3)
  with pytest.raises(ValueError, match="clipped reward: expected a number that .*int.* holds, got .*0.5"):
    add(0.5)


RETURNS = [  # Rewards of an episode, γ, the range, the clipping, and the returns that are warned of.
  ([1, 1, 1], 0.5, (0, 2), None, None),
  ([1, 1, 1], 1.0, (0, 2), None, "from 1 to 3"),
  ([0, 0, -3], 0.5, (-1, 1), None, "from -3 to -0.75"),
  ([9, 0, 0], 0.5, (0, 2), 1.0, None),  # What is learned from are clipped rewards.
]


@pytest.mark.parametrize("num_streams", [None, 2])
@pytest.mark.parametrize(("rewards", "discount", "values", "limit", "warned"), RETURNS)
def test_returns_outside_the_range_are_warned_of(num_streams, rewards, discount, values, limit, warned):
  items = experience.Transitions(discount=discount, value_range=values, max_abs_reward=limit, max_size=50)
  writer = golden.RecordingWriter(num_streams)
  trajectory = golden.episode(rewards, [1] * len(rewards))
  trajectory = trajectory if num_streams is None else golden.stack([trajectory] * num_streams)
  with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    golden.run_adder(make_adder(items, writer, "replay"), trajectory)
  assert [str(each.message).split(" were seen")[0].partition("returns ")[2] for each in caught] == (
    [] if warned is None else [warned]  # Once: the second stream's go no further out.
  )
  assert len(writer.items()) == len(rewards) * (num_streams or 1)


def test_returns_are_warned_of_again_where_they_go_twice_as_far():
  adder = make_adder(experience.Transitions(value_range=(0, 1)), golden.RecordingWriter(), "replay")
  warned = []
  for reward in (3, 5, 6, 7, 13, -1, -2, -3):
    with warnings.catch_warnings(record=True) as caught:
      warnings.simplefilter("always")
      golden.run_adder(adder, golden.episode([reward], [0]))
    warned += [reward] * len(caught)
  assert warned == [3, 7, -1, -3]


def test_returns_of_a_saved_episode_are_those_of_the_whole():
  items = experience.Transitions(value_range=(0, 2))
  adder, other = (make_adder(items, golden.RecordingWriter(), "replay") for _ in range(2))
  trajectory = golden.episode([1, 1, 1], [1, 1, 0])
  golden.run_adder(adder, trajectory[:2])
  other.restore(adder.save())
  with pytest.warns(UserWarning, match="from 1 to 3"):
    golden.run_adder(other, trajectory[2:])


# --- Sequences. ---


def sequences(end="zero_pad", **fields):
  fields = {"length": 5, "period": 2, "stored_state": True, "max_size": 1000, **fields}
  return experience.Sequences(end_of_episode=end, **fields).with_core(PAIR)


KINDS = {end: sequences(end) for end in ENDS}
KINDS["period above length"] = sequences(length=2, period=3)
KINDS["one step"] = sequences(length=1, period=1)
KINDS["queue"] = experience.Queue(length=4, stored_state=True, max_size=1000).with_core(PAIR)


def check_sequence(item):
  """A sequence says of itself where it came from; at an episode's final observation nothing was done."""
  length = int(item.mask.sum())
  real, acted = item.mask == 1, item.acted == 1
  stream, tick = item.observation[real].T
  np.testing.assert_array_equal(tick, tick[0] + np.arange(length))
  assert set(stream) == {stream[0]}
  assert not (acted & ~real).any()
  # A step without an action ends the episode: padding, a start, or nothing comes after it.
  follows = np.append(item.start_of_episode[1:] | ~real[1:], True)
  assert np.all(follows[real & ~acted])
  assert not item.start_of_episode[1:][acted[:-1]].any()
  for name, wanted in (("action", tick), ("reward", tick + 1)):
    np.testing.assert_array_equal(getattr(item, name)[real], np.where(acted[real], wanted, 0))
    assert not getattr(item, name)[~real].any()
  for name, wanted in (("previous_action", tick - 1), ("previous_reward", tick)):
    np.testing.assert_array_equal(getattr(item, name)[real], np.where(item.start_of_episode[real], 0, wanted))
    assert not getattr(item, name)[~real].any()
  if acted[0]:
    np.testing.assert_array_equal(item.core, item.observation[0])


@pytest.mark.parametrize("num_streams", [None, 1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_sequences_with_the_state_at_their_first_step(kind, num_streams):
  made, read = in_order(KINDS[kind])
  Streams(made.adder(num_streams), num_streams).play(120)
  items = read()
  assert sum(item.acted[0] for item in items) > 20
  for item in items:
    check_sequence(item)


@pytest.mark.parametrize("num_streams", [None, 1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_saved_mid_episode_sequences_and_states_are_the_same(kind, num_streams):
  def play(*ticks):
    """Items of an adder that was saved and restored between some ticks."""
    writer, found = golden.RecordingWriter(num_streams), []
    streams = Streams(make_adder(KINDS[kind], writer, "replay"), num_streams, mean_length=4)
    for count in ticks:
      streams.play(count)
      found, fresh = writer.items(), golden.RecordingWriter(num_streams)
      adder = make_adder(KINDS[kind], fresh, "replay")
      adder.restore(streams.adder.save())
      streams.adder, writer = adder, fresh
    return found

  golden.assert_items_equal(play(5, 1, 1, 6, 2, 1, 1, 1, 9), play(27))


def test_without_stored_state_there_is_none_and_with_it_it_must_come():
  made, read = in_order(sequences(stored_state=False))
  Streams(made.adder()).play(20)
  assert read()[0].core == ()
  made, _ = in_order(sequences())
  with pytest.raises(ValueError, match="core: expected"):
    golden.run_adder(made.adder(), [t._replace(timestep=t.timestep._replace(observation=np.zeros(2))) for t in SIX])


SIX = golden.episode([1] * 6, [1] * 6)


@pytest.mark.parametrize("num_streams", [None, 64])
@pytest.mark.parametrize("kind", ENDS)
@pytest.mark.parametrize(("length", "period"), [(8, 4), (20, 1), (2, 7)])
def test_a_table_of_sequences_is_full_before_one_is_dropped(kind, length, period, num_streams):
  items = sequences(kind, length=length, period=period, max_size=1200, stored_state=False)
  made = EmbeddedReplay(items, STEP)
  shortest = length if kind == "write" else 1  # An episode without an item takes steps all the same.
  streams = Streams(made.adder(num_streams), num_streams, mean_length=1.2 * length, shortest=shortest)
  with warnings.catch_warnings():
    warnings.simplefilter("error")  # The store warns where it must drop items early.
    while made.info()["replay"].inserts < 1800:
      streams.play(50)
      info = made.info()["replay"]
      assert info.size == min(info.inserts, 1200)


@pytest.mark.parametrize("kind", ["transitions", "continue", "queue"])
def test_as_many_streams_as_items_are_held(kind):
  """None has made an item of its newest steps yet, and its oldest item goes back as far."""
  items = {
    "transitions": experience.Transitions(n_step=60, max_size=256),
    "continue": sequences("continue", length=20, period=19, max_size=256, stored_state=False),
    "queue": experience.Queue(length=20, max_size=512, batch_size=512),
  }[kind]
  made = EmbeddedReplay(items, STEP)
  streams = Streams(made.adder(256), 256)
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    for _ in range(64):
      streams.play(1)
      info = made.info()["replay"]
      assert info.size == min(items.max_size, info.inserts - info.samples)
      if kind == "queue" and made.available() >= 512:
        assert sorted(sample(made).data.observation[:, 0, 0]) == sorted([*range(256)] * 2)
  assert made.info()["replay"].inserts >= 3 * 256


# --- Queues. ---


@pytest.mark.parametrize("num_streams", [None, 1, 3, 64])
@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_a_queue_gives_each_sequence_once_in_order_and_keeps_none_back(num_streams, batch_size):
  n = num_streams or 1
  items = experience.Queue(length=5, batch_size=batch_size, max_size=max(64, n), stored_state=True).with_core(PAIR)
  made = EmbeddedReplay(items, STEP)
  streams, recorder = Streams(made.adder(num_streams), num_streams), golden.RecordingWriter(num_streams)
  same = Streams(make_adder(items, recorder, "replay"), num_streams)
  found, keys = [], []
  for _ in range(80 if n < 64 else 30):
    streams.play(1)
    same.play(1)
    while made.available() >= batch_size:
      batch = sample(made)
      keys.extend(batch.keys)
      found += [tree.map_structure(lambda leaf, i=i: leaf[i], batch.data) for i in range(batch_size)]
    assert made.available() < batch_size
  np.testing.assert_array_equal(keys, np.arange(len(keys)))
  assert len(recorder.items()) - len(found) == made.info()["replay"].size < batch_size
  golden.assert_items_equal(found, recorder.items()[: len(found)])
  for stream in range(n):
    mine = [item.observation[:, 1] for item in found if item.observation[0, 0] == stream]
    for before, after in zip(mine, mine[1:], strict=False):
      assert before[-1] == after[0]  # One bootstraps where the other begins.


def test_a_full_queue_is_an_error_in_one_process():
  made = EmbeddedReplay(experience.Queue(length=3, max_size=4, batch_size=4), STEP)
  with pytest.raises(RuntimeError, match="The queue 'replay' is full: it holds 4 of 4"):
    Streams(made.adder()).play(50)
  assert made.info()["replay"] == replay.TableInfo(4, 4, 0)


# --- Priorities. ---


@pytest.mark.parametrize("bonus", [0.0, 0.5])
def test_priorities_have_the_bonus(bonus):
  items = experience.Transitions(priority_exponent=1.0, priority_bonus=bonus, max_size=4, batch_size=400)
  made = EmbeddedReplay(items, STEP)
  Streams(made.adder(), mean_length=1e9).play(5)
  made.update_priorities(np.arange(4), np.array([0, 1, 2, 3], np.float32))
  batch = sample(made)
  weights = np.arange(4) + bonus
  np.testing.assert_allclose(batch.probabilities, (weights / weights.sum())[batch.keys])


def test_without_an_exponent_samples_are_uniform_by_the_ratio():
  items = experience.Transitions(max_size=50, min_size=10, samples_per_insert=0.3, batch_size=3)
  made, taken = EmbeddedReplay(items, STEP), 0
  streams = Streams(made.adder(), mean_length=1e9)
  for inserts in range(101):
    streams.play(1)
    while made.available() >= 3:
      taken += len(sample(made).keys)
    assert taken == max(0, (inserts - 10) * 3 // 10) // 3 * 3
  made.update_priorities(np.arange(100), np.ones(100))  # Nobody minds.


# --- Mixtures. ---


@pytest.fixture
def recorded(tmp_path):
  """Two episodes of 6 steps, whose observations are (9, t) and (9, 100 + t)."""
  for i in range(2):
    ticks = 100 * i + np.arange(7, dtype=np.float32)
    datasets.write(
      tmp_path / f"{i}.npz",
      datasets.Episode(
        np.stack([np.full(7, 9), ticks], axis=1).astype(np.float32),
        ticks[:6].astype(np.int32),
        ticks[1:],
        np.array([1, 1, 1, 1, 1, 0], np.float32),
      ),
    )
  return str(tmp_path)


def mixed(path, share, batch_size=8, ratio=None, **fields):
  online = experience.Transitions(**{"max_size": 20, "min_size": 5, **fields})
  parts = {"acting": online, "demos": online.from_dataset(path)}
  return experience.Mixed(parts=parts, share=share, batch_size=batch_size, samples_per_insert=ratio)


def of_demos(batch):
  """Which items of a batch [B] are demonstrations, by what they hold."""
  return batch.data.observation[..., 0].reshape(len(batch.keys), -1)[:, 0] == 9


@pytest.mark.parametrize("share", [0.25, 0.1, 1 / 256, 0.875, 0.7, 1 / 6, 1 / 48])
@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_fixed_shares_are_exact_over_time(recorded, share, batch_size):
  made = EmbeddedReplay(mixed(recorded, {"acting": 1 - share, "demos": share}, batch_size), STEP)
  Streams(made.adder()).play(30)
  taken = np.zeros(2)
  for k in range(1, 100):
    batch = sample(made)
    demos = of_demos(batch)
    np.testing.assert_array_equal(batch.table, demos)
    np.testing.assert_array_equal(batch.keys[:, 0], demos)
    taken += [np.sum(~demos), np.sum(demos)]
    assert np.all(np.abs(taken - [k * batch_size * (1 - share), k * batch_size * share]) < 1 + 1e-6)
    # Uniform within a part; which is to say share / size each.
    np.testing.assert_allclose(batch.probabilities, np.where(demos, share / 12, (1 - share) / 20))


def test_every_stretch_of_a_batch_has_its_share(recorded):
  made = EmbeddedReplay(mixed(recorded, {"acting": 0.75, "demos": 0.25}, batch_size=64), STEP)
  Streams(made.adder()).play(30)
  for _ in range(5):
    np.testing.assert_array_equal(of_demos(sample(made)).reshape(8, 8).sum(axis=1), 2)


def test_three_parts(recorded):
  demos = experience.Transitions().from_dataset(recorded)
  parts = {"a": demos, "acting": experience.Transitions(max_size=9, min_size=2), "b": demos}
  shares = {"a": 0.3, "acting": 0.5, "b": 0.2}
  made, counts = EmbeddedReplay(experience.Mixed(parts=parts, share=shares, batch_size=3), STEP), np.zeros(3)
  for _ in range(10):  # Before acting, in the same proportion to each other.
    counts += np.bincount(sample(made).table, minlength=3)
  np.testing.assert_array_equal(counts, [18, 0, 12])
  Streams(made.adder()).play(30)
  for _ in range(100):
    counts += np.bincount(sample(made).table, minlength=3)
  np.testing.assert_allclose(counts, [18 + 90, 150, 12 + 60], atol=1)


@pytest.mark.parametrize("exponent", [1.0, 0.6])
def test_shares_by_priority_are_those_of_all_items_together(recorded, exponent):
  made = EmbeddedReplay(
    mixed(recorded, "priority", batch_size=500, priority_exponent=exponent, priority_bonus=0.0), STEP
  )
  Streams(made.adder()).play(60)
  made.dataset()
  inserts = made.info()["acting"].inserts
  keys = np.array([[0, k] for k in range(inserts - 20, inserts)] + [[1, k] for k in range(12)])
  priorities = np.linspace(0.1, 4, 32) ** 2
  made.update_priorities(keys, priorities)
  weights = dict(zip(map(tuple, keys.tolist()), priorities**exponent, strict=True))
  counts = dict.fromkeys(weights, 0)
  for _ in range(40):
    batch = sample(made)
    np.testing.assert_array_equal(of_demos(batch), batch.keys[:, 0])
    for key, probability in zip(map(tuple, batch.keys.tolist()), batch.probabilities, strict=True):
      counts[key] += 1
      assert probability == pytest.approx(weights[key] / sum(weights.values()))
  assert_proportional(list(counts.values()), list(weights.values()))


def test_priorities_go_back_each_to_its_table_with_its_bonus(recorded):
  """As in DQfD (1704.03732), where demonstrations have a larger ε."""
  acting = experience.Transitions(priority_exponent=1.0, priority_bonus=0.5, max_size=20)
  demos = dataclasses.replace(acting, priority_bonus=2.0).from_dataset(recorded)
  made = EmbeddedReplay(
    experience.Mixed(parts={"demos": demos, "acting": acting}, share="priority", batch_size=300), STEP
  )
  Streams(made.adder()).play(10)
  inserts = made.info()["acting"].inserts
  keys = np.array([[0, k] for k in range(12)] + [[1, k] for k in range(inserts)])
  made.update_priorities(keys, np.ones(len(keys)))
  total = 12 * 3 + inserts * 1.5
  batch = sample(made)
  np.testing.assert_allclose(batch.probabilities, np.where(batch.table == 0, 3, 1.5) / total)
  with pytest.raises(ValueError, match=r"keys \[B, 2\]"):
    made.update_priorities(keys[:, 1], np.ones(len(keys)))
  dead = EmbeddedReplay(mixed(recorded, "priority", priority_exponent=1.0, priority_bonus=0.0), STEP)
  dead.update_priorities(np.array([[1, k] for k in range(12)]), np.zeros(12))
  with pytest.raises(RuntimeError, match="Every item of demos has priority 0"):
    sample(dead)


@pytest.mark.parametrize("share", [{"acting": 0.5, "demos": 0.5}, "priority"])
def test_before_there_is_enough_batches_are_of_demonstrations_alone(recorded, share):
  made = EmbeddedReplay(mixed(recorded, share, ratio=4.0, min_size=5), STEP)
  streams = Streams(made.adder(), mean_length=1e9)
  streams.play(1)
  for inserts in range(5):
    assert made.available() == 0  # Nothing is due; pre-training samples all the same.
    assert of_demos(sample(made)).all() and made.info()["acting"].inserts == inserts
    streams.play(1)
  assert made.available() == 0
  with pytest.raises(RuntimeError, match="0 items may be sampled now: insert more first"):
    sample(made)
  streams.play(2)
  assert made.available() == 8
  assert not of_demos(sample(made)).all()


def test_pretraining_counts_batches_and_goes_on_where_it_was_saved(recorded):
  description = dataclasses.replace(mixed(recorded, "priority", ratio=4.0, min_size=5), pretraining_batches=4)
  made, other = EmbeddedReplay(description, STEP), EmbeddedReplay(description, STEP)
  for left in (4, 3, 2):
    assert made.pretraining() == left and of_demos(sample(made)).all()
  assert made.available() == 0  # It is not of the ratio.
  other.restore(made.save())
  np.testing.assert_array_equal(sample(made).keys, sample(other).keys)
  for each in (made, other):
    assert each.pretraining() == 0
    Streams(each.adder(), mean_length=1e9).play(8)
    assert each.available() == 8
  assert EmbeddedReplay(description.from_dataset(recorded), STEP).pretraining() == 0


def test_the_ratio_counts_the_whole_batch_against_what_is_inserted(recorded):
  made = EmbeddedReplay(mixed(recorded, {"acting": 0.5, "demos": 0.5}, ratio=3.3, min_size=5), STEP)
  streams, batches = Streams(made.adder(), mean_length=1e9), 0
  streams.play(1)
  for inserts in range(1, 60):
    streams.play(1)
    while made.available() >= 8:
      sample(made)
      batches += 1
    assert batches == max(0, (inserts - 5) * 33 // 10) // 8


def test_demonstrations_stay_for_ever(recorded):
  made = EmbeddedReplay(mixed(recorded, {"acting": 0.5, "demos": 0.5}, batch_size=64, max_size=6), STEP)
  Streams(made.adder()).play(2000)
  seen = {tuple(batch.data.observation[i]) for batch in (sample(made) for _ in range(20)) for i in range(64)}
  assert {o for o in seen if o[0] == 9} == {(9, 100 * e + t) for e in range(2) for t in range(6)}
  assert made.info()["demos"].size == 12 and made.info()["acting"].size == 6


def test_sequences_of_unequal_lengths_are_mixed(recorded):
  online = experience.Sequences(length=4, period=2, end_of_episode="truncate", max_size=40, stored_state=True)
  parts = {"acting": online, "demos": dataclasses.replace(online, length=7).from_dataset(recorded)}
  description = experience.Mixed(parts=parts, share={"acting": 0.5, "demos": 0.5}, batch_size=8).with_core(PAIR)
  made = EmbeddedReplay(description, STEP)
  Streams(made.adder()).play(60)
  batch = sample(made)
  assert batch.data.mask.shape == (8, 7)
  for i, demo in enumerate(of_demos(batch)):
    item = tree.map_structure(lambda leaf, i=i: leaf[i], batch.data)
    check_sequence(item._replace(core=item.observation[0]) if demo else item)
    assert not demo or not item.core.any()  # No state was recorded.


def test_a_dataset_alone_is_a_replay_too(recorded):
  made = EmbeddedReplay(
    experience.Transitions(batch_size=4, min_size=50, samples_per_insert=0.1, dataset=recorded), STEP
  )
  assert made.available() == math.inf and of_demos(sample(made)).all()
  for act in (
    lambda a: a.add_first(dm_env.restart(np.zeros(2))),
    lambda a: a.add(0, dm_env.transition(0, np.zeros(2))),
  ):
    with pytest.raises(RuntimeError, match="learns from a dataset"):
      act(made.adder())
  with pytest.raises(ValueError, match="no store that actors add to"):
    made.store  # noqa: B018


# --- State. ---


def every_kind(path):
  prioritized = {"priority_exponent": 0.7, "max_size": 30, "batch_size": 6}
  return {
    "transitions": experience.Transitions(n_step=3, one_step=True, max_abs_reward=20.0, **prioritized),
    "sequences": dataclasses.replace(KINDS["zero_pad"], **prioritized),
    "queue": dataclasses.replace(KINDS["queue"], batch_size=3),
    "dataset": experience.Transitions(dataset=path, **prioritized),
    "mixed": mixed(path, {"acting": 0.7, "demos": 0.3}, 5, 2.5, priority_exponent=0.7),
    "mixed by priority": mixed(path, "priority", 5, 2.5, priority_exponent=0.7),
  }


@pytest.mark.parametrize("num_streams", [None, 3])
@pytest.mark.parametrize("kind", every_kind(""))
def test_saved_and_restored_it_goes_on_the_same(kind, num_streams, recorded, tmp_path):
  description = every_kind(recorded)[kind]

  def play(made, streams, rng, rounds):
    seen = []
    for _ in range(rounds):
      if kind != "dataset":
        streams.play(7)
      for _ in range(4):
        if made.available() < description.batch_size:
          break
        seen.append(sample(made))
        if description.prioritized:
          made.update_priorities(seen[-1].keys, rng.random(description.batch_size))
      seen.append(made.info())
    return seen

  def make(seed):
    made = EmbeddedReplay(description, STEP, seed)
    return made, Streams(made.adder(num_streams), num_streams)

  made, streams = make(0)
  play(made, streams, np.random.default_rng(1), 9)
  (tmp_path / "state").mkdir()
  checkpointing.write(tmp_path / "state", {"replay": made.save(), "adder": streams.adder.save()}, {})
  other, others = make(7)
  play(other, others, np.random.default_rng(2), 4)
  saved, _ = checkpointing.read(tmp_path / "state")
  other.restore(saved["replay"])
  twin = streams.twin(other.adder(num_streams))
  twin.adder.restore(saved["adder"])
  expected = play(made, streams, np.random.default_rng(3), 6)
  actual = play(other, twin, np.random.default_rng(3), 6)
  assert len(expected) > 6
  tree.map_structure(np.testing.assert_array_equal, actual, expected)


def test_a_saved_state_has_of_a_dataset_the_path_and_the_checksum_not_the_steps(recorded):
  made = EmbeddedReplay(mixed(recorded, "priority", priority_exponent=0.7), STEP)
  state = made.save()["parts"]["demos"]
  assert (state["path"], state["checksum"]) == (recorded, datasets.checksum(recorded))
  table = state["store"]["tables"]["demos"]
  assert state["store"]["ring"] is None and table["items"] is None and len(table["tree"]["leaves"]) == 12


def test_a_dataset_that_changed_is_refused(recorded, tmp_path):
  items = experience.Transitions(dataset=recorded, priority_exponent=1.0)
  state = EmbeddedReplay(items, STEP).save()
  episode = next(datasets.read(recorded, STEP))
  (tmp_path / "1.npz").unlink()
  datasets.write(tmp_path / "1.npz", episode)  # As many steps.
  with pytest.raises(ValueError, match=r"is not what .* was when this was saved"):
    EmbeddedReplay(items, STEP).restore(state)


def test_a_dataset_that_moved_is_taken(recorded, tmp_path):
  state = EmbeddedReplay(experience.Transitions(dataset=recorded), STEP).save()
  elsewhere = tmp_path / "elsewhere"
  elsewhere.mkdir()
  for i in range(2):
    (tmp_path / f"{i}.npz").rename(elsewhere / f"{i}.npz")
  EmbeddedReplay(experience.Transitions(dataset=str(elsewhere)), STEP).restore(state)


def test_the_state_of_another_experience_is_refused(recorded):
  online, offline = experience.Transitions(max_size=12), experience.Transitions(dataset=recorded)
  saved = {name: EmbeddedReplay(items, STEP).save() for name, items in (("online", online), ("offline", offline))}
  with pytest.raises(ValueError, match="of a dataset, expected one of what actors add"):
    EmbeddedReplay(online, STEP).restore(saved["offline"])
  with pytest.raises(ValueError, match="of what actors add, expected one of a dataset"):
    EmbeddedReplay(offline, STEP).restore(saved["online"])
  with pytest.raises(ValueError, match="has the parts replay, expected acting, demos"):
    EmbeddedReplay(mixed(recorded, "priority"), STEP).restore(saved["online"])
  with pytest.raises(ValueError, match="another tables"):
    EmbeddedReplay(dataclasses.replace(offline, n_step=2), STEP).restore(saved["offline"])
  with pytest.raises(ValueError, match="expected the state of 2 items, which are here, got that of 6"):
    made, other = (EmbeddedReplay(experience.Sequences(length=n, period=n, dataset=recorded), STEP) for n in (3, 8))
    other.restore(made.save())


# --- Memory and frames. ---


def test_the_size_of_sequences_with_a_state_is_what_the_arrays_take():
  core = {"hidden": specs.Array((256,), np.float32), "cell": specs.Array((256,), np.float32)}
  made = EmbeddedStore([replay.Table(max_size=500)], STEP, core_spec=core, max_steps=3000)
  adder = SequenceAdder(made.writer(), 4, 2, core_spec=core)
  zeros = tree.map_structure(lambda leaf: np.zeros((1, *leaf.shape), leaf.dtype), core)
  streams = Streams(adder)
  add = adder.add
  adder.add = lambda action, timestep, extras=(), core=(): add(action, timestep, extras, zeros)
  streams.play(20)
  items = made.table("replay").items
  kept = [items.oldest, items._first, items._length, items._total, *(c.array for c in items.core._columns)]
  ring = made.ring
  kept += [ring.previous, ring.next, ring.pins]
  kept += [c.array for c in (ring.observation, ring.action, ring.reward, ring.discount, ring.start)]
  assert made.nbytes == size_in_bytes([replay.Table(max_size=500)], STEP, core_spec=core, max_steps=3000)
  assert made.nbytes == pytest.approx(sum(array.nbytes for array in kept), rel=0.001)


def test_the_parts_of_a_mixture_must_fit_together(recorded):
  description = mixed(recorded, "priority")
  parts = [part.store.nbytes for part in EmbeddedReplay(description, STEP)._parts.values()]
  EmbeddedReplay(description, STEP, available_memory=sum(parts))
  with pytest.raises(MemoryError, match="would take"):
    EmbeddedReplay(description, STEP, available_memory=sum(parts) - 1)


FRAMES = STEP._replace(observation=specs.Array((2, 2, 3), np.uint8))


def stacks(num_steps, first):
  """Stacks of three frames [T + 1, 2, 2, 3], which count on from `first`; the first is repeated."""
  frames = np.maximum(np.arange(-2, num_steps + 1), 0) + first
  return np.stack([np.full((2, 2, 3), frames[t : t + 3], np.uint8) for t in range(num_steps + 1)])


@pytest.mark.parametrize(
  "items",
  [
    experience.Transitions(n_step=2, one_step=True, max_size=100),
    experience.Sequences(length=4, period=2, max_size=100),
    experience.Sequences(length=4, period=3, end_of_episode="continue", max_size=100),
  ],
)
@pytest.mark.parametrize("source", ["acting", "dataset", "both"])
def test_frame_stacks_come_out_as_they_went_in(items, source, tmp_path):
  for i, num_steps in enumerate((5, 1, 9)):
    ones = np.ones(num_steps, np.float32)
    episode = datasets.Episode(stacks(num_steps, 20 * i), ones.astype(np.int32), ones, ones)
    datasets.write(tmp_path / f"{i}.npz", episode)
  items = dataclasses.replace(items, batch_size=40)
  samples = []
  for frame_stack in (None, 3):
    recorded = items.from_dataset(str(tmp_path))
    both = experience.Mixed(parts={"a": items, "b": recorded}, share={"a": 0.5, "b": 0.5}, batch_size=40)
    description = {"acting": items, "dataset": recorded, "both": both}[source]
    made = EmbeddedReplay(description, FRAMES, 3, frame_stack=frame_stack)
    if source != "dataset":
      adder = made.adder()
      for episode in datasets.read(tmp_path, FRAMES):
        for action, timestep, _ in datasets.play(episode):
          adder.add_first(timestep) if action is None else adder.add(action, timestep)
    samples.append(sample(made))
  tree.map_structure(np.testing.assert_array_equal, *samples)
  assert len({leaf.tobytes() for leaf in samples[0].data.observation}) > 3
