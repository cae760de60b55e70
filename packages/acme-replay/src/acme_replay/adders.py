"""Adders: what the steps of episodes become in a table.

Shapes: N streams, K of them, L steps of a sequence.
"""

from typing import Any, Literal

import dm_env
import numpy as np
import tree

from acme import experience, replay, types, validation
from acme_replay.returns import ArrayReturns, ScalarReturns
from acme_replay.value_range import ReturnsInRange

_FIRST, _LAST = int(dm_env.StepType.FIRST), int(dm_env.StepType.LAST)


class _Adder(replay.Adder):
  """Appends the steps.

  The first step of an episode has zeros for an action; the first action shows what these are like, so it waits for it.
  """

  def __init__(self, writer: replay.Writer, table: str) -> None:
    self._writer = writer
    self._table = table
    self._num_streams = writer.num_streams
    self._streams = np.arange(writer.num_streams or 1)
    self._in_episode = False
    self._first: types.NestedArray | None = None  # The observation with which an episode began.

  def add_first(self, timestep: dm_env.TimeStep) -> None:
    """Begins an episode, of every stream where there are several; one still in progress is dropped."""
    self.reset()
    self._first = _map(np.array, timestep.observation)
    self._in_episode = True

  def reset(self) -> None:
    self._in_episode = False
    self._first = None

  def _append_first(self, action: types.NestedArray, timestep: dm_env.TimeStep, extras: types.NestedArray) -> None:
    """Appends the first step that waited for the one after it, which these are of, where there is one."""
    if not self._in_episode:
      raise RuntimeError("add() came before add_first(): begin each episode with the timestep of reset().")
    if self._first is None:
      return
    zeros = [_map(np.zeros_like, x) for x in (action, timestep.reward, extras)]
    start = True if self._num_streams is None else np.ones(self._num_streams, bool)
    ones = _map(np.ones_like, timestep.discount)
    self._writer.append(types.Step(self._first, zeros[0], zeros[1], ones, start, zeros[2]))
    self._first = None

  def _append(self, action: types.NestedArray, timestep: dm_env.TimeStep, extras: types.NestedArray) -> None:
    """Appends a step."""
    reward, discount = timestep.reward, timestep.discount
    if self._num_streams is None:
      self._writer.append(types.Step(timestep.observation, action, reward, discount, False, extras))
      return
    start = np.asarray(timestep.step_type) == _FIRST
    if _any(start):
      action, reward, extras = (_map(lambda x: _put(x, start, 0), nest) for nest in (action, reward, extras))
      discount = _map(lambda x: _put(x, start, 1), discount)
    self._writer.append(types.Step(timestep.observation, action, reward, discount, start, extras))

  def save(self) -> types.State:
    return {"writer": self._writer.save(), "in_episode": self._in_episode, "first": self._first}

  def restore(self, state: types.State) -> None:
    self._writer.restore(state["writer"])
    self._in_episode = state["in_episode"]
    self._first = state["first"]


