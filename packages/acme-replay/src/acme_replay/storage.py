"""The ring of steps: each observation is stored once, however many items refer to it.

A row is a `types.Step`: o_t, and the a_{t-1}, r_t, d_t that led to it. Rows have numbers that only grow; row i lies at
place i mod C. Each knows the row before and the row after it in its stream, so that items need to name only a few.

Shapes: C rows held, N streams.
"""

from typing import Any, NamedTuple

import numpy as np

from acme import types
from acme_replay.columns import LeafColumn, make_column, ring_index
from acme_replay.frames import FrameStacks

NONE = -1  # No such row.


class Prepared(NamedTuple):
  """A step that has been checked and can be written."""

  leaves: list[Any]  # by field, as its column checked them
  num_streams: int | None  # None for one without a leading axis
  before: int  # the stream's row before, or that of the first stream; NONE where it is not there
  num_rows: int  # rows to be written, those for older frames included
  stacks: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None  # what FrameStacks.write takes


class Ring:
  """Rows of steps, and how many items need each of them."""

  def __init__(
    self,
    step_spec: types.Step,
    capacity: int,
    frame_stack: int | None = None,
    observation_column: type[LeafColumn] = LeafColumn,
  ) -> None:
    self.capacity = capacity
    self.head = 0  # The number of the next row.
    self.previous = np.full(capacity, NONE, np.int64)  # The row before in the stream.
    self.next = np.full(capacity, NONE, np.int64)  # The row after in the stream.
    self.pins = np.zeros(capacity, np.int32)  # How many items have it as the oldest row they need.
    self._arange = np.arange(1)
    spec, leaf = step_spec.observation, observation_column
    self._stacks = None if frame_stack is None else FrameStacks(spec, frame_stack, capacity, leaf)
    self.observation: Any = self._stacks or make_column("observation", spec, capacity, leaf)
    self.action = make_column("action", step_spec.action, capacity)
    self.reward = make_column("reward", step_spec.reward, capacity)
    self.discount = make_column("discount", step_spec.discount, capacity)
    self.start = make_column("start_of_episode", step_spec.start_of_episode, capacity)
    self.extras = make_column("extras", step_spec.extras, capacity)
    self._fields = [self.observation, self.action, self.reward, self.discount, self.start, self.extras]
    self._written = self._fields if self._stacks is None else self._fields[1:]

  @property
  def tail(self) -> int:
    """The number of the oldest row that is still there."""
    return max(0, self.head - self.capacity)

  def oldest_needed(self, first: Any) -> Any:
    """The oldest row that the observation of row `first` needs; one below `tail` where any of these is gone."""
    return first if self._stacks is None else self._stacks.oldest(first, self.tail)

  def unpin(self, rows: Any) -> None:
    """Forgets items whose oldest rows were `rows`, which may repeat."""
    if isinstance(rows, np.ndarray):
      np.subtract.at(self.pins, rows % self.capacity, 1)
    else:
      self.pins[rows % self.capacity] -= 1

  def prepare(self, step: types.Step, before: int, count: int | None) -> Prepared:
    """Checks a step of one stream or of `count`, that follows the row or the first of the rows `before`.

    Raises:
      ValueError: it does not fit the spec, or its frames do not go on from those of the row before.
    """
    leaves = [field.check(value, count) for field, value in zip(self._fields, step, strict=True)]
    rows = 1 if count is None else count
    if before < self.head + rows - self.capacity:
      before = NONE
    if self._stacks is None:
      return Prepared(leaves, count, before, rows, None)
    stacks = leaves[0] if count is not None else leaves[0][None]  # [N, H, W, S]
    starts = np.full(rows, before == NONE) | np.asarray(leaves[4], bool)
    rows_before = before + np.arange(rows)
    older = self._stacks.plan(stacks, starts, rows_before)
    num_rows = rows + len(older) * (self._stacks.size - 1)
    return Prepared(leaves, count, before, num_rows, (stacks, starts, rows_before, older))

  def write(self, step: Prepared) -> int:
    """Writes a step over whatever lies at the head; returns the number of its row, or of the first stream's."""
    row, count, before = self.head, step.num_streams, step.before
    self.head += step.num_rows
    if self._stacks is not None and step.stacks is not None:
      row = self._stacks.write(*step.stacks, row)
    place = ring_index(row, count, self.capacity)
    first = 0 if self._stacks is None else 1
    for field, leaves in zip(self._written, step.leaves[first:], strict=True):
      field.write(place, leaves)
    self.next[place] = NONE
    if before < self.tail:  # Older frames may just have been written over it.
      self.previous[place] = NONE
    else:
      streams: Any = 0 if count is None else self._streams(count)
      self.previous[place] = before + streams
      self.next[ring_index(before, count, self.capacity)] = row + streams
    return row

  def _streams(self, count: int) -> np.ndarray:
    if len(self._arange) != count:
      self._arange = np.arange(count)
    return self._arange

  def save(self) -> types.State:
    used = min(self.head, self.capacity)
    columns = {column.name: column.save(used) for column in self._columns()}
    links = {name: array[:used].copy() for name, array in self._links().items()}
    return {"head": self.head, "columns": columns, "links": links}

  def restore(self, state: types.State) -> None:
    self.head = state["head"]
    self.pins[:] = 0
    for column in self._columns():
      column.restore(state["columns"][column.name])
    for name, array in self._links().items():
      array[: len(state["links"][name])] = state["links"][name]

  def _columns(self) -> list[Any]:
    return self._written if self._stacks is None else [self._stacks.frames, *self._written]

  def _links(self) -> dict[str, np.ndarray]:
    links: dict[str, np.ndarray] = {"previous": self.previous, "next": self.next, "pins": self.pins}
    if self._stacks is not None:
      links["before"] = self._stacks.before
    return links
