"""DQN's losses, one function for each equation, for a batch of transitions.

Each returns the loss and the priority, without the importance weight. `discount_t` is γ^n Π d, so 0 at a termination;
targets pass no gradient. A "value" is the target network's, a "selector" chooses the action.

Shapes: B batch, A actions, K atoms or quantiles.
"""

from typing import NamedTuple

import tensorflow as tf
import trfl


class Loss(NamedTuple):
  """Of each transition."""

  loss: tf.Tensor  # [B]
  priority: tf.Tensor  # [B], 0 or more


def q_learning(
  q_tm1: tf.Tensor,
  a_tm1: tf.Tensor,
  r_t: tf.Tensor,
  discount_t: tf.Tensor,
  q_t_value: tf.Tensor,
  q_t_selector: tf.Tensor,
  delta: float,
) -> Loss:
  """Double Q-learning: huber(r_t + γ_t q_value(argmax_a q_selector(a)) − q_tm1(a_tm1)); the priority is |δ|.

  All q are [B, A]. With the value as selector it is plain Q-learning. References: 1509.06461; Mnih et al. 2015.
  """
  q, one = (q_tm1, q_t_value, q_t_selector), (a_tm1, r_t, discount_t)
  tf.debugging.assert_shapes([*((x, "BA") for x in q), *((x, "B") for x in one)])
  td_error = trfl.double_qlearning(q_tm1, a_tm1, r_t, discount_t, q_t_value, q_t_selector).extra.td_error  # [B]
  return Loss(trfl.huber_loss(td_error, delta), tf.abs(td_error))


def categorical_q_learning(
  atoms: tf.Tensor,
  logits_tm1: tf.Tensor,
  a_tm1: tf.Tensor,
  r_t: tf.Tensor,
  discount_t: tf.Tensor,
  logits_t: tf.Tensor,
  q_t_selector: tf.Tensor,
) -> Loss:
  """C51: the cross-entropy from the projection of r_t + γ_t z onto the atoms; the priority is the KL divergence.

  Args:
    atoms: [K] the support.
    logits_tm1: [B, A, K].
    a_tm1: [B] int.
    r_t: [B].
    discount_t: [B].
    logits_t: [B, A, K] of the target network.
    q_t_selector: [B, A].

  References: Bellemare et al. 2017 (1707.06887), algorithm 1; Hessel et al. 2017 (1710.02298), for the priority.
  """
  outputs, one = (logits_tm1, logits_t), (a_tm1, r_t, discount_t)
  tf.debugging.assert_shapes(
    [(atoms, "K"), (q_t_selector, "BA"), *((x, "BAK") for x in outputs), *((x, "B") for x in one)]
  )
  loss, extra = trfl.categorical_dist_double_qlearning(
    atoms, logits_tm1, a_tm1, r_t, discount_t, atoms, logits_t, q_t_selector
  )
  divergence = loss + tf.reduce_sum(tf.math.xlogy(extra.target, extra.target), axis=-1)
  return Loss(loss, tf.maximum(divergence, 0))  # Rounding may take it below 0.


def quantile_q_learning(
  quantiles_tm1: tf.Tensor,
  a_tm1: tf.Tensor,
  r_t: tf.Tensor,
  discount_t: tf.Tensor,
  quantiles_t: tf.Tensor,
  q_t_selector: tf.Tensor,
  delta: float,
) -> Loss:
  """QR-DQN: Σ_i E_j[ρ^κ_{τ_i}(r_t + γ_t θ_j − θ_i)] at the midpoints τ_i; the priority is |δ| of the means.

  Quantiles are [B, A, K], the selector [B, A]; `delta` is κ. Reference: Dabney et al. 2017 (1710.10044), algorithm 1.
  """
  outputs, one = (quantiles_tm1, quantiles_t), (a_tm1, r_t, discount_t)
  tf.debugging.assert_shapes([(q_t_selector, "BA"), *((x, "BAK") for x in outputs), *((x, "B") for x in one)])
  a_t = tf.argmax(q_t_selector, axis=-1)  # [B]
  target = r_t[:, None] + discount_t[:, None] * tf.gather(quantiles_t, a_t, batch_dims=1)  # [B, K]
  target = tf.stop_gradient(target)
  quantiles = tf.gather(quantiles_tm1, a_tm1, batch_dims=1)  # [B, K]
  k = quantiles.shape[-1]
  tau = (tf.range(k, dtype=tf.float32) + 0.5) / k  # [K]
  error = target[:, None, :] - quantiles[:, :, None]  # [B, K of i, K of j]
  weight = tf.abs(tau[:, None] - tf.cast(error < 0, tf.float32))
  loss = tf.reduce_sum(tf.reduce_mean(weight * trfl.huber_loss(error, delta), axis=-1), axis=-1)  # [B]
  return Loss(loss, tf.abs(tf.reduce_mean(target, axis=-1) - tf.reduce_mean(quantiles, axis=-1)))
