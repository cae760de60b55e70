"""How tables choose, count and let go."""

import math
from fractions import Fraction

import numpy as np
import pytest

from acme import replay, specs, types
from acme_replay import EmbeddedStore
from acme_replay.sampling import SumTree
from acme_replay.table import largest_priority

SCALAR = specs.Array((), np.float32)
STEP = types.Step(SCALAR, specs.Array((), np.int32), SCALAR, SCALAR, specs.Array((), bool))


class Filled:
  """A store of one table, into which items go one by one; item i has the observation i."""

  def __init__(self, table, seed=0):
    self.store = EmbeddedStore([table], STEP, seed)
    self._writer = self.store.writer()
    self._next = 0
    self._append()

  def _append(self):
    self._writer.append(types.Step(np.float32(self._next), 0, 0.0, 1.0, self._next == 0))
    self._next += 1

  def insert(self, count=1, priority=None):
    for _ in range(count):
      self._append()
      self._writer.create_item("replay", replay.TransitionItem(1, 0.0, 1.0), priority)
    return self

  def sample(self, batch_size):
    sample = next(self.store.dataset("replay", batch_size))
    np.testing.assert_array_equal(sample.data.observation, sample.keys)
    return sample

  @property
  def available(self):
    return self.store.available("replay")

  @property
  def info(self):
    return self.store.info()["replay"]


def assert_proportional(counts, weights):
  """A chi-squared test at about five standard deviations."""
  expected = counts.sum() * weights / weights.sum()
  assert np.all(counts[weights == 0] == 0)
  counts, expected = counts[weights > 0], expected[weights > 0]
  statistic, freedom = np.sum((counts - expected) ** 2 / expected), len(counts) - 1
  assert abs(statistic - freedom) < 5 * math.sqrt(2 * freedom) + 5, (statistic, freedom)


@pytest.mark.parametrize("skew", [1, 4, 60])  # From nodes that are much alike to a few that have nearly all.
@pytest.mark.parametrize("size", [1, 10, 2000, 40_000, 200_000])
def test_the_tree_chooses_in_exact_proportion(size, skew):
  rng = np.random.default_rng(size)
  tree, weights = SumTree(size), rng.random(size) ** skew
  weights[rng.random(size) < 0.3] = 0
  weights[0] = 0.5
  tree.set(np.arange(size), weights)
  counts = np.zeros(size, np.int64)
  for _ in range(20):
    index, probabilities = tree.sample(rng, 5000)
    np.testing.assert_allclose(probabilities, weights[index] / weights.sum(), rtol=1e-12)
    counts += np.bincount(index, minlength=size)
  cells = np.arange(size) * 50 // max(size, 50)  # Cells that are full enough for the test.
  assert np.all(counts[weights == 0] == 0)
  assert_proportional(np.bincount(cells, counts), np.maximum(np.bincount(cells, weights), 0))


def test_the_tree_is_the_same_updated_or_made_anew():
  rng = np.random.default_rng(0)
  tree, other = SumTree(50_000), SumTree(50_000)
  for _ in range(200):
    index = rng.integers(0, 50_000, rng.integers(1, 300))
    tree.set(index, rng.random(len(index)))
    tree.set(int(rng.integers(50_000)), 0.25)
    if rng.random() < 0.5:
      tree.sample(rng, 1)
  other.restore(tree.save())
  for one in (tree, other):
    one._update()
    assert one._total == pytest.approx(one.leaves.sum(), rel=1e-13)
  for a, b in zip(tree._levels, other._levels, strict=True):
    np.testing.assert_array_equal(a, b)


def test_the_tree_forgets_what_was_large():
  """A total that falls by far is counted anew, so that what is left keeps its exact probabilities."""
  tree, rng = SumTree(1000), np.random.default_rng(0)
  tree.set(slice(0, 1000), 1e12)
  tree.set(np.arange(1000), np.full(1000, 1e-6))
  tree.set(np.array([5, 5, 5]), np.array([1.0, 2.0, 3e-6]))
  index, probabilities = tree.sample(rng, 100)
  np.testing.assert_allclose(probabilities, tree.leaves[index] / tree.leaves.sum(), rtol=1e-12)
  tree.set(np.arange(1000), 0.0)
  with pytest.raises(ValueError, match="Every priority is 0"):
    tree.sample(rng, 1)


