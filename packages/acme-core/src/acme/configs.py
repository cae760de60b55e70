"""What agents are configured with: frozen dataclasses whose fields say their ranges in their types.

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class DQNConfig(configs.TransitionConfig):
      learning_rate: configs.Positive = 1e-3

Fields that many agents have stand here, documented once; an agent gives one again where its default differs.
"""

import dataclasses
import difflib
import math
import numbers
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np

from acme import specs

__all__ = [
  "CategoricalConfig", "Config", "Fraction", "NoiseConfig", "NonNegative", "NonNegativeInt", "ObservationConfig",
  "Positive", "PositiveInt", "Range", "ReplayConfig", "TransitionConfig", "from_dict", "validate",
]  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Range:
  """The numbers from `low` to `high`, both included; above `low` only, where `open_low`."""

  low: float = -math.inf
  high: float = math.inf
  open_low: bool = False

  def __contains__(self, value: float) -> bool:
    return (self.low < value if self.open_low else self.low <= value) and value <= self.high

  def __str__(self) -> str:
    if self.high < math.inf:
      return f"in {'(' if self.open_low else '['}{self.low:g}, {self.high:g}]"
    return f"above {self.low:g}" if self.open_low else f"of {self.low:g} or more"


Positive = Annotated[float, Range(0, open_low=True)]
NonNegative = Annotated[float, Range(0)]
Fraction = Annotated[float, Range(0, 1)]
PositiveInt = Annotated[int, Range(1)]
NonNegativeInt = Annotated[int, Range(0)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
  """The base of configs: every field is held to its annotated type and range, and a list stands for a tuple."""

  def __post_init__(self) -> None:
    hints = typing.get_type_hints(type(self), include_extras=True)
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      if isinstance(value, list) and _takes_tuple(hints[field.name]):  # As JSON gives it.
        object.__setattr__(self, field.name, _tuples(value))
    validate(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReplayConfig(Config):
  """What agents with a replay have in common."""

  discount: Fraction = 0.99
  """γ, for each environment step."""
  batch_size: PositiveInt = 256
  """Items in an SGD step."""
  num_sgd_steps_per_step: PositiveInt = 1
  """SGD steps in one learner step, each on its own batch, all in one compiled call."""
  samples_per_insert: Positive = 32.0
  """Items sampled for each one inserted, after the first `min_replay_size`."""
  min_replay_size: PositiveInt = 1_000
  """Items inserted before the first SGD step."""
  max_replay_size: PositiveInt = 1_000_000
  """Items held; then the oldest goes. Mnih et al. 2015."""

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.min_replay_size > self.max_replay_size:
      raise ValueError(
        f"{type(self).__name__}: expected min_replay_size of at most max_replay_size, got {self.min_replay_size!r} and "
        f"{self.max_replay_size!r}."
      )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TransitionConfig(ReplayConfig):
  """What agents have in common that learn from n-step transitions, uniform or prioritised."""

  n_step: PositiveInt = 5
  """n, environment steps before a target bootstraps."""
  prioritized: bool = False
  """Samples transitions by the learner's priorities, new ones at the largest. 1511.05952. False samples uniformly."""
  priority_exponent: NonNegative = 0.6
  """With `prioritized`: α, of P(i) ∝ p_i^α. 1511.05952 §3.3."""
  importance_sampling_exponent: NonNegative = 0.2
  """With `prioritized`: β, of the weights (1/P(i))^β, scaled to 1 at most in a batch. 1511.05952 §3.4."""


_RANGE = (-150.0, 150.0)  # Of returns of which nothing is known.


@dataclasses.dataclass(frozen=True, kw_only=True)
class CategoricalConfig(ReplayConfig):
  """What agents have in common whose critic is a distribution of discounted returns: K atoms from vmin to vmax.

  With rewards of a step in [l, h], a return Σ_k γ^k r_k lies in [min(l, 0), max(h, 0)] / (1 − γ), an episode of any
  length included. Targets of n steps lie in the same range.
  """

  num_atoms: PositiveInt = 51
  """K, atoms of the critic's distribution of returns. Bellemare et al. 2017 (1707.06887)."""
  vmin: float | None = None
  """The lowest return that an atom stands for; lower ones are warned of. None: what rewards and γ come to, by
  `reward_range` or else by the bounds of the environment's reward spec; −150 where neither is there."""
  vmax: float | None = None
  """The highest, likewise; 150 where neither is there."""
  reward_range: tuple[float, float] | None = None
  """The lowest and the highest reward of a step, where they are known. None: those of the environment's reward spec."""

  def __post_init__(self) -> None:
    super().__post_init__()
    name = type(self).__name__
    if self.num_atoms < 2:
      raise ValueError(f"{name}.num_atoms: expected 2 or more, got {self.num_atoms!r}.")
    if self.vmin is not None and self.vmax is not None and self.vmin >= self.vmax:
      raise ValueError(f"{name}: expected vmin below vmax, got vmin={self.vmin!r} and vmax={self.vmax!r}.")
    if self.reward_range is None:
      return
    if self.vmin is not None and self.vmax is not None:
      raise ValueError(f"{name}: with vmin and vmax, reward_range has nothing to say: leave out either.")
    low, high = self.reward_range
    if low > high or low == high == 0:
      raise ValueError(f"{name}.reward_range: expected the lowest reward, then the highest, got {self.reward_range!r}.")
    if self.discount == 1:
      raise ValueError(f"{name}.reward_range: with a discount of 1 returns have no bounds: give vmin and vmax instead.")

  def value_range(self, spec: specs.EnvironmentSpec) -> tuple[float, float]:
    """The lowest and the highest return that the critic tells apart, in an environment with these specs.

    Raises:
      ValueError: the lowest is not below the highest, as one field is given and the other follows from rewards.
    """
    rewards = self.reward_range or _reward_bounds(spec)
    low, high = _RANGE
    if rewards is not None and self.discount < 1:
      low, high = (float(each) / (1 - self.discount) for each in (min(rewards[0], 0), max(rewards[1], 0)))
    low, high = low if self.vmin is None else self.vmin, high if self.vmax is None else self.vmax
    if low >= high:
      raise ValueError(
        f"{type(self).__name__}: expected vmin below vmax, got {low:g} and {high:g}, of which one follows from the "
        "rewards of a step. Give both."
      )
    return low, high


def _reward_bounds(spec: specs.EnvironmentSpec) -> tuple[float, float] | None:
  """The bounds of a step's reward, where its spec has finite ones."""
  rewards = spec.rewards
  if not isinstance(rewards, specs.BoundedArray) or rewards.shape:
    return None
  low, high = float(rewards.minimum), float(rewards.maximum)
  return (low, high) if np.isfinite([low, high]).all() and min(low, 0) < max(high, 0) else None


@dataclasses.dataclass(frozen=True, kw_only=True)
class NoiseConfig(Config):
  """How agents explore whose policy is deterministic: by noise on its actions."""

  noise: Literal["gaussian", "ou", "pink"] = "gaussian"
  """White, Ornstein-Uhlenbeck (1509.02971) or pink (Eberhard et al. 2023): the latter two last, and reach farther."""
  sigma: NonNegative = 0.2
  """σ of the noise, in units of half an action's range."""
  ou_theta: Fraction = 0.15
  """With `noise` of "ou": θ, the share of the noise that is lost in an environment step. 1509.02971."""
  pink_window: PositiveInt = 1_000
  """With `noise` of "pink": environment steps until new noise begins, as in each episode; an episode's length."""
  random_steps: NonNegativeInt = 1_000
  """The first environment steps, of all actors, whose actions are drawn uniformly: without them a policy may saturate
  before the critic has seen anything else. A habit of later work (TD3, 1802.09477, §6.1)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ObservationConfig(Config):
  """How agents see what they observe."""

  normalize_observations: bool = False
  """Whether each number of an observation is less its mean and over its standard deviation, of all that was learned
  from so far, and within ±10: for observations of very different sizes. Integers and images are left as they are."""


def validate(config: Any) -> None:
  """Holds every field of a dataclass to its annotated type and range.

  Raises:
    TypeError: a value of another type, such as "0.1" for a number or True for an integer.
    ValueError: a number outside its range, or not finite, or a choice that is none.
  """
  hints = typing.get_type_hints(type(config), include_extras=True)
  for field in dataclasses.fields(config):
    _check(f"{type(config).__name__}.{field.name}", hints[field.name], getattr(config, field.name))


def from_dict(cls: type, values: Mapping[str, Any]) -> Any:
  """Makes a config from named values, as read from JSON.

  Raises:
    ValueError: an unknown field; the message names near matches.
  """
  known = [field.name for field in dataclasses.fields(cls)]
  for name in values:
    if name not in known:
      near = difflib.get_close_matches(name, known)
      hint = f" Did you mean {' or '.join(near)}?" if near else f" Known: {', '.join(known)}."
      raise ValueError(f"{cls.__name__} has no field {name!r}.{hint}")
  return cls(**values)


def _takes_tuple(hint: Any) -> bool:
  origin = typing.get_origin(hint)
  if origin in (typing.Union, types.UnionType, Annotated):
    return any(map(_takes_tuple, typing.get_args(hint)))
  return hint is tuple or origin is tuple


def _tuples(value: Any) -> Any:
  return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _check(name: str, hint: Any, value: Any) -> None:
  origin, arguments = typing.get_origin(hint), typing.get_args(hint)
  if origin is Annotated:
    _check(name, arguments[0], value)
    for constraint in arguments[1:]:
      if isinstance(constraint, Range) and value not in constraint:
        raise ValueError(f"{name}: expected a number {constraint}, got {value!r}.")
  elif origin is Literal:
    if value not in arguments:
      raise ValueError(f"{name}: expected one of {', '.join(map(repr, arguments))}, got {value!r}.")
  elif origin in (typing.Union, types.UnionType):
    _check_union(name, arguments, value)
  elif origin is tuple:
    if not isinstance(value, tuple):
      raise TypeError(f"{name}: expected a tuple, got {value!r}.")
    inner = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else arguments
    if len(inner) != len(value):
      raise ValueError(f"{name}: expected {len(inner)} values, got {value!r}.")
    for i, (element_hint, element) in enumerate(zip(inner, value, strict=True)):
      _check(f"{name}[{i}]", element_hint, element)
  elif hint in (int, float, bool):
    _check_number(name, hint, value)
  elif isinstance(hint, type) and hint is not Any and not isinstance(value, hint):
    raise TypeError(f"{name}: expected {hint.__name__}, got {value!r}.")


def _check_union(name: str, hints: tuple[Any, ...], value: Any) -> None:
  """Any of several hints; None means absent, so an error is that of the only other hint where there is one."""
  if value is None and type(None) in hints:
    return
  others = [hint for hint in hints if hint is not type(None)]
  for hint in others:
    try:
      return _check(name, hint, value)
    except (TypeError, ValueError):
      if len(others) == 1:
        raise
  raise TypeError(f"{name}: got {value!r}, which is none of {hints}.")


def _check_number(name: str, kind: type, value: Any) -> None:
  if kind is bool:
    if not isinstance(value, bool):
      raise TypeError(f"{name}: expected True or False, got {value!r}.")
    return
  expected = numbers.Integral if kind is int else numbers.Real
  if isinstance(value, bool) or not isinstance(value, expected):
    raise TypeError(f"{name}: expected {'an integer' if kind is int else 'a number'}, got {value!r}.")
  if not (abs(value) < 2**1023 if isinstance(value, int) else math.isfinite(value)):  # It raises on larger integers.
    raise ValueError(f"{name}: expected a finite number, got {value!r}.")
