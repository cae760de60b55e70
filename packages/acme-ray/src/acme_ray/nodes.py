"""What all nodes have in common: what runs in the processes of a distributed run.

Each is a plain class, made from a recipe of names and values, and waits for no other. `start` makes its parts, from a
saved state where there is one, before it answers anything else; the other methods do a piece of work and return. Who
calls them is the conductor.
"""

import dataclasses
import importlib
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import dm_env
import numpy as np

from acme import builders, core, experience, loggers, plugins, specs, types

PARAMS = "params"  # What actors ask a learner for.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
  """What every node makes its parts from.

  Attributes:
    agent: the name of an installed agent, or its plug-in.
    config: the agent's; None for its default.
    backend: the library that it learns with; None for its first.
    network: in place of the agent's own; None for that.
    environment: a name that `acme_envs.make` takes, or a function of a seed that makes one.
    spec: the environment's.
    frame_stack: how many frames lie on the last axis of its observations; None where they are no stacks.
    seed: what every other seed derives from.
    num_actors, num_envs, num_shards: how many actors, environments of each, and shards of replay there are.
    block_steps: environment steps of a block at the most.
    prioritize: whether actors give new items their first priorities, where the agent has such.
    replay, replay_options: what a shard keeps its items in, by its name, and what that is made with.
  """

  agent: str | plugins.AgentPlugin[Any]
  config: Any = None
  backend: str | None = None
  network: Any = None
  environment: str | Callable[[int], dm_env.Environment]
  spec: specs.EnvironmentSpec
  frame_stack: int | None = None
  seed: int = 0
  num_actors: int = 1
  num_envs: int = 1
  num_shards: int = 1
  block_steps: int = 64
  prioritize: bool = True
  replay: str = plugins.EMBEDDED
  replay_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

  def parts(self) -> "Parts":
    """The agent's builder, its program and its experience."""
    plugin = plugins.load_agent(self.agent) if isinstance(self.agent, str) else self.agent
    builder = plugin.builder(self.config, backend=self.backend, network=self.network)
    program = builder.make_program(self.spec)
    return Parts(builder, program, builder.make_experience(self.spec, program))


class Parts(NamedTuple):
  """What an agent is made of."""

  builder: builders.Builder[Any, Any]
  program: Any
  experience: experience.Experience


def make_environment(environment: str | Callable[[int], dm_env.Environment], seed: int) -> dm_env.Environment:
  """Makes an environment by its name, which acme-envs knows, or by a function of the seed."""
  if callable(environment):
    return environment(seed)
  made: dm_env.Environment = importlib.import_module("acme_envs").make(environment, seed=seed)
  return made


def run_seeds(seed: int) -> tuple[int, int, int, int]:
  """Those of the environments, the evaluator's environment, the training episodes, the evaluations: as `acme run`."""
  environment, evaluation_environment, episodes, evaluations = map(int, np.random.SeedSequence(seed).generate_state(4))
  return environment, evaluation_environment, episodes, evaluations


def derived(seed: int, *numbers: int) -> int:
  """A seed of its own for each of several; the first one's is `seed` itself, as where there is one."""
  return int(np.random.SeedSequence([seed, *numbers]).generate_state(1)[0]) if any(numbers) else seed


class Place(NamedTuple):
  """Where a node's process is."""

  host: str
  pid: int


class Node:
  """What all nodes have in common."""

  def __init__(self, recipe: Recipe, index: int = 0) -> None:
    self.recipe, self.index = recipe, index

  def where(self) -> Place:
    return Place(socket.gethostname(), os.getpid())


class Variables(core.VariableSource):
  """Parameters, as they came last."""

  def __init__(self, params: types.NestedArray) -> None:
    self.params = params

  def get_variables(self, names: Sequence[str]) -> list[types.NestedArray]:
    for name in names:
      if name != PARAMS:
        raise KeyError(f"No variables are called {name!r}; known: {PARAMS}.")
    return [self.params for _ in names]


class Version(NamedTuple):
  """Parameters in Ray's object store, which are fetched once by each who has not got them."""

  number: int
  ref: list[Any]  # in a list, so that Ray hands on the reference and not the value


def taken(log: loggers.InMemoryLogger) -> list[dict[str, Any]]:
  """The rows since the last time."""
  rows, log.rows = log.rows, []
  return rows
