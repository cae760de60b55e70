"""Counts that several parts add to and any of them can read."""

import threading
from collections.abc import Mapping

from acme import core, types


class Counter(core.Saveable):
  """Named counts, in a tree: what a child counts, its parent counts too, under the child's prefix.

  The counts of a child are those of the whole tree: `Counter(parent, prefix="actor").increment(steps=1)` gives
  {"actor_steps": 1} to whoever asks parent or child.
  """

  def __init__(self, parent: "Counter | None" = None, prefix: str = "") -> None:
    """Makes a counter; with a `parent` the counts are kept there, their names after `prefix` and an underscore."""
    self._root: Counter = self if parent is None else parent._root
    self._prefix: str = ("" if parent is None else parent._prefix) + (f"{prefix}_" if prefix else "")
    self._counts: dict[str, float] = {}  # All of the tree, in its root.
    self._lock = threading.Lock()

  def increment(self, **counts: float) -> dict[str, float]:
    """Adds to counts, and returns them all."""
    with self._root._lock:
      all_counts = self._root._counts
      for name, count in counts.items():
        all_counts[self._prefix + name] = all_counts.get(self._prefix + name, 0) + count
      return dict(all_counts)

  def get_counts(self) -> dict[str, float]:
    """Returns all counts of the tree."""
    with self._root._lock:
      return dict(self._root._counts)

  def get(self, name: str) -> float:
    """Returns this counter's own count of `name`; 0 before the first."""
    return self.get_counts().get(self._prefix + name, 0)

  def save(self) -> Mapping[str, float]:
    return self.get_counts()

  def restore(self, state: types.State) -> None:
    with self._root._lock:
      self._root._counts = dict(state)
