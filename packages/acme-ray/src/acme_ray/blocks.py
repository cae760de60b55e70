"""Blocks: what one actor did in a row, as a store takes it, in one message.

An actor has its own adder, over a writer that keeps steps and items; what that has kept becomes a block, which a shard
plays into its store. So a step crosses once, however many items refer to it, and a shard knows nothing of episodes.

Shapes: T steps of a block, N streams.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import tree

from acme import replay, types, wrappers


class Item(NamedTuple):
  """An item, made when so many steps of the block had been appended."""

  after: int
  trajectory: replay.TransitionItem | replay.SequenceItem
  streams: np.ndarray | None


class Block(NamedTuple):
  """Steps in a row, and the items that end with one of them.

  Blocks of one actor and incarnation are one stream of steps, numbered from 0: one that comes twice is known by its
  number, and so is one that is missing.
  """

  actor: int
  incarnation: int
  number: int
  num_streams: int | None
  steps: types.Step  # leaves [T, …], or [T, N, …]
  items: list[Item]
  priorities: np.ndarray | None = None  # [K] of what the items of all streams are at first; None for the largest so far


class RecordingWriter(replay.Writer):
  """Keeps what an adder writes until it is taken."""

  def __init__(self, num_streams: int | None = None) -> None:
    self.num_streams = num_streams
    self._steps: list[types.Step] = []
    self._items: list[Item] = []

  def append(self, step: types.Step) -> None:
    self._steps.append(types.Step(*map(wrappers.copied, step)))  # The caller's may change.

  def create_item(
    self,
    table: str,
    trajectory: replay.TransitionItem | replay.SequenceItem,
    priority: float | None = None,
    streams: np.ndarray | None = None,
  ) -> None:
    """Keeps an item; of one table, and of the largest priority, as adders make them."""
    if streams is not None:  # Views of what the adder goes on writing to.
      trajectory, streams = wrappers.copied(trajectory), streams.copy()
    self._items.append(Item(len(self._steps), trajectory, streams))

  def take(self, actor: int, incarnation: int, number: int) -> Block:
    """What has been written since the last time, as a block."""
    steps = types.Step(*(_stack(fields) for fields in zip(*self._steps, strict=True)))
    block = Block(actor, incarnation, number, self.num_streams, steps, self._items)
    self._steps, self._items = [], []
    return block

  def save(self) -> types.State:
    return None

  def restore(self, state: types.State) -> None:
    del state


def write(block: Block, writer: replay.Writer, table: str, bonus: float = 0.0) -> None:
  """Plays a block into a writer of as many streams; `bonus` is added to its priorities."""
  items = _with_priorities(block, bonus)
  item, priority = next(items)
  for t in range(len(block.steps.start_of_episode) + 1):
    if t:
      writer.append(types.Step(*(_map(lambda leaf, t=t: leaf[t - 1], field) for field in block.steps)))
    while item is not None and item.after == t:
      writer.create_item(table, item.trajectory, priority, item.streams)
      item, priority = next(items)


def _with_priorities(block: Block, bonus: float) -> Iterator[tuple[Item | None, float | None]]:
  """The items, each with its priority, and None in the end; where each stream has its own, an item for each."""
  left = iter(() if block.priorities is None else block.priorities)
  for item in block.items:
    if block.priorities is None:
      yield item, None
    elif item.streams is None:
      yield item, float(next(left)) + bonus
    else:
      for k in range(len(item.streams)):
        one = item._replace(
          trajectory=tree.map_structure(lambda leaf, k=k: leaf[k : k + 1], item.trajectory),
          streams=item.streams[k : k + 1],
        )
        yield one, float(next(left)) + bonus
  yield None, None


def _map(function: Any, nest: types.NestedArray) -> types.NestedArray:
  """tree.map_structure, which is slow, where there is a structure."""
  return tree.map_structure(function, nest) if isinstance(nest, dict | list | tuple) else function(nest)


def _stack(nests: tuple[types.NestedArray, ...]) -> types.NestedArray:
  if isinstance(nests[0], dict | list | tuple):
    return tree.map_structure(lambda *leaves: np.stack(leaves), *nests)
  return np.stack(nests)
