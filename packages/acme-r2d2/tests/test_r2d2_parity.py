"""Both backends, given the same weights and batches, do the same for three steps, and remember the same as they act.

Values agree to 1e-5, relative to the largest of their array, gradients to the largest of the network. Adam's first
moments are the gradients that were used.
"""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("haiku", reason="needs both backends")
pytest.importorskip("sonnet", reason='needs both backends: pip install "acme-r2d2[tf]"')

import haiku as hk
import jax
import sonnet as snt
import tensorflow as tf

from acme import replay, types
from acme_r2d2 import AGENT, R2D2Config
from acme_r2d2.jax import acting as jax_acting
from acme_r2d2.jax import learning as jax_learning
from acme_r2d2.jax import networks as jax_networks
from acme_r2d2.tf import acting as tf_acting
from acme_r2d2.tf import learning as tf_learning
from acme_r2d2.tf import networks as tf_networks
from acme_testing import fakes
from acme_tf import variables

B, A, BURN_IN, TRACE, H = 6, 3, 3, 6, 4
L = BURN_IN + TRACE + 1
SMALL = R2D2Config(burn_in_length=BURN_IN, trace_length=TRACE, n_step=3, hidden_sizes=(6,), core_size=H,
                   head_hidden_sizes=(5,), target_update_period=2)  # fmt: skip
CASES = {
  "lstm": {},
  "gru": {"core": "gru"},
  "plain": {"dueling": False},
  "no burn-in, one step": {"burn_in_length": 0, "trace_length": L - 1, "n_step": 1},
  "max_gradient_norm": {"max_gradient_norm": 1e-2},
}
SPEC = fakes.make_spec("vector", "discrete")
# Sonnet's modules on the left, Haiku's on the right; but for LSTMs, which are kept otherwise.
MODULES = {
  "torso/mlp/linear_0": "linear",
  "gru": "gru",
  "head/mlp/linear_0": "linear_1",
  "head/mlp/linear_1": "linear_2",
  "head/dueling_head/value/linear_0": "dueling_head/linear",
  "head/dueling_head/value/linear_1": "dueling_head/linear_1",
  "head/dueling_head/advantage/linear_0": "dueling_head/linear_2",
  "head/dueling_head/advantage/linear_1": "dueling_head/linear_3",
}


def by_haiku_name(values, forget_bias=1.0):
  """Sonnet's values, by name, in the structure of Haiku's parameters; `forget_bias` is in Sonnet's, not in Haiku's."""
  result = {}
  lstm = {}
  for name, value in values.items():
    _, *module, leaf = name.split("/")
    if module == ["lstm"]:
      lstm[leaf] = value
    else:
      result.setdefault(MODULES["/".join(module)], {})[leaf] = value
  if lstm:
    weights = np.concatenate([lstm["w_i"], lstm["w_h"]])
    bias = lstm["b"] - np.repeat([0, forget_bias, 0, 0], H).astype(np.float32)
    result["lstm/linear"] = {"w": swapped(weights), "b": swapped(bias)}
  return result


def swapped(x):
  """From gates i, f, g, o to i, g, f, o, and back."""
  i, f, g, o = np.split(x, 4, axis=-1)
  return np.concatenate([i, g, f, o], axis=-1)


def assign(network, params):
  """Gives a Sonnet network Haiku's parameters."""
  new, owned = {}, variables.named(network.variables)
  for name, variable in owned.items():
    _, *module, leaf = name.split("/")
    if module == ["lstm"]:
      w, b = (swapped(np.asarray(params["lstm/linear"][key])) for key in ("w", "b"))
      inputs = len(w) - H
      new[name] = {"w_i": w[:inputs], "w_h": w[inputs:], "b": b + np.repeat(np.float32([0, 1, 0, 0]), H)}[leaf]
    else:
      new[name] = np.asarray(params[MODULES["/".join(module)]][leaf])
    assert new[name].shape == tuple(variable.shape)
  variables.assign(network.variables, new)


def cores(config, rng, batch):
  """The same recurrent state for Haiku and for Sonnet."""
  arrays = [rng.normal(size=(batch, H)).astype(np.float32) for _ in range(2)]
  return (hk.LSTMState(*arrays), snt.LSTMState(*arrays)) if config.core == "lstm" else (arrays[0], arrays[0])


def make_samples(rng, config):
  acted, mask = np.ones((2, B, L), np.float32)
  acted[0, 7:], mask[0, 8:], acted[1, 5], acted[2, 1] = 0, 0, 0, 0
  start = np.zeros((B, L), bool)
  start[:, 1:] = (acted[:, :-1] == 0) & (mask[:, 1:] == 1)
  action, previous_action = rng.integers(A, size=(2, B, L)).astype(np.int32)
  reward, previous_reward = rng.normal(size=(2, B, L)).astype(np.float32)
  data = types.Sequence(
    rng.normal(size=(B, L, 5)).astype(np.float32), action, reward,
    rng.choice([0, 0.5, 1], size=(B, L), p=[0.1, 0.3, 0.6]).astype(np.float32), start, mask, (), acted,
    previous_action, previous_reward,
  )  # fmt: skip
  probabilities = rng.uniform(0.01, 0.1, size=B).astype(np.float32)
  return [replay.Sample(data._replace(core=core), (), probabilities, ()) for core in cores(config, rng, B)]


