"""Stable-Baselines3's ReplayBuffer."""

import argparse

import common
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.buffers import ReplayBuffer

BATCH = 256

parser = argparse.ArgumentParser()
parser.add_argument("--kind", choices=["vector", "image"], default="vector")
parser.add_argument("--size", type=int, default=100_000)
options = parser.parse_args()

observations = common.transitions(options.kind, min(options.size, 2_000))
count = len(observations) - 1
low, high = (-np.inf, np.inf) if options.kind == "vector" else (0, 255)
space = spaces.Box(low, high, observations.shape[1:], observations.dtype)
buffer = ReplayBuffer(options.size, space, spaces.Discrete(4), device="cpu")
action, reward, done = np.ones((1, 1), np.int64), np.ones(1, np.float32), np.zeros(1, bool)


def insert():
  """As many transitions as there are observations."""
  for t in range(count):
    buffer.add(observations[t][None], observations[t + 1][None], action, reward, done, [{}])


inserts = common.rate(insert, count)
while not buffer.full:
  insert()
arrays = (buffer.observations, buffer.next_observations, buffer.actions, buffer.rewards, buffer.dones, buffer.timeouts)
common.report(
  inserts_per_second=inserts,
  samples_per_second=common.rate(lambda: buffer.sample(BATCH), BATCH),
  bytes_per_transition=sum(array.nbytes for array in arrays) / options.size,
)
