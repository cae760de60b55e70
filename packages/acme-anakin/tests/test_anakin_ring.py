"""Places and probabilities of the ring on the device, and of mixtures."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme import experience, types
from acme_anakin import adders, ring, store


def test_the_oldest_items_are_written_over():
  kept = ring.make_ring(5, jnp.zeros(1))
  for start in range(0, 12, 3):  # The middle one of three is not there.
    kept, place = ring.insert(kept, jnp.arange(start, start + 3.0), jnp.array([True, False, True]), always=False)
    assert int(place[1]) == ring.NOWHERE
  assert int(ring.size(kept)) == 5
  np.testing.assert_array_equal(np.sort(kept.data), [3, 5, 6, 8, 9, 11][1:])


@pytest.mark.parametrize("capacity", [1, 7, 16, 300, 5000])
def test_leaves_are_chosen_in_proportion(capacity):
  rng = np.random.default_rng(capacity)
  leaves = rng.random(capacity) * rng.integers(0, 2, capacity)
  leaves[rng.integers(capacity)] = 3.0
  levels = ring.make_tree(capacity).levels
  for part in np.array_split(rng.permutation(capacity), 3):
    if len(part):
      levels = ring.put(levels, jnp.asarray(part), jnp.asarray(leaves[part], jnp.float32))
  index, probabilities = jax.jit(ring.choose, static_argnums=2)(levels, jax.random.PRNGKey(0), 20_000)
  np.testing.assert_allclose(probabilities, leaves[index] / leaves.sum(), rtol=1e-5)
  assert (leaves[index] > 0).all()
  counts = np.bincount(index, minlength=capacity)
  expected = 20_000 * leaves / leaves.sum()
  assert np.sum((counts - expected) ** 2 / np.maximum(expected, 1e-9) * (expected > 0)) < 2 * (leaves > 0).sum() + 30


def test_no_leaf_of_0_is_ever_chosen():
  """Sums over uneven numbers are rounded, each in its own way."""
  rng = np.random.default_rng(0)
  for seed in range(20):
    leaves = np.where(rng.random(2000) < 0.02, 10.0 ** rng.uniform(-6, 6, 2000), 0)
    leaves[0] = 1.0
    levels = ring.put(ring.make_tree(2000).levels, jnp.arange(2000), jnp.asarray(leaves, jnp.float32))
    index, _ = ring.choose(levels, jax.random.PRNGKey(seed), 4096)
    assert (leaves[np.asarray(index)] > 0).all()


def test_of_equal_places_the_last_counts():
  levels = ring.put(ring.make_tree(40).levels, jnp.array([3, 5, 3, ring.NOWHERE]), jnp.array([1.0, 2.0, 4.0, 8.0]))
  assert (float(levels[0][3]), float(levels[0][5]), float(ring.total(levels))) == (4, 2, 6)


def a_tick():
  zeros, no = np.zeros(1, np.float32), np.zeros(1, bool)
  step = types.Step(zeros, np.zeros(1, np.int32), zeros, zeros + 1, no)
  return adders.Tick(step, step.action, (), (), zeros, zeros + 1, zeros, no, step)


@pytest.mark.parametrize("ratio", [0.1, 0.25, 1.0, 3.2, None])
@pytest.mark.parametrize("prioritized", [False, True])
def test_a_batch_is_due_as_often_as_the_ratio_says(ratio, prioritized):
  """The host's accumulator, kept in 32 bits."""
  batch, min_size = 4, 6
  items = experience.Transitions(
    batch_size=batch, min_size=min_size, max_size=50, samples_per_insert=ratio,
    priority_exponent=0.6 if prioritized else None,
  )  # fmt: skip
  limiter = items.table("replay").rate_limiter
  made = store.Store(items, num_envs=1, steps=100)
  tick = a_tick()
  state, sampling = made.init(tick, {}, {})
  add, due = jax.jit(made.add), jax.jit(made.due)
  sample = jax.jit(lambda *given: made.sample(*given[:2], {}, given[2]))
  samples = 0
  for inserts in range(1, 91):
    state, sampling = add(state, sampling, tick)
    while due(sampling):
      sampling, taken = sample(state, sampling, jax.random.PRNGKey(samples))
      assert int(taken.place.max()) < min(inserts, 50)
      samples += batch
      if ratio is None:
        sampling = sampling._replace(credit=sampling.credit * 0)  # One batch a step.
        assert inserts >= min_size
    if ratio is not None:
      assert 0 <= limiter.allowed(inserts, samples) < batch or inserts < min_size
  assert samples == (batch * (90 - min_size + 1) if ratio is None else (90 - min_size) * ratio // batch * batch)


@pytest.mark.parametrize("share", ["priority", {"few": 0.25, "many": 0.75}], ids=["priority", "shares"])
def test_a_mixture_draws_by_the_priorities_that_were_handed_back_to_each_table(share):
  """P(i) = p_i^α / Σ_j p_j^α over both tables, or within one times its share, with each table's own ε in p."""
  items = experience.Sequences(length=1, period=1, priority_exponent=0.6, priority_bonus=1.0, dataset="not read")
  parts = {"few": items, "many": dataclasses.replace(items, priority_bonus=0.01)}
  mixture = experience.Mixed(parts=parts, share=share, batch_size=4000)
  made, data = store.Store(mixture, num_envs=1, steps=1), {"few": jnp.arange(3), "many": jnp.arange(3, 10)}
  state, sampling = made.init(None, data, {})
  errors, bonus = np.random.default_rng(0).uniform(0.1, 2, 10), np.repeat([1.0, 0.01], [3, 7])
  part = np.repeat([0, 1], [3, 7])
  draw, write_back = jax.jit(made.sample), jax.jit(made.write_back)
  for powers in (np.ones(10), (errors + bonus) ** 0.6):  # At first all are alike.
    chances = powers / powers.sum()
    if share != "priority":
      chances = np.repeat([0.25, 0.75], [3, 7]) * powers / np.repeat([powers[:3].sum(), powers[3:].sum()], [3, 7])
    sampling, batch = draw(state, sampling, data, jax.random.PRNGKey(1))
    item = np.asarray(batch.sample.data)
    np.testing.assert_array_equal(batch.part, part[item])
    np.testing.assert_allclose(batch.sample.probabilities, chances[item], rtol=1e-5)
    deviation = np.sqrt(4000 * chances * (1 - chances))
    assert np.all(np.abs(np.bincount(item, minlength=10) - 4000 * chances) < 5 * deviation)
    sampling = write_back(sampling, batch, jnp.asarray(errors[item], jnp.float32))
