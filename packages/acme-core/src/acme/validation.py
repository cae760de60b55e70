"""Checks of what passes between an environment and an actor, that say clearly when something else comes."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tree

from acme import types
from acme.specs import Array, BoundedArray, batched, describe

_LARGEST = float(np.finfo(np.float64).max)


def convert(name: str, value: Any, dtype: np.dtype[Any]) -> np.ndarray:
  """Makes an array of `dtype`; the value stays what it was.

  Only the rounding of floats to fewer bits is free.

  Args:
    name: what the errors call the value.
    value: a number or an array.
    dtype: of numbers or truth values.

  Raises:
    ValueError: a number that `dtype` cannot hold, or something that is no number.
  """
  array = _as_array(name, value, dtype)
  if array.dtype == dtype:
    return array
  with np.errstate(all="ignore"):
    result = array.astype(dtype)
  rounds = dtype.kind == "f" and array.dtype.kind == "f"
  same = np.isfinite(result) | ~np.isfinite(array) if rounds else result == array
  if not np.all(same):
    first = tuple(np.argwhere(~np.atleast_1d(same))[0])[: array.ndim]
    where = f"[{', '.join(map(str, first))}]" if first else ""
    raise ValueError(
      f"{name}{where}: expected a number that {dtype} holds, got {array[first]!r}, which would become "
      f"{result[first]!r}. Give values of the spec's dtype, or a spec of theirs."
    )
  return result


class Validator:
  """Checks values against a spec: structure, shape, dtype, and that floats are finite.

  Bounds are not checked: many environments step a little outside their own.
  """

  def __init__(self, name: str, spec: types.NestedSpec, batch: int | None = None) -> None:
    """Makes a validator of `spec`, or of `batch` stacked values of it; `name` is what its errors call the value."""
    self._name = name
    self._spec = spec if batch is None else batched(spec, batch)
    self.fits = _quick_check(self._spec)  # Whether a value surely fits: the quick half of a call.

  def __call__(self, value: types.NestedArray) -> None:
    """Raises ValueError where `value` does not fit, naming the leaf, what was expected and what came."""
    if self.fits(value):
      return
    if isinstance(self._spec, Array):
      self._check(self._name, self._spec, value)
      return
    try:
      tree.assert_same_structure(self._spec, value)
    except (ValueError, TypeError):
      raise ValueError(
        f"{self._name}: expected the structure of its spec, {describe(self._spec)}, got {brief(value)}."
      ) from None
    leaves = tree.flatten(value)
    for (path, spec), leaf in zip(tree.flatten_with_path(self._spec), leaves, strict=True):
      self._check(self._name + "".join(f"[{key}]" for key in path), spec, leaf)

  def _check(self, name: str, spec: Array, value: Any) -> None:
    array = _as_array(name, value, spec.dtype)
    _check_shape(name, spec, array)
    # A Python number stands for a scalar of the spec's dtype; an array must have that dtype itself.
    if array.dtype != spec.dtype and (array is value or not np.can_cast(array.dtype, spec.dtype, "same_kind")):
      raise ValueError(f"{name}: expected dtype {spec.dtype} as its spec says, got {array.dtype}: {brief(value)}.")
    if not np.isfinite(array).all():
      raise ValueError(
        f"{name}: expected finite numbers, got {brief(array)}. The environment gave a NaN or an infinity."
      )
    convert(name, array, spec.dtype)


class ActionValidator(Validator):
  """Checks actions against their spec: structure, shape and bounds, and that the spec's dtype holds them."""

  def __init__(self, spec: types.NestedSpec, batch: int | None = None, name: str = "action") -> None:
    super().__init__(name, spec, batch)
    self.fits = _quick_check(self._spec, bounds=True)

  def _check(self, name: str, spec: Array, value: Any) -> None:
    array = convert(name, value, spec.dtype)
    _check_shape(name, spec, array)
    if not np.isfinite(array).all():
      raise ValueError(f"{name}: expected finite numbers, got {brief(array)}. The actor gave a NaN or an infinity.")
    if isinstance(spec, BoundedArray) and not _within(*_bounds(spec), array):
      raise ValueError(
        f"{name}: expected numbers within the bounds of its spec, {spec.minimum} to {spec.maximum}, got "
        f"{brief(array)}. Clip what the actor gives."
      )


