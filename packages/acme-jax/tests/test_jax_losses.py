"""Losses by hand, against rlax, and against the reference numbers of golden/ (see its README)."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from acme_jax import losses

ATOMS = jnp.asarray([-1.0, 0.0, 1.0])
UNIFORM = jnp.full(3, 1 / 3)
SURE_OF_0 = jnp.asarray([0.0, 1.0, 0.0])


def load(name):
  values = np.load(pathlib.Path(__file__).parent / "golden" / f"{name}.npz", allow_pickle=False)
  return {key: jnp.asarray(value, jnp.float32) for key, value in values.items()}


@pytest.mark.parametrize(
  ("reward", "discount", "target", "outside"),
  [
    (0.0, 1.0, [0, 1, 0], 0),  # stays at 0
    (0.5, 1.0, [0, 0.5, 0.5], 0),  # halfway to the next atom
    (0.25, 0.0, [0, 0.75, 0.25], 0),  # terminal: only the reward
    (1.0, 0.0, [0, 0, 1], 0),  # exactly at vmax
    (5.0, 1.0, [0, 0, 1], 1),  # beyond vmax
    (-5.0, 0.9, [1, 0, 0], 1),  # beyond vmin
  ],
)
def test_categorical_td_loss_by_hand(reward, discount, target, outside):
  """From uniform logits the loss is log 3 whatever the target; its gradient is softmax − target."""
  arguments = jnp.float32(reward), jnp.float32(discount), SURE_OF_0
  loss, gradient = jax.value_and_grad(losses.categorical_td_loss, argnums=1)(ATOMS, jnp.zeros(3), *arguments)
  np.testing.assert_allclose(loss, np.log(3), rtol=1e-6)
  np.testing.assert_allclose(gradient, 1 / 3 - np.asarray(target), atol=1e-6)
  assert losses.outside(ATOMS, *arguments) == outside


@pytest.mark.parametrize(
  ("reward", "discount", "share"),
  [
    (0.5, 1.0, 0.2),  # only the atom 1 moves out, to 1.5
    (-0.5, 1.0, 0.5),  # only the atom −1, to −1.5
    (0.0, 2.0, 0.7),  # both
    (0.1, 0.9, 0.0),  # .1 + .9 is above 1 by rounding alone
  ],
)
def test_outside_is_the_share_of_mass_that_leaves_the_range(reward, discount, share):
  probabilities = jnp.asarray([0.5, 0.3, 0.2])
  outside = losses.outside(ATOMS, jnp.float32(reward), jnp.float32(discount), probabilities)
  np.testing.assert_allclose(outside, share, rtol=1e-6)


def test_categorical_td_loss_agrees_with_rlax():
  random = np.random.default_rng(0)
  atoms = jnp.linspace(-10, 10, 51)
  for _ in range(5):
    logits_tm1, logits_t = jnp.asarray(random.normal(size=(2, 51)), jnp.float32)
    reward, discount = jnp.float32(random.normal()), jnp.float32(random.uniform())
    ours = losses.categorical_td_loss(atoms, logits_tm1, reward, discount, jax.nn.softmax(logits_t))
    theirs = rlax.categorical_td_learning(atoms, logits_tm1, reward, discount, atoms, logits_t)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_categorical_td_loss_of_a_mean_over_sampled_actions_against_golden():
  g = load("dmpo_critic")
  discount = g["gamma"] * g["discount"]
  probabilities = jnp.mean(jax.nn.softmax(g["target_logits_sampled_actions"]), axis=0)  # [B, K]
  np.testing.assert_allclose(probabilities, g["mixture_probs"], rtol=1e-5, atol=1e-7)

  def loss(logits):
    per_sample = jax.vmap(losses.categorical_td_loss, in_axes=(None, 0, 0, 0, 0))(
      g["atoms"], logits, g["reward"], discount, probabilities
    )
    return jnp.mean(per_sample), per_sample

  (value, per_sample), gradient = jax.value_and_grad(loss, has_aux=True)(g["online_logits"])
  np.testing.assert_allclose(per_sample, g["loss_per_sample"], rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose(value, g["loss"], rtol=1e-5)
  np.testing.assert_allclose(gradient, g["grad_online_logits"], rtol=1e-5, atol=1e-6)
  share = jax.vmap(losses.outside, in_axes=(None, 0, 0, 0))(g["atoms"], g["reward"], discount, probabilities)
  beyond = (g["shifted_atoms"] < -5.0001) | (g["shifted_atoms"] > 5.0001)
  np.testing.assert_allclose(share, jnp.sum(probabilities * beyond, axis=-1), rtol=1e-5, atol=1e-7)


def test_no_gradient_flows_through_the_target():
  loss = losses.categorical_td_loss
  gradient = jax.grad(loss, argnums=4)(ATOMS, jnp.zeros(3), jnp.float32(0.3), jnp.float32(0.9), UNIFORM)
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
  loss = losses.deterministic_policy_gradient_loss
  gradient = jax.grad(loss)(jnp.asarray([0.1, -0.2]), jnp.asarray(dq_da), clipping)
  np.testing.assert_allclose(gradient, -np.asarray(expected), atol=1e-6)


@pytest.mark.parametrize(("clipping", "prefix"), [(1.0, "clipping_on"), (None, "clipping_off")])
def test_policy_gradient_loss_against_golden(clipping, prefix):
  g = load("ddpg")
  g = {key.removeprefix(f"{prefix}.reward_scale_1."): value for key, value in g.items()}
  action = jnp.zeros((8, 3))

  def loss(action):
    return jax.vmap(losses.deterministic_policy_gradient_loss, in_axes=(0, 0, None))(action, g["dqda"], clipping)

  np.testing.assert_allclose(loss(action), g["policy_loss_per_sample"], rtol=1e-5, atol=1e-6)
  gradient = jax.grad(lambda action: jnp.sum(loss(action)))(action)
  np.testing.assert_allclose(gradient, -g["dqda_clipped"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
  "call",
  [
    lambda: losses.categorical_td_loss(ATOMS, jnp.zeros((2, 3)), jnp.zeros(()), jnp.zeros(()), UNIFORM),
    lambda: losses.categorical_td_loss(ATOMS, jnp.zeros(4), jnp.zeros(()), jnp.zeros(()), UNIFORM),
    lambda: losses.outside(ATOMS, jnp.zeros(2), jnp.zeros(()), UNIFORM),
    lambda: losses.deterministic_policy_gradient_loss(jnp.zeros((2, 3)), jnp.zeros((2, 3)), 1.0),
  ],
)
def test_batches_without_vmap_are_refused(call):
  with pytest.raises(AssertionError):
    call()
