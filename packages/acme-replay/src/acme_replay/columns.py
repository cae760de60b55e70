"""One field of the stored records: preallocated arrays, one for each leaf of its spec.

Shapes: C capacity, B batch.
"""

import math
import os
import tempfile
from typing import Any

import numpy as np
import tree

from acme import specs, types

Rows = Any  # An int for one row; a slice or an intp array for several.

_Bounds = tuple[float, float] | None  # None: there are none.
_UNKNOWN = ()


def ring_index(start: int, count: int | None, capacity: int) -> Rows:
  """The places of `count` consecutive numbers from `start` in a ring; an int where `count` is None."""
  start %= capacity
  if count is None:
    return start
  if start + count <= capacity:
    return slice(start, start + count)
  return np.arange(start, start + count) % capacity


def make_column(name: str, spec: types.NestedSpec, capacity: int, leaf: type["LeafColumn"] | None = None) -> Any:
  """Makes the column of a spec: a LeafColumn, or what `leaf` is in its place; or a NestColumn of them."""
  leaf = leaf if leaf is not None else LeafColumn
  return leaf(name, spec, capacity) if isinstance(spec, specs.Array) else NestColumn(name, spec, capacity, leaf)


class LeafColumn:
  """An array [C, …], written and read by row.

  Attributes:
    elsewhere: whether the array lies outside the memory of the process.
  """

  elsewhere = False

  def __init__(self, name: str, spec: specs.Array, capacity: int) -> None:
    self.name = name
    self.spec = spec
    self._dtype = np.dtype(spec.dtype)
    self._shape = tuple(spec.shape)
    self.allocate(capacity)
    # Which numbers are kept as they are, by the dtype of an array or the type of a scalar that passed once.
    self._kept: dict[Any, _Bounds] = {self._dtype: None}

  def check(self, value: Any, count: int | None) -> Any:
    """Returns what `write` takes, of a value for one row, or of one with a leading [count].

    Raises:
      ValueError: the shape is not that of the spec, the dtype is of another kind, or a number does not fit in the
        spec's. Floats may be rounded, but not to infinity.
    """
    shape = self._shape if count is None else (count, *self._shape)
    if type(value) is np.ndarray:
      kept = self._kept.get(value.dtype, _UNKNOWN)
      if value.shape == shape and (kept is None or (kept and _within(value, *kept))):
        return value
    elif not shape:
      kept = self._kept.get(type(value), _UNKNOWN)
      if kept is None or (kept and kept[0] <= value <= kept[1]):
        return value
    return self._check_closely(value, shape)

  def allocate(self, capacity: int) -> None:
    """Makes room for `capacity` rows."""
    self.array = np.zeros((capacity, *self._shape), self._dtype)

  def write(self, rows: Rows, value: Any) -> None:
    """Writes what `check` returned."""
    self.array[rows] = value

  def read(self, rows: np.ndarray) -> np.ndarray:
    """Reads [*rows.shape, …] for the process itself."""
    return self.array[rows]

  def take(self, rows: np.ndarray, where: np.ndarray | None = None) -> Any:
    """Reads for a sample: a new array [*rows.shape, …]; zeros where `where`, of the shape of `rows`, is False."""
    values = self.array.take(rows, axis=0)
    if where is not None:
      values[~where] = 0
    return values

  def take_stacks(self, rows: np.ndarray, where: np.ndarray | None = None) -> Any:
    """The same of stacks: `rows` [*where.shape, S] gives [*where.shape, …, S], a view, since interleaving is slow."""
    stacks = self.array.take(rows, axis=0)
    if where is not None:
      stacks[~where] = 0
    return np.moveaxis(stacks, rows.ndim - 1, -1)

  def save(self, used: int) -> Any:
    return self.array[:used].copy()

  def restore(self, state: Any) -> None:
    self.array[: len(state)] = state

  def _check_closely(self, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Takes Python numbers, NumPy scalars, and arrays of the same kind of number in another size."""
    array = np.asarray(value)
    if array.shape != shape:
      raise ValueError(f"{self.name}: expected shape {shape} as the spec says, got {array.shape}.")
    integers = array.dtype.kind in "biu" and self._dtype.kind in "iu"
    if not integers and not np.can_cast(array.dtype, self._dtype, "same_kind"):
      raise ValueError(f"{self.name}: expected dtype {self._dtype} as the spec says, got {array.dtype}.")
    self._refuse_changes(array)
    if type(value) is np.ndarray:
      self._kept[array.dtype] = _kept(array.dtype, self._dtype)
    elif type(value) is int:  # Of any size, which its dtype does not say.
      self._kept[int] = _bounds("i", self._dtype)
    elif isinstance(value, float | bool | np.generic):
      self._kept[type(value)] = _kept(array.dtype, self._dtype)
    return array

  def _refuse_changes(self, array: np.ndarray) -> None:
    """Raises ValueError where the column's dtype would make other numbers of these."""
    with np.errstate(over="ignore", invalid="ignore"):
      cast = array.astype(self._dtype)
      if array.dtype.kind in "biu":
        changed = (cast.astype(array.dtype) != array) | ((cast < 0) != (array < 0))
      else:
        changed = np.isinf(cast) & ~np.isinf(array)
    if changed.any():
      place = tuple(map(int, np.argwhere(changed)[0]))
      raise ValueError(
        f"{self.name}: expected numbers that fit in {self._dtype} as the spec says, got {array[place]}"
        f"{f' at {place}' if place else ''}, which would become {cast[place]}."
      )


class MappedColumn(LeafColumn):
  """The same in a file without a name, of which the system keeps in memory what it has room for."""

  elsewhere = True

  def allocate(self, capacity: int) -> None:
    """Makes room, in the folder for temporary files. Raises OSError where the disk has none."""
    shape = (capacity, *self._shape)
    size = math.prod(shape) * self._dtype.itemsize
    if not size:
      super().allocate(capacity)
      return
    with tempfile.TemporaryFile() as file:
      os.posix_fallocate(file.fileno(), 0, size)  # Now, and not when it is written.
      self.array = np.asarray(np.memmap(file, self._dtype, "r+", shape=shape))


def _bounds(kind: str, target: np.dtype) -> _Bounds:
  """Between which numbers those of a kind of dtype are kept by `target`, floats but for rounding."""
  if target.kind in "iu":
    return int(np.iinfo(target).min), int(np.iinfo(target).max)
  if target.kind != "f":
    return None
  high = float(np.finfo(target).max) if kind == "f" else 2 ** (np.finfo(target).nmant + 1)
  return -high, high


def _kept(source: np.dtype, target: np.dtype) -> _Bounds:
  """As `_bounds`; None where no number of dtype `source` is beyond them."""
  bounds = _bounds(source.kind, target)
  if source == target or source.kind not in "iuf" or bounds is None:
    return None
  own = np.finfo(source) if source.kind == "f" else np.iinfo(source)
  return None if bounds[0] <= own.min and own.max <= bounds[1] else bounds


def _within(array: np.ndarray, low: float, high: float) -> bool:
  """Whether all numbers are between two others."""
  if array.dtype.kind == "f":  # low is -high, so none is beyond them where the sum of squares is not beyond the square.
    return bool(np.vdot(array, array) <= high * high)
  return array.size == 0 or bool(low <= np.minimum.reduce(array, None) and np.maximum.reduce(array, None) <= high)


class NestColumn:
  """A column for each leaf of a nest; there may be none."""

  def __init__(self, name: str, spec: types.NestedSpec, capacity: int, leaf: type[LeafColumn] = LeafColumn) -> None:
    self.name = name
    self.spec = spec
    self._columns = [
      leaf(name + "".join(f"[{key!r}]" for key in path), each, capacity) for path, each in tree.flatten_with_path(spec)
    ]

  def check(self, value: Any, count: int | None) -> list[Any]:
    """As LeafColumn; ValueError where the structure is not that of the spec."""
    if not self._columns and type(value) is tuple and not value:
      return []
    try:
      tree.assert_same_structure(self.spec, value, check_types=False)
    except (ValueError, TypeError) as error:
      wanted = specs.describe(self.spec)
      raise ValueError(f"{self.name}: expected the structure {wanted}, got another one. {error}") from None
    return [column.check(leaf, count) for column, leaf in zip(self._columns, tree.flatten(value), strict=True)]

  def write(self, rows: Rows, value: list[Any]) -> None:
    for column, leaf in zip(self._columns, value, strict=True):
      column.write(rows, leaf)

  def take(self, rows: np.ndarray, where: np.ndarray | None = None) -> types.NestedArray:
    if not self._columns:
      return self.spec
    return tree.unflatten_as(self.spec, [column.take(rows, where) for column in self._columns])

  def save(self, used: int) -> Any:
    return [column.save(used) for column in self._columns]

  def restore(self, state: Any) -> None:
    for column, saved in zip(self._columns, state, strict=True):
      column.restore(saved)
