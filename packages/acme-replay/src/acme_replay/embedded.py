"""The store that lives in the process: NumPy only, deterministic by seed.

Shapes: N streams, K of them, B batch.
"""

import os
import pathlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tree

from acme import replay, specs, types
from acme_replay.columns import LeafColumn
from acme_replay.items import SequenceItems, TransitionItems, item_bytes
from acme_replay.sampling import SumTree
from acme_replay.storage import NONE, Ring
from acme_replay.table import Table, needs_tree, num_places

_SMALL_ROW = 1024  # Bytes.


class EmbeddedStore(replay.Store):
  """Tables over one ring of steps, each of which is stored once however many items refer to it.

  An item keeps the steps that it needs: where a new step would be written over one of these, the oldest items go first.
  """

  def __init__(
    self,
    tables: Sequence[replay.Table],
    step_spec: types.Step,
    seed: int = 0,
    *,
    max_steps: int | None = None,
    frame_stack: int | None = None,
    core_spec: types.NestedSpec = (),
    one_step: bool = False,
    available_memory: int | None = None,
    observation_column: type[LeafColumn] = LeafColumn,
  ) -> None:
    """Makes an empty store.

    Args:
      tables: descriptions; each item of theirs is to bring about one new step (see max_steps).
      step_spec: the spec of one step (acme.builders.step_spec).
      seed: each table chooses with a generator of its own derived from it.
      max_steps: steps held, over all streams. None for what one item per step needs: twice the largest table where a
        step is under 1 KiB, else 17/16 of it, and some more. Sequences need as many for each item as their period.
      frame_stack: how many consecutive frames lie on the last axis of the observation; each frame is then stored once.
        None stores observations as they come.
      core_spec: the spec of the recurrent state that sequences keep; () for none.
      one_step: whether transitions say what their first step led to.
      available_memory: bytes that may be taken; None for what the machine has to spare.
      observation_column: what keeps each leaf of the observations.

    Raises:
      MemoryError: the store would not fit.
      ValueError: two tables have one name, or the observation is no stack of `frame_stack` frames.
    """
    replay.check_unique(tables)
    self._nbytes = size_in_bytes(tables, step_spec, max_steps=max_steps, frame_stack=frame_stack, core_spec=core_spec)
    capacity = _num_rows(tables, step_spec, max_steps, frame_stack)
    beside = capacity * _observation_bytes(step_spec, frame_stack) if observation_column.elsewhere else 0
    _check_memory(self._nbytes - beside, capacity, tables, available_memory)
    self._signature = _signature(tables, step_spec, capacity, frame_stack, core_spec)
    self._ring = Ring(step_spec, capacity, frame_stack, observation_column)
    seeds = np.random.SeedSequence(seed).spawn(len(tables))
    options: dict[type, Any] = {TransitionItems: one_step, SequenceItems: core_spec}
    self._tables = {table.name: Table(table, self._ring, s, options) for table, s in zip(tables, seeds, strict=True)}
    self._warned = False

  @property
  def nbytes(self) -> int:
    """Bytes that the store takes when it is full; the system hands them out as they are first written."""
    return self._nbytes

  @property
  def max_steps(self) -> int:
    """Steps that the ring holds."""
    return self._ring.capacity

  @property
  def num_steps(self) -> int:
    """Steps in the ring now, the rows of older frames included."""
    return min(self._ring.head, self._ring.capacity)

  def writer(self, num_streams: int | None = None) -> "EmbeddedWriter":
    if num_streams is not None and not 1 <= num_streams <= self._ring.capacity // 4:
      raise ValueError(
        f"num_streams: expected 1 to {self._ring.capacity // 4} (a quarter of the ring's {self._ring.capacity} steps), "
        f"got {num_streams}."
      )
    return EmbeddedWriter(self, num_streams)

  def dataset(self, table: str, batch_size: int) -> Iterator[replay.Sample]:
    """An endless iterator of batches; what it gives belongs to the caller.

    `next` raises RuntimeError where fewer than `batch_size` items may be sampled: in one process nobody else would come
    and insert more.
    """
    if batch_size < 1:
      raise ValueError(f"batch_size: expected 1 or more, got {batch_size}.")
    return _Dataset(self.table(table), batch_size)

  def once(self, table: str, batch_size: int) -> Iterator[replay.Sample]:
    """Every item of a table once; none where there is no such table."""
    return self._tables[table].once(batch_size) if table in self._tables else iter(())

  def update_priorities(self, table: str, keys: np.ndarray, priorities: np.ndarray) -> None:
    """Sets priorities [B] of the items `keys` [B]; those gone are passed over, of equal keys the last one counts.

    Raises:
      ValueError: a priority is negative, so large that the sum of powers might overflow, or NaN, or the shapes differ.
    """
    self.table(table).update_priorities(keys, priorities)

  def info(self) -> Mapping[str, replay.TableInfo]:
    return {name: table.info for name, table in self._tables.items()}

  def available(self, table: str) -> float:
    return self.table(table).available()

  def mass(self, table: str) -> float:
    """Σ_i p_i^α over the items of a table, of which P(i) is p_i^α's share; their number where it is not prioritised."""
    return self.table(table).mass()

  def table(self, name: str) -> Table:
    """The table called `name`. Raises KeyError for an unknown one."""
    try:
      return self._tables[name]
    except KeyError:
      raise KeyError(f"No table is called {name!r}; there are: {', '.join(self._tables)}.") from None

  def set_cores(self, table: str, cores: types.NestedArray) -> None:
    """Sets the recurrent states [C, …] of the sequences of a table, all that were ever inserted, in that order."""
    column, count = self.table(table).of_kind(SequenceItems).core, self.info()[table].inserts
    column.write(np.arange(count), column.check(cores, count))

  def append(self, step: types.Step, before: int, count: int | None) -> int:
    """Stores a step of one stream, or of `count`, that follows row `before`; returns the number of its (first) row."""
    prepared = self._ring.prepare(step, before, count)
    if self._ring.head + prepared.num_rows > self._ring.capacity:
      self._make_room(prepared.num_rows)
    return self._ring.write(prepared)

  @property
  def ring(self) -> Ring:
    """The steps."""
    return self._ring

  def _make_room(self, count: int) -> None:
    """Evicts the items that need the rows to be written over next."""
    ring = self._ring
    if count > ring.capacity // 2:
      raise ValueError(f"{count} steps come at once, and the ring holds {ring.capacity}: raise max_steps.")
    start = ring.head % ring.capacity
    end = start + count
    if count == 1 and not ring.pins[start]:
      return
    pinned = ring.pins[start:end].any() or (end > ring.capacity and ring.pins[: end - ring.capacity].any())
    if not pinned:
      return
    oldest = ring.head - ring.capacity
    for row in range(oldest, oldest + count):
      while ring.pins[row % ring.capacity]:
        self._evict_for(row)

  def _evict_for(self, row: int) -> None:
    """Evicts one item of each table whose oldest needs `row` or an older one; of every table where none does."""
    filled = [table for table in self._tables.values() if len(table)]
    for table in [table for table in filled if table.oldest_row <= row] or filled:
      self._warn(table)
      table.evict(1)

  def _warn(self, table: Table) -> None:
    """Says once that items go before their table is full; raises RuntimeError where they belong to a queue."""
    name, size, wanted = table.description.name, len(table), table.description.max_size
    advice = (
      f"the ring's {self._ring.capacity} steps are used up: pass a larger max_steps to EmbeddedStore, for sequences "
      "about max_size times their period plus length."
    )
    if table.is_queue:
      raise RuntimeError(f"The queue {name!r} holds {size} items that may not be lost, and {advice} Or sample first.")
    if not self._warned and size < wanted * 9 // 10:
      self._warned = True
      warnings.warn(
        f"Table {name!r} holds {size} of {wanted} items and must drop the oldest, as {advice}", stacklevel=5
      )

  def save(self, contents: bool = True) -> types.State:
    """Returns steps, items, priorities and generators, without `contents` neither the steps nor the items.

    Writers are saved apart, by whoever writes.
    """
    return {
      "signature": dict(self._signature),
      "ring": self._ring.save() if contents else None,
      "tables": {name: table.save(contents) for name, table in self._tables.items()},
    }

  def restore(self, state: types.State) -> None:
    """Puts back what `save` returned; where that is without contents, these must be here already.

    Raises:
      ValueError: it is of a store of other tables, specs or sizes; the message says which.
    """
    for key, value in self._signature.items():
      if state["signature"].get(key) != value:
        raise ValueError(
          f"The saved replay has another {key}: expected {value}, got {state['signature'].get(key)}. Make the store "
          "as it was made when it was saved."
        )
    if state["ring"] is not None:
      self._ring.restore(state["ring"])
    for name, table in self._tables.items():
      table.restore(state["tables"][name])


