"""Both backends, given the same weights and batches, do the same for three steps: losses, priorities, weights, target.

Values agree to 1e-5, relative to the largest of their array, and to 1e-6 where positive and negative ones cancel.
"""

import functools

import numpy as np
import pytest

pytest.importorskip("haiku", reason="needs both backends")
pytest.importorskip("sonnet", reason='needs both backends: pip install "acme-dqfd[tf]"')

import jax
import tensorflow as tf

from acme import replay, specs, types
from acme_dqfd import DQfDConfig
from acme_dqfd.jax import learning as jax_learning
from acme_dqfd.tf import learning as tf_learning
from acme_dqn.jax import learning as jax_dqn
from acme_dqn.jax import networks as jax_networks
from acme_dqn.tf import learning as tf_dqn
from acme_dqn.tf import networks as tf_networks
from acme_tf import variables

B, A, STEPS = 16, 3, 3
SCALAR = specs.Array((), np.float32)
SPEC = specs.EnvironmentSpec(specs.Array((4,), np.float32), specs.DiscreteArray(A, np.int32), SCALAR, SCALAR)
SMALL = {"hidden_sizes": (8, 6), "huber_delta": 0.5, "l2_cost": 0.01, "n_step_cost": 0.7, "margin_cost": 0.6,
         "learning_rate": 0.01, "adam_epsilon": 1e-3, "target_update_period": 2}  # fmt: skip
CASES = {
  "double": {},
  "not dueling": {"dueling": False},
  "uniform": {"prioritized": False},
  "one target": {"double_q": False},
  "categorical": {"categorical": True, "num_atoms": 11, "vmin": -2.0, "vmax": 2.0},
  "quantile": {"quantile": True, "num_quantiles": 7},
  "max_gradient_norm": {"max_gradient_norm": 0.01},
  "falling rate": {"learning_rate_steps": 2},
}

# Sonnet's module on the left, Haiku's on the right; both have "w" and "b". Haiku numbers as modules are made.
PLAIN = {"mlp/linear_0": "linear_1", "mlp/linear_1": "linear_2", "head": "linear"}
DUELING = {"mlp/linear_0": "linear"} | {
  f"dueling_head/{stream}/linear_{i}": f"dueling_head/linear{suffix}"
  for stream, i, suffix in (("value", 0, ""), ("value", 1, "_1"), ("advantage", 0, "_2"), ("advantage", 1, "_3"))
}


def by_tf_name(params, modules):
  assert sorted(params) == sorted(modules.values())
  return {f"q_network/{ours}/{x}": np.asarray(params[theirs][x]) for ours, theirs in modules.items() for x in "bw"}


def make_sample(seed):
  rng = np.random.default_rng(seed)
  observations = rng.normal(size=(3, B, 4)).astype(np.float32)
  rewards = rng.normal(size=(2, B)).astype(np.float32)
  discounts = rng.choice([0, 0.6, 1], size=(2, B)).astype(np.float32)
  action = rng.integers(A, size=B).astype(np.int32)
  one_step = types.OneStep(rewards[0], discounts[0], observations[1])
  data = types.Transition(
    observations[0], action, rewards[1], discounts[1], observations[2], extras=(), one_step=one_step
  )
  part = rng.integers(2, size=B).astype(np.int32)
  return replay.Sample(data, (), rng.uniform(0.01, 0.1, size=B).astype(np.float32), (), part)


@pytest.mark.parametrize("changes", CASES.values(), ids=CASES)
def test_three_steps(changes):
  config = DQfDConfig(**SMALL | changes)
  modules = DUELING if config.dueling else PLAIN
  samples = [make_sample(seed) for seed in range(STEPS)]
  nets = jax_networks.make_networks(SPEC, config)
  other = jax_dqn.make_state(nets, config, jax.random.PRNGKey(1)).params
  state = jax_dqn.make_state(nets, config, jax.random.PRNGKey(0))._replace(target_params=other)

  tf_nets = tf_networks.make_networks(SPEC, config)
  tf_state = tf_dqn.make_state(tf_nets, config, seed=2)
  variables.assign(tf_state.online.variables, by_tf_name(state.params, modules))
  variables.assign(tf_state.target.variables, by_tf_name(other, modules))

  update = jax.jit(jax_learning.make_update(nets, config))
  tf_update = tf.function(functools.partial(tf_learning.make_update(tf_nets, config), tf_state))
  for sample in samples:
    state, priorities, metrics = update(state, sample)
    tf_priorities, tf_metrics = tf_update(sample)
    assert metrics.keys() == tf_metrics.keys()
    same({**tf_metrics, "priorities": tf_priorities}, {**metrics, "priorities": priorities})
  same(variables.values(tf_state.online.variables), by_tf_name(state.params, modules))
  same(variables.values(tf_state.target.variables), by_tf_name(state.target_params, modules))


def same(found, expected):
  for name, value in expected.items():
    value = np.asarray(value)
    np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-5 * np.max(np.abs(value)) + 1e-6, err_msg=name)
