"""CartPole: wall seconds from the start of the process until it is solved, and whether it stays so.

  python benchmarks/time_to_solve.py --peers DIR [--seeds 0-4] [--steps 50000] [--out benchmarks/results]

Solved is a greedy evaluation over 10 episodes of 475 or more; there is one every 2,500 environment steps, and its time
counts. Ours has its default config; Stable-Baselines3 the settings that its zoo has tuned for CartPole. One process at
a time; for each seed both, the order changing from seed to seed.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

from seeds import seeds
from speed import HERE, THREADS

BAR = 475.0


def measure(python: str, worker: str, seed: int, steps: int) -> list[dict[str, float]]:
  """Runs a worker; returns its evaluations, each with the wall seconds since the process was started."""
  command = [python, str(HERE / "workers" / worker), "--seed", str(seed), "--steps", str(steps)]
  start = time.time()
  result = subprocess.run(command, env=os.environ | THREADS, capture_output=True, text=True, timeout=1800)
  if result.returncode:
    raise RuntimeError(f"{' '.join(command)} failed:\n{result.stderr[-3000:]}")
  rows = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
  return [{"step": row["step"], "return": row["return"], "seconds": row["time"] - start} for row in rows]


def summarize(name: str, seed: int, evaluations: list[dict[str, float]]) -> dict:
  """When it was solved, and what came after."""
  solved = next((i for i, row in enumerate(evaluations) if row["return"] >= BAR), None)
  later = [] if solved is None else evaluations[solved:]
  return {
    "name": name,
    "seed": seed,
    "seconds": float("inf") if solved is None else evaluations[solved]["seconds"],
    "step": None if solved is None else evaluations[solved]["step"],
    "kept": sum(row["return"] >= BAR for row in later),
    "later": len(later),
    "last": evaluations[-1]["return"],
    "evaluations": evaluations,
  }


def table(results: list[dict]) -> str:
  """The results in Markdown."""
  names = list(dict.fromkeys(result["name"] for result in results))
  medians = {n: statistics.median(r["seconds"] for r in results if r["name"] == n) for n in names}
  lines = [
    "# Time to solve CartPole",
    "",
    "Wall seconds from process start to the first greedy 10-episode evaluation of 475 or more, one every 2,500 steps; "
    "how many of the evaluations from there on reach 475; and the last one. Made by `benchmarks/time_to_solve.py`.",
    "",
    "| who | seed | after | at step | evaluations of 475 from there on | at the end |",
    "| --- | ---: | ---: | ---: | ---: | ---: |",
  ]
  for r in sorted(results, key=lambda r: (names.index(r["name"]), r["seed"])):
    step = "never" if r["step"] is None else f"{r['step']:,}"
    kept = f"{r['kept']} of {r['later']}"
    lines.append(f"| {r['name']} | {r['seed']} | {_seconds(r['seconds'])} | {step} | {kept} | {r['last']:.0f} |")
  lines += ["", "Medians: " + "; ".join(f"{name} {_seconds(seconds)}" for name, seconds in medians.items()) + "."]
  if len(names) == 2 and medians[names[1]] < float("inf"):
    ratio = medians[names[0]] / medians[names[1]]
    lines.append(f"Ratio {ratio:.2f}; the bar, at most 0.5, is {'met' if ratio <= 0.5 else '**missed**'}.")
  return "\n".join(lines) + "\n"


def _seconds(seconds: float) -> str:
  return f"{seconds:.1f} s" if seconds < float("inf") else "never"


def main() -> None:
  """Reads the command line, measures, and writes the results."""
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--peers", type=pathlib.Path, required=True, help="where make_peers.py made their environments")
  parser.add_argument("--seeds", type=seeds, default="0-4", help="such as 0-4")
  parser.add_argument("--steps", type=int, default=50_000)
  parser.add_argument("--out", type=pathlib.Path, default=HERE / "results")
  arguments = parser.parse_args()
  contenders = {
    "ours": (sys.executable, "solve_ours.py"),
    "SB3": (str(arguments.peers.resolve() / "sb3" / "bin" / "python"), "solve_sb3.py"),
  }
  results = []
  for seed in arguments.seeds:
    for name in sorted(contenders, reverse=seed % 2 == 0):
      results.append(summarize(name, seed, measure(*contenders[name], seed, arguments.steps)))
      r = results[-1]
      print(f"{name}, seed {seed}: {r['seconds']:.1f} s, {r['kept']} of {r['later']}, {r['last']:.0f}", flush=True)
  results.sort(key=lambda r: list(contenders).index(r["name"]))
  arguments.out.mkdir(parents=True, exist_ok=True)
  (arguments.out / "time_to_solve.json").write_text(json.dumps(results, indent=1) + "\n")
  text = table(results)
  (arguments.out / "time_to_solve.md").write_text(text)
  print(text)


if __name__ == "__main__":
  main()
