"""The losses of MCTS, each a mean over a batch.

Shapes: B batch, A actions, D features.
"""

import tensorflow as tf

from acme_mcts.tf import networks


def value_loss(v_tm1: tf.Tensor, r_t: tf.Tensor, discount_t: tf.Tensor, v_t: tf.Tensor) -> tf.Tensor:
  """½ (r_t + γ d_t v_t − v_tm1)², no gradient through the target; all [B], `discount_t` is γ d_t."""
  tf.debugging.assert_shapes([(x, "B") for x in (v_tm1, r_t, discount_t, v_t)])
  return 0.5 * tf.reduce_mean((tf.stop_gradient(r_t + discount_t * v_t) - v_tm1) ** 2)


def policy_loss(logits: tf.Tensor, policy: tf.Tensor) -> tf.Tensor:
  """−Σ_a π(a) log p(a): the cross-entropy of the prior p to the search's visits π; both [B, A]."""
  tf.debugging.assert_shapes([(logits, "BA"), (policy, "BA")])
  return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(labels=policy, logits=logits))


def transition_loss(step: networks.Step, features_t: tf.Tensor, r_t: tf.Tensor, d_t: tf.Tensor) -> tf.Tensor:
  """½‖x̂ − x_t‖² + ½ (r̂ − r_t)² + the cross-entropy of σ(d̂) to d_t, for a model's step to features x_t [B, D]."""
  numbers = (step.reward, step.discount_logits, r_t, d_t)
  tf.debugging.assert_shapes([(step.features, "BD"), (features_t, "BD"), *((x, "B") for x in numbers)])
  features = 0.5 * tf.reduce_sum((step.features - tf.stop_gradient(features_t)) ** 2, axis=-1)  # [B]
  reward = 0.5 * (step.reward - r_t) ** 2
  discount = tf.nn.sigmoid_cross_entropy_with_logits(labels=d_t, logits=step.discount_logits)
  return tf.reduce_mean(features + reward + discount)