@pytest.mark.parametrize("skew", [1, 40])
def test_a_restored_tree_chooses_as_the_one_saved(skew):
  rng = np.random.default_rng(0)
  tree, other = SumTree(5000), SumTree(5000)
  for i in range(3000):
    tree.set(i, float(rng.random() ** skew))
  other.restore(tree.save())
  for _ in range(5):
    a, b = (one.sample(np.random.default_rng(1), 64) for one in (tree, other))
    np.testing.assert_array_equal(a, b)
    for one in (tree, other):
      one.set(a[0], np.linspace(0, 2, 64) ** skew)


def test_uniform_samples_are_uniform():
  table = Filled(replay.Table(max_size=20)).insert(50)
  counts = np.zeros(50, np.int64)
  for _ in range(20):
    sample = table.sample(1000)
    np.testing.assert_array_equal(sample.probabilities, 1 / 20)
    counts += np.bincount(sample.keys, minlength=50)
  assert_proportional(counts, np.arange(50) >= 30)


@pytest.mark.parametrize("exponent", [0.0, 0.6, 1.0])
def test_priorities_choose_in_proportion_to_their_power(exponent):
  table = Filled(replay.Table(max_size=20, sampler=replay.Prioritized(exponent))).insert(50)
  priorities = np.linspace(0.1, 5, 20)
  table.store.update_priorities("replay", np.arange(30, 50), priorities)
  weights = np.append(np.zeros(30), priorities**exponent)
  counts = np.zeros(50, np.int64)
  for _ in range(20):
    sample = table.sample(1000)
    np.testing.assert_allclose(sample.probabilities, (weights / weights.sum())[sample.keys], rtol=1e-12)
    counts += np.bincount(sample.keys, minlength=50)
  assert_proportional(counts, weights)


def test_new_items_get_the_largest_priority():
  table = Filled(replay.Table(max_size=100, sampler=replay.Prioritized(1.0))).insert()
  assert table.sample(1).probabilities == 1  # In an empty table: 1.
  table.store.update_priorities("replay", np.array([0]), np.array([4.0]))
  table.insert()  # 4
  table.insert(priority=8.0).insert(priority=2.0).insert()  # 8, 2, 8
  probabilities = dict(zip(*table.sample(1000)[1:3], strict=True))
  assert {key: p * 26 for key, p in probabilities.items()} == pytest.approx({0: 4, 1: 4, 2: 8, 3: 2, 4: 8})


def test_new_items_get_the_largest_priority_given_since_the_table_was_last_empty():
  table = Filled(replay.Table(max_size=4, sampler=replay.Prioritized(1.0), max_times_sampled=1))
  table.insert(priority=8.0).insert(2, priority=3.0)
  table.store.update_priorities("replay", np.array([0, 1, 2]), np.array([5.0, 1.0, 1.0]))
  table.insert()  # 8, though no item has it any more.
  first = table.sample(1)
  np.testing.assert_allclose(first.probabilities, np.array([5, 1, 1, 8])[first.keys] / 15)
  table.sample(3)
  table.insert(priority=0.25).insert()  # The table was empty: not 8, and not 1.
  assert table.sample(1).probabilities == 0.5


def test_a_priority_of_0_is_never_chosen_and_all_of_them_are_an_error():
  table = Filled(replay.Table(max_size=100, sampler=replay.Prioritized())).insert(3)
  table.store.update_priorities("replay", np.array([0, 2]), np.zeros(2))
  assert set(table.sample(100).keys) == {1}
  table.store.update_priorities("replay", np.array([1]), np.zeros(1))
  assert table.available == 0
  with pytest.raises(RuntimeError, match="3 items, 3 of them of priority 0 and so never sampled"):
    table.sample(1)
  table.store.update_priorities("replay", np.array([1]), np.array([1e-300]))
  assert table.available == math.inf and set(table.sample(100).keys) == {1}


