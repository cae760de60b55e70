"""Sums of rewards, and the specs of such sums."""

from typing import Any

import numpy as np
import tree
from dm_env import specs


def like(reward: Any, discount: Any) -> Any:
  """A discount in the structure of the reward: where there is but one, it is that of every reward."""
  return discount if tree.is_nested(discount) else tree.map_structure(lambda _: discount, reward)


def summed_spec(spec: Any, count: int | None) -> Any:
  """The spec of sums of 0 to `count` rewards, or of any number where that is None; `spec` may be a nest."""

  def summed(leaf: specs.Array) -> specs.Array:
    if not isinstance(leaf, specs.BoundedArray):
      return leaf
    if count is None:
      return specs.Array(leaf.shape, leaf.dtype, name=leaf.name)
    minimum, maximum = np.minimum(leaf.minimum, 0) * count, np.maximum(leaf.maximum, 0) * count
    return specs.BoundedArray(leaf.shape, leaf.dtype, minimum, maximum, name=leaf.name)

  return tree.map_structure(summed, spec)
