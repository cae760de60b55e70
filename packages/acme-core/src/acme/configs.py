"""Checks for the frozen dataclasses that agents are configured with.

A field says its range in its type, and `validate(self)` in `__post_init__` holds it to both:

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Config:
      learning_rate: configs.Positive = 1e-3
      def __post_init__(self): configs.validate(self)
"""

import dataclasses
import difflib
import math
import numbers
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal

__all__ = ["Fraction", "NonNegative", "NonNegativeInt", "Positive", "PositiveInt", "Range", "from_dict", "validate"]


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
  """Makes a config from named values, as read from JSON; lists stand for tuples.

  Raises:
    ValueError: an unknown field; the message names near matches.
  """
  known = [field.name for field in dataclasses.fields(cls)]
  for name in values:
    if name not in known:
      near = difflib.get_close_matches(name, known)
      hint = f" Did you mean {' or '.join(near)}?" if near else f" Known: {', '.join(known)}."
      raise ValueError(f"{cls.__name__} has no field {name!r}.{hint}")
  return cls(**{name: _tuples(value) for name, value in values.items()})


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
  if not math.isfinite(value):
    raise ValueError(f"{name}: expected a finite number, got {value!r}.")
