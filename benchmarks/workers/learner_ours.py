"""Our DQN learner, fed by the embedded replay, MLP 256-256, batch 256: SGD steps a second."""

import argparse

import common
import dm_env
import jax
import numpy as np
import ours

from acme import builders, specs
from acme_dqn import DQNBuilder
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
builder = DQNBuilder(config)
networks = builder.make_networks(spec)
store = EmbeddedReplay(builder.make_tables(spec, networks), builders.step_spec(spec, ()), 0)
adder = builder.make_adder(spec, networks, store.writer())
random = np.random.default_rng(0)
observations = common.transitions("vector", SIZE)
adder.add_first(dm_env.restart(observations[0]))
for observation in observations[1:]:
  reward = np.float32(random.normal())
  adder.add(np.int32(random.integers(ACTIONS)), dm_env.transition(reward, observation, np.float32(1.0)))
learner = builder.make_learner(spec, networks, builder.make_dataset(store), seed=0, store=store)


def run():
  """50 SGD steps."""
  learner.run(50)
  jax.block_until_ready(learner.get_variables(["policy"]))


common.report(steps_per_second=common.rate(run, 50, 2.0))
