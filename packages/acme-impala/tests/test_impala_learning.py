"""IMPALA's learner step against NumPy in float64: the whole loss, its gradients, both optimisers; what is masked."""

import dataclasses

import jax
import jax.flatten_util
import numpy as np
import pytest

from acme import replay, specs, types
from acme_impala import IMPALAConfig
from acme_impala.jax import learning, losses, networks
from acme_testing import fakes

B, L = 3, 6
SMALL = IMPALAConfig(hidden_sizes=(5,), head_hidden_sizes=(4,), core_size=3, max_gradient_norm=None, entropy_cost=0.3)
CASES = {
  "feed-forward": ("discrete", {}),
  "lstm": ("discrete", {"core": "lstm"}),
  "gru": ("discrete", {"core": "gru"}),
  "continuous": ("continuous", {}),
  "continuous lstm": ("continuous", {"core": "lstm"}),
  "clipped rewards": ("discrete", {"max_abs_reward": 0.5, "reward_scale": 0.2}),
}


def make_sample(rng, spec, nets):
  """Padding in one, an episode's end in another, a third that begins with a final observation and ends with one."""
  acted, mask = np.ones((B, L)), np.ones((B, L))
  acted[0, 3:], mask[0, 4:] = 0, 0
  acted[1, 2] = acted[2, 0] = acted[2, 5] = 0
  start = np.zeros((B, L), bool)
  start[0, 0] = start[1, 3] = start[2, 1] = True
  action = np.stack([[fakes.random_value(spec.actions, rng) for _ in range(L)] for _ in range(B)])
  size = nets.kind.size
  extras = {"logits": rng.normal(size=(B, L, size))}
  if not isinstance(spec.actions, specs.DiscreteArray):
    extras = {"draw": rng.normal(size=(B, L, size)), "log_prob": rng.normal(size=(B, L)) - 1}
  core = jax.tree.map(lambda x: rng.normal(size=x.shape), nets.initial_core(B))
  real = (
    rng.normal(size=(B, L, 5)),
    rng.normal(size=(B, L)),
    rng.choice([0, 0.6, 1], size=(B, L)),
    acted,
    mask,
    extras,
  )
  observation, reward, discount, acted, mask, extras, core = jax.tree.map(np.float32, (*real, core))
  data = types.Sequence(observation, action, reward, discount, start, mask, extras, acted, core=core)
  return replay.Sample(data, (), np.ones(B), ())


def make(actions, changes, seed=0):
  spec, config = fakes.make_spec("vector", actions), dataclasses.replace(SMALL, **changes)
  nets = networks.make_networks(spec, config)
  state = jax.jit(lambda key: learning.make_state(nets, config, key))(jax.random.PRNGKey(seed))
  # Heads are near zero at first.
  params = jax.tree.map(lambda x: 50 * x if 0 < np.abs(x).max() < 0.02 else x, state.params)
  return spec, config, nets, state._replace(params=params)


def reference_loss(nets, config, params, data):
  """Each sequence on its own, a step at a time; the network alone is the agent's, and called one step at a time."""
  apply = jax.jit(nets.unroll.apply)
  limit = np.inf if config.max_abs_reward is None else config.max_abs_reward
  policy, baseline, entropies = [], [], []
  for b in range(B):
    core = jax.tree.map(lambda x, b=b: x[b : b + 1], data.core)
    steps = []
    for t in range(L):
      if data.start_of_episode[b, t]:
        core = nets.initial_core(1)
      given, value, core = apply(params, data.observation[b : b + 1, t : t + 1], np.zeros((1, 1), bool), core)
      steps.append(([np.asarray(leaf[0, 0], np.float64) for leaf in given], float(value[0, 0])))
    target = steps[-1][1]
    for t in reversed(range(L - 1)):
      outputs, value = steps[t]
      if not data.acted[b, t]:
        target = value
        continue
      log_pi, log_mu, entropy = log_probs(outputs, data, b, t)
      reward = config.reward_scale * np.clip(np.float64(data.reward[b, t]), -limit, limit)
      rho = min(1.0, np.exp(log_pi - log_mu))
      advantage = rho * (reward + config.discount * data.discount[b, t] * target - value)
      target = value + advantage
      policy.append(-log_pi * advantage)
      baseline.append(advantage**2)
      entropies.append(entropy)
  return np.mean(policy), np.mean(baseline), np.mean(entropies)


