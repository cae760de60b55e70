"""Our R2D2 learner, fed by the embedded replay, LSTM 256, 32 sequences of 80 steps: sequences a second."""

import argparse

import common
import dm_env
import jax
import numpy as np

from acme import builders, specs
from acme_r2d2 import AGENT, R2D2Config
from acme_replay import EmbeddedReplay

ACTIONS, BATCH, STEPS = 4, 32, 80

argparse.ArgumentParser().parse_args()

spec = specs.EnvironmentSpec(
  observations=specs.Array((8,), np.float32),
  actions=specs.DiscreteArray(ACTIONS, np.int32),
  rewards=specs.Array((), np.float32),
  discounts=specs.BoundedArray((), np.float32, 0, 1),
)
config = R2D2Config(
  hidden_sizes=(64,),
  core_size=256,
  head_hidden_sizes=(),
  dueling=False,
  burn_in_length=0,
  trace_length=STEPS,
  sequence_period=STEPS // 2,
  batch_size=BATCH,
  max_replay_size=200,
  min_replay_size=1,
  samples_per_insert=1e9,
)
builder = AGENT.builder(config)
program = builder.make_program(spec)
replay = EmbeddedReplay(builder.make_experience(spec, program), builder.step_spec(spec, program))
adder = replay.adder()
random = np.random.default_rng(0)
observations = common.transitions("vector", 100 * STEPS // 2)
core = jax.tree.map(np.asarray, program.behaviour.initial(None, 1))  # [1, H]
adder.add_first(dm_env.restart(observations[0]))
for observation in observations[1:]:
  reward = np.float32(random.normal())
  adder.add(np.int32(random.integers(ACTIONS)), dm_env.transition(reward, observation, np.float32(1.0)), core=core)
learner = builder.make_learner(spec, program, builders.LearnerInputs(dataset=replay.dataset(), replay=replay))


def run():
  """5 SGD steps."""
  for _ in range(5):
    learner.step()
  jax.block_until_ready(learner.get_variables(["policy"]))


common.report(sequences_per_second=common.rate(run, 5 * BATCH, 4.0))
