"""How steps and items lie in Reverb: one column for each leaf of a step, and a few that describe the item.

An item of either kind has the same columns:

  columns                         transition                   sequence of L steps
  observation, start_of_episode   [K, …] rows t and t+n        [L, …] rows i … i+L-1
  action, reward                  [1, …] row t+1               [L+1, …] rows i … i+L
  discount, extras                [1, …] row t+1               [L, …] rows i+1 … i+L
  item_reward, item_discount      […] R and D                  […] zeros
  item_core                       […] zeros                    […] the recurrent state at row i
  item_kind                       [4] 0, K, K, 1               [4] 1, L, L + padding, whether row i+L is there

Where row i+L is not there, zeros stand for it. K is 2; with `one_step` it is 3 where n is above 1, and row t+1 comes
between: Reverb takes no row twice.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tree

from acme import replay, specs, types

TRANSITION, SEQUENCE = 0, 1
_KINDS = {TRANSITION: "transition", SEQUENCE: "sequence"}


_SPANS = {  # Of the L + 1 rows of a sequence, those that a column has.
  "observation": slice(0, -1),
  "action": slice(0, None),
  "reward": slice(0, None),
  "discount": slice(1, None),
  "start_of_episode": slice(0, -1),
  "extras": slice(1, None),
}


class Layout:
  """The columns that a step spec makes, and the spec of the recurrent state that sequences keep."""

  def __init__(self, step_spec: types.Step, core_spec: types.NestedSpec = (), one_step: bool = False) -> None:
    self._spec = step_spec
    self._core_spec = core_spec
    self.one_step = one_step
    self.step_leaves: list[specs.Array] = tree.flatten(step_spec)
    self.step_names = _names(step_spec)
    returns = (_floats(step_spec.reward), _floats(step_spec.discount))
    self._returns = returns
    self._return_leaves = tree.flatten(returns)
    self._return_names = ["item_" + name for name in _names(types.Step((), (), *returns, ()))]
    self._core_leaves = tree.flatten(core_spec)
    self._core_names = ["/".join(["item_core", *map(str, path)]) for path, _ in tree.flatten_with_path(core_spec)]
    self.num_step = len(self.step_leaves)
    self.num_columns = self.num_step + len(self._return_leaves) + len(self._core_leaves) + 1
    self.spans = [_SPANS[name.split("/")[0]] for name in self.step_names]
    # Whether a column needs no row after the last step of an item.
    self.with_observation = [span.stop == -1 for span in self.spans]

  def signature(self) -> list[Any]:
    """The signature of every table: a `tf.TensorSpec` for each column, named."""
    import tensorflow as tf

    step = [
      tf.TensorSpec([None, *leaf.shape], leaf.dtype, name)
      for leaf, name in zip(self.step_leaves, self.step_names, strict=True)
    ]
    item = [
      tf.TensorSpec(leaf.shape, leaf.dtype, name)
      for leaf, name in zip(
        [*self._return_leaves, *self._core_leaves], [*self._return_names, *self._core_names], strict=True
      )
    ]
    return [*step, *item, tf.TensorSpec([4], tf.int64, "item_kind")]

  def step_row(self, step: types.Step, count: int | None) -> list[np.ndarray]:
    """The leaves of a step, or of `count` with a leading [count]. Raises ValueError where they do not fit the spec."""
    return _check(step, self._spec, self.step_leaves, self.step_names, count)

  def item_row(self, item: replay.TransitionItem | replay.SequenceItem, followed: bool = True) -> list[np.ndarray]:
    """What the columns of one item hold beside its steps; `followed` says whether a sequence has a row after them."""
    if isinstance(item, replay.SequenceItem):
      core = _check(item.core, self._core_spec, self._core_leaves, self._core_names, None)
      kind = [SEQUENCE, item.length, item.length + item.padding, followed]
      return [*_zeros(self._return_leaves), *core, np.array(kind, np.int64)]
    given = (item.reward, item.discount)
    returns = _check(given, self._returns, self._return_leaves, self._return_names, None)
    rows = self.num_seen(item)
    return [*returns, *_zeros(self._core_leaves), np.array([TRANSITION, rows, rows, 1], np.int64)]

  def num_seen(self, item: replay.TransitionItem) -> int:
    """K, how many observations a transition has."""
    return 3 if self.one_step and item.num_steps > 1 else 2

  def zero_row(self) -> list[np.ndarray | None]:
    """Zeros for the columns that go with the step after an observation, None for the others."""
    return [
      None if first else np.zeros(leaf.shape, leaf.dtype)
      for leaf, first in zip(self.step_leaves, self.with_observation, strict=True)
    ]

  def decode(self, columns: Sequence[np.ndarray]) -> types.Transition | types.Sequence:
    """A batch of items from its columns [B, …], in which shorter items are padded with zeros."""
    kind, length, total, followed = columns[-1].T  # [B] each
    if (kind != kind[0]).any():
      raise ValueError("A batch holds transition and sequence items: give each kind a table of its own.")
    step, item = columns[: self.num_step], columns[self.num_step : -1]
    returns, core = item[: len(self._return_leaves)], item[len(self._return_leaves) :]
    if kind[0] == SEQUENCE:
      sequence = self._sequence(step, length, total, followed)
      return sequence._replace(core=tree.unflatten_as(self._core_spec, list(core)))
    first = self._step([column[:, 0] for column in step])
    reward, discount = tree.unflatten_as(self._returns, list(returns))
    one_step = types.OneStep(first.reward, first.discount, self._seen(step, 1)) if self.one_step else ()
    last = self._seen(step, length - 1)
    return types.Transition(first.observation, first.action, reward, discount, last, first.extras, one_step)

  def _seen(self, columns: Sequence[np.ndarray], row: Any) -> types.NestedArray:
    """The observations [B, …] of one row of each item, an int or [B]."""
    leaves = columns[: len(tree.flatten(self._spec.observation))]
    return tree.unflatten_as(self._spec.observation, [leaf[np.arange(len(leaf)), row] for leaf in leaves])

  def _sequence(
    self, columns: Sequence[np.ndarray], length: np.ndarray, total: np.ndarray, followed: np.ndarray
  ) -> types.Sequence:
    longest = int(total.max())
    mask = np.arange(longest) < length[:, None]  # [B, L]
    start = _pad(columns[self.step_names.index("start_of_episode")], longest)
    # Where the next observation came from a reset, or is not there, nothing was done at this one.
    acted = mask.copy()
    acted[:, :-1] &= ~start[:, 1:]
    acted[np.arange(len(length)), length - 1] = followed
    here = [  # The step itself: what was seen, and what led to it.
      _pad(column, longest, mask) for column in columns
    ]
    after = [  # What was done there, and what that led to.
      _pad(column[:, 1:] if span == slice(0, None) else column, longest, acted)
      for column, span in zip(columns, self.spans, strict=True)
    ]
    step, done = self._step(here), self._step(after)
    return types.Sequence(
      observation=step.observation,
      action=done.action,
      reward=done.reward,
      discount=done.discount,
      start_of_episode=start,
      mask=mask.astype(np.float32),
      extras=done.extras,
      acted=acted.astype(np.float32),
      previous_action=step.action,
      previous_reward=step.reward,
    )

  def _step(self, leaves: list[np.ndarray]) -> types.Step:
    return types.Step(*tree.unflatten_as(self._spec, leaves))


def kind_name(item: replay.TransitionItem | replay.SequenceItem) -> str:
  """What an error calls an item."""
  return _KINDS[SEQUENCE if isinstance(item, replay.SequenceItem) else TRANSITION]


def _pad(column: np.ndarray, longest: int, where: np.ndarray | None = None) -> np.ndarray:
  """A copy of [B, l, …] as [B, L, …], cut off or with zeros at the end; zeros also where `where` [B, L] is False."""
  result = np.zeros((column.shape[0], longest, *column.shape[2:]), column.dtype)
  there = min(longest, column.shape[1])
  result[:, :there] = column[:, :there]
  if where is not None:
    result[~where] = 0
  return result


def _zeros(leaves: Sequence[specs.Array]) -> list[np.ndarray]:
  return [np.zeros(leaf.shape, leaf.dtype) for leaf in leaves]


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
    checked.append(array if array.dtype == leaf.dtype else _cast(array, np.dtype(leaf.dtype), name))
  return checked


def _cast(array: np.ndarray, dtype: np.dtype, name: str) -> np.ndarray:
  """The same numbers in another size. Raises ValueError where they would be others; floats may be rounded."""
  integers = array.dtype.kind in "biu" and dtype.kind in "iu"
  if not integers and not np.can_cast(array.dtype, dtype, "same_kind"):
    raise ValueError(f"{name}: expected dtype {dtype} as the step spec says, got {array.dtype}.")
  with np.errstate(over="ignore", invalid="ignore"):
    cast = array.astype(dtype)
    if array.dtype.kind in "biu":
      changed = (cast.astype(array.dtype) != array) | ((cast < 0) != (array < 0))
    else:
      changed = np.isinf(cast) & ~np.isinf(array)
  if changed.any():
    place = tuple(map(int, np.argwhere(changed)[0]))
    raise ValueError(
      f"{name}: expected numbers that fit in {dtype} as the step spec says, got {array[place]}"
      f"{f' at {place}' if place else ''}, which would become {cast[place]}."
    )
  return cast
