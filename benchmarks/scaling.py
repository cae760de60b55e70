"""What limits each node of a run on Ray, and how fast runs of other numbers of actors would be: docs/scaling.md.

  python benchmarks/scaling.py dqn gym:CartPole-v1 --actors 1 2 4 --cores 2  # beside benchmarks/distributed.py
  python benchmarks/scaling.py dqn gym:CartPole-v1 --actors 10 100 1000 --shards 4 --per-insert 1

Costs are measured here, in the time of processors, so that what else a machine does matters little. The simulation is a
closed network of queues: each node does one job at a time, and blocks and batches go round as `acme_ray` sends them.
"""

import argparse
import collections
import dataclasses
import functools
import heapq
import itertools
import pickle
import time

import numpy as np
from distributed import call_seconds

import acme
import acme_envs
from acme import experience
from acme_ray import actors as acting
from acme_ray import learners, nodes, shards

GROUP = 8  # Batches in a group, as acme_ray has them.
TIMES = ("act", "insert", "sample", "prioritize", "learn", "ask", "answer")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Costs:
  """What nodes take, in seconds and bytes."""

  act: float  # of an actor, a step
  insert: float  # of a shard, a step
  sample: float  # of a shard, a batch
  prioritize: float  # of a shard, a batch
  learn: float  # of the learner, a batch
  ask: float  # of the conductor, a call
  answer: float  # of a node and of Ray's processes on its machine, a call
  step_bytes: float
  batch_bytes: float
  params_bytes: float
  batches_per_step: float
  block: int  # steps


def measure(agent: str, env: str, per_insert: float | None, block: int, times: int = 30) -> Costs:
  """The costs of nodes, each on its own in this process, but for those of calls."""
  environment = acme_envs.make(env, seed=0)
  recipe = nodes.Recipe(agent=agent, environment=env, spec=acme.make_environment_spec(environment))
  ask, answer = call_seconds(recipe)
  acting.ray = collections.namedtuple("Here", "get")(lambda value: value)  # Nothing is far away.
  learner, shard, actor = learners.Learner(recipe), shards.Shard(recipe), acting.Actor(recipe)
  params, _ = learner.start()
  described = shard.start()[0]
  version = nodes.Version(0, [params])
  actor.start(version)
  act, blocks = timed(lambda i: actor.act(acting.Turn(block, version, 0, i * block))[0], times)
  insert, inserted = timed(lambda i: shard.insert(blocks[i]), times)
  sample, samples = timed(lambda _: shard.sample(GROUP, 1.0)[0], times)
  learn, learned = timed(lambda i: learner.learn(samples[i], True)[1], times)
  prioritize, _ = timed(lambda i: shard.update_priorities(learned[i].priorities), times)
  per_insert = per_insert or (1 if isinstance(described, experience.Queue) else described.samples_per_insert)
  if per_insert is None:
    raise ValueError(f"{agent} has no ratio to keep: actors and learner go as fast as each can. Give --per-insert.")
  items = sum(each.items for each in inserted) / (times * block)
  return Costs(
    act=act / block, insert=insert / block, sample=sample / GROUP, prioritize=prioritize / GROUP, learn=learn / GROUP,
    ask=ask, answer=answer, step_bytes=len(pickle.dumps(blocks[-1])) / block,
    batch_bytes=len(pickle.dumps(samples[-1])) / GROUP, params_bytes=len(pickle.dumps(params)),
    batches_per_step=items * per_insert / described.batch_size, block=block,
  )  # fmt: skip


def timed(function, times: int):
  """The median of a call, in processors' seconds, and what all calls gave."""
  seconds, results = [], []
  for i in range(times):
    start = time.process_time()
    results.append(function(i))
    seconds.append(time.process_time() - start)
  return float(np.median(seconds)), results


