"""Planning with a learned model, of transition, reward and discount.

Shapes: K leaves, A actions, D features, B evaluation batch.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tree

from acme import types
from acme_mcts import search

Root = Callable[[types.NestedArray], Any]  # observation [1, …] -> features [1, D], logits [1, A], values [1]
Expand = Callable[
  [np.ndarray, np.ndarray], Any
]  # features [B, D], actions [B] -> features, r, d, logits, values: [B, …]


class LearnedModel:
  """A node's state is a vector of features, and what follows from it is what the networks say.

  No node is terminal: where the model has learned that an episode ends, its discount is near 0.
  """

  def __init__(self, root: Root, expand: Expand, batch_size: int) -> None:
    """Makes a model of two functions in some framework; `expand` is always called with `batch_size` leaves."""
    self._root = root
    self._expand = expand
    self._batch_size = batch_size

  def root(self, observation: types.NestedArray, rng: np.random.Generator) -> search.Leaves:
    del rng
    batch = tree.map_structure(lambda leaf: np.asarray(leaf)[None], observation)
    features, logits, values = map(np.asarray, self._root(batch))
    return search.Leaves(list(features), np.zeros(1), np.ones(1), np.zeros(1, bool), logits, values)

  def expand(self, states: Sequence[Any], actions: np.ndarray, rng: np.random.Generator) -> search.Leaves:
    del rng
    size = len(states)
    filled = np.arange(self._batch_size) % size  # One shape only, so that a function is compiled once.
    results = self._expand(np.stack(states)[filled], actions[filled].astype(np.int32))
    features, rewards, discounts, logits, values = (np.asarray(result)[:size] for result in results)
    return search.Leaves(list(features), rewards, discounts, np.zeros(size, bool), logits, values)
