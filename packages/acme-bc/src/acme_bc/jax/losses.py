"""What it costs a policy to do something else than was done, for a single step; `vmap` is at the caller.

Shapes: A actions, D numbers in an action.

References: Pomerleau 1991; Szegedy et al. 2015 (1512.00567), §7, of label smoothing.
"""

import chex
import jax
import jax.numpy as jnp

from acme_jax import distributions


def cross_entropy(policy: distributions.Categorical, a: jax.Array, smoothing: float = 0.0) -> jax.Array:
  """−Σ_k q_k log π(k|o), q_k = (1 − ε) 1[k = a] + ε / A.

  Args:
    policy: π(·|o), its logits [A].
    a: [] int, what was done.
    smoothing: ε, from 0, which leaves −log π(a|o), to 1.

  Returns:
    The loss, [].
  """
  chex.assert_rank([policy.logits, a], [1, 0])
  return -(1 - smoothing) * policy.log_prob(a) - smoothing * jnp.mean(policy.log_probs)


def squared_error(action: jax.Array, a: jax.Array) -> jax.Array:
  """The mean over D of (μ(o) − a)²: [].

  Args:
    action: μ(o), [D], the policy's.
    a: [D], what was done.
  """
  chex.assert_rank([action, a], 1)
  chex.assert_equal_shape([action, a])
  return jnp.mean(jnp.square(action - a))


def negative_log_prob(policy: distributions.DiagonalGaussian | distributions.TanhGaussian, a: jax.Array) -> jax.Array:
  """−log π(a|o): [].

  Args:
    policy: π(·|o), over [D].
    a: [D], what was done; at the bounds of a squashed policy, which it never reaches, just within them.
  """
  chex.assert_rank([policy.mean, policy.stddev, a], 1)
  chex.assert_equal_shape([policy.mean, policy.stddev, a])
  return -policy.log_prob(a)
