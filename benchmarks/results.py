"""Trains agents on the tasks of benchmarks/tasks.toml by `acme run --seeds`, and writes docs/results.md with its plots.

  python benchmarks/results.py                  # all that has no result yet; after an interruption, goes on
  python benchmarks/results.py mpo dmpo         # those of some agents
  python benchmarks/results.py --only swingup   # tasks whose name has it
  python benchmarks/results.py --again dqn
  python benchmarks/results.py --only none      # writes the page anew from the results there are

A task's runs lie in runs/results, its result in benchmarks/results/tasks. On `jax:` tasks all seeds are one program.
Tasks of a backend that is not installed are named and left out: `nox -s results` has an environment for each.
"""

import argparse
import csv
import importlib.util
import itertools
import json
import math
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from typing import Any

import matplotlib
import matplotlib.ticker
import numpy as np
from learning import one_core
from matplotlib.figure import Figure

import acme_experiments
from acme_experiments import RunDirectory, plotting
from acme_experiments.statistics import interval

HERE = pathlib.Path(__file__).parent
RESULTS = HERE / "results" / "tasks"
STARTS = 2026  # The seed of those of the episodes evaluated.
RUNS = pathlib.Path("runs", "results")
PAGE = HERE.parent / "docs" / "results.md"
PICTURE = PAGE.with_suffix(".svg")
HEAD = """# Results

Written by `nox -s results`, which trains what [tasks.toml](../benchmarks/tasks.toml) lists; the numbers
of every seed are in `benchmarks/results/tasks`. A return is the mean over greedy episodes after the last step, on the
same starts for every seed and agent: `acme evaluate DIR --episodes N --seed 2026`. No seed is left out. Settings were
found on seeds from 100 on; MPO, and IMPALA on Pendulum, ran twice on the seeds shown, since theirs changed after a
miss. IQM is the mean of the middle half of the seeds, with a bootstrap interval of 95 % over seeds. On `jax:` tasks all
seeds train at once in one jitted program on the CPU; minutes are those of all seeds together, on a machine of two cores
that others used, too.

Elsewhere: [BC beside the experts](../benchmarks/results/bc.md) that it clones, by `python benchmarks/bc.py`, and agents
through [bsuite](howto/bsuite.md), by `python benchmarks/bsuite_scores.py`.

| agent | task | steps | bar | IQM | interval | at the bar | every seed | minutes |
| --- | --- | ---: | ---: | ---: | --- | ---: | --- | ---: |"""


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("agents", nargs="*", metavar="AGENT", help="whose tasks; by default all agents'")
  parser.add_argument("--only", default="", help="a part of the names of tasks")
  parser.add_argument("--again", action="store_true", help="those that have a result, too")
  parser.add_argument("--jobs", default="1", help="seeds at once on the host")
  arguments = parser.parse_args()
  RESULTS.mkdir(parents=True, exist_ok=True)
  tasks = read()
  if unknown := sorted(set(arguments.agents) - {task["agent"] for task in tasks.values()}):
    parser.error(
      f"no task is of the agent {unknown[0]!r}; there are {', '.join(sorted({t['agent'] for t in tasks.values()}))}."
    )
  for name, task in tasks.items():
    result = RESULTS / f"{name}.json"
    wanted = arguments.only in name and task["agent"] in (arguments.agents or [task["agent"]])
    if wanted and (arguments.again or not result.exists()):
      if importlib.util.find_spec(library(task)) is None:
        print(f"{name}: left out, since {library(task)} is not installed", flush=True)
        continue
      print(name, flush=True)
      found = train(task, RUNS / name, arguments.jobs)
      result.write_text(json.dumps(found, indent=1) + "\n")
      print(json.dumps(found), flush=True)
  write(tasks)


def read() -> dict[str, dict]:
  """The tasks by name; one that differs from another in its steps alone has these in its name."""
  content = tomllib.loads((HERE / "tasks.toml").read_text())
  tasks: dict[str, dict] = {}
  for task in content["task"]:
    task = content["defaults"] | {"options": []} | task
    name = re.sub(r"[^\w.=-]+", "_", "-".join([task["agent"], task["env"], *task["options"]])).strip("_")
    tasks[f"{name}-{task['steps']}" if name in tasks else name] = task
  return tasks


