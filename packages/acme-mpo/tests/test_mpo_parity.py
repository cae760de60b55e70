"""Both backends, given the same weights, batches and noise, do the same for three steps.

Values agree to 1e-5, relative to the largest of their array, gradients to the largest of their network. Adam's first
moments are the gradients that were used.
"""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("haiku", reason="needs both backends")
pytest.importorskip("sonnet", reason='needs both backends: pip install "acme-mpo[tf]"')

import jax
import tensorflow as tf

from acme import replay, types
from acme_mpo import MPOConfig
from acme_mpo.jax import learning as jax_learning
from acme_mpo.jax import networks as jax_networks
from acme_mpo.tf import learning as tf_learning
from acme_mpo.tf import networks as tf_networks
from acme_testing import fakes
from acme_tf import mpo as tf_mpo
from acme_tf import variables

B, L = 6, 4
SMALL = MPOConfig(policy_hidden_sizes=(8, 6), critic_hidden_sizes=(8, 6), num_samples=5, initial_log_temperature=0.5,
                  initial_log_alpha_mean=0.7, initial_log_alpha_stddev=2.0, target_policy_period=2,
                  target_critic_period=3)  # fmt: skip
CASES = {
  "n-step": ("continuous", {}),
  "retrace": ("continuous", {"retrace": True}),
  "discrete": ("discrete", {}),
  "mixed": ("mixed", {}),
  "mixed retrace": ("mixed", {"retrace": True}),
  "discrete retrace": ("discrete", {"retrace": True}),
  "nested": ("dict", {}),
  "summed, no penalty": ("continuous", {"per_dimension": False, "epsilon_penalty": None}),
  "max_gradient_norm": ("continuous", {"max_gradient_norm": 1e-2}),
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


def by_haiku_name(values):
  """Sonnet's values, by name, in the structure of Haiku's parameters."""
  result = {}
  for name, value in values.items():
    top, *module, leaf = name.split("/")
    result.setdefault(f"{top}/{MODULES['/'.join(module)]}", {})[leaf] = value
  return result


def make_sample(rng, spec, retrace):
  shape = (B, L) if retrace else (B,)

  def observation():
    return rng.normal(size=(*shape, 5)).astype(np.float32)

  actions = [fakes.random_value(spec.actions, rng) for _ in range(int(np.prod(shape)))]
  action = jax.tree.map(lambda *x: np.reshape(np.stack(x), (*shape, *np.shape(x[0]))), *actions)
  reward, discount = rng.normal(size=shape).astype(np.float32), rng.choice([0, 0.6, 1], size=shape).astype(np.float32)
  if not retrace:
    return replay.Sample(types.Transition(observation(), action, reward, discount, observation()), (), np.ones(B), ())
  acted = np.ones(shape, np.float32)
  acted[0, 2:] = acted[1, 1] = 0
  extras = {"log_prob": rng.normal(size=shape).astype(np.float32) - 1}
  data = types.Sequence(observation(), action, reward, discount, acted < 0, acted, extras, acted)
  return replay.Sample(data, (), np.ones(B), ())


def parts_of_jax(state):
  moments = [x.mu for x in jax.tree.leaves(state.opt_state, is_leaf=lambda x: hasattr(x, "mu")) if hasattr(x, "mu")]
  gradients = {}
  for each in moments:  # One optimizer for each part, which sees nothing of the others.
    for name in each._fields:
      if jax.tree.leaves(getattr(each, name)):
        gradients[name] = getattr(each, name)
  targets = {"target_policy": state.target_policy, "target_critic": state.target_critic}
  return state.params._asdict() | targets, gradients


def parts_of_tf(state):
  parts = {name: variables.values(variables.of(getattr(state, name))) for name in tf_mpo.TrainingState._fields[:5]}
  optimizers = dict(zip(("policy", "critic", "duals"), state.optimizers, strict=True))
  gradients = {}
  for name, optimizer in optimizers.items():
    keys = variables.named(variables.of(getattr(state, name)))
    gradients[name] = {key: m.numpy() for key, m in zip(keys, optimizer.m, strict=True)}
  for nest in (parts, gradients):
    nest |= {name: by_haiku_name(values) for name, values in nest.items() if name != "duals"}
  return parts, gradients


def close(ours, theirs, what, together=False, rounding=0.0):
  """Agreement to 1e-5 of the largest number of each array; or of all, where some may come near 0 by cancelling out.

  `rounding` is what may be left over of terms of order 1 that cancel each other out.
  """
  assert jax.tree.structure(ours) == jax.tree.structure(theirs), what
  overall = max(np.max(np.abs(leaf)) for leaf in jax.tree.leaves(theirs))
  for (path, one), other in zip(jax.tree_util.tree_leaves_with_path(ours), jax.tree.leaves(theirs), strict=True):
    largest = overall if together else np.max(np.abs(other))
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * largest + rounding, err_msg=f"{what} {path}")


