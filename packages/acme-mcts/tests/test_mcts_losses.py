"""The losses in JAX, by hand, and the whole of them in NumPy."""

import numpy as np
import pytest

pytest.importorskip("haiku", reason="needs JAX and Haiku")

import jax
import jax.numpy as jnp

from acme import specs, types
from acme_mcts import MCTSConfig
from acme_mcts.jax import learning, losses, networks


def test_value_loss():
  loss, gradients = jax.value_and_grad(losses.value_loss, argnums=(0, 3))(1.0, 1.0, 0.5, 10.0)
  np.testing.assert_allclose(loss, 0.5 * 25)
  np.testing.assert_allclose(gradients, [-5, 0])  # None through the target.


def test_policy_loss_is_the_cross_entropy_to_the_visits():
  loss = losses.policy_loss(jnp.log(jnp.array([0.25, 0.75])), jnp.array([0.5, 0.5]))
  np.testing.assert_allclose(loss, -0.5 * (np.log(0.25) + np.log(0.75)), rtol=1e-6)


def test_policy_loss_of_impossible_actions_is_finite():
  np.testing.assert_allclose(losses.policy_loss(jnp.array([200.0, -200.0]), jnp.array([1.0, 0.0])), 0)


def test_transition_loss_uses_the_sigmoid_of_the_discount():
  step = networks.Step(jnp.array([1.0, 2.0]), jnp.array(3.0), jnp.array(0.0))
  loss = losses.transition_loss(step, jnp.zeros(2), jnp.array(1.0), jnp.array(0.9))
  np.testing.assert_allclose(loss, 0.5 * 5 + 0.5 * 4 + np.log(2), rtol=1e-6)


def test_discount_is_learned_as_a_number_between_0_and_1():
  @jax.jit
  def learn(logit):
    def loss(logit):
      return losses.transition_loss(networks.Step(jnp.zeros(1), 0.0, logit), jnp.zeros(1), 0.0, 0.9)

    return jax.lax.fori_loop(0, 300, lambda _, logit: logit - jax.grad(loss)(logit), logit)

  np.testing.assert_allclose(jax.nn.sigmoid(learn(0.0)), 0.9, atol=0.01)


def test_no_gradient_through_the_features_that_are_predicted():
  def loss(features_t):
    step = networks.Step(jnp.ones(2), jnp.zeros(()), jnp.zeros(()))
    return losses.transition_loss(step, features_t, 0.0, 1.0)

  np.testing.assert_array_equal(jax.grad(loss)(jnp.zeros(2)), 0)


def test_the_whole_loss_against_numpy():
  """Of linear networks: the value of the next state is the target network's, which passes no gradient."""
  size, batch, gamma = 3, 5, 0.9
  scalar = specs.Array((), np.float32)
  spec = specs.EnvironmentSpec(specs.Array((size,), np.float32), specs.DiscreteArray(2, np.int32), scalar, scalar)
  config, rng = MCTSConfig(hidden_sizes=(), discount=gamma), np.random.default_rng(0)
  nets = networks.make_networks(spec, config, learned_model=True)
  params = jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), nets.init(jax.random.PRNGKey(0)))
  target = jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), params.prediction)
  o_tm1, o_t = rng.normal(size=(2, batch, size)).astype(np.float32)
  action, reward = rng.integers(2, size=batch).astype(np.int32), rng.normal(size=batch).astype(np.float32)
  discount, policy = np.float32([1, 0, 0.5, 1, 0]), rng.dirichlet([1, 1], size=batch).astype(np.float32)
  data = types.Transition(o_tm1, action, reward, discount, o_t, extras={"policy": policy})

  def linear(module, x):
    return x.astype(np.float64) @ module["w"] + module["b"]

  v_tm1, v_t = linear(params.prediction["value"], o_tm1)[:, 0], linear(target["value"], o_t)[:, 0]
  delta = reward + gamma * discount * v_t - v_tm1
  logits = linear(params.prediction["policy"], o_tm1)
  log_prior = logits - np.log(np.sum(np.exp(logits), axis=1, keepdims=True))
  x = np.concatenate([o_tm1, np.eye(2)[action]], axis=1)
  change, r, d = (linear(params.transition[name], x) for name in ("change", "reward", "discount"))
  p = 1 / (1 + np.exp(-d[:, 0]))
  wanted = {
    "value_loss": np.mean(delta**2) / 2,
    "policy_loss": -np.mean(np.sum(policy * log_prior, axis=1)),
    "model_loss": np.mean(np.sum((o_tm1 + change - o_t) ** 2, axis=1) / 2 + (r[:, 0] - reward) ** 2 / 2)
    - np.mean(discount * np.log(p) + (1 - discount) * np.log(1 - p)),
  }
  (loss, metrics), gradients = jax.value_and_grad(learning.make_loss(nets, config, True), (0, 1), has_aux=True)(
    params, target, data
  )
  np.testing.assert_allclose([metrics[name] for name in wanted], list(wanted.values()), rtol=1e-5)
  np.testing.assert_allclose(loss, sum(wanted.values()), rtol=1e-5)
  np.testing.assert_allclose(
    gradients[0].prediction["value"]["w"][:, 0], -np.mean(delta[:, None] * o_tm1, 0), rtol=1e-4
  )
  assert not any(np.any(leaf) for leaf in jax.tree.leaves(gradients[1]))


def test_other_shapes_than_they_say_are_refused():
  step = networks.Step(jnp.zeros(3), jnp.zeros(()), jnp.zeros(()))
  for loss in (
    lambda: losses.value_loss(0.0, np.zeros(2), 1.0, 0.0),
    lambda: losses.policy_loss(np.zeros(2), np.ones(1)),
    lambda: losses.transition_loss(step, np.zeros(1), 0.0, 0.0),
    lambda: losses.transition_loss(step, np.zeros(3), np.zeros(2), 0.0),
  ):
    with pytest.raises(AssertionError):
      loss()
