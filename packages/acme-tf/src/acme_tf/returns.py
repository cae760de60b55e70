"""Returns over sequences; the twin of `acme_jax.returns`, for a batch.

Shapes: B batch, T transitions, from o_0, …, o_{T−1} (index tm1) to o_1, …, o_T (index t).
"""

import tensorflow as tf


def retrace(
  q_t: tf.Tensor,
  v_t: tf.Tensor,
  r_t: tf.Tensor,
  discount_t: tf.Tensor,
  log_pi_t: tf.Tensor,
  log_mu_t: tf.Tensor,
  acted_t: tf.Tensor,
  lambda_: float = 1.0,
) -> tf.Tensor:
  """Retrace(λ) returns (Munos et al. 2016, 1606.02647, eq. 3–4); no gradient flows through them.

    G_t = r_{t+1} + d_{t+1} (v_{t+1} + c_{t+1} (G_{t+1} − q_{t+1})),  c = λ min(1, π(a|o) / μ(a|o))

  Where `acted` is 0 no action was taken: a return that arrives there takes its value, and goes no further.

  Args:
    q_t: [T−1, B], the target critic's values of the actions taken at o_1, …, o_{T−1}.
    v_t: [T, B], the target critic's values of the policy π at o_1, …, o_T.
    r_t: [T, B], rewards.
    discount_t: d, [T, B], γ times the environment's discounts.
    log_pi_t: [T−1, B], log π of the actions taken.
    log_mu_t: [T−1, B], log μ of the same, as they were stored.
    acted_t: [T−1, B], whether an action was taken: 0 or 1.
    lambda_: λ, from 0 to 1.

  Returns:
    G_0, …, G_{T−1}: [T, B].
  """
  c_t = lambda_ * acted_t * tf.exp(tf.minimum(log_pi_t - log_mu_t, 0.0))  # [T−1, B]
  returns = [r_t[-1] + discount_t[-1] * v_t[-1]]
  for t in reversed(range(r_t.shape[0] - 1)):
    returns.append(r_t[t] + discount_t[t] * (v_t[t] + c_t[t] * (returns[-1] - q_t[t])))
  return tf.stop_gradient(tf.stack(returns[::-1]))
