"""When a run is saved, and where."""

import time
from collections.abc import Mapping
from typing import Any

from acme import checkpointing, types
from acme_experiments.rundir import RunDirectory

_SECONDS = 60.0  # Between checkpoints, where nobody says how many steps, …
_SHARE = 0.02  # … and the most of the time that they may take.


class Saver:
  """Writes the checkpoints of a run, and keeps the time."""

  def __init__(self, directory: RunDirectory, every: int | None) -> None:
    """Makes a saver; `every` is the environment steps between checkpoints, None to go by the clock."""
    self._directory = directory
    self._checkpointer = checkpointing.Checkpointer(directory.checkpoints)
    self._every = every
    self._newest: tuple[int, int] | None = None  # Steps and evaluations done at the newest checkpoint.
    self._last = time.monotonic()
    self._seconds = 0.0  # What the last one took.

  def due_at(self, steps: int) -> bool:
    """Whether a checkpoint belongs at this step: several environments may step beyond a multiple at once."""
    newest = 0 if self._newest is None else self._newest[0]
    return self._every is not None and steps // self._every > newest // self._every

  def due_by_time(self) -> bool:
    """Whether a minute is over, where the clock decides; big checkpoints come less often."""
    return self._every is None and time.monotonic() - self._last > max(_SECONDS, self._seconds / _SHARE)

  def has(self, steps: int, evaluations: int) -> bool:
    """Whether the newest checkpoint is of this very moment."""
    return self._newest == (steps, evaluations)

  def save(self, steps: int, evaluations: int, state: types.State, metadata: Mapping[str, Any]) -> None:
    """Writes a checkpoint. Raises CheckpointError where it cannot; earlier ones stay whole."""
    start = time.monotonic()
    self._checkpointer.save(steps, {"evaluations": evaluations, **state}, metadata)
    self._newest = steps, evaluations
    self._last = time.monotonic()
    self._seconds = self._last - start

  def load(self) -> checkpointing.Checkpoint | None:
    """Reads the newest whole checkpoint; None where there has been none yet, CheckpointError where all are torn."""
    if self._directory.newest_checkpoint() is None:
      return None
    checkpoint = self._checkpointer.load()
    self._newest = checkpoint.step, checkpoint.state["evaluations"]
    return checkpoint
