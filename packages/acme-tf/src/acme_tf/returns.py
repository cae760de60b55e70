"""Returns over sequences, and transforms of them; the twin of `acme_jax.returns`, for a batch.

Shapes: B batch, T transitions, from o_0, …, o_{T−1} (index tm1) to o_1, …, o_T (index t).
"""

from typing import NamedTuple

import tensorflow as tf


def n_step(r_t: tf.Tensor, discount_t: tf.Tensor, v_t: tf.Tensor, acted_t: tf.Tensor, n: int) -> tf.Tensor:
  """Bootstrapped n-step returns; near the end of the sequence, of the steps that there are.

    G_t = r_{t+1} + d_{t+1} (r_{t+2} + … + d_{t+m} v_{t+m}),  m = min(n, steps to the end or to one not acted at)

  The returns *of* a step that was not acted at mean nothing. No gradient flows through any.

  Args:
    r_t: [T, B], rewards.
    discount_t: d, [T, B], γ times the environment's discounts.
    v_t: [T, B], values to bootstrap from.
    acted_t: [T, B], whether an action was taken at o_1, …, o_T: 0 or 1.
    n: steps.

  Returns:
    G_0, …, G_{T−1}: [T, B].
  """
  tf.debugging.assert_shapes([(x, "TB") for x in (r_t, discount_t, v_t, acted_t)])
  size = r_t.shape[0]
  n = min(n, size)

  def padded(x: tf.Tensor, last: tf.Tensor) -> tf.Tensor:
    return tf.concat([x, *(n - 1) * [last[None]]], axis=0)  # [T + n − 1, B]

  # Beyond the end nothing is gained or lost, and the value stays the last one.
  zeros, ones = tf.zeros_like(v_t[-1]), tf.ones_like(v_t[-1])
  rewards, discounts, acted = padded(r_t, zeros), padded(discount_t, ones), padded(acted_t, ones)
  values = padded(v_t, v_t[-1])
  returns = values[n - 1 :]
  for i in reversed(range(n)):
    ahead = slice(i, i + size)
    returns = rewards[ahead] + discounts[ahead] * tf.where(acted[ahead] > 0, returns, values[ahead])
  return tf.stop_gradient(returns)


class VTrace(NamedTuple):
  """What V-trace gives for each step."""

  targets: tf.Tensor  # [T, B], of the value function
  advantages: tf.Tensor  # [T, B], weights of ∇ log π(a_tm1), the clipped ratio included


def vtrace(
  v_tm1: tf.Tensor,
  v_t: tf.Tensor,
  r_t: tf.Tensor,
  discount_t: tf.Tensor,
  log_pi_tm1: tf.Tensor,
  log_mu_tm1: tf.Tensor,
  acted_tm1: tf.Tensor,
) -> VTrace:
  """V-trace with ρ̄ = c̄ = 1 (Espeholt et al. 2018, 1802.01561, eq. 1 and §4.2); no gradient flows through it.

    target_t = v_t + ρ_t (r_{t+1} + d_{t+1} target_{t+1} − v_t),  advantage_t the second term,
    ρ = min(1, π(a|o) / μ(a|o)),  target_T = v_T

  Where `acted` is 0 no action was taken: the target is the value, the advantage 0.

  Args:
    v_tm1: [T, B], values of o_0, …, o_{T−1}.
    v_t: [T, B], values of o_1, …, o_T.
    r_t: [T, B], rewards.
    discount_t: d, [T, B], γ times the environment's discounts.
    log_pi_tm1: [T, B], log π of the actions taken at o_0, …, o_{T−1}.
    log_mu_tm1: [T, B], log μ of the same, as they were stored.
    acted_tm1: [T, B], whether an action was taken: 0 or 1.

  Returns:
    Targets and advantages, [T, B] each.
  """
  each = (v_tm1, v_t, r_t, discount_t, log_pi_tm1, log_mu_tm1, acted_tm1)
  tf.debugging.assert_shapes([(x, "TB") for x in each])
  rho_tm1 = acted_tm1 * tf.exp(tf.minimum(log_pi_tm1 - log_mu_tm1, 0.0))  # [T, B], clipped
  advantages, target = [], v_t[-1]
  for t in reversed(range(r_t.shape[0])):
    advantages.append(rho_tm1[t] * (r_t[t] + discount_t[t] * target - v_tm1[t]))
    target = v_tm1[t] + advantages[-1]
  advantage = tf.stack(advantages[::-1])
  return VTrace(tf.stop_gradient(v_tm1 + advantage), tf.stop_gradient(advantage))


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
  tf.debugging.assert_shapes([(x, "TB") for x in (v_t, r_t, discount_t)])
  tf.debugging.assert_shapes([(x, "SB") for x in (q_t, v_t[1:], log_pi_t, log_mu_t, acted_t)])
  c_t = lambda_ * acted_t * tf.exp(tf.minimum(log_pi_t - log_mu_t, 0.0))  # [T−1, B]
  returns = [r_t[-1] + discount_t[-1] * v_t[-1]]
  for t in reversed(range(r_t.shape[0] - 1)):
    returns.append(r_t[t] + discount_t[t] * (v_t[t] + c_t[t] * (returns[-1] - q_t[t])))
  return tf.stop_gradient(tf.stack(returns[::-1]))


def signed_hyperbolic(x: tf.Tensor, epsilon: float = 1e-3) -> tf.Tensor:
  """h(x) = sgn(x) (√(|x| + 1) − 1) + ε x, which narrows the range of values (Pohlen et al. 2018, prop. A.2)."""
  return tf.sign(x) * (tf.sqrt(tf.abs(x) + 1) - 1) + epsilon * x


def signed_parabolic(x: tf.Tensor, epsilon: float = 1e-3) -> tf.Tensor:
  """h⁻¹(x) = sgn(x) (((√(1 + 4ε (|x| + 1 + ε)) − 1) / 2ε)² − 1), the inverse of `signed_hyperbolic`.

  Written as a quotient without a difference, which in float32 would leave four digits for ε = 1e-3.
  """
  y = tf.abs(x) + 1 + epsilon
  root = 2 * y / (1 + tf.sqrt(1 + 4 * epsilon * y))
  return tf.sign(x) * (tf.square(root) - 1)
