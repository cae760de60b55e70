"""Losses against tables worked by hand and an independent numpy version, element by element."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_dqn.jax import losses

RNG = np.random.default_rng(0)
ATOMS = np.array([-1.0, 0.0, 1.0], np.float32)
MUNCHAUSEN = losses.Munchausen(alpha=0.9, temperature=0.5, clip=-1.0)


def huber(x, delta):
  return 0.5 * x * x if abs(x) <= delta else delta * (abs(x) - 0.5 * delta)


def softmax(x):
  e = np.exp(x - np.max(x, axis=-1, keepdims=True))
  return e / e.sum(axis=-1, keepdims=True)


def project(support, probabilities, atoms):
  """Algorithm 1 of 1707.06887, one atom at a time."""
  out = np.zeros(len(atoms))
  step = atoms[1] - atoms[0]
  for z, p in zip(support, probabilities, strict=True):
    b = (np.clip(z, atoms[0], atoms[-1]) - atoms[0]) / step
    low, high = int(np.floor(b)), int(np.ceil(b))
    if low == high:
      out[low] += p
    else:
      out[low] += p * (high - b)
      out[high] += p * (b - low)
  return out


def quantile_huber(quantiles, target, delta):
  k, total = len(quantiles), 0.0
  for i, theta in enumerate(quantiles):
    for y in target:
      u = y - theta
      total += abs((i + 0.5) / k - (u < 0)) * huber(u, delta) / len(target)
  return total


def soft(q, tau):
  policy = softmax(q / tau)
  return policy, -tau * np.log(policy)


def bonus(q, a, constants):
  tau = constants.temperature
  return constants.alpha * np.clip(tau * np.log(softmax(q / tau)[a]), constants.clip, 0)


def f32(*arrays):
  """Arguments of a loss: all floats, but for the action."""
  return [jnp.asarray(a, jnp.int32 if isinstance(a, Action) else jnp.float32) for a in arrays]


class Action(int):
  """An action's index, to tell it from a number."""


def check(loss, expected_loss, expected_priority):
  np.testing.assert_allclose(loss.loss, expected_loss, rtol=1e-4, atol=1e-6)
  np.testing.assert_allclose(loss.priority, expected_priority, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
  ("r", "d", "value", "selector", "loss", "priority"),
  [
    # q_tm1 = (1, 2), a_tm1 = 1.
    (1.0, 0.5, [4, 6], [9, 0], 0.5, 1.0),  # target 1 + .5·4 = 3: the selector's action, not the value's best
    (1.0, 0.5, [4, 6], [0, 9], 1.5, 2.0),  # target 4: linear beyond δ = 1, 1·(2 − ½)
    (1.5, 0.0, [4, 6], [9, 0], 0.125, 0.5),  # a termination: the reward alone
    (2.0, 0.9, [0, 0], [0, 0], 0.0, 0.0),
  ],
)
def test_q_learning_table(r, d, value, selector, loss, priority):
  check(losses.q_learning(*f32([1, 2], Action(1), r, d, value, selector), delta=1.0), loss, priority)


def test_huber_delta():
  check(losses.q_learning(*f32([1, 2], Action(1), 1, 0.5, [4, 6], [0, 9]), delta=0.5), 0.5 * (2 - 0.25), 2)


@pytest.mark.parametrize(
  ("r", "d", "target"),
  [
    # All mass of the chosen action is on the atom 1.
    (0.0, 0.0, [0, 1, 0]),
    (0.25, 0.5, [0, 0.25, 0.75]),  # .25 + .5·1 = .75
    (5.0, 1.0, [0, 0, 1]),  # clipped to vmax
    (-0.5, 0.0, [0.5, 0.5, 0]),
  ],
)
def test_categorical_table(r, d, target):
  logits_t = [[0, 0, 0], [-50, -50, 50]]
  logits_tm1 = np.log([[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]])
  target = np.array(target)
  entropy = -sum(p * np.log(p) for p in target if p > 0)
  loss = -np.sum(target * logits_tm1[0])
  result = losses.categorical_q_learning(*f32(ATOMS, logits_tm1, Action(0), r, d, logits_t, [0, 1]))
  check(result, loss, loss - entropy)


def test_quantile_table():
  # θ = (0, 2), targets 1 + .5·(0, 4) = (1, 3), κ = 1, τ = (¼, ¾).
  # u: θ_0: 1, 3 -> ¼·(.5, 2.5); θ_1: −1, 1 -> (¼·.5, ¾·.5). Mean over targets, sum over θ: .375 + .25.
  result = losses.quantile_q_learning(*f32([[0, 2], [9, 9]], Action(0), 1, 0.5, [[7, 7], [0, 4]], [0, 1]), delta=1.0)
  check(result, 0.625, 1.0)  # means: 2 − 1


