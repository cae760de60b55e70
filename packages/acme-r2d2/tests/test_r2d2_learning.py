"""R2D2's whole learner step against NumPy in float64, and what must not matter to it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme import replay, types
from acme_r2d2 import R2D2Config
from acme_r2d2.jax import learning, networks
from acme_testing import fakes

B, BURN_IN, TRACE, A = 7, 3, 6, 3
L = BURN_IN + TRACE + 1
SPEC = fakes.make_spec("vector", "discrete")
SMALL = R2D2Config(burn_in_length=BURN_IN, trace_length=TRACE, n_step=3, hidden_sizes=(6,), core_size=4,
                   head_hidden_sizes=(5,), discount=0.9, max_gradient_norm=None)  # fmt: skip


def make_acted():
  """Whether each step has an action, and whether it happened at all: sequences of every kind that there is."""
  acted, mask = np.ones((2, B, L), np.float32)
  acted[1, 7:], mask[1, 8:] = 0, 0  # an episode that ends within the trace, then padding
  acted[2, 5] = 0  # the next episode follows
  acted[3, 1] = 0  # and here within the burn-in
  acted[4, 2:], mask[4, 3:] = 0, 0  # all padding after the burn-in
  acted[5, BURN_IN] = 0  # the first step of the trace is a final observation
  acted[6, -1] = 0  # the one to bootstrap from is
  return acted, mask


def make_sequences(core, seed=0):
  rng = np.random.default_rng(seed)
  acted, mask = make_acted()
  start = np.zeros((B, L), bool)
  start[0, 0] = True
  start[:, 1:] = (acted[:, :-1] == 0) & (mask[:, 1:] == 1)
  observation = rng.normal(size=(B, L, 5)).astype(np.float32) * mask[..., None]
  action = rng.integers(A, size=(B, L)).astype(np.int32) * (acted == 1)
  reward = (3 * rng.normal(size=(B, L)) * acted).astype(np.float32)
  discount = (rng.choice([0, 0.5, 1], size=(B, L), p=[0.1, 0.3, 0.6]) * acted).astype(np.float32)
  discount[2, 4] = 1  # cut short by a time limit
  previous_action = np.where(start, 0, np.roll(action, 1, axis=1)).astype(np.int32)
  previous_reward = np.where(start, 0, np.roll(reward, 1, axis=1)).astype(np.float32)
  core = jax.tree.map(lambda x: rng.normal(size=(B, *x.shape[1:])).astype(np.float32), core)
  return types.Sequence(
    observation, action, reward, discount, start, mask, (), acted, previous_action, previous_reward, core
  )


def make(config, seed=0):
  """Networks, a state whose target is another network, and a sample."""
  nets = networks.make_networks(SPEC, config)
  init = jax.jit(lambda key: learning.make_state(nets, config, key))
  state, other = (init(jax.random.PRNGKey(i)) for i in range(2))
  sequences = make_sequences(nets.initial_state(state.params, 1), seed)
  probabilities = np.random.default_rng(1).uniform(0.01, 0.1, size=B).astype(np.float32)
  return nets, state._replace(target_params=other.params), replay.Sample(sequences, (), probabilities, ())


class Reference:
  """The loss and the priorities in float64, one sequence and one step at a time."""

  def __init__(self, config):
    self.config = config

  def __call__(self, params, target_params, sample, held=None):
    """Loss, priorities [B] and the states [B] after the burn-in; where these are `held` the burn-in is left out."""
    config = self.config
    weights = (sample.probabilities.min() / sample.probabilities.astype(np.float64)) ** 0.6
    losses, priorities, states = [], [], []
    for b in range(B):
      data = jax.tree.map(lambda x, b=b: x[b].astype(np.float64) if x.dtype == np.float32 else x[b], sample.data)
      q, state = self.unroll(params, data, None if held is None else held[b])
      target_q, _ = self.unroll(target_params, data)
      trace = slice(BURN_IN, None)
      td = self.td_errors(q, data.action[trace], data.reward[trace], data.discount[trace], data.acted[trace], target_q)
      losses.append(weights[b] * 0.5 * np.sum(td**2))
      size = np.abs(td)[data.acted[trace][:-1] == 1]
      priorities.append(config.max_priority_weight * size.max() + 0.1 * size.mean() if len(size) else 0.0)
      states.append(state)
    return np.mean(losses), np.array(priorities), states

  def unroll(self, params, data, held=None):
    state, values, after = data.core, [], None
    for t in range(L):
      if t == BURN_IN:
        state = state if held is None else held
        after = state
      if t < BURN_IN and held is not None:
        continue
      if data.start_of_episode[t]:
        state = jax.tree.map(np.zeros_like, state)
      x = np.maximum(data.observation[t] @ params["linear"]["w"] + params["linear"]["b"], 0)
      x = np.concatenate([x, np.eye(A)[data.previous_action[t]], [np.tanh(data.previous_reward[t])]])
      x, state = getattr(self, self.config.core)(params, x, state)
      values.append(self.head(params, x))
    return np.array(values[-TRACE - 1 :]), after

  def lstm(self, params, x, state):
    gates = np.concatenate([x, state.hidden]) @ params["lstm/linear"]["w"] + params["lstm/linear"]["b"]
    i, g, f, o = np.split(gates, 4)
    cell = sigmoid(f + 1) * state.cell + sigmoid(i) * np.tanh(g)
    hidden = sigmoid(o) * np.tanh(cell)
    return hidden, type(state)(hidden, cell)

  def gru(self, params, x, state):
    w_i, w_h, b = (params["gru"][name] for name in ("w_i", "w_h", "b"))
    size = len(state)
    z, r = np.split(sigmoid((x @ w_i + b)[: 2 * size] + state @ w_h[:, : 2 * size]), 2)
    a = np.tanh((x @ w_i + b)[2 * size :] + (r * state) @ w_h[:, 2 * size :])
    return ((1 - z) * state + z * a,) * 2

  def head(self, params, x):
    if not self.config.dueling:
      x = np.maximum(x @ params["linear_1"]["w"] + params["linear_1"]["b"], 0)
      return x @ params["linear_2"]["w"] + params["linear_2"]["b"]
    first, value, second, advantage = (params["dueling_head/linear" + end] for end in ("", "_1", "_2", "_3"))
    v = np.maximum(x @ first["w"] + first["b"], 0) @ value["w"] + value["b"]
    a = np.maximum(x @ second["w"] + second["b"], 0) @ advantage["w"] + advantage["b"]
    return v + a - a.mean()

  def td_errors(self, q, action, reward, discount, acted, target_q):
    epsilon, errors = self.config.transform_epsilon, np.zeros(TRACE)
    for t in range(TRACE):
      if not acted[t]:
        continue
      end = t + 1
      while end < min(t + self.config.n_step, TRACE) and acted[end]:
        end += 1
      x = target_q[end][np.argmax(q[end])]
      root = (np.sqrt(1 + 4 * epsilon * (abs(x) + 1 + epsilon)) - 1) / (2 * epsilon)
      g = np.sign(x) * (root**2 - 1)
      for k in reversed(range(t, end)):
        g = reward[k] + self.config.discount * discount[k] * g
      errors[t] = np.sign(g) * (np.sqrt(abs(g) + 1) - 1) + epsilon * g - q[t][action[t]]
    return errors


def sigmoid(x):
  return 1 / (1 + np.exp(-x))


def double(params):
  return jax.tree.map(lambda x: np.asarray(x, np.float64), params)


@pytest.mark.parametrize("changes", [{}, {"core": "gru", "dueling": False}], ids=str)
def test_one_step_against_numpy(changes):
  """Loss, priorities, gradients by finite differences that hold target and burn-in fixed, and Adam."""
  config = dataclasses.replace(SMALL, **changes)
  nets, state, sample = make(config)
  reference = Reference(config)
  params, target_params = double(state.params), double(state.target_params)
  loss, priorities, held = reference(params, target_params, sample)
  after, handed_back, metrics = jax.jit(learning.make_update(nets, config))(state, sample)
  np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-5)
  np.testing.assert_allclose(handed_back, priorities, rtol=1e-5, atol=1e-6)
  assert after.steps == 1 and priorities[4] == 0

  gradient = gradient_of(nets, config, state, sample)
  fixed = Fixed(reference, params)
  rng = np.random.default_rng(2)
  for _ in range(5):
    direction = jax.tree.map(lambda x: rng.normal(size=x.shape), params)
    ahead, behind = (
      fixed(jax.tree.map(lambda x, d, s=sign: x + s * 1e-5 * d, params, direction), target_params, sample, held)
      for sign in (1, -1)
    )
    slope = sum(np.sum(x * d) for x, d in zip(*map(jax.tree.leaves, (gradient, direction)), strict=True))
    np.testing.assert_allclose(slope, (ahead - behind) / 2e-5, rtol=1e-4, atol=1e-5)
  # Adam's first step is one of the learning rate against the gradient's sign, whatever its size.
  expected = jax.tree.map(lambda x, g: x - 1e-3 * g / (np.abs(g) + 1e-8), state.params, gradient)
  jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6), after.params, expected)


def gradient_of(nets, config, state, sample):
  weights = (sample.probabilities.min() / sample.probabilities) ** 0.6
  gradient = jax.jit(jax.grad(learning.make_loss(nets, config), has_aux=True))
  return gradient(state.params, state.target_params, sample.data, weights)[0]


class Fixed(Reference):
  """The loss as a function of the online values alone: targets are those of `params`."""

  def __init__(self, reference, params):
    super().__init__(reference.config)
    self.params = params

  def __call__(self, params, target_params, sample, held):
    # A target is no function of the parameters, except that the best action may change: not within 1e-5.
    return super().__call__(params, target_params, sample, held)[0]


def test_what_is_masked_changes_nothing():
  """Padding, what lies at final observations beside them, and what a burn-in does not read, however large."""
  nets, state, sample = make(SMALL)
  update = jax.jit(learning.make_update(nets, SMALL))
  data, rng = sample.data, np.random.default_rng(3)
  unread = (data.acted == 0) | (np.arange(L) < BURN_IN) | (np.arange(L) == L - 1)  # of actions and their outcomes
  padding = data.mask == 0
  noise = lambda x, where: np.where(where, 1e3 * rng.normal(size=x.shape), x).astype(x.dtype)  # noqa: E731
  changed = data._replace(
    action=np.where(unread, rng.integers(A, size=(B, L)), data.action).astype(np.int32),
    reward=noise(data.reward, unread),
    discount=noise(data.discount, unread),
    observation=noise(data.observation, padding[..., None]),
    previous_action=np.where(padding, rng.integers(A, size=(B, L)), data.previous_action).astype(np.int32),
    previous_reward=noise(data.previous_reward, padding),
    start_of_episode=data.start_of_episode | padding,
  )
  assert [np.any(a != b) for a, b in zip(changed[:4], data[:4], strict=True)] == [True] * 4
  one, other = update(state, sample), update(state, sample._replace(data=changed))
  jax.tree.map(np.testing.assert_array_equal, one, other)


def test_what_is_not_masked_matters():
  """The final observation, which is bootstrapped from; the burn-in's observations; the stored state."""
  nets, state, sample = make(SMALL)
  update = jax.jit(learning.make_update(nets, SMALL))
  data, (_, before, _) = sample.data, update(state, sample)
  for sequence, step in ((1, 7), (0, 1), (0, L - 1)):
    observation = data.observation.copy()
    observation[sequence, step] += 1
    _, after, _ = update(state, sample._replace(data=data._replace(observation=observation)))
    assert list(np.flatnonzero(before != after)) == [sequence]
  core = jax.tree.map(lambda x: x + 1, data.core)
  _, after, _ = update(state, sample._replace(data=data._replace(core=core)))
  # Where an episode begins in the burn-in, or all the trace is new or padding, nothing is left of it.
  assert list(np.flatnonzero(before != after)) == [1, 2, 6]


