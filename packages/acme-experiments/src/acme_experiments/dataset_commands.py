"""`acme dataset`: what is in one, whether it is whole, and one from others."""

from collections.abc import Callable

import numpy as np

from acme import specs
from acme_experiments import parsing
from acme_experiments.experiment import UsageError
from acme_replay import datasets


def execute(command: parsing.Dataset) -> None:
  """Does what the command says.

  Raises:
    UsageError: it has too few paths, or too many.
    FileNotFoundError: there is no such dataset.
    FileExistsError: something is where one is to be written.
    ValueError: a file is damaged, or a dataset cannot be written as asked for.
  """
  writes = command.what in ("convert", "merge")
  if writes != (command.out is not None):
    raise UsageError(f"acme dataset {command.what}: {'--out says where to: give it' if writes else 'leave --out out'}.")
  if not command.paths or (command.what != "merge" and len(command.paths) > 1):
    raise UsageError(f"acme dataset {command.what}: expected one PATH, got {len(command.paths)}.")
  _COMMANDS[command.what](command)


def _info(command: parsing.Dataset) -> None:
  summary = datasets.summarize(command.paths[0])
  index, lengths, returns = summary.index, summary.lengths, summary.returns
  print(f"environment: {index.environment or 'not said'}")
  for name, spec in index.spec._asdict().items():
    print(f"{name}: {specs.describe(spec)}")
  for name, spec in (("extras", index.extras), ("recurrent state", index.core)):
    print(f"{name}: {'none' if spec == () else specs.describe(spec)}")
  for entry in index.origin:
    print("from: " + ", ".join(f"{key} {value}" for key, value in entry.items()))
  print(f"episodes: {len(lengths):,}, of which {summary.terminated:,} terminated; the others were cut off")
  print(f"steps: {lengths.sum():,}, {lengths.min():,} to {lengths.max():,} an episode")
  print(f"returns: mean {np.mean(returns):,.2f}, {returns.min():,.2f} to {returns.max():,.2f}")
  for line in datasets.histogram(returns):
    print(line)


def _check(command: parsing.Dataset) -> None:
  (path,) = command.paths
  findings = datasets.check(path)
  for finding in findings:
    print(f"{finding.severity}: {finding.message}")
  if errors := sum(finding.severity == "error" for finding in findings):
    raise ValueError(f"{path} cannot be read as it is: see the {_count(errors, 'error')} above.")
  print(f"{path} can be used." if findings else f"{path} is fine.")


def _count(number: int, thing: str) -> str:
  return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _convert(command: parsing.Dataset) -> None:
  assert command.out is not None
  datasets.convert(command.paths[0], command.out)
  print(f"wrote {command.out}")


def _merge(command: parsing.Dataset) -> None:
  assert command.out is not None
  index = datasets.merge(command.paths, command.out)
  parts = index.parts or ()
  episodes = _count(sum(part.episodes for part in parts), "episode")
  print(f"wrote {command.out}: {episodes} in {_count(len(parts), 'part')}")


_COMMANDS: dict[str, Callable[[parsing.Dataset], None]] = {
  "info": _info,
  "check": _check,
  "convert": _convert,
  "merge": _merge,
}
