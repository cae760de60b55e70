"""How steps and items lie in Reverb: one column for each leaf of a step, and a few that describe the item.

An item of either kind has the same columns, so that a server needs the step spec alone:

  columns                                transition               sequence of L steps
  observation, start_of_episode          [2, …] rows t and t+n    [L, …] rows i … i+L-1
  action, reward, discount, extras       [1, …] row t+1           [L, …] rows i+1 … i+L; zeros where there is none
  item_reward, item_discount             […] R and D              […] zeros
  item_kind                              [3] 0, 1, 1              [3] 1, L, L + padding
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tree

from acme import replay, specs, types

TRANSITION, SEQUENCE = 0, 1
_KINDS = {TRANSITION: "transition", SEQUENCE: "sequence"}


class Layout:
  """The columns that a step spec makes."""

  def __init__(self, step_spec: types.Step) -> None:
    self._spec = step_spec
    self.step_leaves: list[specs.Array] = tree.flatten(step_spec)
    self.step_names = _names(step_spec)
    returns = (_floats(step_spec.reward), _floats(step_spec.discount))
    self._returns = returns
    self._return_leaves = tree.flatten(returns)
    self._return_names = ["item_" + name for name in _names(types.Step((), (), *returns, ()))]
    self.num_step = len(self.step_leaves)
    self.num_columns = self.num_step + len(self._return_leaves) + 1
    # Whether a column goes with the observation, or with the step after it.
    self.with_observation = [name.split("/")[0] in ("observation", "start_of_episode") for name in self.step_names]

  def signature(self) -> list[Any]:
    """The signature of every table: a `tf.TensorSpec` for each column, named."""
    import tensorflow as tf

    step = [
      tf.TensorSpec([None, *leaf.shape], leaf.dtype, name)
      for leaf, name in zip(self.step_leaves, self.step_names, strict=True)
    ]
    returns = [
      tf.TensorSpec(leaf.shape, leaf.dtype, name)
      for leaf, name in zip(self._return_leaves, self._return_names, strict=True)
    ]
    return [*step, *returns, tf.TensorSpec([3], tf.int64, "item_kind")]

  def step_row(self, step: types.Step, count: int | None) -> list[np.ndarray]:
    """The leaves of a step, or of `count` with a leading [count]. Raises ValueError where they do not fit the spec."""
    return _check(step, self._spec, self.step_leaves, self.step_names, count)

  def item_row(self, item: replay.TransitionItem | replay.SequenceItem) -> list[np.ndarray]:
    """What the columns of one item hold beside its steps."""
    if isinstance(item, replay.SequenceItem):
      zeros = [np.zeros(leaf.shape, leaf.dtype) for leaf in self._return_leaves]
      return [*zeros, np.array([SEQUENCE, item.length, item.length + item.padding], np.int64)]
    given = (item.reward, item.discount)
    returns = _check(given, self._returns, self._return_leaves, self._return_names, None)
    return [*returns, np.array([TRANSITION, 1, 1], np.int64)]

  def zero_row(self) -> list[np.ndarray | None]:
    """Zeros for the columns that go with the step after an observation, None for the others."""
    return [
      None if first else np.zeros(leaf.shape, leaf.dtype)
      for leaf, first in zip(self.step_leaves, self.with_observation, strict=True)
    ]

  def decode(self, columns: Sequence[np.ndarray]) -> types.Transition | types.Sequence:
    """A batch of items from its columns [B, …], in which shorter items are padded with zeros."""
    kind, length, total = columns[-1].T  # [B] each
    if (kind != kind[0]).any():
      raise ValueError("A batch holds transition and sequence items: give each kind a table of its own.")
    step, returns = columns[: self.num_step], columns[self.num_step : -1]
    if kind[0] == SEQUENCE:
      return self._sequence(step, length, total)
    first = types.Step(*tree.unflatten_as(self._spec, [column[:, 0] for column in step]))
    last = types.Step(*tree.unflatten_as(self._spec, [column[:, -1] for column in step]))
    reward, discount = tree.unflatten_as(self._returns, list(returns))
    return types.Transition(first.observation, first.action, reward, discount, last.observation, first.extras)

  def _sequence(self, columns: Sequence[np.ndarray], length: np.ndarray, total: np.ndarray) -> types.Sequence:
    longest = int(total.max())
    mask = np.arange(longest) < length[:, None]  # [B, L]
    padded = [_pad(column, longest) for column in columns]  # [B, L, …]
    start = padded[self.step_names.index("start_of_episode")]
    # Where the next observation came from a reset, nothing was done at this one.
    idle = np.zeros_like(mask)
    idle[:, :-1] = start[:, 1:]
    if idle.any():
      for column, first in zip(padded, self.with_observation, strict=True):
        if not first:
          column[idle] = 0
    step = types.Step(*tree.unflatten_as(self._spec, padded))
    return types.Sequence(
      step.observation,
      step.action,
      step.reward,
      step.discount,
      step.start_of_episode,
      mask.astype(np.float32),
      step.extras,
    )


def kind_name(item: replay.TransitionItem | replay.SequenceItem) -> str:
  """What an error calls an item."""
  return _KINDS[SEQUENCE if isinstance(item, replay.SequenceItem) else TRANSITION]


def _pad(column: np.ndarray, longest: int) -> np.ndarray:
  """A copy of [B, l, …] with zeros up to [B, L, …]."""
  result = np.zeros((column.shape[0], longest, *column.shape[2:]), column.dtype)
  result[:, : column.shape[1]] = column
  return result


def _names(step: types.Step) -> list[str]:
  names = []
  for field in types.Step._fields:
    for path, _ in tree.flatten_with_path(getattr(step, field)):
      names.append("/".join([field, *map(str, path)]))
  return names


def _floats(spec: types.NestedSpec) -> types.NestedSpec:
  """The spec of sums of what `spec` describes: floats where that is integers."""
  return tree.map_structure(lambda leaf: specs.Array(leaf.shape, np.result_type(leaf.dtype, np.float32)), spec)


def _check(value: Any, spec: Any, leaves: list[specs.Array], names: list[str], count: int | None) -> list[np.ndarray]:
  """The leaves of a value as arrays of their specs' dtypes, each with a leading [count] where that is given."""
  try:
    tree.assert_same_structure(spec, value, check_types=False)
  except (ValueError, TypeError) as error:
    raise ValueError(
      f"Expected the structure of the step spec, {specs.describe(spec)}, got another one. {error}"
    ) from None
  lead = () if count is None else (count,)
  checked = []
  for leaf, given, name in zip(leaves, tree.flatten(value), names, strict=True):
    array = np.asarray(given)
    if array.shape != (*lead, *leaf.shape):
      raise ValueError(f"{name}: expected shape {(*lead, *leaf.shape)} as the step spec says, got {array.shape}.")
    if array.dtype != leaf.dtype and not np.can_cast(array.dtype, leaf.dtype, "same_kind"):
      raise ValueError(f"{name}: expected dtype {leaf.dtype} as the step spec says, got {array.dtype}.")
    checked.append(array.astype(leaf.dtype, copy=False))
  return checked