def test_quantile_discounts():
  """γ is not lost, as it is in a published implementation."""
  a = losses.quantile_q_learning(*f32([[0, 0]], Action(0), 0, 0.5, [[4, 4]], [0]), delta=1.0)
  b = losses.quantile_q_learning(*f32([[0, 0]], Action(0), 0, 1.0, [[2, 2]], [0]), delta=1.0)
  check(a, b.loss, b.priority)


def test_munchausen_of_two_equal_actions():
  # π = (½, ½): τ log π = −.5·log 2 = −.3466; bonus .9·that = −.3119; entropy +.3466.
  # target 1 − .3119 + .5·(2 + .3466) = 1.8614, δ = 1.8614 − 1 = .8614.
  result = losses.munchausen_q_learning(
    *f32([1, 0], Action(0), 1, 0.5, [3, 3], [2, 2]), delta=1.0, constants=MUNCHAUSEN
  )
  check(result, 0.5 * 0.86136**2, 0.86136)


def test_munchausen_clips_the_log_policy():
  # π(a) ≈ e^(−20): τ log π = −10, clipped to −1: bonus −.9. Target 0 − .9 + 0.
  result = losses.munchausen_q_learning(*f32([0, 0], Action(0), 0, 0, [0, 10], [0, 0]), delta=1.0, constants=MUNCHAUSEN)
  check(result, 0.5 * 0.81, 0.9)


@pytest.mark.parametrize("case", range(5))
def test_against_numpy(case):
  rng = np.random.default_rng(case)
  num_actions, k, a = 3, 5, Action(rng.integers(3))
  r, d, delta = rng.normal(), rng.uniform(), rng.uniform(0.2, 2)
  q_tm1, value_tm1, value_t, selector = rng.normal(size=(4, num_actions))
  atoms = np.linspace(-2, 2, k)
  out_tm1, out_value_tm1, out_t = rng.normal(size=(3, num_actions, k))
  best = int(np.argmax(selector))

  td = r + d * value_t[best] - q_tm1[a]
  check(losses.q_learning(*f32(q_tm1, a, r, d, value_t, selector), delta=delta), huber(td, delta), abs(td))

  policy, entropy = soft(value_t, 0.5)
  td = r + bonus(value_tm1, a, MUNCHAUSEN) + d * np.sum(policy * (value_t + entropy)) - q_tm1[a]
  result = losses.munchausen_q_learning(*f32(q_tm1, a, r, d, value_tm1, value_t), delta=delta, constants=MUNCHAUSEN)
  check(result, huber(td, delta), abs(td))

  # Distributions: quantiles.
  target = r + d * out_t[best]
  result = losses.quantile_q_learning(*f32(out_tm1, a, r, d, out_t, selector), delta=delta)
  check(result, quantile_huber(out_tm1[a], target, delta), abs(target.mean() - out_tm1[a].mean()))

  policy, entropy = soft(out_t.mean(axis=1), 0.5)
  extra = bonus(out_value_tm1.mean(axis=1), a, MUNCHAUSEN)
  target = r + extra + d * sum(policy[b] * (out_t[b] + entropy[b]) for b in range(num_actions))
  result = losses.munchausen_quantile_q_learning(
    *f32(out_tm1, a, r, d, out_value_tm1, out_t), delta=delta, constants=MUNCHAUSEN
  )
  check(result, quantile_huber(out_tm1[a], target, delta), abs(target.mean() - out_tm1[a].mean()))

  # Categorical.
  log_p = np.log(softmax(out_tm1[a]))
  target = project(r + d * atoms, softmax(out_t[best]), atoms)
  loss = -np.sum(target * log_p)
  kl = loss + np.sum(target * np.log(np.where(target > 0, target, 1)))
  check(losses.categorical_q_learning(*f32(atoms, out_tm1, a, r, d, out_t, selector)), loss, kl)

  policy, entropy = soft(softmax(out_t) @ atoms, 0.5)
  extra = bonus(softmax(out_value_tm1) @ atoms, a, MUNCHAUSEN)
  target = sum(
    policy[b] * project(r + extra + d * (atoms + entropy[b]), softmax(out_t[b]), atoms) for b in range(num_actions)
  )
  loss = -np.sum(target * log_p)
  kl = loss + np.sum(target * np.log(np.where(target > 0, target, 1)))
  result = losses.munchausen_categorical_q_learning(
    *f32(atoms, out_tm1, a, r, d, out_value_tm1, out_t), constants=MUNCHAUSEN
  )
  check(result, loss, kl)


