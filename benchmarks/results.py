"""Trains agents on the tasks of benchmarks/tasks.toml with `acme run --seeds`, and writes docs/results.md.

  python benchmarks/results.py                  # all that has no result yet; after an interruption, goes on
  python benchmarks/results.py --only mpo       # tasks whose name has it
  python benchmarks/results.py --again --only dqn
  python benchmarks/results.py --only none      # writes docs/results.md anew from the results there are

A task's runs lie in runs/results, its result in benchmarks/results/tasks. On `jax:` tasks all seeds are one program.
"""

import argparse
import csv
import json
import pathlib
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import tomllib

import numpy as np
from learning import one_core

import acme_experiments
from acme_experiments import RunDirectory
from acme_experiments.statistics import interval

HERE = pathlib.Path(__file__).parent
RESULTS = HERE / "results" / "tasks"
STARTS = 2026  # The seed of those of the episodes evaluated.
RUNS = pathlib.Path("runs", "results")
PAGE = HERE.parent / "docs" / "results.md"
HEAD = """# Results

Written by `python benchmarks/results.py`, which trains what [tasks.toml](../benchmarks/tasks.toml) lists; the numbers
of every seed are in `benchmarks/results/tasks`. A return is the mean over greedy episodes after the last step, on the
same starts for every seed and agent: `acme evaluate DIR --episodes N --seed 2026`. No seed is left out, and none was
tuned on. IQM is the mean of the middle half of the seeds, with a bootstrap interval of 95 % over seeds. On `jax:` tasks
all seeds train at once in one jitted program on the CPU; minutes are those of all seeds together, on a machine of two
cores that others used, too.

| agent | task | steps | bar | IQM | interval | at the bar | every seed | minutes |
| --- | --- | ---: | ---: | ---: | --- | ---: | --- | ---: |"""


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--only", default="", help="a part of the names of tasks")
  parser.add_argument("--again", action="store_true", help="those that have a result, too")
  parser.add_argument("--jobs", default="1", help="seeds at once on the host")
  arguments = parser.parse_args()
  RESULTS.mkdir(parents=True, exist_ok=True)
  tasks = read()
  for name, task in tasks.items():
    result = RESULTS / f"{name}.json"
    if arguments.only in name and (arguments.again or not result.exists()):
      print(name, flush=True)
      found = train(task, RUNS / name, arguments.jobs)
      result.write_text(json.dumps(found, indent=1) + "\n")
      print(json.dumps(found), flush=True)
  write(tasks)


def read() -> dict[str, dict]:
  """The tasks by name."""
  content = tomllib.loads((HERE / "tasks.toml").read_text())
  tasks = [content["defaults"] | {"options": []} | task for task in content["task"]]
  return {re.sub(r"[^\w.=-]+", "_", "-".join([t["agent"], t["env"], *t["options"]])).strip("_"): t for t in tasks}


def command_of(task: dict) -> list[str]:
  steps, every = str(task["steps"]), str(-(-task["steps"] // 10))
  return [
    "acme", "run", task["agent"], task["env"], "--steps", steps, "--seeds", task["seeds"], "--eval-every", every,
    "--eval-episodes", str(task["episodes"]), *task["options"],
  ]  # fmt: skip


def train(task: dict, out: pathlib.Path, jobs: str) -> dict:
  """Runs a task, or goes on with it, and returns what came of it; a run that fails has its last words in place."""
  command = [*command_of(task), "--out", str(out), "--quiet", "--jobs", jobs]
  if (out / "config.json").exists():
    command = ["acme", "resume", str(out), "--quiet", "--jobs", jobs]
  done = subprocess.run(command, env=one_core(), capture_output=True, text=True, check=False)
  if done.returncode in (129, 130, 143):
    sys.exit(done.returncode)  # Stopped, and saved.
  if not (out / "summary.json").exists():
    return {"error": done.stderr.strip().splitlines()[-1][:300]}
  summary, config = (json.loads((out / f"{name}.json").read_text()) for name in ("summary", "config"))
  seconds = summary.get("wall_seconds")
  if seconds is None:  # Of seeds in processes the sum.
    seconds = sum(json.loads(path.read_text())["wall_seconds"] for path in out.glob("seed-*/summary.json"))
  result = {
    "seeds": evaluate(out, task["episodes"], summary),
    "starts": STARTS,
    "diverged": summary.get("diverged", {}),
    "wall_seconds": seconds,
    "loop": config["experiment"]["loop"],
    "curve": curve(out),
    "versions": config["versions"],
  }
  shutil.rmtree(out)
  return result


def evaluate(out: pathlib.Path, episodes: int, summary: dict) -> dict[str, float]:
  """The mean return of each seed that has not diverged, over the starts that all have."""
  found = acme_experiments.evaluate(RunDirectory(out), episodes, seed=STARTS)
  return {seed: mean for seed, mean in found["seeds"].items() if seed in summary["seeds"]}


def curve(out: pathlib.Path) -> list[tuple[int, float]]:
  """The median over seeds of the mean return of each evaluation, by steps."""
  returns: dict[int, list[float]] = {}
  for path in out.glob("seed-*/eval.csv"):
    with path.open() as file:
      for row in csv.DictReader(file):
        returns.setdefault(round(float(row["steps"])), []).append(float(row["eval_return_mean"]))
  return [(steps, statistics.median(values)) for steps, values in sorted(returns.items())]


def write(tasks: dict[str, dict]) -> None:
  """Writes the page of all results."""
  lines = [HEAD]
  commands, missing = [], []
  for name, task in tasks.items():
    path = RESULTS / f"{name}.json"
    if not path.exists():
      missing.append(f"{task['agent']} on {task['env']}")
      continue
    lines.append(row(task, json.loads(path.read_text())))
    commands.append(f"    {shlex.join(command_of(task))}")
  lines += ["", "The commands, in the order of the rows:", "", *commands]
  if missing:
    lines += ["", f"No result yet: {', '.join(missing)}."]
  PAGE.write_text("\n".join(lines) + "\n")


def row(task: dict, result: dict) -> str:
  what = f"| {task['agent']} | {task['env']} | {task['steps']:,} | {task['bar']:g} |"
  if "error" in result:
    return f"{what} failed | | | {result['error']} | |"
  returns = list(result["seeds"].values())
  iqm, low, high = interval(np.array(returns))
  number = len(returns) + len(result["diverged"])
  reached = sum(value >= task["bar"] for value in returns)
  seeds = ", ".join([f"{value:.4g}" for value in returns] + ["diverged"] * len(result["diverged"]))
  minutes = result["wall_seconds"] / 60
  seeds += "" if result.get("starts") == STARTS else " (an older run: each on starts of its own)"
  return f"{what} {iqm:.4g} | {low:.4g} to {high:.4g} | {reached} of {number} | {seeds} | {minutes:.0f} |"


if __name__ == "__main__":
  main()
