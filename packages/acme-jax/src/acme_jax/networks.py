"""Parts of networks, in Haiku; use them within `hk.transform`.

Shapes: B batch, A actions, K outputs for each action, D features.

References: Mnih et al. 2015 (Nature 518); Wang et al. 2015 (1511.06581); Fortunato et al. 2017 (1706.10295).
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import tree

from acme import specs, types

MakeLinear = Callable[[int], Callable[[jax.Array], jax.Array]]  # features -> layer, as hk.Linear

_SMALLEST_IMAGE = 36  # Below this height or width nothing is left after the third convolution.


def is_image(spec: specs.Array) -> bool:
  """Whether observations of `spec` go through convolutions.

  They do where they are uint8 and two neighbouring axes are of 36 or more: those are height and width, and all others
  are channels, in their order. So [H, W], [H, W, C], [C, H, W] and stacks [S, H, W, C] are images alike. With fewer
  such axes there is no image, or one so small that the convolutions would leave nothing of it.

  Raises:
    ValueError: more than two axes are as long, or two that are not neighbours: which are height and width is unknown.
  """
  return spec.dtype == np.uint8 and _height_axis(spec) is not None


def _height_axis(spec: specs.Array) -> int | None:
  """The axis of an image's height, just before that of its width; None where there is no image."""
  large = [axis for axis, size in enumerate(spec.shape) if size >= _SMALLEST_IMAGE]
  if len(large) < 2:
    return None
  if len(large) > 2 or large[1] - large[0] != 1:
    name = f" {spec.name!r}" if spec.name else ""
    raise ValueError(
      f"Observation{name} of uint8 {list(spec.shape)}: expected an image, with two neighbouring axes of "
      f"{_SMALLEST_IMAGE} or more, but it may have several heights and widths. Wrap the environment so that it gives "
      "[H, W, C] with fewer channels, or floats, which are no image; or give the agent a network of your own."
    )
  return large[0]


def zeros(spec: types.NestedSpec, batch: int = 1) -> types.NestedArray:
  """Zeros [batch, …] that fit a nest of specs, to initialise a network with.

  Raises:
    ValueError: a leaf is of something else than numbers, such as text.
  """
  if any(leaf.dtype.kind in "OSU" for leaf in tree.flatten(spec)):
    raise ValueError(
      f"Expected arrays of numbers, got {specs.describe(spec)}: wrap the environment to leave out the rest."
    )
  return tree.map_structure(lambda leaf: np.zeros((batch, *leaf.shape), leaf.dtype), spec)


def channels_last(spec: specs.Array, image: jax.Array) -> jax.Array:
  """A batch [B, …] of images of `spec` (see `is_image`) as [B, H, W, C]; what is so already stays as it is."""
  height = _height_axis(spec)
  assert height is not None
  image = jnp.moveaxis(image, (height + 1, height + 2), (1, 2))  # [B, H, W, …]
  return jnp.reshape(image, (*image.shape[:3], math.prod(image.shape[3:])))


def flatten(spec: types.NestedSpec, value: types.NestedArray) -> jax.Array:
  """A nest [B, …] as features [B, D]: a discrete leaf one-hot, bytes divided by 255, the rest as float32."""
  features = [_flatten_leaf(s, leaf) for s, leaf in zip(tree.flatten(spec), tree.flatten(value), strict=True)]
  return _joined(spec, features)


def _joined(spec: types.NestedSpec, features: list[jax.Array]) -> jax.Array:
  """The features [B, D] of all leaves; raises ValueError where there is none."""
  if not features:
    raise ValueError(f"Expected observations of one array or more, got {specs.describe(spec)}.")
  return features[0] if len(features) == 1 else jnp.concatenate(features, axis=-1)


def _flatten_leaf(spec: specs.Array, leaf: jax.Array) -> jax.Array:
  if isinstance(spec, specs.DiscreteArray):
    return jax.nn.one_hot(leaf, spec.num_values, dtype=jnp.float32)  # [B, num_values]
  flat = jnp.reshape(leaf, (leaf.shape[0], math.prod(spec.shape))).astype(jnp.float32)
  return flat / 255 if spec.dtype == np.uint8 else flat


class ObservationTorso(hk.Module):
  """Turns any nest of observations into features [B, D].

  Images (see `is_image`) go through an `AtariTorso`, the rest through `flatten`; all are then concatenated, in the
  order of the nest.
  """

  def __init__(self, spec: types.NestedSpec, name: str | None = None) -> None:
    super().__init__(name)
    self._spec = spec

  def __call__(self, observation: types.NestedArray) -> jax.Array:
    leaves = zip(tree.flatten(self._spec), tree.flatten(observation), strict=True)
    features = [self._features(spec, leaf) for spec, leaf in leaves]
    return _joined(self._spec, features)

  def _features(self, spec: specs.Array, leaf: jax.Array) -> jax.Array:
    if is_image(spec):
      return AtariTorso()(channels_last(spec, leaf))
    return _flatten_leaf(spec, leaf)


class AtariTorso(hk.Module):
  """The convolutions of Mnih et al. 2015: uint8 [B, H, W, C], scaled by 1/255, to [B, D]."""

  def __call__(self, image: jax.Array) -> jax.Array:
    x = image.astype(jnp.float32) / 255
    for channels, kernel, stride in ((32, 8, 4), (64, 4, 2), (64, 3, 1)):
      x = jax.nn.relu(hk.Conv2D(channels, kernel, stride, padding="VALID")(x))
    return jnp.reshape(x, (x.shape[0], -1))


