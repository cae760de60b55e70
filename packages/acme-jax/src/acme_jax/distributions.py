"""Distributions over actions and returns, as plain pytrees.

Fields and values may have leading axes […], which broadcast as in numpy, so that N samples [N, B, D] meet a batch of
policies [B, D]. What is random takes a key, which is consumed.

Shapes: … any leading axes, S what `sample` is asked for, D numbers in an action, A actions, K atoms.
"""

import itertools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

_LOG_2PI = math.log(2 * math.pi)
_LARGEST_TANH = 1 - 1e-6  # Beyond it float32 holds a dozen numbers below 1, and the inverse of tanh is all rounding.


class DiagonalGaussian(NamedTuple):
  """N(μ, diag σ²): the D dimensions are independent."""

  mean: jax.Array  # […, D]
  stddev: jax.Array  # […, D], above 0

  def sample(self, key: jax.Array, shape: tuple[int, ...] = ()) -> jax.Array:
    """μ + σ ε, ε ~ N(0, I): [*S, …, D]. Gradients flow to μ and σ."""
    noise = jax.random.normal(key, (*shape, *self.mean.shape), self.mean.dtype)
    return self.mean + self.stddev * noise

  def log_prob(self, value: jax.Array) -> jax.Array:
    """−Σ_d (½ ((x − μ)/σ)² + log σ + ½ log 2π): […] for a value […, D]."""
    z = (value - self.mean) / self.stddev
    return -jnp.sum(0.5 * jnp.square(z) + jnp.log(self.stddev) + 0.5 * _LOG_2PI, axis=-1)

  def entropy(self) -> jax.Array:
    """Σ_d (log σ + ½ log 2πe): […]."""
    return jnp.sum(jnp.log(self.stddev) + 0.5 * (_LOG_2PI + 1), axis=-1)

  def kl_per_dimension(self, other: "DiagonalGaussian") -> jax.Array:
    """KL(self ‖ other) = ½ (σ²/σ'² + (μ − μ')²/σ'² − 1) − log(σ/σ'), of each dimension: […, D]."""
    ratio = self.stddev / other.stddev
    distance = (self.mean - other.mean) / other.stddev
    return 0.5 * (jnp.square(ratio) + jnp.square(distance) - 1) - jnp.log(ratio)

  def mode(self) -> jax.Array:
    """μ: […, D]."""
    return self.mean


class TanhGaussian(NamedTuple):
  """tanh u, u ~ N(μ, diag σ²): actions within (−1, 1).

  Reference: Haarnoja et al. 2018 (1801.01290), appendix C.
  """

  mean: jax.Array  # […, D] of u
  stddev: jax.Array  # […, D] of u, above 0

  def sample(self, key: jax.Array, shape: tuple[int, ...] = ()) -> jax.Array:
    """tanh(μ + σ ε): [*S, …, D]. Gradients flow to μ and σ."""
    return jnp.tanh(DiagonalGaussian(*self).sample(key, shape))

  def sample_and_log_prob(self, key: jax.Array, shape: tuple[int, ...] = ()) -> tuple[jax.Array, jax.Array]:
    """A sample [*S, …, D] and its log-probability [*S, …], without inverting tanh, exact however near the bounds.

    For losses over fresh samples. What is compared with a stored action takes `log_prob` on both sides.
    """
    u = DiagonalGaussian(*self).sample(key, shape)
    return jnp.tanh(u), self._log_prob(u)

  def log_prob(self, value: jax.Array) -> jax.Array:
    """Of a stored action […, D]: log N(u) − Σ_d log(1 − tanh² u), u = tanh⁻¹(clip(x, ±(1 − 1e-6))), […]."""
    return self._log_prob(jnp.arctanh(jnp.clip(value, -_LARGEST_TANH, _LARGEST_TANH)))

  def _log_prob(self, u: jax.Array) -> jax.Array:
    # log(1 − tanh² u) = 2 (log 2 − u − softplus(−2u)), which stays finite for any u.
    log_slope = 2 * (math.log(2) - u - jax.nn.softplus(-2 * u))
    return DiagonalGaussian(*self).log_prob(u) - jnp.sum(log_slope, axis=-1)

  def mode(self) -> jax.Array:
    """What acting greedily takes, tanh μ: […, D]. It is the median; the density may peak elsewhere."""
    return jnp.tanh(self.mean)