class EmbeddedWriter(replay.Writer):
  """One stream of steps, or N parallel ones, into an EmbeddedStore."""

  def __init__(self, store: EmbeddedStore, num_streams: int | None) -> None:
    self.num_streams = num_streams
    self._store = store
    self._ring = store.ring
    self._stride = num_streams or 1
    self._row = NONE  # The newest row, of the first stream.
    self._steps = 0  # So far.
    self._unbroken = 0  # How many of the rows before the newest lie at steps of `stride` from it.

  def append(self, step: types.Step) -> None:
    """Stores one step of each stream. Raises ValueError where it does not fit the step spec."""
    before = self._row
    self._row = self._store.append(step, before, self.num_streams)
    self._unbroken = self._unbroken + 1 if before >= 0 and self._row == before + self._stride else 0
    self._steps += 1

  def create_item(
    self,
    table: str,
    trajectory: replay.TransitionItem | replay.SequenceItem,
    priority: float | None = None,
    streams: np.ndarray | None = None,
  ) -> None:
    _check_streams(streams, self.num_streams)
    target = self._store.table(table)
    count = None if streams is None else len(streams)
    last = self._row if streams is None else self._row + streams
    if isinstance(trajectory, replay.TransitionItem):
      transitions = target.of_kind(TransitionItems)
      reward = transitions.reward.check(trajectory.reward, count)
      discount = transitions.discount.check(trajectory.discount, count)
      first, oldest = self._rows_back(last, trajectory.num_steps, 1)
      index = target.claim(count, priority, oldest)
      transitions.write(index, oldest, first, last, reward, discount)
    else:
      sequences = target.of_kind(SequenceItems)
      core = sequences.core.check(trajectory.core, count)
      first, oldest = self._rows_back(last, trajectory.length - 1, 0)
      index = target.claim(count, priority, oldest)
      sequences.write(index, oldest, first, trajectory.length, trajectory.padding, core)

  def _rows_back(self, last: Any, steps: Any, least: int) -> tuple[Any, Any]:
    """The rows `steps` before the newest ones, `last`, and the oldest that their observations need.

    Raises:
      ValueError: `steps` is below `least`, or there are not so many.
      RuntimeError: they have been written over.
    """
    one = self.num_streams is None
    low, high = (steps, steps) if one else (int(np.minimum.reduce(steps)), int(np.maximum.reduce(steps)))
    if low < least or high >= self._steps:
      raise ValueError(
        f"An item goes {low} to {high} steps back, and there are {self._steps} steps: expected {least} or more."
      )
    unbroken = high <= self._unbroken
    first = last - steps * self._stride if unbroken else self._follow(last, steps, high)
    oldest, tail = self._ring.oldest_needed(first), self._ring.tail
    # The first stream's row comes before the others', and says it mostly.
    surely = unbroken and oldest is first and self._row - high * self._stride >= tail
    if not surely and int(np.min(oldest)) < tail:
      raise RuntimeError(
        f"An item goes {high} steps back, and these have been written over: the ring holds {self._ring.capacity} steps "
        "over all streams. Pass a larger max_steps to EmbeddedStore."
      )
    return first, oldest

  def _follow(self, last: Any, steps: Any, high: int) -> Any:
    """The rows `steps` before `last`, found row by row."""
    row = np.asarray(last)
    for k in range(high):
      before = np.where(row >= self._ring.tail, self._ring.previous[row % self._ring.capacity], NONE)
      row = np.where(k < np.asarray(steps), before, row)
    return row if self.num_streams is not None else int(row)

  def save(self) -> types.State:
    return {"row": self._row, "steps": self._steps, "unbroken": self._unbroken}

  def restore(self, state: types.State) -> None:
    self._row, self._steps, self._unbroken = state["row"], state["steps"], state["unbroken"]


