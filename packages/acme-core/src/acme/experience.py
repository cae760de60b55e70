"""Experience as data: what an agent's items look like, how many are kept and sampled, and where they come from.

Every store and every adder is made from the same description, whoever runs the agent: the embedded replay, a Reverb
server, a ring on the device. `Transitions`, `Sequences` and `Queue` describe one table, `Mixed` one batch of several.

Shapes: B batch, L steps of a sequence.
"""

import dataclasses
from collections.abc import Mapping
from fractions import Fraction as ExactFraction
from typing import Any, Literal, Self

from acme import configs, replay, types

__all__ = ["Experience", "Items", "Mixed", "Queue", "Sequences", "Transitions"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Items(configs.Config):
  """What all items have in common."""

  batch_size: configs.PositiveInt = 256
  """B, items in a sample: those of all SGD steps of a learner step."""
  max_size: configs.PositiveInt = 1_000_000
  """Items held; then the oldest goes. Of a dataset all are held, for ever."""
  min_size: configs.PositiveInt = 1
  """Items inserted before the first sample."""
  samples_per_insert: configs.Positive | None = None
  """Items sampled for each one inserted after the first `min_size`, an exact ratio; None leaves it free."""
  priority_exponent: configs.NonNegative | None = None
  """α of P(i) ∝ p_i^α (Schaul et al. 2015, 1511.05952, §3.3); None samples uniformly."""
  priority_bonus: configs.NonNegative = 1e-6
  """ε, added to each priority that the learner hands back, so that an item without error may still be drawn."""
  dataset: str | None = None
  """The path of recorded episodes, which take the place of acting; None for what actors add."""
  acting: bool = True
  """Whether it may be what actors add; False where that would teach nothing, and a dataset must be given."""
  held_out: configs.Fraction = 0.0
  """The share of the dataset's episodes that samples are never made of (`acme.replay.Replay.once`)."""

  @property
  def prioritized(self) -> bool:
    """Whether anybody wants the learner's priorities."""
    return self.priority_exponent is not None

  def table(self, name: str) -> replay.Table:
    """The table that holds the items."""
    sampler = replay.Uniform() if self.priority_exponent is None else replay.Prioritized(self.priority_exponent)
    limiter = replay.RateLimiter(min_size=self.min_size, samples_per_insert=self.samples_per_insert)
    return replay.Table(name=name, max_size=self.max_size, sampler=sampler, rate_limiter=limiter)

  def from_dataset(self, path: str) -> Self:
    """The same items, made of recorded episodes instead of acting, and sampled as often as anyone likes."""
    return dataclasses.replace(self, dataset=path, min_size=1, samples_per_insert=None)

  def with_core(self, spec: types.NestedSpec) -> Self:
    """The same, with the spec of the recurrent state; only sequences that store it have one."""
    del spec
    return self


@dataclasses.dataclass(frozen=True, kw_only=True)
class Transitions(Items):
  """n-step transitions (`acme.types.Transition`), one for each step."""

  n_step: configs.PositiveInt = 1
  """n, environment steps from o_t to o_{t+n}; fewer where an episode begins and ends."""
  discount: configs.Fraction = 1.0
  """γ, for each environment step."""
  max_abs_reward: configs.Positive | None = None
  """Clips each step's reward to [−x, x] before it is summed; None leaves it."""
  value_range: tuple[float, float] | None = None
  """Discounted returns outside [low, high] are warned of: a critic over this range cannot tell them apart."""
  one_step: bool = False
  """Whether a transition also says what its first step alone led to: `one_step` is r_{t+1}, d_{t+1}, o_{t+1}."""

  @classmethod
  def of(cls, config: configs.TransitionConfig, **others: Any) -> Self:
    """The transitions that a config with the shared fields asks for."""
    return cls(
      batch_size=config.batch_size * config.num_sgd_steps_per_step,
      max_size=config.max_replay_size,
      min_size=config.min_replay_size,
      samples_per_insert=config.samples_per_insert,
      priority_exponent=config.priority_exponent if config.prioritized else None,
      n_step=config.n_step,
      discount=config.discount,
      **others,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Recurrent(Items):
  """Items of several steps, with which recurrent states may be stored."""

  stored_state: bool = False
  """Whether a sequence keeps the recurrent state that went into `act` at its first step."""
  core_spec: types.NestedSpec = ()
  """The spec of that state, without a batch axis; the builder fills it in."""

  def with_core(self, spec: types.NestedSpec) -> Self:
    return dataclasses.replace(self, core_spec=spec) if self.stored_state else self


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sequences(_Recurrent):
  """Overlapping sequences of L steps (`acme.types.Sequence`), each step stored once, rewards as they come."""

  length: configs.PositiveInt
  """L, steps."""
  period: configs.PositiveInt
  """Steps from the beginning of one sequence to that of the next."""
  end_of_episode: Literal["zero_pad", "truncate", "write", "continue"] = "zero_pad"
  """What becomes of the steps at the end that no sequence has yet; see `acme_replay.SequenceAdder`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Queue(_Recurrent):
  """Sequences of L steps in a row, each sampled once, the oldest first.

  Consecutive ones share a step, where the first bootstraps and the second begins, and cross episodes. A full queue
  takes no more: in one process that is an error, between processes the actor waits.
  """

  max_size: configs.PositiveInt = 1_000
  """Sequences held; all that come between two samples must fit."""
  length: configs.PositiveInt
  """L, steps, the one to bootstrap from included; 2 or more."""

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.length < 2:
      raise ValueError(f"Queue.length: expected 2 or more, the step to bootstrap from included, got {self.length!r}.")
    if self.max_size < self.batch_size:
      raise ValueError(f"Queue.max_size: expected room for a batch of {self.batch_size}, got {self.max_size!r}.")
    only = {"priority_exponent": None, "samples_per_insert": None, "dataset": None, "min_size": 1, "held_out": 0}
    for name, value in only.items():
      if getattr(self, name) != value:
        raise ValueError(f"Queue.{name}: expected {value}, as each item is sampled once, got {getattr(self, name)!r}.")

  def table(self, name: str) -> replay.Table:
    return replay.Table(name=name, max_size=self.max_size, sampler=replay.Fifo(), max_times_sampled=1)

  def from_dataset(self, path: str) -> Self:
    raise ValueError(
      "A queue is learned from once, by the policy that made it: it has no use for a dataset. Leave the dataset out."
    )

  @property
  def sequences(self) -> Sequences:
    """The sequences that it is a queue of."""
    return Sequences(
      length=self.length,
      period=self.length - 1,
      end_of_episode="continue",
      stored_state=self.stored_state,
      core_spec=self.core_spec,
      batch_size=self.batch_size,
      max_size=self.max_size,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mixed(configs.Config):
  """One batch from several tables: one that actors add to, and one or more of datasets, such as demonstrations.

  Until the actors' table has its `min_size`, batches come from the datasets alone: that is pre-training, of which the
  ratio knows nothing. From then on it counts the whole batch against the actors' inserts.
  """

  parts: Mapping[str, Items]
  """By name, at most one of them without a dataset; their `batch_size` and `samples_per_insert` have no meaning."""
  share: Mapping[str, float] | Literal["priority"]
  """Each part's share in a batch, exact over time; or "priority": P(i) ∝ p_i^α over all tables together."""
  batch_size: configs.PositiveInt = 256
  """B, items in a sample, from all parts together."""
  samples_per_insert: configs.Positive | None = None
  """Items sampled, from all parts, for each one that actors insert after the first `min_size`; None leaves it free."""
  pretraining_batches: configs.NonNegativeInt = 0
  """Batches of the datasets that are learned from before anyone acts."""

  def __post_init__(self) -> None:
    super().__post_init__()
    kinds = {
      (type(part), getattr(part, "one_step", None), getattr(part, "stored_state", None)) for part in self.parts.values()
    }
    if len(kinds) != 1:
      raise ValueError(f"Mixed.parts: expected one or more that make the same samples, got {self.parts!r}.")
    online = [name for name, part in self.parts.items() if part.dataset is None]
    if len(online) > 1 or any(isinstance(part, Queue) for part in self.parts.values()):
      raise ValueError(f"Mixed.parts: expected at most one part without a dataset, and no queue, got {online}.")
    if isinstance(self.share, Mapping):
      fits = self.share.keys() == self.parts.keys() and all(share > 0 for share in self.share.values())
      if not fits or abs(sum(self.share.values()) - 1) > 1e-9:  # A sixth and five are not one, in floats.
        raise ValueError(
          f"Mixed.share: expected shares above 0 of {', '.join(self.parts)} that add up to 1, got {self.share!r}."
        )
    elif self.share != "priority":
      raise ValueError(f'Mixed.share: expected shares by name or "priority", got {self.share!r}.')

  @property
  def prioritized(self) -> bool:
    """Whether anybody wants the learner's priorities."""
    return any(part.prioritized for part in self.parts.values())

  @property
  def online(self) -> str | None:
    """The name of the part that actors add to; None where all are datasets."""
    return next((name for name, part in self.parts.items() if part.dataset is None), None)

  def with_core(self, spec: types.NestedSpec) -> Self:
    """The same, with the spec of the recurrent state in each part."""
    return dataclasses.replace(self, parts={name: part.with_core(spec) for name, part in self.parts.items()})

  def from_dataset(self, path: str) -> Self:
    """The same, the part of the actors taken from recorded episodes."""
    parts = {name: part if part.dataset is not None else part.from_dataset(path) for name, part in self.parts.items()}
    return dataclasses.replace(self, parts=parts, samples_per_insert=None, pretraining_batches=0)


Experience = Items | Mixed


def exact(number: float) -> ExactFraction:
  """A decimal number as the fraction that it is written as: 0.1 is one tenth."""
  return ExactFraction(str(number))