def close(ours, theirs, what, together=False):
  """Agreement to 1e-5 of the largest number of each array; or of all, where some may come near 0 by cancelling out.

  The rest, 1e-7, is the rounding of a forget gate's bias, to which Sonnet adds 1.
  """
  assert jax.tree.structure(ours) == jax.tree.structure(theirs), what
  overall = max(np.max(np.abs(leaf)) for leaf in jax.tree.leaves(theirs))
  for (path, one), other in zip(jax.tree_util.tree_leaves_with_path(ours), jax.tree.leaves(theirs), strict=True):
    largest = overall if together else np.max(np.abs(other))
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * largest + 1e-7, err_msg=f"{what} {path}")


def make_both(config):
  """Networks and states of both backends with the same weights, the target's other than the online network's."""
  nets = jax_networks.make_networks(SPEC, config)
  init = jax.jit(lambda key: jax_learning.make_state(nets, config, key))
  state, other = (init(jax.random.PRNGKey(i)) for i in range(2))
  state = state._replace(target_params=other.params)
  tf_nets = tf_networks.make_networks(SPEC, config)
  tf_state = tf_learning.make_state(tf_nets, config, seed=2)
  assign(tf_state.online, state.params)
  assign(tf_state.target, state.target_params)
  return (nets, state), (tf_nets, tf_state)


@pytest.mark.parametrize("changes", CASES.values(), ids=CASES)
def test_three_steps(changes):
  config = dataclasses.replace(SMALL, **changes)
  (nets, state), (_, tf_state) = make_both(config)
  update, tf_update = jax.jit(jax_learning.make_update(nets, config)), tf_learning.make_update(config)
  compiled = tf.function(lambda sample: tf_update(tf_state, sample))
  rng = np.random.default_rng(0)
  for i in range(3):
    sample, tf_sample = make_samples(rng, config)
    state, priorities, metrics = update(state, sample)
    tf_priorities, tf_metrics = compiled(tf.nest.map_structure(tf.constant, tf_sample))
    close({name: value.numpy() for name, value in tf_metrics.items()}, metrics, f"step {i}")
    close(tf_priorities.numpy(), np.asarray(priorities), f"priorities of step {i}")
    (moments,) = [
      x.mu for x in jax.tree.leaves(state.opt_state, is_leaf=lambda x: hasattr(x, "mu")) if hasattr(x, "mu")
    ]
    names = variables.named(tf_state.online.trainable_variables)
    tf_moments = {name: m.numpy() for name, m in zip(names, tf_state.optimizer.m, strict=True)}
    close(by_haiku_name(tf_moments, forget_bias=0.0), moments, f"gradients of step {i}", together=True)
    for network, params in ((tf_state.online, state.params), (tf_state.target, state.target_params)):
      close(by_haiku_name(variables.values(network.variables)), params, f"parameters after step {i}")


def test_first_priorities():
  (_, state), (_, tf_state) = make_both(SMALL)
  sample, tf_sample = make_samples(np.random.default_rng(0), SMALL)
  made = {}
  for backend, params, data in (
    ("jax", state.params, sample.data), ("tf", variables.values(tf_state.online.variables), tf_sample.data)
  ):  # fmt: skip
    builder = AGENT.builder(SMALL, backend=backend)
    made[backend] = builder.priorities(builder.make_program(SPEC))(params, data)
  close(made["tf"], made["jax"], "first priorities")


@pytest.mark.parametrize("core", ["lstm", "gru"])
def test_acting_remembers_the_same(core):
  config = dataclasses.replace(SMALL, core=core)
  (nets, state), (tf_nets, tf_state) = make_both(config)
  policy = jax_acting.make_policy(nets, config, evaluation=True)
  tf_policy = tf_acting.make_policy(tf_nets, config, evaluation=True)
  initial, tf_initial = policy.initial(state.params, 2), tf_policy.initial(tf_state.online, 2)
  close(*([np.asarray(x) for x in tf.nest.flatten(each)] for each in (tf_initial, initial)), "the initial state")
  rng = np.random.default_rng(0)
  given, tf_given = cores(config, rng, 2)
  for i in range(5):
    observation, action = rng.normal(size=(2, 5)).astype(np.float32), rng.integers(A, size=2).astype(np.int32)
    fields = observation, action, rng.normal(size=2).astype(np.float32)
    step, tf_step = types.Step(*fields, None, None), types.Step(*map(tf.constant, fields), None, None)
    acted = policy.act(state.params, None, step, given)
    tf_acted = tf_policy.act(tf_state.online, None, tf_step, tf_given)
    np.testing.assert_array_equal(tf_acted.action, acted.action)
    given, tf_given = acted.core, tf_acted.core
    close(*([np.asarray(x) for x in tf.nest.flatten(each)] for each in (tf_given, given)), f"the state after {i}")