def _check_streams(streams: np.ndarray | None, count: int | None) -> None:
  """Raises ValueError where `streams` are not some of `count`."""
  if streams is None or count is None:
    fits = streams is None and count is None
  else:
    fits = len(streams) > 0 and 0 <= streams[0] <= streams[-1] < count
  if not fits:
    wanted = "None for one stream" if count is None else f"ascending [K] int from 0 to {count - 1}"
    raise ValueError(f"streams: expected {wanted}, got {streams}.")


class _Dataset(Iterator[replay.Sample]):
  def __init__(self, table: Table, batch_size: int) -> None:
    self._table = table
    self._batch_size = batch_size

  def __next__(self) -> replay.Sample:
    return self._table.sample(self._batch_size)


def size_in_bytes(
  tables: Sequence[replay.Table],
  step_spec: types.Step,
  *,
  max_steps: int | None = None,
  frame_stack: int | None = None,
  core_spec: types.NestedSpec = (),
) -> int:
  """Bytes that an EmbeddedStore takes when it is full (arguments as there)."""
  rows = _num_rows(tables, step_spec, max_steps, frame_stack)
  total = rows * (_step_bytes(step_spec, frame_stack) + (20 if frame_stack is None else 28))
  for table in tables:
    places = num_places(table)
    total += places * (item_bytes(step_spec, core_spec) + (0 if table.max_times_sampled is None else 4))
    total += SumTree.size_in_bytes(places) if needs_tree(table) else 0
  return total


