"""One suite for both stores: the same items in give the same items out, in the same proportions, under the same limits.

The checks are plain functions of `make`, which makes an empty store of tables and a step spec.
"""

import contextlib
import itertools
import math
import re

import numpy as np
import pytest
import tree

from acme import replay, specs, types
from acme_testing import golden

acme_replay = pytest.importorskip("acme_replay")

SPEC = types.Step(
  observation=specs.Array((), np.float32),
  action=specs.Array((), np.int32),
  reward=specs.Array((), np.float32),
  discount=specs.Array((), np.float32),
  start_of_episode=specs.Array((), bool),
)


@pytest.fixture(params=["embedded", "reverb"])
def make(request):
  """A function that makes a store; all are closed in the end."""
  with contextlib.ExitStack() as stack:

    def make_store(tables, step_spec=SPEC, **options):
      if request.param == "embedded":
        return acme_replay.EmbeddedStore(tables, step_spec, 0, **options)
      reverb_package = pytest.importorskip("acme_reverb")
      pytest.importorskip("reverb")
      store = reverb_package.ReverbStore(tables, step_spec, 0, timeout=5, listen_everywhere=True, **options)
      stack.callback(store.close)
      return store

    yield make_store


def spec_of(trajectory):
  """The step spec of a golden trajectory."""
  tick = next(tick for tick in trajectory if tick.action is not None)
  array = lambda leaf: specs.Array(np.shape(leaf), np.asarray(leaf).dtype)  # noqa: E731
  return SPEC._replace(reward=array(tick.timestep.reward), extras=tree.map_structure(array, tick.extras))


def step(value, first=False):
  return types.Step(np.float32(value), np.int32(value), np.float32(value), np.float32(1), np.bool_(first))


def insert(store, count, *, table="replay", priorities=None, start=0, writer=None):
  """Inserts transitions whose observations are start, start + 1, …"""
  writer = writer or store.writer()
  writer.append(step(start, first=True))
  for i in range(count):
    writer.append(step(start + i + 1))
    priority = None if priorities is None else priorities[i]
    writer.create_item(table, replay.TransitionItem(1, np.float32(i), np.float32(1)), priority)
  return writer


def draw(store, batches, batch_size=256, table="replay"):
  """The observations, keys and probabilities of many samples."""
  dataset = store.dataset(table, batch_size)
  samples = [next(dataset) for _ in range(batches)]
  return (
    np.concatenate([sample.data.observation for sample in samples]),
    np.concatenate([sample.keys for sample in samples]),
    np.concatenate([sample.probabilities for sample in samples]),
  )


def assert_proportions(observations, expected):
  """A chi-squared test at four standard deviations of its own."""
  expected = np.asarray(expected, float) / np.sum(expected)
  counts = np.bincount(observations.astype(int), minlength=len(expected))
  assert len(counts) == len(expected)
  assert not counts[expected == 0].any()
  there = expected > 0
  mean = len(observations) * expected[there]
  freedom = there.sum() - 1
  assert ((counts[there] - mean) ** 2 / mean).sum() < freedom + 4 * math.sqrt(2 * freedom)


@pytest.mark.parametrize("case", golden.N_STEP, ids=lambda case: case.name)
def test_golden_transitions(make, case):
  store = make([golden.fifo_table()], spec_of(case.trajectory))
  adder = acme_replay.NStepTransitionAdder(store.writer(), case.num_steps, case.discount)
  golden.run_adder(adder, case.trajectory)
  golden.assert_items_equal(golden.read_items(store), case.items)


@pytest.mark.parametrize("case", golden.SEQUENCES, ids=lambda case: case.name)
def test_golden_sequences(make, case):
  store = make([golden.fifo_table()], spec_of(case.trajectory))
  golden.run_adder(acme_replay.SequenceAdder(store.writer(), case.length, case.period, case.end), case.trajectory)
  golden.assert_items_equal(golden.read_items(store), case.items)


