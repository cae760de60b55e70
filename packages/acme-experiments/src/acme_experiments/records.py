"""What a run writes down: CSV files that resume exactly, and TensorBoard events.

Every column but those of time (their names end in `seconds` or `second`) is the same in a run that was stopped and
resumed as in one that was not.
"""

import math
import os
import pathlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from acme import core, loggers, types

_TRAIN_SCALARS = ("episode_return", "episode_length", "steps_per_second")
_TRAIN_SECONDS = 0.1  # Between two training rows for TensorBoard, where short episodes would cost more than they show.


class Records(core.Saveable):
  """The loggers of one run.

  Attributes:
    steps: gives the environment steps so far, TensorBoard's horizontal axis.
    train: takes the rows of the training loop.
    learner: takes those of the learner; a loss that is not finite is a FloatingPointError.
  """

  def __init__(self, directory: pathlib.Path) -> None:
    """Opens the files in `directory`."""
    self.steps: Callable[[], int] = lambda: 0
    self._directory = directory
    self._files = {name: loggers.CSVLogger(directory / f"{name}.csv") for name in ("train", "eval", "learner")}
    self._tensorboard: _TensorBoard | None = None
    self._purge_from = 0
    self._last_scalars = -math.inf
    self.train: loggers.Logger = _Tee(self._files["train"], self._train_scalars)
    self.learner: loggers.Logger = _Tee(self._files["learner"], self._learner_scalars)

  def evaluation(self, row: loggers.Row) -> None:
    """Takes the row of an evaluation."""
    self._files["eval"].write(row)
    self._scalars("eval", row)

  def flush(self) -> None:
    """Puts every row on disk, so that a checkpoint never counts rows that a power cut could take."""
    for name in self._files:
      with (self._directory / f"{name}.csv").open("rb") as file:
        os.fsync(file.fileno())
    if self._tensorboard is not None:
      self._tensorboard.flush()

  def close(self) -> None:
    """Closes the files."""
    for logger in self._files.values():
      logger.close()
    if self._tensorboard is not None:
      self._tensorboard.close()

  def save(self) -> types.State:
    return {name: logger.save() for name, logger in self._files.items()}

  def restore(self, state: types.State) -> None:
    """Drops the rows written after `save`; an empty state stands for the beginning."""
    for name, logger in self._files.items():
      logger.restore(state.get(name, {"rows": 0}))
    self._purge_from = self.steps()

  def _train_scalars(self, row: loggers.Row) -> None:
    now = time.monotonic()
    if now - self._last_scalars > _TRAIN_SECONDS:
      self._last_scalars = now
      self._scalars("train", {name: row[name] for name in _TRAIN_SCALARS})

  def _learner_scalars(self, row: loggers.Row) -> None:
    for name, value in row.items():
      if "loss" in name and not np.all(np.isfinite(np.asarray(value))):
        raise FloatingPointError(f"The learner's {name} is {value}: training has diverged. Lower the learning rate.")
    self._scalars("learner", row)

  def _scalars(self, prefix: str, row: loggers.Row) -> None:
    if self._tensorboard is None:
      self._tensorboard = _TensorBoard(self._directory / "tensorboard", self._purge_from)
    self._tensorboard.write(prefix, row, self.steps())


class _Tee(loggers.Logger):
  """Writes rows to a CSV file and hands them on."""

  def __init__(self, to: loggers.Logger, also: Callable[[loggers.Row], None]) -> None:
    self._to = to
    self._also = also

  def write(self, row: loggers.Row) -> None:
    self._to.write(row)
    self._also(row)


class _TensorBoard:
  """An event file, written in this thread so that a full disk is an error here and not in a thread's traceback."""

  def __init__(self, directory: pathlib.Path, purge_from: int) -> None:
    """Makes a new file, before which events at `purge_from` or later, of a run that was killed, do not count."""
    from tensorboardX import event_file_writer  # Brings protobuf: a third of a second.
    from tensorboardX.proto import event_pb2, summary_pb2

    directory.mkdir(parents=True, exist_ok=True)
    suffix = f".{time.time_ns()}"  # Else two files within a second would have one name.
    self._event, self._summary = event_pb2.Event, summary_pb2.Summary
    self._writer = event_file_writer.EventsWriter(str(directory.absolute() / "events"), suffix)
    start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
    self._writer.write_event(event_pb2.Event(wall_time=time.time(), step=purge_from, session_log=start))

  def write(self, prefix: str, row: loggers.Row, step: int) -> None:
    values = [
      self._summary.Value(tag=f"{prefix}/{name}", simple_value=number)
      for name, value in row.items()
      if (number := _number(value)) is not None
    ]
    self._writer.write_event(self._event(wall_time=time.time(), step=step, summary=self._summary(value=values)))

  def flush(self) -> None:
    self._writer.flush()

  def close(self) -> None:
    self._writer.close()


def _number(value: Any) -> float | None:
  """A scalar as a float, None for what has no place in a curve."""
  if isinstance(value, str) or np.ndim(value) > 0:
    return None
  number = float(value)
  return number if math.isfinite(number) else None
