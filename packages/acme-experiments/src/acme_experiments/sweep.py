"""Many configs of an agent on the same seeds: what a file says to try, a run directory for each trial, a ranking.

Of a sweep's directory:

- sweep.json: the fields that are varied, and their values in each trial
- study.db: where Optuna steers it, what it knows
- trial-000/ and so on: a run each
- results.csv: the trials, the best first
- best.toml: the best one's options, for `acme run --config-file`
"""

import csv
import dataclasses
import functools
import importlib.util
import io
import itertools
import json
import math
import os
import pathlib
import signal
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from acme_experiments import parsing, processes, progress, rundir, stopping
from acme_experiments.rundir import Experiment, RunDirectory, UsageError, read_object, write_json, write_text

Values = dict[str, Any]

_FILE = "sweep.json"
_MOST_TRIALS = 10_000
_LARGEST = 1e300  # The ends of a range: what is drawn between them fits a float.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
  """What a sweep's file says.

  Attributes:
    agent: its name.
    env: the environment's.
    options: those of `acme run` that all trials share, as a config file has them, with the table `config`.
    trials: the fields' values in each trial; of a study the ends of what it may try, to be checked beforehand.
    fields: what the file says of each field.
    study: what steers the trials, by option; None where they are known beforehand.
  """

  agent: str
  env: str
  options: Mapping[str, Any]
  trials: tuple[Values, ...]
  fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  study: Mapping[str, Any] | None = None


def read_plan(path: str) -> Plan:
  """Reads a sweep's file.

      agent = "dqn"
      env = "jax:CartPole-v1"
      seeds = "100-103"           # and whatever else `acme run` takes
      trials = 20                 # so many at random; without it every combination
      [config]                    # the same in all trials
      batch_size = 64
      [sweep]                     # lists of values, and where they are drawn at random ranges, too
      hidden_sizes = [[64, 64], [256, 256]]
      learning_rate = {low = 1e-4, high = 1e-2, log = true}

  Values are drawn from `random_seed`, 0 unless given: the same file gives the same trials. With a table [study] Optuna
  says what is tried:

      [study]
      startup = 10                # trials at random before it learns from them, and before any is pruned
      warmup = 1                  # evaluations of a trial before it may be pruned, by the median of the others
      prune = true

  Raises:
    UsageError: it cannot be read, or says what cannot be.
  """
  content = parsing.read_toml(path, path)
  agent, env, fields = (content.pop(name, None) for name in ("agent", "env", "sweep"))
  number, seed = content.pop("trials", None), content.pop("random_seed", 0)
  table = content.pop("study", None)
  if not all(isinstance(name, str) and name and not name.startswith("-") for name in (agent, env)):
    raise UsageError(f'{path}: expected an agent and an env, such as agent = "dqn" and env = "jax:CartPole-v1".')
  if not isinstance(fields, dict) or not fields:
    raise UsageError(f"{path}: expected a table [sweep] of fields, such as learning_rate = [1e-3, 3e-4].")
  for name, value, least in (("trials", number, 1), ("random_seed", seed, 0)):
    if value is not None and (type(value) is not int or value < least):
      raise UsageError(f"{path}: {name}: expected a whole number of {least} or more, got {value!r}.")
  if reserved := sorted({"out", "quiet", "jobs"} & content.keys()):
    raise UsageError(f"{path}: {reserved[0]} is an option of `acme sweep` itself: give it on the command line.")
  study = None if table is None else _study_options(path, table, number, seed)
  trials = _combine(path, fields) if number is None else _draw(path, fields, number, np.random.default_rng(seed))
  if study is not None:
    trials = _ends(fields)
  return Plan(agent=agent, env=env, options=content, trials=tuple(trials), fields=fields, study=study)


def _combine(path: str, fields: Mapping[str, Any]) -> list[Values]:
  """Every combination of values, the last field's changing quickest."""
  for name, values in fields.items():
    if not isinstance(values, list) or not values:
      raise UsageError(f"{path}: {name}: expected a list of values, got {values!r}; a range needs trials = N.")
  if (number := math.prod(map(len, fields.values()))) > _MOST_TRIALS:
    raise UsageError(f"{path}: {number:,} combinations are more than {_MOST_TRIALS:,}: draw some, by trials = N.")
  return [dict(zip(fields, values, strict=True)) for values in itertools.product(*fields.values())]


