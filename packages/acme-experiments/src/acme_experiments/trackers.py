"""Where a run's points go besides its own files: W&B, MLflow, and what packages offer as `acme.loggers`.

Nothing is told twice, and nothing is left out, whenever a run is killed. Points are first lines of `points.jsonl` in
the run's directory, which is cut to the checkpoint that a run is resumed from, as its CSV files are; a tracker is told
those that a checkpoint counts, once it is on disk. `loggers.json` says how many each was told, and in which run of its
own they are.
"""

import abc
import dataclasses
import json
import os
import pathlib
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from typing import Any, NamedTuple

from acme import core, types
from acme_experiments.experiment import Experiment, UsageError
from acme_experiments.rundir import open_to_append, read_object, write_json

GROUP = "acme.loggers"
TENSORBOARD, JSONL = "tensorboard", "jsonl"  # Files of the run's directory.


class Point(NamedTuple):
  """A row of a run, as trackers are told it."""

  number: int  # from 0, over all streams of the run
  stream: str  # train, eval or learner
  steps: int  # environment steps, or learner steps on a dataset
  time: float  # seconds since 1970
  values: dict[str, float]  # what is a finite number


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tracked:
  """The run that a tracker is made for.

  Attributes:
    path: its directory.
    experiment: what it is told to do.
    id: names its run in the tracker: what `Tracker.id` was the first time, or a new one.
    new: whether this is the first time.
  """

  path: pathlib.Path
  experiment: Experiment
  id: str
  new: bool

  @property
  def name(self) -> str:
    """What it is called."""
    return self.path.name if self.group is None else f"{self.group}-{self.path.name}"

  @property
  def group(self) -> str | None:
    """The run of many seeds that it belongs to; None where it is one of its own."""
    parent = self.path.absolute().parent
    return parent.name if (parent / "config.json").exists() else None

  @property
  def parameters(self) -> dict[str, Any]:
    """The hyper-parameters: those of the run, and the fields of the agent's config."""
    run = {
      name: getattr(self.experiment, name) for name in ("agent", "environment", "seed", "envs", "steps", "backend")
    }
    return {**run, **self.experiment.config}


class Tracker(abc.ABC):
  """Takes the points of one run.

  Attributes:
    id: names its run in the tool, for the next process.
    held: how many points of those that it was told it has for sure, when it goes on with a run; None for all. A tool
      that keeps some of them in memory, as W&B does, lacks these when it is killed.
  """

  id: str
  held: int | None = None

  @abc.abstractmethod
  def write(self, points: Sequence[Point], again: bool = False) -> None:
    """Takes points; `again`, where a process was killed while it wrote these, so that some may be there already."""

  @abc.abstractmethod
  def finish(self, summary: Mapping[str, float]) -> None:
    """Takes the final metrics; the run is over, but may be made longer."""

  @abc.abstractmethod
  def close(self) -> None:
    """Frees what it holds; called after `finish`, too."""


