"""Our DQN learner, fed by the embedded replay, MLP 256-256, batch 256: SGD steps a second."""

import argparse

import common
import dm_env
import jax
import numpy as np
import ours

from acme import builders, specs
from acme_dqn import AGENT
from acme_replay import EmbeddedReplay

SIZE, ACTIONS = 20_000, 4

parser = argparse.ArgumentParser()
parser.add_argument("--prioritized", action="store_true")
options = parser.parse_args()

spec = specs.EnvironmentSpec(
  observations=specs.Array((8,), np.float32),
  actions=specs.DiscreteArray(ACTIONS, np.int32),
  rewards=specs.Array((), np.float32),
  discounts=specs.BoundedArray((), np.float32, 0, 1),
)
config = ours.plain_config(
  prioritized=options.prioritized,
  double_q=True,
  max_gradient_norm=None,
  hidden_sizes=(256, 256),
  batch_size=256,
  max_replay_size=SIZE,
  samples_per_insert=1e9,
)
builder = AGENT.builder(config)
program = builder.make_program(spec)
replay = EmbeddedReplay(builder.make_experience(spec, program), builder.step_spec(spec, program))
adder = replay.adder()
random = np.random.default_rng(0)
observations = common.transitions("vector", SIZE)
adder.add_first(dm_env.restart(observations[0]))
for observation in observations[1:]:
  reward = np.float32(random.normal())
  adder.add(np.int32(random.integers(ACTIONS)), dm_env.transition(reward, observation, np.float32(1.0)))
inputs = builders.LearnerInputs(dataset=replay.dataset(), replay=replay if options.prioritized else None)
learner = builder.make_learner(spec, program, inputs)


def run():
  """50 SGD steps."""
  for _ in range(50):
    learner.step()
  jax.block_until_ready(learner.get_variables(["policy"]))


common.report(steps_per_second=common.rate(run, 50, 2.0))
