"""Both backends, given the same weights and batches, do the same for three steps, and remember the same as they act.

Values agree to 1e-5, relative to the largest of their array; Adam's first moments are the gradients that were used.
"""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("haiku", reason="needs both backends")
pytest.importorskip("sonnet", reason='needs both backends: pip install "acme-bc[tf]"')

import jax
import tensorflow as tf

from acme import replay, types
from acme_bc import BCConfig
from acme_bc.jax import acting as jax_acting
from acme_bc.jax import learning as jax_learning
from acme_bc.jax import networks as jax_networks
from acme_bc.tf import acting as tf_acting
from acme_bc.tf import learning as tf_learning
from acme_bc.tf import networks as tf_networks
from acme_testing import fakes
from acme_tf import variables

B, L, H = 6, 7, 4
SMALL = BCConfig(hidden_sizes=(6,), core_size=H, learning_rate=1e-2)
CASES = {
  "discrete": ("discrete", {"label_smoothing": 0.1, "max_gradient_norm": 1e-2}, np.float32([0.5, 1, 2])),
  "discrete lstm": ("discrete", {"core": "lstm"}, np.float32([0.5, 1, 2])),
  "discrete gru": ("discrete", {"core": "gru"}, None),
  "mse": ("continuous", {}, None),
  "gaussian": ("continuous", {"continuous_loss": "gaussian"}, None),
  "tanh_gaussian": ("continuous", {"continuous_loss": "tanh_gaussian"}, None),
}
# Sonnet's modules on the left, Haiku's on the right; but for LSTMs, which are kept otherwise.
MODULES = {
  "mlp/linear_0": "linear",
  "gru": "gru",
  "categorical_head/logits": "categorical_head/logits",
  "bounded_head/linear": "action",
  "gaussian_head/loc": "gaussian_head/mean",
  "gaussian_head/scale": "gaussian_head/stddev",
}


def haiku_name(module):
  (found,) = [haiku for sonnet, haiku in MODULES.items() if "/".join(module).endswith(sonnet)]
  return found


def by_haiku_name(values, forget_bias=1.0):
  """Sonnet's values, by name, in the structure of Haiku's parameters; `forget_bias` is in Sonnet's, not in Haiku's."""
  result, lstm = {}, {}
  for name, value in values.items():
    *module, leaf = name.split("/")
    if module[-1] == "lstm":
      lstm[leaf] = value
    else:
      result.setdefault(haiku_name(module), {})[leaf] = value
  if lstm:
    bias = lstm["b"] - np.repeat([0, forget_bias, 0, 0], H).astype(np.float32)
    result["lstm/linear"] = {"w": swapped(np.concatenate([lstm["w_i"], lstm["w_h"]])), "b": swapped(bias)}
  return result


def swapped(x):
  """From gates i, f, g, o to i, g, f, o, and back."""
  i, f, g, o = np.split(x, 4, axis=-1)
  return np.concatenate([i, g, f, o], axis=-1)


def assign(network, params):
  """Gives a Sonnet network Haiku's parameters."""
  new = {}
  for name in variables.named(network.variables):
    *module, leaf = name.split("/")
    if module[-1] == "lstm":
      w, b = (swapped(np.asarray(params["lstm/linear"][key])) for key in ("w", "b"))
      new[name] = {"w_i": w[:-H], "w_h": w[-H:], "b": b + np.repeat(np.float32([0, 1, 0, 0]), H)}[leaf]
    else:
      new[name] = np.asarray(params[haiku_name(module)][leaf])
  variables.assign(network.variables, new)


def make_sample(spec, config, rng):
  sequences = config.core is not None
  leading = (B, L) if sequences else (B,)
  observation = rng.normal(size=(*leading, 5)).astype(np.float32)
  zeros = np.zeros(leading, np.float32)
  if hasattr(spec.actions, "num_values"):
    action = rng.integers(3, size=leading).astype(np.int32)
  else:
    action = rng.uniform(spec.actions.minimum, spec.actions.maximum, (*leading, *spec.actions.shape)).astype(np.float32)
    action[0] = spec.actions.maximum  # At the bound, which a squashed policy never reaches.
  if sequences:
    acted, start = np.ones(leading, np.float32), np.zeros(leading, bool)
    acted[0, 4:], acted[1, 2], start[1, 3] = 0, 0, True
    data = types.Sequence(observation, action, zeros, zeros, start, np.ones(leading, np.float32), acted=acted)
  else:
    data = types.Transition(observation, action, zeros, zeros, observation)
  return replay.Sample(data, (), np.ones(B, np.float32), ())


