"""Both backends, given the same weights and batches, do the same for three steps, the recurrent core included.

Values agree to 1e-5 of the largest of their array, or of all gradients. Both optimisers keep what gradients were.
"""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("haiku", reason="needs both backends")
pytest.importorskip("sonnet", reason='needs both backends: pip install "acme-impala[tf]"')

import jax
import sonnet as snt
import tensorflow as tf

from acme import replay, specs, types
from acme_impala import IMPALAConfig
from acme_impala.jax import learning as jax_learning
from acme_impala.jax import networks as jax_networks
from acme_impala.tf import learning as tf_learning
from acme_impala.tf import networks as tf_networks
from acme_testing import fakes
from acme_tf import variables

B, L, H = 4, 6, 3
SMALL = IMPALAConfig(hidden_sizes=(5,), head_hidden_sizes=(4,), core_size=H, entropy_cost=0.1, learning_rate=1e-2)
CASES = {
  "feed-forward": ("discrete", {}),
  "lstm": ("discrete", {"core": "lstm", "max_abs_reward": 0.5, "reward_scale": 0.3}),
  "gru": ("discrete", {"core": "gru", "max_gradient_norm": 1e-2}),
  "continuous": ("continuous", {"optimizer": "rmsprop"}),
  "nested lstm": ("dict", {"core": "lstm", "learning_rate_steps": 4}),
  "rmsprop": ("discrete", {"optimizer": "rmsprop", "rmsprop_decay": 0.9, "learning_rate_steps": 2}),
}


def params_by_name(values, core):
  """Sonnet's values in the structure of Haiku's parameters."""
  modules = {"hidden/linear_0": "linear", "policy/linear_0": "linear_1", "value/linear_0": "linear_2",
             "value_head": "value_head/value", "categorical_head/logits": "categorical_head/logits",
             "gaussian_head/loc": "gaussian_head/mean", "gaussian_head/scale": "gaussian_head/stddev"}  # fmt: skip
  result = {}
  for name, value in values.items():
    module, leaf = name.removeprefix("impala/").rsplit("/", 1)
    if module in modules:
      result.setdefault(modules[module], {})[leaf] = value
  if core == "gru":
    result["gru"] = {leaf: values[f"impala/gru/{leaf}"] for leaf in ("w_i", "w_h", "b")}
  elif core == "lstm":  # Haiku's gates are i, g, f, o, and it adds the forget gate's 1 later; Sonnet's are i, f, g, o.
    weights = np.concatenate([values["impala/lstm/w_i"], values["impala/lstm/w_h"]])
    bias = values["impala/lstm/b"] - np.repeat([0, 1, 0, 0], H).astype(np.float32)
    result["lstm/linear"] = {"w": reordered(weights), "b": reordered(bias)}
  return result


def reordered(x):
  i, f, g, o = np.split(x, 4, axis=-1)
  return np.concatenate([i, g, f, o], axis=-1)


def make_sample(rng, spec, nets):
  acted, start = np.ones((B, L), np.float32), np.zeros((B, L), bool)
  acted[0, 3:] = acted[1, 2] = acted[2, 0] = 0
  start[1, 3] = start[2, 1] = start[3, 0] = True
  actions = [fakes.random_value(spec.actions, rng) for _ in range(B * L)]
  action = jax.tree.map(lambda *x: np.reshape(np.stack(x), (B, L, *np.shape(x[0]))), *actions)
  size = nets.kind.size
  extras = {"logits": rng.normal(size=(B, L, size))}
  if not isinstance(spec.actions, specs.DiscreteArray):
    extras = {"draw": rng.normal(size=(B, L, size)), "log_prob": rng.normal(size=(B, L)) - 1}
  core = jax.tree.map(lambda x: rng.normal(size=x.shape), nets.initial_core(B))
  real = (rng.normal(size=(B, L, 5)), rng.normal(size=(B, L)), rng.choice([0, 0.6, 1], size=(B, L)), extras, core)
  observation, reward, discount, extras, core = jax.tree.map(np.float32, real)
  data = types.Sequence(observation, action, reward, discount, start, acted, extras, acted, core=core)
  return replay.Sample(data, (), np.ones(B), ())


