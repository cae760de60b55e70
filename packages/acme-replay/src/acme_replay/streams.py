"""Batches from anybody's iterator, such as that of a data loader, as what an agent learns from."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import tree

from acme import experience, replay, types
from acme_replay.replays import NoAdder

Batch = types.Transition | types.Sequence | replay.Sample


class StreamReplay(replay.Replay):
  """Gives what an iterator gives: transitions or sequences, every leaf [B, …], or whole samples.

      replay = functools.partial(acme_replay.StreamReplay, batches)
      agent = acme_bc.BC(spec, replay=replay)

  A saved state has the number of batches taken. Restored into a replay whose iterator begins anew, it passes over so
  many: where that gives the same ones again, going on is the same as not having stopped.
  """

  def __init__(
    self,
    batches: Iterable[Batch],
    description: experience.Experience,
    step_spec: types.Step,
    seed: int = 0,
    *,
    held_out: Callable[[], Iterable[Batch]] | None = None,
  ) -> None:
    """Takes the batches.

    Args:
      batches: what is learned from; where it ends, so does learning.
      description: the agent's experience, whose sizes are left to the iterator.
      step_spec: not read.
      seed: not read.
      held_out: gives what is not learned from, for evaluations, anew at each call; None for nothing.
    """
    del description, step_spec, seed
    self._batches, self._given = iter(batches), held_out
    self._taken = self._items = 0

  def adder(self, num_streams: int | None = None) -> replay.Adder:
    return NoAdder()

  def dataset(self) -> Iterator[replay.Sample]:
    return self

  def __iter__(self) -> Iterator[replay.Sample]:
    return self

  def __next__(self) -> replay.Sample:
    """The next batch. Raises StopIteration where there is none."""
    sample = _sample(next(self._batches), self._items)
    self._taken += 1
    self._items += len(sample.keys)
    return sample

  def once(self, held_out: bool = False) -> Iterator[replay.Sample]:
    """What is held out. Raises ValueError where what is learned from is asked for, which cannot be had twice."""
    if not held_out:
      raise ValueError(
        "Batches of an iterator cannot be had twice, so that they could be gone through before they are learned from: "
        "give a dataset, or leave out what asks for it, such as class_balance."
      )
    return (_sample(batch, 0) for batch in (self._given() if self._given is not None else ()))

  def update_priorities(self, keys: np.ndarray, priorities: np.ndarray) -> None:
    """Without effect."""

  def info(self) -> Mapping[str, replay.TableInfo]:
    return {"stream": replay.TableInfo(0, 0, self._items)}

  def available(self) -> float:
    return float("inf")

  def save(self) -> types.State:
    return {"taken": self._taken, "items": self._items}

  def restore(self, state: types.State) -> None:
    """Passes over what had been taken. Raises ValueError where more than that has been taken here, or less is there."""
    if state["taken"] < self._taken:
      raise ValueError(
        f"{self._taken} batches have been taken, and the saved state is of {state['taken']}: an iterator cannot go "
        "back. Make the replay anew, over an iterator that begins anew."
      )
    passed = sum(1 for _ in itertools.islice(self._batches, state["taken"] - self._taken))
    if self._taken + passed < state["taken"]:
      raise ValueError(
        f"The iterator ended after {self._taken + passed} batches, and {state['taken']} had been taken: give one that "
        "begins with the same ones."
      )
    self._taken, self._items = state["taken"], state["items"]


def _sample(batch: Any, first: int) -> replay.Sample:
  """A batch as a sample, its items numbered from `first` on, all as probable as each other."""
  if isinstance(batch, replay.Sample):
    return batch
  if not isinstance(batch, types.Transition | types.Sequence):
    raise TypeError(
      f"Expected batches of acme.types.Transition or Sequence, or acme.replay.Sample, got {type(batch).__name__}."
    )
  size = len(tree.flatten(batch)[0])
  return replay.Sample(batch, np.arange(first, first + size), np.full(size, 1 / size), size)
