"""Networks against hand-computed values, shapes and starting scales."""

import functools
import math

import dm_env
import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from acme import specs
from acme_tf import control, networks, variables

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


# h and w are of 36 or more, c and s are not.
LAYOUTS = {
  "hw": (40, 50),
  "hwc": (40, 50, 3),
  "chw": (3, 40, 50),
  "shwc": (2, 40, 50, 3),
  "schw": (2, 3, 40, 50),
  "hwcs": (40, 50, 3, 2),
}


@pytest.mark.parametrize(("layout", "shape"), LAYOUTS.items())
def test_images_in_any_layout_become_channels_last(layout, shape):
  spec = specs.BoundedArray(shape, np.uint8, 0, 255)
  assert networks.is_image(spec)
  image = np.random.default_rng(0).integers(256, size=(2, *shape)).astype(np.uint8)
  channels = layout.replace("h", "").replace("w", "")
  expected = np.einsum(f"b{layout}->bhw{channels}", image).reshape(2, 40, 50, -1)
  np.testing.assert_array_equal(networks.channels_last(spec, tf.constant(image)), expected)


def test_channel_first_stacks_have_the_features_of_channels_last():
  """Gymnasium stacks Atari frames as [4, 84, 84]: flattened, that were 28,224 inputs."""
  last, first = (specs.BoundedArray(shape, np.uint8, 0, 255) for shape in ((84, 84, 4), (4, 84, 84)))
  image = np.random.default_rng(0).integers(256, size=(2, 84, 84, 4)).astype(np.uint8)
  torso = variables.create(lambda: networks.ObservationTorso(last), image, seed=1)
  same = variables.create(lambda: networks.ObservationTorso(first), np.moveaxis(image, -1, 1), seed=1)
  np.testing.assert_array_equal(same(np.moveaxis(image, -1, 1)), torso(image))


@pytest.mark.parametrize("shape", [(84, 84, 84), (84, 4, 84), (4, 40, 40, 40)])
def test_images_whose_height_is_unknown_are_refused(shape):
  with pytest.raises(ValueError, match=r"'camera' of uint8 \[.*two neighbouring axes of 36 or more"):
    networks.is_image(specs.Array(shape, np.uint8, "camera"))
  assert not networks.is_image(specs.Array(shape, np.float32))


def test_observations_without_numbers_are_refused():
  text = {"mission": dm_env.specs.StringArray(()), "view": specs.Array((3,), np.float32)}
  with pytest.raises(ValueError, match=r"Expected arrays of numbers, got .*StringArray.*: wrap the environment"):
    networks.zeros(text)
  for call in (lambda: networks.flatten({}, {}), lambda: networks.ObservationTorso({})({})):
    with pytest.raises(ValueError, match="Expected observations of one array or more, got {}"):
      call()


@pytest.mark.parametrize("shape", [(128,), (35, 84, 3), (84, 16, 3), (4, 16, 84), (35, 35), ()])
def test_small_images_stay_flat(shape):
  assert not networks.is_image(specs.Array(shape, np.uint8))


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


@pytest.mark.parametrize("dtype", [np.int32, np.int16, np.uint16, np.uint32])
def test_discrete_observations_of_any_integers_become_one_hot(dtype):
  torso = networks.ObservationTorso(specs.DiscreteArray(3, dtype))
  np.testing.assert_array_equal(torso(tf.constant([2, 0], dtype)), [[0, 0, 1], [1, 0, 0]])


def test_policy_and_critic_of_observations_and_actions():
  inputs = networks.zeros(VECTOR, 2)
  policy = variables.create(lambda: control.DeterministicPolicy(VECTOR, 3, [8]), inputs)
  action = policy(inputs + 1)
  assert action.shape == (2, 3) and np.abs(action).max() < 0.1  # None begins saturated.
  critic = variables.create(lambda: control.Critic(VECTOR, 5, [8]), inputs, action)
  assert critic(inputs, action).shape == (2, 5)
  assert not np.allclose(critic(inputs, action), critic(inputs, action + 1))
  assert not np.allclose(critic(inputs, action), critic(inputs + 1, action))


def test_check_networks_holds_a_pair_to_its_outputs():
  spec = make_spec()
  policy, critic = (
    functools.partial(control.DeterministicPolicy, VECTOR, 3, [8]),
    functools.partial(control.Critic, VECTOR, 5, [8]),
  )
  control.check_networks((policy, critic), spec, 3, 5)
  for pair, error, message in (
    (policy, TypeError, "a pair of functions that make Sonnet modules"),
    ((policy, None), TypeError, "a pair of functions that make Sonnet modules"),
    ((functools.partial(control.DeterministicPolicy, VECTOR, 2, [8]), critic), ValueError, r"actions \[D\]"),
    ((policy, functools.partial(control.Critic, VECTOR, 1, [8])), ValueError, r"outputs \[K\]"),
  ):
    with pytest.raises(error, match=message):
      control.check_networks(pair, spec, 3, 5)


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
  # As float64 is seen as float32 when it acts and learns, so when it is made.
  networks.check_output(lambda: snt.Linear(4), make_spec(specs.Array((3,), np.float64)), (4,), "Q-values [A]")
