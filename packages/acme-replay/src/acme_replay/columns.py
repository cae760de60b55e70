"""One field of the stored records: preallocated arrays, one for each leaf of its spec.

Shapes: C capacity, B batch.
"""

from typing import Any

import numpy as np
import tree

from acme import specs, types

Rows = Any  # An int for one row; a slice or an intp array for several.


def ring_index(start: int, count: int | None, capacity: int) -> Rows:
  """The places of `count` consecutive numbers from `start` in a ring; an int where `count` is None."""
  start %= capacity
  if count is None:
    return start
  if start + count <= capacity:
    return slice(start, start + count)
  return np.arange(start, start + count) % capacity


def make_column(name: str, spec: types.NestedSpec, capacity: int) -> Any:
  """Makes the column of a spec: a LeafColumn, or a NestColumn of them."""
  return LeafColumn(name, spec, capacity) if isinstance(spec, specs.Array) else NestColumn(name, spec, capacity)


class LeafColumn:
  """An array [C, …], written and read by row."""

  def __init__(self, name: str, spec: specs.Array, capacity: int) -> None:
    self.name = name
    self.spec = spec
    self.array = np.zeros((capacity, *spec.shape), spec.dtype)
    self._dtype = self.array.dtype
    self._shape = tuple(spec.shape)
    self._scalars: set[type] = set()  # Types of scalars that passed once.
    self._casts: set[np.dtype] = {self._dtype}  # Dtypes of arrays that passed once.

  def check(self, value: Any, count: int | None) -> Any:
    """Returns what `write` takes, of a value for one row, or of one with a leading [count].

    Raises:
      ValueError: the shape is not that of the spec, or the dtype of another kind.
    """
    if type(value) is np.ndarray and value.dtype in self._casts:
      if value.shape == (self._shape if count is None else (count, *self._shape)):
        return value
    elif count is None and type(value) in self._scalars:
      return value
    return self._check_closely(value, (*self._shape,) if count is None else (count, *self._shape))

  def write(self, rows: Rows, value: Any) -> None:
    """Writes what `check` returned."""
    self.array[rows] = value

  def take(self, rows: np.ndarray, where: np.ndarray | None = None) -> np.ndarray:
    """Reads a new array [*rows.shape, …]; zeros where `where`, of the shape of `rows`, is False."""
    values = self.array.take(rows, axis=0)
    if where is not None:
      values[~where] = 0
    return values

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
    if type(value) is np.ndarray:
      self._casts.add(value.dtype)
    elif not shape:
      self._scalars.add(type(value))
    return array


class NestColumn:
  """A column for each leaf of a nest; there may be none."""

  def __init__(self, name: str, spec: types.NestedSpec, capacity: int) -> None:
    self.name = name
    self.spec = spec
    self._columns = [
      LeafColumn(name + "".join(f"[{key!r}]" for key in path), leaf, capacity)
      for path, leaf in tree.flatten_with_path(spec)
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
