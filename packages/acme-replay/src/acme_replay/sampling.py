"""How items are chosen in proportion to priorities: by rejection where few are rejected, else by a tree of sums.

Shapes: B batch.
"""

from typing import Any

import numpy as np

from acme import types

_FAN_OUT = 8
_TOP = 2048  # The top level is no longer than this.
_MAX_SCAN = 16_384  # Of longer levels the maximum is not sought.
_MAX_PROPOSALS = 6  # Nodes proposed for each one accepted, at most; …
_MAX_LEAF_PROPOSALS = 12  # … and leaves, after which no node need be gone down from.
_RECOUNT = 1024  # Changes after which total and bound are computed anew.
_LITTLE = 1e-3  # Of the largest total since the last count: much taken away leaves rounding errors behind.
_MAX_NOTED = 64  # Arrays of changes noted, at most: more would cost more than to compute every sum anew.
_BEFORE = np.tri(_FAN_OUT, k=-1)  # Times the children: the sums of those before each.


class SumTree:
  """Numbers of 0 or more, one of which is chosen with probability x_i / Σ_j x_j.

  Mostly a leaf is proposed at random, and accepted with probability x_i / bound. That needs only the total and a bound
  on the leaves, which changes move along, and which are now and then computed anew. Where priorities are too uneven for
  it, the tree is brought up to date from the changes noted since: each node is the sum of its 8 children, computed anew
  from them when one has changed.
  """

  def __init__(self, size: int) -> None:
    # Levels are padded to whole groups of children; the padding stays 0.
    self._levels = [np.zeros(-(-length // _FAN_OUT) * _FAN_OUT) for length in _lengths(size)]  # From leaves to top.
    self._groups = [level.reshape(-1, _FAN_OUT) for level in self._levels]
    self.leaves = self._levels[0][:size]
    self._used = 0  # Leaves from here on have never been set.
    self._total = 0.0
    self._bound = 0.0  # No leaf is above it.
    self._peak = 0.0  # The largest total since the last count.
    self._age = 0  # Changes since then.
    self._stale = False  # Whether so much has changed that every sum is to be computed anew; else:
    self._changed: list[np.ndarray] = []
    self._changed_one: list[int] = []
    self._order = np.empty(0)  # 0, 1, …: kept, since batches are mostly of one size.

  @staticmethod
  def size_in_bytes(size: int) -> int:
    """Bytes that a tree of `size` leaves takes."""
    return 8 * sum(_lengths(size))

  def set(self, index: Any, value: Any) -> None:
    """Sets leaves: `index` is an int, a slice, or an intp array, in which the last of equal ones counts."""
    leaves = self.leaves
    if isinstance(index, np.ndarray):
      difference = value - leaves.take(index)
      if len(index) != len(self._order):
        self._order = np.arange(len(index), dtype=np.float64)
      leaves[index] = order = self._order  # For a moment, to see which of equal places is the last.
      difference *= leaves.take(index) == order
      leaves[index] = value
      difference = np.add.reduce(difference)
      end = int(np.maximum.reduce(index)) + 1 if self._used < len(leaves) else 0
      self._changed.append(index)
    elif isinstance(index, slice):
      before = np.add.reduce(leaves[index])
      leaves[index] = value
      difference, end = np.add.reduce(leaves[index]) - before, index.stop
      self._changed.append(np.arange(index.start, index.stop))
    else:
      difference, end = value - leaves[index], index + 1
      leaves[index] = value
      self._changed_one.append(index)
    self._used = max(self._used, end)
    self._total += float(difference)
    self._peak = max(self._peak, self._total)
    self._bound = max(self._bound, value if isinstance(value, float) else float(np.maximum.reduce(value)))
    self._age += 1
    if len(self._changed) > _MAX_NOTED or len(self._changed_one) > _RECOUNT:
      self._changed, self._changed_one, self._stale = [], [], True

  def any(self) -> bool:
    """Whether a number is above 0."""
    if self._total < _LITTLE * self._peak:
      self._count()
    return self._total > 0

  def sample(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Chooses leaves [B], and returns them with the probabilities [B] float64 with which each was chosen.

    Raises:
      ValueError: all are 0.
    """
    if not self.total() > 0:
      raise ValueError("Every priority is 0, so no item can be chosen: give some a priority above 0.")
    if self._bound * self._used <= _MAX_LEAF_PROPOSALS * self._total:
      index, _ = _reject(rng, size, self.leaves[: self._used], self._bound, self._total)
      return index, self.leaves.take(index) / self._total
    self._update()
    total = self._levels[-1].sum()
    index = self._choose(rng, size, total)
    values = self._levels[0].take(index)
    while not values.all():  # A target within a rounding error of a node's end may fall on a leaf of 0.
      missed = np.flatnonzero(values == 0)
      index[missed] = self._choose(rng, len(missed), total)
      values = self._levels[0].take(index)
    return index, values / total

  def total(self) -> float:
    """The sum of all leaves."""
    if self._age >= _RECOUNT or self._total < _LITTLE * self._peak:
      self._count()
    return self._total

  def _choose(self, rng: np.random.Generator, size: int, total: float) -> np.ndarray:
    """Chooses leaves [B]: nodes of one level, by rejection where few are rejected, then leaves in them."""
    for i, level in enumerate(self._levels):
      if len(level) > _MAX_SCAN:
        continue
      most = level.max()
      if most * len(level) <= _MAX_PROPOSALS * total:
        return self._descend(i, *_reject(rng, size, level, most, total))
    sums = level.cumsum()
    target = rng.random(size) * sums[-1]
    index = sums[:-1].searchsorted(target, side="right")  # Slow: the processor cannot foresee which way it goes.
    return self._descend(i, index, target - (sums - level).take(index))

  def _descend(self, level: int, index: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The leaves [B] below nodes [B] of a level, in which the targets [B] fall where a node's leaves lie end to end."""
    columns = np.arange(len(target))
    for groups in reversed(self._groups[:level]):
      before = np.matmul(_BEFORE, groups.take(index, axis=0).T)  # [8, B], the sums of the children before each.
      child = np.add.reduce((before[1:] <= target).view(np.uint8), axis=0, dtype=np.uint8)
      index = index * _FAN_OUT + child
      if groups is not self._groups[0]:
        target = target - before.take(child * np.intp(len(target)) + columns)
    return index

  def _update(self) -> None:
    """Computes the sums above the leaves that changed."""
    if self._stale:
      self._changed, self._changed_one, self._stale = [], [], False
      for groups, above in zip(self._groups[:-1], self._levels[1:], strict=True):
        above[: len(groups)] = _sums(groups)
    if not self._changed and not self._changed_one:
      return
    if self._changed_one:
      self._changed.append(np.array(self._changed_one, np.intp))
    index = np.concatenate(self._changed) if len(self._changed) > 1 else self._changed[0]
    self._changed, self._changed_one = [], []
    for groups, above in zip(self._groups[:-1], self._levels[1:], strict=True):
      index = index // _FAN_OUT  # Of the groups that changed, some more than once.
      above[index] = _sums(groups.take(index, axis=0))

  def _count(self) -> None:
    """Computes total and bound anew."""
    used = self.leaves[: self._used]
    self._total = self._peak = float(used.sum())
    self._bound = float(used.max(initial=0.0))
    self._age = 0

  def save(self) -> types.State:
    """Returns the leaves, and all that decides how the next ones are chosen."""
    counts = {"total": self._total, "bound": self._bound, "peak": self._peak, "age": self._age}
    return {"leaves": self.leaves[: self._used].copy(), **counts}

  def restore(self, state: types.State) -> None:
    """Puts back what `save` returned."""
    self._used = len(state["leaves"])
    self.leaves[: self._used] = state["leaves"]
    self.leaves[self._used :] = 0
    self._total, self._bound, self._peak = state["total"], state["bound"], state["peak"]
    self._age = state["age"]
    self._changed, self._changed_one, self._stale = [], [], True


def _reject(
  rng: np.random.Generator, size: int, level: np.ndarray, most: float, total: float
) -> tuple[np.ndarray, np.ndarray]:
  """Chooses nodes [B] in proportion to their values, and targets [B] uniform below these.

  A node is proposed with a target below the largest value, and accepted where the target is below its own. One random
  number makes both: its place among the nodes, and in the one that it falls in.
  """
  index, target = np.empty(0, np.intp), np.empty(0)
  while len(index) < size:
    missing = size - len(index)
    count = int(1.2 * missing * most * len(level) / total) + 16
    place = rng.random(count) * len(level)  # Below the length, however it is rounded.
    proposed = place.astype(np.intp)
    targets = (place - proposed) * most
    accepted = (targets < level.take(proposed)).nonzero()[0][:missing]
    if not len(index):
      index, target = proposed.take(accepted), targets.take(accepted)
    else:
      index, target = np.append(index, proposed[accepted]), np.append(target, targets[accepted])
  return index, target


def _sums(groups: np.ndarray) -> np.ndarray:
  """The sum of each row: einsum is faster than `sum`, and adds the same way however many rows there are."""
  return np.einsum("ij->i", groups)


def _lengths(size: int) -> list[int]:
  """How long the levels of a tree are, from leaves to top."""
  lengths = [size]
  while lengths[-1] > _TOP:
    lengths.append(-(-lengths[-1] // _FAN_OUT))
  return lengths
