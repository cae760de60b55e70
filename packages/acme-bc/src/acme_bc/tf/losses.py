"""What it costs a policy to do something else than was done, for a batch; the twin of `acme_bc.jax.losses`.

Shapes: B batch, A actions, D numbers in an action.
"""

import tensorflow as tf

from acme_tf import networks


def cross_entropy(policy: networks.Categorical, a: tf.Tensor, smoothing: float = 0.0) -> tf.Tensor:
  """−Σ_k q_k log π(k|o), q_k = (1 − ε) 1[k = a] + ε / A: [B] of logits [B, A], `a` [B] int, and ε."""
  tf.debugging.assert_rank(policy.logits, 2)
  tf.debugging.assert_rank(a, 1)
  return -(1 - smoothing) * policy.log_prob(a) - smoothing * tf.reduce_mean(policy.log_probs, axis=-1)


def squared_error(action: tf.Tensor, a: tf.Tensor) -> tf.Tensor:
  """The mean over D of (μ(o) − a)²: [B] of [B, D] and [B, D]."""
  tf.debugging.assert_rank(action, 2)
  action.shape.assert_is_compatible_with(a.shape)
  return tf.reduce_mean(tf.square(action - a), axis=-1)


def negative_log_prob(policy: networks.Gaussian | networks.TanhGaussian, a: tf.Tensor) -> tf.Tensor:
  """−log π(a|o): [B] of a policy over [B, D] and `a` [B, D]."""
  tf.debugging.assert_rank(a, 2)
  policy.loc.shape.assert_is_compatible_with(a.shape)
  return -policy.log_prob(a)