def close(ours, theirs, what, together=False):
  assert jax.tree.structure(ours) == jax.tree.structure(theirs), what
  overall = max(np.max(np.abs(leaf)) for leaf in jax.tree.leaves(theirs))
  for (path, one), other in zip(jax.tree_util.tree_leaves_with_path(ours), jax.tree.leaves(theirs), strict=True):
    largest = overall if together else np.max(np.abs(other))
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * largest + 1e-7, err_msg=f"{what} {path}")


def moments_of_jax(state, name):
  return next(getattr(x, name) for x in jax.tree.leaves(state.opt_state, is_leaf=lambda x: hasattr(x, name))
              if hasattr(x, name))  # fmt: skip


@pytest.mark.parametrize(("actions", "changes"), CASES.values(), ids=CASES)
def test_three_steps(actions, changes):
  spec, config = fakes.make_spec("vector", actions), dataclasses.replace(SMALL, **changes)
  nets, tf_nets = jax_networks.make_networks(spec, config), tf_networks.make_networks(spec, config)
  tf_state = tf_learning.make_state(tf_nets, config, seed=0)
  names = variables.named(tf_state.network.variables)
  for name, variable in names.items():  # Heads are near zero at first.
    if name.split("/")[1] in ("categorical_head", "gaussian_head"):
      variable.assign(50 * variable)
  params = params_by_name(variables.values(tf_state.network.variables), config.core)
  state = jax.jit(lambda key: jax_learning.make_state(nets, config, key))(jax.random.PRNGKey(0))
  assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, state.params)
  state = state._replace(params=params)
  tf_update = tf_learning.make_update(tf_nets, config)
  compiled = tf.function(lambda sample: tf_update(tf_state, sample)[1])
  update, rng = jax.jit(jax_learning.make_update(nets, config)), np.random.default_rng(0)
  for i in range(3):
    sample = make_sample(rng, spec, nets)
    state, _, metrics = update(state, sample)
    tf_sample = sample
    if config.core == "lstm":  # Each backend has a record of its own.
      tf_sample = sample._replace(data=sample.data._replace(core=snt.LSTMState(*sample.data.core)))
    tf_metrics = compiled(tf.nest.map_structure(tf.constant, tf_sample))
    close({name: value.numpy() for name, value in tf_metrics.items()}, metrics, f"step {i}")
    owned = dict(
      zip(names, tf_state.optimizer.ms if config.optimizer == "rmsprop" else tf_state.optimizer.m, strict=True)
    )
    moments = {name: value.numpy() for name, value in owned.items()}
    if config.core == "lstm":
      moments["impala/lstm/b"] = moments["impala/lstm/b"] + np.repeat([0, 1, 0, 0], H)  # Which is taken off again.
    name = "nu" if config.optimizer == "rmsprop" else "mu"
    close(params_by_name(moments, config.core), dict(moments_of_jax(state, name)), f"gradients of step {i}", True)
    values = variables.values(tf_state.network.variables)
    close(params_by_name(values, config.core), state.params, f"parameters after step {i}")


@pytest.mark.parametrize("core", ["lstm", "gru"])
def test_cores_act_alike(core):
  """From one state, over an episode's beginning, both come to the same policy, values and state."""
  spec, config = fakes.make_spec("vector", "discrete"), dataclasses.replace(SMALL, core=core)
  nets, tf_nets = jax_networks.make_networks(spec, config), tf_networks.make_networks(spec, config)
  network = variables.create(tf_nets.make, *tf_nets.inputs(), seed=1)
  params = params_by_name(variables.values(network.variables), core)
  data = make_sample(np.random.default_rng(1), spec, nets).data
  given = tf.nest.pack_sequence_as(tf_nets.initial_core(B), jax.tree.leaves(data.core))
  ours = nets.unroll.apply(params, data.observation, data.start_of_episode, data.core)
  theirs = tf.function(network)(*tf.nest.map_structure(tf.constant, (data.observation, data.start_of_episode, given)))
  for one, other in zip(jax.tree.leaves(ours), tf.nest.flatten(theirs), strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