def _draw(path: str, fields: Mapping[str, Any], number: int, rng: np.random.Generator) -> list[Values]:
  """Trials whose values are drawn one by one."""
  if number > _MOST_TRIALS:
    raise UsageError(f"{path}: trials: expected at most {_MOST_TRIALS:,}, got {number:,}.")

  def draw(name: str, values: Any) -> Any:
    if isinstance(values, list) and values:
      return values[rng.integers(len(values))]
    if not isinstance(values, dict) or not {"low", "high"} <= values.keys() <= {"low", "high", "log"}:
      raise UsageError(f"{path}: {name}: expected values, or {{low = X, high = Y, log = true}}, got {values!r}.")
    low, high, log = values["low"], values["high"], values.get("log", False)
    numbers = all(type(end) in (int, float) and abs(end) <= _LARGEST for end in (low, high)) and type(log) is bool
    if not numbers or not low < high or (log and low <= 0):
      raise UsageError(f"{path}: {name}: expected low < high, and above 0 where log = true, got {values!r}.")
    if log:
      value = math.exp(rng.uniform(math.log(low), math.log(high)))
    else:
      value = rng.uniform(low, high)
    # Whole ends are of a whole number. Digits enough to tell trials apart, and few enough to be read.
    value = round(value) if type(low) is type(high) is int else float(f"{value:.4g}")
    return min(max(value, low), high)

  return [{name: draw(name, values) for name, values in fields.items()} for _ in range(number)]


def _study_options(path: str, table: Any, trials: Any, random_seed: int) -> Mapping[str, Any]:
  """What a sweep's file says under [study]. Raises UsageError where it says something else."""
  known = {"startup": 10, "warmup": 1, "prune": True}
  if not isinstance(table, dict) or not table.keys() <= known.keys():
    raise UsageError(f"{path}: expected a table [study] with {', '.join(known)} at most, got {table!r}.")
  found = {**known, **table}
  whole = all(type(found[name]) is int and found[name] >= 0 for name in ("startup", "warmup"))
  if not whole or type(found["prune"]) is not bool:
    raise UsageError(f"{path}: [study]: expected startup and warmup of 0 or more, and prune true or false: {table!r}.")
  if trials is None:
    raise UsageError(f"{path}: [study]: expected trials = N, how many are tried.")
  return {**found, "trials": trials, "random_seed": random_seed}


def _ends(fields: Mapping[str, Any]) -> list[Values]:
  """Trials that together have every value of a list, and the ends of every range."""
  values = {name: each if isinstance(each, list) else [each["low"], each["high"]] for name, each in fields.items()}
  number = max(map(len, values.values()))
  return [{name: each[min(i, len(each) - 1)] for name, each in values.items()} for i in range(number)]


def create(
  path: str | os.PathLike[str], plan: Plan, experiments: list[Experiment], programs: Sequence[Sequence[int]]
) -> pathlib.Path:
  """Makes a sweep's directory, with a run directory for each trial that is known, at one stroke.

  Args:
    path: which is not there yet.
    plan: what the sweep's file says.
    experiments: of the trials.
    programs: which of them, by number, are one program each.

  Raises:
    UsageError: something is there already, or Optuna is not installed.
  """
  if plan.study is not None and importlib.util.find_spec("optuna") is None:
    raise UsageError('A study is Optuna\'s, which is not installed: pip install "acme-experiments[study]".')
  path = pathlib.Path(path)
  taken = f"{path} exists: give another --out, or go on with what is in it by `acme resume`."
  with rundir.at_one_stroke(path, taken) as folder:
    content = dataclasses.asdict(plan)
    if plan.study is not None:
      content["template"] = dataclasses.asdict(experiments[0])
    else:
      for numbers in programs:
        names = [name_of(i) for i in numbers]
        for i, name in zip(numbers, names, strict=True):
          RunDirectory.create(folder / name, experiments[i], names if len(names) > 1 else ())
    write_json(folder / _FILE, content)
  return path


def is_sweep(path: str | os.PathLike[str]) -> bool:
  """Whether a directory holds a sweep."""
  return os.path.lexists(pathlib.Path(path) / _FILE)


def run(path: pathlib.Path, display: progress.Progress, jobs: int = 1) -> list[Values]:
  """Runs all trials that are not over, `jobs` processes at once, and ranks those that are.

  A process runs a trial, or all those that are one program.

  Returns:
    The rows of results.csv.

  Raises:
    Stopped: SIGINT or SIGTERM came; every trial is saved.
    UsageError: the directory is damaged.
  """
  with rundir.lock(path):
    return _run(path, display, jobs)


def describe(row: Values) -> str:
  """A row of results.csv as a line."""
  seeds = [value for name, value in row.items() if name.startswith("seed ")]
  result = f"{row['return']:,.2f} ({', '.join(f'{value:,.2f}' for value in seeds)})" if seeds else "no result"
  if row.get("pruned"):
    result = f"{row['return']:,.2f} PRUNED"
  values = [f"{name} {row[name]}" for name in list(row)[1 : list(row).index("failed")]]
  return f"{row['trial']}: {result}{' FAILED' if row['failed'] else ''}  {', '.join(values)}"