class Points(core.Saveable):
  """The points of a run in a file, and the trackers that are told them."""

  def __init__(self, path: pathlib.Path, experiment: Experiment) -> None:
    """Opens the file, and the trackers that the experiment names. Raises UsageError where one cannot be."""
    self._path, self._cursors_path = path / "points.jsonl", path / "loggers.json"
    self._number = 0
    self._pending: list[Point] = []  # Those that some tracker was not told.
    self._cursors = _read_cursors(self._cursors_path)
    self._trackers: dict[str, Tracker] = {}
    for name in experiment.log:
      if name in (TENSORBOARD, JSONL):
        continue
      known = self._cursors.setdefault(name, {"id": uuid.uuid4().hex[:8], "told": 0, "telling": 0, "new": True})
      tracked = Tracked(path=path, experiment=experiment, id=known["id"], new=known["new"])
      if known["new"]:
        write_json(self._cursors_path, self._cursors)  # Before there is a run of that name.
      self._trackers[name] = _make(name, tracked)
      known |= {"id": self._trackers[name].id, "new": False}
      if (held := self._trackers[name].held) is not None:
        known["told"] = min(known["told"], held)
      write_json(self._cursors_path, self._cursors)
    self._file = open_to_append(self._path)

  def write(self, stream: str, steps: int, values: dict[str, float]) -> None:
    """Takes a row."""
    point = Point(self._number, stream, steps, time.time(), values)
    self._number += 1
    self._file.write(json.dumps(point._asdict()) + "\n")
    self._file.flush()
    if self._trackers:
      self._pending.append(point)

  def flush(self) -> None:
    """Puts every point on disk."""
    os.fsync(self._file.fileno())

  def publish(self) -> None:
    """Tells the trackers what they were not told; called once a checkpoint that counts it is on disk."""
    for name, tracker in self._trackers.items():
      cursor = self._cursors[name]
      points = [point for point in self._pending if point.number >= cursor["told"]]
      if points:
        interrupted = cursor["telling"]  # By a process that was killed.
        cursor["telling"] = self._number
        write_json(self._cursors_path, self._cursors)
        for again in (True, False):
          if several := [point for point in points if (point.number < interrupted) == again]:
            tracker.write(several, again)
        cursor["told"] = self._number
        write_json(self._cursors_path, self._cursors)
    self._pending.clear()

  def finish(self, summary: Mapping[str, float]) -> None:
    """Tells the trackers the final metrics."""
    for tracker in self._trackers.values():
      tracker.finish(summary)

  def close(self) -> None:
    """Closes the file and the trackers."""
    self._file.close()
    for tracker in self._trackers.values():
      tracker.close()

  def save(self) -> types.State:
    return {"points": self._number}

  def restore(self, state: types.State) -> None:
    """Cuts the points written after `save`, and tells the trackers those before that they were not told.

    Raises:
      UsageError: the file lacks points that it had.
    """
    self._number = number = state["points"]
    lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    if len(lines) < number:
      raise UsageError(f"{self._path} has {len(lines)} points, expected {number} or more: put it back from a copy.")
    self._file.truncate(sum(len(line.encode()) for line in lines[:number]))
    first = min((self._cursors[name]["told"] for name in self._trackers), default=number)
    try:
      self._pending = [Point(**json.loads(line)) for line in lines[first:number]]
    except (ValueError, TypeError) as error:
      raise UsageError(f"{self._path} cannot be read: {error}. Put it back from a copy.") from error
    self.publish()


def _read_cursors(path: pathlib.Path) -> dict[str, dict[str, Any]]:
  """What `loggers.json` says; UsageError where it is damaged."""
  if not os.path.lexists(path):
    return {}
  cursors = read_object(path, ())
  for cursor in cursors.values():
    fields = {"id": str, "told": int, "telling": int, "new": bool}
    if not isinstance(cursor, dict) or not all(isinstance(cursor.get(name), kind) for name, kind in fields.items()):
      raise UsageError(f"{path} cannot be read: expected {', '.join(fields)} of each logger. Put it back from a copy.")
  return cursors


def known() -> list[str]:
  """The names that `--log` takes."""
  offered = [entry_point.name for entry_point in metadata.entry_points(group=GROUP)]
  return sorted({TENSORBOARD, JSONL, *_OURS, *offered})


def check(names: Sequence[str]) -> None:
  """Raises UsageError where `--log` names what is not there."""
  for name in names:
    if name not in (TENSORBOARD, JSONL, *_OURS) and name not in known():  # The look costs time for each of many seeds.
      raise UsageError(f"--log: no logger is called {name!r}. Known: {', '.join(known())}.")


def _make(name: str, tracked: Tracked) -> Tracker:
  check([name])
  try:
    if name in _OURS:
      return _OURS[name](tracked)
    (entry_point,) = metadata.entry_points(group=GROUP, name=name)
    tracker: Tracker = entry_point.load()(tracked)
    return tracker
  except UsageError:
    raise
  except ModuleNotFoundError as error:
    raise UsageError(f'--log {name} needs {error.name}: pip install "acme-experiments[{name}]".') from error
  except Exception as error:  # A tool without its server, its login, or whatever another package raises.
    raise UsageError(f"--log {name}: {type(error).__name__}: {error}") from error


