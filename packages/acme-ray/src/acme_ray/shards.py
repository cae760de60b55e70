"""A shard: a part of the replay."""

import dataclasses
import inspect
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tree

from acme import builders, experience, plugins, replay, types
from acme.agents.agent import split_seed
from acme_ray import blocks, nodes
from acme_replay import of_actors


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


class Shard(nodes.Node):
  """A part of the replay: a store of the agent's experience, the embedded one or what else is asked for."""

  def start(self, state: types.State = None) -> tuple[experience.Experience, int, float, int]:
    """Makes the store; returns the experience of the whole, the size, the mass, the pre-training batches."""
    self._parts = builder, program, described = self.recipe.parts()
    make, options = plugins.load_replay(self.recipe.replay), dict(self.recipe.replay_options)
    if "frame_stack" in inspect.signature(make).parameters:
      options["frame_stack"] = self.recipe.frame_stack
    self._replay = make(
      share_of(described, self.recipe.num_shards),
      builder.step_spec(self.recipe.spec, program),
      nodes.derived(split_seed(self.recipe.seed)[0], self.index),
      **options,
    )
    self._items, table = of_actors(described)
    self._table = table.name
    if self.recipe.num_shards > 1 and described.prioritized and not hasattr(self._replay.store, "mass"):
      raise ValueError(
        f"The replay {self.recipe.replay!r} cannot say the sum of its priorities, by which one of several shards is "
        "chosen: ask for one shard, or for embedded ones."
      )
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
    mass = getattr(self._replay.store, "mass", None)
    return float(self._size) if mass is None else mass(self._table)

  def remember(self, params: types.NestedArray) -> None:
    """Takes the first parameters, with which recurrent states that a dataset lacks are computed."""
    builder, program, _ = self._parts
    source, seed = nodes.Variables(params), split_seed(self.recipe.seed)[2]
    self._replay.remember(
      lambda adder: builder.make_actor(
        self.recipe.spec, program, builders.ActorInputs(variables=source, seed=seed, adder=adder)
      )
    )

  def insert(self, block: blocks.Block) -> Inserted:
    """Writes a block, once however often it comes; one that does not follow the last of its stream is passed over."""
    stream = self._streams.get(block.actor)
    if block.number == 0 and (stream is None or stream.incarnation < block.incarnation):
      if stream is not None and hasattr(stream.writer, "close"):
        stream.writer.close()  # A connection.
      stream = _Stream(block.incarnation, 0, self._replay.store.writer(block.num_streams))
    before = self._replay.info()[self._table].inserts
    fits = stream is not None and stream.incarnation == block.incarnation and stream.expected == block.number
    if fits:
      assert stream is not None
      blocks.write(block, stream.writer, self._table, self._items.priority_bonus)
      self._streams[block.actor] = stream._replace(expected=stream.expected + 1)
    known = stream is not None and (block.incarnation, block.number) < (stream.incarnation, stream.expected)
    items = self._replay.info()[self._table].inserts - before
    return Inserted(items, self._size, self._mass, lost=not (fits or known))

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

  def close(self) -> None:
    """Frees what it holds outside this process."""
    self._replay.close()


def share_of(described: experience.Experience, num_shards: int) -> experience.Experience:
  """What one of several shards holds. When it may be sampled the conductor says, who knows of all of them."""
  if isinstance(described, experience.Mixed):
    return dataclasses.replace(described, samples_per_insert=None)
  size = math.ceil(described.max_size / num_shards)
  return dataclasses.replace(described, max_size=size, min_size=1, samples_per_insert=None)
