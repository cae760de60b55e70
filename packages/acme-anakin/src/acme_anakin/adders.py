"""What steps become: the items of `acme_replay`'s adders, made inside a jitted loop.

A tick is one step of N streams, after which an episode that is over begins anew at once. All items that a tick may
complete are computed, and a mask says which of them there are.

Shapes: N streams, n steps, L steps of a sequence, W rows of a window.
"""

from typing import Any, NamedTuple, Protocol, TypeVar

import jax
import jax.numpy as jnp

from acme import experience, types

Array = jax.Array
Nest = TypeVar("Nest")


class Tick(NamedTuple):
  """One step of N streams, each leaf [N, …]."""

  before: types.Step  # o_t with a_{t-1}, r_t, d_t and start_of_episode
  action: types.NestedArray  # a_t
  extras: types.NestedArray  # of a_t
  core: Any  # the recurrent state that went into `act`
  reward: Array  # r_{t+1}
  discount: Array  # d_{t+1}
  observation: types.NestedArray  # o_{t+1}, the last one of its episode where that is over
  last: Array  # bool, whether the episode is over
  after: types.Step  # the step that the next tick begins with: o_{t+1}, or the first one of a new episode


class Adder(Protocol):
  """Makes items of what N streams do."""

  def init(self, example: Tick) -> Any:
    """The state before the first tick, of streams that look like this; begins with `example.before`."""

  def add(self, state: Any, tick: Tick) -> tuple[Any, Any, Array]:
    """Takes a tick: returns the state, items [K, …] in the order of insertion, and which of them there are [K]."""


def make(items: experience.Items) -> Adder:
  """The adder of an experience's items."""
  if isinstance(items, experience.Transitions):
    return Transitions(items)
  return Sequences(items.sequences if isinstance(items, experience.Queue) else items)  # type: ignore[arg-type]


class OpenTransitions(NamedTuple):
  """The transitions of N streams that are not complete, in n slots used in turn; see `acme_replay.returns`."""

  content: Any  # [n, N, …] o_t, a_t, extras and `one_step`
  reward: Array  # [n, N] R
  discount: Array  # [n, N] D
  factor: Array  # [n, N] P
  length: Array  # [N] int32, steps of the longest
  newest: Array  # [] int32, its slot


class Transitions:
  """n-step transitions: one that ends with each step, and at an episode's end all shorter ones too."""

  def __init__(self, items: experience.Transitions) -> None:
    self._items = items

  def init(self, example: Tick) -> Any:
    if self._items.n_step == 1:
      return ()
    content, zeros = jax.tree.map(
      lambda x: jnp.zeros((self._items.n_step, *x.shape), x.dtype), (self._content(example), example.reward)
    )
    return OpenTransitions(content, zeros, zeros, zeros, jnp.zeros(len(example.reward), jnp.int32), jnp.int32(0))

  def add(self, state: Any, tick: Tick) -> tuple[Any, types.Transition, Array]:
    limit = self._items.max_abs_reward
    if limit is not None:
      tick = tick._replace(reward=jnp.clip(tick.reward, -limit, limit))
    if self._items.n_step > 1:
      return self._add_many(state, tick)
    observation, action, *others = self._content(tick)
    item = types.Transition(observation, action, tick.reward, tick.discount, tick.observation, *others)
    return state, item, jnp.ones(tick.last.shape, bool)

  def _content(self, tick: Tick) -> Any:
    one_step = types.OneStep(tick.reward, tick.discount, tick.observation) if self._items.one_step else ()
    return tick.before.observation, tick.action, tick.extras, one_step

  def _add_many(self, state: OpenTransitions, tick: Tick) -> tuple[OpenTransitions, types.Transition, Array]:
    n, gamma = self._items.n_step, self._items.discount
    slot = (state.newest + 1) % n
    content, reward, factor = jax.tree.map(
      lambda slots, x: jax.lax.dynamic_update_index_in_dim(slots, x, slot, 0),
      (state.content, state.reward, state.factor),
      (self._content(tick), jnp.zeros_like(tick.reward), jnp.ones_like(tick.reward)),
    )
    reward = reward + factor * tick.reward  # [n, N]
    discount = factor * tick.discount
    length = jnp.minimum(state.length + 1, n)  # [N]

    # The longest of each stream, then where an episode is over the shorter ones, from long to short.
    steps = jnp.concatenate([length[None], jnp.broadcast_to(jnp.arange(n - 1, 0, -1)[:, None], (n - 1, len(length)))])
    exists = (jnp.arange(n)[:, None] == 0) | (tick.last & (steps < length))  # [n, N]
    where = (slot - steps + 1) % n  # [n, N]
    (observation, action, *others), total, product = jax.tree.map(
      lambda x: x[where, jnp.arange(len(length))], (content, reward, discount)
    )
    target = jax.tree.map(lambda x: jnp.broadcast_to(x, (n, *x.shape)), tick.observation)
    items = types.Transition(observation, action, total, product, target, *others)
    items = jax.tree.map(lambda x: jnp.reshape(x, (-1, *x.shape[2:])), items)  # [n · N, …]
    length = jnp.where(tick.last, 0, length)
    state = OpenTransitions(content, reward, discount, gamma * discount, length, slot)
    return state, items, jnp.reshape(exists, (-1,))


class Window(NamedTuple):
  """The newest rows of N streams, row k at k mod W."""

  rows: types.Step  # [N, W, …]
  core: Any  # [N, W, …], what went into `act` there
  total: Array  # [N] int32, rows so far
  steps: Array  # [N] int32, of them those of this episode, or all where sequences cross episodes