def _num_rows(
  tables: Sequence[replay.Table], step_spec: types.Step, max_steps: int | None, frame_stack: int | None
) -> int:
  """How many rows the ring has: an episode has one observation more than transitions, a step may be pending."""
  if max_steps is not None:
    if max_steps < 4:
      raise ValueError(f"max_steps: expected 4 or more, got {max_steps}.")
    return max_steps
  items = max(table.max_size for table in tables)
  if is_small(step_spec, frame_stack):
    return 2 * items + 4096
  return items + items // 16 + 512


def is_small(step_spec: types.Step, frame_stack: int | None) -> bool:
  """Whether steps are so small that a few too many cost little."""
  return _step_bytes(step_spec, frame_stack) < _SMALL_ROW


def _step_bytes(step_spec: types.Step, frame_stack: int | None) -> int:
  return _bytes(step_spec._replace(observation=())) + _observation_bytes(step_spec, frame_stack)


def _observation_bytes(step_spec: types.Step, frame_stack: int | None) -> int:
  return _bytes(step_spec.observation) // (frame_stack or 1)


def _bytes(spec: types.NestedSpec) -> int:
  return sum(int(np.prod(leaf.shape)) * np.dtype(leaf.dtype).itemsize for leaf in tree.flatten(spec))


def _check_memory(needed: int, rows: int, tables: Sequence[replay.Table], available: int | None) -> None:
  available = free_memory() if available is None else available
  if needed <= available:
    return
  table = max(tables, key=lambda table: table.max_size)
  fits = int(table.max_size * available / needed)
  raise MemoryError(
    f"The replay would take {needed / 2**30:.2f} GiB ({rows:,} steps), and {available / 2**30:.2f} GiB of memory are "
    f"available. Lower max_size of table {table.name!r} from {table.max_size:,} to {fits:,} or less; "
    "for stacks of frames, pass frame_stack to EmbeddedStore, which stores each frame once."
  )


def free_memory() -> int:
  """Bytes that the machine has to spare."""
  try:
    lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
  except (OSError, StopIteration):
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _signature(
  tables: Sequence[replay.Table],
  step_spec: types.Step,
  capacity: int,
  frame_stack: int | None,
  core_spec: types.NestedSpec,
) -> dict[str, Any]:
  """What a saved store and the one it is put back into must have in common."""
  return {
    "tables": [repr(table) for table in tables],
    "step spec": specs.describe(step_spec._asdict()),
    "max_steps": capacity,
    "frame_stack": frame_stack,
    "core spec": specs.describe(core_spec),
  }
