"""Stacks of frames, stored one frame a step.

Shapes: C rows held, N streams, S frames in a stack, K streams of the N, H and W stand for any shape of frame.
"""

from typing import Any

import numpy as np

from acme import specs, types
from acme_replay.columns import LeafColumn


class FrameStacks:
  """Observations [H, W, S] whose last axis is a stack of consecutive frames, of which each row stores the newest.

  `before[row]` is the row of the frame before it. Where an episode starts with a stack of one frame repeated, its row
  is its own predecessor; with any other stack, such as zeros and then a frame, the older frames get rows of their own.
  """

  def __init__(self, spec: types.NestedSpec, size: int, capacity: int, leaf: type[LeafColumn] = LeafColumn) -> None:
    if not isinstance(spec, specs.Array) or size < 2 or spec.shape[-1:] != (size,):
      raise ValueError(
        f"frame_stack {size}: expected a single observation whose last axis is {size} frames, 2 or more, got "
        f"{specs.describe(spec)}."
      )
    self.size = size
    self.frames = leaf("observation", specs.Array(spec.shape[:-1], spec.dtype), capacity)
    self.before = np.zeros(capacity, np.int64)
    self._stacks = LeafColumn("observation", spec, 0)  # Holds nothing: it checks.

  def check(self, value: types.NestedArray, count: int | None) -> Any:
    return self._stacks.check(value, count)

  def plan(self, stacks: np.ndarray, starts: np.ndarray, before: np.ndarray) -> np.ndarray:
    """The streams [K] whose older frames need rows of their own.

    Args:
      stacks: [N, H, W, S].
      starts: [N] bool, which of them start an episode.
      before: [N], the rows before, of those that do not.

    Raises:
      ValueError: another's second newest frame is not the newest of the row before.
    """
    going, starting = np.flatnonzero(~starts), np.flatnonzero(starts)
    if len(going):
      newest = self.frames.read(before[going] % len(self.before))
      if not np.array_equal(stacks[going, ..., -2], newest):
        raise ValueError(
          "observation: expected its second newest frame to be the newest of the step before, as frame_stack says; it "
          "is not. Stack consecutive frames in the outermost wrapper, or leave frame_stack out."
        )
    differs = stacks[starting, ..., :-1] != stacks[starting, ..., -1:]
    return starting[differs.reshape(len(starting), -1).any(axis=1)] if len(starting) else starting

  def write(self, stacks: np.ndarray, starts: np.ndarray, before: np.ndarray, planned: np.ndarray, row: int) -> int:
    """Writes older frames [K] from number `row` on, then the newest [N]; returns the number of the first of these."""
    first = row + len(planned) * (self.size - 1)
    rows = first + np.arange(len(stacks))
    chain = np.where(starts, rows, before)
    for i in range(self.size - 1 if len(planned) else 0):
      older = row + i * len(planned) + np.arange(len(planned))
      self._write(older, stacks[planned, ..., i], older if i == 0 else chain[planned])
      chain[planned] = older
    self._write(rows, stacks[..., -1], chain)
    return first

  def _write(self, rows: np.ndarray, frames: np.ndarray, before: np.ndarray) -> None:
    places = rows % len(self.before)
    self.frames.write(places, frames)
    self.before[places] = before

  def oldest(self, row: Any, held: int) -> Any:
    """The row of the oldest frame in the stack of `row`, an int or [K]; where a row below `held` comes first, that.

    Rows below `held` have been written over, and what lies at their places belongs to others.
    """
    for _ in range(self.size - 1):
      before = self.before[row % len(self.before)]
      row = np.where(row >= held, before, row) if isinstance(row, np.ndarray) else before if row >= held else row
    return row

  def take(self, places: np.ndarray, where: np.ndarray | None = None) -> Any:
    """Reads stacks [*places.shape, H, W, S]."""
    all_places = np.empty((*places.shape, self.size), np.intp)
    all_places[..., -1] = places
    for i in range(self.size - 2, -1, -1):
      all_places[..., i] = self.before[all_places[..., i + 1]] % len(self.before)
    return self.frames.take_stacks(all_places, where)
