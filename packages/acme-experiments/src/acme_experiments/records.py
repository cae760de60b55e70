"""What a run writes down: CSV files that resume exactly, TensorBoard events, and points for other trackers.

Every column but those of time (their names end in `seconds` or `second`) is the same in a run that was stopped and
resumed as in one that was not.
"""

import contextlib
import csv
import math
import os
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from acme import core, loggers, types
from acme_experiments import trackers
from acme_experiments.experiment import Experiment, UsageError
from acme_experiments.rundir import check_plain

_TRAIN_SCALARS = ("episode_return", "episode_length", "steps_per_second")
_TRAIN_SECONDS = 0.1  # Between two training rows for TensorBoard, where short episodes would cost more than they show.


class Records(core.Saveable):
  """The loggers of one run.

  Attributes:
    steps: gives the environment steps so far, TensorBoard's horizontal axis.
    train: takes the rows of the training loop.
    learner: takes those of the learner; a loss that is not finite is a FloatingPointError.
  """

  def __init__(
    self, directory: pathlib.Path, experiment: Experiment, names: Sequence[str] = ("train", "eval", "learner")
  ) -> None:
    """Opens the files `NAME.csv` in `directory`, and the loggers that the experiment names.

    Raises:
      UsageError: a file cannot be read, or a logger cannot be opened.
    """
    self.steps: Callable[[], int] = lambda: 0
    self._directory, self._experiment = directory, experiment
    trackers.check(experiment.log)
    self._points: trackers.Points | None = None
    self._tensorboard: _TensorBoard | None = None
    self._files: dict[str, loggers.CSVLogger] = {}
    try:
      for name in names:
        for ending in ("", ".cut"):
          check_plain(directory / f"{name}.csv{ending}")
        self._files[name] = loggers.CSVLogger(directory / f"{name}.csv")
      if set(experiment.log) - {trackers.TENSORBOARD}:
        self._points = trackers.Points(directory, experiment)
    except BaseException as error:
      self.close()
      if isinstance(error, OSError | ValueError):
        raise UsageError(str(error)) from error
      raise
    self._purge_from = 0
    self._again: list[dict[str, str]] = []  # Evaluations at that very step, which the checkpoint counts.
    self._last_scalars = -math.inf
    self.train: loggers.Logger = _Tee(self._files["train"], self._train_scalars)
    if "learner" in names:
      self.learner: loggers.Logger = _Tee(self._files["learner"], self._learner_scalars)

  def evaluation(self, row: loggers.Row) -> None:
    """Takes the row of an evaluation."""
    self._files["eval"].write(row)
    self._scalars("eval", row)

  def training(self, row: loggers.Row) -> None:
    """Takes a row of training that is of more than an episode, the learner's metrics in it."""
    self._files["train"].write(row)
    self._scalars("train", row)

  def flush(self) -> None:
    """Puts every row on disk, so that a checkpoint never counts rows that a power cut could take."""
    for name in self._files:
      with (self._directory / f"{name}.csv").open("rb") as file:
        os.fsync(file.fileno())
    if self._points is not None:
      self._points.flush()
    if self._tensorboard is not None:
      self._tensorboard.flush()

  def publish(self) -> None:
    """Tells trackers what they were not told; called once a checkpoint that counts it is on disk."""
    if self._points is not None:
      self._points.publish()

  def finish(self, summary: Mapping[str, Any]) -> None:
    """Tells TensorBoard and trackers the hyper-parameters and the final metrics of a run that is over."""
    numbers = _numbers(summary)
    if trackers.TENSORBOARD in self._experiment.log:
      tracked = trackers.Tracked(path=self._directory, experiment=self._experiment, id="", new=False)
      self._open_tensorboard().finish(tracked, numbers, self.steps())
    if self._points is not None:
      self._points.finish(numbers)

  def close(self) -> None:
    """Closes the files, each even where another cannot write its last rows."""
    with contextlib.ExitStack() as stack:
      for logger in self._files.values():
        stack.callback(logger.close)
      for part in (self._tensorboard, self._points):
        if part is not None:
          stack.callback(part.close)

  def save(self) -> types.State:
    state = {name: logger.save() for name, logger in self._files.items()}
    return state if self._points is None else state | {"points": self._points.save()}

  def restore(self, state: types.State) -> None:
    """Cuts the rows written after `save`, which go to `*.csv.cut`; an empty state stands for the beginning.

    Raises:
      UsageError: a file lacks rows that it had.
    """
    try:
      for name, logger in self._files.items():
        logger.restore(state.get(name, {"rows": 0}))
    except ValueError as error:
      raise UsageError(str(error)) from error
    if self._points is not None:
      self._points.restore(state.get("points", {"points": 0}))
    self._purge_from = self.steps()
    path = self._directory / "eval.csv"
    try:
      with path.open(newline="", encoding="utf-8") as file:
        self._again = [row for row in csv.DictReader(file) if float(row["steps"]) >= self._purge_from]
    except (ValueError, KeyError, TypeError) as error:
      raise UsageError(f"{path} cannot be read: {error!r}. Put it back from a copy.") from error

  def _train_scalars(self, row: loggers.Row) -> None:
    self._point("train", row)
    now = time.monotonic()
    if now - self._last_scalars > _TRAIN_SECONDS:
      self._last_scalars = now
      self._tensorboard_scalars("train", {name: row[name] for name in _TRAIN_SCALARS})

  def _learner_scalars(self, row: loggers.Row) -> None:
    for name, value in row.items():
      if "loss" in name and not _finite(value):
        raise FloatingPointError(f"The learner's {name} is {value}: training has diverged. Lower the learning rate.")
    self._scalars("learner", row)

  def _scalars(self, prefix: str, row: loggers.Row) -> None:
    self._point(prefix, row)
    self._tensorboard_scalars(prefix, row)

  def _point(self, prefix: str, row: loggers.Row) -> None:
    if self._points is not None:
      self._points.write(prefix, self.steps(), _numbers(row))

  def _tensorboard_scalars(self, prefix: str, row: loggers.Row) -> None:
    if trackers.TENSORBOARD in self._experiment.log:
      self._open_tensorboard().write(prefix, row, self.steps())

  def _open_tensorboard(self) -> "_TensorBoard":
    """Its file, made at the first event."""
    if self._tensorboard is None:
      self._tensorboard = _TensorBoard(self._directory / "tensorboard", self._purge_from)
      for evaluation in self._again:
        self._tensorboard.write("eval", {name: float(x) for name, x in evaluation.items() if x}, self._purge_from)
    return self._tensorboard


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
      self._summary.Value(tag=f"{prefix}/{name}", simple_value=number) for name, number in _numbers(row).items()
    ]
    self._writer.write_event(self._event(wall_time=time.time(), step=step, summary=self._summary(value=values)))

  def finish(self, tracked: trackers.Tracked, numbers: Mapping[str, float], step: int) -> None:
    """Writes the hyper-parameters with the final metrics, which is what its page HPARAMS shows."""
    from tensorboardX import summary

    parameters = {
      name: value if isinstance(value, bool | int | float | str) else str(value)
      for name, value in tracked.parameters.items()
    }
    for each in summary.hparams(parameters, {f"final/{name}": number for name, number in numbers.items()}):
      self._writer.write_event(self._event(wall_time=time.time(), step=step, summary=each))
    self.write("final", numbers, step)

  def flush(self) -> None:
    self._writer.flush()

  def close(self) -> None:
    self._writer.close()


def _finite(value: Any) -> bool:
  """False where a number is NaN or infinite; what is no number is none of them."""
  try:
    return bool(np.all(np.isfinite(np.asarray(value))))
  except (TypeError, ValueError):
    return True


def _numbers(row: loggers.Row) -> dict[str, float]:
  """What of a row has a place in a curve."""
  return {name: number for name, value in row.items() if (number := _number(value)) is not None}


def _number(value: Any) -> float | None:
  """A finite scalar as a float, None for what has no place in a curve."""
  try:
    if isinstance(value, str) or np.ndim(value) > 0:
      return None
    number = float(value)
  except (TypeError, ValueError, OverflowError):
    return None
  return number if math.isfinite(number) else None
