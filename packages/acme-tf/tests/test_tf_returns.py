"""n-step returns against a loop in float64, and the transform of values."""

import numpy as np
import pytest
import tensorflow as tf

from acme_tf import returns

T, B = 8, 3
RNG = np.random.default_rng(0)
R, V = RNG.normal(size=(2, T, B)).astype(np.float32)
D = RNG.choice([0, 0.5, 0.9], size=(T, B)).astype(np.float32)
ACTED = np.ones((T, B), np.float32)  # at o_1, …, o_T
ACTED[3, 1] = ACTED[0, 2] = ACTED[5, 2] = 0


def loop(n):
  result = np.zeros((T, B))
  for b in range(B):
    for t in range(T):
      end = t
      while end - t < n - 1 and end < T - 1 and ACTED[end, b]:
        end += 1
      g = np.float64(V[end, b])
      for k in reversed(range(t, end + 1)):
        g = R[k, b] + D[k, b] * g
      result[t, b] = g
  return result


@pytest.mark.parametrize("n", [1, 2, 5, 8, 20])
def test_n_step_against_a_loop(n):
  g = returns.n_step(*map(tf.constant, (R, D, V, ACTED)), n)
  np.testing.assert_allclose(g, loop(n), rtol=1e-5, atol=1e-6)


def test_no_gradient_flows_through_returns():
  x = tf.Variable(V)
  with tf.GradientTape() as tape:
    total = tf.reduce_sum(returns.n_step(x, x, x, tf.ones_like(x), 3))
  assert tape.gradient(total, x) is None


def test_transform_and_its_inverse_keep_float32_digits():
  x = np.r_[-np.logspace(-3, 5, 30), 0, np.logspace(-3, 5, 30)].astype(np.float32)
  h = returns.signed_hyperbolic(tf.constant(x))
  exact = x.astype(np.float64)
  np.testing.assert_allclose(h, np.sign(exact) * (np.sqrt(np.abs(exact) + 1) - 1) + 1e-3 * exact, rtol=1e-5, atol=1e-7)
  np.testing.assert_allclose(returns.signed_parabolic(h), x, rtol=2e-6, atol=1e-6)
