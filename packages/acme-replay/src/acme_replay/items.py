"""What the items of a table are: which rows of the ring they refer to, and how samples are made of those.

Shapes: C items held, B batch, L steps of a sequence.
"""

from typing import Any

import numpy as np
import tree

from acme import specs, types
from acme_replay.columns import Rows, make_column
from acme_replay.storage import NONE, Ring


class TransitionItems:
  """Transitions: the rows of o_t, of a_t and of o_{t+n}, and R and D."""

  kind = "transition"

  def __init__(self, ring: Ring, capacity: int, one_step: bool = False) -> None:
    """Makes places for items; with `one_step` samples also say what a transition's first step led to."""
    self._ring = ring
    self._one_step = one_step
    self.oldest = np.zeros(capacity, np.int64)  # The oldest row that it needs.
    self._first = np.zeros(capacity, np.intp)  # The place of o_t.
    self._second = np.zeros(capacity, np.intp)  # That of a_t.
    self._last = np.zeros(capacity, np.intp)  # That of o_{t+n}.
    self.reward = make_column("item reward", _floats(ring.reward.spec), capacity)
    self.discount = make_column("item discount", _floats(ring.discount.spec), capacity)

  def write(self, index: Rows, oldest: Any, first: Any, last: Any, reward: Any, discount: Any) -> None:
    """Writes items from row numbers `first` to `last`, with R and D as their columns' `check` returned them."""
    ring = self._ring
    place = first % ring.capacity
    self.oldest[index] = oldest
    self._first[index] = place
    self._second[index] = ring.next[place] % ring.capacity
    self._last[index] = last % ring.capacity
    self.reward.write(index, reward)
    self.discount.write(index, discount)

  def take(self, index: np.ndarray) -> types.Transition:
    """Reads transitions [B]."""
    ring, second = self._ring, self._second[index]
    return types.Transition(
      observation=ring.observation.take(self._first[index]),
      action=ring.action.take(second),
      reward=self.reward.take(index),
      discount=self.discount.take(index),
      next_observation=ring.observation.take(self._last[index]),
      extras=ring.extras.take(second),
      one_step=self._take_one_step(second) if self._one_step else (),
    )

  def _take_one_step(self, second: np.ndarray) -> types.OneStep:
    ring = self._ring
    return types.OneStep(ring.reward.take(second), ring.discount.take(second), ring.observation.take(second))

  def save(self, used: int) -> types.State:
    links = [array[:used].copy() for array in (self.oldest, self._first, self._second, self._last)]
    return {"links": links, "reward": self.reward.save(used), "discount": self.discount.save(used)}

  def restore(self, state: types.State) -> None:
    for array, saved in zip((self.oldest, self._first, self._second, self._last), state["links"], strict=True):
      array[: len(saved)] = saved
    self.reward.restore(state["reward"])
    self.discount.restore(state["discount"])


class SequenceItems:
  """Sequences: the first row, how many steps, and how much padding; the other rows are found by their links."""

  kind = "sequence"

  def __init__(self, ring: Ring, capacity: int, core_spec: types.NestedSpec = ()) -> None:
    """Makes places for items; `core_spec` is that of the recurrent state at their first steps, () for none."""
    self._ring = ring
    self.core = make_column("core", core_spec, capacity)
    self.oldest = np.zeros(capacity, np.int64)  # The oldest row that it needs.
    self._first = np.zeros(capacity, np.intp)  # The place of its first step.
    self._length = np.zeros(capacity, np.int32)
    self._total = np.zeros(capacity, np.int32)  # With padding.

  def write(self, index: Rows, oldest: Any, first: Any, length: Any, padding: Any, core: Any) -> None:
    """Writes items of `length` steps from row number `first` on, with `core` as its column's `check` returned it."""
    self.oldest[index] = oldest
    self._first[index] = first % self._ring.capacity
    self._length[index] = length
    self._total[index] = length + padding
    self.core.write(index, core)

  def take(self, index: np.ndarray) -> types.Sequence:
    """Reads sequences [B, L], all padded to the longest of them."""
    ring, length = self._ring, self._length[index]
    num_steps = int(self._total[index].max())
    places = np.zeros((len(index), num_steps + 1), np.intp)  # [B, L + 1]
    places[:, 0] = self._first[index]
    linked = np.zeros((len(index), num_steps), bool)
    for k in range(num_steps):
      after = ring.next[places[:, k]]
      linked[:, k] = after != NONE
      places[:, k + 1] = after % ring.capacity
    mask = np.arange(num_steps) < length[:, None]  # [B, L]
    here, after = places[:, :-1], places[:, 1:]
    # A step's action lies with the next observation, unless the episode ended in between.
    did = mask & linked & ~ring.start.array[after]
    happened, acted = (None if where.all() else where for where in (mask, did))
    return types.Sequence(
      observation=ring.observation.take(here, happened),
      action=ring.action.take(after, acted),
      reward=ring.reward.take(after, acted),
      discount=ring.discount.take(after, acted),
      start_of_episode=ring.start.take(here, happened),
      mask=mask.astype(np.float32),
      extras=ring.extras.take(after, acted),
      acted=did.astype(np.float32),
      previous_action=ring.action.take(here, happened),
      previous_reward=ring.reward.take(here, happened),
      core=self.core.take(index),
    )

  def save(self, used: int) -> types.State:
    links = [array[:used].copy() for array in (self.oldest, self._first, self._length, self._total)]
    return {"links": links, "core": self.core.save(used)}

  def restore(self, state: types.State) -> None:
    arrays: list[np.ndarray] = [self.oldest, self._first, self._length, self._total]
    for array, saved in zip(arrays, state["links"], strict=True):
      array[: len(saved)] = saved
    self.core.restore(state["core"])


KINDS = {kind.kind: kind for kind in (TransitionItems, SequenceItems)}


def item_bytes(step_spec: types.Step, core_spec: types.NestedSpec = ()) -> int:
  """Bytes that an item takes, of the kind that takes more."""
  returns, core = (
    sum(int(np.prod(leaf.shape)) * np.dtype(leaf.dtype).itemsize for leaf in tree.flatten(spec))
    for spec in ((_floats(step_spec.reward), _floats(step_spec.discount)), core_spec)
  )
  return max(32 + returns, 24 + core)  # The links of a transition, of a sequence.


def _floats(spec: types.NestedSpec) -> types.NestedSpec:
  """The spec of sums of what `spec` describes: floats where that is integers."""
  return tree.map_structure(lambda leaf: specs.Array(leaf.shape, np.result_type(leaf.dtype, np.float32)), spec)