class Categorical(NamedTuple):
  """p = softmax(logits) over A actions."""

  logits: jax.Array  # […, A], finite

  @property
  def log_probs(self) -> jax.Array:
    """The logits, normalised: […, A]."""
    return jax.nn.log_softmax(self.logits)

  def sample(self, key: jax.Array, shape: tuple[int, ...] = ()) -> jax.Array:
    """Actions [*S, …] int32."""
    actions = jax.random.categorical(key, self.logits, shape=(*shape, *self.logits.shape[:-1]))
    return actions.astype(jnp.int32)

  def log_prob(self, value: jax.Array) -> jax.Array:
    """Of actions […]: […]."""
    chosen = jax.nn.one_hot(value, self.logits.shape[-1], dtype=self.logits.dtype)  # […, A]
    return jnp.sum(chosen * self.log_probs, axis=-1)

  def entropy(self) -> jax.Array:
    """−Σ_a p log p: […]."""
    return -jnp.sum(jnp.exp(self.log_probs) * self.log_probs, axis=-1)

  def kl(self, other: "Categorical") -> jax.Array:
    """KL(self ‖ other) = Σ_a p (log p − log p'): […]."""
    return jnp.sum(jnp.exp(self.log_probs) * (self.log_probs - other.log_probs), axis=-1)

  def mode(self) -> jax.Array:
    """The most probable action, the first of equals: […] int32."""
    return jnp.argmax(self.logits, axis=-1).astype(jnp.int32)


class Mixed(NamedTuple):
  """D numbers of a Gaussian and a choice from each of several categoricals, independent of each other.

  Values are vectors of V = D + Σ A numbers: those of the Gaussian, then each choice as a one-hot vector.
  """

  gaussian: DiagonalGaussian
  categoricals: tuple[Categorical, ...]

  def parts(self, value: jax.Array) -> list[jax.Array]:
    """Splits a value […, V] into the Gaussian's part […, D] and those of the categoricals, one-hot […, A]."""
    sizes = [self.gaussian.mean.shape[-1], *(each.logits.shape[-1] for each in self.categoricals)]
    return jnp.split(value, list(itertools.accumulate(sizes[:-1])), axis=-1)

  def sample(self, key: jax.Array, shape: tuple[int, ...] = ()) -> jax.Array:
    """Values [*S, …, V]."""
    keys = jax.random.split(key, 1 + len(self.categoricals))
    choices = [each.sample(key, shape) for each, key in zip(self.categoricals, keys[1:], strict=True)]
    return self._joined(self.gaussian.sample(keys[0], shape), choices)

  def log_prob(self, value: jax.Array) -> jax.Array:
    """Σ of the parts': […] for a value […, V]."""
    numbers, *choices = self.parts(value)
    each = [jnp.sum(x * p.log_probs, axis=-1) for x, p in zip(choices, self.categoricals, strict=True)]
    total: jax.Array = sum(each, self.gaussian.log_prob(numbers))
    return total

  def mode(self) -> jax.Array:
    """The modes of all parts: […, V]."""
    return self._joined(self.gaussian.mode(), [each.mode() for each in self.categoricals])

  def _joined(self, numbers: jax.Array, choices: list[jax.Array]) -> jax.Array:
    sizes = [each.logits.shape[-1] for each in self.categoricals]
    return jnp.concatenate([numbers, *map(jax.nn.one_hot, choices, sizes)], axis=-1)


class DiscreteValued(NamedTuple):
  """A distribution over K fixed returns z with p = softmax(logits).

  Under `vmap` the atoms are common to all: `in_axes=DiscreteValued(None, 0)`.
  """

  atoms: jax.Array  # [K], rising
  logits: jax.Array  # […, K]

  def mean(self) -> jax.Array:
    """Σ_k p_k z_k: […]."""
    return jnp.sum(jax.nn.softmax(self.logits) * self.atoms, axis=-1)
