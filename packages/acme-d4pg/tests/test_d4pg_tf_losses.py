"""D4PG's losses in TensorFlow against hand-computed tables."""

import numpy as np
import pytest

pytest.importorskip("sonnet", reason='needs pip install "acme-d4pg[tf]"')

import tensorflow as tf

from acme_d4pg.tf import losses

ATOMS = tf.constant([-1.0, 0.0, 1.0])
SURE_OF_0 = tf.constant([[-100.0, 100.0, -100.0]])


@pytest.mark.parametrize(
  ("reward", "discount", "target"),
  [
    (0.0, 1.0, [0, 1, 0]),  # stays at 0
    (0.5, 1.0, [0, 0.5, 0.5]),  # halfway to the next atom
    (0.25, 0.0, [0, 0.75, 0.25]),  # terminal: only the reward
    (5.0, 1.0, [0, 0, 1]),  # beyond vmax
    (-5.0, 0.9, [1, 0, 0]),  # beyond vmin
  ],
)
def test_categorical_td_loss_by_hand(reward, discount, target):
  """From uniform logits the loss is log 3 whatever the target; its gradient is softmax − target."""
  logits = tf.zeros((1, 3))
  with tf.GradientTape() as tape:
    tape.watch([logits, SURE_OF_0])
    loss = losses.categorical_td_loss(ATOMS, logits, tf.constant([reward]), tf.constant([discount]), SURE_OF_0)
  slope, through_target = tape.gradient(loss, [logits, SURE_OF_0])
  np.testing.assert_allclose(loss, [np.log(3)], rtol=1e-6)
  np.testing.assert_allclose(slope, [1 / 3 - np.asarray(target)], atol=1e-6)
  assert through_target is None