def library(task: dict) -> str:
  """What a task's agent learns with."""
  return "tensorflow" if option(task, "--backend") == "tf" else "jax"


def option(task: dict, name: str) -> str | None:
  """The value of an option of `acme run`, None where a task has none."""
  return task["options"][task["options"].index(name) + 1] if name in task["options"] else None


def command_of(task: dict) -> list[str]:
  steps, every = str(task["steps"]), str(-(-task["steps"] // 10))
  return [
    "acme", "run", task["agent"], task["env"], "--steps", steps, "--seeds", task["seeds"], "--eval-every", every,
    "--eval-episodes", str(task["episodes"]), *task["options"],
  ]  # fmt: skip


def train(task: dict, out: pathlib.Path, jobs: str) -> dict:
  """Runs a task, or goes on with it, and returns what came of it; a run that fails has its last words in place."""
  if demonstrations := option(task, "--config.demonstrations"):  # They are left alone where they are there.
    script = HERE / "demonstrations.py"
    subprocess.run([sys.executable, script, pathlib.Path(demonstrations).name], env=one_core(), check=True)
  command = [*command_of(task), "--out", str(out), "--quiet", "--jobs", jobs]
  if (out / "config.json").exists():
    command = ["acme", "resume", str(out), "--quiet", "--jobs", jobs]
  done = subprocess.run(command, env=one_core(), capture_output=True, text=True, check=False)
  if done.returncode in (129, 130, 143):
    sys.exit(done.returncode)  # Stopped, and saved.
  if not (out / "summary.json").exists():
    words = done.stderr.strip().splitlines() or [f"`{' '.join(command[:4])} …` ended with {done.returncode}, silently"]
    return {"error": words[-1][:300]}
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


def curve(out: pathlib.Path) -> list[tuple[int, list[float]]]:
  """By steps the mean return of each evaluation: the lower quartile over seeds, the median and the upper one."""
  returns: dict[int, list[float]] = {}
  for path in out.glob("seed-*/eval.csv"):
    with path.open() as file:
      for row in csv.DictReader(file):
        returns.setdefault(round(float(row["steps"])), []).append(float(row["eval_return_mean"]))
  return [(steps, np.percentile(values, [25, 50, 75]).tolist()) for steps, values in sorted(returns.items())]


def write(tasks: dict[str, dict]) -> None:
  """Writes the page of all results, and the plots."""
  results = {name: json.loads(path.read_text()) for name in tasks if (path := RESULTS / f"{name}.json").exists()}
  whole = {name: result for name, result in results.items() if "error" not in result}
  lines = [HEAD, *(row(tasks[name], result) for name, result in results.items())]
  lines += ["", *failures(tasks, results), "", f"![Curves]({PICTURE.name})", ""]
  lines += ["Curves: the mean return of each evaluation, the median over seeds and the band between the quartiles."]
  lines += [
    "",
    *beside_the_zoo(tasks, whole),
    "",
    "## The commands",
    "",
    "In the order of the rows; `python benchmarks/demonstrations.py` first, for",
    "`--config.demonstrations`:",
    "",
  ]
  lines += [f"    {shlex.join(command_of(tasks[name]))}" for name in results]
  if missing := [f"{task['agent']} on {called(task)}" for name, task in tasks.items() if name not in results]:
    lines += ["", f"No result yet: {', '.join(missing)}."]
  PAGE.write_text("\n".join(lines) + "\n")
  draw(tasks, whole)


def called(task: dict) -> str:
  """A task's environment with its wrappers, and what it learns with where that is not JAX."""
  wrappers = [f"`{word}`" for before, word in itertools.pairwise(task["options"]) if before == "--wrap"]
  return " ".join([task["env"], *wrappers, *(["(TensorFlow)"] if library(task) == "tensorflow" else [])])


def failures(tasks: dict[str, dict], results: dict[str, dict]) -> list[str]:
  """What missed its bar, or failed."""
  found = []
  for name, result in results.items():
    task, what = tasks[name], f"{tasks[name]['agent']} on {called(tasks[name])}"
    if "error" in result:
      found.append(f"- {what} failed: {result['error']}")
      continue
    iqm, _, _ = interval(np.array(list(result["seeds"].values())))
    if (iqm < task["bar"] and "shown_beside" not in task) or result["diverged"]:
      diverged = f"; {len(result['diverged'])} diverged" if result["diverged"] else ""
      found.append(f"- {what}: {iqm:.4g}, where the bar is {task['bar']:g}{diverged}")
  return ["Below their bars by the IQM, or failed:", "", *found] if found else ["None is below its bar by the IQM."]


def beside_the_zoo(tasks: dict[str, dict], results: dict[str, dict]) -> list[str]:
  """The figures that Stable-Baselines3's zoo has published of the same tasks at the same number of steps."""
  zoo = tomllib.loads((HERE / "tasks.toml").read_text())["zoo"]
  lines = []
  for each in zoo["task"]:
    ours = []
    for name, result in results.items():
      task = tasks[name]
      if called(task).partition(":")[2] == each["env"] and task["steps"] == each["steps"]:
        ours.append(f"{task['agent']} {interval(np.array(list(result['seeds'].values())))[0]:.4g}")
    if ours:
      lines.append(f"| {each['env']} | {each['steps']:,} | {', '.join(ours)} | {', '.join(each['published'])} |")
  if not lines:
    return []
  head = ["## Beside Stable-Baselines3's zoo", "", zoo["text"].strip(), "", "| task | steps | here, IQM | the zoo |"]
  return [*head, "| --- | ---: | --- | --- |", *lines]


def draw(tasks: dict[str, dict], results: dict[str, dict]) -> None:
  """Draws a panel for each environment, with the curves of all agents there."""
  panels: dict[str, list[str]] = {}
  for name in results:
    panels.setdefault(called(tasks[name]).replace("`", ""), []).append(name)
  columns = min(3, len(panels))
  style = plotting.STYLE | {"svg.fonttype": "none", "svg.hashsalt": "results"}  # The same of the same results.
  with matplotlib.rc_context(style):
    figure = Figure(figsize=(3.6 * columns, 2.8 * math.ceil(len(panels) / columns)), layout="constrained")
    axes = list(figure.subplots(math.ceil(len(panels) / columns), columns, squeeze=False).flat)
    for axis, (title, names) in zip(axes, panels.items(), strict=False):
      for i, name in enumerate(names):
        draw_curve(axis, i, tasks[name]["agent"], results[name]["curve"])
      axis.axhline(tasks[names[0]]["bar"], color="black", linewidth=0.8, linestyle=":")
      axis.set_title(title, fontsize=9)
      axis.set_xlim(left=0)
      axis.xaxis.set_major_formatter(matplotlib.ticker.EngFormatter(sep=""))
      axis.legend(loc="best", fontsize=8)
    for axis in axes[len(panels) :]:
      axis.set_axis_off()
    figure.supxlabel("environment steps of each seed", fontsize=9)
    figure.supylabel("return", fontsize=9)
    figure.savefig(PICTURE, metadata={"Date": None})


def draw_curve(axis: Any, number: int, label: str, points: list) -> None:
  """Draws the median, and the band where the quartiles are there: results of earlier versions have the median alone."""
  colour, dashes = plotting.look(number)
  steps = [step for step, _ in points]
  quartiles = np.array([found if isinstance(found, list) else [found] * 3 for _, found in points])  # [E, 3]
  axis.plot(steps, quartiles[:, 1], dashes, color=colour, linewidth=1.4, label=label)
  axis.fill_between(steps, quartiles[:, 0], quartiles[:, 2], color=colour, alpha=0.2, linewidth=0)


def row(task: dict, result: dict) -> str:
  bar = f"{task['bar']:g}" + (f" ({task['shown_beside']}'s)" if "shown_beside" in task else "")
  what = f"| {task['agent']} | {called(task)} | {task['steps']:,} | {bar} |"
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
