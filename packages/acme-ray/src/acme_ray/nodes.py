"""The nodes: what runs in the processes of a distributed run. Each is a plain class, and waits for no other.

A node is made from a recipe of names and values. `start` makes its parts, from a saved state where there is one, before
it answers anything else; the other methods do a piece of work and return. Who calls them is the conductor.
"""

import dataclasses
import importlib
import math
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import dm_env
import numpy as np
import ray
import tree

import acme
from acme import builders, core, counting, experience, loggers, plugins, replay, specs, types
from acme.agents.agent import split_seed
from acme_ray import blocks, prioritizing
from acme_replay import EmbeddedReplay, make_adder, of_actors

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


class Inserted(NamedTuple):
  """What a shard says of a block."""

  items: int  # that it made
  size: int  # items in the table now
  mass: float  # the sum of their priorities to the power, in proportion to which they are sampled
  lost: bool  # whether blocks before it are missing, so that it was passed over


class _Stream(NamedTuple):
  """The blocks of one actor's incarnation."""

  incarnation: int
  expected: int  # the number of the next block
  writer: replay.Writer


class Shard(Node):
  """A part of the replay: the embedded store of the agent's experience."""

  def start(self, state: types.State = None) -> tuple[experience.Experience, int, float, int]:
    """Makes the store; returns the experience of the whole, the size, the mass, the pre-training batches."""
    self._parts = builder, program, described = self.recipe.parts()
    self._replay = EmbeddedReplay(
      share_of(described, self.recipe.num_shards),
      builder.step_spec(self.recipe.spec, program),
      derived(split_seed(self.recipe.seed)[0], self.index),
      frame_stack=self.recipe.frame_stack,
    )
    self._items, table = of_actors(described)
    self._table = table.name
    self._dataset = self._replay.dataset()
    self._streams: dict[int, _Stream] = {}
    if state is not None:
      self._replay.restore(state["replay"])
      for actor, saved in state["streams"].items():
        writer = self._replay.store.writer(saved["num_streams"])
        writer.restore(saved["writer"])
        self._streams[int(actor)] = _Stream(saved["incarnation"], saved["expected"], writer)
    return described, self._size, self._mass, self._replay.pretraining()

  @property
  def _size(self) -> int:
    return self._replay.info()[self._table].size

  @property
  def _mass(self) -> float:
    return self._replay.store.mass(self._table)  # type: ignore[attr-defined, no-any-return]

  def remember(self, params: types.NestedArray) -> None:
    """Takes the first parameters, with which recurrent states that a dataset lacks are computed."""
    builder, program, _ = self._parts
    source, seed = Variables(params), split_seed(self.recipe.seed)[2]
    self._replay.remember(
      lambda adder: builder.make_actor(
        self.recipe.spec, program, builders.ActorInputs(variables=source, seed=seed, adder=adder)
      )
    )

  def insert(self, block: blocks.Block) -> Inserted:
    """Writes a block, once however often it comes; one that does not follow the last of its stream is passed over."""
    stream = self._streams.get(block.actor)
    if block.number == 0 and (stream is None or stream.incarnation < block.incarnation):
      stream = _Stream(block.incarnation, 0, self._replay.store.writer(block.num_streams))
    before = self._replay.info()[self._table].inserts
    fits = stream is not None and stream.incarnation == block.incarnation and stream.expected == block.number
    if fits:
      assert stream is not None
      blocks.write(block, stream.writer, self._table)
      self._streams[block.actor] = stream._replace(expected=stream.expected + 1)
      self._prioritize(before, block.priorities)
    known = stream is not None and (block.incarnation, block.number) < (stream.incarnation, stream.expected)
    items = self._replay.info()[self._table].inserts - before
    return Inserted(items, self._size, self._mass, lost=not (fits or known))

  def _prioritize(self, first: int, priorities: np.ndarray | None) -> None:
    """Gives the newest items, of keys from `first` on, the priorities that their actor found."""
    if priorities is not None:
      keys, bonus = first + np.arange(len(priorities)), self._items.priority_bonus
      self._replay.store.update_priorities(self._table, keys, priorities + bonus)

  def sample(self, count: int, share: float) -> tuple[list[replay.Sample], int]:
    """Some batches, of the shard to which so large a share of all priorities belongs; and the bytes of one."""
    samples = [next(self._dataset) for _ in range(count)]
    if share < 1:
      samples = [sample._replace(probabilities=sample.probabilities * share) for sample in samples]
    return samples, sum(np.asarray(leaf).nbytes for leaf in tree.flatten(samples[0]))

  def update_priorities(self, updates: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
    """Sets priorities, each pair of keys and values in turn."""
    for keys, priorities in updates:
      self._replay.update_priorities(keys, priorities)

  def save(self) -> types.State:
    streams = {
      str(actor): stream._asdict() | {"num_streams": stream.writer.num_streams, "writer": stream.writer.save()}
      for actor, stream in self._streams.items()
    }
    return {"replay": self._replay.save(), "streams": streams}


def share_of(described: experience.Experience, num_shards: int) -> experience.Experience:
  """What one of several shards holds. When it may be sampled the conductor says, who knows of all of them."""
  if isinstance(described, experience.Mixed):
    return dataclasses.replace(described, samples_per_insert=None)
  size = math.ceil(described.max_size / num_shards)
  return dataclasses.replace(described, max_size=size, min_size=1, samples_per_insert=None)


class Learned(NamedTuple):
  """What a learner says of some batches."""

  steps: int  # SGD steps in all
  priorities: list[tuple[np.ndarray, np.ndarray]]  # keys and values, of each batch
  rows: Sequence[Mapping[str, Any]]  # what it logged


class Learner(Node):
  """Learns from the batches that it is given."""

  def start(self, state: types.State = None) -> tuple[types.NestedArray, int]:
    """Makes the learner; returns its parameters and its steps."""
    builder, program, described = self.recipe.parts()
    self._feed, self._log, self._counter = _Feed(), loggers.InMemoryLogger(), counting.Counter()
    self._learner = builder.make_learner(
      self.recipe.spec,
      program,
      builders.LearnerInputs(
        dataset=self._feed,
        seed=split_seed(self.recipe.seed)[1],
        replay=self._feed if described.prioritized else None,
        logger=self._log,
        counter=self._counter,
      ),
    )
    if state is not None:
      self._learner.restore(state["learner"])
      self._counter.restore(state["counts"])
    return self._params(), self._steps

  @property
  def _steps(self) -> int:
    return int(self._counter.get("learner_steps"))

  def _params(self) -> types.NestedArray:
    (params,) = self._learner.get_variables([PARAMS])
    return tree.map_structure(lambda leaf: leaf if leaf is None else np.asarray(leaf), params)

  def learn(self, samples: Sequence[replay.Sample], settle: bool) -> tuple[types.NestedArray, Learned]:
    """Learns from batches in turn; returns the parameters, and what came of it: all priorities, if it is to settle."""
    for sample in samples:
      self._feed.sample = sample
      self._learner.step()
    if settle:
      self._learner.settle()
    rows = _taken(self._log)
    return self._params(), Learned(self._steps, self._feed.take_priorities(), rows)

  def settle(self) -> list[tuple[np.ndarray, np.ndarray]]:
    """Priorities that the learner has not handed back yet."""
    self._learner.settle()
    return self._feed.take_priorities()

  def save(self) -> types.State:
    return {"learner": self._learner.save(), "counts": dict(self._counter.save())}


class _Feed(replay.Replay):
  """What a learner takes for its replay: it gives one sample, and keeps the priorities that come back."""

  def __init__(self) -> None:
    self.sample: replay.Sample | None = None
    self._priorities: list[tuple[np.ndarray, np.ndarray]] = []

  def __iter__(self) -> Iterator[replay.Sample]:
    return self

  def __next__(self) -> replay.Sample:
    if self.sample is None:
      raise RuntimeError("This learner takes more than one sample in a step: it cannot be given them one by one.")
    sample, self.sample = self.sample, None
    return sample

  def dataset(self) -> Iterator[replay.Sample]:
    return self

  def update_priorities(self, keys: np.ndarray, priorities: np.ndarray) -> None:
    self._priorities.append((np.asarray(keys), np.asarray(priorities)))

  def take_priorities(self) -> list[tuple[np.ndarray, np.ndarray]]:
    taken, self._priorities = self._priorities, []
    return taken

  def adder(self, num_streams: int | None = None) -> replay.Adder:
    raise RuntimeError("A learner adds nothing.")

  def info(self) -> Mapping[str, replay.TableInfo]:
    return {}

  def available(self) -> float:
    return 0.0 if self.sample is None else len(self.sample.keys)

  def save(self) -> types.State:
    return None

  def restore(self, state: types.State) -> None:
    del state


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


class Turn(NamedTuple):
  """What an actor is asked to do."""

  steps: int  # environment steps to take
  version: Version
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


def _taken(log: loggers.InMemoryLogger) -> list[dict[str, Any]]:
  """The rows since the last time."""
  rows, log.rows = log.rows, []
  return rows


class Actor(Node):
  """Acts in M environments, with its policy on the CPU, and hands on blocks of what it did."""

  def start(self, version: Version) -> None:
    _stay_on_cpu()
    recipe = self.recipe
    self._parts = recipe.parts()
    self._version, self._source = version.number, Variables(ray.get(version.ref[0]))
    first = self.index * recipe.num_envs
    seed = run_seeds(recipe.seed)[0]
    seeds = [acme.episode_seed(seed, first + i) for i in range(recipe.num_envs)]
    self._environments = [make_environment(recipe.environment, each) for each in seeds]
    self._incarnation = -1

  def _begin(self, turn: Turn) -> None:
    """Makes actor, adder and loop anew, for episodes of their own."""
    recipe, (builder, program, described) = self.recipe, self._parts
    several = recipe.num_envs if recipe.num_envs > 1 else None
    items, table = of_actors(described)
    self._writer = blocks.RecordingWriter(several)
    inputs = builders.ActorInputs(
      variables=self._source,
      seed=derived(split_seed(recipe.seed)[2], self.index),
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
    seed = derived(run_seeds(recipe.seed)[2], self.index, turn.incarnation)
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
    return block, Acted(steps, _taken(self._log))


class Evaluator(Node):
  """Evaluates parameters, in an environment and on seeds of its own."""

  def start(self, version: Version) -> None:
    _stay_on_cpu()
    recipe = self.recipe
    builder, program, _ = recipe.parts()
    self._source = Variables(ray.get(version.ref[0]))
    inputs = builders.ActorInputs(variables=self._source, seed=split_seed(recipe.seed)[3], evaluation=True)
    self._actor = builder.make_actor(recipe.spec, program, inputs)
    self._initial = self._actor.save()
    self._environment = make_environment(recipe.environment, run_seeds(recipe.seed)[1])

  def evaluate(self, version: Version, number: int, episodes: int) -> Sequence[Mapping[str, Any]]:
    """The results of so many episodes, whose seeds derive from the evaluation's number."""
    self._source.params = ray.get(version.ref[0])
    self._actor.restore(self._initial)
    seed = acme.episode_seed(run_seeds(self.recipe.seed)[3], number)
    return acme.evaluate(self._environment, self._actor, episodes, seed=seed)
