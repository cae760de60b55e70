"""Losses of critics and policies, for one transition; `vmap` is at the caller.

Shapes: D numbers in an action, K atoms.

References: Bellemare et al. 2017 (1707.06887); Lillicrap et al. 2015 (1509.02971).
"""

import chex
import jax
import jax.numpy as jnp
import rlax


def categorical_td_loss(
  atoms: jax.Array, logits_tm1: jax.Array, r_t: jax.Array, discount_t: jax.Array, probabilities_t: jax.Array
) -> jax.Array:
  """Cross-entropy of a critic against the projected target distribution.

    L = −Σ_k (Φ(r_t + discount_t z, p_t))_k log softmax(logits_tm1)_k

  where Φ projects onto the atoms z (Bellemare et al. 2017, eq. 7). No gradient flows to the target.

  Args:
    atoms: z, [K] returns, evenly spaced and rising.
    logits_tm1: [K], of the critic for (o_tm1, a_tm1).
    r_t: [], the n-step reward.
    discount_t: [], γ^n times the environment's discounts.
    probabilities_t: p_t, [K], of the target critic for o_t: the softmax of its logits, or the mean of several such
      over sampled actions (of the probabilities, not of the logits).

  Returns:
    The loss, [].
  """
  chex.assert_rank([atoms, logits_tm1, r_t, discount_t, probabilities_t], [1, 1, 0, 0, 1])
  chex.assert_equal_shape([atoms, logits_tm1, probabilities_t])
  target = rlax.categorical_l2_project(r_t + discount_t * atoms, probabilities_t, atoms)  # [K]
  return -jnp.sum(jax.lax.stop_gradient(target) * jax.nn.log_softmax(logits_tm1))


def outside(atoms: jax.Array, r_t: jax.Array, discount_t: jax.Array, probabilities_t: jax.Array) -> jax.Array:
  """The share of the target's probability that the projection moves to an end of the range from outside.

    Σ_k p_t[k] · [r_t + discount_t z_k < z_1 or > z_K]

  A share that stays above 0 says that returns leave the range, and that the critic cannot learn them.

  Args:
    atoms: z, [K] returns, evenly spaced and rising.
    r_t: [], the n-step reward.
    discount_t: [], γ^n times the environment's discounts.
    probabilities_t: p_t, [K], as in `categorical_td_loss`.

  Returns:
    The share, [], from 0 to 1.
  """
  chex.assert_rank([atoms, r_t, discount_t, probabilities_t], [1, 0, 0, 1])
  chex.assert_equal_shape([atoms, probabilities_t])
  returns = r_t + discount_t * atoms  # [K]
  slack = 1e-3 * (atoms[1] - atoms[0])  # More than rounding moves a return by.
  beyond = (returns < atoms[0] - slack) | (returns > atoms[-1] + slack)
  return jnp.sum(jnp.where(beyond, probabilities_t, 0))


def deterministic_policy_gradient_loss(action: jax.Array, dq_da: jax.Array, clipping: float | None) -> jax.Array:
  """A loss whose gradient for the action is −dq/da, scaled down to norm `clipping`.

    L = ½ ‖stop(a + clip(dq/da)) − a‖²

  Reference: Silver et al. 2014; Lillicrap et al. 2015 (1509.02971), eq. 6.

  Args:
    action: a, [D], the policy's, through which the gradient flows.
    dq_da: [D], the critic's gradient for it.
    clipping: the largest norm; None for any.

  Returns:
    The loss, [].
  """
  chex.assert_rank([action, dq_da], 1)
  chex.assert_equal_shape([action, dq_da])
  if clipping is not None:
    norm = jnp.linalg.norm(dq_da)
    dq_da = dq_da * clipping / jnp.maximum(norm, clipping)
  return 0.5 * jnp.sum(jnp.square(jax.lax.stop_gradient(action + dq_da) - action))
