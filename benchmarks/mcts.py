"""MCTS's simulations per second, against a bare loop of the environment's own steps, which no simulator can pass.

  python benchmarks/mcts.py [--environment bsuite:catch/0] [--backends jax tf] [--seconds 2] [--repeats 5]

All sides take turns in one process; what is printed are medians over the repeats.
"""

import argparse
import copy
import statistics
import time
from collections.abc import Callable

import acme
import acme_envs
import acme_mcts


def rate(run: Callable[[], int], seconds: float) -> float:
  """How often a second what `run` counts happens, `run` being called for so many seconds."""
  done, start = 0, time.perf_counter()
  while (elapsed := time.perf_counter() - start) < seconds:
    done += run()
  return done / elapsed


def steps(name: str, copies: bool) -> Callable[[], int]:
  """A run of 100 environment steps, resets among them; with `copies` each step on a new deep copy."""
  environment = acme_envs.make(name, seed=0)
  environment.reset()

  def run() -> int:
    other = environment
    for _ in range(100):
      other = copy.deepcopy(other) if copies else other
      other.step(0)
    return 100

  return run


def searches(
  name: str, backend: str, simulator: bool, evaluation_batch: int, rollout_weight: float = 0.0
) -> Callable[[], int]:
  """A run of one search from the start of an episode."""
  environment = acme_envs.make(name, seed=0)
  config = acme_mcts.MCTSConfig(evaluation_batch=evaluation_batch)
  agent = acme_mcts.MCTS(
    acme.make_environment_spec(environment),
    config=config,
    backend=backend,
    simulator=acme_mcts.Simulator(environment, rollout_weight=rollout_weight) if simulator else None,
  )
  observation = environment.reset().observation
  agent.select_action(observation)  # Compiles.

  def run() -> int:
    agent.select_action(observation)
    return config.num_simulations

  return run


def main() -> None:
  """Prints the table."""
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--environment", default="bsuite:catch/0")
  parser.add_argument("--backends", nargs="+", choices=list(acme_mcts.AGENT.backends), default=["jax"])
  parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
  parser.add_argument("--repeats", type=int, default=5)
  options = parser.parse_args()
  name = options.environment
  sides = {
    "environment steps, bare loop (the limit)": steps(name, copies=False),
    "environment steps, each on a deep copy": steps(name, copies=True),
  }
  for backend in options.backends:
    sides |= {
      f"{backend}: simulator, evaluation batch 8": searches(name, backend, True, 8),
      f"{backend}: simulator, evaluation batch 1": searches(name, backend, True, 1),
      f"{backend}: simulator, evaluation batch 8, rollouts": searches(name, backend, True, 8, rollout_weight=0.5),
      f"{backend}: learned model, evaluation batch 8": searches(name, backend, False, 8),
      f"{backend}: learned model, evaluation batch 1": searches(name, backend, False, 1),
    }
  rates: dict[str, list[float]] = {side: [] for side in sides}
  for _ in range(options.repeats):
    for side, run in sides.items():
      rates[side].append(rate(run, options.seconds))
  limit = statistics.median(rates["environment steps, bare loop (the limit)"])
  print(f"{name}: median of {options.repeats} interleaved repeats of {options.seconds:g} s\n")
  print("| what | per second | share of the limit |\n| --- | ---: | ---: |")
  for side, found in rates.items():
    median = statistics.median(found)
    print(f"| {side} | {median:,.0f} | {median / limit:.1%} |")


if __name__ == "__main__":
  main()
