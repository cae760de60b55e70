"""What an environment in JAX is: pure functions of one environment, for its users to vmap."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from dm_env import specs

import acme

State = Any  # A pytree of arrays.
Observation = Any  # A pytree of arrays, as the spec has it.


class Outcome(NamedTuple):
  """What a step gives. Its dtypes never change, so that `jax.lax.scan` can carry it."""

  state: State
  observation: Observation  # At an episode's last step too: nothing is reset behind it.
  reward: jax.Array  # [] float32
  discount: jax.Array  # [] float32: 0 where the task has ended, 1 elsewhere, at a time limit too
  last: jax.Array  # [] bool: the episode is over, either way


@dataclasses.dataclass(frozen=True, kw_only=True)
class Environment:
  """An environment as pure functions, of one environment and without resets of their own.

  Attributes:
    name: as the command line has it, without "jax:".
    spec: of one environment, as dm_env has it; rewards and discounts are single float32 numbers.
    reset: (key) -> (state, observation) of an episode's start.
    step: (key, state, action) -> Outcome. What it gives after an episode's last step has no meaning.
    max_episode_steps: after how many steps an episode is cut short; None for never.
  """

  name: str
  spec: acme.specs.EnvironmentSpec
  reset: Callable[[jax.Array], tuple[State, Observation]]
  step: Callable[[jax.Array, State, Any], Outcome]
  max_episode_steps: int | None = None


def make_spec(
  observations: Any, actions: Any, rewards: tuple[float, float] | None = None
) -> acme.specs.EnvironmentSpec:
  """The specs of an environment; `rewards` are the lowest and the highest of a step, None where any may come."""
  reward = specs.Array((), np.float32, name="reward")
  if rewards is not None:
    reward = specs.BoundedArray((), np.float32, *rewards, name="reward")
  discount = specs.BoundedArray((), np.float32, 0.0, 1.0, name="discount")
  return acme.specs.EnvironmentSpec(observations, actions, reward, discount)


def discrete(num_values: int) -> specs.DiscreteArray:
  """The spec of an action that is one of `num_values`."""
  return specs.DiscreteArray(num_values, np.int32, name="action")


def outcome(state: State, observation: Observation, reward: Any, terminated: jax.Array) -> Outcome:
  """A step's outcome where an episode ends in one way only: with its task."""
  discount = jnp.where(terminated, jnp.float32(0), jnp.float32(1))
  return Outcome(state, observation, jnp.asarray(reward, jnp.float32), discount, terminated)


class Timed(NamedTuple):
  """The state within a time limit."""

  state: State
  steps: jax.Array  # [] int32, taken in this episode


def time_limit(environment: Environment, steps: int) -> Environment:
  """Cuts episodes short after `steps` steps; the discount there is what it would be without.

  Raises:
    ValueError: fewer than one step.
  """
  if steps < 1:
    raise ValueError(f"time_limit steps: expected 1 or more, got {steps!r}.")

  def reset(key: jax.Array) -> tuple[Timed, Observation]:
    state, observation = environment.reset(key)
    return Timed(state, jnp.int32(0)), observation

  def step(key: jax.Array, state: Timed, action: Any) -> Outcome:
    inner = environment.step(key, state.state, action)
    taken = state.steps + jnp.int32(1)
    return inner._replace(state=Timed(inner.state, taken), last=inner.last | (taken >= steps))

  limit = min(steps, environment.max_episode_steps or steps)
  return dataclasses.replace(environment, reset=reset, step=step, max_episode_steps=limit)


def map_observation(environment: Environment, function: Callable[[Observation], Observation], spec: Any) -> Environment:
  """Shows `function` of each observation, of which `spec` is the spec."""

  def reset(key: jax.Array) -> tuple[State, Observation]:
    state, observation = environment.reset(key)
    return state, function(observation)

  def step(key: jax.Array, state: State, action: Any) -> Outcome:
    inner = environment.step(key, state, action)
    return inner._replace(observation=function(inner.observation))

  return dataclasses.replace(environment, spec=environment.spec._replace(observations=spec), reset=reset, step=step)


_VELOCITIES = {  # How many numbers an observation has, and which of them are velocities.
  "Acrobot-v1": (6, (4, 5)),
  "CartPole-v1": (4, (1, 3)),
  "MountainCar-v0": (2, (1,)),
  "MountainCarContinuous-v0": (2, (1,)),
  "Pendulum-v1": (3, (2,)),
}


def mask_velocity(environment: Environment) -> Environment:
  """Leaves velocities out of the observations of classic control, so that they must be remembered.

  Raises:
    ValueError: it is not known which numbers are velocities, or another wrapper shows something else.
  """
  if environment.name not in _VELOCITIES:
    raise ValueError(f"mask_velocity: expected one of {', '.join(_VELOCITIES)}, got {environment.name}.")
  spec, (size, velocities) = environment.spec.observations, _VELOCITIES[environment.name]
  if spec.shape != (size,):
    raise ValueError(
      f"mask_velocity: expected the {size} numbers of {environment.name}, got {acme.specs.describe(spec)}: mask once."
    )
  kept = np.delete(np.arange(size), velocities)
  shown = specs.BoundedArray(kept.shape, spec.dtype, spec.minimum[kept], spec.maximum[kept], name=spec.name)
  return map_observation(environment, lambda observation: observation[kept], shown)
