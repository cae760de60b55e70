"""`acme list --runs DIR`: the runs in a folder, by what their files say; nothing that they name is imported."""

import pathlib
from collections.abc import Iterator
from typing import Any

from acme import checkpointing
from acme_experiments import listing, rundir
from acme_experiments.experiment import Experiment
from acme_experiments.rundir import RunDirectory
from acme_experiments.usage import UsageError

_HEAD = ("run", "agent", "environment", "seed", "state", "progress", "return")


def print_runs(folder: pathlib.Path) -> None:
  """Prints a line a run, of those in a folder and in its folders, as a sweep is one.

  Raises:
    UsageError: there is no run in it.
  """
  rows = [_describe(path, folder) for path in sorted(_find(folder))]
  if not rows:
    raise UsageError(f"{folder} holds no runs. `acme run AGENT ENV --out {folder / 'first'}` makes one there.")
  listing.print_table([_HEAD, *rows])


def _find(folder: pathlib.Path) -> Iterator[pathlib.Path]:
  """The directories of runs; those of one run's seeds are part of it."""
  if (folder / "config.json").exists():
    yield folder
    return
  for pattern in ("*/config.json", "*/*/config.json"):
    paths = [path.parent for path in folder.glob(pattern)]
    yield from (path for path in paths if not (path.parent / "config.json").exists())


def _describe(path: pathlib.Path, folder: pathlib.Path) -> tuple[str, ...]:
  """A run as a row; of one that cannot be read, why."""
  name = str(path.relative_to(folder)) if path != folder else str(path)
  try:
    directory = RunDirectory(path)
    experiment, summary = directory.read_experiment(), directory.read_summary()
    steps, episodes = _progress(directory, experiment, summary)
    state = _state(directory, experiment, summary)
  except (UsageError, checkpointing.CheckpointError, OSError) as error:
    return name, "–", "–", "–", "damaged", "–", str(error)
  seeds = [experiment.seed] if experiment.seeds is None else list(experiment.seeds)
  return (
    name,
    experiment.agent,
    " ".join(experiment.place_and_options),
    str(seeds[0]) if len(seeds) == 1 else f"{len(seeds)} from {seeds[0]}",
    state,
    f"{steps if experiment.steps is not None else episodes:,} of {experiment.goal}",
    f"{summary['eval_return_mean']:,.2f}" if summary is not None and "eval_return_mean" in summary else "–",
  )


def _seeds(directory: RunDirectory, experiment: Experiment) -> list[RunDirectory]:
  """The runs that a run is, as far as they are made: itself, or one for each seed."""
  if not experiment.in_processes:
    return [directory]
  paths = [directory.seed_path(seed) for seed in experiment.seeds or ()]
  return [RunDirectory(path) for path in paths if (path / "config.json").exists()]


def _progress(directory: RunDirectory, experiment: Experiment, summary: dict[str, Any] | None) -> tuple[int, int]:
  """Steps and episodes up to the end or the newest checkpoint, of the seed that is furthest back."""
  if summary is not None:
    return summary["steps"], summary["episodes"]
  parts = _seeds(directory, experiment)
  if experiment.in_processes and len(parts) < len(experiment.seeds or ()):
    return 0, 0
  return min(part.read_progress() for part in parts)


def _state(directory: RunDirectory, experiment: Experiment, summary: dict[str, Any] | None) -> str:
  parts = _seeds(directory, experiment)
  if rundir.is_locked(directory.path):
    return "running"
  if summary is not None and (summary.get("finished") or experiment.reached(summary["steps"], summary["episodes"])):
    return "diverged" if summary.get("diverged") else "finished"
  if any(part.error.exists() for part in parts):
    return "failed"
  return "stopped" if any(part.saved.exists() for part in parts) else "not saved yet"