class Simulation:
  """A run on Ray as queues, of whose jobs as many are done at once as there are cores; 0 for enough of them."""

  def __init__(self, costs: Costs, actors: int, shards: int, cores: int) -> None:
    self.costs, self.cores, self.num_shards = costs, cores, shards
    self.now, self.events, self.order = 0.0, [], itertools.count()
    names = ["conductor", "learner", *(f"shard {i}" for i in range(shards)), *(f"actor {i}" for i in range(actors))]
    self.queues = {name: collections.deque() for name in names}
    self.busy, self.running = dict.fromkeys(names, 0.0), set()
    self.free = collections.deque([*range(actors)] * 2)  # Actors, as often as they may be asked for a block.
    self.shards = itertools.cycle(range(shards))
    self.steps, self.due, self.unlearned, self.groups = 0, 0.0, 0, 0
    self.version, self.fetched, self.has = 0, 0, [0] * actors
    self.most_due = max(1.0, 2 * actors * costs.block * costs.batches_per_step)

  def run(self) -> tuple[float, dict[str, float], float]:
    """Steps a second, how busy each kind of node is, the busiest of each, and parameters fetched a second.

    The first half is left out, in which actors go ahead until they have to wait.
    """
    self.act()
    early, seconds = 0, 60 + 4 * self.most_due * self.costs.learn
    while self.events and self.now < seconds:
      early = self.steps if self.now < seconds / 2 else early
      self.now, _, name, then = heapq.heappop(self.events)
      self.running.remove(name)
      then()
      self.begin([name] if not self.cores else list(self.queues))
    kinds = collections.defaultdict(float)
    for name, busy in self.busy.items():
      kinds[name.split()[0]] = max(kinds[name.split()[0]], min(1.0, busy / self.now))
    return (self.steps - early) / (self.now / 2), dict(kinds), self.fetched / self.now

  def ask(self, name: str, seconds: float, then) -> None:
    """Puts a job into a node's queue; when it is done, the conductor hears of it, and goes on."""
    self.put(name, seconds + self.costs.answer, lambda: self.put("conductor", self.costs.ask, then))

  def put(self, name: str, seconds: float, then) -> None:
    self.queues[name].append((seconds, then))
    self.begin([name] if not self.cores else list(self.queues))

  def begin(self, names: list[str]) -> None:
    """Begins jobs of nodes that have none, the conductor's first."""
    for name in names:
      if self.queues[name] and name not in self.running and not 0 < self.cores <= len(self.running):
        seconds, then = self.queues[name].popleft()
        self.running.add(name)
        self.busy[name] += seconds
        heapq.heappush(self.events, (self.now + seconds, next(self.order), name, then))

  def act(self) -> None:
    """Asks for blocks, as `acme_ray.acting` does."""
    while self.free and self.due + self.unlearned <= self.most_due:
      i = self.free.popleft()
      self.fetched, self.has[i] = self.fetched + (self.has[i] < self.version), self.version
      self.ask(f"actor {i}", self.costs.block * self.costs.act, lambda i=i: self.acted(i))

  def acted(self, i: int) -> None:
    self.steps += self.costs.block
    self.ask(f"shard {i % self.num_shards}", self.costs.block * self.costs.insert, lambda: self.inserted(i))

  def inserted(self, i: int) -> None:
    self.free.append(i)
    self.due += self.costs.block * self.costs.batches_per_step
    self.learn()
    self.act()

  def learn(self) -> None:
    """Asks for batches, two groups at once, as `acme_ray.learning` does."""
    while self.groups < 2 and self.due >= 1:
      count, shard = min(GROUP, int(self.due)), f"shard {next(self.shards)}"
      self.due, self.unlearned, self.groups = self.due - count, self.unlearned + count, self.groups + 1
      learned = functools.partial(self.learned, count, shard)
      learn = functools.partial(self.ask, "learner", count * self.costs.learn, learned)
      self.ask(shard, count * self.costs.sample, learn)

  def learned(self, count: int, shard: str) -> None:
    self.unlearned, self.groups, self.version = self.unlearned - count, self.groups - 1, self.version + 1
    self.ask(shard, count * self.costs.prioritize, lambda: None)
    self.learn()
    self.act()


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("agent")
  parser.add_argument("env")
  parser.add_argument("--actors", type=int, nargs="+", default=[1, 2, 4])
  parser.add_argument("--shards", type=int, default=1, help="at the most as many as actors")
  parser.add_argument("--cores", type=int, default=0, help="of all machines; 0 for enough of them")
  parser.add_argument("--per-insert", type=float, help="items sampled for each inserted; the agent's ratio by default")
  parser.add_argument("--block", type=int, default=64, help="steps of an actor between two messages")
  parser.add_argument("--learner", type=float, default=1.0, help="how many times as fast the learner is as here")
  asked = parser.parse_args()
  costs = measure(asked.agent, asked.env, asked.per_insert, asked.block)
  for name, value in dataclasses.asdict(costs).items():
    print(f"{name}: {value * 1e6:,.1f} µs" if name in TIMES else f"{name}: {value:,.6g}")
  costs = dataclasses.replace(costs, learn=costs.learn / asked.learner)
  print("| actors | shards | steps/s | learner | shard | actor | conductor | MB/s to shards, | learner, | actors |")
  print("| " + "---: | " * 9 + "---: |")
  for actors in asked.actors:
    shards = min(asked.shards, actors)
    rate, busy, fetched = Simulation(costs, actors, shards, asked.cores).run()
    share = " | ".join(f"{busy[kind]:.0%}" for kind in ("learner", "shard", "actor", "conductor"))
    moved = (rate * costs.step_bytes, rate * costs.batches_per_step * costs.batch_bytes, fetched * costs.params_bytes)
    print(f"| {actors:,} | {shards} | {rate:,.0f} | {share} | " + " | ".join(f"{x / 1e6:,.1f}" for x in moved) + " |")


if __name__ == "__main__":
  main()