def close(ours, theirs, what, together=False):
  """Agreement to 1e-5 of the largest number of each array, or of all; 1e-7 is the rounding of a forget gate's bias."""
  assert jax.tree.structure(ours) == jax.tree.structure(theirs), what
  overall = max(np.max(np.abs(leaf)) for leaf in jax.tree.leaves(theirs))
  for (path, one), other in zip(jax.tree_util.tree_leaves_with_path(ours), jax.tree.leaves(theirs), strict=True):
    largest = overall if together else np.max(np.abs(other))
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * largest + 1e-7, err_msg=f"{what} {path}")


def make_both(spec, config):
  """Networks and states of both backends, with the same weights."""
  nets = jax_networks.make_networks(spec, config)
  state = jax.jit(lambda key: jax_learning.make_state(nets, config, key))(jax.random.PRNGKey(0))
  tf_nets = tf_networks.make_networks(spec, config)
  tf_state = tf_learning.make_state(tf_nets, config, seed=2)
  assign(tf_state.network, state.params)
  return (nets, state), (tf_nets, tf_state)


@pytest.mark.parametrize(("actions", "changes", "weights"), CASES.values(), ids=CASES)
def test_three_steps(actions, changes, weights):
  config, spec = dataclasses.replace(SMALL, **changes), fakes.make_spec("vector", actions)
  (nets, state), (tf_nets, tf_state) = make_both(spec, config)
  update = jax.jit(jax_learning.make_update(nets, config, weights))
  tf_update = tf_learning.make_update(tf_nets, config, weights)
  compiled = tf.function(lambda sample: tf_update(tf_state, sample))
  rng = np.random.default_rng(0)
  for i in range(3):
    sample = make_sample(spec, config, rng)
    state, _, metrics = update(state, sample)
    _, tf_metrics = compiled(tf.nest.map_structure(tf.constant, sample))
    close({name: value.numpy() for name, value in tf_metrics.items()}, metrics, f"step {i}")
    (moments,) = [
      x.mu for x in jax.tree.leaves(state.opt_state, is_leaf=lambda x: hasattr(x, "mu")) if hasattr(x, "mu")
    ]
    names = variables.named(tf_state.network.trainable_variables)
    tf_moments = {name: m.numpy() for name, m in zip(names, tf_state.optimizer.m, strict=True)}
    close(by_haiku_name(tf_moments, forget_bias=0.0), moments, f"gradients of step {i}", together=True)
    close(by_haiku_name(variables.values(tf_state.network.variables)), state.params, f"parameters after step {i}")
  sample = make_sample(spec, config, rng)
  metrics, steps = jax.jit(jax_learning.make_evaluate(nets, weights))(state, sample)
  tf_metrics, tf_steps = tf.function(tf_learning.make_evaluate(tf_nets, weights))(
    tf_state, tf.nest.map_structure(tf.constant, sample)
  )
  assert float(tf_steps) == float(steps)
  close({name: value.numpy() for name, value in tf_metrics.items()}, metrics, "an evaluation")


@pytest.mark.parametrize(("actions", "changes", "weights"), CASES.values(), ids=CASES)
def test_acting_does_and_remembers_the_same(actions, changes, weights):
  config, spec = dataclasses.replace(SMALL, **changes), fakes.make_spec("vector", actions)
  (nets, state), (_, tf_state) = make_both(spec, config)
  policy, tf_policy = jax_acting.make_policy(nets), tf_acting.make_policy()
  core, tf_core = policy.initial(state.params, 2), tf_policy.initial(tf_state.network, 2)
  rng = np.random.default_rng(0)
  act = jax.jit(lambda params, step, core: policy.act(params, None, step, core))
  for i in range(3):
    observation = rng.normal(size=(2, 5)).astype(np.float32)
    acted = act(state.params, types.Step(observation, *[None] * 4), core)
    tf_acted = tf_policy.act(tf_state.network, None, types.Step(tf.constant(observation), *[None] * 4), tf_core)
    np.testing.assert_allclose(tf_acted.action, acted.action, atol=1e-6)
    core, tf_core = acted.core, tf_acted.core
    if config.core is not None:
      close(*([np.asarray(x) for x in tf.nest.flatten(each)] for each in (tf_core, core)), f"the state after {i}")
