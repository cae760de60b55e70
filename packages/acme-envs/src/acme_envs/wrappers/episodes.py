"""Wrappers that change when rewards come, and how episodes begin."""

import operator
from collections.abc import Callable
from typing import Any

import dm_env
import numpy as np
import tree

import acme
from acme_envs.wrappers import rewards


class DelayedReward(acme.wrappers.EnvironmentWrapper):
  """Keeps rewards back, and pays their sum every few steps and at the end of the episode; 0 in between."""

  def __init__(self, environment: dm_env.Environment, period: int | None = None) -> None:
    """Wraps an environment; `period` is the steps from one payment to the next, None for the episode's end only."""
    if period is not None and period < 1:
      raise ValueError(f"DelayedReward period: expected 1 or more, or None, got {period!r}.")
    super().__init__(environment)
    self._period = period
    self._zero = tree.map_structure(lambda spec: np.zeros(spec.shape, spec.dtype)[()], environment.reward_spec())
    self._steps = 0
    self._owed = self._zero

  def reset(self) -> dm_env.TimeStep:
    return self._delay(self._environment.reset())

  def step(self, action: Any) -> dm_env.TimeStep:
    return self._delay(self._environment.step(action))

  def reward_spec(self) -> Any:
    return rewards.summed_spec(self._environment.reward_spec(), self._period)

  def _delay(self, timestep: dm_env.TimeStep) -> dm_env.TimeStep:
    if timestep.first():
      self._steps = 0
      self._owed = self._zero
      return timestep
    self._steps += 1
    self._owed = tree.map_structure(operator.add, self._owed, timestep.reward)
    if timestep.last() or (self._period is not None and self._steps % self._period == 0):
      paid, self._owed = self._owed, self._zero
      return timestep._replace(reward=paid)
    return timestep._replace(reward=self._zero)


class NoopStarts(acme.wrappers.EnvironmentWrapper):
  """Begins each episode with a random number of idle steps, from 0 to `noop_max`, whose rewards are lost."""

  def __init__(
    self, environment: dm_env.Environment, noop_max: int = 30, noop_action: Any = 0, seed: int | None = None
  ) -> None:
    """Wraps an environment.

    Args:
      environment: to wrap.
      noop_max: most idle steps.
      noop_action: the action that does nothing.
      seed: of the numbers of idle steps; None takes a new one.
    """
    if noop_max < 0:
      raise ValueError(f"NoopStarts noop_max: expected 0 or more, got {noop_max!r}.")
    super().__init__(environment)
    self._noop_max = noop_max
    self._noop_action = noop_action
    self._rng = np.random.default_rng(seed)
    self._over = True

  @property
  def seed(self) -> Callable[[int], None]:
    """As the environment's own `seed(int)`, and of the idle steps too; there only where the environment has one."""
    inner = self._environment.seed

    def seed(seed: int) -> None:
      inner(seed)
      self._rng = np.random.default_rng(seed)

    return seed

  def reset(self) -> dm_env.TimeStep:
    self._over = False
    timestep = self._environment.reset()
    for _ in range(self._rng.integers(0, self._noop_max, endpoint=True)):
      timestep = self._environment.step(acme.wrappers.copied(self._noop_action))
      if timestep.last():
        timestep = self._environment.reset()
    return dm_env.restart(timestep.observation)

  def step(self, action: Any) -> dm_env.TimeStep:
    if self._over:
      return self.reset()
    timestep = self._environment.step(action)
    self._over = timestep.last()
    return timestep
