"""Our DQN on CartPole: environment steps a second, learning as it goes."""

import argparse
import dataclasses
import time

import common
import gymnasium
import jax
import ours

import acme
from acme import loggers
from acme_dqn import DQN, DQNConfig

DEFAULT = dataclasses.replace(DQNConfig(), min_replay_size=256, max_replay_size=100_000, epsilon_initial=0.05)
CONFIGS = {
  "plain": lambda every: ours.plain_config(samples_per_insert=64 / every),
  "prioritized": lambda every: ours.plain_config(
    samples_per_insert=64 / every, prioritized=True, n_step=5, double_q=True
  ),
  "default": lambda every: DEFAULT,
  "default-uniform": lambda every: dataclasses.replace(DEFAULT, prioritized=False, n_step=1),
}

parser = argparse.ArgumentParser()
parser.add_argument("--config", choices=list(CONFIGS), default="plain")
parser.add_argument("--every", type=int, default=1, help="environment steps for each SGD step, where not by default")
parser.add_argument("--warmup", type=int, default=500)
parser.add_argument("--steps", type=int, default=3000)
options = parser.parse_args()
common.compute_at_once()

environment = acme.wrappers.GymWrapper(gymnasium.make("CartPole-v1"))
config = CONFIGS[options.config](options.every)
agent = DQN(acme.make_environment_spec(environment), config=config, seed=0)
loop = acme.EnvironmentLoop(environment, agent, logger=loggers.NullLogger())
loop.run(num_steps=options.warmup)
jax.block_until_ready(agent.get_variables(["policy"]))
start = time.perf_counter()
loop.run(num_steps=options.steps)
jax.block_until_ready(agent.get_variables(["policy"]))
common.report(steps_per_second=options.steps / (time.perf_counter() - start))