class NStepTransitionAdder(_Adder):
  """Makes n-step transitions: from o_t to o_{t+n},

    R = Σ_{k<n} γ^k (Π_{j<k} d_{t+j+1}) r_{t+k+1},    D = γ^(n-1) Π_{k<n} d_{t+k+1},

  one after each step. Shorter ones begin an episode, from its first observation until n steps exist, and end it: those
  of n - 1 steps and fewer to its last observation. A truncated episode ends in the same way, with the discounts as they
  came. With n = 2, four observations give s1→s2, s1→s3, s2→s4, s3→s4.
  """

  def __init__(
    self,
    writer: replay.Writer,
    n_step: int = 1,
    discount: float = 1.0,
    table: str = "replay",
    *,
    max_abs_reward: float | None = None,
  ) -> None:
    """Makes an adder.

    Args:
      writer: of one stream, or of N.
      n_step: n, 1 or more.
      discount: γ, in [0, 1].
      table: where the items go.
      max_abs_reward: clips each step's reward to [−x, x] before it is stored and summed, in its own dtype, which must
        hold x; None leaves it.
    """
    super().__init__(writer, table)
    if n_step < 1 or isinstance(n_step, bool) or int(n_step) != n_step:
      raise ValueError(f"n_step: expected an integer of 1 or more, got {n_step!r}.")
    if not 0 <= discount <= 1:
      raise ValueError(f"discount: expected γ in [0, 1], got {discount!r}.")
    self._n_step = int(n_step)
    self._limit = max_abs_reward
    self._gamma = float(discount)
    self._returns: Any = None  # Made at the first step, which shows what rewards are like.
    self._saved_returns: types.State = None
    self._longest = np.zeros(len(self._streams), np.int64)  # [N], steps of the longest that is open.
    self._all_full = False  # Whether that is n in every stream.

  def reset(self) -> None:
    super().reset()
    self._longest = np.zeros_like(self._longest)
    self._all_full = False
    if isinstance(self._returns, ScalarReturns):
      self._returns.reset()

  def _clip(self, reward: Any) -> Any:
    assert self._limit is not None
    clipped = np.clip(reward, -self._limit, self._limit)
    dtype = np.asarray(reward).dtype
    return clipped if dtype.kind == "f" else validation.convert("clipped reward", clipped, dtype)[()]

  def add(
    self,
    action: types.NestedArray,
    next_timestep: dm_env.TimeStep,
    extras: types.NestedArray = (),
    core: types.NestedArray = (),
  ) -> None:
    if self._limit is not None:
      next_timestep = next_timestep._replace(reward=_map(self._clip, next_timestep.reward))
    self._append_first(action, next_timestep, extras)
    self._append(action, next_timestep, extras)
    reward, discount = next_timestep.reward, next_timestep.discount
    returns = self._returns
    if returns is None:
      returns = self._make_returns(reward, discount)
    if type(returns) is not ScalarReturns:
      self._add_arrays(next_timestep)
      return
    returns.step(reward, discount)
    longest = returns.longest
    create_item, table = self._writer.create_item, self._table
    create_item(table, replay.TransitionItem(longest, *returns.of_length(longest)))
    if next_timestep.step_type == _LAST:
      for steps in range(longest - 1, 0, -1):
        create_item(table, replay.TransitionItem(steps, *returns.of_length(steps)))
      returns.reset()
      self._in_episode = False

  def _make_returns(self, reward: types.NestedArray, discount: types.NestedArray) -> Any:
    one = self._num_streams is None
    if one and not any(tree.is_nested(x) or np.ndim(x) for x in (reward, discount)):
      self._returns = ScalarReturns(self._n_step, self._gamma)
    else:
      reward, discount = (_map(_lead, x) if one else x for x in (reward, discount))
      self._returns = ArrayReturns(self._n_step, self._gamma, reward, discount)
    if self._saved_returns is not None:
      self._returns.restore(self._saved_returns)
      self._saved_returns = None
    return self._returns

  def _add_arrays(self, timestep: dm_env.TimeStep) -> None:
    """Takes the returns of all streams a step on, and makes the items that this completes."""
    if self._num_streams is None:
      step_type = np.array([int(timestep.step_type)])
      self._returns.step(_map(_lead, timestep.reward), _map(_lead, timestep.discount))
    else:
      step_type = np.asarray(timestep.step_type)
      self._returns.step(timestep.reward, timestep.discount)
    first, last = step_type == _FIRST, step_type == _LAST
    if self._all_full and not _any(first):
      self._create(self._streams, self._n_step)
    else:
      self._longest = np.minimum(self._longest + 1, self._n_step) * ~first
      self._all_full = int(self._longest.min()) == self._n_step
      self._create(self._longest.nonzero()[0], self._n_step if self._all_full else self._longest)
    if not _any(last):
      return
    ended = last.nonzero()[0]
    for steps in range(int(self._longest[ended].max()) - 1, 0, -1):
      self._create(ended[self._longest[ended] > steps], steps)
    self._longest[ended] = 0
    self._all_full = False
    self._in_episode = self._num_streams is not None

  def _create(self, streams: np.ndarray, steps: Any) -> None:
    """Makes transitions of `steps` steps, an int or [N], to the newest observation of the streams [K]."""
    if not len(streams):
      return
    if not isinstance(steps, int):
      steps = steps[streams]
    reward, discount = self._returns.of_length(steps, streams)
    if self._num_streams is None:
      item = replay.TransitionItem(int(np.max(steps)), _map(_only, reward), _map(_only, discount))
      self._writer.create_item(self._table, item)
      return
    num_steps = np.full(len(streams), steps) if isinstance(steps, int) else steps
    self._writer.create_item(self._table, replay.TransitionItem(num_steps, reward, discount), streams=streams)

  def save(self) -> types.State:
    returns = self._saved_returns if self._returns is None else self._returns.save()
    return super().save() | {"returns": returns, "longest": self._longest.copy()}

  def restore(self, state: types.State) -> None:
    super().restore(state)
    self._longest, self._all_full = np.array(state["longest"]), False
    self._returns, self._saved_returns = None, state["returns"]


