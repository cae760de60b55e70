"""Returns over one sequence, from the rewards in it and the values at its steps; `vmap` is at the caller.

A sequence has T transitions, from o_0, …, o_{T−1} (index tm1) to o_1, …, o_T (index t). Where `acted` is 0 no action
was taken: that step is the final observation of an episode, or padding. A return that arrives there takes its value
and goes no further, so that an episode cut short by a time limit is bootstrapped, and two episodes in one sequence do
not mix. The returns *of* such a step mean nothing: leave them out of the loss. Nothing else needs a mask.

No gradient flows through anything here: returns are targets.

References: Munos et al. 2016 (1606.02647); Espeholt et al. 2018 (1802.01561); Pohlen et al. 2018 (1805.11593).
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import rlax


def n_step(r_t: jax.Array, discount_t: jax.Array, v_t: jax.Array, acted_t: jax.Array, n: int) -> jax.Array:
  """Bootstrapped n-step returns; near the end of the sequence, of the steps that there are.

    G_t = r_{t+1} + d_{t+1} (r_{t+2} + … + d_{t+m} v_{t+m}),  m = min(n, steps to the end or to one not acted at)

  Args:
    r_t: [T], rewards.
    discount_t: d, [T], γ times the environment's discounts.
    v_t: [T], values to bootstrap from.
    acted_t: [T], whether an action was taken at o_1, …, o_T; bool, or 0 and 1.
    n: steps.

  Returns:
    G_0, …, G_{T−1}: [T].
  """
  chex.assert_rank([r_t, discount_t, v_t, acted_t], 1)
  chex.assert_equal_shape([r_t, discount_t, v_t, acted_t])
  returns: jax.Array = rlax.n_step_bootstrapped_returns(
    r_t, discount_t, v_t, n, lambda_t=acted_t.astype(v_t.dtype), stop_target_gradients=True
  )
  return returns


def retrace(
  q_t: jax.Array,
  v_t: jax.Array,
  r_t: jax.Array,
  discount_t: jax.Array,
  log_pi_t: jax.Array,
  log_mu_t: jax.Array,
  acted_t: jax.Array,
  lambda_: float = 1.0,
) -> jax.Array:
  """Retrace(λ) returns, for discrete and for continuous actions (Munos et al. 2016, eq. 3–4).

    G_t = r_{t+1} + d_{t+1} (v_{t+1} + c_{t+1} (G_{t+1} − q_{t+1})),  c = λ min(1, π(a|o) / μ(a|o))

  Args:
    q_t: [T−1], the target critic's values of the actions taken at o_1, …, o_{T−1}.
    v_t: [T], the target critic's values of the policy π, E_π q, at o_1, …, o_T.
    r_t: [T], rewards.
    discount_t: d, [T], γ times the environment's discounts.
    log_pi_t: [T−1], log π of the actions taken.
    log_mu_t: [T−1], log μ of the same, as they were stored.
    acted_t: [T−1], whether an action was taken; bool, or 0 and 1.
    lambda_: λ, from 0 to 1.

  Returns:
    G_0, …, G_{T−1}: [T].
  """
  chex.assert_rank([q_t, v_t, r_t, discount_t, log_pi_t, log_mu_t, acted_t], 1)
  chex.assert_equal_shape([v_t, r_t, discount_t])
  chex.assert_equal_shape([q_t, v_t[:-1], log_pi_t, log_mu_t, acted_t])
  c_t = lambda_ * jnp.where(acted_t, jnp.exp(jnp.minimum(log_pi_t - log_mu_t, 0.0)), 0.0)  # [T−1]
  returns: jax.Array = rlax.general_off_policy_returns_from_q_and_v(
    q_t, v_t, r_t, discount_t, c_t, stop_target_gradients=True
  )
  return returns


class VTrace(NamedTuple):
  """What V-trace gives for each step."""

  targets: jax.Array  # [T], of the value function
  advantages: jax.Array  # [T], weights of ∇ log π(a_tm1), the clipped ratio included


def vtrace(
  v_tm1: jax.Array,
  v_t: jax.Array,
  r_t: jax.Array,
  discount_t: jax.Array,
  log_pi_tm1: jax.Array,
  log_mu_tm1: jax.Array,
  acted_tm1: jax.Array,
) -> VTrace:
  """V-trace targets and policy-gradient advantages with ρ̄ = c̄ = 1 (Espeholt et al. 2018, eq. 1 and §4.2).

    target_t = v_t + ρ_t (r_{t+1} + d_{t+1} v_{t+1} − v_t) + d_{t+1} ρ_t (target_{t+1} − v_{t+1}),
    advantage_t = ρ_t (r_{t+1} + d_{t+1} target_{t+1} − v_t),  ρ = min(1, π(a|o) / μ(a|o)),  target_T = v_T

  Args:
    v_tm1: [T], values of o_0, …, o_{T−1}.
    v_t: [T], values of o_1, …, o_T.
    r_t: [T], rewards.
    discount_t: d, [T], γ times the environment's discounts.
    log_pi_tm1: [T], log π of the actions taken at o_0, …, o_{T−1}.
    log_mu_tm1: [T], log μ of the same, as they were stored.
    acted_tm1: [T], whether an action was taken; bool, or 0 and 1. Where not, the target is v_tm1, the advantage 0.

  Returns:
    Targets and advantages, [T] each.
  """
  chex.assert_rank([v_tm1, v_t, r_t, discount_t, log_pi_tm1, log_mu_tm1, acted_tm1], 1)
  chex.assert_equal_shape([v_tm1, v_t, r_t, discount_t, log_pi_tm1, log_mu_tm1, acted_tm1])
  rho_tm1 = jnp.where(acted_tm1, jnp.exp(jnp.minimum(log_pi_tm1 - log_mu_tm1, 0.0)), 0.0)  # [T], clipped
  output = rlax.vtrace_td_error_and_advantage(v_tm1, v_t, r_t, discount_t, rho_tm1)
  return jax.lax.stop_gradient(VTrace(v_tm1 + output.errors, output.pg_advantage))


def signed_hyperbolic(x: jax.Array, epsilon: float = 1e-3) -> jax.Array:
  """h(x) = sgn(x) (√(|x| + 1) − 1) + ε x, which narrows the range of values (Pohlen et al. 2018, prop. A.2)."""
  return jnp.sign(x) * (jnp.sqrt(jnp.abs(x) + 1) - 1) + epsilon * x


def signed_parabolic(x: jax.Array, epsilon: float = 1e-3) -> jax.Array:
  """h⁻¹(x) = sgn(x) (((√(1 + 4ε (|x| + 1 + ε)) − 1) / 2ε)² − 1), the inverse of `signed_hyperbolic`.

  Written as a quotient without a difference, which in float32 would leave four digits for ε = 1e-3.
  """
  y = jnp.abs(x) + 1 + epsilon
  root = 2 * y / (1 + jnp.sqrt(1 + 4 * epsilon * y))
  return jnp.sign(x) * (jnp.square(root) - 1)
