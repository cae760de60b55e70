"""R2D2's equations, each for one sequence; `vmap` is at the caller.

A sequence has T transitions, from o_0, …, o_{T−1} (index tm1) to o_1, …, o_T (index t). Where `acted` is 0 no action
was taken: that step is the final observation of an episode, from which a target may bootstrap but no further, or
padding.

Shapes: A actions.

References: Kapturowski et al. 2019; Pohlen et al. 2018 (1805.11593); van Hasselt et al. 2015 (1509.06461).
"""

import chex
import jax
import jax.numpy as jnp

from acme_jax import returns


def td_errors(
  q: jax.Array,
  action: jax.Array,
  reward: jax.Array,
  discount: jax.Array,
  acted: jax.Array,
  target_q: jax.Array,
  n: int,
  epsilon: float,
) -> jax.Array:
  """Errors of n-step double Q-learning in transformed values.

    δ_t = h(r_{t+1} + d_{t+1} (r_{t+2} + … + d_{t+m} h⁻¹(Q_θ⁻(o_{t+m}, argmax_a Q_θ(o_{t+m}, a))))) − Q_θ(o_t, a_t)

  with m = n, or fewer steps to the end of the sequence or of the episode.

  Args:
    q: [T + 1, A], of the online network.
    action: [T + 1] int, a_0, …; the last one, and the last reward and discount, are not read.
    reward: [T + 1], r_1, …
    discount: d, [T + 1], γ times the environment's discounts.
    acted: [T + 1], whether an action was taken: 0 or 1.
    target_q: [T + 1, A], of the target network.
    n: steps.
    epsilon: ε of h.

  Returns:
    δ, [T], 0 where no action was taken. No gradient flows through the target.
  """
  chex.assert_rank([q, action, reward, discount, acted, target_q], [2, 1, 1, 1, 1, 2])
  chex.assert_equal_shape([q, target_q])
  chex.assert_equal_shape([action, reward, discount, acted])
  values = _of_actions(target_q, jnp.argmax(q, axis=-1))  # [T + 1]
  v_t = returns.signed_parabolic(values[1:], epsilon)  # [T]
  g = returns.n_step(reward[:-1], discount[:-1], v_t, acted[1:], n)
  target = jax.lax.stop_gradient(returns.signed_hyperbolic(g, epsilon))
  return jnp.where(acted[:-1] > 0, target - _of_actions(q, action)[:-1], 0)


def priority(td_error: jax.Array, acted: jax.Array, max_weight: float) -> jax.Array:
  """η max_t |δ_t| + (1 − η) mean_t |δ_t|, over the steps with an action: [] of δ [T], `acted` [T] and η."""
  chex.assert_rank([td_error, acted], 1)
  chex.assert_equal_shape([td_error, acted])
  size = acted * jnp.abs(td_error)  # [T]
  mean = jnp.sum(size) / jnp.maximum(jnp.sum(acted), 1)
  return max_weight * jnp.max(size) + (1 - max_weight) * mean


def _of_actions(q: jax.Array, action: jax.Array) -> jax.Array:
  """Values [T] of actions [T] among q [T, A]."""
  return jnp.take_along_axis(q, action[:, None], axis=-1)[:, 0]
