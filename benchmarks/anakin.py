"""The jitted loop beside the host's, a DQN written by hand for it, and rejax's; and whether it learns.

  python benchmarks/make_peers.py DIR rejax
  python benchmarks/anakin.py speed --peers DIR [--pairs 7]
  python benchmarks/anakin.py learning dqn CartPole-v1 --steps 50000 --seeds 16 --bar 475 [--preset NAME]

`speed` writes benchmarks/results/anakin.md: steps/s by workers in processes of their own, those of a pair right after
one another, medians, and the median of the pairs' ratios. `learning` writes benchmarks/results/anakin/AGENT-NAME.md.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time

from acme_experiments.statistics import interval

HERE = pathlib.Path(__file__).parent
HOST = {1: ("dqn_ours.py", "--every", "1", "--steps", "2000"), 4: ("dqn_ours.py", "--every", "4", "--steps", "5000")}
ROWS = [(1, 1, 15_000), (4, 1, 40_000), (1, 16, 3_000), (4, 16, 8_000)]  # every, seeds, steps of each


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  what = parser.add_subparsers(dest="what", required=True)
  speed_parser = what.add_parser("speed")
  speed_parser.add_argument("--pairs", type=int, default=7)
  speed_parser.add_argument("--peers", type=pathlib.Path, required=True)
  learning_parser = what.add_parser("learning")
  learning_parser.add_argument("agent")
  learning_parser.add_argument("environment")
  learning_parser.add_argument("--steps", type=int, required=True)
  learning_parser.add_argument("--seeds", type=int, default=16)
  learning_parser.add_argument("--envs", type=int, default=1)
  learning_parser.add_argument("--bar", type=float, required=True)
  learning_parser.add_argument("--episodes", type=int, default=20)
  learning_parser.add_argument("--preset")
  options = parser.parse_args()
  (HERE / "results" / "anakin").mkdir(parents=True, exist_ok=True)
  if options.what == "speed":
    speed(options.pairs, options.peers)
  else:
    learning(options)


def measure(*worker: str, python: str = sys.executable) -> float:
  command = [python, str(HERE / "workers" / worker[0]), *worker[1:]]
  done = subprocess.run(command, check=True, capture_output=True, text=True)
  return json.loads(done.stdout.splitlines()[-1])["steps_per_second"]


def speed(pairs: int, peers: pathlib.Path) -> None:
  lines = [
    f"`python benchmarks/anakin.py speed --pairs {pairs}`: DQN on CartPole, 64-64, batch 64, uniform 1-step, steps/s",
    f"of all seeds together; medians of {pairs} interleaved runs, and the medians of their ratios. rejax learns every",
    "4th step in 4 environments, the others in one.",
    "",
    "| an SGD step | seeds | host, one seed | jitted loop | by hand | rejax | jitted / host | / by hand | / rejax |",
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
  ]
  rejax = str(peers.resolve() / "rejax" / "bin" / "python")
  for every, seeds, steps in ROWS:
    found = []
    for _ in range(pairs):
      these = ("--every", str(every), "--seeds", str(seeds), "--steps", str(steps))
      jitted = [measure(worker, *these) for worker in ("anakin_ours.py", "anakin_by_hand.py")]
      found.append([measure(*HOST[every]), *jitted, measure("anakin_rejax.py", *these, python=rejax)])
      print(every, seeds, found[-1], flush=True)
    figures = " | ".join(f"{statistics.median(column):,.0f}" for column in zip(*found, strict=True))
    ratios = " | ".join(f"{statistics.median(row[1] / row[i] for row in found):.2f}" for i in (0, 2, 3))
    lines.append(f"| {'every step' if every == 1 else f'every {every}th step'} | {seeds} | {figures} | {ratios} |")
  write("anakin.md", lines)


def learning(options: argparse.Namespace) -> None:
  from acme import plugins
  from acme_anakin.run import run

  plugin = plugins.load_agent(options.agent)
  config = plugin.presets[options.preset]() if options.preset else plugin.config()
  start = time.monotonic()
  result = run(
    plugin.builder(config, backend="jax"),
    options.environment,
    steps=options.steps,
    num_envs=options.envs,
    seeds=options.seeds,
    evaluate_every=-(-options.steps // 10),
    evaluate_episodes=options.episodes,
  )
  minutes = (time.monotonic() - start) / 60
  returns = result.returns.mean(axis=-1)  # [K, S]
  iqm, low, high = interval(returns[-1])
  preset = f" --preset {options.preset}" if options.preset else ""
  envs = f" --envs {options.envs}" if options.envs > 1 else ""
  command = (
    f"python benchmarks/anakin.py learning {options.agent} {options.environment} --steps {options.steps} "
    f"--seeds {options.seeds} --bar {options.bar:g} --episodes {options.episodes}{envs}{preset}"
  )
  curve = ", ".join(
    f"{steps:,}: {statistics.median(row):.0f}" for steps, row in zip(result.steps, returns, strict=True)
  )
  name = "-".join(filter(None, [options.agent, options.preset, options.environment.replace(":", "_")]))
  diverged = [seed for seed, steps in enumerate(result.reports[-1]["diverged"]) if steps >= 0]
  write(
    f"anakin/{name}.md",
    [
      f"`{command}`: greedy returns after {options.steps:,} steps, mean of {options.episodes} episodes each.",
      "",
      f"- IQM {iqm:.1f} (95 % bootstrap interval {low:.1f} to {high:.1f}); {sum(returns[-1] >= options.bar)} of "
      f"{options.seeds} seeds at {options.bar:g} or more; {minutes:.1f} minutes for all together, with compilation.",
      f"- every seed: {', '.join(f'{value:.1f}' for value in returns[-1])}",
      f"- median over seeds by steps: {curve}",
      f"- seeds whose loss was not finite: {diverged or 'none'}",
    ],
  )


def write(name: str, lines: list[str]) -> None:
  text = "\n".join(lines) + "\n"
  (HERE / "results" / name).write_text(text)
  print(text)


if __name__ == "__main__":
  main()
