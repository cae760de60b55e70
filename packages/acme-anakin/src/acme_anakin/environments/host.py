"""Environments in JAX as plain dm_env environments, for loops on the host: the suite `jax:` of acme-envs."""

import functools
from typing import Any

import dm_env
import jax
import jax.numpy as jnp
import numpy as np

from acme_anakin import environments
from acme_anakin.environments import base


class HostEnvironment(dm_env.Environment):
  """One environment, stepped by one jitted call on a CPU device; what it gives are NumPy arrays, not to be written to.

  Nothing that it gives depends on more than the seed and the actions since: a loop that is restored plays the open
  episode again.
  """

  def __init__(self, environment: base.Environment, seed: int | None = None) -> None:
    """Wraps an environment; `seed` is that of the first episode, None takes a new one."""
    self._spec = environment.spec
    self._cpu = jax.local_devices(backend="cpu")[0]
    self._begin = jax.jit(functools.partial(_begin, environment))
    self._go_on = jax.jit(functools.partial(_go_on, environment))
    self._state: Any = None
    self._over = True
    self.seed(int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed)

  def seed(self, seed: int) -> None:
    """Makes the next reset, and the episode after it, depend on `seed` and the actions alone."""
    word = np.random.SeedSequence(seed).generate_state(1)[0] >> 1  # Any seed; JAX's own fit an int32.
    self._key = jax.device_put(jax.random.PRNGKey(int(word)), self._cpu)

  def reset(self) -> dm_env.TimeStep:
    self._key, self._state, observation = self._begin(self._key)
    self._over = False
    return dm_env.restart(_to_numpy(observation))

  def step(self, action: Any) -> dm_env.TimeStep:
    """Takes a step; after the last one of an episode, resets instead and passes over the action, as dm_env asks."""
    if self._over:
      return self.reset()
    self._state, observation, numbers = self._go_on(self._state, action)
    reward, discount, last = np.asarray(numbers)
    self._over = bool(last)
    step_type = dm_env.StepType.LAST if self._over else dm_env.StepType.MID
    return dm_env.TimeStep(step_type, reward, discount, _to_numpy(observation))

  def observation_spec(self) -> Any:
    return self._spec.observations

  def action_spec(self) -> Any:
    return self._spec.actions

  def reward_spec(self) -> Any:
    return self._spec.rewards

  def discount_spec(self) -> Any:
    return self._spec.discounts


def names() -> list[str]:
  """The names that `make` takes, as `environments.names`."""
  return environments.names()


def make(name: str, *, seed: int | None = None) -> HostEnvironment:
  """Makes an environment by its name in `environments.make`, as acme-envs makes those of its own suites."""
  return HostEnvironment(environments.make(name), seed)


def _begin(environment: base.Environment, key: jax.Array) -> tuple[jax.Array, Any, Any]:
  """The key of the next episode, the state of this one (its key, its steps, the environment's state), and o_0."""
  key, own, first = jax.random.split(key, 3)
  state, observation = environment.reset(first)
  return key, (own, jnp.int32(0), state), observation


def _go_on(environment: base.Environment, state: Any, action: Any) -> tuple[Any, Any, jax.Array]:
  """The next state, the observation, and reward, discount and last in one array: each array read costs time."""
  key, steps, inner = state
  outcome = environment.step(jax.random.fold_in(key, steps), inner, action)
  numbers = jnp.stack([outcome.reward, outcome.discount, outcome.last.astype(jnp.float32)])
  return (key, steps + 1, outcome.state), outcome.observation, numbers


def _to_numpy(nest: Any) -> Any:
  return jax.tree.map(np.asarray, nest)