class Sequences:
  """Sequences of L steps; a row is a step, and an episode's final observation is one of its own.

  Two may be completed in a tick: one that ends with o_t, and one with the final observation. Where the host's
  `truncate` makes a shorter one, this one is padded, and its mask says so.
  """

  def __init__(self, items: experience.Sequences) -> None:
    self._items = items
    self._width = items.length + 2  # A tick appends two rows, and a step's action lies with the next row.

  def init(self, example: Tick) -> Window:
    num_streams = len(example.last)
    row = example.before._replace(extras=example.extras)
    shape = (num_streams, self._width)
    rows, core = jax.tree.map(lambda x: jnp.zeros((*shape, *x.shape[1:]), x.dtype), (row, self._core(example)))
    zeros = jnp.zeros(num_streams, jnp.int32)
    return self._append(Window(rows, core, zeros, zeros), self._with_extras(example.before, example), True)

  def _core(self, tick: Tick) -> Any:
    return tick.core if self._items.stored_state else ()

  def _with_extras(self, step: types.Step, tick: Tick) -> types.Step:
    """A first step, whose extras are zeros."""
    return step._replace(extras=jax.tree.map(jnp.zeros_like, tick.extras))

  def add(self, state: Window, tick: Tick) -> tuple[Window, types.Sequence, Array]:
    length, period, continues = self._items.length, self._items.period, self._items.end_of_episode == "continue"

    def due(steps: Array) -> Array:
      return (steps >= length) & ((steps - length) % period == 0)

    whole, whole_end = due(state.steps), state.total  # One that ends with o_t, whose action is known now.
    final = types.Step(
      tick.observation, tick.action, tick.reward, tick.discount, jnp.zeros_like(tick.last), tick.extras
    )
    state = self._append(self._keep(state, tick), final, True)
    state = self._keep(state, tick)  # No action follows: what is kept there only must be something.
    steps = state.steps
    rest, lengths = tick.last & due(steps), jnp.full_like(steps, length)
    if self._items.end_of_episode == "write":
      rest = tick.last & (steps >= length)
    elif not continues:  # What no sequence has yet, from where the next one would begin.
      start = jnp.where(steps < length, 0, (steps - length) // period * period + period)
      lengths = jnp.where(rest, length, steps - start)
      rest = tick.last & (lengths > 0)
    rest_end = state.total
    begun = self._append(state, self._with_extras(tick.after, tick), tick.last)
    state = begun if continues else begun._replace(steps=jnp.where(tick.last, 1, steps))

    ends, lengths = jnp.concatenate([whole_end, rest_end]), jnp.concatenate([jnp.full_like(steps, length), lengths])
    items = self._read(state, jnp.tile(jnp.arange(len(steps)), 2), ends - lengths, lengths)
    return state, items, jnp.concatenate([whole, rest])

  def _keep(self, state: Window, tick: Tick) -> Window:
    """Keeps the recurrent state of the newest row of each stream."""
    newest = (jnp.arange(len(state.total)), (state.total - 1) % self._width)
    return state._replace(core=jax.tree.map(lambda kept, x: kept.at[newest].set(x), state.core, self._core(tick)))

  def _append(self, state: Window, row: types.Step, which: Array | bool) -> Window:
    """Appends a row in the streams of `which` [N]; the recurrent state comes with the next tick."""
    every = jnp.arange(len(state.total))
    place = jnp.where(which, state.total % self._width, self._width)  # Outside where there is none.
    rows = jax.tree.map(lambda kept, x: kept.at[every, place].set(x, mode="drop"), state.rows, row)
    more = jnp.asarray(which, jnp.int32)
    return state._replace(rows=rows, total=state.total + more, steps=state.steps + more)

  def _read(self, state: Window, stream: Array, first: Array, length: Array) -> types.Sequence:
    """Sequences [K, L] of some streams [K], from the row numbered `first` [K] on."""
    number = first[:, None] + jnp.arange(self._items.length + 1)  # [K, L + 1]
    rows = jax.tree.map(lambda x: x[stream[:, None], number % self._width], state.rows)
    core = jax.tree.map(lambda x: x[stream, first % self._width], state.core)
    mask = jnp.arange(self._items.length) < length[:, None]  # [K, L]
    here, after = (jax.tree.map(lambda x, s=part: x[:, s], rows) for part in (slice(None, -1), slice(1, None)))
    exists = number[:, 1:] < state.total[stream][:, None]
    acted = mask & exists & ~after.start_of_episode
    return types.Sequence(
      observation=zero_unless(mask, here.observation),
      action=zero_unless(acted, after.action),
      reward=zero_unless(acted, after.reward),
      discount=zero_unless(acted, after.discount),
      start_of_episode=here.start_of_episode & mask,
      mask=mask.astype(jnp.float32),
      extras=zero_unless(acted, after.extras),
      acted=acted.astype(jnp.float32),
      previous_action=zero_unless(mask, here.action),
      previous_reward=zero_unless(mask, here.reward),
      core=core,
    )


def zero_unless(mask: Array, nest: Nest) -> Nest:
  """Leaves [*mask.shape, …], zeros where not `mask`."""
  return jax.tree.map(
    lambda x: jnp.where(mask.reshape(mask.shape + (1,) * (x.ndim - mask.ndim)), x, jnp.zeros_like(x)), nest
  )
