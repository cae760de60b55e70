"""Both backends, given the same weights, batches and noise, do the same for three steps: losses, gradients, parameters.

Values agree to 1e-5, relative to the largest of their array, gradients to the largest of their network; `rounding` is
float32's, of terms of order 1.
"""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("haiku", reason="needs both backends")
pytest.importorskip("sonnet", reason='needs both backends: pip install "acme-dmpo[tf]"')

import jax
import tensorflow as tf

from acme import replay, types
from acme_dmpo import DMPOConfig
from acme_dmpo.jax import learning as jax_learning
from acme_dmpo.jax import networks as jax_networks
from acme_dmpo.tf import learning as tf_learning
from acme_dmpo.tf import networks as tf_networks
from acme_testing import fakes
from acme_tf import mpo as tf_mpo
from acme_tf import variables

B = 6
SMALL = DMPOConfig(policy_hidden_sizes=(8, 6), critic_hidden_sizes=(8, 6), num_samples=5, num_atoms=11, vmin=-2.0,
                   vmax=2.0, initial_log_temperature=0.5, initial_log_alpha_mean=0.7, initial_log_alpha_stddev=2.0,
                   target_policy_period=2, target_critic_period=3)  # fmt: skip
ATOMS = np.linspace(-2, 2, 11, dtype=np.float32)
CASES = {
  "continuous": ("continuous", {}),
  "discrete": ("discrete", {}),
  "mixed": ("mixed", {}),
  "nested, summed": ("dict", {"per_dimension": False, "epsilon_penalty": None, "max_gradient_norm": 1e-2}),
}
# Sonnet's modules on the left, Haiku's on the right, within the network.
MODULES = {
  "layer_norm_mlp/linear_0": "layer_norm_mlp/linear",
  "layer_norm_mlp/linear_1": "layer_norm_mlp/linear_1",
  "layer_norm_mlp/layer_norm": "layer_norm_mlp/layer_norm",
  "gaussian_head/loc": "gaussian_head/mean",
  "gaussian_head/scale": "gaussian_head/stddev",
  "categorical_head/logits": "categorical_head/logits",
  "mixed_head/gaussian_head/loc": "mixed_head/gaussian_head/mean",
  "mixed_head/gaussian_head/scale": "mixed_head/gaussian_head/stddev",
  "mixed_head/choice_0/logits": "mixed_head/choice_0/logits",
  "mixed_head/choice_1/logits": "mixed_head/choice_1/logits",
  "head": "linear",
}


def like_tf(part, params, named):
  """JAX's parameters of a part by the names of TensorFlow's variables."""
  if part == "duals":
    return {name: np.asarray(value) for name, value in params.items()}
  found = {}
  for name in named:
    top, *module, leaf = name.split("/")
    found[name] = np.asarray(params[f"{top}/{MODULES['/'.join(module)]}"][leaf])
  assert len(found) == len(jax.tree.leaves(params))
  return found


def make_sample(rng, spec):
  action = jax.tree.map(lambda *x: np.stack(x), *(fakes.random_value(spec.actions, rng) for _ in range(B)))
  o, o_t = rng.normal(size=(2, B, 5)).astype(np.float32)
  reward, discount = rng.normal(size=B).astype(np.float32), rng.choice([0, 0.6, 1], size=B).astype(np.float32)
  return replay.Sample(types.Transition(o, action, reward, discount, o_t), (), np.ones(B), ())


def gradients_of(opt_state):
  """Adam's first moments, which after the first step are a tenth of the gradients, of each part."""
  adams = [x for x in jax.tree.leaves(opt_state, is_leaf=lambda x: hasattr(x, "mu")) if hasattr(x, "mu")]
  parts = [(name, part) for adam in adams for name, part in adam.mu._asdict().items() if jax.tree.leaves(part)]
  assert len(parts) == 3
  return dict(parts)


def close(actual, expected, what, rounding):
  assert actual.keys() == expected.keys(), what
  for name, value in expected.items():
    atol = 1e-5 * np.max(np.abs(value)) + rounding
    np.testing.assert_allclose(actual[name], value, rtol=0, atol=atol, err_msg=f"{what}: {name}")


@pytest.mark.parametrize(("actions", "changes"), CASES.values(), ids=CASES)
def test_three_steps(actions, changes, monkeypatch):
  spec, config = fakes.make_spec("vector", actions), dataclasses.replace(SMALL, **changes)
  nets, tf_nets = jax_networks.make_networks(spec, config), tf_networks.make_networks(spec, config)
  init = jax.jit(lambda key: jax_learning.make_state(nets, config, key))
  state, other = init(jax.random.PRNGKey(0)), init(jax.random.PRNGKey(1))
  policy, target_policy = (  # Heads are near zero at first, and would pass hardly a gradient on.
    jax.tree.map(lambda x: 20 * x if np.abs(x).max() < 0.05 else x, each.params.policy) for each in (state, other)
  )
  params = state.params._replace(policy=policy)
  state = state._replace(params=params, target_policy=target_policy, target_critic=other.params.critic)
  tf_state = tf_mpo.make_state(tf_nets, tf_mpo.Rates.of(config), seed=2)
  owned = {name: variables.of(getattr(tf_state, name)) for name in tf_mpo.TrainingState._fields[:5]}

  def parts_of(state):
    parts = {**state.params._asdict(), "target_policy": state.target_policy, "target_critic": state.target_critic}
    return {name: like_tf(name, parts[name], variables.named(owned[name])) for name in owned}

  for name, values in parts_of(state).items():
    variables.assign(owned[name], values)
  noise = [nets.kind.draw(jax.random.fold_in(state.key, i), 2 * B) for i in range(3)]
  given = jax.tree.map(lambda *each: tf.constant(np.stack(each)), *noise)
  monkeypatch.setattr(
    tf_mpo, "draw", lambda nets, state, _: tf.nest.map_structure(lambda x: tf.gather(x, state.steps), given)
  )
  update, tf_update = (
    jax.jit(jax_learning.make_update(nets, config, ATOMS)),
    tf_learning.make_update(tf_nets, config, ATOMS),
  )
  compiled = tf.function(lambda sample: tf_update(tf_state, sample)[1])
  rng = np.random.default_rng(0)
  for i in range(3):
    sample = make_sample(rng, spec)
    state, _, metrics = update(state, sample)
    close(compiled(tf.nest.map_structure(tf.constant, sample)), metrics, f"metrics {i}", rounding=1e-7)
    for name, gradient in gradients_of(state.opt_state).items():
      index = ("policy", "critic", "duals").index(name)
      named = variables.named(owned[name])
      moments = dict(zip(named, (m.numpy() for m in tf_state.optimizers[index].m), strict=True))
      expected = like_tf(name, gradient, named)
      largest = max(np.max(np.abs(value)) for value in expected.values())
      rounding = 1e-8 if name == "duals" else 1e-5 * largest  # A multiplier's may cancel out, of terms of order 1.
      close(moments, expected, f"gradients {i}", rounding)
    for name, values in parts_of(state).items():
      close(variables.values(owned[name]), values, f"{name} {i}", rounding=1e-7)
