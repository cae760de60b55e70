"""MPO's learner step against NumPy: the whole loss, its gradients, Adam, the floor of multipliers and the targets."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp, softmax

from acme import replay, specs, types
from acme_jax import mpo
from acme_mpo import MPOConfig
from acme_mpo.jax import learning, networks
from acme_testing import fakes

B, L, N = 6, 4, 5
SMALL = MPOConfig(policy_hidden_sizes=(8,), critic_hidden_sizes=(8,), num_samples=N, initial_log_temperature=0.5,
                  initial_log_alpha_mean=0.7, initial_log_alpha_stddev=2.0, max_gradient_norm=None)  # fmt: skip
RNG = np.random.default_rng(0)


def make_transitions(spec):
  action = np.stack([fakes.random_value(spec.actions, RNG) for _ in range(B)])
  o, o_t = RNG.normal(size=(2, B, 5)).astype(np.float32)
  reward, discount = RNG.normal(size=B), RNG.choice([0, 0.6, 1], size=B)
  return types.Transition(o, action, reward.astype(np.float32), discount.astype(np.float32), o_t)


def make_sequences(spec):
  """Some with padding, some that end before their last step, one across episodes."""
  action = np.stack([[fakes.random_value(spec.actions, RNG) for _ in range(L)] for _ in range(B)])
  observation, reward = RNG.normal(size=(B, L, 5)), RNG.normal(size=(B, L))
  acted = np.ones((B, L))
  acted[0, 2:], acted[1, 3], acted[2, 1] = 0, 0, 0
  extras = {"log_prob": RNG.normal(size=(B, L)).astype(np.float32) - 1}
  discount = RNG.choice([0, 0.6, 1], size=(B, L))
  single = (x.astype(np.float32) for x in (observation, reward, discount, acted))
  observation, reward, discount, acted = single
  return types.Sequence(observation, action, reward * acted, discount, acted < 0, acted, extras, acted)


def make(spec, config):
  nets = networks.make_networks(spec, config)
  init = jax.jit(lambda key: learning.make_state(nets, config, key))
  state, other = init(jax.random.PRNGKey(0)), init(jax.random.PRNGKey(1))  # Targets other than what is learned.
  state = state._replace(target_policy=other.params.policy, target_critic=other.params.critic)
  scale = lambda params: jax.tree.map(lambda x: x * 3, params)  # noqa: E731
  params = state.params._replace(policy=scale(state.params.policy))  # Heads are near zero at first.
  return nets, state._replace(params=params, target_policy=scale(state.target_policy))


def log_normal(x, mean, stddev):
  return -np.sum(0.5 * ((x - mean) / stddev) ** 2 + np.log(stddev) + 0.5 * np.log(2 * np.pi), axis=-1)


def kl_normal(mean, stddev, other_mean, other_stddev):
  ratio = (stddev / other_stddev) ** 2
  return 0.5 * (ratio - 1 - np.log(ratio) + ((mean - other_mean) / other_stddev) ** 2)


class Reference:
  """The loss in float64 NumPy, for one batch; networks alone are the agent's, called a state at a time."""

  def __init__(self, nets, config, state, noise):
    self.nets, self.config, self.state, self.noise = nets, config, state, noise
    self.apply_policy, self.apply_critic = jax.jit(nets.policy.apply), jax.jit(nets.critic.apply)

  def policy(self, params, o):
    return [np.asarray(x[0], np.float64) for x in self.apply_policy(params, o[None])]

  def q(self, params, o, action):
    return float(self.apply_critic(params, o[None], np.float32(np.clip(action, -1, 1))[None])[0, 0])

  def value(self, o, noise):
    """Samples [N, D], their values [N]."""
    mean, stddev = self.policy(self.state.target_policy, o)
    action = mean + stddev * noise
    return action, np.array([self.q(self.state.target_critic, o, a) for a in action])

  def losses(self, params, steps):
    """Of critic and of policy, the means over all steps that were acted at."""
    dual = {name: np.logaddexp(0, np.float64(raw)) + 1e-8 for name, raw in params.duals.items()}
    num_steps, batch = steps.reward.shape
    noise = np.reshape(self.noise, (N, num_steps + 1, batch, -1))
    critic, policy = [], []
    for b in range(batch):
      values = [self.value(steps.observation[t, b], noise[:, t, b]) for t in range(num_steps + 1)]
      g = None
      for t in reversed(range(num_steps)):
        nxt = np.mean(values[t + 1][1])
        if t + 1 < num_steps and steps.acted[t + 1, b]:
          o, a = steps.observation[t + 1, b], self.stored(steps.action[t + 1, b])
          log_pi = log_normal(a, *self.policy(self.state.target_policy, o))
          c = self.config.retrace_lambda * min(1, np.exp(log_pi - steps.log_mu[t + 1, b]))
          nxt += c * (g - self.q(self.state.target_critic, o, a))
        g = steps.reward[t, b] + self.config.discount * steps.discount[t, b] * nxt
        if steps.acted[t, b]:
          o = steps.observation[t, b]
          critic.append(0.5 * (g - self.q(params.critic, o, self.stored(steps.action[t, b]))) ** 2)
          policy.append(self.policy_loss(params, dual, o, *values[t]))
    return np.mean(critic), np.mean(policy)

  def stored(self, action):
    return np.asarray(self.nets.kind.stored(action[None])[0], np.float64)

  def policy_loss(self, params, dual, o, action, q):
    config = self.config
    online, target = self.policy(params.policy, o), self.policy(self.state.target_policy, o)
    out = -np.linalg.norm(action - np.clip(action, -1, 1), axis=-1)
    weights, total = 0, 0
    for eta, value, epsilon in ((dual["temperature"], q, 0.1), (dual["penalty_temperature"], out, 1e-3)):
      weights = weights + softmax(value / eta)
      total += eta * (epsilon + logsumexp(value / eta) - np.log(N))
    total -= weights @ (log_normal(action, online[0], target[1]) + log_normal(action, target[0], online[1]))
    kls = kl_normal(*target, online[0], target[1]), kl_normal(*target, target[0], online[1])
    names, bounds = ("alpha_mean", "alpha_stddev"), (config.epsilon_mean, config.epsilon_stddev)
    for name, kl, bound in zip(names, kls, bounds, strict=True):
      total += np.sum(dual[name] * kl) + np.sum(dual[name] * (bound - kl))
    return total


