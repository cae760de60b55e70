"""The losses in JAX, by hand."""

import numpy as np
import pytest

pytest.importorskip("haiku", reason="needs JAX and Haiku")

import jax
import jax.numpy as jnp

from acme_mcts.jax import losses, networks


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
