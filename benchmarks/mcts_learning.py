"""MCTS over several seeds, with the simulator or with a learned model: a table of greedy evaluations.

  python benchmarks/mcts_learning.py bsuite:catch/0 --model simulator --steps 0 --episodes 100 --bar 0.95
  python benchmarks/mcts_learning.py bsuite:deep_sea/0 --model simulator --steps 8000 --bar 0.95 \
    --config min_return=0.0 max_return=1.0 --rollout-weight 0
  python benchmarks/mcts_learning.py bsuite:catch/0 --model learned --steps 20000 --bar 0.9

`acme run mcts [--simulator]` does the same but for the weight of rollouts; each seed is a process of its own.
"""

import argparse
import concurrent.futures
import json
import pathlib
import re
import shlex
import statistics
import subprocess
import sys
import time

from seeds import seeds


def parse() -> argparse.Namespace:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("environment")
  parser.add_argument("--model", choices=["simulator", "learned"], required=True)
  parser.add_argument("--steps", type=int, required=True, help="environment steps of training; 0 for none")
  parser.add_argument("--seeds", type=seeds, default="0-4", help="such as 0-4")
  parser.add_argument("--episodes", type=int, default=20, help="of the evaluation")
  parser.add_argument("--bar", type=float, required=True, help="the return that counts as solved")
  parser.add_argument("--backend", choices=["jax", "tf"], default="jax")
  parser.add_argument("--config", nargs="*", default=[], metavar="FIELD=VALUE", help="fields of MCTSConfig, in JSON")
  parser.add_argument("--rollout-weight", type=float, default=0.5, help="of the simulator's random rollouts")
  parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
  parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("benchmarks/results/learning"))
  parser.add_argument("--one", type=int, help=argparse.SUPPRESS)  # A seed to run in this process.
  return parser.parse_args()


def run(options: argparse.Namespace, seed: int) -> list[float]:
  """Trains one seed, and returns the returns of its evaluation."""
  import acme
  import acme_envs
  import acme_mcts

  def simulator(environment):
    if options.model == "learned":
      return {}
    return {"simulator": acme_mcts.Simulator(environment, rollout_weight=options.rollout_weight)}

  config = acme_mcts.MCTSConfig(**{k: json.loads(v) for k, v in (pair.split("=") for pair in options.config)})
  environment = acme_envs.make(options.environment, seed=seed)
  spec = acme.make_environment_spec(environment)
  agent = acme_mcts.MCTS(spec, config=config, backend=options.backend, seed=seed, **simulator(environment))
  logger = acme.loggers.NullLogger()
  acme.EnvironmentLoop(environment, agent, logger=logger, seed=seed).run(num_steps=options.steps)
  another = acme_envs.make(options.environment, seed=10_000 + seed)
  evaluator = agent.make_evaluator(**simulator(another))
  results = acme.evaluate(another, evaluator, options.episodes, seed=10_000 + seed)
  return [float(result["episode_return"]) for result in results]


def report(options: argparse.Namespace, found: dict[int, tuple[list[float], float]]) -> str:
  """The table: each seed, then the median and how many reached the bar."""
  means = {seed: statistics.fmean(returns) for seed, (returns, _) in found.items()}
  lines = [
    f"## mcts on {options.environment}, {options.model}, {options.steps:,} steps",
    "",
    f"`python benchmarks/mcts_learning.py {shlex.join(sys.argv[1:])}`",
    "",
    f"| seed | greedy return, mean of {options.episodes} episodes | wall seconds |",
    "| --- | --- | --- |",
    *(f"| {seed} | {means[seed]:.4g} | {seconds:.0f} |" for seed, (_, seconds) in found.items()),
    "",
    f"Median {statistics.median(means.values()):.4g}, least {min(means.values()):.4g}; "
    f"{sum(mean >= options.bar for mean in means.values())} of {len(means)} reach {options.bar:g}.",
    "",
  ]
  return "\n".join(lines)


def main() -> None:
  options = parse()
  if options.one is not None:
    print(json.dumps(run(options, options.one)))
    return

  def one(seed: int) -> tuple[list[float], float]:
    start = time.monotonic()
    command = [sys.executable, __file__, *sys.argv[1:], "--one", str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
      raise RuntimeError(f"seed {seed}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1]), time.monotonic() - start

  with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
    text = report(options, dict(zip(options.seeds, pool.map(one, options.seeds), strict=True)))
  print(text)
  options.out.mkdir(parents=True, exist_ok=True)
  name = re.sub(r"[^\w.=-]+", "_", f"mcts-{options.environment}-{options.model}")
  (options.out / f"{name}.md").write_text(text)


if __name__ == "__main__":
  main()
