"""Trains an agent over several seeds with `acme run`, and writes what came of it as a table.

  python benchmarks/learning.py dqn gym:CartPole-v1 --steps 50000 --seeds 0-9 --bar 475

Options that it does not know go to `acme run`: --config.learning-rate 1e-4, --preset rainbow, --replay reverb.

The runs lie in runs/learning until the table is written: the same command, after an interruption, goes on with them.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import shutil
import statistics
import subprocess
import sys

from seeds import seeds


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("agent")
  parser.add_argument("environment")
  parser.add_argument("--steps", type=int, required=True, help="environment steps")
  parser.add_argument("--seeds", type=seeds, default="0-4", help="such as 0-9")
  parser.add_argument("--episodes", type=int, default=20, help="of the final evaluation, at least 20")
  parser.add_argument("--bar", type=float, required=True, help="the return that counts as solved")
  parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
  parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("benchmarks/results/learning"))
  arguments, others = parser.parse_known_args()
  name = re.sub(r"[^\w.=-]+", "_", "-".join([arguments.agent, arguments.environment, *others])).strip("_")
  runs = pathlib.Path("runs", "learning", f"{name}-{arguments.steps}")
  with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
    results = list(pool.map(lambda seed: train(arguments, others, seed, runs / str(seed)), arguments.seeds))
  text = report(arguments, results)
  print(text)
  arguments.out.mkdir(parents=True, exist_ok=True)
  (arguments.out / f"{name}.md").write_text(text)
  shutil.rmtree(runs)


def train(arguments: argparse.Namespace, others: list[str], seed: int, out: pathlib.Path) -> dict:
  """Runs one seed on one core, or goes on with it, and returns its summary; a run that fails counts, with no return."""
  command = [
    "acme", "run", arguments.agent, arguments.environment, "--steps", str(arguments.steps), "--seed", str(seed),
    "--eval-episodes", str(arguments.episodes), "--eval-every", "0", "--out", str(out), "--quiet", *others,
  ]  # fmt: skip
  if (out / "checkpoints").exists():
    command = ["acme", "resume", str(out), "--quiet"]
  done = subprocess.run(command, env=one_core(), capture_output=True, text=True, check=False)
  if done.returncode:
    print(f"seed {seed} failed: {done.stderr.strip()[-500:]}", file=sys.stderr, flush=True)
    return {"seed": seed, "eval_return_mean": float("-inf"), "wall_seconds": float("nan")}
  summary = json.loads((out / "summary.json").read_text())
  print(
    f"seed {seed}: {summary['eval_return_mean']:.4g} in {summary['wall_seconds']:.0f} s", file=sys.stderr, flush=True
  )
  return {"seed": seed, **summary}


def one_core() -> dict[str, str]:
  """The environment of a process that computes in one thread, and finds `acme` beside this Python."""
  flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
  path = f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"
  return {**os.environ, "XLA_FLAGS": flags, "OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "PATH": path}


def report(arguments: argparse.Namespace, results: list[dict]) -> str:
  """The table: each seed, then the median, the quartiles and how many reached the bar."""
  returns = [result["eval_return_mean"] for result in results]
  low, middle, high = statistics.quantiles(returns if len(returns) > 1 else returns * 2, n=4, method="inclusive")
  solved = sum(value >= arguments.bar for value in returns)
  lines = [
    f"## {arguments.agent} on {arguments.environment}, {arguments.steps:,} steps",
    "",
    f"`python benchmarks/learning.py {shlex.join(sys.argv[1:])}`",
    "",
    "| seed | greedy return, mean of the final evaluation | standard deviation | wall seconds |",
    "| --- | --- | --- | --- |",
    *(
      f"| {r['seed']} | {r['eval_return_mean']:.4g} | {r.get('eval_return_std', 0):.3g} | {r['wall_seconds']:.0f} |"
      for r in results
    ),
    "",
    f"Median {middle:.4g}, quartiles {low:.4g} to {high:.4g}, least {min(returns):.4g}; "
    f"{solved} of {len(returns)} reach {arguments.bar:g}.",
    "",
  ]
  return "\n".join(lines)


if __name__ == "__main__":
  main()
