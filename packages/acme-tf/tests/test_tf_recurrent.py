"""Recurrent cores: a step at a time, whole sequences, and sequences of several episodes."""

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from acme_tf import recurrent

B, T, F, H = 2, 7, 3, 4
RNG = np.random.default_rng(0)
X = tf.constant(RNG.normal(size=(B, T, F)), tf.float32)
NEVER = tf.zeros((B, T), tf.bool)


@pytest.fixture(params=[snt.LSTM, snt.GRU])
def core(request):
  return recurrent.Core(request.param(H))


@pytest.fixture
def state(core):
  """One that is not the initial one."""
  return tf.nest.map_structure(lambda x: tf.constant(RNG.normal(size=x.shape), tf.float32), core.initial_state(B))


def close(actual, expected):
  tf.nest.map_structure(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), actual, expected)


def unroll(core, *inputs):
  return tf.function(core.unroll)(*inputs)


def test_unroll_is_its_steps(core, state):
  outputs, last = unroll(core, X, NEVER, state)
  assert outputs.shape == (B, T, H)
  for t in range(T):
    output, state = core.step(X[:, t], state)
    close(outputs[:, t], output)
  close(last, state)


def test_an_episode_begins_in_the_initial_state(core, state):
  start = np.zeros((B, T), bool)
  start[0, 3] = start[1, 0] = True
  outputs, _ = unroll(core, X, tf.constant(start), state)
  whole, _ = unroll(core, X, NEVER, state)
  close(outputs[0, :3], whole[0, :3])
  close(outputs[0, 3:], unroll(core, X[:, 3:], NEVER[:, 3:], core.initial_state(B))[0][0])
  close(outputs[1], unroll(core, X, NEVER, core.initial_state(B))[0][1])


def test_it_has_the_cores_variables_alone_and_gradients_for_them(core, state):
  with tf.GradientTape() as tape:
    outputs, _ = unroll(core, X, NEVER, state)
    total = tf.reduce_sum(outputs**2)
  assert len(core.variables) == 3
  assert all(np.any(x) for x in tape.gradient(total, core.trainable_variables))
