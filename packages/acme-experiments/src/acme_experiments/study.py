"""A sweep that a study of Optuna steers: what is tried follows from what came of it, and hopeless trials are pruned.

Optuna keeps the study in study.db, in the sweep's directory; a trial of that number has its run in trial-NNN. Whenever
the sweep is killed, `acme resume` goes on: with the runs of trials that were not told the study, then with new ones.
"""

import csv
import dataclasses
import json
import pathlib
import signal
from typing import Any

import numpy as np
import optuna

from acme_experiments import processes, progress, stopping, sweep
from acme_experiments.experiment import Experiment, UsageError
from acme_experiments.rundir import RunDirectory, read_text
from acme_experiments.sweep import Values

_DB = "study.db"


class Study:
  """The trials of a sweep, and the study that asks for them and is told what came of them."""

  def __init__(self, path: pathlib.Path, plan: Values, jobs: int, display: progress.Progress) -> None:
    """Opens the study of a sweep's directory. Raises UsageError where sweep.json is damaged."""
    self._path = path
    try:
      options = {name: int(plan["study"][name]) for name in ("trials", "random_seed", "startup", "warmup", "prune")}
      self._fields, self._number = dict(plan["fields"]), options["trials"]
      self._template = Experiment(**plan["template"])
      self._distributions = {name: _distribution(values) for name, values in self._fields.items()}
    except (TypeError, KeyError, ValueError) as error:
      raise UsageError(f"{path / 'sweep.json'} cannot be read: {error}. Put it back from a copy.") from error
    if (path / _DB).is_symlink():  # SQLite would write to what it leads to.
      raise UsageError(f"{path / _DB} is a link: put the file itself in its place.")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
      storage = optuna.storages.RDBStorage(f"sqlite:///{path / _DB}")
      self._study = optuna.create_study(storage=storage, study_name="sweep", direction="maximize", load_if_exists=True)
    except ImportError:
      raise
    except Exception as error:  # What is below Optuna has errors of its own, of many lines.
      line = str(error).splitlines()[0]
      raise UsageError(f"{path / _DB} cannot be opened: {line}. Put it back from a copy.") from error
    # Not the same draws again when it is resumed.
    seed = options["random_seed"] + len(self._study.trials)
    self._study.sampler = optuna.samplers.TPESampler(
      seed=seed, n_startup_trials=options["startup"], constant_liar=jobs > 1
    )
    self._study.pruner = optuna.pruners.NopPruner()
    if options["prune"]:
      self._study.pruner = optuna.pruners.MedianPruner(options["startup"], n_warmup_steps=options["warmup"])
    self._running: dict[str, optuna.Trial] = {}
    self._told: dict[str, int] = {}  # Evaluations that the study knows of.
    self._display, self._jobs = display, jobs
    self._pool = processes.Pool({}, jobs, display.message)

  def run(self, stop: stopping.StopRequest) -> dict[str, tuple[Values, RunDirectory]]:
    """Runs all trials to the end, or until `stop` asks for it; returns values and directory of each."""
    for frozen in self._study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
      self._told[sweep.name_of(frozen.number)] = len(frozen.intermediate_values)
      self._begin(optuna.Trial(self._study, frozen._trial_id))
    self._look()
    self._pool.run(stop, lambda: self._look(bool(stop)))
    return {sweep.name_of(each.number): self._of(each) for each in self._study.trials}

  def pruned(self) -> dict[str, float]:
    """Of pruned trials the mean of their last evaluation."""
    pruned = self._study.get_trials(states=(optuna.trial.TrialState.PRUNED,))
    return {sweep.name_of(each.number): each.intermediate_values[max(each.intermediate_values)] for each in pruned}

  def _look(self, stops: bool = False) -> None:
    """Tells the study what came since the last look, prunes, and asks it for trials while there is room."""
    for name, trial in list(self._running.items()):
      _, directory = self._of(trial)
      self._report(name, trial, directory)
      if self._pool.has(name):
        continue
      if directory.read_summary() is None:
        if not stops and name in self._pool.failed:
          self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
          del self._running[name]
        continue
      row = sweep.result_of(name, {}, directory)
      if row["failed"] or not np.isfinite(row["return"]):
        self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
      else:
        self._study.tell(trial, row["return"])
      del self._running[name]
    while not stops and len(self._running) < self._jobs and len(self._study.trials) < self._number:
      self._begin(self._study.ask(self._distributions))

  def _begin(self, trial: optuna.Trial) -> None:
    """Has the run of a trial begin, or go on."""
    name = sweep.name_of(trial.number)
    values, directory = self._values(trial), self._path / name
    if not (directory / "config.json").exists():
      experiment = dataclasses.replace(self._template, config={**self._template.config, **values})
      RunDirectory.create(directory, experiment)
    self._running[name] = trial
    self._pool.add(name, RunDirectory(directory))

  def _report(self, name: str, trial: optuna.Trial, directory: RunDirectory) -> None:
    """Tells the study of new evaluations, and prunes where it says so."""
    means = evaluations(directory)
    for i in range(self._told.get(name, 0), len(means)):
      trial.report(means[i], i)
      if self._pool.has(name) and trial.should_prune():
        self._pool.stop_one(name, signal.SIGTERM)
        self._study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        del self._running[name]
        self._display.message(f"{name}: pruned after evaluation {i + 1}, at {means[i]:,.2f}")
        return
    self._told[name] = max(self._told.get(name, 0), len(means))  # A resumed run has some of them again.

  def _of(self, trial: Any) -> tuple[Values, RunDirectory]:
    return self._values(trial), RunDirectory(self._path / sweep.name_of(trial.number))

  def _values(self, trial: Any) -> Values:
    return {
      name: json.loads(trial.params[name]) if isinstance(values, list) else trial.params[name]
      for name, values in self._fields.items()
    }


def evaluations(directory: RunDirectory) -> list[float]:
  """The mean over seeds of the return of each evaluation that all of them have had."""
  seeds = directory.read_experiment().seeds
  paths = [directory.path] if seeds is None else [directory.seed_path(seed) for seed in seeds]
  columns = [_returns(path / "eval.csv") for path in paths]
  return [float(np.mean(row)) for row in zip(*columns, strict=False)]


def _returns(path: pathlib.Path) -> list[float]:
  """The mean returns in a file of evaluations, whose last line a run may be writing."""
  if not path.exists():
    return []
  try:
    lines = [line for line in read_text(path).splitlines(keepends=True) if line.endswith("\n")]
    return [float(row["eval_return_mean"]) for row in csv.DictReader(lines) if row.get("eval_return_mean")]
  except (ValueError, csv.Error) as error:
    raise UsageError(f"{path} cannot be read: {error}. Put it back from a copy.") from error


def _distribution(values: Any) -> optuna.distributions.BaseDistribution:
  """Optuna's name for a field's values, of which lists are JSON: it takes no lists among choices."""
  if isinstance(values, list):
    return optuna.distributions.CategoricalDistribution([json.dumps(value) for value in values])
  low, high, log = values["low"], values["high"], values.get("log", False)
  if type(low) is type(high) is int:
    return optuna.distributions.IntDistribution(low, high, log=log)
  return optuna.distributions.FloatDistribution(low, high, log=log)
