"""Reverb's tables for the store-independent descriptions, and whether a server's are those that were expected."""

import sys
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import reverb

from acme import replay
from acme_reverb.layout import Layout

_FREE = 10**12  # Samples an insert, where the description sets no ratio.


def is_queue(table: replay.Table) -> bool:
  """Whether no item of it may be lost."""
  return isinstance(table.sampler, replay.Fifo) and table.max_times_sampled == 1


def make_tables(tables: Sequence[replay.Table], layout: Layout, *, limited: bool) -> list[reverb.Table]:
  """Makes Reverb's tables.

  Args:
    tables: their descriptions.
    layout: the columns of an item.
    limited: whether the server holds samplers and inserters to the descriptions' limits; in one process the store does.
  """
  replay.check_unique(tables)
  signature = layout.signature()
  return [
    reverb.Table(
      name=table.name,
      sampler=_sampler(table.sampler),
      remover=reverb.selectors.Fifo(),
      max_size=table.max_size,
      rate_limiter=_rate_limiter(table) if limited else reverb.rate_limiters.MinSize(1),
      max_times_sampled=table.max_times_sampled or 0,
      signature=signature,
    )
    for table in tables
  ]


def check_tables(expected: Sequence[reverb.Table], found: Mapping[str, Any], address: str) -> None:
  """Compares tables with what a server said of its own.

  Raises:
    KeyError: the server lacks one of them.
    ValueError: one of them differs; the message says in what.
  """
  for table in expected:
    if table.name not in found:
      raise KeyError(f"The Reverb server at {address} has no table {table.name!r}; it has: {', '.join(found)}.")
    want, got = table.info, found[table.name]
    where = f"Table {table.name!r} of the Reverb server at {address}"
    _check_signature(where, want.signature, got.signature)
    limits = ("samples_per_insert", "min_size_to_sample", "min_diff", "max_diff")
    pairs = [(field, getattr(want, field), getattr(got, field)) for field in ("max_size", "max_times_sampled")]
    pairs += [("sampler", want.sampler_options, got.sampler_options)]
    pairs += [(name, getattr(want.rate_limiter_info, name), getattr(got.rate_limiter_info, name)) for name in limits]
    for name, wanted, given in pairs:
      if wanted != given:
        raise ValueError(
          f"{where} has another {name}: expected {str(wanted).strip()}, got {str(given).strip()}. Start the server for "
          "the same agent, config and environment as this process."
        )


def _check_signature(where: str, want: Sequence[Any], got: Sequence[Any] | None) -> None:
  columns = {spec.name: spec for spec in got or ()}
  for spec in want:
    other = columns.pop(spec.name, None)
    if other is None or spec.dtype != other.dtype or spec.shape.as_list() != other.shape.as_list():
      found = "none" if other is None else _describe(other)
      raise ValueError(
        f"{where} has another signature: {spec.name} is {_describe(spec)} here (each item's steps come first), and "
        f"there it is {found}. Start the server for the same agent and environment as this process."
      )
  if columns:
    raise ValueError(f"{where} has another signature: it has also {', '.join(columns)}.")


def _describe(spec: Any) -> str:
  return f"{spec.dtype.name}{spec.shape.as_list()}"


def _sampler(sampler: replay.Uniform | replay.Prioritized | replay.Fifo) -> Any:
  if isinstance(sampler, replay.Prioritized) and sampler.exponent > 0:  # Reverb takes 0⁰ for 0.
    return reverb.selectors.Prioritized(sampler.exponent)
  return reverb.selectors.Fifo() if isinstance(sampler, replay.Fifo) else reverb.selectors.Uniform()


def _rate_limiter(table: replay.Table) -> reverb.rate_limiters.RateLimiter:
  """A limiter that allows a sample where `acme.replay.RateLimiter.allowed` says 1 or more.

  Reverb's condition is inserts · ratio − (samples + 1) ≥ min_diff; ours is (inserts − min_size) · ratio ≥ samples + 1.
  Half the smallest difference that the two sides can have keeps rounding errors out. A queue's limiter keeps inserters
  waiting instead, while it is full.
  """
  if is_queue(table):
    return reverb.rate_limiters.Queue(table.max_size)
  ratio = table.rate_limiter.samples_per_insert
  exact = Fraction(_FREE if ratio is None else str(ratio))
  slack = Fraction(_FREE, 2) if ratio is None else Fraction(1, 2 * exact.denominator)
  return reverb.rate_limiters.RateLimiter(
    samples_per_insert=float(exact),
    min_size_to_sample=1,
    min_diff=float(exact * table.rate_limiter.min_size - slack),
    max_diff=sys.float_info.max,
  )
