"""Running n-step returns of the transitions that are open, one for each of the last n steps.

For a transition that began k steps ago, where r_i and d_i came with its (i+1)-th step,

  R = Σ_{i<k} γ^i (Π_{j<i} d_j) r_i,    D = γ^{k-1} Π_{i<k} d_i.

Each step adds P r to R, sets D to P d, and then P to γ D; P is 1 at first.

Shapes: n steps, N streams; rewards and discounts may have axes of their own after these.
"""

from typing import Any

import numpy as np
import tree

from acme import types


class ScalarReturns:
  """One stream whose reward and discount are numbers."""

  def __init__(self, n_step: int, gamma: float) -> None:
    self._n_step = n_step
    self._gamma = gamma
    self.reset()

  def reset(self) -> None:
    """Closes every transition."""
    self._open: list[list[float]] = []  # [R, D, P], the oldest first.

  def step(self, reward: float, discount: float) -> None:
    """Opens a transition at the step before, and takes all that are open a step on."""
    if len(self._open) == self._n_step:
      del self._open[0]
    self._open.append([0.0, 1.0, 1.0])
    reward, discount, gamma = float(reward), float(discount), self._gamma
    for entry in self._open:
      factor = entry[2]
      entry[0] += factor * reward
      entry[1] = factor = factor * discount
      entry[2] = gamma * factor

  @property
  def longest(self) -> int:
    """The steps of the longest open transition."""
    return len(self._open)

  def of_length(self, steps: int) -> tuple[float, float]:
    """R and D of the open transition of so many steps."""
    entry = self._open[-steps]
    return entry[0], entry[1]

  def save(self) -> types.State:
    return np.array(self._open, np.float64).reshape(-1, 3)

  def restore(self, state: types.State) -> None:
    self._open = [list(map(float, entry)) for entry in state]


class ArrayReturns:
  """N streams, nested rewards and discounts; a nested discount has the structure of the reward."""

  def __init__(self, n_step: int, gamma: float, reward: types.NestedArray, discount: types.NestedArray) -> None:
    """Makes empty returns for rewards and discounts like these, [N, …]."""
    self._gamma = gamma
    self._n_step = n_step
    self._structures = (reward, discount)
    rewards, discounts = [[np.asarray(x) for x in tree.flatten(nest)] for nest in self._structures]
    if len(discounts) not in (1, len(rewards)):
      raise ValueError(
        f"Expected one discount, or one for each reward, got {len(discounts)} discounts and {len(rewards)} rewards."
      )
    self._reward = [np.zeros((n_step, *x.shape)) for x in rewards]  # R, by the step at which it began, mod n.
    self._discount = [np.ones((n_step, *x.shape)) for x in discounts]  # D
    self._factor = [np.ones((n_step, *x.shape)) for x in discounts]  # P
    self._newest = 0  # Where the newest transition lies.

  def step(self, reward: types.NestedArray, discount: types.NestedArray) -> None:
    """Opens a transition in each stream at the step before, and takes all that are open a step on."""
    rewards, discounts = (tree.flatten(nest) if type(nest) is not np.ndarray else [nest] for nest in (reward, discount))
    self._newest = (self._newest + 1) % self._n_step
    for total, factor in zip(self._reward, self._factor * (len(rewards) // len(discounts)), strict=True):
      total[self._newest] = 0
      factor[self._newest] = 1
    for i, total in enumerate(self._reward):
      factor = self._factor[i % len(self._factor)]
      total += factor.reshape(factor.shape + (1,) * (total.ndim - factor.ndim)) * rewards[i]
    for total, factor, values in zip(self._discount, self._factor, discounts, strict=True):
      np.multiply(factor, values, out=total)
      np.multiply(total, self._gamma, out=factor)

  def of_length(self, steps: Any, streams: np.ndarray) -> tuple[types.NestedArray, types.NestedArray]:
    """R and D of the open transitions of `steps` steps, an int or [K], of the streams [K]."""
    index = (self._newest - steps + 1) % self._n_step
    everyone = len(streams) == self._reward[0].shape[1] and isinstance(index, int)
    where = index if everyone else (index, streams)
    return self._nest(0, [x[where] for x in self._reward]), self._nest(1, [x[where] for x in self._discount])

  def _nest(self, which: int, views: list[np.ndarray]) -> types.NestedArray:
    leaves = [view.copy() for view in views]  # The caller's own: the sums run on.
    structure = self._structures[which]
    return leaves[0] if type(structure) is np.ndarray else tree.unflatten_as(structure, leaves)

  def save(self) -> types.State:
    arrays = [[x.copy() for x in group] for group in (self._reward, self._discount, self._factor)]
    return {"newest": self._newest, "arrays": arrays}

  def restore(self, state: types.State) -> None:
    self._newest = state["newest"]
    for group, saved in zip((self._reward, self._discount, self._factor), state["arrays"], strict=True):
      for x, y in zip(group, saved, strict=True):
        x[:] = y
