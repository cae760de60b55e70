"""R2D2's equations, each for a batch of sequences.

A sequence has T transitions, from o_0, …, o_{T−1} (index tm1) to o_1, …, o_T (index t). Where `acted` is 0 no action
was taken: that step is the final observation of an episode, from which a target may bootstrap but no further, or
padding.

Shapes: B batch, A actions.

References: Kapturowski et al. 2019; Pohlen et al. 2018 (1805.11593); van Hasselt et al. 2015 (1509.06461).
"""

import tensorflow as tf

from acme_tf import returns


def td_errors(
  q: tf.Tensor,
  action: tf.Tensor,
  reward: tf.Tensor,
  discount: tf.Tensor,
  acted: tf.Tensor,
  target_q: tf.Tensor,
  n: int,
  epsilon: float,
) -> tf.Tensor:
  """Errors of n-step double Q-learning in transformed values.

    δ_t = h(r_{t+1} + d_{t+1} (r_{t+2} + … + d_{t+m} h⁻¹(Q_θ⁻(o_{t+m}, argmax_a Q_θ(o_{t+m}, a))))) − Q_θ(o_t, a_t)

  with m = n, or fewer steps to the end of the sequence or of the episode.

  Args:
    q: [B, T + 1, A], of the online network.
    action: [B, T + 1] int, a_0, …; the last one, and the last reward and discount, are not read.
    reward: [B, T + 1], r_1, …
    discount: d, [B, T + 1], γ times the environment's discounts.
    acted: [B, T + 1], whether an action was taken: 0 or 1.
    target_q: [B, T + 1, A], of the target network.
    n: steps.
    epsilon: ε of h.

  Returns:
    δ, [B, T], 0 where no action was taken. No gradient flows through the target.
  """
  each = (action, reward, discount, acted)
  tf.debugging.assert_shapes([(q, "BTA"), (target_q, "BTA"), *((x, "BT") for x in each)])
  values = tf.gather(target_q, tf.argmax(q, axis=-1), axis=-1, batch_dims=2)  # [B, T + 1]
  v_t = returns.signed_parabolic(values[:, 1:], epsilon)  # [B, T]
  r_t, d_t, v_t, acted_t = map(tf.transpose, (reward[:, :-1], discount[:, :-1], v_t, acted[:, 1:]))  # [T, B]
  g = tf.transpose(returns.n_step(r_t, d_t, v_t, acted_t, n))  # [B, T]
  target = tf.stop_gradient(returns.signed_hyperbolic(g, epsilon))
  done = tf.gather(q[:, :-1], action[:, :-1], axis=-1, batch_dims=2)  # [B, T]
  return tf.where(acted[:, :-1] > 0, target - done, 0)


def priority(td_error: tf.Tensor, acted: tf.Tensor, max_weight: float) -> tf.Tensor:
  """η max_t |δ_t| + (1 − η) mean_t |δ_t|, over the steps with an action: [B] of δ [B, T], `acted` [B, T] and η."""
  tf.debugging.assert_shapes([(td_error, "BT"), (acted, "BT")])
  size = acted * tf.abs(td_error)  # [B, T]
  mean = tf.reduce_sum(size, axis=-1) / tf.maximum(tf.reduce_sum(acted, axis=-1), 1)
  return max_weight * tf.reduce_max(size, axis=-1) + (1 - max_weight) * mean
