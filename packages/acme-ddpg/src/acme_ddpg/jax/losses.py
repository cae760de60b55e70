"""DDPG's equations beside the policy's loss, for one transition; `vmap` is at the caller.

Shapes: D numbers in an action, K critics.
"""

import chex
import jax
import jax.numpy as jnp


def td_errors(q_tm1: jax.Array, r_t: jax.Array, discount_t: jax.Array, q_t: jax.Array) -> jax.Array:
  """The errors of critics that all learn from the lowest of the target critics.

    δ_k = r_t + discount_t min_j q_t[j] − q_tm1[k]

  No gradient flows through the target. Reference: Fujimoto et al. 2018 (1802.09477), eq. 10.

  Args:
    q_tm1: [K], of the critics for (o_tm1, a_tm1).
    r_t: [], the n-step reward.
    discount_t: [], γ^n times the environment's discounts.
    q_t: [K], of the target critics for (o_t, the target policy's action).

  Returns:
    δ, [K].
  """
  chex.assert_rank([q_tm1, r_t, discount_t, q_t], [1, 0, 0, 1])
  chex.assert_equal_shape([q_tm1, q_t])
  return jax.lax.stop_gradient(r_t + discount_t * jnp.min(q_t)) - q_tm1


def smoothed(action: jax.Array, noise: jax.Array, clip: float) -> jax.Array:
  """clip(a + clip(noise, −c, c), −1, 1) (Fujimoto et al. 2018, 1802.09477, eq. 14).

  Args:
    action: a, [D] in [−1, 1], the target policy's.
    noise: [D].
    clip: c.

  Returns:
    The action, [D].
  """
  chex.assert_rank([action, noise], 1)
  chex.assert_equal_shape([action, noise])
  return jnp.clip(action + jnp.clip(noise, -clip, clip), -1, 1)
