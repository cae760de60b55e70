"""Whole learner steps against NumPy in float64, and what must not matter to them."""

import dataclasses

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme import replay, specs, types
from acme_bc import BCConfig
from acme_bc.jax import learning, networks
from acme_jax import distributions
from acme_testing import fakes

B, L, O, A, D = 7, 5, 4, 3, 2
SCALAR = specs.Array((), np.float32)
BOX = specs.BoundedArray((D,), np.float32, -2, 2)
DISCRETE, CONTINUOUS = (
  specs.EnvironmentSpec(specs.Array((O,), np.float32), actions, SCALAR, SCALAR)
  for actions in (specs.DiscreteArray(A), BOX)
)
WEIGHTS = np.array([0.5, 1.0, 2.0], np.float32)


def linear(size, kind):
  """One layer: the policy's arrays side by side."""

  def head(x):
    y = hk.Linear(size)(x)
    if kind is None:
      return y
    parts = jnp.split(y, len(kind._fields), axis=-1)
    return kind(parts[0], *(jnp.exp(part) for part in parts[1:]))

  return lambda: (lambda o: o, None, head)


CASES = {
  "cross-entropy": (DISCRETE, {"label_smoothing": 0.2}, A, distributions.Categorical),
  "mse": (CONTINUOUS, {}, D, None),
  "gaussian": (CONTINUOUS, {"continuous_loss": "gaussian"}, 2 * D, distributions.DiagonalGaussian),
  "tanh_gaussian": (CONTINUOUS, {"continuous_loss": "tanh_gaussian"}, 2 * D, distributions.TanhGaussian),
}


def reference(name, params, data):
  """The loss in float64."""
  y = data.observation.astype(np.float64) @ params["w"] + params["b"]
  if name == "cross-entropy":
    log_p = y - np.log(np.sum(np.exp(y), axis=1, keepdims=True))
    targets = 0.8 * np.eye(A)[data.action] + 0.2 / A
    return np.mean(WEIGHTS[data.action] * -np.sum(targets * log_p, axis=1))
  a = data.action.astype(np.float64) / 2  # In halves of the range.
  if name == "mse":
    return np.mean((y - a) ** 2)
  mean, stddev = y[:, :D], np.exp(y[:, D:])
  correction = 0.0
  if name == "tanh_gaussian":
    correction = np.sum(np.log(1 - a**2), axis=1)
    a = np.arctanh(a)
  log_p = np.sum(-0.5 * ((a - mean) / stddev) ** 2 - np.log(stddev) - 0.5 * np.log(2 * np.pi), axis=1)
  return -np.mean(log_p - correction)


def gradients_of(name, params, data):
  """By central differences."""
  found = {}
  for key, value in params.items():
    found[key] = np.zeros_like(value)
    for index in np.ndindex(value.shape):
      ends = []
      for step in (1e-6, -1e-6):
        moved = value.copy()
        moved[index] += step
        ends.append(reference(name, params | {key: moved}, data))
      found[key][index] = (ends[0] - ends[1]) / 2e-6
  return found


def make_data(spec, seed=0):
  rng = np.random.default_rng(seed)
  discrete = isinstance(spec.actions, specs.DiscreteArray)
  action = rng.integers(A, size=B).astype(np.int32) if discrete else rng.uniform(-1.8, 1.8, (B, D)).astype(np.float32)
  zeros = np.zeros(B, np.float32)
  observation = rng.normal(size=(B, O)).astype(np.float32)
  return types.Transition(observation, action, zeros, zeros, observation)