def log_probs(outputs, data, b, t):
  """Log π, log μ and the entropy of π."""
  if len(outputs) == 1:
    log_pi, log_mu = (x - np.log(np.sum(np.exp(x))) for x in (outputs[0], np.float64(data.extras["logits"][b, t])))
    action = data.action[b, t]
    return log_pi[action], log_mu[action], -np.sum(np.exp(log_pi) * log_pi)
  (mean, stddev), draw = outputs, np.float64(data.extras["draw"][b, t])
  log_pi = -np.sum(0.5 * ((draw - mean) / stddev) ** 2 + np.log(stddev) + 0.5 * np.log(2 * np.pi))
  entropy = np.sum(np.log(stddev) + 0.5 * np.log(2 * np.pi) + 0.5)
  return log_pi, float(data.extras["log_prob"][b, t]), entropy


@pytest.mark.parametrize(("actions", "changes"), CASES.values(), ids=CASES)
def test_loss(actions, changes):
  spec, config, nets, state = make(actions, changes)
  sample = make_sample(np.random.default_rng(0), spec, nets)
  _, priorities, metrics = jax.jit(learning.make_update(nets, config))(state, sample)
  policy, baseline, entropy = reference_loss(nets, config, state.params, sample.data)
  assert priorities is None
  expected = {"policy_loss": policy, "baseline_loss": baseline, "entropy": entropy}
  expected["loss"] = policy + 0.5 * baseline - 0.3 * entropy
  for name, value in expected.items():
    np.testing.assert_allclose(metrics[name], value, rtol=2e-5, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
@pytest.mark.parametrize("actions", ["discrete", "continuous"])
def test_a_whole_step_in_float64(actions, optimizer):
  """Forward pass, V-trace, gradients by central differences with targets held, the norm's clip, and the optimiser."""
  changes = {"hidden_sizes": (), "optimizer": optimizer, "max_gradient_norm": 0.1, "learning_rate": 0.01}
  spec, config, nets, state = make(actions, changes)
  data = make_sample(np.random.default_rng(2), spec, nets).data
  new, _, _ = jax.jit(learning.make_update(nets, config))(state, replay.Sample(data, (), np.ones(B), ()))
  flat, unravel = jax.flatten_util.ravel_pytree(state.params)
  here = np.asarray(flat, np.float64)

  def structured(vector):
    leaves, start = [], 0
    for leaf in jax.tree.leaves(state.params):
      leaves.append(vector[start : start + leaf.size].reshape(leaf.shape))
      start += leaf.size
    return jax.tree.unflatten(jax.tree.structure(state.params), leaves)

  held = steps_of(structured(here), config, data)
  gradient = np.zeros_like(here)
  for i in range(len(here)):
    moved = here.copy()
    moved[i] += 1e-5
    up = surrogate(held, steps_of(structured(moved), config, data), config)
    moved[i] -= 2e-5
    gradient[i] = (up - surrogate(held, steps_of(structured(moved), config, data), config)) / 2e-5
  norm = np.linalg.norm(gradient)
  assert norm > 0.1
  gradient *= 0.1 / norm
  if optimizer == "adam":
    expected = here - 0.01 * gradient / (np.abs(gradient) + 1e-8)  # The first step: both moments are unbiased.
  else:
    expected = here - 0.01 * gradient / np.sqrt(0.01 * gradient**2 + config.rmsprop_epsilon)
  compared = np.abs(gradient) > 1e-5 * 0.1  # Adam makes a whole step of any rounding error.
  assert np.mean(compared) > 0.8
  np.testing.assert_allclose(np.asarray(jax.flatten_util.ravel_pytree(new.params)[0])[compared], expected[compared],
                             rtol=0, atol=1e-5)  # fmt: skip


def test_the_preset_for_atari_takes_the_step_of_the_paper():
  """Table G.1 is for sums over 20 · 32 steps, and for half of the value's squared error."""
  config = dataclasses.replace(IMPALAConfig.atari(), hidden_sizes=(5,))
  batch, length = config.batch_size, config.sequence_length
  assert (batch, length, config.core) == (32, 20 + 1, None)  # The last one only bootstraps. No LSTM on Atari.
  spec, rng = fakes.make_spec("vector", "discrete"), np.random.default_rng(0)
  nets = networks.make_networks(spec, config)
  state = jax.jit(lambda key: learning.make_state(nets, config, key))(jax.random.PRNGKey(0))
  shape = (batch, length)
  observation = rng.normal(size=(*shape, *spec.observations.shape))
  logits = rng.normal(size=(*shape, nets.kind.size))
  real = (observation, 20 * rng.normal(size=shape), np.ones(shape), np.ones(shape), np.ones(shape), logits)
  observation, reward, discount, acted, mask, logits = map(np.float32, real)
  action = rng.integers(nets.kind.size, size=shape)
  extras = {"logits": logits}
  data = types.Sequence(observation, action, reward, discount, np.zeros(shape, bool), mask, extras, acted, core=())

  def summed(params):
    policy, values, _ = nets.unroll.apply(params, observation, data.start_of_episode, ())
    log_pi, log_mu = nets.kind.log_probs(policy, data)
    arrays = (log_pi, policy.entropy(), values, np.clip(reward, -1, 1), 0.99 * discount, log_mu, acted)
    sums = jax.tree.map(lambda x: x.sum(), jax.vmap(losses.actor_critic)(*arrays))
    return sums.policy + 0.5 * 0.5 * sums.baseline - 0.01 * sums.entropy

  gradient, unravel = jax.flatten_util.ravel_pytree(jax.jit(jax.grad(summed))(state.params))
  assert np.linalg.norm(gradient) > 40
  gradient *= 40 / np.linalg.norm(gradient)
  expected = -6e-4 * gradient / np.sqrt(0.01 * gradient**2 + 0.01)
  new, _, _ = jax.jit(learning.make_update(nets, config))(state, replay.Sample(data, (), np.ones(batch), ()))
  for name in state.params:
    for leaf, value in unravel(expected)[name].items():
      moved = new.params[name][leaf] - state.params[name][leaf]
      np.testing.assert_allclose(moved, value, rtol=1e-3, atol=1e-6, err_msg=f"{name}/{leaf}")


def steps_of(params, config, data):
  """[(log π, log μ, entropy, value, r, γ d, acted)] of each step of each sequence, by tanh layers in float64."""

  def layers(x, *names):
    for name in names:
      x = np.tanh(x @ params[name]["w"] + params[name]["b"])
    return x

  def head(x, name):
    return x @ params[name]["w"] + params[name]["b"]

  result = []
  for b in range(B):
    for t in range(L):
      x = np.float64(data.observation[b, t])
      policy, value = layers(x, "linear"), head(layers(x, "linear_1"), "value_head/value")
      if "categorical_head/logits" in params:
        outputs = [head(policy, "categorical_head/logits")]
      else:
        softplus = np.logaddexp(0, head(policy, "gaussian_head/stddev"))
        stddev = config.min_stddev + softplus * config.initial_stddev / np.log(2)
        outputs = [np.tanh(head(policy, "gaussian_head/mean")), stddev]
      log_pi, log_mu, entropy = log_probs(outputs, data, b, t)
      discount = config.discount * float(data.discount[b, t])
      result.append((log_pi, log_mu, entropy, value[0], float(data.reward[b, t]), discount, data.acted[b, t]))
  return result


def surrogate(held, steps, config):
  """The loss of `steps`, with targets and advantages those of `held`."""
  total, count = 0.0, 0
  for b in range(B):
    target = held[b * L + L - 1][3]
    for t in reversed(range(L - 1)):
      log_pi, log_mu, _, value, reward, discount, acted = held[b * L + t]
      if not acted:
        target = value
        continue
      advantage = min(1.0, np.exp(log_pi - log_mu)) * (reward + discount * target - value)
      target = value + advantage
      new_log_pi, _, entropy, new_value, *_ = steps[b * L + t]
      total += -new_log_pi * advantage + config.baseline_cost * (target - new_value) ** 2
      total -= config.entropy_cost * entropy
      count += 1
  return total / count


@pytest.mark.parametrize(("actions", "changes"), CASES.values(), ids=CASES)
def test_what_is_masked_changes_nothing(actions, changes):
  spec, config, nets, state = make(actions, changes)
  rng = np.random.default_rng(1)
  data, noise = (make_sample(rng, spec, nets).data for _ in range(2))
  update = jax.jit(learning.make_update(nets, config))

  def where(mask, ours, other):
    return jax.tree.map(lambda x, y: np.where(mask.reshape(B, L, *[1] * (x.ndim - 2)), x, 10 * y), ours, other)

  learned = (data.acted > 0) & (np.arange(L) < L - 1)
  padding = data._replace(
    observation=where(data.mask > 0, data.observation, noise.observation),
    reward=where(learned, data.reward, noise.reward),
    discount=where(learned, data.discount, noise.discount),
    extras=where(learned, data.extras, noise.extras),
    action=np.where(learned.reshape(B, L, *[1] * (data.action.ndim - 2)), data.action, noise.action),
  )
  one, other = (update(state, replay.Sample(each, (), np.ones(B), ()))[::2] for each in (data, padding))
  jax.tree.map(np.testing.assert_array_equal, one, other)
  if not np.any(data.discount[1, 1]):  # The value of a final observation matters where the episode was cut short.
    data.discount[1, 1] = 1
  final = data._replace(observation=np.array(data.observation))
  final.observation[1, 2] += 1
  assert update(state, replay.Sample(final, (), np.ones(B), ()))[2]["loss"] != one[1]["loss"]
