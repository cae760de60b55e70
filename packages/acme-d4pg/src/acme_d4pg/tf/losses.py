"""D4PG's loss of the critic, for a batch of transitions; the policy's is in `acme_tf.losses`.

Shapes: B batch, K atoms.
"""

import tensorflow as tf
import trfl


def categorical_td_loss(
  atoms: tf.Tensor, logits_tm1: tf.Tensor, r_t: tf.Tensor, discount_t: tf.Tensor, logits_t: tf.Tensor
) -> tf.Tensor:
  """Cross-entropy of the critic against the projected target distribution.

    L = −Σ_i (Φ(r_t + discount_t z, softmax(logits_t)))_i log softmax(logits_tm1)_i

  where Φ projects onto the atoms z (Bellemare et al. 2017, 1707.06887, eq. 7). No gradient flows through the target.

  Args:
    atoms: z, [K] returns.
    logits_tm1: [B, K], of the critic for (o_tm1, a_tm1).
    r_t: [B], the n-step reward.
    discount_t: [B], γ^n times the environment's discounts.
    logits_t: [B, K], of the target critic for (o_t, target policy's action).

  Returns:
    The loss, [B].
  """
  return trfl.categorical_dist_td_learning(atoms, logits_tm1, r_t, discount_t, atoms, logits_t).loss
