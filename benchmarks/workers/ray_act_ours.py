"""Actors of a run on Ray alone, DQN's ε-greedy policy of 64-64 on CartPole: environment steps a second of all.

Nobody stores or learns. Each has two blocks to make at once, which come to this process and are dropped.
"""

import argparse
import collections
import time

import common
import ours

import acme
import acme_envs
import acme_ray
from acme_ray import actors, learners, nodes, supervision

parser = argparse.ArgumentParser()
parser.add_argument("--actors", type=int, default=2)
parser.add_argument("--envs", type=int, default=1)
parser.add_argument("--block", type=int, default=64, help="environment steps of a block")
parser.add_argument("--seconds", type=float, default=5.0)
options = parser.parse_args()

with acme_envs.make("gym:CartPole-v1") as environment:
  spec = acme.make_environment_spec(environment)
recipe = nodes.Recipe(
  agent="dqn", config=ours.plain_config(), environment="gym:CartPole-v1", spec=spec,
  num_actors=options.actors, num_envs=options.envs, block_steps=options.block,
)  # fmt: skip
params, _ = learners.Learner(recipe).start()
steps = collections.Counter()


def no_more(handle, why):
  raise RuntimeError(f"The {handle.name} died: {why}")


with acme_ray.cluster(num_cpus=options.actors):
  import ray

  version = nodes.Version(0, [ray.put(params)])
  supervisor = supervision.Supervisor(120.0, no_more)
  everyone = [supervision.ActorHandle(actors.Actor, recipe, i, {"num_cpus": 1}) for i in range(options.actors)]

  def ask(actor):
    turn = actors.Turn(options.block, version, 0, sum(steps.values()))
    supervisor.call(actor, "act", turn, then=lambda block, acted: came(actor, block, acted), outputs=2)

  def came(actor, block, acted):
    ray.get(block)
    steps[actor.index] += acted.steps
    ask(actor)

  for actor in everyone:
    actor.begin()
    supervisor.call(actor, "start", version, then=lambda _: None)
    ask(actor)
    ask(actor)
  while len(steps) < options.actors or min(steps.values()) < 1_000:  # Compiled, and warm.
    supervisor.poll(0.1)
  before, start = sum(steps.values()), time.perf_counter()
  while time.perf_counter() - start < options.seconds:
    supervisor.poll(0.1)
  rate = (sum(steps.values()) - before) / (time.perf_counter() - start)
  for actor in everyone:
    actor.end()
common.report(steps_per_second=rate)
