"""Runs every agent in every mode, as small as runs get, and writes docs/modes.md from what came of them.

  python tests/modes.py STACK           # jax, tf or reverb; after an interruption, goes on: nox -s modes
  python tests/modes.py STACK --again   # what has a result, too
  python tests/modes.py page            # writes docs/modes.md anew

A run counts where it ends well and its learner took a step. What the command refuses is told in its own words.
"""

import argparse
import csv
import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator

import acme
import acme_envs
from acme import plugins
from acme_testing import runs

ROOT = pathlib.Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "modes"
PAGE = ROOT / "docs" / "modes.md"
TASKS = {"discrete": "CartPole-v1", "continuous": "Pendulum-v1"}
ADDRESS = "localhost:8766"
OPTIONS = {
  "one environment": ("--loop", "host", "--replay", "embedded", "--envs", "1"),
  "four environments": ("--loop", "host", "--replay", "embedded", "--envs", "4"),
  "device store": ("--loop", "host", "--replay", "device"),
  "whole run on the device": ("--loop", "device"),
  "dataset": ("--loop", "host", "--replay", "embedded"),
  "Reverb in the process": ("--loop", "host", "--replay", "reverb", "--listen-everywhere"),
  "Reverb at an address": ("--loop", "host", "--replay", f"reverb://{ADDRESS}"),
}
"""What `acme run` is told in each mode."""
REVERB = tuple(mode for mode in OPTIONS if "Reverb" in mode)
OTHERS = tuple(mode for mode in OPTIONS if mode not in REVERB)
STACKS = {"jax": (("jax",), OTHERS), "tf": (("tf",), OTHERS), "reverb": (("jax", "tf"), REVERB)}
"""Which backends run in which modes there."""
HEAD = """# Agents × backends × modes

Written by `nox -s modes`, from runs of `acme run` as small as they get, one for each field. ✓: it ran to its end, and
its learner took a step. A number: the command refuses, for the reason below. ✗: it failed. –: it was not run.
"""


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("stack", choices=[*STACKS, "page"])
  parser.add_argument("--again", action="store_true", help="what has a result, too")
  parser.add_argument("--only", default="", help="a part of `AGENT BACKEND MODE`")
  arguments = parser.parse_args()
  if arguments.stack != "page":
    path = RESULTS / f"{arguments.stack}.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    for cell in cells(arguments.stack):
      if arguments.only in cell and (arguments.again or cell not in results):
        results[cell] = run(*cell.split(" ", 2))
        print(f"{cell}: {results[cell]}", flush=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(results, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
  PAGE.write_text(page())


def cells(stack: str) -> Iterator[str]:
  """`AGENT BACKEND MODE` of all that is to be run."""
  backends, modes = STACKS[stack]
  projects = (tomllib.loads(path.read_text())["project"] for path in sorted(ROOT.glob("packages/*/pyproject.toml")))
  for agent in (name for project in projects for name in project.get("entry-points", {}).get("acme.agents", {})):
    for backend in plugins.load_agent(agent).backends:
      yield from (f"{agent} {backend} {mode}" for mode in modes if backend in backends)


def run(agent: str, backend: str, mode: str) -> str:
  """What came of one run: "ok", "refused: REASON" or "failed: REASON"."""
  plugin = plugins.load_agent(agent)
  task = TASKS["continuous" if "continuous" in plugin.actions else "discrete"]
  environment = f"jax:{task}" if mode == "whole run on the device" else f"gym:{task}"
  episodes = runs.dataset(acme.make_environment_spec(acme_envs.make(f"gym:{task}")), seed=0)
  what = [agent, environment, "--backend", backend, *small(plugin, episodes)]
  if mode == "dataset":
    what += ["--dataset", episodes]
  size = ("--steps", "60", "--eval-every", "0", "--eval-episodes", "1", "--quiet")
  with tempfile.TemporaryDirectory() as folder:
    server = serve(what, folder) if mode == "Reverb at an address" else None
    try:
      done = command("run", *what, *OPTIONS[mode], *size, "--out", f"{folder}/run")
    finally:
      if server is not None:
        server.send_signal(signal.SIGTERM)
        server.wait(60)
    complaint = done.stderr.strip().rpartition("acme: ")[2].replace(folder, "DIR").replace(episodes, "DATASET")
    if done.returncode == 2:
      return f"refused: {complaint}"
    if done.returncode:
      return f"failed: {complaint[-500:]}"
    return "ok" if learned(pathlib.Path(folder)) else "failed: the learner took no step"


def command(*arguments: str) -> subprocess.CompletedProcess:
  line = [sys.executable, "-m", "acme_experiments.cli", *arguments]
  return subprocess.run(line, capture_output=True, text=True, timeout=300, check=False)


def serve(what: list[str], folder: str) -> subprocess.Popen | None:
  """A Reverb server for such an agent; None where the command refuses, as the run then does, too."""
  line = [sys.executable, "-m", "acme_experiments.cli", "replay-server", *what, "--port", ADDRESS.partition(":")[2]]
  server = subprocess.Popen([*line, "--listen-everywhere"], cwd=folder, stdout=subprocess.PIPE, text=True)
  assert server.stdout is not None
  return server if server.stdout.readline() else None


def small(plugin: plugins.AgentPlugin, episodes: str) -> list[str]:
  """Options of a config for runs of moments, as the battery has it, with recorded episodes where it wants some."""
  words, default = [], plugin.config()
  for name, value in vars(runs.small_config(plugin)).items():
    if value != getattr(default, name):
      values = value if isinstance(value, tuple) else (episodes if value == runs.DATASET else value,)
      words += [f"--config.{name.replace('_', '-')}", *map(str, values)]
  return words


def learned(folder: pathlib.Path) -> bool:
  """Whether any row of a run's logs counts a learner step."""
  rows = (row for path in folder.rglob("*.csv") for row in csv.DictReader(path.read_text().splitlines()))
  return any(float(row.get("learner_steps") or 0) > 0 for row in rows)


def page() -> str:
  """docs/modes.md, from the results that there are."""
  results = {}
  for stack in STACKS:
    path = RESULTS / f"{stack}.json"
    results |= json.loads(path.read_text()) if path.exists() else {}
  reasons: list[str] = []

  def mark(result: str | None) -> str:
    if result is None or result == "ok":
      return "–" if result is None else "✓"
    kind, _, reason = result.partition(": ")
    if reason not in reasons:
      reasons.append(reason)
    return f"{'✗ ' if kind == 'failed' else ''}{1 + reasons.index(reason)}"

  lines = [f"| agent | backend | {' | '.join(OPTIONS)} |", f"| --- | --- |{' :---: |' * len(OPTIONS)}"]
  for agent, backend in dict.fromkeys(tuple(cell.split(" ", 2)[:2]) for cell in sorted(results)):
    marks = [mark(results.get(f"{agent} {backend} {mode}")) for mode in OPTIONS]
    lines.append(f"| {agent} | {backend} | {' | '.join(marks)} |")
  footnotes = [f"{i}. {' '.join(reason.split())}" for i, reason in enumerate(reasons, 1)]
  modes = [f"- {mode}: `acme run … {' '.join(options)}`" for mode, options in OPTIONS.items()]
  modes[list(OPTIONS).index("dataset")] = "- dataset: `acme run … --dataset DIR`"
  return "\n".join([HEAD, *lines, "", *footnotes, "", *modes, ""])


if __name__ == "__main__":
  main()
