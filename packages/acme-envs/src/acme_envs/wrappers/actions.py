"""Wrappers that change what an action is."""

import operator
from typing import Any

import dm_env
import numpy as np
import tree
from dm_env import specs

import acme
from acme_envs.wrappers import rewards


class CanonicalSpec(acme.wrappers.EnvironmentWrapper):
  """Takes continuous actions in [-1, 1], and scales them to the environment's own bounds.

  a_inner = minimum (1 - a) / 2 + maximum (1 + a) / 2. Discrete leaves pass as they are.
  """

  def __init__(self, environment: dm_env.Environment, clip: bool = False) -> None:
    """Wraps an environment.

    Args:
      environment: whose continuous actions have finite bounds.
      clip: whether actions outside [-1, 1] are taken as the nearest within; else they are scaled like the others.

    Raises:
      ValueError: a continuous action has an infinite bound or none.
    """
    super().__init__(environment)
    self._clip = clip
    self._inner_spec = environment.action_spec()
    self._action_spec = tree.map_structure(_canonical, self._inner_spec)

  def action_spec(self) -> Any:
    return self._action_spec

  def step(self, action: Any) -> dm_env.TimeStep:
    return self._environment.step(tree.map_structure(self._scale, self._inner_spec, action))

  def _scale(self, spec: specs.Array, action: Any) -> Any:
    if not _is_continuous(spec):
      return action
    action = acme.validation.convert("action", action, spec.dtype)
    scaled = spec.minimum * (1 - action) / 2 + spec.maximum * (1 + action) / 2
    if self._clip:
      scaled = np.clip(scaled, spec.minimum, spec.maximum)
    return np.asarray(scaled, spec.dtype)


def _is_continuous(spec: specs.Array) -> bool:
  return np.issubdtype(spec.dtype, np.floating)


def _canonical(spec: specs.Array) -> specs.Array:
  if not _is_continuous(spec):
    return spec
  if not isinstance(spec, specs.BoundedArray) or not np.isfinite([spec.minimum, spec.maximum]).all():
    raise ValueError(
      f"CanonicalSpec: expected finite bounds on every continuous action, got {spec!r}. Without them there is "
      "nothing to scale [-1, 1] to: give the environment's action spec a finite minimum and maximum."
    )
  return specs.BoundedArray(spec.shape, spec.dtype, -1.0, 1.0, name=spec.name)


class ActionRepeat(acme.wrappers.EnvironmentWrapper):
  """Takes each action several times, stopping where the episode ends.

  The reward is Σ_k (Π_{j<k} d_j) r_k and the discount Π_k d_k, over the steps taken inside.
  """

  def __init__(self, environment: dm_env.Environment, num_repeats: int) -> None:
    """Wraps an environment; `num_repeats` is how often each action is taken, 1 or more."""
    if num_repeats < 1:
      raise ValueError(f"ActionRepeat num_repeats: expected 1 or more, got {num_repeats!r}.")
    super().__init__(environment)
    self._num_repeats = num_repeats

  def step(self, action: Any) -> dm_env.TimeStep:
    timestep = self._environment.step(acme.wrappers.copied(action))  # Lest it changes what it is given again.
    if timestep.first():
      return timestep
    reward, discount = timestep.reward, timestep.discount
    for _ in range(self._num_repeats - 1):
      if timestep.last():
        break
      timestep = self._environment.step(acme.wrappers.copied(action))
      reward = tree.map_structure(
        lambda total, r, d: total + d * r, reward, timestep.reward, rewards.like(reward, discount)
      )
      discount = tree.map_structure(operator.mul, discount, timestep.discount)
    return timestep._replace(reward=reward, discount=discount)

  def reward_spec(self) -> Any:
    return rewards.summed_spec(self._environment.reward_spec(), self._num_repeats)