@pytest.mark.parametrize("kind", ["transitions", "sequences"])
def test_three_streams_give_what_each_gives_alone(make, kind):
  episodes = [
    golden.episode([1, 2, 4, 8], [1, 1, 1, 0]),
    golden.episode([1, 2], [1, 0], first=100) + golden.episode([4], [1], first=200),
    golden.episode([1, 1, 1, 1], [1, 0.5, 1, 1], first=300),
  ]
  trajectories = [episode[:5] for episode in episodes]

  def make_adder(writer):
    if kind == "transitions":
      return acme_replay.NStepTransitionAdder(writer, 2, 0.5)
    return acme_replay.SequenceAdder(writer, 3, 2, "zero_pad")

  store = make([golden.fifo_table()])
  recorder = golden.RecordingWriter(3)
  for writer in (store.writer(3), recorder):
    golden.run_adder(make_adder(writer), golden.stack(trajectories))
  golden.assert_items_equal(golden.read_items(store), recorder.items())


def test_nested_specs_and_images(make):
  observation = {
    "image": specs.Array((4, 4, 3), np.uint8),
    "scalars": [specs.Array((2,), np.float64), specs.Array((), np.int8)],
  }
  spec = SPEC._replace(observation=observation, action=(specs.Array((2,), np.float32),))
  rng = np.random.default_rng(0)

  def random(first):
    some = tree.map_structure(lambda leaf: (100 * rng.random(leaf.shape)).astype(leaf.dtype), spec)
    return some._replace(start_of_episode=np.bool_(first))

  steps = [random(i == 0) for i in range(3)]
  store = make([golden.fifo_table()], spec)
  writer = store.writer()
  for each in steps:
    writer.append(each)
  writer.create_item("replay", replay.TransitionItem(2, np.float32(3), np.float32(0.5)))
  (item,) = golden.read_items(store)
  want = types.Transition(
    steps[0].observation, steps[1].action, np.float32(3), np.float32(0.5), steps[2].observation, ()
  )
  golden.assert_items_equal([item], [want])
  assert [leaf.dtype for leaf in tree.flatten(item)] == [np.asarray(leaf).dtype for leaf in tree.flatten(want)]


def test_shorter_sequences_are_padded_to_the_longest_of_a_batch(make):
  store = make([golden.fifo_table()])
  writer = store.writer()
  for value, first, length in ((1, True, None), (2, False, 2), (3, True, None), (4, False, None), (5, False, 3)):
    writer.append(step(value, first))
    if length:
      writer.create_item("replay", replay.SequenceItem(length))
  data = next(store.dataset("replay", 2)).data
  np.testing.assert_array_equal(data.observation, [[1, 2, 0], [3, 4, 5]])
  np.testing.assert_array_equal(data.mask, [[1, 1, 0], [1, 1, 1]])
  np.testing.assert_array_equal(data.action, [[2, 0, 0], [4, 5, 0]])
  np.testing.assert_array_equal(data.acted, [[1, 0, 0], [1, 1, 0]])
  np.testing.assert_array_equal(data.previous_action, [[1, 2, 0], [3, 4, 5]])
  np.testing.assert_array_equal(data.previous_reward, [[1, 2, 0], [3, 4, 5]])


CORE = {"hidden": specs.Array((2,), np.float32), "seen": (specs.Array((), np.int32),)}


