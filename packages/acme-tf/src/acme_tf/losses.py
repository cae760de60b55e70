"""Losses of policies, for a batch; the twin of `acme_jax.losses`, whose functions are for one transition.

Shapes: B batch, D numbers in an action.
"""

import tensorflow as tf


def deterministic_policy_gradient_loss(action: tf.Tensor, dq_da: tf.Tensor, clipping: float | None) -> tf.Tensor:
  """A loss whose gradient for the action is −dq/da, scaled down to norm `clipping`.

    L = ½ ‖stop(a + clip(dq/da)) − a‖²

  Reference: Silver et al. 2014; Lillicrap et al. 2015 (1509.02971), eq. 6.

  Args:
    action: a, [B, D], the policy's, through which the gradient flows.
    dq_da: [B, D], the critic's gradient for it.
    clipping: the largest norm, for each transition; None for any.

  Returns:
    The loss, [B].
  """
  tf.debugging.assert_rank(action, 2)
  action.shape.assert_is_compatible_with(dq_da.shape)
  if clipping is not None:
    dq_da = tf.clip_by_norm(dq_da, clipping, axes=-1)
  return 0.5 * tf.reduce_sum(tf.square(tf.stop_gradient(action + dq_da) - action), axis=-1)
