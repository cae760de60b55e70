"""Parts of networks, in Sonnet.

Shapes: B batch, A actions, K outputs for each action, D features.

References: Mnih et al. 2015 (Nature 518); Wang et al. 2015 (1511.06581); Abdolmaleki et al. 2018 (1806.06920).
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import sonnet as snt
import tensorflow as tf
import tree

from acme import specs, types
from acme_tf import functions, variables

_SMALLEST_IMAGE = 36  # Below this height or width nothing is left after the third convolution.
_LOG_2PI = math.log(2 * math.pi)
_LARGEST_TANH = 1 - 1e-6  # Beyond it float32 holds a dozen numbers below 1.


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
  """Zeros [batch, …] that fit a nest of specs, to make a network's variables with.

  Raises:
    ValueError: a leaf is of something else than numbers, such as text.
  """
  if any(leaf.dtype.kind in "OSU" for leaf in tree.flatten(spec)):
    raise ValueError(
      f"Expected arrays of numbers, got {specs.describe(spec)}: wrap the environment to leave out the rest."
    )
  return tree.map_structure(lambda leaf: np.zeros((batch, *leaf.shape), leaf.dtype), spec)


def channels_last(spec: specs.Array, image: tf.Tensor) -> tf.Tensor:
  """A batch [B, …] of images of `spec` (see `is_image`) as [B, H, W, C]; what is so already stays as it is."""
  height = _height_axis(spec)
  assert height is not None
  channels = [axis for axis in range(len(spec.shape)) if axis not in (height, height + 1)]
  if channels != [2]:
    image = tf.transpose(image, [0, height + 1, height + 2, *(axis + 1 for axis in channels)])  # [B, H, W, …]
    size = math.prod(spec.shape[axis] for axis in channels)
    image = tf.reshape(image, (-1, *spec.shape[height : height + 2], size))
  return image


def flatten(spec: types.NestedSpec, value: types.NestedArray) -> tf.Tensor:
  """A nest [B, …] as features [B, D]: a discrete leaf one-hot, bytes divided by 255, the rest as float32."""
  features = [_flatten_leaf(s, leaf) for s, leaf in zip(tree.flatten(spec), tree.flatten(value), strict=True)]
  return _joined(spec, features)


def _joined(spec: types.NestedSpec, features: list[tf.Tensor]) -> tf.Tensor:
  """The features [B, D] of all leaves; raises ValueError where there is none."""
  if not features:
    raise ValueError(f"Expected observations of one array or more, got {specs.describe(spec)}.")
  return features[0] if len(features) == 1 else tf.concat(features, axis=-1)


def _flatten_leaf(spec: specs.Array, leaf: tf.Tensor) -> tf.Tensor:
  if isinstance(spec, specs.DiscreteArray):
    return tf.one_hot(tf.cast(leaf, tf.int32), spec.num_values)  # [B, num_values]
  flat = tf.cast(tf.reshape(leaf, (-1, math.prod(spec.shape))), tf.float32)
  return flat / 255 if spec.dtype == np.uint8 else flat


class ObservationTorso(snt.Module):
  """Turns any nest of observations into features [B, D].

  Images (see `is_image`) go through an `AtariTorso`, the rest through `flatten`; all are then concatenated, in the
  order of the nest.
  """

  def __init__(self, spec: types.NestedSpec, name: str | None = None) -> None:
    super().__init__(name)
    self._spec = spec
    images = [leaf for leaf in tree.flatten(spec) if is_image(leaf)]
    self._torsos = [AtariTorso(name=f"atari_torso_{i}") for i in range(len(images))]

  def __call__(self, observation: types.NestedArray) -> tf.Tensor:
    torsos = iter(self._torsos)
    leaves = zip(tree.flatten(self._spec), tree.flatten(observation), strict=True)
    features = [
      next(torsos)(channels_last(spec, leaf)) if is_image(spec) else _flatten_leaf(spec, leaf) for spec, leaf in leaves
    ]
    return _joined(self._spec, features)


class AtariTorso(snt.Module):
  """The convolutions of Mnih et al. 2015: uint8 [B, H, W, C], scaled by 1/255, to [B, D]."""

  def __init__(self, name: str | None = None) -> None:
    super().__init__(name)
    self._convolutions = [
      snt.Conv2D(channels, kernel, stride, padding="VALID", name=f"conv_{i}")
      for i, (channels, kernel, stride) in enumerate(((32, 8, 4), (64, 4, 2), (64, 3, 1)))
    ]

  def __call__(self, image: tf.Tensor) -> tf.Tensor:
    x = tf.cast(image, tf.float32) / 255
    for convolution in self._convolutions:
      x = tf.nn.relu(convolution(x))
    return snt.flatten(x)


class MLP(snt.nets.MLP):
  """A layer and an activation for each of `sizes`: [B, D] to [B, sizes[-1]]; the features where there is none."""

  def __init__(
    self,
    sizes: Sequence[int],
    activate_final: bool = True,
    activation: Callable[[tf.Tensor], tf.Tensor] = tf.nn.relu,
    name: str | None = None,
  ) -> None:
    super().__init__(sizes, activation=activation, activate_final=activate_final, name=name)


class LayerNormMLP(snt.Module):
  """Linear → LayerNorm → tanh, then ELU layers: [B, D] to [B, sizes[-1]].

  Weights start uniform with variance .333 / fan-out, as in the published continuous-control agents.
  """

  def __init__(self, sizes: Sequence[int], activate_final: bool = True, name: str | None = None) -> None:
    """Makes the layers; without `activate_final` the last one has no ELU."""
    super().__init__(name)
    if not sizes:
      raise ValueError("LayerNormMLP sizes: expected one layer or more, got none.")
    w_init = snt.initializers.VarianceScaling(0.333, "fan_out", "uniform")
    self._layers = [snt.Linear(size, w_init=w_init, name=f"linear_{i}") for i, size in enumerate(sizes)]
    self._norm = snt.LayerNorm(axis=-1, create_scale=True, create_offset=True)
    self._activate_final = activate_final

  def __call__(self, x: tf.Tensor) -> tf.Tensor:
    x = tf.tanh(self._norm(self._layers[0](x)))
    for i, layer in enumerate(self._layers[1:], start=2):
      x = layer(x)
      if i < len(self._layers) or self._activate_final:
        x = tf.nn.elu(x)
    return x


class DuelingHead(snt.Module):
  """Q(o, a) = V(o) + A(o, a) − mean_b A(o, b), in streams with hidden layers of their own: [B, D] to [B, A, K].

  With K above 1 this holds for each of the K outputs of a distribution (Hessel et al. 2017, 1710.02298).
  """

  def __init__(
    self, num_actions: int, hidden_sizes: Sequence[int] = (), num_outputs: int = 1, name: str | None = None
  ) -> None:
    super().__init__(name)
    self._shape = (num_actions, num_outputs)
    self._value = snt.nets.MLP([*hidden_sizes, num_outputs], name="value")
    self._advantage = snt.nets.MLP([*hidden_sizes, num_actions * num_outputs], name="advantage")

  def __call__(self, x: tf.Tensor) -> tf.Tensor:
    value = self._value(x)  # [B, K]
    advantage = tf.reshape(self._advantage(x), (-1, *self._shape))  # [B, A, K]
    return value[:, None] + advantage - tf.reduce_mean(advantage, axis=1, keepdims=True)


def near_zero_linear(size: int, scale: float = 1e-4, name: str | None = None) -> snt.Linear:
  """A linear layer whose outputs start near zero: weights of variance `scale` / fan-in, no offset."""
  return snt.Linear(size, w_init=snt.initializers.VarianceScaling(scale), name=name or "near_zero")


class Gaussian(NamedTuple):
  """A normal distribution over vectors, its dimensions independent."""

  loc: tf.Tensor  # [B, D]
  scale: tf.Tensor  # [B, D] standard deviations

  def mean(self) -> tf.Tensor:
    return self.loc

  def mode(self) -> tf.Tensor:
    """μ: [B, D]."""
    return self.loc

  def sample(self, seed: tf.Tensor, num_samples: int) -> tf.Tensor:
    """Draws [num_samples, B, D]; `seed` [2] integers, consumed here."""
    noise = tf.random.stateless_normal((num_samples, *tf.unstack(tf.shape(self.loc))), seed)
    return self.loc + self.scale * noise

  def log_prob(self, x: tf.Tensor) -> tf.Tensor:
    """Log N(x): [..., B] for x [..., B, D]."""
    z = (x - self.loc) / self.scale
    return -tf.reduce_sum(0.5 * z**2 + tf.math.log(self.scale) + 0.5 * _LOG_2PI, axis=-1)

  def entropy(self) -> tf.Tensor:
    """Σ_d (log σ + ½ log 2πe): [B]."""
    return tf.reduce_sum(tf.math.log(self.scale) + 0.5 * (_LOG_2PI + 1), axis=-1)

  def kl_per_dimension(self, other: "Gaussian") -> tf.Tensor:
    """KL(self ‖ other), of each dimension: [B, D]."""
    ratio = (self.scale / other.scale) ** 2
    distance = ((self.loc - other.loc) / other.scale) ** 2
    return 0.5 * (ratio + distance - 1 - tf.math.log(ratio))


class TanhGaussian(NamedTuple):
  """tanh u, u normal, its dimensions independent: actions within (−1, 1); the twin of `acme_jax`'s.

  Reference: Haarnoja et al. 2018 (1801.01290), appendix C.
  """

  loc: tf.Tensor  # [B, D] of u
  scale: tf.Tensor  # [B, D] standard deviations of u

  def mode(self) -> tf.Tensor:
    """What acting greedily takes, tanh μ: [B, D]."""
    return tf.tanh(self.loc)

  def log_prob(self, x: tf.Tensor) -> tf.Tensor:
    """Of stored actions [..., B, D]: log N(u) − Σ_d log(1 − tanh² u), u = tanh⁻¹(clip(x, ±(1 − 1e-6))), [..., B]."""
    u = tf.atanh(tf.clip_by_value(x, -_LARGEST_TANH, _LARGEST_TANH))
    log_slope = 2 * (math.log(2) - u - tf.nn.softplus(-2 * u))  # Finite for any u.
    return Gaussian(self.loc, self.scale).log_prob(u) - tf.reduce_sum(log_slope, axis=-1)


class GaussianHead(snt.Module):
  """The head of a stochastic policy: [B, D'] to a `Gaussian` over [B, D].

  σ = min + softplus(x) · init / softplus(0), so that standard deviations start near `init_scale`. The mean is not
  squashed: MPO bounds actions by clipping in the environment and by a penalty.

  Reference: Abdolmaleki et al. 2018 (1812.02256), appendix.
  """

  def __init__(self, size: int, init_scale: float = 0.7, min_scale: float = 1e-6, name: str | None = None) -> None:
    super().__init__(name)
    self._loc = near_zero_linear(size, name="loc")
    self._scale = near_zero_linear(size, name="scale")
    self._init_scale = init_scale
    self._min_scale = min_scale

  def __call__(self, x: tf.Tensor) -> Gaussian:
    scale = tf.nn.softplus(self._scale(x)) * self._init_scale / math.log(2) + self._min_scale
    return Gaussian(self._loc(x), scale)


class Categorical(NamedTuple):
  """p = softmax(logits) over A actions."""

  logits: tf.Tensor  # [B, A], finite

  @property
  def log_probs(self) -> tf.Tensor:
    """The logits, normalised: [B, A]."""
    return tf.nn.log_softmax(self.logits)

  def sample(self, seed: tf.Tensor) -> tf.Tensor:
    """Draws [B] int32; `seed` [2] integers, consumed here."""
    return tf.random.stateless_categorical(self.logits, 1, seed, dtype=tf.int32)[:, 0]

  def mode(self) -> tf.Tensor:
    """The most probable action, the first of equals: [B] int32."""
    return tf.argmax(self.logits, axis=-1, output_type=tf.int32)

  def log_prob(self, action: tf.Tensor) -> tf.Tensor:
    """Of actions [B]: [B]; or of [B, T] where the logits are [B, T, A]."""
    return tf.gather(self.log_probs, action, axis=-1, batch_dims=action.shape.rank)

  def entropy(self) -> tf.Tensor:
    """−Σ_a p log p: [B]."""
    return -tf.reduce_sum(tf.exp(self.log_probs) * self.log_probs, axis=-1)

  def kl(self, other: "Categorical") -> tf.Tensor:
    """KL(self ‖ other): [B]."""
    return tf.reduce_sum(tf.exp(self.log_probs) * (self.log_probs - other.log_probs), axis=-1)


class Mixed(NamedTuple):
  """D numbers of a Gaussian and a choice from each of several categoricals, independent of each other.

  Values are vectors of V = D + Σ A numbers: those of the Gaussian, then each choice as a one-hot vector.
  """

  gaussian: Gaussian
  categoricals: tuple[Categorical, ...]

  def parts(self, value: tf.Tensor) -> list[tf.Tensor]:
    """Splits a value [..., B, V] into the Gaussian's part [..., B, D] and the categoricals', one-hot [..., B, A]."""
    sizes = [self.gaussian.loc.shape[-1], *(each.logits.shape[-1] for each in self.categoricals)]
    return tf.split(value, sizes, axis=-1)  # type: ignore[no-any-return]

  def sample(self, seed: tf.Tensor) -> tf.Tensor:
    """Draws [B, V]; `seed` [2] integers, consumed here."""
    seeds = [tf.random.experimental.stateless_fold_in(seed, i) for i in range(1 + len(self.categoricals))]
    choices = [each.sample(own) for each, own in zip(self.categoricals, seeds[1:], strict=True)]
    return self._joined(self.gaussian.sample(seeds[0], 1)[0], choices)

  def log_prob(self, value: tf.Tensor) -> tf.Tensor:
    """Σ of the parts': [..., B] for a value [..., B, V]."""
    numbers, *choices = self.parts(value)
    each = [tf.reduce_sum(x * p.log_probs, axis=-1) for x, p in zip(choices, self.categoricals, strict=True)]
    return tf.add_n([self.gaussian.log_prob(numbers), *each])

  def mode(self) -> tf.Tensor:
    """The modes of all parts: [B, V]."""
    return self._joined(self.gaussian.mode(), [each.mode() for each in self.categoricals])

  def _joined(self, numbers: tf.Tensor, choices: list[tf.Tensor]) -> tf.Tensor:
    sizes = [each.logits.shape[-1] for each in self.categoricals]
    return tf.concat([numbers, *map(tf.one_hot, choices, sizes)], axis=-1)


class MixedHead(snt.Module):
  """A policy over D numbers and several choices: [B, D'] to a `Mixed` over [B, V]."""

  def __init__(
    self, make_gaussian: Callable[[], snt.Module], num_values: Sequence[int], name: str | None = None
  ) -> None:
    """Makes the head; `make_gaussian` makes that of the numbers, `num_values` are the A of each choice."""
    super().__init__(name)
    self._gaussian = make_gaussian()
    self._choices = [CategoricalHead(num, name=f"choice_{i}") for i, num in enumerate(num_values)]

  def __call__(self, x: tf.Tensor) -> Mixed:
    return Mixed(self._gaussian(x), tuple(choice(x) for choice in self._choices))


class CategoricalHead(snt.Module):
  """A policy over A actions: [B, D] to a `Categorical` over [B], nearly uniform at first."""

  def __init__(self, num_actions: int, name: str | None = None) -> None:
    super().__init__(name)
    self._logits = near_zero_linear(num_actions, name="logits")

  def __call__(self, x: tf.Tensor) -> Categorical:
    return Categorical(self._logits(x))


def check_output(
  make: variables.Factory, spec: specs.EnvironmentSpec, expected: tuple[int, ...], what: str, *inputs: Any
) -> None:
  """Raises ValueError where a network does not give float [2, *expected] for two observations, and other inputs.

  `what` names the outputs, such as "Q-values [A]".
  """
  tensors = tf.nest.map_structure(tf.constant, (zeros(spec.observations, batch=2), *inputs))
  output = variables.create(make, *tensors)(*functions.single(tensors))
  fits = isinstance(output, tf.Tensor) and tuple(output.shape) == (2, *expected) and output.dtype.is_floating
  if not fits:
    got = tf.nest.map_structure(lambda x: (x.dtype.name, tuple(x.shape)) if tf.is_tensor(x) else repr(x), output)
    raise ValueError(
      f"network: expected one float array of {what}, shape {(2, *expected)} for a batch of 2 observations, got {got}. "
      "Change the network's last layer, or the config that asks for these outputs."
    )
