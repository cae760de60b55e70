"""RLlib's EnvRunners alone, DQN's ε-greedy policy of 64-64 on CartPole: environment steps a second of all.

Nobody stores or learns. Each has two samples to make at once, which come to this process and are dropped.
"""

import argparse
import time

import common
import rllib

parser = argparse.ArgumentParser()
parser.add_argument("--actors", type=int, default=2)
parser.add_argument("--envs", type=int, default=1)
parser.add_argument("--block", type=int, default=64, help="environment steps of a sample")
parser.add_argument("--seconds", type=float, default=5.0)
options = parser.parse_args()

with rllib.on_ray(options.actors + 1) as ray:
  from ray.rllib.algorithms.dqn import DQNConfig

  config = (
    DQNConfig()
    .environment("CartPole-v1")
    .env_runners(num_env_runners=options.actors, num_envs_per_env_runner=options.envs)
    .training(double_q=False, dueling=False, num_atoms=1, noisy=False, epsilon=0.05)
    .rl_module(model_config=rllib.network())
  )
  algorithm = config.build_algo()
  # Asked as ours are: RLlib's own way to ask waits for all of them, or asks again and again.
  runners = algorithm.env_runner_group._worker_manager.actors()
  waiting = {}

  def ask(index):
    waiting[runners[index].sample.remote(num_timesteps=options.block)] = index

  def steps(seconds=0.0, at_least=0):
    """Steps a second, over so many seconds and until there are enough of each runner."""
    counts, start = dict.fromkeys(runners, 0), time.perf_counter()
    while time.perf_counter() - start < seconds or min(counts.values()) < at_least:
      for ready in ray.wait(list(waiting), timeout=0.1)[0]:
        index = waiting.pop(ready)
        counts[index] += sum(len(episode) for episode in ray.get(ready))
        ask(index)
    return sum(counts.values()) / (time.perf_counter() - start)

  for index in [*runners] * 2:
    ask(index)
  steps(at_least=1_000)
  rate = steps(options.seconds)
  algorithm.stop()
common.report(steps_per_second=rate)