def by_tf_name(params, like):
  """Haiku's parameters under the names of Sonnet's variables."""
  paths = by_haiku_name({name: name for name in like})
  return {name: np.asarray(params[module][leaf]) for module, part in paths.items() for leaf, name in part.items()}


@pytest.mark.parametrize(("actions", "changes"), CASES.values(), ids=CASES)
def test_three_steps(actions, changes, monkeypatch):
  spec, config = fakes.make_spec("vector", actions), dataclasses.replace(SMALL, **changes)
  nets = jax_networks.make_networks(spec, config)
  init = jax.jit(lambda key: jax_learning.make_state(nets, config, key))
  state, other = init(jax.random.PRNGKey(0)), init(jax.random.PRNGKey(1))
  # Near zero, as its head starts, the policy's first layers would have hardly a gradient to compare.
  policy, target_policy = (
    jax.tree.map(lambda x: 20 * x if np.abs(x).max() < 0.05 else x, each.params.policy) for each in (state, other)
  )
  params = state.params._replace(policy=policy)
  state = state._replace(params=params, target_policy=target_policy, target_critic=other.params.critic)
  tf_nets = tf_networks.make_networks(spec, config)
  tf_state = tf_mpo.make_state(tf_nets, tf_mpo.Rates.of(config), seed=2)
  for name, values in parts_of_jax(state)[0].items():
    owned = variables.of(getattr(tf_state, name))
    mapped = values if name == "duals" else by_tf_name(values, variables.named(owned))
    variables.assign(owned, {key: np.asarray(value) for key, value in mapped.items()})

  # The noise of JAX's steps, drawn beforehand, in the place of TensorFlow's.
  num_states = B * L if config.retrace else 2 * B
  noise = [nets.kind.draw(jax.random.fold_in(state.key, i), num_states) for i in range(3)]
  given = jax.tree.map(lambda *each: tf.constant(np.stack(each)), *noise)
  monkeypatch.setattr(
    tf_mpo, "draw", lambda nets, state, _: tf.nest.map_structure(lambda x: tf.gather(x, state.steps), given)
  )
  update, tf_update = jax.jit(jax_learning.make_update(nets, config)), tf_learning.make_update(tf_nets, config)
  compiled = tf.function(lambda sample: tf_update(tf_state, sample)[1])
  rng = np.random.default_rng(0)
  for i in range(3):
    sample = make_sample(rng, spec, config.retrace)
    state, _, metrics = update(state, sample)
    tf_metrics = compiled(tf.nest.map_structure(tf.constant, sample))
    close({name: value.numpy() for name, value in tf_metrics.items()}, metrics, f"step {i}", rounding=1e-7)
    (parts, gradients), (tf_parts, tf_gradients) = parts_of_jax(state), parts_of_tf(tf_state)
    for name, gradient in gradients.items():
      close(tf_gradients[name], gradient, f"{name} gradients of step {i}", together=name != "duals", rounding=1e-8)
    close(tf_parts, parts, f"parameters after step {i}", rounding=1e-7)