@pytest.mark.parametrize("name", CASES)
def test_two_steps_against_numpy(name):
  """Losses, Adam's moments, which are the gradients, and parameters."""
  spec, changes, size, kind = CASES[name]
  config = BCConfig(learning_rate=0.01, max_gradient_norm=None, **changes)
  weights = WEIGHTS if name == "cross-entropy" else None
  nets = networks.make_networks(spec, config, linear(size, kind))
  state = learning.make_state(nets, config, jax.random.PRNGKey(1))
  update = jax.jit(learning.make_update(nets, config, weights))
  (params,) = (jax.tree.map(lambda x: np.asarray(x, np.float64), part) for part in state.params.values())
  first, second = ({key: np.zeros_like(value) for key, value in params.items()} for _ in range(2))
  for t in (1, 2):
    data = make_data(spec, seed=t)
    state, priorities, metrics = update(state, replay.Sample(data, (), np.ones(B, np.float32), ()))
    assert priorities is None
    np.testing.assert_allclose(metrics["loss"], reference(name, params, data), rtol=1e-5)
    gradients = gradients_of(name, params, data)
    for key, g in gradients.items():
      first[key] = 0.9 * first[key] + 0.1 * g
      second[key] = 0.999 * second[key] + 0.001 * g**2
      change = first[key] / (1 - 0.9**t) / (np.sqrt(second[key] / (1 - 0.999**t)) + 1e-8)
      params[key] = params[key] - 0.01 * change
    (found,), (moments,) = state.params.values(), state.opt_state[0].mu.values()
    for key in params:
      np.testing.assert_allclose(moments[key], first[key], rtol=1e-4, atol=1e-6)
      np.testing.assert_allclose(found[key], params[key], rtol=1e-4, atol=1e-5)


def make_sequences(seed=0):
  rng = np.random.default_rng(seed)
  acted, mask = np.ones((2, B, L), np.float32)
  acted[0, 3:], mask[0, 4:] = 0, 0  # an episode's end, then padding
  acted[1, -1] = 0
  acted[2, 0:], mask[2, 1:] = 0, 0  # nothing was done
  start = np.zeros((B, L), bool)
  start[0, 0] = start[3, 2] = True
  acted[3, 1] = 0
  zeros = np.zeros((B, L), np.float32)
  observation = rng.normal(size=(B, L, 5)).astype(np.float32)
  action = rng.integers(3, size=(B, L)).astype(np.int32)
  return types.Sequence(observation, action, zeros, zeros, start, mask, acted=acted)


RECURRENT = BCConfig(core="lstm", core_size=6, hidden_sizes=(8,))


@pytest.mark.parametrize("core", ["lstm", "gru"])
def test_sequences_are_what_acting_step_by_step_gives_where_something_was_done(core):
  config = dataclasses.replace(RECURRENT, core=core)
  nets = networks.make_networks(fakes.make_spec("vector", "discrete"), config)
  params = nets.init(jax.random.PRNGKey(0))
  data = make_sequences()
  losses, right = [], []
  step = jax.jit(nets.step)
  for b in range(B):
    state = nets.initial_state(1)
    for t in range(L):
      if data.start_of_episode[b, t]:
        state = nets.initial_state(1)
      policy, state = step(params, data.observation[b, t][None], state)
      if data.acted[b, t]:
        losses.append(-policy.log_prob(data.action[b, t][None])[0])
        right.append(policy.mode()[0] == data.action[b, t])
  value, (metrics, steps) = jax.jit(learning.make_loss(nets))(params, data)
  assert steps == len(losses) == np.sum(data.acted)
  np.testing.assert_allclose(value, np.mean(losses), rtol=1e-5)
  np.testing.assert_allclose(metrics["accuracy"], np.mean(right), rtol=1e-6)


def test_what_stands_where_nothing_was_done_changes_nothing():
  nets = networks.make_networks(fakes.make_spec("vector", "discrete"), RECURRENT)
  params = nets.init(jax.random.PRNGKey(0))
  data = make_sequences()
  loss = jax.jit(jax.value_and_grad(learning.make_loss(nets), has_aux=True))
  padding = (data.mask == 0)[..., None]
  other = data._replace(
    observation=np.where(padding, 9, data.observation).astype(np.float32),
    action=np.where(data.acted == 0, 2 - data.action, data.action),
  )
  (one, _), gradients = loss(params, data)
  (two, _), others = loss(params, other)
  assert one == two
  jax.tree.map(np.testing.assert_array_equal, gradients, others)
  nothing = data._replace(acted=np.zeros_like(data.acted))
  (value, (_, steps)), gradients = loss(params, nothing)
  assert value == steps == 0 and not any(np.any(leaf) for leaf in jax.tree.leaves(gradients))