def test_sequences_keep_the_state_that_they_are_given(make):
  store = make([golden.fifo_table()], core_spec=CORE)
  writer = store.writer(2)
  for first in (True, False):
    writer.append(tree.map_structure(lambda leaf: np.stack([leaf] * 2), step(1, first)))
  core = {"hidden": np.arange(4, dtype=np.float32).reshape(2, 2), "seen": (np.array([7, 8], np.int32),)}
  twos, zeros = np.full(2, 2), np.zeros(2, int)
  writer.create_item("replay", replay.SequenceItem(twos, zeros, core), streams=np.arange(2))
  data = next(store.dataset("replay", 2)).data
  tree.map_structure(np.testing.assert_array_equal, data.core, core)
  assert [leaf.dtype for leaf in tree.flatten(data.core)] == [np.float32, np.int32]
  for bad in (
    (),
    {**core, "seen": (np.array([7.5, 8], np.float32),)},
    {**core, "hidden": np.zeros((2, 3), np.float32)},
  ):
    with pytest.raises(ValueError, match="core|structure|hidden|seen"):
      writer.create_item("replay", replay.SequenceItem(twos, zeros, bad), streams=np.arange(2))
  assert store.info()["replay"].inserts == 2


def test_uniform_proportions(make):
  store = make([replay.Table(max_size=16)])
  insert(store, 20)
  observations, _, probabilities = draw(store, 16)
  assert_proportions(observations, [0] * 4 + [1] * 16)
  np.testing.assert_allclose(probabilities, 1 / 16)


@pytest.mark.parametrize("exponent", [0.0, 0.6, 1.0])
def test_prioritized_proportions_and_updates(make, exponent):
  store = make([replay.Table(sampler=replay.Prioritized(exponent))])
  first = np.arange(1.0, 9.0)
  insert(store, 8, priorities=first)
  observations, keys, probabilities = draw(store, 12)
  weights = first**exponent
  assert_proportions(observations, weights)
  np.testing.assert_allclose(probabilities, (weights / weights.sum())[observations.astype(int)], rtol=1e-6)
  key_of = dict(zip(observations.astype(int).tolist(), keys.tolist(), strict=True))
  assert len(key_of) == 8
  second = first[::-1] * [1, 1, 1, 4, 1, 1, 1, 1]
  store.update_priorities("replay", np.array([key_of[i] for i in range(8)]), second)
  assert_proportions(draw(store, 12)[0], second**exponent)


def test_keys_are_int64_and_those_gone_are_passed_over(make):
  store = make([replay.Table(max_size=4, sampler=replay.Prioritized(1.0))])
  insert(store, 4)
  sample = next(store.dataset("replay", 64))
  assert sample.keys.dtype == np.int64 and sample.probabilities.dtype == np.float64 and sample.table_size == 4
  insert(store, 4, start=4)
  store.update_priorities("replay", sample.keys, np.full(64, 7.0))
  observations, _, probabilities = draw(store, 1)
  assert observations.min() >= 4
  np.testing.assert_allclose(probabilities, 0.25)


def test_items_without_a_priority_get_the_largest_given(make):
  store = make([replay.Table(sampler=replay.Prioritized(1.0))])
  insert(store, 3, priorities=[2.0, None, 1.0])
  insert(store, 1, start=3)
  observations, _, probabilities = draw(store, 4)
  want = {0: 2 / 7, 1: 2 / 7, 2: 1 / 7, 3: 2 / 7}
  np.testing.assert_allclose(probabilities, [want[i] for i in observations.astype(int) if i in want], rtol=1e-6)


def test_the_largest_priority_is_of_those_given_since_the_table_was_last_empty(make):
  store = make([replay.Table(sampler=replay.Prioritized(1.0), max_times_sampled=1)])
  insert(store, 3, priorities=[8.0, 3.0, None])
  assert len(next(store.dataset("replay", 3)).keys) == 3
  insert(store, 2, priorities=[0.25, None])
  np.testing.assert_allclose(next(store.dataset("replay", 1)).probabilities, 0.5)


@pytest.mark.parametrize("exponent", [1.0, 1.5])
def test_priorities_whose_power_or_sum_overflows_are_refused(make, exponent):
  store = make([replay.Table(max_size=4, sampler=replay.Prioritized(exponent))])
  writer = insert(store, 4)
  keys = next(store.dataset("replay", 1)).keys
  item = replay.TransitionItem(1, np.float32(0), np.float32(1))
  with pytest.raises(ValueError, match="Priorities of table 'replay': expected numbers from 0 to .* overflow"):
    writer.create_item("replay", item, 1e300)
  with pytest.raises(ValueError, match="Priorities of table 'replay': expected numbers from 0 to .* overflow"):
    store.update_priorities("replay", keys, np.array([1e300]))
  assert store.info()["replay"].inserts == 4
  for _ in range(4):
    writer.create_item("replay", item, 1e190)
  np.testing.assert_allclose(draw(store, 1)[2], 1 / 4)