class SequenceAdder(_Adder):
  """Makes sequences of L steps: the first when L exist, then one every `period`.

  A step is o_t with a_t, r_{t+1}, d_{t+1}, so it exists once o_{t+1} is there; the final observation of an episode is a
  step of its own, with zeros for these. What becomes of the steps at the end that no sequence has yet:

    zero_pad   a sequence that begins where the next one would, padded with zeros that `mask` marks, to L;
    truncate   the same without the padding: a shorter item (a sample pads to the longest of its batch);
    write      the last L steps, which overlap more with the sequence before; an episode of fewer is dropped;
    continue   the next episode follows: sequences cross, and `start_of_episode` says where.
  """

  def __init__(
    self,
    writer: replay.Writer,
    length: int,
    period: int,
    end_of_episode: Literal["zero_pad", "truncate", "write", "continue"] = "zero_pad",
    table: str = "replay",
    *,
    core_spec: types.NestedSpec = (),
  ) -> None:
    """Makes an adder.

    Args:
      writer: of one stream, or of N.
      length: L, 1 or more.
      period: steps from the beginning of one sequence to that of the next, 1 or more.
      end_of_episode: see above.
      table: where the items go.
      core_spec: of the recurrent state that went into `act`, of which an item keeps the one at its first step; () for
        none.
    """
    super().__init__(writer, table)
    if length < 1 or period < 1:
      raise ValueError(f"Sequences: expected a length and a period of 1 or more, got {length} and {period}.")
    if end_of_episode not in ("zero_pad", "truncate", "write", "continue"):
      raise ValueError(f"end_of_episode: expected zero_pad, truncate, write or continue, got {end_of_episode!r}.")
    self._length = length
    self._period = period
    self._end = end_of_episode
    self._rows = np.zeros(len(self._streams), np.int64)  # [N], in this episode, or ever since where it continues.
    self._ended = np.zeros(len(self._streams), bool)  # [N], whether the newest row ended an episode.
    self._core_spec = core_spec
    zeros = _map(lambda leaf: np.zeros((len(self._streams), *leaf.shape), leaf.dtype), core_spec)
    # The states of the last L rows, by row mod L; as they came: most are never looked at.
    self._cores: list[types.NestedArray] | None = [zeros] * length if tree.flatten(core_spec) else None
    self._tick = 0  # The newest row.

  def add_first(self, timestep: dm_env.TimeStep) -> None:
    rows = self._rows * (self._ended & (self._end == "continue"))
    super().add_first(timestep)
    self._rows = rows + 1
    self._tick += 1

  def reset(self) -> None:
    super().reset()
    self._rows = np.zeros_like(self._rows)
    self._ended = np.zeros_like(self._ended)

  def add(
    self,
    action: types.NestedArray,
    next_timestep: dm_env.TimeStep,
    extras: types.NestedArray = (),
    core: types.NestedArray = (),
  ) -> None:
    """Records that `action` led to `next_timestep`.

    `core` has a leading [N], or [1] over one stream, and is read when a sequence is made that begins here: its arrays
    may not be written to again.
    """
    step_type = np.atleast_1d(np.asarray(next_timestep.step_type, np.int64))
    first, last = step_type == _FIRST, step_type == _LAST
    self._check_lengths(first)
    continues = self._end == "continue"
    self._keep(core)
    self._append_first(action, next_timestep, extras)
    # The next observation completes the newest step, so an item made now will have its action.
    self._create(self._is_due() & ~self._ended, self._length, 0)
    self._append(action, next_timestep, extras)
    self._tick += 1
    self._keep(core)  # Until the next is known; nothing is done at the end of an episode, where it never is.
    self._rows = np.where(first & (not continues), 1, self._rows + 1)
    if last.any():
      self._create(last & self._is_due(), self._length, 0)
      if not continues:
        self._finish(last & ~self._is_due())
    self._ended = last
    self._in_episode = self._num_streams is not None or not last[0]

  def _check_lengths(self, first: np.ndarray) -> None:
    """Raises where an episode may not have one more step."""

  def _is_due(self) -> np.ndarray:
    """Which streams [N] have steps for another sequence, up to their newest row."""
    return (self._rows >= self._length) & ((self._rows - self._length) % self._period == 0)

  def _finish(self, streams: np.ndarray) -> None:
    """Makes items of the steps at the end of an episode that no sequence ends with."""
    if self._end == "write":
      self._create(streams & (self._rows >= self._length), self._length, 0)
      return
    # Sequences begin at multiples of the period; the last one made began at `begun`, before 0 where there is none.
    begun = (self._rows - self._length) // self._period * self._period
    start = np.where(self._rows < self._length, 0, begun + self._period)
    length = self._rows - start
    # With a period above the length, the end may lie between two sequences.
    self._create(streams & (length > 0), length, self._length - length if self._end == "zero_pad" else 0)

  def _create(self, mask: np.ndarray, length: Any, padding: Any) -> None:
    """Makes sequences that end with the newest row of the streams in `mask` [N]; lengths, paddings: ints or [N]."""
    if not mask.any():
      return
    streams = np.flatnonzero(mask)
    lengths, paddings = (np.broadcast_to(x, mask.shape)[streams] for x in (length, padding))
    core = self._core(streams, lengths)
    if self._num_streams is None:
      item = replay.SequenceItem(int(lengths[0]), int(paddings[0]), _map(_only, core))
      self._writer.create_item(self._table, item)
      return
    self._writer.create_item(self._table, replay.SequenceItem(lengths, paddings, core), streams=streams)  # type: ignore[arg-type]

  def _keep(self, core: types.NestedArray) -> None:
    """Remembers the state that went into `act` at the newest row."""
    if self._cores is not None:
      self._cores[self._tick % self._length] = core

  def _core(self, streams: np.ndarray, lengths: np.ndarray) -> types.NestedArray:
    """The states [K, …] at the first of the last `lengths` [K] rows of the streams [K]."""
    if self._cores is None:
      return ()
    cores = [self._cores[(self._tick - length + 1) % self._length] for length in lengths.tolist()]
    return tree.map_structure(
      lambda *leaves: np.stack([np.asarray(leaf)[i] for leaf, i in zip(leaves, streams, strict=True)]), *cores
    )

  def save(self) -> types.State:
    cores = None if self._cores is None else [[np.array(x) for x in tree.flatten(core)] for core in self._cores]
    rows = {"rows": self._rows.copy(), "ended": self._ended.copy(), "tick": self._tick}
    return super().save() | rows | {"cores": cores}

  def restore(self, state: types.State) -> None:
    super().restore(state)
    self._rows, self._ended = np.array(state["rows"]), np.array(state["ended"])
    self._tick = state["tick"]
    if self._cores is not None:
      self._cores = [tree.unflatten_as(self._core_spec, leaves) for leaves in state["cores"]]