def test_each_network_burns_in_its_own_state():
  """A target network whose recurrent weights differ has another state after the burn-in, of its own."""
  nets, state, sample = make(SMALL)
  calls = []

  def unroll(params, inputs, start, core):
    calls.append((params["lstm/linear"]["w"], inputs.reward.shape[1], core.hidden))
    return nets.unroll(params, inputs, start, core)

  spied = nets._replace(unroll=unroll)
  learning.make_loss(spied, SMALL)(state.params, state.target_params, sample.data, jnp.ones(B))
  online, target = state.params["lstm/linear"]["w"], state.target_params["lstm/linear"]["w"]
  assert [length for _, length, _ in calls] == [BURN_IN, TRACE + 1] * 2  # Each step once by each network.
  for call, weights in zip(calls, (online, online, target, target), strict=True):
    np.testing.assert_array_equal(call[0], weights)
  np.testing.assert_array_equal(calls[0][2], calls[2][2])
  assert not np.any(np.isclose(calls[1][2], calls[3][2]).all(axis=1)[[0, 1, 2, 6]])


def test_first_priorities_are_those_of_a_target_that_is_the_same():
  nets, state, sample = make(SMALL)
  state = state._replace(target_params=state.params)
  _, priorities, _ = learning.make_update(nets, SMALL)(state, sample)
  first = learning.make_priorities(nets, SMALL)(state.params, sample.data)
  np.testing.assert_allclose(first, priorities, rtol=1e-5)
  assert len(np.unique(first)) > B // 2


