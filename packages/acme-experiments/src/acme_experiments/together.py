"""Which trials of a sweep are one program on the device: those whose configs differ in numbers that may be traced.

Which these are is found by trying: a field that decides a size, a branch in Python, or what items there are sets trials
apart; so does whatever is no number, and everything that is no device's.
"""

import math
from collections.abc import Sequence
from typing import Any

from acme_experiments import device, parts
from acme_experiments.experiment import Experiment

_MOST = 256  # Seeds in one program: more are hardly quicker, and all are waited for, and saved, together.


def programs(experiments: Sequence[Experiment], jobs: int) -> list[list[int]]:
  """The experiments, by number, that are one program each; many are without any other.

  One takes as many seeds as its share of memory has room for, 256 at most, and leaves work for all `jobs` of them.
  """
  return sorted(
    program
    for numbers in _sets(range(len(experiments)), [_key(each) for each in experiments])
    for program in _divide(numbers, experiments, jobs)
  )


def _key(experiment: Experiment) -> Any:
  """What must be the same of all in a program, before their numbers are looked at; None for one that is alone."""
  if experiment.loop != "device" or experiment.stop_at is not None:  # Which ends each at a step of its own.
    return None
  return parts.shape(experiment)


def _sets(numbers: Sequence[int], keys: Sequence[Any]) -> list[list[int]]:
  """The numbers, together where their keys are the same; those whose key is None alone."""
  found: dict[Any, list[int]] = {}
  for i, key in zip(numbers, keys, strict=True):
    found.setdefault((i,) if key is None else key, []).append(i)
  return list(found.values())


def _divide(numbers: list[int], experiments: Sequence[Experiment], jobs: int) -> list[list[int]]:
  """Sets of experiments of one shape whose numbers may be traced, each no larger than a program is to be."""
  if len(numbers) == 1:
    return [numbers]
  first = experiments[numbers[0]]
  fields = [name for name, value in first.config.items() if any(experiments[i].config[name] != value for i in numbers)]
  if room := device.room(first, fields):
    seeds = min(room // jobs, _MOST)
    number = max(1, min(seeds // len(first.seeds or ()), math.ceil(len(experiments) / jobs)))
    parts = math.ceil(len(numbers) / number)
    ends = [len(numbers) * i // parts for i in range(parts + 1)]
    return [numbers[low:high] for low, high in zip(ends[:-1], ends[1:], strict=True)]
  if not fields:  # Two of a kind.
    return [[i] for i in numbers]
  apart = [name for name in fields if len(fields) == 1 or not device.room(first, [name])]
  keys = [tuple(experiments[i].config[name] for name in apart or fields) for i in numbers]
  return [part for each in _sets(numbers, keys) for part in _divide(each, experiments, jobs)]
