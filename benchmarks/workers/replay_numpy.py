"""The limit: a bare NumPy ring of transitions, each with both observations."""

import argparse

import common
import numpy as np

BATCH = 256

parser = argparse.ArgumentParser()
parser.add_argument("--kind", choices=["vector", "image"], default="vector")
parser.add_argument("--size", type=int, default=100_000)
options = parser.parse_args()

observations = common.transitions(options.kind, min(options.size, 2_000))
count = len(observations) - 1
random = np.random.default_rng(0)
ring = [
  np.zeros((options.size, *observations.shape[1:]), observations.dtype),
  np.zeros(options.size, np.int32),
  np.zeros(options.size, np.float32),
  np.zeros(options.size, np.float32),
  np.zeros((options.size, *observations.shape[1:]), observations.dtype),
]
inserted = 0


def insert():
  """As many transitions as there are observations."""
  global inserted
  for t in range(count):
    i = inserted % options.size
    ring[0][i] = observations[t]
    ring[1][i] = 1
    ring[2][i] = 1.0
    ring[3][i] = 1.0
    ring[4][i] = observations[t + 1]
    inserted += 1


def sample():
  """One batch."""
  rows = random.integers(min(inserted, options.size), size=BATCH)
  return [array[rows] for array in ring]


inserts = common.rate(insert, count)
while inserted < options.size:
  insert()
common.report(
  inserts_per_second=inserts,
  samples_per_second=common.rate(sample, BATCH),
  bytes_per_transition=sum(array.nbytes for array in ring) / options.size,
)
