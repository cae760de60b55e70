"""IMPALA's losses, for a single sequence; `vmap` is at the caller.

Shapes: L steps, the last of which only supplies the value to bootstrap from.

Reference: Espeholt et al. 2018 (1802.01561), §4.2.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from acme_jax import returns


class Losses(NamedTuple):
  """Sums over the steps at which there was an action."""

  policy: jax.Array  # []
  baseline: jax.Array  # []
  entropy: jax.Array  # []


def actor_critic(
  log_pi: jax.Array,
  entropy: jax.Array,
  values: jax.Array,
  r: jax.Array,
  discount: jax.Array,
  log_mu: jax.Array,
  acted: jax.Array,
) -> Losses:
  """−Σ_t A_t log π(a_t|o_t), Σ_t (v_t − V(o_t))² and Σ_t H(π(·|o_t)), with A and v by V-trace (acme_jax.returns).

  Whatever stands where `acted` is 0 changes nothing, but for the value, which is what a truncated episode bootstraps
  from. A and v are constants.

  Args:
    log_pi: log π(a_t|o_t), [L].
    entropy: H(π(·|o_t)), [L], in nats.
    values: V(o_t), [L].
    r: r_{t+1}, [L].
    discount: γ d_{t+1}, [L].
    log_mu: log μ(a_t|o_t), [L], as it was when a_t was chosen.
    acted: [L], 1 where a_t, r_{t+1} and d_{t+1} are there; 0 at an episode's final observation, and in padding.
  """
  chex.assert_rank([log_pi, entropy, values, r, discount, log_mu, acted], 1)
  chex.assert_equal_shape([log_pi, entropy, values, r, discount, log_mu, acted])
  here = acted[:-1] > 0  # [L − 1]
  log_pi, entropy, r, discount, log_mu = (jnp.where(here, x[:-1], 0) for x in (log_pi, entropy, r, discount, log_mu))
  trace = returns.vtrace(values[:-1], values[1:], r, discount, log_pi, log_mu, here)
  return Losses(
    policy=-jnp.sum(trace.advantages * log_pi),
    baseline=jnp.sum(jnp.where(here, jnp.square(trace.targets - values[:-1]), 0)),
    entropy=jnp.sum(entropy),
  )
