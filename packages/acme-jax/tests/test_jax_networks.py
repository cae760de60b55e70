"""Networks: shapes, the equations of dueling and noisy layers, and errors."""

import dm_env
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme import specs
from acme_jax import networks

KEY = jax.random.PRNGKey(0)


def run(function, *args, key=KEY):
  transformed = hk.transform(function)
  params = transformed.init(KEY, *args)
  return params, transformed.apply(params, key, *args)


@pytest.mark.parametrize(
  ("spec", "value", "features"),
  [
    (specs.Array((3,), np.float32), np.array([[1, 2, 3]], np.float32), [1, 2, 3]),
    (specs.Array((), np.float32), np.array([4], np.float32), [4]),
    (specs.Array((2, 2), np.float64), np.array([[[1, 2], [3, 4]]]), [1, 2, 3, 4]),
    (specs.Array((2,), np.int32), np.array([[5, 6]], np.int32), [5, 6]),
    (specs.Array((2,), np.uint8), np.array([[0, 255]], np.uint8), [0, 1]),
    (specs.DiscreteArray(4), np.array([2], np.int32), [0, 0, 1, 0]),
    (
      (specs.Array((1,), np.float32), {"b": specs.Array((), np.float32), "a": specs.DiscreteArray(2)}),
      (np.array([[1]], np.float32), {"b": np.array([2], np.float32), "a": np.array([1])}),
      [1, 0, 1, 2],
    ),
  ],
)
def test_observation_torso(spec, value, features):
  _, out = run(lambda o: networks.ObservationTorso(spec)(o), value)
  np.testing.assert_allclose(out, [features])
  np.testing.assert_allclose(networks.flatten(spec, value), [features])


def test_observation_torso_sends_large_images_only_through_convolutions():
  image = specs.BoundedArray((84, 84, 4), np.uint8, 0, 255)
  params, out = run(lambda o: networks.ObservationTorso(image)(o), networks.zeros(image, 2))
  assert out.shape == (2, 7 * 7 * 64)  # Mnih et al. 2015
  assert len(params) == 3
  small = specs.BoundedArray((16, 16, 3), np.uint8, 0, 255)
  params, out = run(lambda o: networks.ObservationTorso(small)(o), networks.zeros(small, 2))
  assert out.shape == (2, 16 * 16 * 3)
  assert not params


def test_smallest_image_leaves_something():
  spec = specs.Array((36, 36, 1), np.uint8)
  assert networks.is_image(spec)
  _, out = run(lambda o: networks.ObservationTorso(spec)(o), networks.zeros(spec))
  assert out.shape == (1, 64)


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
  np.testing.assert_array_equal(networks.channels_last(spec, jnp.asarray(image)), expected)


def test_channel_first_stacks_have_the_features_of_channels_last():
  """Gymnasium stacks Atari frames as [4, 84, 84]: flattened, that were 28,224 inputs."""
  last, first = (specs.BoundedArray(shape, np.uint8, 0, 255) for shape in ((84, 84, 4), (4, 84, 84)))
  image = np.random.default_rng(0).integers(256, size=(2, 84, 84, 4)).astype(np.uint8)
  params, features = run(lambda o: networks.ObservationTorso(last)(o), image)
  torso = hk.without_apply_rng(hk.transform(lambda o: networks.ObservationTorso(first)(o)))
  np.testing.assert_array_equal(torso.apply(params, np.moveaxis(image, -1, 1)), features)


@pytest.mark.parametrize("shape", [(84, 84, 84), (84, 4, 84), (4, 40, 40, 40)])
def test_images_whose_height_is_unknown_are_refused(shape):
  with pytest.raises(ValueError, match=r"'camera' of uint8 \[.*two neighbouring axes of 36 or more"):
    networks.is_image(specs.Array(shape, np.uint8, "camera"))
  assert not networks.is_image(specs.Array(shape, np.float32))


