"""Networks against hand-computed values, shapes and starting scales."""

import math

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from acme import specs
from acme_tf import networks, variables

VECTOR = specs.Array((3,), np.float32)
IMAGE = specs.BoundedArray((84, 84, 4), np.uint8, 0, 255)
NESTED = {"a": specs.BoundedArray((2,), np.float32, [-1, 0], [1, 4]), "b": specs.BoundedArray((), np.float32, -2, 0)}


def make_spec(observations=VECTOR, actions=NESTED):
  scalar = specs.Array((), np.float32)
  return specs.EnvironmentSpec(observations, actions, scalar, scalar)


@pytest.mark.parametrize(
  ("spec", "size"),
  [
    (VECTOR, 3),
    (specs.Array((), np.float32), 1),
    (specs.DiscreteArray(5), 5),
    (specs.BoundedArray((4, 2), np.uint8, 0, 255), 8),
    ((VECTOR, {"x": specs.Array((2, 2), np.float64)}), 7),
    (IMAGE, 7 * 7 * 64),
    ((IMAGE, VECTOR, IMAGE), 2 * 7 * 7 * 64 + 3),
  ],
)
def test_torso_gives_features_of_any_nest(spec, size):
  inputs = networks.zeros(spec, batch=2)
  torso = variables.create(lambda: networks.ObservationTorso(spec), inputs)
  features = torso(inputs)
  assert features.shape == (2, size)
  assert features.dtype == tf.float32


def test_flatten_scales_bytes_and_makes_discrete_leaves_one_hot():
  spec = (specs.BoundedArray((2,), np.uint8, 0, 255), specs.DiscreteArray(3))
  features = networks.flatten(spec, (np.array([[0, 255]], np.uint8), np.array([2], np.int32)))
  np.testing.assert_array_equal(features, [[0, 1, 0, 0, 1]])


def test_layer_norm_mlp_is_linear_norm_tanh_then_elu():
  x = np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32)
  network = variables.create(lambda: networks.LayerNormMLP([4, 5]), x, seed=1)
  values = variables.values(network.variables)
  assert list(values) == [f"layer_norm_mlp/{name}" for name in (
    "linear_0/b", "linear_0/w", "linear_1/b", "linear_1/w", "layer_norm/offset", "layer_norm/scale")]  # fmt: skip
  for i, fan_out in enumerate((4, 5)):
    weights = values[f"layer_norm_mlp/linear_{i}/w"]
    assert np.abs(weights).max() <= math.sqrt(3 * 0.333 / fan_out)
  h = x @ values["layer_norm_mlp/linear_0/w"]
  h = np.tanh((h - h.mean(-1, keepdims=True)) / np.sqrt(h.var(-1, keepdims=True) + 1e-5))
  h = h @ values["layer_norm_mlp/linear_1/w"]
  np.testing.assert_allclose(network(x), np.where(h > 0, h, np.expm1(h)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("num_outputs", [1, 3])
def test_dueling_head_adds_value_to_centred_advantage(num_outputs):
  x = np.ones((2, 4), np.float32)
  head = variables.create(lambda: networks.DuelingHead(5, [6], num_outputs), x)
  q = head(x).numpy()
  assert q.shape == (2, 5, num_outputs)
  np.testing.assert_allclose(q.mean(axis=1), head._value(x), atol=1e-6)
  assert q.std(axis=1).min() > 0


def test_tanh_to_spec_stays_within_the_bounds_of_a_nest():
  head = networks.TanhToSpec(NESTED)
  assert networks.action_size(NESTED) == 3
  for x, a, b in ((-100, [-1, 0], -2), (0, [0, 2], -1), (100, [1, 4], 0)):
    action = head(tf.fill((1, 3), float(x)))
    np.testing.assert_allclose(action["a"], [a])
    np.testing.assert_allclose(action["b"], [b])


def test_tanh_to_spec_rounds_to_within_the_bounds():
  spec = specs.BoundedArray((1,), np.float32, -3.3, 0.7)
  for x in (-100.0, 100.0):
    spec.validate(networks.TanhToSpec(spec)(tf.fill((1, 1), x)).numpy()[0])


@pytest.mark.parametrize("dtype", [np.int32, np.int16, np.uint16, np.uint32])
def test_discrete_observations_of_any_integers_become_one_hot(dtype):
  torso = networks.ObservationTorso(specs.DiscreteArray(3, dtype))
  np.testing.assert_array_equal(torso(tf.constant([2, 0], dtype)), [[0, 0, 1], [1, 0, 0]])


def test_critic_sees_observation_and_action():
  spec = make_spec()
  inputs = networks.zeros(spec.observations, 2), networks.zeros(spec.actions, 2)

  def make():
    return networks.CriticMultiplexer(
      spec, snt.Sequential([networks.LayerNormMLP([8]), networks.DiscreteValuedHead(-1, 3, 5)])
    )

  critic = variables.create(make, *inputs)
  distribution = critic(*inputs)
  np.testing.assert_array_equal(distribution.values, [-1, 0, 1, 2, 3])
  assert distribution.logits.shape == (2, 5)
  assert distribution.mean().shape == (2,)
  changed = {**inputs[1], "b": np.ones(2, np.float32)}
  assert not np.allclose(critic(inputs[0], changed).logits, distribution.logits)


def test_discrete_valued_mean_by_hand():
  distribution = networks.DiscreteValued(tf.constant([-1.0, 0, 2]), tf.math.log([[0.5, 0.25, 0.25]]))
  np.testing.assert_allclose(distribution.mean(), [0.0], atol=1e-7)
  with pytest.raises(ValueError, match="vmin below vmax"):
    networks.DiscreteValuedHead(1, 1)


def test_gaussian_head_starts_at_its_scale_and_never_below_the_minimum():
  x = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)
  head = variables.create(lambda: networks.GaussianHead(3), x)
  policy = head(x)
  np.testing.assert_allclose(policy.scale, 0.7, atol=0.02)
  np.testing.assert_allclose(policy.mean(), 0, atol=0.05)
  head._scale.b.assign([-1e3] * 3)
  np.testing.assert_allclose(head(x).scale, 1e-6)


def test_gaussian_by_hand():
  p = networks.Gaussian(tf.constant([[0.0, 1.0]]), tf.constant([[1.0, 2.0]]))
  q = networks.Gaussian(tf.constant([[1.0, 1.0]]), tf.constant([[1.0, 1.0]]))
  np.testing.assert_allclose(p.log_prob(tf.constant([[0.0, 1.0]])), [-math.log(2 * math.pi) - math.log(2)], rtol=1e-6)
  np.testing.assert_allclose(p.kl_per_dimension(q), [[0.5, 0.5 * (4 - 1 - math.log(4))]], rtol=1e-6)
  draws = p.sample(np.array([1, 2]), 20_000)
  assert draws.shape == (20_000, 1, 2)
  np.testing.assert_allclose(tf.math.reduce_std(draws, axis=0), [[1, 2]], rtol=0.03)
  np.testing.assert_array_equal(draws, p.sample(np.array([1, 2]), 20_000))


def test_near_zero_linear():
  x = np.ones((2, 64), np.float32)
  assert np.abs(variables.create(lambda: networks.near_zero_linear(3), x)(x)).max() < 0.05


def test_check_output_names_what_came():
  spec = make_spec()
  networks.check_output(lambda: snt.nets.MLP([4]), spec, (4,), "Q-values [A]")
  with pytest.raises(ValueError, match=r"Q-values \[A\], shape \(2, 4\).*\(2, 3\)"):
    networks.check_output(lambda: snt.nets.MLP([3]), spec, (4,), "Q-values [A]")
