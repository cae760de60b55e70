"""How fast runs on Ray are, by number of actors, and what each node's processor does for a step.

  python benchmarks/distributed.py dqn gym:CartPole-v1 --steps 20000 --actors 1 2 4

The columns of nodes are processors' microseconds a step, of which a busy machine makes few more: "allowed" is the rate
that --cores of them allow, and one core for the busiest process, if nobody waits for anybody else. The first quarter of
a run is left out. Costs of nodes by themselves, and what they say of more actors: benchmarks/scaling.py.
"""

import argparse
import os
import pathlib
import time
from collections.abc import Iterable

import numpy as np

import acme
import acme_envs
import acme_ray
from acme import agents, plugins
from acme_ray import nodes, supervision

TICKS = os.sysconf("SC_CLK_TCK")
KINDS = ("actor", "shard", "learner", "conductor", "Ray")


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("agent")
  parser.add_argument("env")
  parser.add_argument("--steps", type=int, default=20_000)
  parser.add_argument("--actors", type=int, nargs="+", default=[1, 2, 4])
  parser.add_argument("--shards", type=int, default=1)
  parser.add_argument("--cores", type=int, default=os.cpu_count())
  asked = parser.parse_args()
  print(f"| actors | steps/s | {' | '.join(KINDS)} | sum | allowed on {asked.cores} cores |\n" + "| ---: " * 9 + "|")
  for actors in asked.actors:
    wall, cpus = on_ray(asked, actors)
    total, several = sum(cpus.values()), {"actor": actors, "shard": asked.shards}
    allowed = min(asked.cores / total, *(several.get(kind, 1) / cpu for kind, cpu in cpus.items()))
    each = " | ".join(f"{cpus[kind] * 1e6:,.0f}" for kind in KINDS)
    print(f"| {actors} | {wall:,.0f} | {each} | {total * 1e6:,.0f} | {allowed:,.0f} |", flush=True)
  wall, cpu = one_process(asked)
  print(f"| one process | {wall:,.0f} |" + " |" * len(KINDS) + f" {cpu * 1e6:,.0f} | {1 / cpu:,.0f} |")


def one_process(asked: argparse.Namespace) -> tuple[float, float]:
  """Steps a second of the agent in one process, and processors' seconds a step."""
  environment = acme_envs.make(asked.env, seed=0)
  agent = agents.Agent(plugins.load_agent(asked.agent).builder(), acme.make_environment_spec(environment))
  loop = acme.EnvironmentLoop(environment, agent, logger=acme.loggers.NullLogger(), seed=0)
  loop.run(num_steps=asked.steps // 4)
  start, cpu = time.perf_counter(), time.process_time()
  steps = loop.run(num_steps=asked.steps - asked.steps // 4)
  return steps / (time.perf_counter() - start), (time.process_time() - cpu) / steps


class Meter(acme_ray.Watcher):
  """Looks at all processes when a quarter of the steps is done, and when all are."""

  def __init__(self, steps: int) -> None:
    self.due, self.seen = [steps // 4, steps], []

  def progress(self, status):
    if self.due and status["steps"] >= self.due[0]:
      self.due.pop(0)
      cpus = dict.fromkeys(KINDS, 0.0) | {"conductor": time.process_time(), "Ray": cpu_seconds([])}
      for name, (_, pid) in status["places"].items():
        if (kind := name.split()[0]) in cpus:
          cpus[kind] += of_process(pid)
      self.seen.append((status["steps"], time.perf_counter(), cpus))


def on_ray(asked: argparse.Namespace, actors: int) -> tuple[float, dict[str, float]]:
  """The same on Ray with so many actors, by kind of node; of all actors, and all shards, together."""
  meter = Meter(asked.steps)
  acme_ray.run(
    asked.agent,
    asked.env,
    steps=asked.steps,
    num_actors=actors,
    num_shards=asked.shards,
    watcher=meter,
    final_episodes=0,
  )
  (first, start, before), (last, end, after) = meter.seen
  return (last - first) / (end - start), {kind: (after[kind] - before[kind]) / (last - first) for kind in KINDS}


class Echo(nodes.Node):
  """Answers with what it is given, as an actor with a block."""

  def echo(self, data):
    return data, os.getpid()


def call_seconds(recipe: nodes.Recipe, times: int = 1_000) -> tuple[float, float]:
  """What a call on Ray costs who makes it, and everybody else."""
  answered: list[int] = []
  data = np.zeros(4096, np.uint8)  # About a block of small observations.
  with acme_ray.cluster(num_cpus=1):
    supervisor, echo = (
      supervision.Supervisor(60.0, lambda *_: None),
      supervision.Handle(Echo, recipe, 0, {"num_cpus": 1}),
    )
    echo.begin()

    def ask(until: int) -> None:
      while len(answered) < until:
        while supervisor.pending() < 2:
          supervisor.call(echo, "echo", data, then=lambda _, pid: answered.append(pid), outputs=2)
        supervisor.poll(1.0)

    ask(100)
    before, mine = cpu_seconds([answered[0]]), time.process_time()
    ask(100 + times)
    mine, others = time.process_time() - mine, cpu_seconds([answered[0]]) - before
    echo.end()
  return mine / times, others / times


def cpu_seconds(pids: Iterable[int]) -> float:
  """Processors' seconds so far of some processes, and of those that Ray began here for itself."""
  children = pathlib.Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
  return sum(map(of_process, {*map(int, children), *pids}))


def of_process(pid: int) -> float:
  """Processors' seconds of a process, in all its threads."""
  fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
  return (int(fields[11]) + int(fields[12])) / TICKS


if __name__ == "__main__":
  main()