def test_limited_items_of_priority_0_are_not_available():
  table = Filled(replay.Table(max_size=100, sampler=replay.Prioritized(1.0), max_times_sampled=2))
  table.insert(3, priority=0.0).insert(2, priority=1.0)
  assert table.available == 4
  with pytest.raises(RuntimeError, match="a batch of 5 was asked for, and 4 items"):
    table.sample(5)
  assert table.info.samples == 0 and table.available == 4
  assert set(table.sample(4).keys) == {3, 4} and table.available == 0
  table.store.update_priorities("replay", np.array([1, 1, 2, 4]), np.array([0.0, 5.0, 0.0, 5.0]))
  assert table.available == 2
  assert set(table.sample(2).keys) == {1}
  assert table.info.size == 2


def test_limited_items_of_priority_0_are_counted_after_a_restore():
  table, other = (Filled(replay.Table(sampler=replay.Prioritized(1.0), max_times_sampled=2)) for _ in range(2))
  table.insert(3, priority=0.0).insert(2, priority=1.0)
  other.store.restore(table.store.save())
  assert other.available == table.available == 4


def test_zeros_beside_numbers_of_every_size_are_never_chosen():
  rng, tree = np.random.default_rng(0), SumTree(3000)
  for _ in range(200):
    weights = np.where(rng.random(3000) < 0.9, 0.0, 10.0 ** rng.uniform(-280, 280, 3000))
    tree.set(np.arange(3000), weights)
    index, _ = tree.sample(rng, 200)
    assert weights[index].all()


@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.5])
def test_priorities_whose_power_or_sum_overflows_are_refused(exponent):
  description = replay.Table(max_size=3, sampler=replay.Prioritized(exponent))
  table, largest = Filled(description).insert(3), largest_priority(description)
  too_large = math.nextafter(largest, math.inf)
  for bad in (too_large, 1.7e308):
    with pytest.raises(ValueError, match="Priorities of table 'replay': expected numbers from 0 to"):
      table.insert(priority=bad)
    with pytest.raises(ValueError, match="Priorities of table 'replay': expected numbers from 0 to"):
      table.store.update_priorities("replay", np.arange(3), np.array([1.0, bad, 1.0]))
  assert table.info.inserts == 3
  np.testing.assert_allclose(table.sample(10).probabilities, 1 / 3)  # Nothing has changed.
  table.store.update_priorities("replay", np.arange(3), np.full(3, largest))
  np.testing.assert_allclose(table.sample(10).probabilities, 1 / 3)


def test_priorities_of_any_finite_size_are_taken_where_none_is_raised_to_a_power():
  for sampler in (replay.Uniform(), replay.Prioritized(0.0)):
    table = Filled(replay.Table(max_size=4, sampler=sampler)).insert(4, priority=1.7e308)
    np.testing.assert_allclose(table.sample(8).probabilities, 1 / 4)


def test_a_bad_priority_evicts_nothing():
  table = Filled(replay.Table(max_size=2, sampler=replay.Prioritized())).insert(2)
  with pytest.raises(ValueError, match="Priorities"):
    table.insert(priority=-1.0)
  assert table.info == replay.TableInfo(size=2, inserts=2, samples=0)


@pytest.mark.parametrize("priorities", [[np.nan, 1], [-1, 1], [np.inf, 1], [1]])
def test_bad_priorities_are_refused(priorities):
  for sampler in (replay.Prioritized(), replay.Uniform()):
    table = Filled(replay.Table(max_size=100, sampler=sampler)).insert(2)
    with pytest.raises(ValueError, match="riorities"):
      table.store.update_priorities("replay", np.array([0, 1]), np.array(priorities))
  with pytest.raises(ValueError, match="Priorities"):
    table.insert(priority=float("nan"))


