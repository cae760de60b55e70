"""The losses of MCTS, for a single transition; `vmap` them at the caller.

Shapes: A actions, D features.
"""

import chex
import jax
import jax.numpy as jnp
import optax

from acme_mcts.jax import networks


def value_loss(v_tm1: jax.Array, r_t: jax.Array, discount_t: jax.Array, v_t: jax.Array) -> jax.Array:
  """½ (r_t + γ d_t v_t − v_tm1)², no gradient through the target; all [], `discount_t` is γ d_t."""
  chex.assert_rank([v_tm1, r_t, discount_t, v_t], 0)
  return 0.5 * (jax.lax.stop_gradient(r_t + discount_t * v_t) - v_tm1) ** 2


def policy_loss(logits: jax.Array, policy: jax.Array) -> jax.Array:
  """−Σ_a π(a) log p(a): the cross-entropy of the prior p to the search's visits π; both [A]."""
  chex.assert_rank([logits, policy], 1)
  chex.assert_equal_shape([logits, policy])
  return -jnp.sum(policy * jax.nn.log_softmax(logits))


def transition_loss(step: networks.Step, features_t: jax.Array, r_t: jax.Array, d_t: jax.Array) -> jax.Array:
  """½‖x̂ − x_t‖² + ½ (r̂ − r_t)² + the cross-entropy of σ(d̂) to d_t, for a model's step to features x_t [D]."""
  chex.assert_rank([step.features, step.reward, step.discount_logits, r_t, d_t], [1, 0, 0, 0, 0])
  chex.assert_equal_shape([step.features, features_t])
  features = 0.5 * jnp.sum((step.features - jax.lax.stop_gradient(features_t)) ** 2)
  reward = 0.5 * (step.reward - r_t) ** 2
  return features + reward + optax.sigmoid_binary_cross_entropy(step.discount_logits, d_t)
