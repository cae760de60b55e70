"""Recurrent cores: a step at a time, whole sequences, and sequences of several episodes."""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_jax import recurrent

B, T, F, H = 2, 7, 3, 4
KEY = jax.random.PRNGKey(0)
X = jax.random.normal(KEY, (B, T, F))
NEVER = jnp.zeros((B, T), bool)


@pytest.fixture(params=[hk.LSTM, hk.GRU])
def core(request):
  """(params, state [B, H] that is not the initial one, step, unroll, initial)."""

  def make():
    core = recurrent.Core(request.param(H))
    return core.unroll, (core.step, core.unroll, core.initial_state)

  network = hk.multi_transform(make)
  initial = network.apply[2]({}, None, B)
  params = network.init(KEY, X, NEVER, initial)
  state = jax.tree.map(lambda x: jax.random.normal(KEY, x.shape), initial)
  step, unroll, _ = (lambda *args, f=f: f(params, None, *args) for f in network.apply)
  return params, state, step, unroll, initial


def close(actual, expected):
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), actual, expected)


def test_unroll_is_its_steps(core):
  _, state, step, unroll, _ = core
  outputs, last = unroll(X, NEVER, state)
  assert outputs.shape == (B, T, H)
  for t in range(T):
    output, state = step(X[:, t], state)
    close(outputs[:, t], output)
  close(last, state)


def test_unroll_over_two_episodes_is_two_unrolls(core):
  _, state, _, unroll, initial = core
  starts = NEVER.at[:, 3].set(True)
  outputs, last = unroll(X, starts, state)
  first, _ = unroll(X[:, :3], NEVER[:, :3], state)
  second, expected = unroll(X[:, 3:], NEVER[:, 3:], initial)
  close(outputs, jnp.concatenate([first, second], axis=1))
  close(last, expected)


def test_reset_is_of_its_own_row_only_and_takes_floats(core):
  _, state, _, unroll, initial = core
  outputs, _ = unroll(X, NEVER.at[0, 0].set(True).astype(jnp.float32), state)
  kept, _ = unroll(X, NEVER, state)
  begun, _ = unroll(X, NEVER, initial)
  close(outputs, jnp.stack([begun[0], kept[1]]))


def test_no_gradient_crosses_the_start_of_an_episode(core):
  _, state, _, unroll, _ = core
  starts = NEVER.at[0, 4].set(True)
  gradient = jax.grad(lambda x: jnp.sum(unroll(x, starts, state)[0][:, 4:]))(X)
  np.testing.assert_array_equal(gradient[0, :4], 0)
  assert np.all(np.any(gradient[1] != 0, axis=-1))


def test_parameters_are_the_core_s_alone(core):
  params, *_ = core
  assert len(jax.tree.leaves(params)) in (2, 3)  # LSTM w, b; GRU w_i, w_h, b


@pytest.fixture
def x64():
  jax.config.update("jax_enable_x64", True)
  yield
  jax.config.update("jax_enable_x64", False)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("kind", [hk.LSTM, hk.GRU])
def test_the_state_stays_single_where_jax_has_double(kind):
  def run(x, starts):
    core = recurrent.Core(kind(H))
    return core.unroll(x, starts, core.initial_state(B))

  network = hk.transform(run)
  x = np.ones((B, T, F), np.float32)
  outputs, state = network.apply(network.init(jax.random.PRNGKey(0), x, np.ones((B, T), bool)), None, x, NEVER)
  assert {leaf.dtype for leaf in jax.tree.leaves((outputs, state))} == {np.dtype(np.float32)}
