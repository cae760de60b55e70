"""The first priorities of what an actor made, by its own parameters, where its agent has a function for them.

Shapes: K items of a block, N streams.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tree

from acme import builders, experience, replay, specs, types
from acme_ray import blocks
from acme_replay import EmbeddedStore, of_actors

_TABLE = "new"


class Prioritizer:
  """Has a queue of its own, into which blocks are written, and out of which their items come as samples do."""

  def __init__(
    self,
    function: Callable[[types.NestedArray, Any], np.ndarray],
    items: experience.Sequences,
    step_spec: types.Step,
    num_streams: int | None,
    block_steps: int,
  ) -> None:
    """Makes an empty queue.

    Args:
      function: (parameters, items [B]) -> priorities [B].
      items: what they are.
      step_spec: of a stored step.
      num_streams: N, of blocks; None for one.
      block_steps: environment steps of a block at the most.
    """
    self._function = function
    # An episode may be of one step, which is two rows; and sequences begin in the blocks before.
    rows = 2 * block_steps + (items.length + 4) * (num_streams or 1)
    table = replay.Table(name=_TABLE, max_size=2 * rows, sampler=replay.Fifo(), max_times_sampled=1)
    self._store = EmbeddedStore([table], step_spec, max_steps=rows, core_spec=items.core_spec)
    self._writer = self._store.writer(num_streams)

  def priorities(self, params: types.NestedArray, block: blocks.Block) -> np.ndarray:
    """First priorities [K] of the items of the next block."""
    blocks.write(block, self._writer, _TABLE)
    count = self._store.info()[_TABLE].size
    if not count:
      return np.zeros(0)
    items = next(self._store.dataset(_TABLE, count)).data
    padded = np.arange(1 << (count - 1).bit_length()) % count  # A power of two: few shapes are compiled.
    return self._function(params, tree.map_structure(lambda leaf: leaf[padded], items))[:count]


def make(
  builder: builders.Builder[Any, Any],
  spec: specs.EnvironmentSpec,
  program: Any,
  described: experience.Experience,
  num_streams: int | None,
  block_steps: int,
) -> Prioritizer | None:
  """Makes what gives an agent's new items their first priorities; None where they get the largest so far."""
  items, function = of_actors(described)[0], builder.priorities(program)
  if function is None or not isinstance(items, experience.Sequences) or not items.prioritized:
    return None
  return Prioritizer(function, items, builder.step_spec(spec, program), num_streams, block_steps)
