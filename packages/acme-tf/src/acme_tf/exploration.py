"""Exploration: what is done to a policy's action, as data that an actor executes.

ε-greedy is drawn on the host, where it costs least; all else within the call that acts. An action is what the policy
gives: an int [N], or [N, D] in [−1, 1]. State, such as that of correlated noise, begins anew where an episode does.

Shapes: N environments (streams), D numbers in an action.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow as tf

Schedule = Callable[[int], float]  # environment steps taken -> value


class Streams(NamedTuple):
  """Which of all environments of all actors: N from `first` on, of `total`."""

  first: int = 0
  total: int = 1


class Exploration(Protocol):
  """What is done to actions in the call that acts."""

  def initial(self, num_envs: int) -> Any:
    """The state [N, …] in which episodes begin; () for none."""

  def apply(
    self, seed: tf.Tensor, state: Any, steps: tf.Tensor, streams: Streams, action: Any, first: Any
  ) -> tuple[Any, Any]:
    """Returns the action [N, …] and the new state; `first` [N] says where an episode begins, and the state with it.

    The seed [2], for the `tf.random.stateless_…` functions, is consumed.
    """


def linear_schedule(initial: float, final: float, steps: int) -> Schedule:
  """From `initial` at step 0 in a straight line to `final` at `steps`, and `final` from there on."""
  if steps == 0 or initial == final:
    return lambda step: final
  slope = (final - initial) / steps
  return lambda step: initial + slope * step if step < steps else final


def ladder(base: float, exponent: float) -> Callable[[int, int], float]:
  """ε_i = base^(1 + exponent · i / (N − 1)) of stream i of N, base of one alone (Horgan et al. 2018, 1803.00933)."""
  return lambda stream, total: float(base ** (1 + exponent * stream / (total - 1))) if total > 1 else base


@dataclasses.dataclass(frozen=True, kw_only=True)
class EpsilonGreedy:
  """With probability ε a uniformly random one of `num_actions` actions, else the policy's; drawn on the host.

  Attributes:
    num_actions: how many there are.
    epsilon: by the environment steps taken; or of each stream, (stream, total) -> ε, where `by_stream`.
  """

  num_actions: int
  epsilon: Callable[..., float]
  by_stream: bool = False

  def values(self, steps: int, streams: Streams, num_envs: int) -> Any:
    """ε: a number, or one of each stream [N]."""
    if not self.by_stream:
      return self.epsilon(steps)
    return np.array([self.epsilon(streams.first + i, streams.total) for i in range(num_envs)], np.float32)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gaussian:
  """a = clip(π(o) + σ ε, −1, 1), ε ~ N(0, I); uniform in [−1, 1] for the first `random_steps`.

  Attributes:
    sigma: σ, in units of half an action's range.
    random_steps: environment steps, of all streams.
  """

  sigma: float
  random_steps: int = 0

  def initial(self, num_envs: int) -> tuple[()]:
    return ()

  def apply(
    self, seed: tf.Tensor, state: Any, steps: tf.Tensor, streams: Streams, action: Any, first: Any
  ) -> tuple[Any, Any]:
    noise = tf.random.stateless_normal(action.shape, seed)  # [N, D]
    noisy = tf.clip_by_value(action + self.sigma * noise, -1, 1)
    if self.random_steps:  # A normal variable's distribution function, of the same draw, is uniform.
      noisy = tf.where(steps < self.random_steps, tf.math.erf(noise / math.sqrt(2)), noisy)
    return noisy, state