def test_an_item_of_priority_0_is_not_chosen_beside_others(make):
  store = make([replay.Table(sampler=replay.Prioritized(1.0), max_times_sampled=40)])
  insert(store, 4, priorities=[0.0, 1.0, 0.0, 1e-9])
  assert set(draw(store, 1, batch_size=80)[0]) == {1, 3}


def test_fifo_keeps_the_order_and_the_oldest_goes(make):
  store = make([replay.Table(max_size=5, sampler=replay.Fifo())])
  insert(store, 8)
  for _ in range(2):  # Nothing leaves a Fifo table that sets no limit.
    observations = next(store.dataset("replay", 1)).data.observation
    assert observations.tolist() == [3]
  assert store.info()["replay"] == replay.TableInfo(5, 8, 2)


def test_a_queue_gives_each_item_once_and_refuses_when_full(make):
  store = make([golden.fifo_table(max_size=4)])
  writer = insert(store, 4)
  assert store.available("replay") == 4
  with pytest.raises(RuntimeError, match="full"):
    writer.create_item("replay", replay.TransitionItem(1, np.float32(0), np.float32(1)))
  assert next(store.dataset("replay", 3)).data.observation.tolist() == [0, 1, 2]
  assert store.available("replay") == 1
  writer.create_item("replay", replay.TransitionItem(1, np.float32(0), np.float32(1)))
  assert next(store.dataset("replay", 2)).data.observation.tolist() == [3, 3]
  assert store.available("replay") == 0


def test_max_times_sampled(make):
  store = make([replay.Table(max_times_sampled=3)])
  insert(store, 4)
  assert store.available("replay") == 12
  observations = np.concatenate([next(store.dataset("replay", 4)).data.observation for _ in range(3)])
  assert np.bincount(observations.astype(int)).tolist() == [3, 3, 3, 3]
  assert store.available("replay") == 0 and store.info()["replay"].size == 0


@pytest.mark.parametrize(
  "limiter", [replay.RateLimiter(min_size=3), replay.RateLimiter(min_size=2, samples_per_insert=1.5)]
)
def test_availability_follows_the_description(make, limiter):
  store = make([replay.Table(rate_limiter=limiter)])
  writer, dataset, samples = store.writer(), store.dataset("replay", 2), 0
  writer.append(step(0, first=True))
  for inserts in range(8):
    allowed = limiter.allowed(inserts, samples)
    assert store.available("replay") == allowed
    if allowed >= 2:
      next(dataset)
      samples += 2
    else:
      with pytest.raises(RuntimeError, match="may be sampled"):
        next(dataset)
    assert store.info()["replay"] == replay.TableInfo(inserts, inserts, samples)
    writer.append(step(inserts + 1))
    writer.create_item("replay", replay.TransitionItem(1, np.float32(0), np.float32(1)))


@pytest.mark.parametrize("ratio", [0.1, 0.3, 1 / 3, 7.7])
def test_samples_per_insert_is_exact(make, ratio):
  limiter = replay.RateLimiter(min_size=1, samples_per_insert=ratio)
  store = make([replay.Table(rate_limiter=limiter)])
  writer, dataset, samples = store.writer(), store.dataset("replay", 1), 0
  writer.append(step(0, first=True))
  for i in range(31):
    writer.append(step(i))
    writer.create_item("replay", replay.TransitionItem(1, np.float32(0), np.float32(1)))
    while store.available("replay") >= 1 and samples < 40:
      next(dataset)
      samples += 1
  assert samples == min(40, limiter.allowed(31, 0))


