"""Both backends, given the same weights and batch, do the same: losses, priorities, gradients, parameters, targets.

Values agree to 1e-5, relative to the largest of their array. Gradients are read from Adam's first moments, which after
one step are a tenth of them, so they are those that the learner used.
"""

import functools

import numpy as np
import pytest

pytest.importorskip("haiku", reason="needs both backends")
pytest.importorskip("sonnet", reason='needs both backends: pip install "acme-d4pg[tf]"')

import jax
import tensorflow as tf
import tree

from acme import replay, specs, types
from acme_d4pg import D4PGConfig
from acme_d4pg.jax import learning as jax_learning
from acme_d4pg.jax import networks as jax_networks
from acme_d4pg.tf import learning as tf_learning
from acme_d4pg.tf import networks as tf_networks
from acme_tf import variables

B = 16
SMALL = {"policy_hidden_sizes": (8, 6), "critic_hidden_sizes": (8, 6), "num_atoms": 11, "vmin": -2.0, "vmax": 2.0}
ATOMS = np.linspace(-2, 2, 11, dtype=np.float32)
CASES = {
  "uniform": {},
  "prioritized": {"prioritized": True, "importance_sampling_exponent": 0.6},
  "copied targets": {"target_update_period": 1},
  "dqda_clipping": {"dqda_clipping": 1e-3},
  "no clipping": {"dqda_clipping": None, "max_gradient_norm": None},
  "max_gradient_norm": {"max_gradient_norm": 1e-2},
}
ACTIONS = {
  "vector": specs.BoundedArray((3,), np.float32, [-1, 0, 2], [1, 10, 3]),
  "nested": {
    "arm": specs.BoundedArray((2,), np.float32, -1, 1),
    "hand": (specs.BoundedArray((2, 2), np.float32, 0, 5), specs.BoundedArray((), np.float32, -2, 2)),
  },
}
TORSO = {
  "layer_norm_mlp/linear_0/w": "layer_norm_mlp/linear/w",
  "layer_norm_mlp/linear_0/b": "layer_norm_mlp/linear/b",
  "layer_norm_mlp/layer_norm/scale": "layer_norm_mlp/layer_norm/scale",
  "layer_norm_mlp/layer_norm/offset": "layer_norm_mlp/layer_norm/offset",
  "layer_norm_mlp/linear_1/w": "layer_norm_mlp/linear_1/w",
  "layer_norm_mlp/linear_1/b": "layer_norm_mlp/linear_1/b",
}
# Sonnet's variable on the left, Haiku's on the right, within "deterministic_policy" and "critic".
POLICY = {**TORSO, "near_zero/w": "linear/w", "near_zero/b": "linear/b"}
CRITIC = {**TORSO, "head/w": "linear/w", "head/b": "linear/b"}


def by_tf_name(params, network):
  """Haiku's parameters under Sonnet's names; all of them, each once."""
  top, names = {"policy": ("deterministic_policy", POLICY), "critic": ("critic", CRITIC)}[network]
  flat = {f"{module}/{leaf}": np.asarray(value) for module, part in params.items() for leaf, value in part.items()}
  assert sorted(flat) == sorted(f"{top}/{theirs}" for theirs in names.values())
  return {f"{top}/{ours}": flat[f"{top}/{theirs}"] for ours, theirs in names.items()}


def make_sample(spec):
  rng = np.random.default_rng(0)

  def act(leaf):
    return rng.uniform(leaf.minimum, leaf.maximum, size=(B, *leaf.shape)).astype(leaf.dtype)

  data = types.Transition(
    observation=rng.normal(size=(B, 4)).astype(np.float32),
    action=tree.map_structure(act, spec.actions),
    reward=rng.normal(size=B).astype(np.float32),
    discount=rng.choice([0, 0.6, 1], size=B).astype(np.float32),
    next_observation=rng.normal(size=(B, 4)).astype(np.float32),
  )
  return replay.Sample(data, (), rng.uniform(0.01, 0.1, size=B).astype(np.float32), ())


def first_moments(opt_state):
  def is_adam(node):
    return hasattr(node, "mu")

  (adam,) = filter(is_adam, jax.tree.leaves(opt_state, is_leaf=is_adam))
  return adam.mu


def step_jax(spec, config, sample):
  """One step with targets other than the online networks; returns the weights before it and what it gave."""
  nets = jax_networks.make_networks(spec, config)
  before = jax_learning.make_state(nets, config, jax.random.PRNGKey(0))
  # Near zero, as it starts, the policy's first layers would have hardly a gradient to compare.
  before.params.policy["deterministic_policy/linear"]["w"] *= 100
  before = before._replace(target_params=jax_learning.make_state(nets, config, jax.random.PRNGKey(1)).params)
  state, priorities, metrics = jax.jit(jax_learning.make_update(nets, config, ATOMS))(before, sample)
  weights, result = {}, {"outputs": {**metrics, "priorities": priorities}}
  for name in ("policy", "critic"):
    weights[name] = by_tf_name(getattr(before.params, name), name)
    weights[f"target_{name}"] = by_tf_name(getattr(before.target_params, name), name)
    result[f"{name} gradients"] = by_tf_name(first_moments(getattr(state, f"{name}_opt_state")), name)
    result[name] = by_tf_name(getattr(state.params, name), name)
    result[f"target_{name}"] = by_tf_name(getattr(state.target_params, name), name)
  return weights, result


def step_tf(spec, config, sample, weights):
  nets = tf_networks.make_networks(spec, config)
  state = tf_learning.make_state(nets, config, seed=2)
  for name, values in weights.items():
    variables.assign(getattr(state, name).variables, values)  # Raises where a name is missing or over.
  update = functools.partial(tf_learning.make_update(nets, config, ATOMS), state)
  priorities, metrics = tf.function(update)(sample)
  result = {"outputs": {**metrics, "priorities": priorities}}
  for name in ("policy", "critic"):
    names = variables.named(getattr(state, name).trainable_variables)
    moments = getattr(state, f"{name}_optimizer").m
    result[f"{name} gradients"] = {key: m.numpy() for key, m in zip(names, moments, strict=True)}
    result[name] = variables.values(getattr(state, name).variables)
    result[f"target_{name}"] = variables.values(getattr(state, f"target_{name}").variables)
  return result


def check(config, actions):
  scalar = specs.Array((), np.float32)
  spec = specs.EnvironmentSpec(specs.Array((4,), np.float32), actions, scalar, scalar)
  sample = make_sample(spec)
  weights, expected = step_jax(spec, config, sample)
  result = step_tf(spec, config, sample, weights)
  assert expected.keys() == result.keys()
  for kind, values in expected.items():
    assert values.keys() == result[kind].keys()
    for name, value in values.items():
      value = np.asarray(value)
      assert "gradients" not in kind or np.any(value), f"the gradient of {name} is zero everywhere"
      largest = np.max(np.abs(value))
      np.testing.assert_allclose(result[kind][name], value, rtol=0, atol=1e-5 * largest, err_msg=f"{kind} {name}")


@pytest.mark.parametrize("changes", CASES.values(), ids=CASES)
def test_one_step(changes):
  check(D4PGConfig(**{**SMALL, **changes}), ACTIONS["vector"])


def test_one_step_with_nested_actions():
  check(D4PGConfig(**SMALL), ACTIONS["nested"])
