"""What DQfD adds to DQN's losses: one function for each equation, for a batch.

Shapes: B batch, A actions.
"""

from collections.abc import Iterable

import tensorflow as tf


def large_margin(q_tm1: tf.Tensor, a_tm1: tf.Tensor, margin: float) -> tf.Tensor:
  """J_E = max_a (q_tm1(a) + m 1[a ≠ a_tm1]) − q_tm1(a_tm1): [B] of demonstrations, 0 where one keeps the margin.

  Args:
    q_tm1: [B, A].
    a_tm1: [B] int, the demonstrated actions.
    margin: m, in units of return.

  Reference: Hester et al. 2017 (1704.03732), equation 1; Piot et al. 2014.
  """
  tf.debugging.assert_rank(q_tm1, 2)
  others = tf.one_hot(a_tm1, q_tm1.shape[-1], on_value=0.0, off_value=margin, dtype=q_tm1.dtype)  # [B, A]
  return tf.reduce_max(q_tm1 + others, axis=-1) - tf.gather(q_tm1, a_tm1, batch_dims=1)


def l2(variables: Iterable[tf.Variable]) -> tf.Tensor:
  """Σ w² over all weights, which are the variables of two axes or more: biases have one."""
  return tf.add_n([tf.zeros(()), *(tf.reduce_sum(w**2) for w in variables if w.shape.rank > 1)])
