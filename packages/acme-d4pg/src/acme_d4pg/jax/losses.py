"""D4PG's two losses, for one transition; `vmap` is at the caller.

Shapes: D numbers in an action, K atoms.
"""

import chex
import jax
import jax.numpy as jnp
import rlax


def categorical_td_loss(
  atoms: jax.Array, logits_tm1: jax.Array, r_t: jax.Array, discount_t: jax.Array, logits_t: jax.Array
) -> jax.Array:
  """Cross-entropy of the critic against the projected target distribution.

    L = −Σ_i (Φ(r_t + discount_t z, softmax(logits_t)))_i log softmax(logits_tm1)_i

  where Φ projects onto the atoms z (Bellemare et al. 2017, 1707.06887, eq. 7).

  Args:
    atoms: z, [K] returns.
    logits_tm1: [K], of the critic for (o_tm1, a_tm1).
    r_t: [], the n-step reward.
    discount_t: [], γ^n times the environment's discounts.
    logits_t: [K], of the target critic for (o_t, target policy's action).

  Returns:
    The loss, [].
  """
  chex.assert_rank([atoms, logits_tm1, r_t, discount_t, logits_t], [1, 1, 0, 0, 1])
  target = rlax.categorical_l2_project(r_t + discount_t * atoms, jax.nn.softmax(logits_t), atoms)  # [K]
  return -jnp.sum(jax.lax.stop_gradient(target) * jax.nn.log_softmax(logits_tm1))


def policy_gradient_loss(action: jax.Array, dq_da: jax.Array, clipping: float | None) -> jax.Array:
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
  chex.assert_equal_shape([action, dq_da])
  if clipping is not None:
    norm = jnp.linalg.norm(dq_da)
    dq_da = dq_da * clipping / jnp.maximum(norm, clipping)
  return 0.5 * jnp.sum(jnp.square(jax.lax.stop_gradient(action + dq_da) - action))
