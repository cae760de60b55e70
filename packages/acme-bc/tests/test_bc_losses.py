"""Losses against the reference numbers of golden/, and by hand; weights by how rare an action is."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme import replay, types
from acme_bc import balance
from acme_bc.jax import losses
from acme_jax import distributions

GOLDEN = dict(np.load(pathlib.Path(__file__).parent / "golden" / "bc.npz", allow_pickle=False))


def f32(name):
  return jnp.asarray(GOLDEN[name], jnp.float32)


def close(one, other):
  np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5 * np.max(np.abs(other)))


def test_cross_entropy_and_its_gradients_against_golden():
  def loss(weights, bias):
    logits = f32("discrete.observation") @ weights + bias
    return jnp.mean(jax.vmap(losses.cross_entropy)(distributions.Categorical(logits), GOLDEN["discrete.action"]))

  value, gradients = jax.value_and_grad(loss, argnums=(0, 1))(f32("discrete.weights"), f32("discrete.bias"))
  close(value, GOLDEN["discrete.loss"])
  for gradient, name in zip(gradients, ("weights", "bias"), strict=True):
    close(gradient, GOLDEN[f"discrete.grad_{name}"])


@pytest.mark.parametrize(("name", "kind"), [("gaussian", distributions.DiagonalGaussian),
                                            ("tanh_gaussian", distributions.TanhGaussian)])  # fmt: skip
def test_log_probabilities_against_golden(name, kind):
  """Of squashed ones the rows where the reference has the plain density."""
  rows = GOLDEN["tanh_gaussian.inside_threshold"] if name == "tanh_gaussian" else np.ones(8, bool)
  mean, stddev, action = (f32(f"{name}.{key}") for key in ("mean", "stddev", "action"))
  each = jax.vmap(losses.negative_log_prob)(kind(mean, stddev), action)
  close(each[rows], -GOLDEN[f"{name}.log_prob"][rows])
  if name == "gaussian":
    close(jnp.mean(each), GOLDEN["gaussian.loss"])
  gradients = jax.grad(lambda *policy: jnp.mean(jax.vmap(losses.negative_log_prob)(kind(*policy), action)), (0, 1))
  for gradient, key in zip(gradients(mean, stddev), ("mean", "stddev"), strict=True):
    close(gradient[rows], GOLDEN[f"{name}.grad_{key}"][rows])


def test_squared_error_against_golden():
  def loss(mean):
    return jnp.mean(jax.vmap(losses.squared_error)(mean, f32("gaussian.action")))

  value, gradient = jax.value_and_grad(loss)(f32("gaussian.mean"))
  close(value, GOLDEN["gaussian.mse_of_mode"])
  close(gradient, GOLDEN["gaussian.grad_mean_of_mse"])


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_label_smoothing_is_the_cross_entropy_with_smoothed_targets(smoothing):
  logits = np.array([0.3, -1.0, 2.0, 0.0])
  log_probs = logits - np.log(np.sum(np.exp(logits)))
  targets = (1 - smoothing) * np.eye(4)[1] + smoothing / 4
  found = losses.cross_entropy(distributions.Categorical(jnp.array(logits, jnp.float32)), jnp.int32(1), smoothing)
  np.testing.assert_allclose(found, -np.sum(targets * log_probs), rtol=1e-5)


def test_wrong_shapes_are_refused():
  with pytest.raises(AssertionError):
    losses.cross_entropy(distributions.Categorical(jnp.zeros((2, 3))), jnp.zeros(2, jnp.int32))
  with pytest.raises(AssertionError):
    losses.squared_error(jnp.zeros(3), jnp.zeros(2))
  with pytest.raises(AssertionError):
    losses.negative_log_prob(distributions.DiagonalGaussian(jnp.zeros(3), jnp.ones(3)), jnp.zeros(2))


def test_class_weights():
  batches = [types.Transition(0, np.array(actions), 0, 0, 0) for actions in ([0, 0, 0, 2], [0, 2])]
  weights = balance.class_weights([replay.Sample(data, (), (), 0) for data in batches], 4)
  np.testing.assert_allclose(weights, [6 / (2 * 4), 1, 6 / (2 * 2), 1])  # The mean over what was done is 1.
  np.testing.assert_array_equal(balance.class_weights([], 2), [1, 1])


def test_class_weights_leave_out_where_nothing_was_done():
  data = types.Sequence(0, np.array([[1, 0, 0]]), 0, 0, 0, np.array([[1, 1, 0]]), acted=np.array([[1, 0, 0]]))
  np.testing.assert_allclose(balance.class_weights([replay.Sample(data, (), (), 0)], 2), [1, 1])