def test_two_tables_of_the_same_steps(make):
  store = make([replay.Table(name="one"), replay.Table(name="two", max_size=2)])
  writer = insert(store, 3, table="one")
  writer.create_item("two", replay.SequenceItem(4))
  assert [info.size for info in store.info().values()] == [3, 1]
  assert next(store.dataset("two", 1)).data.observation.tolist() == [[0, 1, 2, 3]]


def test_a_saved_queue_goes_on_in_order(make):
  store, other = make([golden.fifo_table()]), make([golden.fifo_table()])
  writer = insert(store, 6)
  next(store.dataset("replay", 2))
  saved = store.save(), writer.save()
  assert all(isinstance(leaf, np.ndarray | int | float | str | bool | None) for leaf in tree.flatten(saved))
  other_writer = insert(other, 1, start=90)
  dataset = other.dataset("replay", 1)
  next(dataset)
  other.restore(saved[0])
  other_writer.restore(saved[1])
  results = []
  for each, its_writer in ((store, writer), (other, other_writer)):
    its_writer.append(step(7))
    its_writer.create_item(
      "replay", replay.TransitionItem(3, np.float32(9), np.float32(1))
    )  # Goes back beyond the save.
    info = each.info()["replay"]
    results.append((info, tree.map_structure(float, golden.read_items(each))))
  assert results[0] == results[1]
  assert results[0][0] == replay.TableInfo(5, 7, 2)
  assert [item.observation for item in results[0][1]] == [2, 3, 4, 5, 4]


def test_a_saved_table_keeps_priorities_limits_and_counts(make):
  limiter = replay.RateLimiter(min_size=2, samples_per_insert=500.0)
  table = replay.Table(max_size=5, sampler=replay.Prioritized(1.0), rate_limiter=limiter)
  store, other = make([table]), make([table])
  insert(store, 6, priorities=[9, 1, 2, 3, 4, 5])
  sample = next(store.dataset("replay", 100))
  store.update_priorities("replay", sample.keys, 10 * (sample.data.observation + 1.0))
  dataset = other.dataset("replay", 512)
  other.restore(store.save())
  assert other.info() == store.info() == {"replay": replay.TableInfo(5, 6, 100)}
  assert other.available("replay") == 4 * 500 - 100
  observations, _, probabilities = draw(other, 1, batch_size=512)
  assert_proportions(observations, [0, 20, 30, 40, 50, 60])
  np.testing.assert_allclose(probabilities, (observations + 1) / 20, rtol=1e-6)
  sample = next(dataset)  # One made before the store was restored goes on too.
  assert sample.table_size == 5
  other.update_priorities("replay", sample.keys, np.where(sample.data.observation == 1, 1.0, 0.0))
  assert set(draw(other, 1)[0]) == {1}


def test_restoring_another_store_says_so(make):
  state = make([replay.Table()]).save()
  for table in (replay.Table(name="other"), replay.Table(max_size=5), replay.Table(sampler=replay.Prioritized(1.0))):
    with pytest.raises(ValueError, match="another tables"):
      make([table]).restore(state)
  with pytest.raises(ValueError, match="another core spec"):
    make([replay.Table()], core_spec=CORE).restore(state)
  state["signature"]["step spec"] = "another"
  with pytest.raises(ValueError, match="another step spec"):
    make([replay.Table()]).restore(state)


def test_an_item_that_does_not_fit_is_not_counted(make):
  store = make([replay.Table()])
  writer = insert(store, 1)
  before = store.info()["replay"].inserts
  with pytest.raises(ValueError, match="shape"):
    writer.create_item("replay", replay.TransitionItem(1, np.zeros(3, np.float32), np.float32(1)))
  assert store.info()["replay"].inserts == before


