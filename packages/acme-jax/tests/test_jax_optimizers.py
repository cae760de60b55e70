"""Optimizers' first steps by hand, and target networks in whatever precision."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from acme_jax import optimizers, targets

PARAMS = {"a": jnp.asarray([1.0, 2.0]), "b": jnp.asarray(3.0)}
GRADIENTS = {"a": jnp.asarray([6.0, 0.0]), "b": jnp.asarray(8.0)}  # global norm 10


@pytest.fixture
def x64():
  jax.config.update("jax_enable_x64", True)
  yield
  jax.config.update("jax_enable_x64", False)


def first_update(optimizer):
  updates, _ = optimizer.update(GRADIENTS, optimizer.init(PARAMS), PARAMS)
  return np.r_[updates["a"], updates["b"]]


@pytest.mark.parametrize(("norm", "scale"), [(None, 1), (20.0, 1), (5.0, 0.5)])
def test_gradients_are_clipped_by_their_global_norm(norm, scale):
  # The first step of Adam: m/√v = g/(|g| + ε), so that ε shows what g was.
  g = scale * np.array([6, 0, 8.0])
  adam = first_update(optimizers.adam(0.1, epsilon=2.0, max_gradient_norm=norm))
  np.testing.assert_allclose(adam, -0.1 * g / (np.abs(g) + 2), rtol=1e-5)
  rmsprop = first_update(optimizers.rmsprop(0.1, decay=0.75, epsilon=2.0, max_gradient_norm=norm))
  np.testing.assert_allclose(rmsprop, -0.1 * g / np.sqrt(0.25 * g**2 + 2), rtol=1e-5)


def test_learning_rate_may_be_a_schedule():
  schedule = optax.linear_schedule(1.0, 0.0, 10)
  for optimizer in (optimizers.adam(schedule), optimizers.rmsprop(schedule)):
    np.testing.assert_array_less(first_update(optimizer)[[0, 2]], 0)


@pytest.mark.parametrize(("steps", "copied"), [(1, False), (2, False), (3, True), (4, False), (6, True)])
def test_periodic_update(steps, copied):
  old = jax.tree.map(jnp.zeros_like, PARAMS)
  target = jax.jit(targets.periodic_update, static_argnums=3)(PARAMS, old, jnp.int32(steps), 3)
  expected = PARAMS if copied else old
  jax.tree.map(np.testing.assert_array_equal, target, expected)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("new", [jnp.float32, "float64"])
@pytest.mark.parametrize("old", [jnp.float32, "float64"])
def test_target_keeps_its_dtype_where_jax_has_64_bits(new, old):
  online = {"w": jnp.ones(2, new)}
  target = {"w": jnp.zeros(2, old)}
  for step, value in ((3, 1), (4, 0)):
    periodic = jax.jit(targets.periodic_update, static_argnums=3)(online, target, jnp.int32(step), 3)
    assert periodic["w"].dtype == old
    np.testing.assert_array_equal(periodic["w"], value)
  soft = jax.jit(targets.soft_update)(online, target, 0.25)
  assert soft["w"].dtype == old
  np.testing.assert_array_equal(soft["w"], 0.25)


def test_soft_update():
  target = targets.soft_update(PARAMS, jax.tree.map(jnp.zeros_like, PARAMS), 0.1)
  np.testing.assert_allclose(target["a"], [0.1, 0.2], rtol=1e-6)