def test_observations_without_numbers_are_refused():
  text = {"mission": dm_env.specs.StringArray(()), "view": specs.Array((3,), np.float32)}
  with pytest.raises(ValueError, match=r"Expected arrays of numbers, got .*StringArray.*: wrap the environment"):
    networks.zeros(text)
  torso = hk.transform(lambda x: networks.ObservationTorso({})(x))
  for call in (lambda: networks.flatten({}, {}), lambda: torso.init(jax.random.PRNGKey(0), {})):
    with pytest.raises(ValueError, match="Expected observations of one array or more, got {}"):
      call()


@pytest.mark.parametrize("shape", [(128,), (35, 84, 3), (84, 16, 3), (4, 16, 84), (35, 35), ()])
def test_small_images_stay_flat(shape):
  assert not networks.is_image(specs.Array(shape, np.uint8))


def test_dueling_advantages_have_mean_zero():
  x = jax.random.normal(KEY, (3, 5))
  params, q = run(lambda x: networks.DuelingHead(4, (8,), 2)(x), x)
  assert q.shape == (3, 4, 2)

  def layer(i, x):
    name = "dueling_head/linear" + (f"_{i}" if i else "")
    return x @ params[name]["w"] + params[name]["b"]

  value = layer(1, jax.nn.relu(layer(0, x)))  # [3, 2]
  np.testing.assert_allclose(jnp.mean(q, axis=1), value, rtol=1e-5, atol=1e-6)


def test_noisy_linear_is_mean_weights_without_key_and_factorised_noise_with_one():
  x = jnp.eye(3)
  transformed = hk.transform(lambda x: networks.NoisyLinear(2, sigma=0.5)(x))
  params = transformed.init(KEY, x)
  layer = params["noisy_linear"]
  np.testing.assert_allclose(layer["w_sigma"], 0.5 / np.sqrt(3), rtol=1e-6)
  mean = layer["w_mu"] + layer["b_mu"]
  np.testing.assert_allclose(transformed.apply(params, None, x), mean, rtol=1e-6)
  noise_b = transformed.apply(params, KEY, jnp.zeros((1, 3))) - layer["b_mu"]
  noise_w = transformed.apply(params, KEY, x) - mean - noise_b  # [3, 2] = σ f(ε_i) f(ε_j)
  assert np.linalg.matrix_rank(noise_w, tol=1e-4) == 1
  assert not np.allclose(noise_w, 0)
  other = transformed.apply(params, jax.random.PRNGKey(1), x)
  assert not np.allclose(other, transformed.apply(params, KEY, x))


def test_noise_has_the_variance_of_sigma():
  transformed = hk.transform(lambda x: networks.NoisyLinear(1)(x))
  x = jnp.zeros((1, 4))
  params = transformed.init(KEY, x)
  keys = jax.random.split(KEY, 4000)
  draws = jax.vmap(lambda key: transformed.apply(params, key, x))(keys).ravel()
  # b_sigma · f(ε), and E[f(ε)²] = E|ε| = √(2/π).
  assert np.var(draws) == pytest.approx(0.25**2 * np.sqrt(2 / np.pi), rel=0.1)


def test_layer_norm_mlp():
  x = jax.random.normal(KEY, (2, 5))
  _, out = run(lambda x: networks.LayerNormMLP((8, 4))(x), x)
  assert out.shape == (2, 4)
  assert np.min(out) > -1  # ELU
  _, tanh = run(lambda x: networks.LayerNormMLP((8,))(x), x)
  assert np.max(np.abs(tanh)) < 1
  with pytest.raises(ValueError, match="one layer or more"):
    run(lambda x: networks.LayerNormMLP(())(x), x)


def test_check_output():
  array = specs.Array((), np.float32)
  spec = specs.EnvironmentSpec(specs.Array((3,), np.float32), specs.DiscreteArray(2), array, array)
  network = hk.transform(lambda o: hk.Linear(2)(o))
  networks.check_output(network, spec, (2,), "Q-values [A]")
  with pytest.raises(ValueError, match=r"Q-values \[A\], shape \(2, 3\).*\(2, 2\)"):
    networks.check_output(network, spec, (3,), "Q-values [A]")