def test_munchausen_means_agree_across_representations():
  """Where no return is clipped, C51's and the quantiles' targets have the mean of M-DQN's."""
  logits_t = RNG.normal(size=(2, 41))
  atoms = np.linspace(-20, 20, 41)
  narrow = np.where(np.abs(atoms) < 5, logits_t, -1e3)
  q_t = softmax(narrow) @ atoms
  policy, entropy = soft(q_t, 0.5)
  support = 0.3 + 0.9 * (atoms + entropy[:, None])
  mixture = sum(policy[b] * project(support[b], softmax(narrow)[b], atoms) for b in range(2))
  assert mixture @ atoms == pytest.approx(0.3 + 0.9 * np.sum(policy * (q_t + entropy)))


@pytest.mark.parametrize("name", ["q", "munchausen"])
def test_gradient_is_that_of_the_chosen_action_only_and_not_of_targets(name):
  def loss(q_tm1, q_tm1_value, q_t):
    if name == "q":
      return losses.q_learning(q_tm1, jnp.int32(1), 1.0, 0.9, q_t, q_t, 1.0).loss
    return losses.munchausen_q_learning(q_tm1, jnp.int32(1), 1.0, 0.9, q_tm1_value, q_t, 1.0, MUNCHAUSEN).loss

  q = jnp.array([0.1, 0.2])
  of_q, of_value, of_t = jax.grad(loss, argnums=(0, 1, 2))(q, q, q)
  assert of_q[0] == 0
  assert of_q[1] != 0
  assert not np.any(of_value)
  assert not np.any(of_t)


SUPPORT = jnp.asarray(ATOMS)
ACTION = jnp.int32(0)
SELECTOR = jnp.array([0.0, 1.0])


@pytest.mark.parametrize(
  "target_of",
  [
    lambda out, t: losses.categorical_q_learning(SUPPORT, out, ACTION, 0.1, 0.9, t, SELECTOR).loss,
    lambda out, t: losses.quantile_q_learning(out, ACTION, 0.1, 0.9, t, SELECTOR, 1.0).loss,
    lambda out, t: losses.munchausen_quantile_q_learning(out, ACTION, 0.1, 0.9, t, t, 1.0, MUNCHAUSEN).loss,
    lambda out, t: losses.munchausen_categorical_q_learning(SUPPORT, out, ACTION, 0.1, 0.9, t, t, MUNCHAUSEN).loss,
  ],
)
def test_distributional_targets_pass_no_gradient(target_of):
  out, t = jax.random.normal(jax.random.PRNGKey(0), (2, 2, 3))
  of_out, of_t = jax.grad(lambda out, t: target_of(out, t), argnums=(0, 1))(out, t)
  assert np.any(of_out[0])
  assert not np.any(of_out[1])
  assert not np.any(of_t)


Q, OUT = jnp.zeros(2), jnp.zeros((2, 3))


@pytest.mark.parametrize(
  "loss",
  [
    lambda a, r, q, out: losses.q_learning(Q, a, r, 0.9, q, Q, 1.0),
    lambda a, r, q, out: losses.categorical_q_learning(SUPPORT, OUT, a, r, 0.9, out, q),
    lambda a, r, q, out: losses.quantile_q_learning(OUT, a, r, 0.9, out, q, 1.0),
    lambda a, r, q, out: losses.munchausen_q_learning(Q, a, r, 0.9, Q, q, 1.0, MUNCHAUSEN),
    lambda a, r, q, out: losses.munchausen_categorical_q_learning(SUPPORT, OUT, a, r, 0.9, OUT, out, MUNCHAUSEN),
    lambda a, r, q, out: losses.munchausen_quantile_q_learning(OUT, a, r, 0.9, OUT, out, 1.0, MUNCHAUSEN),
  ],
)
def test_other_shapes_than_it_says_are_refused(loss):
  """Most would broadcast, and be learned from."""
  good = (ACTION, 0.1, Q, OUT)
  loss(*good)
  for bad in (
    (jnp.zeros(2, int), *good[1:]),
    (ACTION, jnp.zeros(1), Q, OUT),
    (ACTION, 0.1, jnp.zeros(3), jnp.zeros((2, 1))),
    (ACTION, 0.1, jnp.zeros((1, 2)), jnp.zeros(3)),
  ):
    with pytest.raises(AssertionError):
      loss(*bad)
