"""Running statistics against those of all observations at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme import replay, specs, types
from acme_jax import normalization
from acme_jax.program import Acted, Policy, Program

RNG = np.random.default_rng(0)
VECTOR = specs.Array((3,), np.float32)
NEST = {
  "image": specs.BoundedArray((2, 2), np.uint8, 0, 255),
  "joints": (VECTOR, specs.Array((), np.float64)),
  "place": specs.DiscreteArray(4),
  "ticks": specs.Array((1,), np.int32),
}

update = jax.jit(normalization.update_statistics)


def of(batches, spec=VECTOR):
  statistics = normalization.init(spec)
  for batch in batches:
    statistics = update(statistics, batch)
  return statistics


@pytest.mark.parametrize("sizes", [(100,), (1,) * 50, (1, 7, 64, 300)])
@pytest.mark.parametrize(("mean", "stddev"), [(0, 1), (1000, 1), (-3, 1e-3)])
def test_batches_give_the_moments_of_all(sizes, mean, stddev):
  x = RNG.normal(mean, stddev, size=(sum(sizes), 3)).astype(np.float32)
  statistics = of(np.split(x, np.cumsum(sizes)[:-1]))
  exact = x.astype(np.float64)
  assert statistics.seen == len(x)
  np.testing.assert_allclose(statistics.mean[0], exact.mean(0), rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose(statistics.variance[0], exact.var(0), rtol=2e-2 if stddev < 0.1 else 2e-3)


def test_padding_does_not_count_and_axes_are_free():
  x = RNG.normal(2, 3, size=(4, 5, 3)).astype(np.float32)  # [B, T, …]
  mask = RNG.integers(2, size=(4, 5))
  padded = np.where(mask[..., None], x, np.nan).astype(np.float32)
  statistics = update(normalization.init(VECTOR), padded, mask)
  kept = x[mask.astype(bool)]
  assert statistics.seen == len(kept)
  np.testing.assert_allclose(statistics.mean[0], kept.mean(0), rtol=1e-5)
  np.testing.assert_allclose(statistics.variance[0], kept.var(0), rtol=1e-4)
  unchanged = update(statistics, padded, np.zeros_like(mask))
  jax.tree.map(np.testing.assert_array_equal, unchanged, statistics)


def test_floating_leaves_of_a_nest_are_scaled_and_others_pass():
  batch = {
    "image": RNG.integers(256, size=(50, 2, 2)).astype(np.uint8),
    "joints": (RNG.normal(5, 2, size=(50, 3)).astype(np.float32), RNG.normal(-1, 0.1, size=50)),
    "place": RNG.integers(4, size=50),
    "ticks": RNG.integers(1000, size=(50, 1)).astype(np.int32),
  }
  statistics = of([batch], NEST)
  assert [mean is None for mean in statistics.mean] == [True, False, False, True, True]
  scaled = jax.jit(normalization.normalize)(statistics, batch)
  for leaf in scaled["joints"]:
    assert leaf.dtype == jnp.float32
    np.testing.assert_allclose(np.mean(leaf, axis=0), np.zeros(leaf.shape[1:]), atol=1e-4)
    np.testing.assert_allclose(np.std(leaf, axis=0), np.ones(leaf.shape[1:]), rtol=1e-3)
  for name in ("image", "place", "ticks"):
    np.testing.assert_array_equal(scaled[name], batch[name])
  assert scaled["image"].dtype == jnp.uint8


def test_scaled_observations_are_clipped():
  statistics = of([RNG.normal(size=(100, 3)).astype(np.float32)])
  np.testing.assert_array_equal(normalization.normalize(statistics, np.array([1e3, -1e3, 1e9])), [10, -10, 10])


def test_statistics_of_nothing_change_nothing():
  x = np.array([1, -2, 3], np.float32)
  np.testing.assert_allclose(normalization.normalize(normalization.init(VECTOR), x), x, rtol=1e-6)


def test_constant_features_are_zero_not_rounding():
  x = np.full((64, 3), [0.1, 12345.678, 1e6], np.float32)
  statistics = of([x] * 100)
  np.testing.assert_allclose(normalization.normalize(statistics, x[0]), np.zeros(3), atol=0.05)


def test_a_count_beyond_float32_keeps_statistics():
  """Sums of squares would go on growing where n no longer does."""
  x = RNG.normal(1, 2, size=(256, 3)).astype(np.float32)
  statistics = of([x])._replace(seen=jnp.float32(1e12))
  after = jax.lax.fori_loop(0, 1000, lambda _, s: normalization.update_statistics(s, x), statistics)
  np.testing.assert_allclose(after.mean[0], statistics.mean[0], rtol=1e-5)
  np.testing.assert_allclose(after.variance[0], statistics.variance[0], rtol=1e-5)


def test_a_program_sees_what_it_saw_scaled():
  """One that remembers what it was given: learning and acting scale alike, and the statistics travel with both."""
  spec = specs.EnvironmentSpec({"a": VECTOR, "b": specs.DiscreteArray(4)}, specs.DiscreteArray(2), VECTOR, VECTOR)
  policy = Policy(act=lambda params, key, step, core: Acted(step.observation["a"] + params))
  seen = Program(
    init=lambda key: jnp.zeros(()),
    update=lambda state, sample: (state + 1, None, {"loss": state, "data": sample.data}),
    params=lambda state: state,
    variables=lambda state: {"count": state},
    behaviour=policy,
    evaluation=policy,
    space=None,
    priorities=lambda params, items: items.observation["a"] + params,
  )
  agent = normalization.normalized(seen, spec)
  observation = {"a": RNG.normal(100, 5, size=(64, 3)).astype(np.float32), "b": np.arange(64) % 4}
  after = {"a": observation["a"] + 5, "b": observation["b"]}
  one_step = types.OneStep(np.zeros(64), np.ones(64), after)
  data = types.Transition(observation, np.zeros(64), np.zeros(64), np.ones(64), after, (), one_step)
  state, _, metrics = jax.jit(agent.update)(agent.init(jax.random.PRNGKey(0)), replay.Sample(data, (), np.ones(64)))
  scaled, mean, stddev = metrics["data"], observation["a"].mean(0), observation["a"].std(0)
  np.testing.assert_allclose(scaled.observation["a"], (observation["a"] - mean) / stddev, rtol=1e-3, atol=1e-4)
  np.testing.assert_allclose(scaled.next_observation["a"], (after["a"] - mean) / stddev, rtol=1e-3, atol=1e-4)
  np.testing.assert_array_equal(scaled.one_step.next_observation["a"], scaled.next_observation["a"])
  np.testing.assert_array_equal(scaled.observation["b"], observation["b"])
  assert state.inner == 1 and agent.variables(state)["count"] == 1
  acted = agent.behaviour.act(agent.params(state), None, types.Step(observation, None, None, None, None), ())
  np.testing.assert_allclose(acted.action, scaled.observation["a"] + 1, rtol=1e-5)
  np.testing.assert_allclose(agent.priorities(agent.params(state), data), scaled.observation["a"] + 1, rtol=1e-5)
  sequence = types.Sequence(
    jax.tree.map(lambda x: x.reshape(8, 8, *x.shape[1:]), observation), *[()] * 4, np.ones((8, 8))
  )
  padded = jax.tree.map(lambda x: np.concatenate([x, np.full_like(x, 3)], axis=1), sequence._replace(mask=()))
  mask = np.repeat([[1.0] * 8 + [0.0] * 8], 8, axis=0)
  padded_state, _, _ = agent.update(agent.init(None), replay.Sample(padded._replace(mask=mask), (), ()))
  np.testing.assert_allclose(padded_state.statistics.mean[0], mean, rtol=1e-5)
