"""IMPALA's losses, for a batch of sequences; the twin of `acme_impala.jax.losses`.

Shapes: B batch, L steps, the last of which only supplies the value to bootstrap from.

Reference: Espeholt et al. 2018 (1802.01561), §4.2.
"""

from typing import NamedTuple

import tensorflow as tf

from acme_tf import returns


class Losses(NamedTuple):
  """Sums over the steps at which there was an action."""

  policy: tf.Tensor  # []
  baseline: tf.Tensor  # []
  entropy: tf.Tensor  # []


def actor_critic(
  log_pi: tf.Tensor,
  entropy: tf.Tensor,
  values: tf.Tensor,
  r: tf.Tensor,
  discount: tf.Tensor,
  log_mu: tf.Tensor,
  acted: tf.Tensor,
) -> Losses:
  """−Σ A_t log π(a_t|o_t), Σ (v_t − V(o_t))² and Σ H(π(·|o_t)), with A and v by V-trace (acme_tf.returns).

  Args: all [B, L], as in `acme_impala.jax.losses`.
  """
  inputs = (log_pi, entropy, values, r, discount, log_mu, acted)
  for each in inputs:
    tf.debugging.assert_rank(each, 2)
    each.shape.assert_is_compatible_with(acted.shape)
  log_pi, entropy, values, r, discount, log_mu, acted = map(tf.transpose, inputs)  # [L, B]
  here = acted[:-1] > 0
  log_pi, entropy, r, discount, log_mu = (tf.where(here, x[:-1], 0.0) for x in (log_pi, entropy, r, discount, log_mu))
  trace = returns.vtrace(values[:-1], values[1:], r, discount, log_pi, log_mu, acted[:-1])
  return Losses(
    policy=-tf.reduce_sum(trace.advantages * log_pi),
    baseline=tf.reduce_sum(tf.where(here, tf.square(trace.targets - values[:-1]), 0.0)),
    entropy=tf.reduce_sum(entropy),
  )
