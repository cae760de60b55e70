"""R2D2's equations by hand, against rlax, the reference numbers of golden/ (see its README), and loops in float64."""

import pathlib

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from acme import replay, specs, types
from acme_r2d2 import R2D2Config
from acme_r2d2.jax import learning, losses, networks

EPSILON = 1e-3


@pytest.fixture(scope="module")
def g():
  path = pathlib.Path(__file__).parent / "golden" / "r2d2.npz"
  values = np.load(path, allow_pickle=False)
  return {key: jnp.asarray(value, jnp.float32 if value.dtype == np.float64 else None) for key, value in values.items()}


def errors(g, q, n):
  steps = (g[f"{name}_after_burn_in"] for name in ("action", "reward", "discount"))  # [T + 1, B]
  action, reward, discount = steps
  axes = (*6 * (1,), None, None)
  return jax.vmap(losses.td_errors, axes, 1)(
    q, action, reward, g["gamma"] * discount, jnp.ones_like(reward), g["target_q"], n, EPSILON
  )  # [T, B]


@pytest.mark.parametrize(("n", "key"), [(5, "td_error"), (1, "td_error_n1"), (3, "td_error_n3"), (20, "td_error_n20")])
def test_td_errors_against_golden(g, n, key):
  np.testing.assert_allclose(errors(g, g["online_q"], n), g[key], rtol=1e-4, atol=1e-4)  # The reference's own digits.


def test_priorities_against_golden(g):
  td_error = g["td_error"].T
  priority = jax.vmap(losses.priority, (0, 0, None))(td_error, jnp.ones_like(td_error), 0.9)
  np.testing.assert_allclose(priority, g["priority"], rtol=1e-5)


def test_gradient_against_golden(g):
  def loss(q):
    return jnp.mean(g["importance_weight"] * jnp.sum(0.5 * errors(g, q, 5) ** 2, axis=0))

  value, gradient = jax.value_and_grad(loss)(g["online_q"])
  np.testing.assert_allclose(value, g["loss"], rtol=1e-4)
  np.testing.assert_allclose(gradient, g["grad_online_q"], rtol=1e-4, atol=1e-4)


class LinearCore(hk.RNNCore):
  """s_t = s_{t−1} W + x_t."""

  def __call__(self, inputs, state):
    state = inputs + hk.Linear(4, with_bias=False, name="recurrent")(state)
    return state, state

  def initial_state(self, batch_size):
    return jnp.zeros((batch_size, 4))


def linear_network():
  inner = hk.Linear(4, with_bias=False, name="input")
  return (lambda observation, action, reward: inner(observation)), LinearCore(), hk.Linear(4, name="output")


def test_whole_loss_against_golden(g):
  """Stored state, both burn-ins, weights and gradients that stop at the burn-in."""
  scalar = specs.Array((), np.float32)
  spec = specs.EnvironmentSpec(specs.Array((3,), np.float32), specs.DiscreteArray(4, np.int32), scalar, scalar)
  config = R2D2Config(discount=float(g["gamma"]), burn_in_length=3, trace_length=8)
  nets = networks.make_networks(spec, config, linear_network)

  def params_of(net):
    return {
      "input": {"w": g[f"{net}_input_weights"]},
      "linear_core/recurrent": {"w": g[f"{net}_recurrent_weights"]},
      "output": {"w": g[f"{net}_output_weights"], "b": g[f"{net}_output_bias"]},
    }

  ones = jnp.ones_like(g["reward"])
  sequences = types.Sequence(
    g["observation"], g["action"], g["reward"], g["discount"], ones < 0, ones, (), ones,
    previous_action=g["action"], previous_reward=ones, core=g["initial_core_state"],
  )  # fmt: skip
  gradient = jax.value_and_grad(learning.make_loss(nets, config), has_aux=True)
  online, target = params_of("online"), params_of("target")
  assert jax.tree.structure(online) == jax.tree.structure(nets.init(jax.random.PRNGKey(0)))
  (loss, result), gradients = gradient(online, target, sequences, g["importance_weight"])
  np.testing.assert_allclose(loss, g["loss"], rtol=1e-4)
  np.testing.assert_allclose(result.priority, g["priority"], rtol=1e-4)
  leaves = {
    "input_weights": gradients["input"]["w"],
    "recurrent_weights": gradients["linear_core/recurrent"]["w"],
    "output_weights": gradients["output"]["w"],
    "output_bias": gradients["output"]["b"],
  }
  for name, leaf in leaves.items():
    expected = g[f"grad_online_{name}_burn_in_stopped"]
    np.testing.assert_allclose(leaf, expected, rtol=0, atol=1e-4 * np.max(np.abs(expected)), err_msg=name)
  sample = replay.Sample(sequences, (), g["probability"], ())
  state = learning.make_state(nets, config, jax.random.PRNGKey(0))._replace(params=online, target_params=target)
  _, _, metrics = learning.make_update(nets, config)(state, sample)
  np.testing.assert_allclose(metrics["loss"], g["loss"], rtol=1e-4)  # Their 1e-6 beside probabilities is no more.