def test_target_follows_at_its_period():
  config = dataclasses.replace(SMALL, target_update_period=3)
  nets = networks.make_networks(SPEC, config)
  state = jax.jit(lambda key: learning.make_state(nets, config, key))(jax.random.PRNGKey(0))
  jax.tree.map(np.testing.assert_array_equal, state.params, state.target_params)
  sample = make(config)[2]
  update = jax.jit(learning.make_update(nets, config))
  for step in range(1, 7):
    state, _, metrics = update(state, sample)
    same = all(map(np.array_equal, *map(jax.tree.leaves, (state.params, state.target_params))))
    assert same == (step % 3 == 0) and metrics.keys() == {"loss", "priority", "q"}


def test_gradients_are_clipped():
  """Adam forgets a gradient's size but for its ε."""
  config = dataclasses.replace(SMALL, max_gradient_norm=1e-9)
  nets, state, sample = make(config)
  after, _, _ = jax.jit(learning.make_update(nets, config))(state, sample)
  moved = jax.tree.map(lambda x, y: np.max(np.abs(x - y)), state.params, after.params)
  assert max(jax.tree.leaves(moved)) < 0.2 * config.learning_rate


def test_acting_step_by_step_is_unrolling():
  nets, state, sample = make(SMALL)
  data = sample.data
  inputs = networks.Inputs(data.observation, data.previous_action, data.previous_reward)
  q, last = nets.unroll(state.params, inputs, data.start_of_episode, data.core)
  core = data.core
  for t in range(L):
    begun = data.start_of_episode[:, t, None]
    core = jax.tree.map(lambda zero, x, begun=begun: jnp.where(begun, zero, x), nets.initial_state({}, B), core)
    q_t, core = nets.step(state.params, jax.tree.map(lambda x, t=t: x[:, t], inputs), core)
    np.testing.assert_allclose(q_t, q[:, t], rtol=1e-5, atol=1e-6)
  jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6), core, last)
