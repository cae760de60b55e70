"""DMPO's critic's loss, for a batch of transitions.

Shapes: B batch, K atoms.
"""

import tensorflow as tf
import trfl


def categorical_td_loss(
  atoms: tf.Tensor, logits_tm1: tf.Tensor, r_t: tf.Tensor, discount_t: tf.Tensor, probabilities_t: tf.Tensor
) -> tf.Tensor:
  """Cross-entropy of the critic against the projected target distribution; no gradient flows through the target.

    L = −Σ_k (Φ(r_t + discount_t z, p_t))_k log softmax(logits_tm1)_k

  where Φ projects onto the atoms z (Bellemare et al. 2017, 1707.06887, eq. 7).

  Args:
    atoms: z, [K] returns.
    logits_tm1: [B, K], of the critic for (o_tm1, a_tm1).
    r_t: [B], the n-step reward.
    discount_t: [B], γ^n times the environment's discounts.
    probabilities_t: p_t, [B, K], the mean of the target critic's probabilities over the target policy's actions.

  Returns:
    The loss, [B].
  """
  # The logarithm is softmax's inverse, up to a constant: trfl takes logits.
  logits_t = tf.math.log(probabilities_t)
  return trfl.categorical_dist_td_learning(atoms, logits_tm1, r_t, discount_t, atoms, logits_t).loss
