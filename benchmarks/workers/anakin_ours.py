"""DQN in the jitted loop: steps/s of all seeds together. CartPole, 64-64, batch 64, uniform 1-step."""

import argparse
import time

import common
import ours

import acme_dqn
from acme_anakin import environments
from acme_anakin.loop import Loop

parser = argparse.ArgumentParser()
parser.add_argument("--seeds", type=int, default=1)
parser.add_argument("--envs", type=int, default=1)
parser.add_argument("--every", type=int, default=1)
parser.add_argument("--steps", type=int, default=20_000)
options = parser.parse_args()

config = ours.plain_config(samples_per_insert=64 / options.every)
loop = Loop(
  acme_dqn.AGENT.builder(config),
  environments.make("CartPole-v1"),
  steps=options.steps + 1000,
  num_envs=options.envs,
  seeds=range(options.seeds),
)
loop.run(1000)
start = time.perf_counter()
taken = loop.run(options.steps)["steps"].sum() - 1000 * options.seeds
common.report(steps_per_second=float(taken) / (time.perf_counter() - start))