def _run(path: pathlib.Path, display: progress.Progress, jobs: int) -> list[Values]:
  plan = _read(path / _FILE)
  options = {"agent": plan["agent"], "env": plan["env"], **plan["options"]}
  stop = stopping.StopRequest()
  with stop.installed():
    if plan.get("study") is not None:
      from acme_experiments import study as studies  # Brings Optuna, which is an extra.

      study = studies.Study(path, plan, jobs, display)
      trials, pruned = study.run(stop), study.pruned()
    else:
      trials = {name_of(i): (values, RunDirectory(path / name_of(i))) for i, values in enumerate(plan["trials"])}
      pruned = {}
      programs = _programs(directory for _, directory in trials.values())
      if len(programs) < len(trials):
        most = max(map(len, programs.values()))
        number = "one program" if len(programs) == 1 else f"{len(programs)} programs"
        display.message(f"{len(trials)} trials in {number} on the device, of {most} trials at most")
      pool = processes.Pool({name: together[0] for name, together in programs.items()}, jobs, display.message)
      pool.run(stop, lambda: None)
  rows = [result_of(name, values, directory) for name, (values, directory) in trials.items()]
  for row in rows:
    if row["trial"] in pruned:
      row |= {"failed": False, "pruned": True, "return": pruned[row["trial"]]}
  rows.sort(key=lambda row: (row["failed"], row.get("pruned", False), -row["return"]))  # Stable: equal ones in order.
  if not rows:  # A study was stopped before its first trial.
    raise stopping.Stopped(stop.signal or signal.SIGTERM, 0)
  _write(path, rows, options, dict(trials[rows[0]["trial"]][0]))
  if stop.signal is not None:
    raise stopping.Stopped(stop.signal, sum(not row["failed"] for row in rows))
  return rows


def _read(path: pathlib.Path) -> Values:
  """A plan as `create` wrote it; UsageError where it is none."""
  plan = read_object(path, ())
  trials, options = plan.get("trials"), plan.get("options")
  whole = isinstance(plan.get("agent"), str) and isinstance(plan.get("env"), str) and isinstance(trials, list)
  whole = whole and isinstance(options, dict) and isinstance(options.get("config", {}), dict)
  if not whole or not trials or not all(isinstance(values, dict) for values in trials):
    raise UsageError(f"{path} cannot be read: expected agent, env, options and trials. Put it back from a copy.")
  return plan


def _programs(directories: Iterable[RunDirectory]) -> dict[str, list[RunDirectory]]:
  """The trials of each program, by what it is called: the first, and how many more there are."""
  found = {}
  for directory in directories:
    together = directory.together()
    name, more = together[0].path.name, f" and {len(together) - 1} more" if len(together) > 1 else ""
    found[f"{name}{more}"] = together
  return found


def name_of(i: int) -> str:
  """The folder of the trial of that number."""
  return f"trial-{i:03}"


def result_of(name: str, values: Values, directory: RunDirectory) -> Values:
  """A trial's row: the mean over seeds of their final evaluation, and each; of one with seeds that diverged, failed."""
  summary = directory.read_summary()
  if summary is None:
    return {"trial": name, **values, "failed": True, "return": -math.inf}
  seeds = summary.get("seeds") or {str(directory.read_experiment().seed): summary["eval_return_mean"]}
  row = {"failed": bool(summary.get("diverged")), "return": float(np.mean(list(seeds.values())))}
  return {"trial": name, **values, **row, **{f"seed {seed}": value for seed, value in seeds.items()}}


def _write(path: pathlib.Path, rows: list[Values], options: Mapping[str, Any], best: Values) -> None:
  names = dict.fromkeys(itertools.chain.from_iterable(rows))
  table = io.StringIO(newline="")
  writer = csv.DictWriter(table, list(names))
  writer.writeheader()
  writer.writerows(rows)
  write_text(path / "results.csv", table.getvalue())
  if not rows[0]["failed"] and not rows[0].get("pruned"):
    shared = {name: value for name, value in options.items() if name not in ("config", "seeds", "seed")}
    lines = [f"# {shared.pop('agent')} {shared.pop('env')}: the best of {len(rows)} trials, {rows[0]['trial']}"]
    # What JSON writes of numbers, text and lists of them, TOML reads, but for letters in two halves.
    to_toml = functools.partial(json.dumps, ensure_ascii=False)
    env_options = shared.pop(parsing.ENV_OPTIONS, {})
    lines += [f"{name} = {to_toml(value)}" for name, value in shared.items()]
    if env_options:
      lines += ["", f"[{parsing.ENV_OPTIONS}]", *(f"{name} = {to_toml(value)}" for name, value in env_options.items())]
    lines += ["", "[config]"]
    config = {**options.get("config", {}), **best}
    lines += [f"{name} = {to_toml(value)}" for name, value in config.items()]
    write_text(path / "best.toml", "\n".join(lines) + "\n")