@pytest.mark.parametrize("streams", [None, [3], [-1, 0], []])
def test_streams_that_a_writer_lacks(make, streams):
  store = make([replay.Table()])
  writer = store.writer(3)
  for first in (True, False):
    writer.append(tree.map_structure(lambda leaf: np.stack([leaf] * 3), step(1, first)))
  item = replay.TransitionItem(np.ones(1, int), np.ones(1, np.float32), np.ones(1, np.float32))
  with pytest.raises(ValueError, match="streams: expected ascending .* from 0 to 2"):
    writer.create_item("replay", item, streams=None if streams is None else np.array(streams, int))
  writer.create_item("replay", item, streams=np.array([2]))
  assert store.info()["replay"].inserts == 1


@pytest.mark.parametrize(
  ("field", "dtype", "value", "cast"),
  [
    ("action", np.uint8, 300, 44),
    ("action", np.uint8, np.int64(-1), 255),
    ("action", np.int64, np.uint64(2**63), -(2**63)),
    ("reward", np.float32, 1e300, np.inf),
    ("reward", np.float32, 2**24 + 1, "16777216"),
  ],
)
def test_numbers_that_a_cast_would_change_are_refused(make, field, dtype, value, cast):
  store = make([replay.Table()], SPEC._replace(**{field: specs.Array((), dtype)}))
  writer = store.writer()
  message = re.escape(f"got {value}, which would become {cast}")
  with pytest.raises(ValueError, match=f"{field}: expected numbers that fit in {np.dtype(dtype)} .* {message}"):
    writer.append(step(0)._replace(**{field: value}))
  writer.append(step(0, first=True)._replace(**{field: type(value)(7)}))
  writer.append(step(1)._replace(**{field: type(value)(7)}))
  with pytest.raises(ValueError, match="reward: expected numbers that fit in float32"):
    writer.create_item("replay", replay.TransitionItem(1, 1e39, 1.0))
  writer.create_item("replay", replay.TransitionItem(1, 7.0, 1.0))
  assert getattr(next(store.dataset("replay", 1)).data, field) == 7


def test_writer_checks_what_it_gets(make):
  store = make([replay.Table()])
  writer = insert(store, 2)
  with pytest.raises(ValueError, match="shape"):
    writer.append(step(np.zeros(2)))
  with pytest.raises(ValueError, match="dtype"):
    writer.append(step(0)._replace(action=np.float32(1.5)))
  with pytest.raises(ValueError, match="structure|observation"):
    writer.append(step(0)._replace(observation={"a": np.float32(0)}))
  with pytest.raises(ValueError, match="steps"):
    writer.create_item("replay", replay.TransitionItem(3, np.float32(0), np.float32(1)))
  with pytest.raises(ValueError, match="kind"):
    writer.create_item("replay", replay.SequenceItem(2))
  with pytest.raises(ValueError, match="streams"):
    writer.create_item("replay", replay.TransitionItem(1, np.float32(0), np.float32(1)), streams=np.array([0]))
  with pytest.raises(KeyError, match="elsewhere.*replay"):
    writer.create_item("elsewhere", replay.TransitionItem(1, np.float32(0), np.float32(1)))
  with pytest.raises(KeyError, match="elsewhere.*replay"):
    next(store.dataset("elsewhere", 1))
  with pytest.raises(ValueError, match="[Pp]riorit"):
    writer.create_item("replay", replay.TransitionItem(1, np.float32(0), np.float32(1)), priority=-1.0)
  with pytest.raises(ValueError, match="[Pp]riorit"):
    store.update_priorities("replay", np.array([1]), np.array([np.nan]))
  assert store.info()["replay"] == replay.TableInfo(2, 2, 0)


def test_what_was_restored_is_saved_again(make):
  stores = [make([replay.Table(max_size=10)]) for _ in range(3)]
  insert(stores[0], 3)
  for before, after in itertools.pairwise(stores):
    after.restore(before.save())
  assert stores[2].info()["replay"].size == 3 and len(next(stores[2].dataset("replay", 8)).keys) == 8