class EpisodeAdder(SequenceAdder):
  """Makes one sequence of each whole episode, padded with zeros to a fixed length."""

  def __init__(self, writer: replay.Writer, max_length: int, table: str = "replay") -> None:
    """Makes an adder.

    Args:
      writer: of one stream, or of N.
      max_length: L, the observations of the longest episode: one more than its steps.
      table: where the items go.
    """
    super().__init__(writer, max_length, period=max_length, end_of_episode="zero_pad", table=table)

  def _check_lengths(self, first: np.ndarray) -> None:
    """Raises ValueError where an episode has more observations than max_length."""
    long = (self._rows + 1 > self._length) & ~first
    if long.any():
      raise ValueError(
        f"An episode has more than max_length = {self._length} observations: raise max_length, or limit the episodes "
        "(acme.wrappers.StepLimit)."
      )


def make_adder(items: experience.Items, writer: replay.Writer, table: str) -> replay.Adder:
  """Makes the adder of an experience's items over a writer."""
  if isinstance(items, experience.Transitions):
    adder: replay.Adder = NStepTransitionAdder(
      writer, items.n_step, items.discount, table, max_abs_reward=items.max_abs_reward
    )
    if items.value_range is None:
      return adder
    return ReturnsInRange(adder, items.discount, *items.value_range, max_abs_reward=items.max_abs_reward)
  if isinstance(items, experience.Queue):
    items = items.sequences
  if isinstance(items, experience.Sequences):
    return SequenceAdder(writer, items.length, items.period, items.end_of_episode, table, core_spec=items.core_spec)
  raise TypeError(f"Expected Transitions, Sequences or a Queue, got {items!r}.")


def num_crossing(items: experience.Items, rows: int) -> int | None:
  """How many sequences there are of a dataset of so many rows, where they cross episodes; None for other items.

  One begins at every multiple of the period: those that come to the dataset's end go on at its beginning, so that no
  step is left out, as the last episode's would be, where its reward may lie.
  """
  if not isinstance(items, experience.Sequences) or items.end_of_episode != "continue":
    return None
  return -(-rows // items.period)


def _map(function: Any, nest: types.NestedArray) -> types.NestedArray:
  """tree.map_structure, which is slow, where there is a structure."""
  return tree.map_structure(function, nest) if isinstance(nest, dict | list | tuple) else function(nest)


def _any(mask: np.ndarray) -> bool:
  """mask.any(), five times as fast for a few elements."""
  return 1 in mask.tobytes()


def _put(leaf: np.ndarray, where: np.ndarray, value: float) -> np.ndarray:
  """A copy with `value` at the streams `where`."""
  copy = np.array(leaf)
  copy[where] = value
  return copy


def _lead(leaf: Any) -> np.ndarray:
  return np.asarray(leaf)[None]


def _only(leaf: np.ndarray) -> np.ndarray:
  return leaf[0]
