"""One of the runs that are a program on a device: its files, its checkpoints, and what is counted of its seeds.

Shapes: S seeds, E episodes.
"""

import contextlib
import dataclasses
import json
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from acme import checkpointing, types
from acme_experiments import components, evaluation, records, rundir, saving
from acme_experiments.experiment import Experiment, UsageError
from acme_experiments.rundir import RunDirectory

ALL_DIVERGED = "The losses of all seeds are not finite: training has diverged. Lower the learning rate."


class Part:
  """One of the runs that are a program: its files, and what is counted of its seeds.

  Attributes:
    rows: where its seeds are among those of the program.
    episodes: of each seed, up to the newest rows.
    diverged: SGD steps by seed.
    highest: the highest mean of an evaluation, over all its seeds.
  """

  def __init__(self, directory: RunDirectory, number: int, runs: int) -> None:
    self.directory, self.experiment = directory, directory.read_experiment()
    self.seeds = self.experiment.seeds or ()  # As `Experiment` has seen to.
    self.rows = slice(number * len(self.seeds), (number + 1) * len(self.seeds))
    self.name = "Seed" if runs == 1 else f"{directory.path.name}: seed"
    self.episodes = [0] * len(self.seeds)
    self.diverged: dict[str, int] = {}
    self.highest = -math.inf
    self.saver = saving.Saver(directory, self.experiment.checkpoint_every, runs)
    self.directories = [directory.make_seed(seed) for seed in self.seeds]
    self.records: list[records.Records] = []

  @property
  def sound(self) -> list[int]:
    """The seeds, by place, whose losses have all been finite; the others get no more rows."""
    return [i for i, seed in enumerate(self.seeds) if str(seed) not in self.diverged]

  def find_diverged(self, first: np.ndarray) -> None:
    """Names seeds whose loss is not finite: `first` [S] are the SGD steps before it, −1 where there is none."""
    for i in [i for i in self.sound if first[i] >= 0]:
      self.diverged[str(self.seeds[i])] = int(first[i])
      text = f"{self.name} {self.seeds[i]}: the loss after SGD step {first[i]:,} is not finite: training has diverged."
      rundir.write_text(self.directories[i].error, text + "\n")
      warnings.warn(f"{text} The others go on.", stacklevel=2)

  def finish(self, returns: np.ndarray, counts: Mapping[str, Any]) -> None:
    """Writes the summaries of the seeds that have not diverged and of all together; `returns` [S, E] are the last."""
    if self.experiment.high_enough(self.highest):
      counts = {**counts, "finished": True}
    results = {self.seeds[i]: statistics(returns[i]) for i in self.sound}
    for i, result in zip(self.sound, results.values(), strict=True):
      summary = {**result, **counts, "episodes": self.episodes[i]}
      self.directories[i].write_summary(summary)
      self.records[i].finish(summary)
    if not results:
      rundir.write_text(self.directory.error, ALL_DIVERGED + "\n")
      return
    more = {"episodes": sum(self.episodes), "diverged": self.diverged}
    self.directory.write_summary({**evaluation.of_seeds(results), **counts, **more})

  def save(self, steps: int, reported: int, loop: types.State, seconds: float) -> None:
    """Writes a checkpoint, with its rows of the loop's state."""
    for each in self.records:
      each.flush()
    state = {
      "loop": {"seeds": list(self.seeds), "state": [leaf[self.rows] for leaf in loop["state"]]},
      "records": [each.save() for each in self.records],
      "evaluations": {"done": reported},
      "episodes": list(self.episodes),
      "diverged": self.diverged,
      "highest": self.highest,
    }
    metadata = components.metadata(self.experiment) | {"wall_seconds": seconds}
    self.saver.save(steps, sum(self.episodes), reported, state, metadata)
    for each in self.records:
      each.publish()

  def restore(self, checkpoint: checkpointing.Checkpoint | None) -> None:
    """Goes back to a checkpoint, but for the loop; None for the beginning."""
    saved = {"records": [{}] * len(self.seeds)} if checkpoint is None else checkpoint.state
    for each, rows in zip(self.records, saved["records"], strict=True):
      each.restore(rows)
    if checkpoint is not None:
      self.episodes, self.diverged = list(saved["episodes"]), dict(saved["diverged"])
      self.highest = saved.get("highest", -math.inf)


def shape(experiment: Experiment) -> str:
  """What must be the same of runs that are one program: all but the numbers in their configs."""
  config = {name: float if type(value) is float else value for name, value in experiment.config.items()}
  return json.dumps(dataclasses.asdict(experiment) | {"config": config}, default=repr)


def check_together(parts: Sequence[Part]) -> None:
  """Raises UsageError where runs are no program, as a config.json was altered: one would be taken for another."""
  first = parts[0]
  for each in parts[1:]:
    if shape(each.experiment) != shape(first.experiment):
      raise UsageError(
        f"{each.directory.config} and {first.directory.config} are of one program, and may differ in numbers of the "
        "agent's config alone: put the one that was altered back from a copy."
      )


def open_records(directory: RunDirectory) -> Any:
  """The records of a seed, to be closed."""
  return contextlib.closing(records.Records(directory.path, directory.read_experiment(), ("train", "eval")))


def statistics(returns: np.ndarray) -> dict[str, Any]:
  """What a summary says of the returns [E] of a seed."""
  return evaluation.of_returns(returns.tolist()) | {"eval_returns": returns.tolist()}
