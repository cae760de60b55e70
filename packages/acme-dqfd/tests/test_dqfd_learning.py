"""One training step against the equations in float64, what is logged of it, and DQN's switches in it."""

import haiku as hk
import jax
import numpy as np
import pytest

from acme import replay, specs, types
from acme_dqfd import DQfDConfig
from acme_dqfd.jax import learning
from acme_dqn.jax import learning as dqn
from acme_dqn.jax import networks

B, D, A = 8, 3, 4
SCALAR = specs.Array((), np.float32)
SPEC = specs.EnvironmentSpec(specs.Array((D,), np.float32), specs.DiscreteArray(A, np.int32), SCALAR, SCALAR)
BIG = {"l2_cost": 0.01, "n_step_cost": 0.7, "margin_cost": 0.6, "margin": 0.5}  # So that each term is seen.


def make_sample(seed=0, part=(0, 1, 0, 1, 1, 0, 0, 1)):
  rng = np.random.default_rng(seed)
  observations = rng.normal(size=(3, B, D)).astype(np.float32)
  rewards = rng.normal(size=(2, B)).astype(np.float32)
  discounts = rng.choice([0, 0.5, 1], size=(2, B)).astype(np.float32)
  data = types.Transition(
    observation=observations[0],
    action=rng.integers(A, size=B).astype(np.int32),
    reward=rewards[1],
    discount=discounts[1],
    next_observation=observations[2],
    one_step=types.OneStep(rewards[0], discounts[0], observations[1]),
  )
  return replay.Sample(data, (), rng.uniform(0.01, 0.1, size=B).astype(np.float32), (), np.array(part, np.int32))


def linear_networks(config):
  return networks.make_networks(SPEC, config, hk.transform(lambda o: hk.Linear(A)(o)))


def expected_loss(config, w, b, target, sample):
  """The equations, in float64: the loss, its terms, |δ_1| and the Q-values."""
  data, rows = sample.data, np.arange(B)

  def q(w, b, observation):
    return observation.astype(np.float64) @ w + b

  def td_error(reward, discount, observation):
    best = np.argmax(q(w, b, observation), axis=1)
    y = reward + config.discount * discount * q(*target, observation)[rows, best]
    return y - q_tm1[rows, data.action]

  def huber(x):
    d = config.huber_delta
    return np.where(np.abs(x) <= d, x**2 / 2, d * (np.abs(x) - d / 2))

  q_tm1 = q(w, b, data.observation)
  one, n = td_error(*data.one_step), td_error(data.reward, data.discount, data.next_observation)
  others = np.where(np.arange(A) == data.action[:, None], 0, config.margin)
  margin = (np.max(q_tm1 + others, axis=1) - q_tm1[rows, data.action]) * (sample.table == 0)
  weights = (1 / sample.probabilities.astype(np.float64)) ** config.importance_sampling_exponent
  weights = weights / weights.max() if config.prioritized else np.ones(B)
  terms = [np.mean(weights * term) for term in (huber(one), huber(n), margin)] + [config.l2_cost * np.sum(w**2)]
  value = np.dot(terms, [1, config.n_step_cost, config.margin_cost, 1])
  return value, terms, np.abs(one), q_tm1, margin


def by_finite_differences(function, array, target_of=1e-6):
  gradient = np.zeros_like(array)
  for index in np.ndindex(array.shape):
    step = np.zeros_like(array)
    step[index] = target_of
    gradient[index] = (function(array + step) - function(array - step)) / (2 * target_of)
  return gradient


@pytest.mark.parametrize("prioritized", [True, False])
def test_a_learner_step_is_the_equations(prioritized):
  config = DQfDConfig(
    **BIG, discount=0.9, prioritized=prioritized, huber_delta=0.4, learning_rate=0.1, adam_epsilon=0.05,
    target_update_period=2,
  )  # fmt: skip
  nets, rng = linear_networks(config), np.random.default_rng(1)
  state = dqn.make_state(nets, config, jax.random.PRNGKey(0))
  target = jax.tree.map(lambda x: x + 0.3 * rng.normal(size=x.shape).astype(np.float32), state.params)
  state, sample = state._replace(target_params=target), make_sample()
  new, priorities, metrics = jax.jit(learning.make_update(nets, config))(state, sample)

  w, b = (np.asarray(state.params["linear"][name], np.float64) for name in "wb")
  target = [np.asarray(target["linear"][name], np.float64) for name in "wb"]
  value, terms, one, q_tm1, margin = expected_loss(config, w, b, target, sample)
  names = ("one_step_loss", "n_step_loss", "margin_loss", "l2_loss")
  np.testing.assert_allclose([metrics[name] for name in ("loss", *names)], [value, *terms], rtol=1e-5)
  np.testing.assert_allclose(priorities, one, rtol=1e-4)
  shown = sample.table == 0
  assert metrics["demonstrations"] == 0.5
  assert metrics["margin_violations"] == pytest.approx(np.mean(margin[shown] > 0))
  assert metrics["other_actions"] == pytest.approx(
    np.mean(np.argmax(q_tm1, axis=1)[shown] != sample.data.action[shown])
  )
  gradients = [
    by_finite_differences(lambda w: expected_loss(config, w, b, target, sample)[0], w),
    by_finite_differences(lambda b: expected_loss(config, w, b, target, sample)[0], b),
  ]
  for name, before, gradient in zip("wb", (w, b), gradients, strict=True):
    stepped = before - 0.1 * gradient / (np.abs(gradient) + 0.05)  # Adam's first step.
    np.testing.assert_allclose(new.params["linear"][name], stepped, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(new.target_params["linear"][name], np.asarray(state.target_params["linear"][name]))
  second, *_ = learning.make_update(nets, config)(new, sample)
  jax.tree.map(np.testing.assert_array_equal, second.target_params, second.params)


def test_without_demonstrations_in_the_batch_their_metrics_are_0():
  config = DQfDConfig()
  nets = linear_networks(config)
  _, _, metrics = learning.make_update(nets, config)(
    dqn.make_state(nets, config, jax.random.PRNGKey(0)), make_sample(part=[1] * B)
  )
  assert [metrics[n] for n in ("demonstrations", "margin_violations", "other_actions", "margin_loss")] == [0] * 4


SWITCHES = [
  {"dueling": False},
  {"double_q": False},
  {"noisy": True},
  {"categorical": True, "num_atoms": 5},
  {"quantile": True, "num_quantiles": 4},
  {"munchausen": True, "max_gradient_norm": 1.0},
]


@pytest.mark.parametrize("switches", SWITCHES, ids="+".join)
def test_with_every_switch_of_dqn_every_parameter_learns(switches):
  config = DQfDConfig(hidden_sizes=(8,), **switches)
  nets = networks.make_networks(SPEC, config)
  state = dqn.make_state(nets, config, jax.random.PRNGKey(0))
  new, priorities, metrics = jax.jit(learning.make_update(nets, config))(state, make_sample())
  assert np.all(np.isfinite(priorities)) and np.all(priorities >= 0) and priorities.shape == (B,)
  assert all(np.isfinite(value) for value in metrics.values()) and metrics["margin_loss"] > 0
  for path, changed in jax.tree_util.tree_leaves_with_path(
    jax.tree.map(lambda a, b: np.any(np.asarray(a) != b), state.params, new.params)
  ):
    assert changed, f"{jax.tree_util.keystr(path)} did not change"
