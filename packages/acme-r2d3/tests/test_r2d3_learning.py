"""R2D3's update is R2D2's, to the bit, on a batch of both kinds; and what is logged of it."""

import functools

import jax
import numpy as np
import pytest

from acme import replay, types
from acme_r2d2 import R2D2Config
from acme_r2d2.jax import learning as r2d2
from acme_r2d2.jax import networks
from acme_r2d3 import R2D3Config
from acme_r2d3.jax import learning
from acme_testing import fakes

B, L = 8, 8
SPEC = fakes.make_spec("vector", "discrete")
SMALL = {"burn_in_length": 2, "trace_length": 5, "n_step": 3, "hidden_sizes": (6,), "core_size": 4,
         "head_hidden_sizes": (5,), "target_update_period": 2}  # fmt: skip

# As users compile it: without it, which compiles tests quickly, two programs differ in how they are fused.
jit = functools.partial(jax.jit, compiler_options={"xla_cpu_use_fusion_emitters": True})


def make_sample(nets, part):
  rng = np.random.default_rng(0)
  core = jax.tree.map(lambda x: rng.normal(size=(B, *x.shape[1:])).astype(np.float32), nets.initial_state({}, 1))
  actions, rewards = rng.integers(3, size=(2, B, L)).astype(np.int32), rng.normal(size=(2, B, L)).astype(np.float32)
  ones, none = np.ones((B, L), np.float32), np.zeros((B, L), bool)
  data = types.Sequence(
    rng.normal(size=(B, L, 5)).astype(np.float32), actions[0], rewards[0], ones, none, ones, (), ones, actions[1],
    rewards[1], core,
  )  # fmt: skip
  probabilities = rng.uniform(0.01, 0.1, size=B).astype(np.float32)
  return replay.Sample(data, (), probabilities, (), np.array(part, np.int32))


@pytest.mark.parametrize("part", [[0, 1, 1, 0, 1, 1, 1, 1], [1] * B, [0] * B], ids=["mixed", "own", "shown"])
def test_two_updates_are_those_of_r2d2(part):
  config, other = R2D3Config(**SMALL), R2D2Config(**SMALL)
  nets = networks.make_networks(SPEC, config)
  program = learning.make_program(SPEC, config)
  state = twin = program.init(jax.random.PRNGKey(0))
  jax.tree.map(np.testing.assert_array_equal, state, r2d2.make_state(nets, other, jax.random.PRNGKey(0)))
  sample, shown = make_sample(nets, part), np.array(part) == 0
  update, plain = jit(program.update), jit(r2d2.make_update(nets, other))
  for _ in range(2):
    state, priorities, metrics = update(state, sample)
    twin, wanted, plain_metrics = plain(twin, sample)
    jax.tree.map(np.testing.assert_array_equal, (state, priorities), (twin, wanted))
    new = metrics.keys() - plain_metrics.keys()
    assert new == {"demonstrations", "demonstration_loss", "own_loss"}
    share = np.mean(shown)
    assert metrics["demonstrations"] == share
    sums = share * metrics["demonstration_loss"] + (1 - share) * metrics["own_loss"]
    np.testing.assert_allclose(metrics["loss"], sums, rtol=1e-5)
    assert (metrics["demonstration_loss"] > 0) == shown.any() and (metrics["own_loss"] > 0) == (not shown.all())
