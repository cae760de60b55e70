"""Games that can only be won by remembering what was seen at the start."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from dm_env import specs

from acme_anakin.environments import base

LEFT, RIGHT, FORWARD = range(3)  # Actions of the T-maze.
_LONGEST = 10**9  # Steps; the T-maze counts to twice that, in an int32.


class State(NamedTuple):
  """What is to be remembered, and how far the episode is."""

  cue: jax.Array  # [] int32, -1 or 1; in memory_len the context, 0 or 1
  time: jax.Array  # [] int32, steps along the corridor, or steps taken


def tmaze(length: int) -> base.Environment:
  """A corridor of `length` steps to a junction, where the way to turn was shown at the start (after Bakker 2001).

  Observations are [cue, at the junction, 1]: the cue is -1 for left and 1 for right, and 0 after the first observation.
  The right turn gives 1, the wrong one -0.1; a turn within the corridor ends the episode with 0. Going forward at the
  junction changes nothing, and episodes have at most 2 length + 10 steps.

  Deviations from Bakker: three actions, not four; a wrong move ends the episode where it cost 0.1; 1 where it was 4.
  """
  _check_length("tmaze", length)

  def observe(state: State, cue: jax.Array) -> jax.Array:
    return jnp.stack([cue, state.time == length, jnp.bool_(True)]).astype(jnp.float32)

  def reset(key: jax.Array) -> tuple[State, jax.Array]:
    state = State(2 * _bit(key) - 1, jnp.int32(0))
    return state, observe(state, state.cue)

  def step(key: jax.Array, state: State, action: jax.Array) -> base.Outcome:
    del key
    turned = jnp.asarray(action != FORWARD)
    prize = jnp.where((action == RIGHT) == (state.cue == 1), jnp.float32(1), jnp.float32(-0.1))
    reward = jnp.where(turned & (state.time == length), prize, 0)
    state = state._replace(time=jnp.where(turned, state.time, jnp.minimum(state.time + 1, length)))
    return base.outcome(state, observe(state, jnp.int32(0)), reward, turned)

  low, high = np.array([-1, 0, 1], np.float32), np.ones(3, np.float32)
  spec = base.make_spec(
    specs.BoundedArray((3,), np.float32, low, high, name="observation"), base.discrete(3), (-0.1, 1)
  )
  environment = base.Environment(name=f"tmaze/{length}", spec=spec, reset=reset, step=step)
  return base.time_limit(environment, 2 * length + 10)


def memory_len(length: int) -> base.Environment:
  """Act, after `length` steps, as the bit that was shown at the start: bsuite's memory_len, by its memory length.

  Observations are [[1 - t / length, 0, ±1 at t = 0]]. As in bsuite a step shows what was before it, so that the first
  step shows t = 0 again; the episode ends with the step after `length` ones, with 1 for the right action and -1 else.
  """
  _check_length("memory_len", length)

  def observe(state: State) -> jax.Array:
    remaining = 1 - state.time.astype(jnp.float32) / length
    shown = jnp.where(state.time == 0, 2 * state.cue - 1, 0).astype(jnp.float32)
    return jnp.stack([remaining, jnp.float32(0), shown])[None]

  def reset(key: jax.Array) -> tuple[State, jax.Array]:
    state = State(_bit(key), jnp.int32(0))
    return state, observe(state)

  def step(key: jax.Array, state: State, action: jax.Array) -> base.Outcome:
    del key
    over = state.time == length
    answer = jnp.where(action == state.cue, jnp.float32(1), jnp.float32(-1))
    return base.outcome(state._replace(time=state.time + 1), observe(state), jnp.where(over, answer, 0), over)

  spec = base.make_spec(specs.Array((1, 3), np.float32, name="observation"), base.discrete(2), (-1, 1))
  return base.Environment(name=f"memory_len/{length}", spec=spec, reset=reset, step=step)


def _bit(key: jax.Array) -> jax.Array:
  return jax.random.bernoulli(key).astype(jnp.int32)


def _check_length(game: str, length: int) -> None:
  """Raises ValueError where there is no such corridor, or an int32 does not hold the steps of one episode."""
  if length < 1:
    raise ValueError(f"{game} length: expected 1 or more, got {length}.")
  if length > _LONGEST:
    raise ValueError(f"{game} length: expected {_LONGEST} at most, got {length}.")