def mlp(
  x: jax.Array,
  sizes: Sequence[int],
  linear: MakeLinear = hk.Linear,
  activation: Callable[[jax.Array], jax.Array] = jax.nn.relu,
) -> jax.Array:
  """Applies a layer and an activation for each of `sizes`: [B, D] to [B, sizes[-1]]."""
  for size in sizes:
    x = activation(linear(size)(x))
  return x


class LayerNormMLP(hk.Module):
  """Linear → LayerNorm → tanh, then ELU layers: [B, D] to [B, sizes[-1]].

  Weights start uniform with variance .333 / fan-out, as in the published continuous-control agents.
  """

  def __init__(self, sizes: Sequence[int], activate_final: bool = True, name: str | None = None) -> None:
    """Makes the layers; without `activate_final` the last one has no ELU."""
    super().__init__(name)
    if not sizes:
      raise ValueError("LayerNormMLP sizes: expected one layer or more, got none.")
    self._sizes = tuple(sizes)
    self._activate_final = activate_final

  def __call__(self, x: jax.Array) -> jax.Array:
    w_init = hk.initializers.VarianceScaling(0.333, "fan_out", "uniform")  # type: ignore[no-untyped-call]
    x = hk.Linear(self._sizes[0], w_init=w_init)(x)
    x = jnp.tanh(hk.LayerNorm(axis=-1, create_scale=True, create_offset=True)(x))
    for i, size in enumerate(self._sizes[1:], start=2):
      x = hk.Linear(size, w_init=w_init)(x)
      if i < len(self._sizes) or self._activate_final:
        x = jax.nn.elu(x)
    return x


class DuelingHead(hk.Module):
  """Q(o, a) = V(o) + A(o, a) − mean_b A(o, b), in streams with hidden layers of their own: [B, D] to [B, A, K].

  With K above 1 this holds for each of the K outputs of a distribution (Hessel et al. 2017, 1710.02298).
  """

  def __init__(
    self,
    num_actions: int,
    hidden_sizes: Sequence[int] = (),
    num_outputs: int = 1,
    linear: MakeLinear = hk.Linear,
    name: str | None = None,
  ) -> None:
    super().__init__(name)
    self._shape = (num_actions, num_outputs)
    self._hidden_sizes = tuple(hidden_sizes)
    self._linear = linear

  def __call__(self, x: jax.Array) -> jax.Array:
    num_actions, num_outputs = self._shape
    hidden = mlp(x, self._hidden_sizes, self._linear)
    value = self._linear(num_outputs)(hidden)  # [B, K]
    hidden = mlp(x, self._hidden_sizes, self._linear)
    advantage = self._linear(num_actions * num_outputs)(hidden)
    advantage = jnp.reshape(advantage, (-1, *self._shape))  # [B, A, K]
    return value[:, None] + advantage - jnp.mean(advantage, axis=1, keepdims=True)


class NoisyLinear(hk.Module):
  """y = (μ_w + σ_w ⊙ ε_w) x + μ_b + σ_b ⊙ ε_b, with factorised noise ε_w[i, j] = f(ε_i) f(ε_j), f(x) = sgn(x)√|x|.

  One draw of noise for the whole batch, from the key given to `apply`; without a key the mean weights, no noise.

  Reference: Fortunato et al. 2017 (1706.10295), §3 and §3.2.
  """

  def __init__(self, output_size: int, sigma: float = 0.5, name: str | None = None) -> None:
    """Makes the layer; `sigma` is the paper's σ_0: standard deviations start at σ_0/√(fan-in)."""
    super().__init__(name)
    self._output_size = output_size
    self._sigma = sigma

  def __call__(self, x: jax.Array) -> jax.Array:
    fan_in, fan_out = x.shape[-1], self._output_size
    bound = 1 / math.sqrt(fan_in)
    uniform = hk.initializers.RandomUniform(-bound, bound)  # type: ignore[no-untyped-call]
    constant = hk.initializers.Constant(self._sigma * bound)
    w = hk.get_parameter("w_mu", (fan_in, fan_out), init=uniform)
    b = hk.get_parameter("b_mu", (fan_out,), init=uniform)
    w_sigma = hk.get_parameter("w_sigma", (fan_in, fan_out), init=constant)
    b_sigma = hk.get_parameter("b_sigma", (fan_out,), init=constant)
    key = hk.maybe_next_rng_key()
    if key is not None:
      noise = jax.random.normal(key, (fan_in + fan_out,))
      noise = jnp.sign(noise) * jnp.sqrt(jnp.abs(noise))  # f(ε)
      noise_in, noise_out = noise[:fan_in], noise[fan_in:]
      w = w + w_sigma * noise_in[:, None] * noise_out
      b = b + b_sigma * noise_out
    return x @ w + b


def check_output(
  network: hk.Transformed, spec: specs.EnvironmentSpec, expected: tuple[int, ...], what: str, *inputs: Any
) -> None:
  """Raises ValueError where `network` does not give float [2, *expected] for two observations, and other inputs.

  Nothing is computed. `what` names the outputs, such as "Q-values [A]".
  """
  observation = zeros(spec.observations, batch=2)

  def run(key: jax.Array) -> Any:
    return network.apply(network.init(key, observation, *inputs), key, observation, *inputs)

  output = jax.eval_shape(run, jax.random.PRNGKey(0))
  shapes = jax.tree.map(lambda x: x.shape, output)
  if shapes != (2, *expected) or not jnp.issubdtype(output.dtype, jnp.floating):
    raise ValueError(
      f"network: expected one float array of {what}, shape {(2, *expected)} for a batch of 2 observations, got "
      f"{output}. Change the network's last layer, or the config that asks for these outputs."
    )
