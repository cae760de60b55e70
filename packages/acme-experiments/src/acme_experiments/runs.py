"""A run directory's run: of one seed on the host or on Ray, of many in processes, or of all on a device."""

import contextlib
import dataclasses
import pathlib
from typing import Any

from acme_experiments import device, distributed, evaluation, loading, processes, progress, runner
from acme_experiments.rundir import RunDirectory, UsageError, Which


def run(directory: RunDirectory, display: progress.Progress | None = None, jobs: int = 1) -> dict[str, Any]:
  """Runs the experiment of a run directory to its end, from its newest checkpoint if there is one.

  Args:
    directory: as `RunDirectory.create` made it, or as a run that was stopped or killed left it.
    display: is told how it goes; None for silence.
    jobs: seeds at once, where they are processes.

  Returns:
    The summary, which is also in summary.json.

  Raises:
    Stopped: SIGINT or SIGTERM came; everything is saved.
    UsageError: another process runs in the directory, or its agent or environment cannot be made.
    CheckpointError: the checkpoints are of another agent, version or environment, or the disk is full.
    SeedsFailed: seeds in processes did.
    FloatingPointError: training has diverged.
  """
  experiment = directory.read_experiment()
  if experiment.in_processes:
    return processes.run(directory, display, jobs)
  if experiment.actors is not None:
    return distributed.run(directory, display)
  if experiment.loop == "device":
    check_whole(directory)
    return device.run(directory, display)
  return runner.run(directory, display)


def check_whole(directory: RunDirectory) -> None:
  """Raises UsageError where a directory is that of one seed of a run on a device, which goes on with all of them."""
  experiment = directory.read_experiment()
  if experiment.loop == "device" and experiment.seeds is None:
    parent = device.parent(directory).path
    raise UsageError(f"{directory.path} is a seed of the run in {parent}: resume that one, with all its seeds.")


def evaluate(
  directory: RunDirectory,
  episodes: int,
  video: pathlib.Path | None = None,
  which: Which = "newest",
  seed: int | None = None,
) -> dict[str, Any]:
  """Evaluates a checkpoint of a run, or of each of its seeds; with as many episodes, as its final evaluation.

  Args:
    directory: the run's, which may be going on.
    episodes: how many, for each seed.
    video: a file for a film of the first episode; None for none.
    which: of its parameters: the newest, those of the best evaluation, or those of a step's checkpoint.
    seed: of the starts, whatever the run's is; None for those of its final evaluation.

  Returns:
    Statistics named as in summary.json, and the checkpoint's `steps`: of one seed, with `eval_returns`; or of the
    episodes of many, with `seeds`, the mean return of each.

  Raises:
    CheckpointError: there is no checkpoint, or it is of another agent, version or environment.
    UsageError: a film or the best parameters are asked for where there are none.
  """
  experiment = directory.read_experiment()
  if experiment.loop == "host" and experiment.seeds is None:
    return _evaluate(directory, episodes, video, which, seed)
  if video is not None:
    raise UsageError(f"--video: {directory.path} holds no run of one seed on the host, which alone can be filmed.")
  if experiment.loop == "host":
    results = {each: _evaluate(directory.seed(each), episodes, None, which, seed) for each in experiment.seeds or ()}
  else:
    results = device.evaluate(directory, episodes, seed, which)
  if experiment.seeds is None:
    return results[experiment.seed]
  return evaluation.of_seeds(results) | {"steps": min(result["steps"] for result in results.values())}


def _evaluate(
  directory: RunDirectory, episodes: int, video: pathlib.Path | None, which: Which, seed: int | None
) -> dict[str, Any]:
  """`evaluate` of a run of one seed on the host, with `eval_returns`."""
  loading.check_environment(directory.path, directory.read_experiment())
  parts, _, step = loading.open_run(directory, which, video)
  with contextlib.closing(parts):
    assert parts.evaluator is not None
    evaluator = parts.evaluator if seed is None else dataclasses.replace(parts.evaluator, seed=seed)
    results = evaluator.run(evaluation.FINAL, episodes, video=video)
  return evaluation.statistics(results) | {"steps": step}
