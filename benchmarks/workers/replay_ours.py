"""Our embedded replay: through the n-step adder, in blocks as from the vector loop, uniform and prioritised."""

import argparse

import common
import dm_env
import numpy as np

from acme import builders, replay, specs
from acme_replay import EmbeddedStore, NStepTransitionAdder, size_in_bytes

BATCH = 256

parser = argparse.ArgumentParser()
parser.add_argument("--kind", choices=["vector", "image"], default="vector")
parser.add_argument("--size", type=int, default=100_000)
parser.add_argument("--steps", type=int, default=5, help="n of the n-step adder")
parser.add_argument("--block", type=int, default=256, help="environments in the vector form")
options = parser.parse_args()

observations = common.transitions(options.kind, min(options.size, 2_000))
count = len(observations) - 1
spec = specs.EnvironmentSpec(
  observations=specs.Array(observations.shape[1:], observations.dtype),
  actions=specs.DiscreteArray(4, np.int32),
  rewards=specs.Array((), np.float32),
  discounts=specs.BoundedArray((), np.float32, 0, 1),
)
frame_stack = 4 if options.kind == "image" else None
random = np.random.default_rng(0)


def make(sampler, num_envs=None):
  """A store with one table, and an n-step adder over one stream or `num_envs`."""
  table = replay.Table(name="replay", max_size=options.size, sampler=sampler)
  store = EmbeddedStore([table], builders.step_spec(spec, ()), 0, frame_stack=frame_stack)
  return store, NStepTransitionAdder(store.writer(num_envs), options.steps, 0.99, table="replay")


def fill(adder):
  """One episode, a transition a step."""
  adder.add_first(dm_env.restart(observations[0]))
  for t in range(count):
    adder.add(action, dm_env.TimeStep(dm_env.StepType.MID, one, one, observations[t + 1]))


def fill_blocks(adder, blocks, ticks=50):
  """Ticks of the vector loop."""
  for t in range(ticks):
    adder.add(actions, dm_env.TimeStep(middle, ones, ones, blocks[t % len(blocks)]))


action, one = np.int32(1), np.float32(1)
n = options.block
middle = np.full(n, int(dm_env.StepType.MID), np.int32)
actions, ones = np.ones(n, np.int32), np.ones(n, np.float32)

# One stream.
store, adder = make(replay.Uniform())
inserts = common.rate(lambda: fill(adder), count)
while store.info()["replay"].size < options.size:
  fill(adder)
dataset = store.dataset("replay", BATCH)
uniform = common.rate(lambda: next(dataset), BATCH)
# Of a table of 100,000, whatever is measured here: a small one has relatively more rows to spare.
full = replay.Table(name="replay", max_size=100_000)
bytes_per_transition = size_in_bytes([full], builders.step_spec(spec, ()), frame_stack=frame_stack) / full.max_size
del store, adder, dataset

# The vector form.
blocks_per_second = None
if options.kind == "vector":
  store, adder = make(replay.Uniform(), n)
  blocks = [random.normal(size=(n, 8)).astype(np.float32) for _ in range(8)]
  first = dm_env.TimeStep(np.zeros(n, np.int32), np.zeros(n, np.float32), ones, blocks[0])
  adder.add_first(first)
  blocks_per_second = common.rate(lambda: fill_blocks(adder, blocks), 50 * n)
  del store, adder

# Prioritised, each batch's priorities set anew.
store, adder = make(replay.Prioritized(0.6))
while store.info()["replay"].size < options.size:
  fill(adder)
dataset = store.dataset("replay", BATCH)


def sample_and_update():
  """A batch, and its new priorities."""
  store.update_priorities("replay", next(dataset).keys, priorities)


priorities = random.random(BATCH) + 0.1
prioritized = common.rate(sample_and_update, BATCH)
common.report(
  inserts_per_second=inserts,
  block_inserts_per_second=blocks_per_second,
  samples_per_second=uniform,
  prioritized_samples_per_second=prioritized,
  bytes_per_transition=bytes_per_transition,
)
