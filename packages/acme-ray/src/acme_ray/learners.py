"""The learner, and what it takes for its replay."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tree

from acme import builders, counting, loggers, replay, types
from acme.agents.agent import split_seed
from acme_ray import nodes


class Learned(NamedTuple):
  """What a learner says of some batches."""

  steps: int  # SGD steps in all
  priorities: list[tuple[np.ndarray, np.ndarray]]  # keys and values, of each batch
  rows: Sequence[Mapping[str, Any]]  # what it logged
  seconds: float  # that it took


class Learner(nodes.Node):
  """Learns from the batches that it is given."""

  def start(self, state: types.State = None) -> tuple[types.NestedArray, int]:
    """Makes the learner; returns its parameters and its steps."""
    builder, program, described = self.recipe.parts()
    self._feed, self._log, self._counter = _Feed(), loggers.InMemoryLogger(), counting.Counter()
    self._learner = builder.make_learner(
      self.recipe.spec,
      program,
      builders.LearnerInputs(
        dataset=self._feed,
        seed=split_seed(self.recipe.seed)[1],
        replay=self._feed if described.prioritized else None,
        logger=self._log,
        counter=self._counter,
      ),
    )
    if state is not None:
      self._learner.restore(state["learner"])
      self._counter.restore(state["counts"])
    return self._params(), self._steps

  @property
  def _steps(self) -> int:
    return int(self._counter.get("learner_steps"))

  def _params(self) -> types.NestedArray:
    (params,) = self._learner.get_variables([nodes.PARAMS])
    return tree.map_structure(lambda leaf: leaf if leaf is None else np.asarray(leaf), params)

  def learn(self, samples: Sequence[replay.Sample], settle: bool) -> tuple[types.NestedArray, Learned]:
    """Learns from batches in turn; returns the parameters, and what came of it: all priorities, if it is to settle."""
    start = time.perf_counter()
    for sample in samples:
      self._feed.sample = sample
      self._learner.step()
    if settle:
      self._learner.settle()
    params, rows = self._params(), nodes.taken(self._log)
    return params, Learned(self._steps, self._feed.take_priorities(), rows, time.perf_counter() - start)

  def settle(self) -> list[tuple[np.ndarray, np.ndarray]]:
    """Priorities that the learner has not handed back yet."""
    self._learner.settle()
    return self._feed.take_priorities()

  def save(self) -> types.State:
    return {"learner": self._learner.save(), "counts": dict(self._counter.save())}


class _Feed(replay.Replay):
  """What a learner takes for its replay: it gives one sample, and keeps the priorities that come back."""

  def __init__(self) -> None:
    self.sample: replay.Sample | None = None
    self._priorities: list[tuple[np.ndarray, np.ndarray]] = []

  def __iter__(self) -> Iterator[replay.Sample]:
    return self

  def __next__(self) -> replay.Sample:
    if self.sample is None:
      raise RuntimeError("This learner takes more than one sample in a step: it cannot be given them one by one.")
    sample, self.sample = self.sample, None
    return sample

  def dataset(self) -> Iterator[replay.Sample]:
    return self

  def update_priorities(self, keys: np.ndarray, priorities: np.ndarray) -> None:
    self._priorities.append((np.asarray(keys), np.asarray(priorities)))

  def take_priorities(self) -> list[tuple[np.ndarray, np.ndarray]]:
    taken, self._priorities = self._priorities, []
    return taken

  def adder(self, num_streams: int | None = None) -> replay.Adder:
    raise RuntimeError("A learner adds nothing.")

  def info(self) -> Mapping[str, replay.TableInfo]:
    return {}

  def available(self) -> float:
    return 0.0 if self.sample is None else len(self.sample.keys)

  def save(self) -> types.State:
    return None

  def restore(self, state: types.State) -> None:
    del state
