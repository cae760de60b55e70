"""When a run is saved, and where."""

import math
import pathlib
import shutil
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from acme import checkpointing, types
from acme_experiments.rundir import RunDirectory, UsageError

_SECONDS = 60.0  # Between checkpoints, where nobody says how many steps, …
_SHARE = 0.02  # … and the most of the time that they may take.


def check_memory(replay: Any, steps: int | None) -> None:
  """Makes sure that a save will fit into memory: it copies the replay, as far as that is full then.

  Args:
    replay: the store; one that keeps its contents elsewhere has no `nbytes`.
    steps: environment steps of the run; None where it is not known.

  Raises:
    UsageError: it will not.
  """
  needed = 2 * getattr(replay, "nbytes", 0)
  if steps is not None and needed:
    needed = needed * min(steps, replay.max_steps) // replay.max_steps
  available = available_memory()
  if needed > available:
    raise UsageError(
      f"The replay takes {needed / 2**31:.2f} GiB in this run, and as much again while it is saved: expected "
      f"{needed / 2**30:.2f} GiB of memory, {available / 2**30:.2f} are available. Lower the replay's size in the "
      "agent's config, or the steps; or keep it elsewhere (--replay reverb)."
    )


def available_memory() -> float:
  """Bytes that the machine has to spare; infinity where it does not say."""
  try:
    lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
  except (OSError, StopIteration):
    return math.inf


class Saver:
  """Writes the checkpoints of a run, and keeps the time."""

  def __init__(self, directory: RunDirectory, every: int | None, runs: int = 1) -> None:
    """Makes a saver.

    Args:
      directory: of the run.
      every: environment steps between checkpoints; None to go by the clock.
      runs: how many save at a time, one after the other.
    """
    self._directory, self._runs = directory, runs
    self._checkpointer = checkpointing.Checkpointer(directory.checkpoints)
    self._best = checkpointing.Checkpointer(directory.best, keep=1)
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
    return self._every is None and time.monotonic() - self._last > max(_SECONDS, self._runs * self._seconds / _SHARE)

  def has(self, steps: int, evaluations: int) -> bool:
    """Whether the newest checkpoint is of this very moment."""
    return self._newest == (steps, evaluations)

  def save(self, steps: int, episodes: int, evaluations: int, state: types.State, metadata: Mapping[str, Any]) -> None:
    """Writes a checkpoint. Raises CheckpointError where it cannot; earlier ones stay whole."""
    start = time.monotonic()
    self._checkpointer.save(steps, state, metadata)
    self._directory.write_saved(steps, episodes)
    self._newest = steps, evaluations
    self._last = time.monotonic()
    self._seconds = self._last - start

  def save_best(self, steps: int, learner: types.State, metadata: Mapping[str, Any]) -> None:
    """Writes what the learner has learnt, in the place of what was best before."""
    self._best.save(steps, {"agent": {"learner": learner}}, metadata)

  def load(self) -> checkpointing.Checkpoint | None:
    """Reads the newest whole checkpoint; None where there has been none yet.

    Raises:
      CheckpointError: all are torn, or there have been some and they cannot be seen.
    """
    if self._directory.newest_checkpoint() is None:
      return None
    return self._noted(self._checkpointer.load())

  def steps(self) -> list[int]:
    """The steps of the checkpoints that there are; raises CheckpointError where they cannot be seen."""
    self._directory.newest_checkpoint()
    return [step for step, _ in checkpointing.find(self._directory.checkpoints)]

  def load_step(self, step: int) -> checkpointing.Checkpoint:
    """Reads the checkpoint of a step. Raises CheckpointError where it is not whole."""
    return self._noted(self._directory.load_checkpoint(step))

  def forget_after(self, step: int) -> None:
    """Removes the checkpoints of later steps."""
    for each, path in checkpointing.find(self._directory.checkpoints):
      if each > step:
        shutil.rmtree(path)

  def _noted(self, checkpoint: checkpointing.Checkpoint) -> checkpointing.Checkpoint:
    try:
      self._newest = checkpoint.step, checkpoint.state["evaluations"]["done"]
    except (KeyError, TypeError) as error:
      raise checkpointing.CheckpointError(
        f"The checkpoint at step {checkpoint.step:,} is not of a run as this version makes them: go on with the "
        "version that wrote it. Nothing was changed."
      ) from error
    return checkpoint


def load_together(savers: Sequence[Saver]) -> list[checkpointing.Checkpoint] | None:
  """Reads the newest checkpoints of one and the same step, of runs that save one after the other; None for none yet.

  What is newer, of runs that had saved when they were killed, goes: it comes again.

  Raises:
    CheckpointError: there are some, and none of one step, but for those of a first save that was killed.
  """
  steps = [set(saver.steps()) for saver in savers]
  for step in sorted(set.intersection(*steps), reverse=True):
    try:
      found = [saver.load_step(step) for saver in savers]
    except checkpointing.CheckpointError as error:
      if isinstance(error.__cause__, PermissionError):
        raise  # It may be whole.
      warnings.warn(f"Passing over the checkpoints of step {step:,}: {error}", stacklevel=2)
      continue
    for saver in savers:
      saver.forget_after(step)
    return found
  begun = [each for each in steps if each]  # By the first save, where these are the first runs, with one each.
  if len(begun) == len(steps) or steps[: len(begun)] != begun or any(len(each) > 1 for each in begun):
    raise checkpointing.CheckpointError(
      "The runs of one program have no whole checkpoints of one step: put those that are lost back from a copy. "
      "Nothing was changed."
    )
  for saver in savers:
    saver.forget_after(-1)
  return None