@pytest.mark.parametrize("make_data", [make_transitions, make_sequences])
def test_one_step_against_numpy(make_data):
  spec = fakes.make_spec("vector", "continuous")
  nets, state = make(spec, SMALL)
  data = make_data(spec)
  steps = learning.steps_of(data)
  num_states = (steps.reward.shape[0] + 1) * B
  noise = nets.kind.draw(jax.random.fold_in(state.key, state.steps), num_states)
  critic_loss, policy_loss = Reference(nets, SMALL, state, noise).losses(state.params, steps)
  after, priorities, metrics = jax.jit(learning.make_update(nets, SMALL))(state, replay.Sample(data, (), np.ones(B), 0))
  assert priorities is None
  np.testing.assert_allclose(metrics["loss"], critic_loss, rtol=1e-5)
  np.testing.assert_allclose(metrics["policy_loss"], policy_loss, rtol=1e-5)
  assert after.steps == 1

  # Adam's first step is one of the learning rate against the gradient's sign, whatever its size.
  gradients, _ = jax.jit(jax.grad(learning.make_loss(nets, SMALL), has_aux=True))(
    state.params, state.target_policy, state.target_critic, steps, noise
  )
  rates = {
    "policy": SMALL.policy_learning_rate,
    "critic": SMALL.critic_learning_rate,
    "duals": SMALL.dual_learning_rate,
  }
  for name, rate in rates.items():
    leaves = zip(*(jax.tree.leaves(getattr(x, name)) for x in (state.params, after.params, gradients)), strict=True)
    for before, now, gradient in leaves:
      expected = before - rate * gradient / (jnp.abs(gradient) + 1e-8)
      np.testing.assert_allclose(now, expected, rtol=1e-4, atol=1e-6)


