"""Both backends, given the same weights and batch, do the same: loss, priorities, gradients, parameters, target.

Values agree to 1e-5, relative to the largest of their array. Gradients are read from Adam's first moments, which after
one step are a tenth of them, so they are those that the learner used.
"""

import functools

import numpy as np
import pytest

pytest.importorskip("haiku", reason="needs both backends")
pytest.importorskip("sonnet", reason='needs both backends: pip install "acme-dqn[tf]"')

import jax
import tensorflow as tf

from acme import replay, specs, types
from acme_dqn import DQNConfig
from acme_dqn.jax import learning as jax_learning
from acme_dqn.jax import networks as jax_networks
from acme_dqn.tf import learning as tf_learning
from acme_dqn.tf import networks as tf_networks
from acme_tf import variables

B, A = 16, 3
PLAIN = {"double_q": True, "dueling": False, "prioritized": False, "hidden_sizes": (8, 6), "huber_delta": 0.5}
CASES = {
  "double": {},
  "not double": {"double_q": False},
  "copied target": {"target_update_period": 1},
  "dueling": {"dueling": True},
  "categorical": {"categorical": True, "num_atoms": 11, "vmin": -2.0, "vmax": 2.0},
  "categorical, dueling": {"categorical": True, "dueling": True, "num_atoms": 11, "vmin": -2.0, "vmax": 2.0},
  "quantile": {"quantile": True, "num_quantiles": 7},
  "prioritized": {"prioritized": True, "importance_sampling_exponent": 0.6},
  "max_gradient_norm": {"max_gradient_norm": 0.01},
  "adam_epsilon": {"adam_epsilon": 0.1},
}
VECTOR = specs.Array((4,), np.float32)
OBSERVATIONS = {"image": specs.Array((36, 36, 1), np.uint8), "kind": specs.DiscreteArray(3), "vector": VECTOR}

# Sonnet's module on the left, Haiku's on the right; both have "w" and "b".
TORSO = {
  f"observation_torso/atari_torso_0/conv_{i}": f"observation_torso/~_features/atari_torso/conv2_d{suffix}"
  for i, suffix in enumerate(("", "_1", "_2"))
}
HEAD = {"mlp/linear_0": "linear_1", "mlp/linear_1": "linear_2", "head": "linear"}  # Haiku numbers as modules are made.
DUELING = {
  "mlp/linear_0": "linear",
  "dueling_head/value/linear_0": "dueling_head/linear",
  "dueling_head/value/linear_1": "dueling_head/linear_1",
  "dueling_head/advantage/linear_0": "dueling_head/linear_2",
  "dueling_head/advantage/linear_1": "dueling_head/linear_3",
}


def by_tf_name(params, modules):
  """Haiku's parameters under Sonnet's names; all of them, each once."""
  assert sorted(params) == sorted(modules.values())
  return {
    f"q_network/{ours}/{leaf}": np.asarray(params[theirs][leaf]) for ours, theirs in modules.items() for leaf in "bw"
  }


def make_sample(spec):
  rng = np.random.default_rng(0)

  def observe(leaf):
    if isinstance(leaf, specs.DiscreteArray):
      return rng.integers(leaf.num_values, size=B).astype(leaf.dtype)
    if leaf.dtype == np.uint8:
      return rng.integers(256, size=(B, *leaf.shape)).astype(np.uint8)
    return rng.normal(size=(B, *leaf.shape)).astype(np.float32)

  data = types.Transition(
    observation=tf.nest.map_structure(observe, spec.observations),
    action=rng.integers(A, size=B).astype(np.int32),
    reward=rng.normal(size=B).astype(np.float32),
    discount=rng.choice([0, 0.6, 1], size=B).astype(np.float32),
    next_observation=tf.nest.map_structure(observe, spec.observations),
  )
  return replay.Sample(data, (), rng.uniform(0.01, 0.1, size=B).astype(np.float32), ())


def first_moments(opt_state):
  def is_adam(node):
    return hasattr(node, "mu")

  (adam,) = filter(is_adam, jax.tree.leaves(opt_state, is_leaf=is_adam))
  return adam.mu


def step_jax(spec, config, sample, modules):
  """One step of a target network other than the online one; returns the weights before it and what it gave."""
  nets = jax_networks.make_networks(spec, config)
  other = jax_learning.make_state(nets, config, jax.random.PRNGKey(1)).params
  before = jax_learning.make_state(nets, config, jax.random.PRNGKey(0))._replace(target_params=other)
  state, priorities, metrics = jax.jit(jax_learning.make_update(nets, config))(before, sample)
  found = {"gradients": first_moments(state.opt_state), "parameters": state.params, "target": state.target_params}
  result = {name: by_tf_name(params, modules) for name, params in found.items()}
  result["outputs"] = {**metrics, "priorities": priorities}
  return by_tf_name(before.params, modules), by_tf_name(other, modules), result


def step_tf(spec, config, sample, online, target):
  nets = tf_networks.make_networks(spec, config)
  state = tf_learning.make_state(nets, config, seed=2)
  variables.assign(state.online.variables, online)  # Raises where a name is missing or over.
  variables.assign(state.target.variables, target)
  update = functools.partial(tf_learning.make_update(nets, config), state)
  priorities, metrics = tf.function(update)(sample)
  names = variables.named(state.online.trainable_variables)
  return {
    "gradients": {name: m.numpy() for name, m in zip(names, state.optimizer.m, strict=True)},
    "parameters": variables.values(state.online.variables),
    "target": variables.values(state.target.variables),
    "outputs": {**metrics, "priorities": priorities},
  }


def check(config, observations, modules):
  scalar = specs.Array((), np.float32)
  spec = specs.EnvironmentSpec(observations, specs.DiscreteArray(A, np.int32), scalar, scalar)
  sample = make_sample(spec)
  online, target, expected = step_jax(spec, config, sample, modules)
  result = step_tf(spec, config, sample, online, target)
  for kind, values in expected.items():
    assert values.keys() == result[kind].keys()
    for name, value in values.items():
      value = np.asarray(value)
      assert kind != "gradients" or np.any(value), f"the gradient of {name} is zero everywhere"
      largest = np.max(np.abs(value))
      np.testing.assert_allclose(result[kind][name], value, rtol=0, atol=1e-5 * largest, err_msg=f"{kind} {name}")


@pytest.mark.parametrize("changes", CASES.values(), ids=CASES)
def test_one_step(changes):
  config = DQNConfig(**{**PLAIN, **changes})
  check(config, VECTOR, DUELING if config.dueling else HEAD)


def test_one_step_from_nested_observations():
  # Some gradients of so many are all but zero: with a small ε Adam would take a whole step along their rounding.
  check(DQNConfig(**{**PLAIN, "dueling": True, "adam_epsilon": 1e-3}), OBSERVATIONS, {**TORSO, **DUELING})
