"""How fast runs on Ray are, what limits each node, and what a simulation says of more actors than there are here.

  python benchmarks/distributed.py run dqn gym:CartPole-v1 --steps 20000 --actors 1 2 4  # and of one process
  python benchmarks/distributed.py costs dqn gym:CartPole-v1  # microseconds and bytes of each node
  python benchmarks/distributed.py simulate dqn gym:CartPole-v1 --actors 1 2 4 --cores 2  # by them

--cores 0, the default, has enough of them. Everything goes by the agent's default config and its ratio.
"""

import argparse
import collections
import dataclasses
import heapq
import itertools
import pickle
import time
import types

import numpy as np

import acme
import acme_envs
import acme_ray
from acme import agents, experience, plugins
from acme_ray import nodes

CALL = 250e-6  # Seconds of the conductor for each call that it makes and takes the answer of.
BLOCK, GROUP = 64, 8  # As acme_ray has them.
SECONDS = 60.0  # That are simulated; the first half is left out, in which actors go ahead until they have to wait.


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("what", choices=("run", "costs", "simulate"))
  parser.add_argument("agent")
  parser.add_argument("env")
  parser.add_argument("--steps", type=int, default=20_000)
  parser.add_argument("--actors", type=int, nargs="+", default=[1, 2, 4])
  parser.add_argument("--shards", type=int, default=1)
  parser.add_argument("--cores", type=int, default=0)
  asked = parser.parse_args()
  if asked.what == "run":
    print(f"one process: {one_process(asked):,.0f} steps/s")
    for actors in asked.actors:
      print(f"{actors} actors: {on_ray(asked, actors):,.0f} steps/s", flush=True)
    return
  costs = measure(asked.agent, asked.env)
  for name, value in dataclasses.asdict(costs).items():
    print(f"{name}: {value * 1e6:,.1f} µs" if name in TIMES else f"{name}: {value:,.6g}")
  if asked.what == "simulate":
    for actors in asked.actors:
      rate, busy = Simulation(costs, actors, asked.shards, asked.cores).run(SECONDS)
      print(f"{actors} actors: {rate:,.0f} steps/s; busy: " + ", ".join(f"{k} {v:.0%}" for k, v in busy.items()))


