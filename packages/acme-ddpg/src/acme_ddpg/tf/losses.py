"""DDPG's equations beside the policy's loss, for a batch of transitions.

Shapes: B batch, D numbers in an action, K critics.
"""

import tensorflow as tf


def td_errors(q_tm1: tf.Tensor, r_t: tf.Tensor, discount_t: tf.Tensor, q_t: tf.Tensor) -> tf.Tensor:
  """The errors of critics that all learn from the lowest of the target critics.

    δ_k = r_t + discount_t min_j q_t[j] − q_tm1[k]

  No gradient flows through the target. Reference: Fujimoto et al. 2018 (1802.09477), eq. 10.

  Args:
    q_tm1: [B, K], of the critics for (o_tm1, a_tm1).
    r_t: [B], the n-step reward.
    discount_t: [B], γ^n times the environment's discounts.
    q_t: [B, K], of the target critics for (o_t, the target policy's action).

  Returns:
    δ, [B, K].
  """
  for tensor, rank in ((q_tm1, 2), (r_t, 1), (discount_t, 1), (q_t, 2)):
    tf.debugging.assert_rank(tensor, rank)
  return tf.stop_gradient(r_t + discount_t * tf.reduce_min(q_t, axis=-1))[:, None] - q_tm1


def smoothed(action: tf.Tensor, noise: tf.Tensor, clip: float) -> tf.Tensor:
  """clip(a + clip(noise, −c, c), −1, 1) (Fujimoto et al. 2018, 1802.09477, eq. 14).

  Args:
    action: a, [B, D] in [−1, 1], the target policy's.
    noise: [B, D].
    clip: c.

  Returns:
    The action, [B, D].
  """
  for tensor in (action, noise):
    tf.debugging.assert_rank(tensor, 2)
  return tf.clip_by_value(action + tf.clip_by_value(noise, -clip, clip), -1, 1)
