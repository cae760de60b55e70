"""The border with an environment: what passes it is checked, and copied."""

import functools
from collections.abc import Callable
from typing import Any

import dm_env
import numpy as np

from acme import specs, types, validation
from acme.wrappers import base

_StepType = dm_env.StepType
_FIRST, _LAST = _StepType.FIRST, _StepType.LAST
_timestep = functools.partial(tuple.__new__, dm_env.TimeStep)  # Twice as fast as TimeStep(…), at each step.


class Checked(base.EnvironmentWrapper):
  """Holds an environment, and whoever acts in it, to its specs, and shares no array with either.

  An environment may so change the action that it is given, and use its arrays again. The loops put it around theirs.
  """

  def __init__(self, environment: dm_env.Environment, name: str = "") -> None:
    """Wraps an environment; its errors begin with `name`."""
    super().__init__(environment)
    spec = specs.make_environment_spec(environment)
    self._name = name
    self._action = validation.ActionValidator(spec.actions, name=f"{name}action")
    self._observation = validation.Validator(f"{name}observation", spec.observations)
    self._reward = validation.Validator(f"{name}reward", spec.rewards)
    self._discount = validation.DiscountValidator(f"{name}discount", spec.discounts)
    self._in_episode = False

  @property
  def seed(self) -> Callable[[int], None]:
    """As the environment's own `seed(int)`; there only where it has one."""
    inner = self._environment.seed
    return lambda seed: with_seed(inner, seed)

  def reset(self) -> dm_env.TimeStep:
    """Begins an episode. Raises ValueError or TypeError where what comes does not fit."""
    timestep = self._environment.reset()
    step_type = self._step_type("reset()", timestep)
    if step_type is not _FIRST:
      raise ValueError(f"{self._name}reset(): expected a timestep of type FIRST (dm_env.restart), got {step_type!r}.")
    return self._first(timestep)

  def step(self, action: types.NestedArray) -> dm_env.TimeStep:
    """Takes a step. Raises ValueError or TypeError where the action, or what comes, does not fit."""
    if not self._action.fits(action):
      self._action(action)
    timestep = self._environment.step(base.copied(action))
    step_type = getattr(timestep, "step_type", None)
    if type(step_type) is not _StepType:
      step_type = self._step_type("step()", timestep)
    if (step_type is _FIRST) is self._in_episode:
      raise ValueError(self._wrong_order(step_type))
    if step_type is _FIRST:
      return self._first(timestep)
    _, reward, discount, observation = timestep
    if not self._observation.fits(observation):
      self._observation(observation)
    if not self._reward.fits(reward):
      self._reward(reward)
    if not self._discount.fits(discount):
      self._discount(discount)
    self._in_episode = step_type is not _LAST
    if not isinstance(reward, np.generic) or not isinstance(discount, np.generic):
      reward, discount = base.copied(reward), base.copied(discount)
    return _timestep((step_type, reward, discount, base.copied(observation)))

  def _first(self, timestep: dm_env.TimeStep) -> dm_env.TimeStep:
    self._observation(timestep.observation)
    self._in_episode = True
    return dm_env.restart(base.copied(timestep.observation))

  def _step_type(self, call: str, timestep: Any) -> dm_env.StepType:
    step_type = getattr(timestep, "step_type", timestep)
    if type(step_type) is dm_env.StepType:
      return step_type
    if step_type is timestep:
      raise TypeError(
        f"{self._name}{call}: expected a dm_env.TimeStep, got {type(timestep).__name__}. "
        "Gymnasium's environments want acme.wrappers.GymWrapper(environment)."
      )
    if isinstance(step_type, int | np.integer) and step_type in (0, 1, 2):
      return dm_env.StepType(int(step_type))
    raise ValueError(
      f"{self._name}{call}: expected a step_type of 0, 1 or 2 (dm_env.StepType), got {validation.brief(step_type)}."
    )

  def _wrong_order(self, step_type: dm_env.StepType) -> str:
    if self._in_episode:
      return (
        f"{self._name}step(): expected a timestep of type MID or LAST within an episode, got FIRST. If somebody else "
        "resets or evaluates in this environment, give them one of their own."
      )
    return f"{self._name}step(): expected a timestep of type FIRST to begin an episode, got {step_type!r}."


def with_seed(function: Callable[[Any], Any], seed: int | None) -> Any:
  """Calls a function with a seed, or with its lower 31 bits where it refuses one that is no int32."""
  if seed is None or seed < 2**31:
    return function(seed)
  try:
    return function(seed)
  except (OverflowError, TypeError, ValueError):
    return function(seed & (2**31 - 1))
