"""Catch: a ball falls, and a paddle at the bottom must be under it (Mnih et al. 2014, 1406.6247), as bsuite has it."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from dm_env import specs

from acme_anakin.environments import base

_ROWS, _COLUMNS = 10, 5
_SQUARE, _MARGIN = (8, 16), 2  # Pixels: 10 × 8 and 5 × 16 are 80, and 84 with the margins.


class State(NamedTuple):
  """Where the ball and the paddle are."""

  ball_row: jax.Array  # [] int32
  ball_column: jax.Array  # [] int32
  paddle: jax.Array  # [] int32, its column in the lowest row


def catch() -> base.Environment:
  """Actions: left, stay, right. The episode ends when the ball is down, with 1 where it was caught and -1 where not."""

  def reset(key: jax.Array) -> tuple[State, jax.Array]:
    column = jax.random.randint(key, (), 0, _COLUMNS, jnp.int32)
    state = State(jnp.int32(0), column, jnp.int32(_COLUMNS // 2))
    return state, _board(state)

  def step(key: jax.Array, state: State, action: jax.Array) -> base.Outcome:
    del key
    paddle = jnp.clip(state.paddle + jnp.asarray(action, jnp.int32) - 1, 0, _COLUMNS - 1)
    state = State(state.ball_row + 1, state.ball_column, paddle)
    down = state.ball_row == _ROWS - 1
    caught = jnp.where(state.ball_column == paddle, jnp.float32(1), jnp.float32(-1))
    return base.outcome(state, _board(state), jnp.where(down, caught, 0), down)

  board = specs.BoundedArray((_ROWS, _COLUMNS), np.float32, 0.0, 1.0, name="observation")
  return base.Environment(
    name="catch", spec=base.make_spec(board, base.discrete(3), rewards=(-1, 1)), reset=reset, step=step
  )


def catch_pixels() -> base.Environment:
  """Catch as a picture, uint8 [84, 84, 1]: white ball and paddle on black."""
  frame = specs.BoundedArray((84, 84, 1), np.uint8, 0, 255, name="observation")
  environment = base.map_observation(catch(), _draw, frame)
  return dataclasses.replace(environment, name="catch_pixels")


def _board(state: State) -> jax.Array:
  board = jnp.zeros((_ROWS, _COLUMNS), jnp.float32)
  return board.at[state.ball_row, state.ball_column].set(1).at[_ROWS - 1, state.paddle].set(1)


def _draw(board: Any) -> jax.Array:
  squares = jnp.kron(board, jnp.ones(_SQUARE, jnp.float32))  # [80, 80]
  return jnp.pad((255 * squares).astype(jnp.uint8), _MARGIN)[..., None]  # [84, 84, 1]
