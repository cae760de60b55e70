"""Our IMPALA on CartPole, 16 environments, 64-64, 80 transitions an SGD step: environment steps a second."""

import argparse
import time

import common
import gymnasium

import acme
import acme_envs
from acme import loggers
from acme_impala import IMPALA, IMPALAConfig

ENVS = 16

parser = argparse.ArgumentParser()
parser.add_argument("--warmup", type=int, default=3200)
parser.add_argument("--steps", type=int, default=32_000)
options = parser.parse_args()
common.compute_at_once()

# Sequences of 5 transitions and the step to bootstrap from, each learned from once.
config = IMPALAConfig(hidden_sizes=(), head_hidden_sizes=(64, 64), sequence_length=6, batch_size=ENVS)
environments = acme_envs.wrappers.GymVectorWrapper(
  gymnasium.make_vec("CartPole-v1", num_envs=ENVS, vectorization_mode="vector_entry_point")
)
agent = IMPALA(acme.make_environment_spec(environments), config=config, seed=0, num_envs=ENVS)
loop = acme.VectorEnvironmentLoop(environments, agent, logger=loggers.NullLogger())
loop.run(num_steps=options.warmup)
agent.get_variables(["policy"])
start = time.perf_counter()
loop.run(num_steps=options.steps)
agent.learner.save()  # Waits for what is under way.
common.report(steps_per_second=options.steps / (time.perf_counter() - start))