def test_what_steps_do_not_act_at_does_not_matter():
  spec = fakes.make_spec("vector", "continuous")
  nets, state = make(spec, SMALL)
  data = make_sequences(spec)
  update = jax.jit(learning.make_update(nets, SMALL))
  noise = np.where(data.acted == 0, 1e3, 0).astype(np.float32)
  other = data._replace(
    reward=data.reward + noise,
    discount=data.discount + noise,
    action=data.action + noise[..., None],
    extras={"log_prob": data.extras["log_prob"] - noise},
  )
  one, two = (update(state, replay.Sample(each, (), np.ones(B), 0))[0].params for each in (data, other))
  jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6), one, two)


def test_targets_follow_at_their_periods_and_multipliers_have_a_floor():
  spec = fakes.make_spec("vector", "discrete")
  config = dataclasses.replace(SMALL, target_policy_period=2, target_critic_period=3, initial_log_alpha_mean=-30.0)
  nets, state = make(spec, config)
  update = jax.jit(learning.make_update(nets, config))
  sample = replay.Sample(make_transitions(spec), (), np.ones(B), 0)

  def same(one, other):
    return all(map(np.array_equal, jax.tree.leaves(one), jax.tree.leaves(other)))

  for step in range(1, 7):
    state, _, metrics = update(state, sample)
    assert same(state.params.policy, state.target_policy) == (step % 2 == 0)
    assert same(state.params.critic, state.target_critic) == (step % 3 == 0)
    assert state.params.duals["alpha_policy"] >= -18
    assert {"loss", "policy_loss", "q", "temperature", "alpha_policy", "kl_policy", "kl_weights"} <= metrics.keys()


def test_each_step_draws_anew():
  spec = fakes.make_spec("vector", "continuous")
  nets, state = make(spec, SMALL)
  sample = replay.Sample(make_transitions(spec), (), np.ones(B), 0)
  update = jax.jit(learning.make_update(nets, SMALL))
  losses = {float(update(state._replace(steps=jnp.int32(i)), sample)[2]["policy_loss"]) for i in range(3)}
  assert len(losses) == 3


def test_gradients_are_clipped_for_each_network_and_not_for_multipliers():
  config = dataclasses.replace(SMALL, max_gradient_norm=1e-9)
  optimizer = mpo.make_optimizer(mpo.Rates.of(config))
  spec = fakes.make_spec("vector", "continuous")
  _, state = make(spec, config)
  gradients = jax.tree.map(jnp.ones_like, state.params)
  updates, _ = jax.jit(optimizer.update)(gradients, jax.jit(optimizer.init)(state.params))
  assert (
    max(jnp.max(jnp.abs(x)) for x in jax.tree.leaves(updates.policy)) < config.policy_learning_rate * 0.2
  )  # Adam's ε shows.
  np.testing.assert_allclose(updates.duals["temperature"], -1e-2, rtol=1e-5)


def test_retrace_lambda_is_read():
  spec = fakes.make_spec("vector", "discrete")
  assert isinstance(spec.actions, specs.DiscreteArray)
  nets, state = make(spec, SMALL)
  data = make_sequences(spec)
  noise = nets.kind.draw(state.key, L * B)
  steps = learning.steps_of(data)

  def critic_loss(lambda_):
    loss = jax.jit(learning.make_loss(nets, dataclasses.replace(SMALL, retrace_lambda=lambda_)))
    return loss(state.params, state.target_policy, state.target_critic, steps, noise)[1]["loss"]

  assert critic_loss(0.0) != critic_loss(1.0)
