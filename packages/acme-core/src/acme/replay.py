"""The replay protocols: what a table is, how steps and items get in, how samples come out.

A `Replay` is what an agent learns from, made from its experience. Below it lies a `Store` of tables; a description of a
table names none: the embedded store (acme-replay), a Reverb server (acme-reverb) and a shard on Ray take the same one.
Items refer to steps, and each step is stored once however many items refer to it.
"""

import abc
import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import cached_property
from typing import Any, NamedTuple

import dm_env
import numpy as np

from acme import core, types


@dataclasses.dataclass(frozen=True)
class Uniform:
  """Samples every item with the same probability."""


@dataclasses.dataclass(frozen=True)
class Prioritized:
  """Samples item i with probability p_i^exponent / Σ_j p_j^exponent (Schaul et al. 2015, 1511.05952, §3.3)."""

  exponent: float = 0.6

  def __post_init__(self) -> None:
    if not 0 <= self.exponent < math.inf:
      raise ValueError(f"Prioritized.exponent: expected a finite number, 0 or more, got {self.exponent!r}.")


@dataclasses.dataclass(frozen=True)
class Fifo:
  """Samples the oldest item."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RateLimiter:
  """When a table may be sampled.

  Attributes:
    min_size: items inserted before the first sample.
    samples_per_insert: items sampled for each item inserted after the first `min_size`, as an exact fraction: 0.1 is
      one in ten. None leaves it free.
  """

  min_size: int = 1
  samples_per_insert: float | None = None

  def __post_init__(self) -> None:
    if self.min_size < 1:
      raise ValueError(f"RateLimiter.min_size: expected 1 or more, got {self.min_size!r}.")
    if self.samples_per_insert is not None and not 0 < self.samples_per_insert < math.inf:
      raise ValueError(f"RateLimiter.samples_per_insert: expected a number above 0, got {self.samples_per_insert!r}.")

  @cached_property
  def _ratio(self) -> tuple[int, int]:
    return Fraction(str(self.samples_per_insert)).as_integer_ratio()

  def allowed(self, inserts: int, samples: int) -> float:
    """How many more items may be sampled after `inserts` and `samples` so far; infinity where no ratio is set."""
    if inserts < self.min_size:
      return 0
    if self.samples_per_insert is None:
      return math.inf
    numerator, denominator = self._ratio
    return (inserts - self.min_size) * numerator // denominator - samples


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
  """A store-independent description of one table.

  Attributes:
    name: what writers and datasets call it.
    max_size: items held; the oldest goes when one more comes. A queue (`max_times_sampled` 1, Fifo) refuses instead.
    sampler: how items are chosen.
    max_times_sampled: an item leaves after so many samples; None for no limit.
    rate_limiter: when it may be sampled.
  """

  name: str = "replay"
  max_size: int = 1_000_000
  sampler: Uniform | Prioritized | Fifo = Uniform()
  max_times_sampled: int | None = None
  rate_limiter: RateLimiter = RateLimiter()

  def __post_init__(self) -> None:
    for field, value in (("max_size", self.max_size), ("max_times_sampled", self.max_times_sampled)):
      if value is not None and value < 1:
        raise ValueError(f"Table {self.name!r}: expected {field} of 1 or more, got {value!r}.")
    if self.rate_limiter.min_size > self.max_size:
      raise ValueError(
        f"Table {self.name!r}: min_size {self.rate_limiter.min_size} is more than max_size {self.max_size}: "
        "it could never be sampled."
      )


class Sample(NamedTuple):
  """A batch."""

  data: Any  # Transition or Sequence, every leaf [B, …]
  keys: np.ndarray  # [B] int64, the items' names in `update_priorities`; of several tables [B, 2], the table's first
  probabilities: np.ndarray  # [B] float64, with which each was chosen, of all that might have been
  table_size: int = 0  # items in the table, or in all of them, when it was sampled
  table: Any = ()  # [B] int32, of several tables: from which, in the order of the experience's parts


class TableInfo(NamedTuple):
  """What a table has seen."""

  size: int  # items now
  inserts: int  # items ever inserted
  samples: int  # items ever sampled


class TransitionItem(NamedTuple):
  """An item from the step `num_steps` before the newest one to the newest one."""

  num_steps: Any
  reward: types.NestedArray  # R of types.Transition
  discount: types.NestedArray  # D of types.Transition


class SequenceItem(NamedTuple):
  """An item of the last `length` steps, followed by `padding` steps of zeros that the mask marks."""

  length: int
  padding: int = 0
  core: types.NestedArray = ()  # the recurrent state that went into `act` at the first of them, where it is stored


class Writer(core.Saveable):
  """A stream of steps, or N parallel ones, and the items that refer to them.

  Attributes:
    num_streams: None for one stream; N for as many, each leaf of a step then has a leading [N].
  """

  num_streams: int | None = None

  @abc.abstractmethod
  def append(self, step: types.Step) -> None:
    """Stores one step of each stream."""

  @abc.abstractmethod
  def create_item(
    self,
    table: str,
    trajectory: TransitionItem | SequenceItem,
    priority: float | None = None,
    streams: np.ndarray | None = None,
  ) -> None:
    """Inserts an item that refers to the newest steps of its stream, or K items of K different streams.

    Args:
      table: the table's name.
      trajectory: which steps, counted back from the newest; with `streams` each of its leaves has a leading [K].
      priority: 0 or more; 0 is not chosen beside others. None for the largest given since the table was last empty, 1
        in an empty one.
      streams: [K] int, ascending, which of the N streams; None where there is one stream.
    """


class Store(core.Saveable):
  """Tables, and writers to them."""

  @abc.abstractmethod
  def writer(self, num_streams: int | None = None) -> Writer:
    """Opens a stream of steps, or N parallel ones."""

  @abc.abstractmethod
  def dataset(self, table: str, batch_size: int) -> Iterator[Sample]:
    """An endless iterator of batches. `next` samples at that moment: nothing is fetched ahead of time."""

  @abc.abstractmethod
  def update_priorities(self, table: str, keys: np.ndarray, priorities: np.ndarray) -> None:
    """Sets priorities [B] of the items `keys` [B]; keys that have left the table are passed over.

    Raises:
      ValueError: a priority is below 0 or NaN, or so large that the sum of powers might overflow; none has been set.
    """

  @abc.abstractmethod
  def info(self) -> Mapping[str, TableInfo]:
    """Sizes, inserts and samples, by table."""

  @abc.abstractmethod
  def available(self, table: str) -> float:
    """How many items of a table may be sampled now, by its rate limiter and its contents; may be infinity."""

  def close(self) -> None:
    """Frees what the store holds outside this process."""


class Replay(core.Saveable):
  """What an agent's experience is kept in: adders fill it, a dataset takes from it.

  Attributes:
    backend: the one backend whose arrays its samples are; None for those of NumPy, which every backend takes.
  """

  backend: str | None = None

  @abc.abstractmethod
  def adder(self, num_streams: int | None = None) -> "Adder":
    """Makes the adder of one actor, over one stream of steps or over N."""

  @abc.abstractmethod
  def dataset(self) -> Iterator[Sample]:
    """An endless iterator of batches of the experience's size. `next` samples at that moment."""

  def once(self, held_out: bool = False) -> Iterator[Sample]:
    """The items of datasets, each once: of the episodes that are held out, or of those that samples are made of.

    They come in their order, in batches of the experience's size, the last one of what is left, and count as no sample.
    """
    del held_out
    return iter(())

  @abc.abstractmethod
  def update_priorities(self, keys: np.ndarray, priorities: np.ndarray) -> None:
    """Sets the priorities of items, as `Sample.keys` names them, to `priorities` [B] plus the experience's ε.

    Without effect on those that have left, and on tables that are not prioritised.
    """

  @abc.abstractmethod
  def info(self) -> Mapping[str, TableInfo]:
    """Sizes, inserts and samples, by table."""

  @abc.abstractmethod
  def available(self) -> float:
    """How many items may be sampled now, by the experience's ratio and what is there; may be infinity."""

  def pretraining(self) -> int:
    """How many batches are still to be learned from before anyone acts."""
    return 0

  def remember(self, make_actor: Callable[["Adder"], core.Actor]) -> None:
    """Gives sequences of datasets without recurrent states those of an actor that goes through the same episodes.

    That is when the first sample is taken, or never: where all states were recorded, or none are stored.

    Args:
      make_actor: makes it over an adder, to which it hands its states.
    """

  def close(self) -> None:
    """Frees what it holds outside this process."""


class Adder(core.Saveable):
  """Turns timesteps into steps and items.

  Over a writer of N streams every leaf has a leading [N] and `step_type` is an int array [N]: where it is FIRST, that
  environment has been reset, and its action was passed over.
  """

  @abc.abstractmethod
  def add_first(self, timestep: dm_env.TimeStep) -> None:
    """Begins an episode."""

  @abc.abstractmethod
  def add(
    self,
    action: types.NestedArray,
    next_timestep: dm_env.TimeStep,
    extras: types.NestedArray = (),
    core: types.NestedArray = (),
  ) -> None:
    """Records that `action`, chosen with `extras` in recurrent state `core`, led to `next_timestep`."""

  @abc.abstractmethod
  def reset(self) -> None:
    """Drops the episode in progress: its steps make no further items."""


def check_unique(tables: Sequence[Table]) -> None:
  """Raises ValueError where there is no table, or two of one name."""
  names = [table.name for table in tables]
  if not names or len(set(names)) != len(names):
    raise ValueError(f"Expected one or more tables with names of their own, got {names}.")
