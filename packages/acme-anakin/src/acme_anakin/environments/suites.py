"""Environments of other packages by name, each package an extra: `make("gymnax", "Breakout-MinAtar")`.

Observations are float32, int32 or uint8, without bounds; truth values become float32. What a suite resets by itself is
left out, so that an episode's last observation is kept.

How a suite tells the end of a task (discount 0) from a limit on its steps (discount 1):

  gymnax, brax, playground: their limit is moved out of reach, and `time_limit` counts. In gymnax a game whose task
    itself is a number of steps is then cut short by the limit, with discount 1.
  navix, jumanji: as they say themselves; most of jumanji's games end their limit with discount 0.
  pgx: its games have no limit but their own, of discount 0. Those of several players are refused.
"""

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from dm_env import specs

from acme_anakin.environments import base

_FAR = 2**30  # Steps.


def make(suite: str, name: str) -> base.Environment:
  """Makes an environment of another package.

  Raises:
    ValueError: no suite or no environment is called so, or agents cannot play it alone.
    ImportError: the suite is not installed; the message names the extra to install.
  """
  if suite not in SUITES:
    raise ValueError(f"No suite of environments in JAX is called {suite!r}: expected one of {', '.join(SUITES)}.")
  module, adapt = SUITES[suite]
  try:
    package = importlib.import_module(module)
  except ImportError as error:
    raise ImportError(
      f"Could not import {module} ({error}). Install what it needs: pip install 'acme-anakin[{suite}]'."
    ) from error
  try:
    return adapt(package, f"{suite}:{name}")
  except (AttributeError, KeyError, NotImplementedError, ValueError) as error:
    raise ValueError(f"{suite}:{name} cannot be made: {error}") from error


def _gymnax(gymnax: Any, name: str) -> base.Environment:
  game, params = gymnax.make(_short(name))
  limit = int(params.max_steps_in_episode)
  params = params.replace(max_steps_in_episode=_FAR)

  def reset(key: jax.Array) -> tuple[Any, Any]:
    observation, state = game.reset_env(key, params)
    return state, observation

  def step(key: jax.Array, state: Any, action: Any) -> base.Outcome:
    observation, state, reward, done, _ = game.step_env(key, state, action, params)
    return base.outcome(state, observation, reward, done)

  space = game.action_space(params)
  if hasattr(space, "n"):
    actions = base.discrete(int(space.n))
  else:
    actions = _continuous(space.shape, space.low, space.high)
  return base.time_limit(_environment(name, reset, step, actions), limit)


def _brax(envs: Any, name: str) -> base.Environment:
  return base.time_limit(_physics(name, envs.get_environment(_short(name))), 1000)  # Its episode_length by default.


def _playground(playground: Any, name: str) -> base.Environment:
  limit = int(playground.registry.get_default_config(_short(name)).episode_length)
  return base.time_limit(_physics(name, playground.registry.load(_short(name))), limit)


def _physics(name: str, game: Any) -> base.Environment:
  """Brax's interface, and MuJoCo Playground's; both take actions in [-1, 1]."""

  def reset(key: jax.Array) -> tuple[Any, Any]:
    state = game.reset(key)
    return state, state.obs

  def step(key: jax.Array, state: Any, action: Any) -> base.Outcome:
    del key
    state = game.step(state, action)
    return base.outcome(state, state.obs, state.reward, state.done > 0)

  return _environment(name, reset, step, _continuous((game.action_size,), -1.0, 1.0))


def _jumanji(jumanji: Any, name: str) -> base.Environment:
  game = jumanji.make(_short(name))
  if game.reward_spec.shape:
    raise ValueError(f"expected one reward a step, got rewards of shape {game.reward_spec.shape}.")

  def reset(key: jax.Array) -> tuple[Any, Any]:
    state, timestep = game.reset(key)
    return state, timestep.observation

  def step(key: jax.Array, state: Any, action: Any) -> base.Outcome:
    del key
    state, timestep = game.step(state, action)
    return base.Outcome(state, timestep.observation, timestep.reward, timestep.discount, timestep.last())

  actions = jumanji.specs.jumanji_specs_to_dm_env_specs(game.action_spec)
  if isinstance(actions, specs.DiscreteArray):
    actions = base.discrete(actions.num_values)
  return _environment(name, reset, step, actions)


