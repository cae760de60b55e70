"""Losses by hand."""

import numpy as np
import pytest
import tensorflow as tf

from acme_tf import losses


@pytest.mark.parametrize(
  ("dq_da", "clipping", "expected"),
  [
    ([0.3, 0.4], 1.0, [0.3, 0.4]),  # norm 0.5: as it is
    ([3.0, 4.0], 1.0, [0.6, 0.8]),  # norm 5: scaled to 1
    ([3.0, 4.0], None, [3.0, 4.0]),
    ([0.0, 0.0], 1.0, [0.0, 0.0]),
  ],
)
def test_policy_gradient_is_minus_dq_da(dq_da, clipping, expected):
  action = tf.constant([[0.1, -0.2]])
  with tf.GradientTape() as tape:
    tape.watch(action)
    loss = losses.deterministic_policy_gradient_loss(action, tf.constant([dq_da]), clipping)
  np.testing.assert_allclose(loss, [0.5 * np.sum(np.square(expected))], rtol=1e-5)
  np.testing.assert_allclose(tape.gradient(loss, action), [-np.asarray(expected)], atol=1e-6)


@pytest.mark.parametrize(("action", "dq_da"), [([0.1], [0.1]), ([[0.1]], [[0.1, 0.2]])])
def test_other_shapes_are_refused(action, dq_da):
  with pytest.raises(ValueError, match="rank|shape|Shape"):
    losses.deterministic_policy_gradient_loss(tf.constant(action), tf.constant(dq_da), 1.0)
