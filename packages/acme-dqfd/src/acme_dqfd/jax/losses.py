"""What DQfD adds to DQN's losses: one function for each equation.

Shapes: A actions.
"""

import chex
import haiku as hk
import jax
import jax.numpy as jnp

Array = jax.Array


def large_margin(q_tm1: Array, a_tm1: Array, margin: float) -> Array:
  """J_E = max_a (q_tm1(a) + m 1[a ≠ a_tm1]) − q_tm1(a_tm1): [] of one demonstration, 0 where it keeps the margin.

  Args:
    q_tm1: [A].
    a_tm1: [] int, the demonstrated action.
    margin: m, in units of return.

  Reference: Hester et al. 2017 (1704.03732), equation 1; Piot et al. 2014.
  """
  chex.assert_rank([q_tm1, a_tm1], [1, 0])
  others = margin * (jnp.arange(q_tm1.shape[0]) != a_tm1)  # [A]
  return jnp.max(q_tm1 + others) - q_tm1[a_tm1]


def l2(params: hk.Params) -> Array:
  """Σ w² over all weights of a nest, which are the leaves of two axes or more: biases have one."""
  return sum((jnp.sum(leaf**2) for leaf in jax.tree.leaves(params) if leaf.ndim > 1), jnp.zeros(()))
