"""Parameters of target networks. They keep the dtypes that they began with, whatever the online networks have."""

from typing import TypeVar

import jax
import optax

T = TypeVar("T")


def periodic_update(new: T, old: T, steps: jax.Array, period: int) -> T:
  """`new` where `steps` is a multiple of `period`, else `old`.

  Args:
    new: the online parameters.
    old: the target's.
    steps: [] integer, updates so far, this one included.
    period: updates between two copies.

  Returns:
    The target's parameters, in the dtypes of `old`.
  """
  # Both branches of a `lax.cond` must have one dtype, and with jax_enable_x64 one side may be float64.
  updated: T = optax.periodic_update(_like(new, old), old, steps, period)
  return updated


def soft_update(new: T, old: T, step_size: float) -> T:
  """τ new + (1 − τ) old (Lillicrap et al. 2015, 1509.02971), in the dtypes of `old`; `step_size` is τ."""
  updated: T = optax.incremental_update(new, old, step_size)
  return _like(updated, old)


def _like(values: T, like: T) -> T:
  cast: T = jax.tree.map(lambda value, target: value.astype(target.dtype), values, like)
  return cast