def _navix(navix: Any, name: str) -> base.Environment:
  game = navix.make(_short(name))

  def reset(key: jax.Array) -> tuple[Any, Any]:
    timestep = game.reset(key)
    return timestep, timestep.observation

  def step(key: jax.Array, state: Any, action: Any) -> base.Outcome:
    del key
    timestep = game.step(state, action)
    kind = timestep.step_type  # 0 within an episode, 1 truncated; 2 terminated, 3 both.
    return base.Outcome(timestep, timestep.observation, timestep.reward, kind < 2, kind > 0)

  return _environment(name, reset, step, base.discrete(int(game.action_space.n)))


def _pgx(pgx: Any, name: str) -> base.Environment:
  game = pgx.make(_short(name))
  if game.num_players != 1:
    raise ValueError(f"expected a game of one player, got one of {game.num_players}.")

  def reset(key: jax.Array) -> tuple[Any, Any]:
    state = game.init(key)
    return state, state.observation

  def step(key: jax.Array, state: Any, action: Any) -> base.Outcome:
    state = game.step(state, action, key)
    last = state.terminated | state.truncated
    return base.Outcome(state, state.observation, state.rewards[0], ~state.terminated, last)

  return _environment(name, reset, step, base.discrete(int(game.num_actions)))


class _Suite(NamedTuple):
  module: str  # To import.
  adapt: Callable[[Any, str], base.Environment]


SUITES = {
  "brax": _Suite("brax.envs", _brax),
  "gymnax": _Suite("gymnax", _gymnax),
  "jumanji": _Suite("jumanji", _jumanji),
  "navix": _Suite("navix", _navix),
  "pgx": _Suite("pgx", _pgx),
  "playground": _Suite("mujoco_playground", _playground),
}


def _environment(
  name: str,
  reset: Callable[[jax.Array], tuple[Any, Any]],
  step: Callable[[jax.Array, Any, Any], base.Outcome],
  actions: specs.Array,
) -> base.Environment:
  """An environment of a suite's functions, with the dtypes of its first state and of our specs kept throughout."""

  def begin(key: jax.Array) -> tuple[Any, Any]:
    state, observation = reset(key)
    return state, jax.tree.map(_plain, observation)

  like = jax.eval_shape(begin, jax.random.PRNGKey(0))
  observations = jax.tree.map(lambda leaf: specs.Array(leaf.shape, leaf.dtype, name="observation"), like[1])

  def steady_reset(key: jax.Array) -> tuple[Any, Any]:
    return jax.tree.map(_cast, begin(key), like)

  def steady_step(key: jax.Array, state: Any, action: Any) -> base.Outcome:
    outcome = step(key, state, action)
    state, observation = jax.tree.map(_cast, (outcome.state, jax.tree.map(_plain, outcome.observation)), like)
    reward, discount = (jnp.asarray(number, jnp.float32) for number in (outcome.reward, outcome.discount))
    return base.Outcome(state, observation, reward, discount, jnp.asarray(outcome.last, bool))

  return base.Environment(name=name, spec=base.make_spec(observations, actions), reset=steady_reset, step=steady_step)


def _plain(leaf: Any) -> jax.Array:
  """A leaf of an observation as float32, int32 or uint8."""
  leaf = jnp.asarray(leaf)
  if leaf.dtype == jnp.uint8:
    return leaf
  return leaf.astype(jnp.int32 if jnp.issubdtype(leaf.dtype, jnp.integer) else jnp.float32)


def _cast(leaf: Any, like: Any) -> jax.Array:
  return leaf if jnp.issubdtype(like.dtype, jax.dtypes.extended) else jnp.asarray(leaf, like.dtype)


def _continuous(shape: tuple[int, ...], low: Any, high: Any) -> specs.BoundedArray:
  low, high = (np.broadcast_to(np.asarray(bound, np.float32), shape) for bound in (low, high))
  return specs.BoundedArray(shape, np.float32, low, high, name="action")


def _short(name: str) -> str:
  return name.partition(":")[2]
