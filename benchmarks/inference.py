"""What a server that acts for many actors at once would cost and save, beside policies where the actors are.

  python benchmarks/inference.py dqn gym:CartPole-v1 --actors 2 --envs 1 8
  python benchmarks/inference.py dqn image --actors 2 --envs 1 8  # observations of 84 × 84 × 4 bytes

acme-ray has no such server; this is the least that one could be: a process on Ray that waits for the observations of
all actors, acts once for all of them, and gives each its actions. No core state, no extras, nobody who dies, parameters
that never change: what is left is the price of the way there and back, and the gain of one large batch. It acts with
the agent's own actor, which has the environments of all; with an accelerator that JAX sees, there. Both are actors'
steps alone: nothing is stored or learned. They are measured in turns, and of their rates the medians are shown.
"""

import argparse
import asyncio
import os
import time

import dm_env
import numpy as np
import ray

import acme
import acme_ray
from acme import builders, core, loggers
from acme.agents.agent import split_seed
from acme_ray import actors, nodes


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("agent")
  parser.add_argument("env")
  parser.add_argument("--actors", type=int, default=2)
  parser.add_argument("--envs", type=int, nargs="+", default=[1, 8], help="of each actor")
  parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
  parser.add_argument("--repeats", type=int, default=5)
  parser.add_argument("--server-gpus", type=float, default=0)
  asked = parser.parse_args()
  print(f"| environments of each of {asked.actors} actors | local, steps/s | served | served / local |")
  print("| ---: | ---: | ---: | ---: |")
  for envs in asked.envs:
    with acme_ray.cluster(num_cpus=2 * asked.actors + 1):
      local, served = rates(asked, envs)
    ratio = np.median(np.divide(served, local))
    print(f"| {envs} | {np.median(local):,.0f} | {np.median(served):,.0f} | {ratio:.2f} |", flush=True)


def rates(asked: argparse.Namespace, envs: int) -> tuple[list[float], list[float]]:
  """Steps a second of all actors with policies of their own, and with a server's, of each repeat."""
  environment = image if asked.env == "image" else asked.env
  spec = acme.make_environment_spec(nodes.make_environment(environment, 0))
  recipe = nodes.Recipe(agent=asked.agent, environment=environment, spec=spec, num_actors=asked.actors, num_envs=envs)
  server = ray.remote(Server).options(num_gpus=asked.server_gpus, max_concurrency=asked.actors).remote(recipe)
  kinds = [[ray.remote(Player).remote(recipe, i, each) for i in range(asked.actors)] for each in (None, server)]
  found: tuple[list[float], list[float]] = [], []
  for repeat in range(asked.repeats + 1):  # The first is to warm up.
    for players, kept in zip(kinds, found, strict=True):
      rate = sum(ray.get([player.play.remote(asked.seconds) for player in players]))
      if repeat:
        kept.append(rate)
  return found


class Image(dm_env.Environment):
  """One image, again and again, in episodes of 1,000 steps: it costs nothing."""

  def __init__(self) -> None:
    self._image, self._left = np.random.default_rng(0).integers(256, size=(84, 84, 4), dtype=np.uint8), 0

  def observation_spec(self):
    return dm_env.specs.BoundedArray((84, 84, 4), np.uint8, 0, 255)

  def action_spec(self):
    return dm_env.specs.DiscreteArray(6)

  def reset(self):
    self._left = 1_000
    return dm_env.restart(self._image)

  def step(self, action):
    self._left -= 1
    return dm_env.transition(0.0, self._image) if self._left else dm_env.termination(0.0, self._image)


def image(seed: int) -> dm_env.Environment:
  del seed
  return acme.wrappers.SinglePrecision(Image())


def policy(recipe: nodes.Recipe, num_envs: int | None, index: int, num_actors: int) -> core.Actor:
  """An agent's actor, with the parameters that its learner begins with."""
  builder, program, described = recipe.parts()
  del described
  (params,) = builder.make_learner(
    recipe.spec, program, builders.LearnerInputs(dataset=iter(()), seed=split_seed(recipe.seed)[1])
  ).get_variables([nodes.PARAMS])
  inputs = builders.ActorInputs(
    variables=nodes.Variables(params), seed=0, num_envs=num_envs, index=index, num_actors=num_actors
  )
  return builder.make_actor(recipe.spec, program, inputs)


LONGEST = 0.1  # Seconds that the server waits for the last actor.


class Server:
  """Acts for all actors at once."""

  def __init__(self, recipe: nodes.Recipe) -> None:
    self._each = recipe.num_envs
    self._actor = policy(recipe, recipe.num_actors * self._each, 0, 1)
    self._num_actors = recipe.num_actors
    self._waiting: dict[int, tuple[np.ndarray, asyncio.Future]] = {}

  async def act(self, index: int, observation: np.ndarray) -> np.ndarray:
    """The actions [M] for an actor's observations [M, …], once all actors have asked, or some of them in vain."""
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    self._waiting[index] = observation, future
    if len(self._waiting) == self._num_actors:
      self._answer(future)
    else:
      loop.call_later(LONGEST, self._answer, future)  # The others' time is over.
    return await future

  def _answer(self, waiting: asyncio.Future) -> None:
    """Acts for those who wait, one of whom should still; for others as well, which nobody hears of."""
    if not waiting.done():
      some = next(iter(self._waiting.values()))[0]
      batch = np.concatenate([self._waiting.get(i, (some,))[0] for i in range(self._num_actors)])  # [A · M, …]
      actions = self._actor.select_action(batch).reshape(self._num_actors, self._each)
      for index, (_, future) in self._waiting.items():
        future.set_result(actions[index])
      self._waiting = {}


class Served(core.Actor):
  """Has its actions from a server."""

  def __init__(self, server, index: int, one: bool) -> None:
    self._server, self._index, self._one = server, index, one

  def select_action(self, observation):
    batch = observation[None] if self._one else observation
    actions = ray.get(self._server.act.remote(self._index, batch))
    return actions[0] if self._one else np.array(actions)

  def observe_first(self, timestep):
    pass

  def observe(self, action, next_timestep):
    pass

  def update(self, wait=False):
    pass


class Player:
  """Acts in M environments, by a policy of its own or a server's."""

  def __init__(self, recipe: nodes.Recipe, index: int, server) -> None:
    actors._stay_on_cpu()
    several = recipe.num_envs if recipe.num_envs > 1 else None
    environments = [nodes.make_environment(recipe.environment, i) for i in range(recipe.num_envs)]
    if server is None:
      actor = policy(recipe, several, index, recipe.num_actors)
    else:
      actor = Served(server, index, several is None)
    options = {"logger": loggers.NullLogger(), "should_update": False, "seed": index}
    if several is None:
      self._loop = acme.EnvironmentLoop(environments[0], actor, **options)
    else:
      self._loop = acme.VectorEnvironmentLoop(environments, actor, **options)
    self._chunk = 10 * recipe.num_envs

  def play(self, seconds: float) -> float:
    """Steps a second."""
    steps, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
      steps += self._loop.run(num_steps=self._chunk)
    return steps / (time.perf_counter() - start)


if __name__ == "__main__":
  os.environ.setdefault("OMP_NUM_THREADS", "1")
  main()
