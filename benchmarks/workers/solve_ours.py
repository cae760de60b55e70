"""Our DQN, its default config, on CartPole: a line for each evaluation."""

import argparse
import json
import time

import gymnasium
import jax
import numpy as np

import acme
from acme import loggers
from acme_dqn import DQN

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--steps", type=int, default=50_000)
options = parser.parse_args()
jax.config.update("jax_cpu_enable_async_dispatch", False)  # As `acme run` does.

environment = acme.wrappers.GymWrapper(gymnasium.make("CartPole-v1"))
evaluation_environment = acme.wrappers.GymWrapper(gymnasium.make("CartPole-v1"))
agent = DQN(acme.make_environment_spec(environment), seed=options.seed)
evaluator = agent.make_evaluator()
loop = acme.EnvironmentLoop(environment, agent, logger=loggers.NullLogger(), seed=options.seed)
for step in range(2_500, options.steps + 1, 2_500):
  loop.run(num_steps=2_500)
  evaluator.update(wait=True)
  results = acme.evaluate(evaluation_environment, evaluator, 10, seed=1_000 + options.seed)
  mean = float(np.mean([result["episode_return"] for result in results]))
  print(json.dumps({"step": step, "return": mean, "time": time.time()}), flush=True)
