"""Who acts: actors, and the evaluator."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import ray

import acme
from acme import builders, loggers
from acme.agents.agent import split_seed
from acme_ray import blocks, nodes, prioritizing
from acme_replay import make_adder, of_actors

_ENDLESS = 30_000  # Steps that an episode of an evaluation may take: a greedy policy may never end it.


class Turn(NamedTuple):
  """What an actor is asked to do."""

  steps: int  # environment steps to take
  version: nodes.Version
  incarnation: int  # one more than before: begin new episodes, with exploration of their own
  all_steps: int  # environment steps of all actors so far


class Acted(NamedTuple):
  """What an actor says of a block."""

  steps: int
  rows: Sequence[Mapping[str, Any]]  # of the episodes that ended


def _stay_on_cpu() -> None:
  """Keeps this process from GPUs; before its libraries begin."""
  os.environ["JAX_PLATFORMS"] = "cpu"
  os.environ["CUDA_VISIBLE_DEVICES"] = ""


class Actor(nodes.Node):
  """Acts in M environments, with its policy on the CPU, and hands on blocks of what it did."""

  def start(self, version: nodes.Version) -> None:
    _stay_on_cpu()
    recipe = self.recipe
    self._parts = recipe.parts()
    self._version, self._source = version.number, nodes.Variables(ray.get(version.ref[0]))
    first = self.index * recipe.num_envs
    seed = nodes.run_seeds(recipe.seed)[0]
    seeds = [acme.episode_seed(seed, first + i) for i in range(recipe.num_envs)]
    self._environments = [nodes.make_environment(recipe.environment, each) for each in seeds]
    self._incarnation = -1

  def _begin(self, turn: Turn) -> None:
    """Makes actor, adder and loop anew, for episodes of their own."""
    recipe, (builder, program, described) = self.recipe, self._parts
    several = recipe.num_envs if recipe.num_envs > 1 else None
    items, table = of_actors(described)
    self._writer = blocks.RecordingWriter(several)
    inputs = builders.ActorInputs(
      variables=self._source,
      seed=nodes.derived(split_seed(recipe.seed)[2], self.index),
      adder=make_adder(items, self._writer, table.name),
      num_envs=several,
      index=self.index,
      num_actors=recipe.num_actors,
      incarnation=turn.incarnation,
      steps=turn.all_steps,
    )
    self._actor = builder.make_actor(recipe.spec, program, inputs)
    self._prioritizer = None
    if recipe.prioritize:
      self._prioritizer = prioritizing.make(builder, recipe.spec, program, described, several, recipe.block_steps)
    self._log = loggers.InMemoryLogger()
    seed = nodes.derived(nodes.run_seeds(recipe.seed)[2], self.index, turn.incarnation)
    options: dict[str, Any] = {"logger": self._log, "should_update": False, "seed": seed}
    if several is None:
      self._loop: Any = acme.EnvironmentLoop(self._environments[0], self._actor, **options)
    else:
      self._loop = acme.VectorEnvironmentLoop(self._environments, self._actor, **options)
    self._incarnation, self._number = turn.incarnation, 0

  def act(self, turn: Turn) -> tuple[blocks.Block, Acted]:
    """Takes steps by the newest parameters; returns them as a block, and what came of them."""
    if turn.version.number > self._version:
      self._version, self._source.params = turn.version.number, ray.get(turn.version.ref[0])
    if turn.incarnation != self._incarnation:
      self._begin(turn)
    self._actor.update()
    steps = self._loop.run(num_steps=turn.steps)
    block = self._writer.take(self.index, self._incarnation, self._number)
    self._number += 1
    if self._prioritizer is not None:
      block = block._replace(priorities=self._prioritizer.priorities(self._source.params, block))
    return block, Acted(steps, nodes.taken(self._log))


class Evaluator(nodes.Node):
  """Evaluates parameters, in an environment and on seeds of its own."""

  def start(self, version: nodes.Version) -> None:
    _stay_on_cpu()
    recipe = self.recipe
    builder, program, _ = recipe.parts()
    self._source = nodes.Variables(ray.get(version.ref[0]))
    inputs = builders.ActorInputs(variables=self._source, seed=split_seed(recipe.seed)[3], evaluation=True)
    self._actor = builder.make_actor(recipe.spec, program, inputs)
    self._initial = self._actor.save()
    environment = nodes.make_environment(recipe.environment, nodes.run_seeds(recipe.seed)[1])
    self._environment = acme.wrappers.StepLimit(environment, _ENDLESS)

  def evaluate(self, version: nodes.Version, number: int, episodes: int) -> Sequence[Mapping[str, Any]]:
    """The results of so many episodes, whose seeds derive from the evaluation's number."""
    self._source.params = ray.get(version.ref[0])
    self._actor.restore(self._initial)
    seed = acme.episode_seed(nodes.run_seeds(self.recipe.seed)[3], number)
    return acme.evaluate(self._environment, self._actor, episodes, seed=seed)
