"""Steps and items on their way to a Reverb server.

All streams go through one of Reverb's trajectory writers, one row after another, so that items arrive in the order in
which they were made. Rows of R, D and the like lie between those of steps. A chunk holds one row: Reverb takes the rows
of an item that lie in one chunk to be neighbours, and hands out others where they are not.
"""

from __future__ import annotations

import collections
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from acme import replay, types

if TYPE_CHECKING:
  from acme_reverb.store import ReverbStore

_IN_FLIGHT = 64  # Items that may be on their way when more are sent.


class _Held(NamedTuple):
  """A sequence item that waits for the step after its last one."""

  table: str
  stream: int
  item: replay.SequenceItem
  priority: float


class ReverbWriter(replay.Writer):
  """One stream of steps, or N parallel ones, to a Reverb server."""

  def __init__(self, store: ReverbStore, num_streams: int | None, max_item_steps: int) -> None:
    self.num_streams = num_streams
    self._store = weakref.proxy(store)  # The store keeps its writers, until both are closed.
    self._layout = store.layout
    self._max_item_steps = max_item_steps
    self.open()

  def open(self) -> None:
    """Begins anew, with a connection of its own."""
    streams = self.num_streams or 1
    self._rows: list[collections.deque[int]] = [
      collections.deque(maxlen=self._max_item_steps + 1) for _ in range(streams)
    ]
    self._starts: list[bool] = [True] * streams  # Whether the newest row of each came from a reset.
    self._held: list[_Held] = []
    self._count = 0  # Rows of any kind.
    self._sent = 0  # Items since the last wait.
    steps = streams * (self._max_item_steps + 2)
    rows = 4 * steps  # Those of items lie between those of steps.
    self._writer = self._store.open_trajectory_writer(rows)
    observations = [*self._layout.with_observation, *[False] * (self._layout.num_columns - self._layout.num_step)]
    for column, observation in enumerate(observations):
      self._writer.configure((column,), num_keep_alive_refs=steps if observation else rows, max_chunk_length=1)

  def append(self, step: types.Step) -> None:
    """Stores one step of each stream. Raises ValueError where it does not fit the step spec."""
    leaves = self._layout.step_row(step, self.num_streams)
    start = np.atleast_1d(np.asarray(step.start_of_episode))
    for stream in range(self.num_streams or 1):
      row = leaves if self.num_streams is None else [leaf[stream] for leaf in leaves]
      self._rows[stream].append(self._append(row))
      self._starts[stream] = bool(start[stream])
    if self._held:
      self._release(followed=True)

  def create_item(
    self,
    table: str,
    trajectory: replay.TransitionItem | replay.SequenceItem,
    priority: float | None = None,
    streams: np.ndarray | None = None,
  ) -> None:
    """Inserts an item. A sequence is sent with the next step, which its last one needs, or by `flush` without it.

    Raises:
      KeyError: an unknown table.
      RuntimeError: a queue is full.
      ValueError: the item goes further back than there are steps, or than `max_item_steps`.
    """
    _check_streams(streams, self.num_streams)
    items = [(0, trajectory)] if streams is None else _split(trajectory, streams)
    for stream, item in items:
      self._check(stream, item)
    rows = [self._layout.item_row(item) for _, item in items]  # Raises where it does not fit, before it is counted.
    priority = self._store.claim(table, trajectory, len(items), priority)
    for (stream, item), row in zip(items, rows, strict=True):
      if isinstance(item, replay.TransitionItem):
        self._send_transition(table, stream, item, row, priority)
      else:
        self._held.append(_Held(table, stream, item, priority))

  def flush(self) -> None:
    """Sends the sequences that wait for a step without it, and waits until the server has every item."""
    if self._held:
      self._release(followed=False)
    if self._sent:
      self._sent = 0
      self._store.flush_trajectory_writer(self._writer)

  def close(self) -> None:
    """Ends the connection."""
    self._writer.close()

  def save(self) -> types.State:
    """Returns the rows that later items may refer to."""
    self.flush()
    history = self._writer.history if self._count else []
    columns = [
      [history[column][list(rows)].numpy() for column in range(self._layout.num_step)] if rows else []
      for rows in self._rows
    ]
    return {"columns": columns}

  def restore(self, state: types.State) -> None:
    """Sends the saved rows again, which makes later items what they would have been."""
    self.close()
    self.open()
    for stream, columns in enumerate(state["columns"]):
      for row in zip(*columns, strict=True):
        self._rows[stream].append(self._append([np.asarray(leaf) for leaf in row]))

  def _append(self, step: list[Any], item: list[Any] | None = None) -> int:
    """Adds a row of all columns, and returns its number."""
    rest = self._layout.num_columns - self._layout.num_step
    self._writer.append([*step, *(item or [None] * rest)])
    self._count += 1
    return self._count - 1

  def _check(self, stream: int, item: replay.TransitionItem | replay.SequenceItem) -> None:
    if isinstance(item, replay.TransitionItem):
      back, there = int(item.num_steps), len(self._rows[stream]) - 1
    else:
      back, there = int(item.length), len(self._rows[stream])
    if back > self._max_item_steps:
      raise ValueError(f"An item has {back} steps: pass max_item_steps={back} or more to ReverbStore.")
    if not 1 <= back <= there:
      raise ValueError(f"An item has {back} steps, and there are {there}: expected 1 to {there}.")

  def _send_transition(
    self, table: str, stream: int, item: replay.TransitionItem, row: list[Any], priority: float
  ) -> None:
    rows = self._rows[stream]
    first = len(rows) - 1 - int(item.num_steps)
    own = self._append([None] * self._layout.num_step, row)
    second = [rows[first + 1]]
    seen = [rows[first], *(second if self._layout.num_seen(item) == 3 else ()), rows[-1]]
    steps = [seen if observation else second for observation in self._layout.with_observation]
    self._send(table, steps, own, priority)

  def _release(self, followed: bool) -> None:
    """Sends what waits; `followed` says that each stream has one row more than when the item was made."""
    waiting, self._held = self._held, []
    for table, stream, item, priority in waiting:
      rows = list(self._rows[stream])
      end = len(rows) - followed
      steps = rows[end - item.length : end]
      live = followed and not self._starts[stream]
      zeros = [None] * self._layout.num_step if live else self._layout.zero_row()
      own = self._append(zeros, self._layout.item_row(item, live))
      steps.append(rows[-1] if live else own)
      self._send(table, [steps[span] for span in self._layout.spans], own, priority)

  def _send(self, table: str, steps: list[list[int]], own: int, priority: float) -> None:
    """Makes an item of the rows of each of a step's columns, and one row of its own."""
    history = self._writer.history
    columns = [history[i][rows] for i, rows in enumerate(steps)]
    columns += [history[i][own] for i in range(self._layout.num_step, self._layout.num_columns)]
    self._writer.create_item(table, priority, columns)
    self._sent += 1
    if self._sent % _IN_FLIGHT == 0:
      self._store.flush_trajectory_writer(self._writer, _IN_FLIGHT)


def _check_streams(streams: np.ndarray | None, count: int | None) -> None:
  """Raises ValueError where `streams` are not some of `count`."""
  if streams is None or count is None:
    fits = streams is None and count is None
  else:
    fits = len(streams) > 0 and 0 <= streams[0] <= streams[-1] < count
  if not fits:
    wanted = "None for one stream" if count is None else f"ascending [K] int from 0 to {count - 1}"
    raise ValueError(f"streams: expected {wanted}, got {streams}.")


def _split(item: Any, streams: np.ndarray) -> list[tuple[int, Any]]:
  """K items of one stream each from leaves with a leading [K]."""
  import tree

  return [
    (int(stream), tree.map_structure(lambda leaf, k=k: np.asarray(leaf)[k], item)) for k, stream in enumerate(streams)
  ]
