"""One table: its items from the oldest to the newest, and the choice among them.

Shapes: C items held, B batch.
"""

import math
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from acme import replay, types
from acme_replay.columns import Rows, ring_index
from acme_replay.items import KINDS
from acme_replay.sampling import SumTree
from acme_replay.storage import Ring


class Table:
  """Items with keys that only grow; that of key i lies at place i mod C.

  Where items leave as they are sampled, but not in order (`max_times_sampled` without Fifo), C is twice `max_size`.
  """

  def __init__(
    self, description: replay.Table, ring: Ring, seed: np.random.SeedSequence, options: Mapping[type, Any]
  ) -> None:
    """Makes an empty table; `options` are what each kind of items is made with besides its size."""
    self.description = description
    self._ring = ring
    self._options = options
    self._rng = np.random.Generator(np.random.PCG64(seed))
    self._capacity = num_places(description)
    self._fifo = isinstance(description.sampler, replay.Fifo)
    self.is_queue = self._fifo and description.max_times_sampled == 1
    self.items: Any = None  # Of the kind of the first item.
    self._head = self._tail = 0  # The key of the next item; of the oldest one that may be there.
    self._size = self._samples = 0
    self._exponent = description.sampler.exponent if isinstance(description.sampler, replay.Prioritized) else None
    self._tree = SumTree(self._capacity) if needs_tree(description) else None
    self._largest_priority = largest_priority(description)
    self._max_priority = 1.0  # Of those given since the table was last empty.
    limited = description.max_times_sampled is not None
    self._left = np.zeros(self._capacity, np.int32) if limited else None  # Samples left to each item.
    self._total_left = 0  # Of those that can be chosen.

  def __len__(self) -> int:
    return self._size

  @property
  def info(self) -> replay.TableInfo:
    return replay.TableInfo(self._size, self._head, self._samples)

  @property
  def oldest_row(self) -> int:
    """The oldest row that the oldest item needs."""
    return int(self.items.oldest[self._tail % self._capacity])

  def of_kind(self, kind: type) -> Any:
    """The items, which from the first on are all of one kind. Raises ValueError for another."""
    if self.items is None or (self._head == 0 and type(self.items) is not kind):  # The first item was refused.
      self.items = kind(self._ring, self._capacity, self._options[kind])
    elif type(self.items) is not kind:
      raise ValueError(
        f"Table {self.description.name!r} holds {self.items.kind} items, got a {kind.kind} item: "  # type: ignore[attr-defined]
        "give each kind a table of its own."
      )
    return self.items

  def claim(self, count: int | None, priority: float | None, oldest: Any) -> Rows:
    """Makes room for an item, or for `count`, that need the rows from `oldest` on, and returns where to write them.

    Raises:
      RuntimeError: a queue is full.
      ValueError: the priority is not one that an item may have.
    """
    if priority is not None:
      priority = float(priority)
      self._check_priorities(priority, priority)
    many = count or 1
    size = self.description.max_size
    surplus = self._size + many - size
    if surplus > 0:
      self._require_room(many)
      self.evict(surplus)
    while self._head + many - self._tail > self._capacity:
      self.evict(1)
    if priority is None:
      priority = self._max_priority
    else:
      self._max_priority = max(self._max_priority, priority) if self._size else priority
    index = ring_index(self._head, count, self._capacity)
    if self._tree is not None:
      self._tree.set(index, 1.0 if self._exponent is None else priority**self._exponent)
    if self._left is not None:
      self._left[index] = self.description.max_times_sampled or 0
      self._total_left += self._samples_left(index)
    self._ring.pins[oldest % self._ring.capacity] += 1  # No row twice: the items are of different streams.
    self._head += many
    self._size += many
    return index

  def evict(self, count: int) -> None:
    """Removes the `count` oldest items."""
    if self._left is None or self._fifo:
      self._forget(ring_index(self._tail, None if count == 1 else count, self._capacity), count)
      self._tail += count
      return
    for _ in range(count):
      self._forget(self._tail % self._capacity, 1)
      self._skip_removed()

  def available(self) -> float:
    """How many items may be sampled now; those of priority 0 never are."""
    allowed = self.description.rate_limiter.allowed(self._head, self._samples)
    if allowed <= 0 or self._size == 0:
      return 0
    if self._fifo:
      return min(allowed, self._size)
    if self._left is not None:
      return min(allowed, self._total_left)
    return allowed if self._tree is None or self._tree.any() else 0

  def mass(self) -> float:
    """Σ_i p_i^α; the number of items where they are not prioritised."""
    return float(self._size) if self._tree is None else self._tree.total()

  def sample(self, batch_size: int) -> replay.Sample:
    """Chooses items [B], counts them, and removes those that have been sampled often enough.

    Raises:
      RuntimeError: fewer than B may be sampled now.
    """
    available = self.available()
    if available < batch_size:
      raise RuntimeError(self._refusal(batch_size, available))
    size = self._size
    if self._left is None:
      keys, index, probabilities = self._choose(batch_size)
    elif self._fifo:
      keys, index, probabilities = self._take_oldest(batch_size)
    else:
      keys, index, probabilities = self._choose_limited(batch_size)
    self._samples += batch_size
    return replay.Sample(self.items.take(index), keys, probabilities, size)

  def once(self, batch_size: int) -> Iterator[replay.Sample]:
    """Gives each item once, from the oldest to the newest, B at a time; none counts as sampled."""
    for first in range(self._tail, self._head, batch_size):
      keys = np.arange(first, min(first + batch_size, self._head))
      yield replay.Sample(self.items.take(keys % self._capacity), keys, np.full(len(keys), 1 / self._size), self._size)

  def update_priorities(self, keys: np.ndarray, priorities: np.ndarray) -> None:
    """Sets priorities [B] of the items that are still there; without effect where the table is not prioritised."""
    keys, priorities = np.asarray(keys), np.asarray(priorities, np.float64)
    if keys.shape != priorities.shape or keys.ndim != 1 or keys.dtype.kind not in "iu":
      raise ValueError(
        f"Table {self.description.name!r}: expected integer keys [B] and priorities [B], got {keys.dtype} {keys.shape} "
        f"and {priorities.shape}."
      )
    if not len(keys):
      return
    largest = float(np.maximum.reduce(priorities))
    self._check_priorities(float(np.minimum.reduce(priorities)), largest)
    if self._tree is None or self._exponent is None:
      return
    if self._left is not None or np.minimum.reduce(keys) < self._tail or np.maximum.reduce(keys) >= self._head:
      there = (keys >= self._tail) & (keys < self._head)
      if self._left is not None:
        there &= self._left[keys % self._capacity] > 0
      keys, priorities = keys[there], priorities[there]
      largest = float(priorities.max(initial=0.0))
    if not len(keys):
      return
    index = keys % self._capacity
    places = np.unique(index) if self._left is not None else index
    before = self._samples_left(places)
    self._tree.set(index, priorities**self._exponent)
    self._total_left += self._samples_left(places) - before
    self._max_priority = max(self._max_priority, largest)

  def _check_priorities(self, smallest: float, largest: float) -> None:
    """Raises ValueError where a priority is negative, too large or NaN, of which no comparison holds."""
    limit = self._largest_priority
    if not (smallest >= 0 and largest <= limit):
      raise ValueError(
        f"Priorities of table {self.description.name!r}: expected numbers from 0 to {limit:.3g}, above which the sum "
        f"of their powers may overflow, got {largest if smallest >= 0 else smallest!r}."
      )

  def _samples_left(self, index: Rows) -> int:
    """The samples left to the items at some places, without those that are never chosen; 0 where there is no limit."""
    if self._left is None:
      return 0
    left = self._left[index]
    return int(np.sum(left if self._tree is None else left * (self._tree.leaves[index] > 0)))

  def _choose(self, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Chooses keys [B] by the sampler, and returns them, their places [B] and with which probabilities [B]."""
    if self._tree is not None:
      index, probabilities = self._tree.sample(self._rng, count)
      return self._tail + (index - self._tail) % self._capacity, index, probabilities
    if self._fifo:
      keys, probabilities = np.arange(self._tail, self._tail + count), np.ones(count)
    else:
      keys, probabilities = self._rng.integers(self._tail, self._head, count), np.full(count, 1 / self._size)
    return keys, keys % self._capacity, probabilities

  def _take_oldest(self, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Chooses the oldest, none of which has fewer samples behind it than a younger one."""
    assert self._left is not None
    keys, index, probabilities = self._choose(count)
    self._left[index] -= 1
    self._total_left -= count
    self.evict(int((self._left[index] == 0).sum()))
    return keys, index, probabilities

  def _choose_limited(self, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Chooses as if one by one, where an item leaves with its last sample.

    Choices of an item that has left are made again, which gives what remains the proportions they should have.
    """
    assert self._left is not None
    keys, probabilities = np.empty(0, np.int64), np.empty(0)
    while len(keys) < count:
      new, index, chances = self._choose(count - len(keys))
      accepted = _occurrence(new) < self._left[index]
      np.subtract.at(self._left, index[accepted], 1)
      self._total_left -= int(accepted.sum())
      keys, probabilities = np.append(keys, new[accepted]), np.append(probabilities, chances[accepted])
      spent = np.unique(index[accepted & (self._left[index] == 0)])
      if len(spent):
        self._forget(spent, len(spent))
        self._skip_removed()
    return keys, keys % self._capacity, probabilities

  def _forget(self, index: Rows, count: int) -> None:
    if count == 0:
      return
    self._ring.unpin(self.items.oldest[index])
    if self._left is not None:
      self._total_left -= self._samples_left(index)
      self._left[index] = 0
    if self._tree is not None:
      self._tree.set(index, 0.0)
    self._size -= count
    if self._size == 0:
      self._max_priority = 1.0

  def _skip_removed(self) -> None:
    """Moves the tail to the oldest item that is there."""
    assert self._left is not None
    while self._tail < self._head and self._left[self._tail % self._capacity] == 0:
      self._tail += 1

  def _require_room(self, count: int) -> None:
    name, size = self.description.name, self.description.max_size
    if self.is_queue:
      raise RuntimeError(
        f"The queue {name!r} is full: it holds {self._size} of {size} items and was to take {count} more, and no item "
        "may be lost. Sample first, or raise max_size."
      )
    if count > size:
      raise ValueError(f"Table {name!r}: {count} streams insert at once, more than its max_size {size}: raise it.")

  def _refusal(self, batch_size: int, available: float) -> str:
    limiter = self.description.rate_limiter
    ratio = "" if limiter.samples_per_insert is None else f", samples_per_insert {limiter.samples_per_insert}"
    zeros = 0 if self._tree is None else self._size - int(np.count_nonzero(self._tree.leaves))
    never = f", {zeros} of them of priority 0 and so never sampled" if zeros else ""
    return (
      f"Table {self.description.name!r}: a batch of {batch_size} was asked for, and {available:g} items may be sampled "
      f"now ({self._size} items{never}, {self._head} inserts, {self._samples} samples, min_size {limiter.min_size}"
      f"{ratio}). "
      "Waiting would not help in one process: insert more items first (see Replay.available)."
    )

  def save(self, contents: bool = True) -> types.State:
    """Returns the state; without `contents` all but the items, which must be here when it is restored."""
    used = min(self._head, self._capacity)
    items = self.items if contents else None
    return {
      "counts": [self._head, self._tail, self._size, self._samples],
      "max_priority": self._max_priority,
      "rng": self._rng.bit_generator.state,
      "contents": contents,
      "kind": None if items is None else items.kind,
      "items": None if items is None else items.save(used),
      "left": None if self._left is None else self._left[:used].copy(),
      "tree": None if self._tree is None else self._tree.save(),
    }

  def restore(self, state: types.State) -> None:
    if not state["contents"] and state["counts"][0] != self._head:
      raise ValueError(
        f"Table {self.description.name!r}: expected the state of {self._head} items, which are here, got that of "
        f"{state['counts'][0]}. Make the store as it was made when it was saved."
      )
    self._head, self._tail, self._size, self._samples = state["counts"]
    self._max_priority = state["max_priority"]
    self._rng.bit_generator.state = state["rng"]
    if state["contents"]:
      self.items = None
    if state["kind"] is not None:
      self.of_kind(KINDS[state["kind"]]).restore(state["items"])
    if self._left is not None:
      self._left[:] = 0
      self._left[: len(state["left"])] = state["left"]
    if self._tree is not None:
      self._tree.restore(state["tree"])
    self._total_left = self._samples_left(slice(None))


def needs_tree(description: replay.Table) -> bool:
  """Whether items are chosen by a tree: where priorities differ, or gaps must not be chosen."""
  sampler = description.sampler
  gaps = description.max_times_sampled is not None and isinstance(sampler, replay.Uniform)
  return gaps or isinstance(sampler, replay.Prioritized)


def num_places(description: replay.Table) -> int:
  """C: the items that a table has places for."""
  in_order = description.max_times_sampled is None or isinstance(description.sampler, replay.Fifo)
  return description.max_size * (1 if in_order else 2)


def largest_priority(description: replay.Table) -> float:
  """The largest priority that an item may have: as many as fit have powers whose sum is far from infinity."""
  exponent = description.sampler.exponent if isinstance(description.sampler, replay.Prioritized) else 0.0
  if exponent == 0:
    return sys.float_info.max
  return math.exp(min((math.log(1e290) - math.log(description.max_size)) / exponent, 709))  # exp(709) is finite.


def _occurrence(keys: np.ndarray) -> np.ndarray:
  """How many of the same key come before each."""
  order = np.argsort(keys, kind="stable")
  ordered = keys[order]
  starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
  rank = np.arange(len(keys)) - np.repeat(starts, np.diff(np.append(starts, len(keys))))
  result = np.empty_like(rank)
  result[order] = rank
  return result
