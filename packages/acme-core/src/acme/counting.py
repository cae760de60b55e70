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
    self._parent = parent
    self._prefix = f"{prefix}_" if prefix else ""
    self._counts: dict[str, float] = {}
    self._lock = threading.Lock()

  def increment(self, **counts: float) -> dict[str, float]:
    """Adds to counts, and returns them all."""
    named = {self._prefix + name: count for name, count in counts.items()}
    if self._parent is not None:
      return self._parent.increment(**named)
    with self._lock:
      for name, count in named.items():
        self._counts[name] = self._counts.get(name, 0) + count
      return dict(self._counts)

  def get_counts(self) -> dict[str, float]:
    """Returns all counts of the tree."""
    if self._parent is not None:
      return self._parent.get_counts()
    with self._lock:
      return dict(self._counts)

  def get(self, name: str) -> float:
    """Returns this counter's own count of `name`; 0 before the first."""
    if self._parent is not None:
      return self._parent.get(self._prefix + name)
    return self.get_counts().get(self._prefix + name, 0)

  def save(self) -> Mapping[str, float]:
    return self.get_counts()

  def restore(self, state: types.State) -> None:
    if self._parent is not None:
      self._parent.restore(state)
      return
    with self._lock:
      self._counts = dict(state)
