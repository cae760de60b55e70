"""DQN's losses in TensorFlow against hand-computed tables and NumPy."""

import numpy as np
import pytest

pytest.importorskip("sonnet", reason='needs pip install "acme-dqn[tf]"')

import tensorflow as tf

from acme_dqn.tf import losses

ATOMS = np.array([-1.0, 0.0, 1.0], np.float32)
CHOOSE_0 = np.array([[1.0, 0.0]], np.float32)


def one(value, dtype=np.float32):
  """A batch of one."""
  return tf.constant(np.asarray(value, dtype)[None])


def gradient(function, x):
  with tf.GradientTape() as tape:
    tape.watch(x)
    result = function(x)
  return result, tape.gradient(result.loss, x)


@pytest.mark.parametrize(
  ("selector", "reward", "discount", "td_error", "loss"),
  [
    ([0.0, 1.0], 1.0, 0.5, 0.5, 0.125),  # 1 + .5·3 − 2: the selector takes action 1, the value is 3
    ([1.0, 0.0], 1.0, 0.5, 1.5, 1.0),  # 1 + .5·5 − 2, beyond δ = 1: |1.5| − ½
    ([1.0, 0.0], 1.0, 0.0, -1.0, 0.5),  # terminal: only the reward
  ],
)
def test_q_learning_by_hand(selector, reward, discount, td_error, loss):
  def function(q):
    return losses.q_learning(q, one(1, np.int32), one(reward), one(discount), one([5, 3]), one(selector), 1.0)

  result, slope = gradient(function, one([7.0, 2.0]))
  np.testing.assert_allclose(result.loss, [loss], rtol=1e-6)
  np.testing.assert_allclose(result.priority, [abs(td_error)], rtol=1e-6)
  np.testing.assert_allclose(slope, [[0, -np.clip(td_error, -1, 1)]], atol=1e-6)


@pytest.mark.parametrize(
  ("reward", "discount", "target"),
  [
    (0.0, 1.0, [0, 1, 0]),  # stays at 0
    (0.5, 1.0, [0, 0.5, 0.5]),  # halfway to the next atom
    (0.25, 0.0, [0, 0.75, 0.25]),  # terminal
    (5.0, 1.0, [0, 0, 1]),  # beyond vmax
    (-5.0, 0.9, [1, 0, 0]),  # beyond vmin
  ],
)
def test_categorical_q_learning_by_hand(reward, discount, target):
  """From uniform logits the loss is log 3; its gradient is softmax − target; the priority is KL(target ‖ uniform)."""
  logits_t = one([[-100, 100, -100], [100, -100, -100]])  # action 0 is sure of a return of 0

  def function(logits):
    return losses.categorical_q_learning(
      tf.constant(ATOMS), logits, one(1, np.int32), one(reward), one(discount), logits_t, tf.constant(CHOOSE_0)
    )

  result, slope = gradient(function, one(np.zeros((2, 3))))
  target = np.asarray(target)
  entropy = -np.sum(target[target > 0] * np.log(target[target > 0]))
  np.testing.assert_allclose(result.loss, [np.log(3)], rtol=1e-6)
  np.testing.assert_allclose(result.priority, [np.log(3) - entropy], rtol=1e-5)
  np.testing.assert_allclose(slope, [[[0, 0, 0], 1 / 3 - target]], atol=1e-6)


def test_quantile_q_learning_by_hand():
  """κ = 1, two quantiles at τ = ¼, ¾, both 0; targets 1 + .5·(0, −8) = 1, −3 (Dabney et al. 2017, eq. 10)."""
  quantiles_t = one([[0.0, -8.0], [9.0, 9.0]])
  result, slope = gradient(
    lambda q: losses.quantile_q_learning(
      q, one(1, np.int32), one(1.0), one(0.5), quantiles_t, tf.constant(CHOOSE_0), 1.0
    ),
    one(np.zeros((2, 2))),
  )
  # Huber is .5 above and 2.5 below: Σ_i ½ (τ_i · .5 + (1 − τ_i) · 2.5), with slopes −τ_i and + (1 − τ_i).
  np.testing.assert_allclose(result.loss, [0.5 * (0.25 * 0.5 + 0.75 * 2.5 + 0.75 * 0.5 + 0.25 * 2.5)], rtol=1e-6)
  np.testing.assert_allclose(result.priority, [1.0], rtol=1e-6)  # means −1 and 0
  np.testing.assert_allclose(slope, [[[0, 0], [0.5 * (-0.25 + 0.75), 0.5 * (-0.75 + 0.25)]]], atol=1e-6)


def test_quantile_q_learning_agrees_with_numpy():
  rng = np.random.default_rng(0)
  B, A, K, kappa = 5, 3, 7, 0.4
  q_tm1, q_t = rng.normal(size=(2, B, A, K)).astype(np.float32)
  selector = rng.normal(size=(B, A)).astype(np.float32)
  action, reward, discount = rng.integers(A, size=B), rng.normal(size=B), rng.uniform(size=B)
  expected = np.zeros(B)
  for b in range(B):
    target = reward[b] + discount[b] * q_t[b, np.argmax(selector[b])]
    for i in range(K):
      for j in range(K):
        u = target[j] - q_tm1[b, action[b], i]
        huber = u * u / 2 if abs(u) <= kappa else kappa * (abs(u) - kappa / 2)
        expected[b] += abs((i + 0.5) / K - (u < 0)) * huber / K
  result = losses.quantile_q_learning(
    q_tm1, action.astype(np.int32), reward.astype(np.float32), discount.astype(np.float32), q_t, selector, kappa
  )
  np.testing.assert_allclose(result.loss, expected, rtol=1e-4)
