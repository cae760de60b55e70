"""Last layers of policies and critics, in Haiku; use them within `hk.transform`.

Shapes: B batch, F features, D numbers in an action, A actions, K atoms, M members of an ensemble.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp

from acme_jax import distributions


def near_zero_linear(size: int, name: str | None = None) -> hk.Linear:
  """A layer whose outputs start near 0: weights of variance 1e-4 / fan-in, no offset."""
  w_init = hk.initializers.VarianceScaling(1e-4)  # type: ignore[no-untyped-call]
  return hk.Linear(size, w_init=w_init, name=name)


class GaussianHead(hk.Module):
  """A Gaussian policy: [B, F] to a `DiagonalGaussian` over [B, D].

    σ = min_scale + softplus(x) · init_scale / softplus(0)

  so that standard deviations start near `init_scale`. The mean is not squashed: MPO bounds actions by clipping in the
  environment and by a penalty.

  Reference: Abdolmaleki et al. 2018 (1812.02256), appendix.
  """

  def __init__(self, size: int, init_scale: float = 0.7, min_scale: float = 1e-6, name: str | None = None) -> None:
    """Makes the head of `size` D; scales are in units of half an action's range."""
    super().__init__(name)
    self._size, self._init_scale, self._min_scale = size, init_scale, min_scale

  def __call__(self, x: jax.Array) -> distributions.DiagonalGaussian:
    mean = near_zero_linear(self._size, name="mean")(x)  # [B, D]
    scale = jax.nn.softplus(near_zero_linear(self._size, name="stddev")(x))  # [B, D]
    return distributions.DiagonalGaussian(mean, self._min_scale + scale * (self._init_scale / math.log(2)))


class TanhGaussianHead(hk.Module):
  """A squashed Gaussian policy: [B, F] to a `TanhGaussian` over [B, D].

    log σ = clip(x, min_log_stddev, max_log_stddev)

  Reference: Haarnoja et al. 2018 (1812.05905); the bounds are those of its published code.
  """

  def __init__(
    self, size: int, min_log_stddev: float = -20.0, max_log_stddev: float = 2.0, name: str | None = None
  ) -> None:
    """Makes the head of `size` D; the bounds are of log σ before tanh."""
    super().__init__(name)
    self._size, self._min, self._max = size, min_log_stddev, max_log_stddev

  def __call__(self, x: jax.Array) -> distributions.TanhGaussian:
    mean = near_zero_linear(self._size, name="mean")(x)  # [B, D]
    log_stddev = near_zero_linear(self._size, name="log_stddev")(x)  # [B, D]
    return distributions.TanhGaussian(mean, jnp.exp(jnp.clip(log_stddev, self._min, self._max)))


class CategoricalHead(hk.Module):
  """A policy over A actions: [B, F] to a `Categorical` over [B], nearly uniform at first."""

  def __init__(self, num_actions: int, name: str | None = None) -> None:
    super().__init__(name)
    self._num_actions = num_actions

  def __call__(self, x: jax.Array) -> distributions.Categorical:
    return distributions.Categorical(near_zero_linear(self._num_actions, name="logits")(x))


class MixedHead(hk.Module):
  """A policy over D numbers and several choices: [B, F] to a `Mixed` over [B, V]."""

  def __init__(self, gaussian: Callable[[], GaussianHead], num_values: Sequence[int], name: str | None = None) -> None:
    """Makes the head; `gaussian` makes that of the numbers, `num_values` are the A of each choice."""
    super().__init__(name)
    self._gaussian, self._num_values = gaussian, num_values

  def __call__(self, x: jax.Array) -> distributions.Mixed:
    choices = [CategoricalHead(num, name=f"choice_{i}")(x) for i, num in enumerate(self._num_values)]
    return distributions.Mixed(self._gaussian()(x), tuple(choices))


class ValueHead(hk.Module):
  """One value: [B, F] to [B]."""

  def __call__(self, x: jax.Array) -> jax.Array:
    return jnp.squeeze(hk.Linear(1, name="value")(x), axis=-1)


class DiscreteValuedHead(hk.Module):
  """A distribution of returns: [B, F] to a `DiscreteValued` over K atoms spread evenly from vmin to vmax.

  Reference: Bellemare et al. 2017 (1707.06887), §4; Barth-Maron et al. 2018 (1804.08617).
  """

  def __init__(self, vmin: float, vmax: float, num_atoms: int = 51, name: str | None = None) -> None:
    """Makes the head. Raises ValueError where there is no range or fewer than two atoms."""
    super().__init__(name)
    if not vmin < vmax or num_atoms < 2:
      raise ValueError(
        f"DiscreteValuedHead: expected vmin below vmax and two atoms or more, got {vmin}, {vmax} and {num_atoms} atoms."
      )
    self._vmin, self._vmax, self._num_atoms = vmin, vmax, num_atoms

  def __call__(self, x: jax.Array) -> distributions.DiscreteValued:
    atoms = jnp.linspace(self._vmin, self._vmax, self._num_atoms, dtype=jnp.float32)  # [K]
    return distributions.DiscreteValued(atoms, hk.Linear(self._num_atoms, name="logits")(x))


class Ensemble(hk.Module):
  """M networks with parameters of their own on the same inputs: [M, …] of what each gives, such as [M, B] values.

  Reference: Fujimoto et al. 2018 (1802.09477), for M = 2.
  """

  def __init__(self, make: Callable[[], Callable[..., Any]], size: int = 2, name: str | None = None) -> None:
    """Makes an ensemble of `size` M; `make()` gives a new network, a Haiku module, every time."""
    super().__init__(name)
    if size < 1:
      raise ValueError(f"Ensemble size: expected 1 or more, got {size}.")
    self._make, self._size = make, size

  def __call__(self, *inputs: Any) -> Any:
    outputs = [self._make()(*inputs) for _ in range(self._size)]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *outputs)  # [M, …]