def test_priorities_of_items_gone_are_passed_over():
  table = Filled(replay.Table(max_size=4, sampler=replay.Prioritized(1.0))).insert(6)  # Keys 2 to 5.
  table.store.update_priorities("replay", np.array([0, 1, 5, 9]), np.array([50.0, 50.0, 5.0, 50.0]))
  sample = table.sample(500)
  np.testing.assert_allclose(sample.probabilities, np.where(sample.keys == 5, 5, 1) / 8)


def test_fifo_gives_the_oldest_first():
  table = Filled(replay.Table(max_size=5, sampler=replay.Fifo())).insert(8)
  assert table.available == 5
  np.testing.assert_array_equal(table.sample(3).keys, [3, 4, 5])
  np.testing.assert_array_equal(table.sample(3).keys, [3, 4, 5])


def test_a_queue_gives_each_item_once():
  table = Filled(replay.Table(max_size=6, sampler=replay.Fifo(), max_times_sampled=1)).insert(6)
  with pytest.raises(RuntimeError, match="full"):
    table.insert()
  np.testing.assert_array_equal(table.sample(4).keys, [0, 1, 2, 3])
  assert (table.available, table.info) == (2, replay.TableInfo(size=2, inserts=6, samples=4))
  with pytest.raises(RuntimeError, match="a batch of 4 was asked for, and 2 items"):
    table.sample(4)


@pytest.mark.parametrize("sampler", [replay.Uniform(), replay.Prioritized(), replay.Fifo()])
def test_items_leave_after_so_many_samples(sampler):
  table = Filled(replay.Table(max_size=100, sampler=sampler, max_times_sampled=3)).insert(16)
  taken = []
  while table.available >= 8:
    taken.extend(table.sample(8).keys)
  np.testing.assert_array_equal(np.bincount(taken), np.full(16, 3))
  assert table.info == replay.TableInfo(size=0, inserts=16, samples=48)
  assert table.insert().available == (1 if isinstance(sampler, replay.Fifo) else 3)


def test_limited_samples_are_as_if_one_by_one():
  first_pairs = np.zeros((3, 3), np.int64)
  for seed in range(2000):
    table = Filled(replay.Table(max_size=3, max_times_sampled=1), seed).insert(3)
    first, second = table.sample(2).keys
    first_pairs[first, second] += 1
  assert_proportional(first_pairs.ravel(), 1 - np.eye(3).ravel())


def test_limited_items_make_room_for_more():
  table = Filled(replay.Table(max_size=4, max_times_sampled=1)).insert(4)
  rest = set(range(4)) - set(table.sample(2).keys)
  table.insert(2)
  assert table.info.size == 4
  assert set(table.sample(4).keys) == rest | {4, 5}


@pytest.mark.parametrize("ratio", [0.1, 1 / 3, 0.25, 4.0, 2.7])
def test_samples_per_insert_are_exact(ratio):
  limiter = replay.RateLimiter(min_size=7, samples_per_insert=ratio)
  table = Filled(replay.Table(max_size=50, rate_limiter=limiter))
  for inserts in range(1, 200):
    table.insert()
    while table.available >= 3:
      table.sample(3)
    allowed = max(0, math.floor(Fraction(str(ratio)) * (inserts - 7)))
    assert table.info.samples == allowed // 3 * 3


def test_a_batch_before_its_time_is_an_error_and_not_a_hang():
  table = Filled(replay.Table(max_size=50, rate_limiter=replay.RateLimiter(min_size=5))).insert(4)
  assert table.available == 0
  with pytest.raises(RuntimeError, match=r"4 inserts, 0 samples, min_size 5.*insert more"):
    table.sample(1)
  assert table.insert().available == math.inf
  with pytest.raises(ValueError, match="batch_size"):
    table.store.dataset("replay", 0)


def test_the_same_seed_chooses_the_same():
  for sampler in (replay.Uniform(), replay.Prioritized()):
    runs = [Filled(replay.Table(max_size=50, sampler=sampler), seed).insert(50).sample(20).keys for seed in (3, 3, 4)]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])