class Wandb(Tracker):
  """Weights & Biases: what its environment variables say (WANDB_MODE=offline, WANDB_PROJECT, WANDB_DIR) holds."""

  def __init__(self, tracked: Tracked) -> None:
    """Begins a run, or goes on with it."""
    import wandb

    self.id = tracked.id
    self._run = wandb.init(
      project=os.environ.get("WANDB_PROJECT", "acme"),
      dir=os.environ.get("WANDB_DIR", str(tracked.path)),
      id=tracked.id,
      name=tracked.name,
      group=tracked.group,
      config=tracked.parameters,
      resume="allow",
      reinit="create_new",  # Seeds on a device are several runs at once.
      settings=wandb.Settings(silent=True, x_disable_stats=True),
    )
    self._run.define_metric("*", step_metric="steps")
    if self._run.offline:
      self.held = _count_rows(pathlib.Path(self._run.dir).parents[1].glob(f"offline-run-*-{self.id}/*.wandb"))
    else:
      self.held = 0  # The server says where the run goes on, and W&B leaves out what is there.

  def write(self, points: Sequence[Point], again: bool = False) -> None:
    for point in points:  # By the number that it has in the run, W&B passes over what it has already.
      row = {f"{point.stream}/{name}": value for name, value in point.values.items()}
      self._run.log(row | {"steps": point.steps}, step=point.number, commit=True)

  def finish(self, summary: Mapping[str, float]) -> None:
    self._run.summary.update({f"final/{name}": value for name, value in summary.items()})

  def close(self) -> None:
    self._run.finish()


def _count_rows(paths: Iterable[pathlib.Path]) -> int:
  """How many rows are in files of W&B's; what was in memory when it was killed is in none."""
  from wandb.proto import wandb_internal_pb2

  parse = wandb_internal_pb2.Record.FromString
  return sum(parse(record).HasField("history") for path in paths for record in wandb_records(path.read_bytes()))


def wandb_records(data: bytes) -> Iterator[bytes]:
  """The records in a file of W&B's: pieces in blocks of 32 KiB, each with its length and whether more follow."""
  at, whole = 7, b""
  while at + 7 <= len(data):
    if (left := 2**15 - at % 2**15) < 7:
      at += left
      continue
    length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
    if kind == 0 or at + 7 + length > len(data):  # It was killed while it wrote this.
      return
    whole += data[at + 7 : at + 7 + length]
    at += 7 + length
    if kind in (1, 4):  # All of it, or its last piece.
      yield whole
      whole = b""


class MLflow(Tracker):
  """MLflow: what its environment variables say (MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME) holds."""

  _MOST = 500  # Metrics in a request, of 1,000 that it takes.

  def __init__(self, tracked: Tracked) -> None:
    """Begins a run, or goes on with it."""
    import mlflow

    self._entities = mlflow.entities
    self._client = mlflow.MlflowClient()
    self._over = False
    if not tracked.new:
      self.id = tracked.id
      self._client.update_run(self.id, status="RUNNING")
      return
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "acme")
    found = self._client.get_experiment_by_name(name)
    experiment = found.experiment_id if found is not None else self._client.create_experiment(name)
    tags = {} if tracked.group is None else {"group": tracked.group}
    self.id = self._client.create_run(experiment, run_name=tracked.name, tags=tags).info.run_id
    parameters = [mlflow.entities.Param(name, str(value)[:500]) for name, value in tracked.parameters.items()]
    for i in range(0, len(parameters), 100):  # As many as it takes at once.
      self._client.log_batch(self.id, params=parameters[i : i + 100])

  def write(self, points: Sequence[Point], again: bool = False) -> None:
    metrics = [
      self._entities.Metric(f"{point.stream}/{name}", value, int(point.time * 1000), point.steps)
      for point in points
      for name, value in point.values.items()
    ]
    if again:
      there = {
        (metric.key, metric.timestamp, metric.step)
        for key in {metric.key for metric in metrics}
        for metric in self._client.get_metric_history(self.id, key)
      }
      metrics = [metric for metric in metrics if (metric.key, metric.timestamp, metric.step) not in there]
    for i in range(0, len(metrics), self._MOST):
      self._client.log_batch(self.id, metrics=metrics[i : i + self._MOST])

  def finish(self, summary: Mapping[str, float]) -> None:
    now = int(time.time() * 1000)
    metrics = [self._entities.Metric(f"final/{name}", value, now, 0) for name, value in summary.items()]
    self._client.log_batch(self.id, metrics=metrics)
    self._over = True

  def close(self) -> None:
    self._client.set_terminated(self.id, "FINISHED" if self._over else "KILLED")


_OURS: dict[str, Callable[[Tracked], Tracker]] = {"wandb": Wandb, "mlflow": MLflow}