def one_process(asked: argparse.Namespace) -> float:
  """Steps a second of the agent in one process, from the step on at which it learns."""
  environment = acme_envs.make(asked.env, seed=0)
  agent = agents.Agent(plugins.load_agent(asked.agent).builder(), acme.make_environment_spec(environment))
  loop = acme.EnvironmentLoop(environment, agent, logger=acme.loggers.NullLogger(), seed=0)
  loop.run(num_steps=asked.steps // 4)
  start = time.perf_counter()
  steps = loop.run(num_steps=asked.steps - asked.steps // 4)
  return steps / (time.perf_counter() - start)


class Clock(acme_ray.Watcher):
  """When a quarter of the steps was done, and when the last was."""

  def __init__(self, steps: int) -> None:
    self.first, self.seen = steps // 4, []

  def progress(self, status):
    if status["steps"] >= self.first and (not self.seen or status["steps"] > self.seen[-1][0]):
      self.seen[1:] = [(status["steps"], time.perf_counter())]


def on_ray(asked: argparse.Namespace, actors: int) -> float:
  """The same on Ray with so many actors."""
  clock = Clock(asked.steps)
  acme_ray.run(
    asked.agent,
    asked.env,
    steps=asked.steps,
    num_actors=actors,
    num_shards=asked.shards,
    watcher=clock,
    final_episodes=0,
  )
  (steps, start), (last, end) = clock.seen
  return (last - steps) / (end - start)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Costs:
  """What nodes take, in seconds, bytes and items."""

  act: float  # of an actor, a step
  insert: float  # of a shard, a step
  sample: float  # of a shard, a batch
  prioritize: float  # of a shard, a batch
  learn: float  # of the learner, a batch
  step_bytes: float
  batch_bytes: float
  params_bytes: float
  batches_per_step: float


TIMES = ("act", "insert", "sample", "prioritize", "learn")


def measure(agent: str, env: str, blocks: int = 40, batches: int = 40) -> Costs:
  """The costs of nodes, each on its own in this process."""
  nodes.ray = types.SimpleNamespace(get=lambda value: value)  # Nothing is far away.
  environment = acme_envs.make(env, seed=0)
  recipe = nodes.Recipe(agent=agent, environment=env, spec=acme.make_environment_spec(environment))
  learner, shard, actor = nodes.Learner(recipe), nodes.Shard(recipe), nodes.Actor(recipe)
  params, _ = learner.start()
  described = shard.start()[0]
  version = nodes.Version(0, [params])
  actor.start(version)
  acting, made = _timed(lambda i: actor.act(nodes.Turn(BLOCK, version, 0, i * BLOCK))[0], blocks)
  inserting, done = _timed(lambda i: shard.insert(made[i]), blocks)
  sampling, samples = _timed(lambda _: shard.sample(1, 1.0)[0], batches)
  learning, learned = _timed(lambda i: learner.learn(samples[i], True)[1], batches)
  prioritizing, _ = _timed(lambda i: shard.update_priorities(learned[i].priorities), batches)
  size = described.batch_size
  per_insert = described.samples_per_insert
  if isinstance(described, experience.Queue):
    per_insert = 1
  if per_insert is None:
    raise ValueError(f"{agent} has no ratio to keep: actors and learner go as fast as each can.")
  items = sum(each.items for each in done) / (blocks * BLOCK)
  return Costs(
    act=acting / BLOCK,
    insert=inserting / BLOCK,
    sample=sampling,
    prioritize=prioritizing,
    learn=learning,
    step_bytes=len(pickle.dumps(made[-1])) / BLOCK,
    batch_bytes=len(pickle.dumps(samples[-1])),
    params_bytes=len(pickle.dumps(params)),
    batches_per_step=items * per_insert / size,
  )


def _timed(function, times: int):
  """The median seconds of a call, and what all calls gave."""
  seconds, results = [], []
  for i in range(times):
    start = time.perf_counter()
    results.append(function(i))
    seconds.append(time.perf_counter() - start)
  return float(np.median(seconds)), results


class Simulation:
  """A run on Ray as queues: each node does one job at a time, of all of them as many at once as there are cores."""

  def __init__(self, costs: Costs, actors: int, shards: int, cores: int) -> None:
    self.costs, self.cores = costs, cores
    self.now, self.events, self.order = 0.0, [], itertools.count()
    names = ["conductor", "learner", *(f"shard {i}" for i in range(shards)), *(f"actor {i}" for i in range(actors))]
    self.queues = {name: collections.deque() for name in names}
    self.busy, self.running = dict.fromkeys(names, 0.0), set()
    self.coming = [0] * actors
    self.shards = itertools.cycle(range(shards))
    self.steps, self.due, self.unlearned, self.groups = 0, 0.0, 0, 0
    self.most_due = max(1.0, 2 * actors * BLOCK * costs.batches_per_step)

  def ask(self, name: str, seconds: float, then) -> None:
    """Puts a job into a node's queue."""
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

  def run(self, seconds: float) -> tuple[float, dict[str, float]]:
    """Steps a second, and how busy each kind of node is, the busiest of each."""
    self.act()
    early = 0
    while self.events and self.now < seconds:
      early = self.steps if self.now < seconds / 2 else early
      self.now, _, name, then = heapq.heappop(self.events)
      self.running.remove(name)
      then()
      self.begin([name] if not self.cores else list(self.queues))
    kinds = collections.defaultdict(float)
    for name, busy in self.busy.items():
      kinds[name.split()[0]] = max(kinds[name.split()[0]], min(1.0, busy / self.now))
    return (self.steps - early) / (self.now / 2), dict(kinds)

  def act(self) -> None:
    """Asks for blocks, as `acme_ray.conductor` does."""
    for i in range(len(self.coming)):
      while self.coming[i] < 2 and self.due + self.unlearned <= self.most_due:
        self.coming[i] += 1
        shard = f"shard {i % sum(name.startswith('shard') for name in self.queues)}"
        inserted = self.told(lambda i=i: self.inserted(i))
        insert = self.told(lambda shard=shard, then=inserted: self.ask(shard, BLOCK * self.costs.insert, then))
        self.ask(f"actor {i}", BLOCK * self.costs.act, insert)

  def told(self, then):
    """What a node does when it is done: the conductor hears of it, and goes on."""
    return lambda: self.ask("conductor", CALL, then)

  def inserted(self, i: int) -> None:
    self.coming[i] -= 1
    self.steps += BLOCK
    self.due += BLOCK * self.costs.batches_per_step
    self.learn()
    self.act()

  def learn(self) -> None:
    """Asks for batches, two groups at once."""
    while self.groups < 2 and self.due >= 1:
      count, shard = min(GROUP, int(self.due)), f"shard {next(self.shards)}"
      self.due, self.unlearned, self.groups = self.due - count, self.unlearned + count, self.groups + 1
      learned = self.told(lambda n=count, shard=shard: self.learned(n, shard))
      learn = self.told(lambda n=count, then=learned: self.ask("learner", n * self.costs.learn, then))
      self.ask(shard, count * self.costs.sample, learn)

  def learned(self, count: int, shard: str) -> None:
    self.unlearned, self.groups = self.unlearned - count, self.groups - 1
    self.ask(shard, count * self.costs.prioritize, self.told(lambda: None))
    self.learn()
    self.act()


if __name__ == "__main__":
  main()