T, A = 9, 3
RNG = np.random.default_rng(0)
Q, TARGET_Q = RNG.normal(size=(2, T + 1, A)) * 5
ACTION = RNG.integers(A, size=T + 1)
REWARD = RNG.normal(size=T + 1) * 10
DISCOUNT = RNG.choice([0, 0.5, 0.99], size=T + 1, p=[0.1, 0.3, 0.6])


@pytest.mark.parametrize("n", [1, 3, 20])
def test_td_errors_are_those_of_rlax(n):
  ours = losses.td_errors(*single(Q, ACTION, REWARD, DISCOUNT, np.ones(T + 1), TARGET_Q), n, EPSILON)
  q, action, reward, discount, _, target_q = single(Q, ACTION, REWARD, DISCOUNT, np.ones(T + 1), TARGET_Q)
  theirs = rlax.transformed_n_step_q_learning(
    q[:-1], action[:-1], target_q[1:], jnp.argmax(q[1:], axis=-1), reward[:-1], discount[:-1], n,
    tx_pair=rlax.SIGNED_HYPERBOLIC_PAIR,
  )  # fmt: skip
  np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)  # Its inverse transform loses digits.


def single(*arrays):
  return [jnp.asarray(x, jnp.int32 if x.dtype == np.int64 else jnp.float32) for x in arrays]


def h(x):
  return np.sign(x) * (np.sqrt(np.abs(x) + 1) - 1) + EPSILON * x


def h_inverse(x):
  return np.sign(x) * (((np.sqrt(1 + 4 * EPSILON * (np.abs(x) + 1 + EPSILON)) - 1) / (2 * EPSILON)) ** 2 - 1)


def loop(q, action, reward, discount, acted, target_q, n):
  """δ [T], a step at a time, in float64."""
  result = np.zeros(len(q) - 1)
  for t in range(len(q) - 1):
    if not acted[t]:
      continue
    end = t + 1
    while end < min(t + n, len(q) - 1) and acted[end]:
      end += 1
    value = h_inverse(target_q[end][np.argmax(q[end])])
    for k in reversed(range(t, end)):
      value = reward[k] + discount[k] * value
    result[t] = h(value) - q[t][action[t]]
  return result


@pytest.mark.parametrize("n", [1, 2, 5, 20])
@pytest.mark.parametrize("not_acted", [[], [3], [0], [9], [4, 5, 6, 7, 8, 9]], ids=str)
def test_td_errors_against_a_loop(n, not_acted):
  acted = np.ones(T + 1)
  acted[not_acted] = 0
  inputs = Q, ACTION, REWARD, DISCOUNT, acted, TARGET_Q
  ours = losses.td_errors(*single(*inputs), n, EPSILON)
  np.testing.assert_allclose(ours, loop(*inputs, n), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
  ("td_error", "acted", "expected"),
  [
    ([1.0, -3.0, 0.5], [1, 1, 1], 0.9 * 3 + 0.1 * 1.5),
    ([1.0, -3.0, 0.5], [1, 0, 1], 0.9 * 1 + 0.1 * 0.75),  # What was not acted at counts in neither.
    ([1.0, -3.0, 0.5], [0, 0, 0], 0.0),
  ],
)
def test_priority_by_hand(td_error, acted, expected):
  np.testing.assert_allclose(losses.priority(jnp.array(td_error), jnp.array(acted, jnp.float32), 0.9), expected)


def test_no_gradient_flows_through_the_target():
  inputs = single(Q, ACTION, REWARD, DISCOUNT, np.ones(T + 1), TARGET_Q)

  def total(q, target_q):
    return jnp.sum(losses.td_errors(q, *inputs[1:5], target_q, 3, EPSILON))

  by_q, by_target = jax.grad(total, argnums=(0, 1))(inputs[0], inputs[5])
  chosen = np.zeros((T + 1, A))
  chosen[np.arange(T), ACTION[:-1]] = -1
  np.testing.assert_array_equal(by_q, chosen)
  np.testing.assert_array_equal(by_target, 0)


@pytest.mark.parametrize("wrong", [lambda x: x[None], lambda x: x[:-1]])
def test_wrong_shapes_are_refused(wrong):
  inputs = single(Q, ACTION, REWARD, DISCOUNT, np.ones(T + 1), TARGET_Q)
  with pytest.raises(AssertionError):
    losses.td_errors(*inputs[:2], wrong(inputs[2]), *inputs[3:], 3, EPSILON)
  with pytest.raises(AssertionError):
    losses.priority(wrong(inputs[2]), inputs[3], 0.9)
