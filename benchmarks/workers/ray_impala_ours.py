"""Our IMPALA on Ray on CartPole, 64-64, batches of 10 sequences of 50 transitions: transitions learned a second."""

import argparse
import contextlib
import time

import common

import acme_ray
from acme_impala import IMPALAConfig

LENGTH, BATCH = 50, 10

parser = argparse.ArgumentParser()
parser.add_argument("--actors", type=int, default=2)
parser.add_argument("--envs", type=int, default=5)
parser.add_argument("--warmup", type=float, default=5.0, help="seconds")
parser.add_argument("--seconds", type=float, default=20.0)
options = parser.parse_args()


class Watch(acme_ray.Watcher):
  """Notes what has been learned by when, from the first SGD steps on."""

  def __init__(self):
    self.seen = []

  def progress(self, status):
    counts = status["learner_steps"], status["steps"]
    if counts[0] > 3 and (not self.seen or self.seen[-1][1:] != counts):
      self.seen.append((time.perf_counter(), *counts))

  def since_warm(self):
    return [seen for seen in self.seen if seen[0] > self.seen[0][0] + options.warmup]

  def over(self):
    return bool(self.seen) and time.perf_counter() - self.seen[0][0] > options.warmup + options.seconds


watch = Watch()
# A message for each 50 steps of all environments of an actor, as RLlib's.
config = IMPALAConfig(hidden_sizes=(), head_hidden_sizes=(64, 64), sequence_length=LENGTH + 1, batch_size=BATCH)
with contextlib.suppress(acme_ray.Stopped):
  acme_ray.run(
    "impala", "gym:CartPole-v1", steps=10**9, config=config, num_actors=options.actors, num_envs=options.envs,
    block_steps=LENGTH * options.envs, watcher=watch, stop=watch.over, final_episodes=0,
  )  # fmt: skip
warm = watch.since_warm()
(start, first, before), (end, last, after) = warm[0], warm[-1]
common.report(
  transitions_per_second=(last - first) * LENGTH * BATCH / (end - start),
  steps_per_second=(after - before) / (end - start),
)
