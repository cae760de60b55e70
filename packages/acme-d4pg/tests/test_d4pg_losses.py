"""D4PG's losses against hand-computed tables, rlax, and finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from acme_d4pg.jax import losses

ATOMS = jnp.asarray([-1.0, 0.0, 1.0])
UNIFORM = jnp.zeros(3)
SURE_OF_0 = jnp.asarray([-100.0, 100.0, -100.0])


def _one_hot_logits(i):
  return jnp.where(jnp.arange(3) == i, 100.0, -100.0)


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
  loss, gradient = jax.value_and_grad(losses.categorical_td_loss, argnums=1)(
    ATOMS, UNIFORM, jnp.float32(reward), jnp.float32(discount), SURE_OF_0
  )
  np.testing.assert_allclose(loss, np.log(3), rtol=1e-6)
  np.testing.assert_allclose(gradient, 1 / 3 - np.asarray(target), atol=1e-6)


def test_categorical_td_loss_agrees_with_rlax():
  random = np.random.default_rng(0)
  atoms = jnp.linspace(-10, 10, 51)
  for _ in range(5):
    logits_tm1, logits_t = jnp.asarray(random.normal(size=(2, 51)), jnp.float32)
    reward, discount = jnp.float32(random.normal()), jnp.float32(random.uniform())
    ours = losses.categorical_td_loss(atoms, logits_tm1, reward, discount, logits_t)
    theirs = rlax.categorical_td_learning(atoms, logits_tm1, reward, discount, atoms, logits_t)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_no_gradient_flows_through_the_target():
  gradient = jax.grad(losses.categorical_td_loss, argnums=4)(
    ATOMS, UNIFORM, jnp.float32(0.3), jnp.float32(0.9), UNIFORM
  )
  np.testing.assert_array_equal(gradient, 0)


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
  gradient = jax.grad(losses.policy_gradient_loss)(jnp.asarray([0.1, -0.2]), jnp.asarray(dq_da), clipping)
  np.testing.assert_allclose(gradient, -np.asarray(expected), atol=1e-6)