class DiscountValidator(Validator):
  """Checks discounts against their spec, and that they lie in [0, 1]."""

  def __init__(self, name: str, spec: types.NestedSpec, batch: int | None = None) -> None:
    super().__init__(name, spec, batch)
    unit = tree.map_structure(lambda leaf: BoundedArray(leaf.shape, leaf.dtype, 0, 1), self._spec)
    self.fits = _quick_check(unit, bounds=True)

  def _check(self, name: str, spec: Array, value: Any) -> None:
    super()._check(name, spec, value)
    array = np.asarray(value)
    if not np.all((array >= 0) & (array <= 1)):
      raise ValueError(f"{name}: expected a number in [0, 1], got {brief(array)}.")


def _quick_check(spec: types.NestedSpec, bounds: bool = False) -> Callable[[Any], bool]:
  """Makes a function that tells whether a value surely fits; where it cannot tell quickly, it says no."""
  if isinstance(spec, Array):
    bounded = bounds and isinstance(spec, BoundedArray)
    low, high = _bounds(spec) if bounded else (-math.inf, math.inf)
    return _scalar_check(spec, low, high) if not spec.shape else _array_check(spec, low, high, bounded)
  if not isinstance(spec, dict | list | tuple):
    return lambda value: False
  pairs = spec.items() if isinstance(spec, dict) else enumerate(spec)
  children = [(key, _quick_check(child, bounds)) for key, child in pairs]
  kind, size = type(spec), len(children)

  def all_fit(value: Any) -> bool:
    if type(value) is not kind or len(value) != size:
      return False
    try:
      for key, child_fits in children:
        if not child_fits(value[key]):
          return False
    except KeyError:
      return False
    return True

  return all_fit


def _scalar_check(spec: Array, low: Any, high: Any) -> Callable[[Any], bool]:
  kind, dtype = spec.dtype.type, spec.dtype
  number: Any = float if dtype.kind == "f" else int  # Python's numbers compare faster.
  low, high = max(low, -_LARGEST), min(high, _LARGEST)

  def fits(value: Any) -> bool:
    if type(value) is not kind and not (type(value) is np.ndarray and value.shape == () and value.dtype == dtype):
      return False
    return bool(low <= number(value) <= high)

  return fits


def _array_check(spec: Array, low: Any, high: Any, bounded: bool) -> Callable[[Any], bool]:
  shape, dtype, is_float = spec.shape, spec.dtype, spec.dtype.kind == "f"

  def fits(value: Any) -> bool:
    if type(value) is not np.ndarray or value.shape != shape or not (value.dtype is dtype or value.dtype == dtype):
      return False
    if is_float and not math.isfinite(np.vdot(value, value)):
      return False  # An element is not finite, or their squares are too large to tell so quickly.
    return not bounded or _within(low, high, value)

  return fits


def _as_array(name: str, value: Any, dtype: np.dtype[Any]) -> np.ndarray:
  """A number or an array of numbers as an array; ValueError where it is something else."""
  try:
    array = value if isinstance(value, np.ndarray) else np.asarray(value)
  except Exception as error:  # Whatever the value's own conversion raises.
    raise ValueError(f"{name}: expected an array of {dtype}, got {brief(value)}: {error}") from None
  if array.dtype.kind not in "biuf":
    raise ValueError(f"{name}: expected dtype {dtype}, numbers, got {array.dtype}: {brief(value)}.")
  return array


def _check_shape(name: str, spec: Array, array: np.ndarray) -> None:
  if array.shape != spec.shape:
    raise ValueError(f"{name}: expected shape {spec.shape} as its spec says, got {array.shape}.")


def _bounds(spec: BoundedArray) -> tuple[Any, Any]:
  """The bounds, as Python's numbers where they are single ones: those compare faster."""
  return tuple(bound.item() if bound.ndim == 0 else bound for bound in (spec.minimum, spec.maximum))


def _within(low: Any, high: Any, value: np.ndarray) -> bool:
  """Whether all of a value lies within bounds; NaN does not."""
  return 0 not in ((value >= low) & (value <= high)).tobytes()  # As all() does, a few times as fast.


def brief(value: Any) -> str:
  """A value on one line of at most 80 characters, for messages."""
  text = " ".join(repr(value).split())
  return text if len(text) <= 80 else text[:77] + "..."
