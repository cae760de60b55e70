"""Exploration: what is done to a policy's action, as data that every way to run an agent executes.

An action is what the policy gives: an int [N], or [N, D] in [−1, 1]. State, such as that of correlated noise, begins
anew where an episode does.

Shapes: N environments (streams), D numbers in an action.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

Schedule = Callable[[Any], Any]  # environment steps taken -> value


class Streams(NamedTuple):
  """Which of all environments of all actors: N from `first` on, of `total`."""

  first: int = 0
  total: int = 1


class Exploration(Protocol):
  """What is done to actions. ε-greedy an actor on the host draws in NumPy, which costs less; all else in its call."""

  def initial(self, num_envs: int) -> Any:
    """The state [N, …] in which episodes begin; () for none."""

  def apply(
    self, key: jax.Array | None, state: Any, steps: Any, streams: Streams, action: Any, first: Any
  ) -> tuple[Any, Any]:
    """Returns the action [N, …] and the new state; `first` [N] says where an episode begins, and the state with it."""


def linear_schedule(initial: float, final: float, steps: int) -> Schedule:
  """From `initial` at step 0 in a straight line to `final` at `steps`, and `final` from there on."""
  if steps == 0 or initial == final:
    return lambda step: final

  def schedule(step: Any) -> Any:
    if isinstance(step, int):
      return initial + (final - initial) / steps * step if step < steps else final
    return jnp.where(step < steps, initial + (final - initial) / steps * step, final)

  return schedule


def ladder(base: float, exponent: float) -> Callable[[int, int], float]:
  """ε_i = base^(1 + exponent · i / (N − 1)) of stream i of N, base of one alone (Horgan et al. 2018, 1803.00933)."""
  return lambda stream, total: float(base ** (1 + exponent * stream / (total - 1))) if total > 1 else base


@dataclasses.dataclass(frozen=True, kw_only=True)
class EpsilonGreedy:
  """With probability ε a uniformly random one of `num_actions` actions, else the policy's.

  Attributes:
    num_actions: how many there are.
    epsilon: by the environment steps taken; or of each stream, (stream, total) -> ε, where `by_stream`.
  """

  num_actions: int
  epsilon: Callable[..., Any]
  by_stream: bool = False

  def initial(self, num_envs: int) -> tuple[()]:
    return ()

  def values(self, steps: Any, streams: Streams, num_envs: int) -> Any:
    """ε: a number, or one of each stream [N]."""
    if not self.by_stream:
      return self.epsilon(steps)
    return np.array([self.epsilon(streams.first + i, streams.total) for i in range(num_envs)], np.float32)

  def apply(
    self, key: jax.Array | None, state: Any, steps: Any, streams: Streams, action: Any, first: Any
  ) -> tuple[Any, Any]:
    assert key is not None
    epsilon = self.values(steps, streams, action.shape[0])
    # One draw makes both: below ε it explores, and what it is below ε, times A / ε, is the action.
    draw = jax.random.uniform(key, action.shape)  # [N]
    chosen = jnp.floor(draw / jnp.maximum(epsilon, 1e-30) * self.num_actions).astype(action.dtype)
    return jnp.where(draw < epsilon, jnp.minimum(chosen, self.num_actions - 1), action), state


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
    self, key: jax.Array | None, state: Any, steps: Any, streams: Streams, action: Any, first: Any
  ) -> tuple[Any, Any]:
    assert key is not None
    noise = jax.random.normal(key, action.shape, action.dtype)  # [N, D]
    noisy = jnp.clip(action + self.sigma * noise, -1, 1)
    if self.random_steps:  # A normal variable's distribution function, of the same draw, is uniform.
      noisy = jnp.where(steps < self.random_steps, jax.scipy.special.erf(noise / math.sqrt(2)), noisy)
    return noisy, state


@dataclasses.dataclass(frozen=True, kw_only=True)
class OrnsteinUhlenbeck:
  """a = clip(π(o) + x_t, −1, 1), x_t = (1 − θ) x_{t-1} + σ ε_t, from x = 0 in each episode.

  Attributes:
    sigma: σ, in units of half an action's range. Lillicrap et al. 2015 (1509.02971): 0.2.
    theta: θ, the share of the noise that is lost in a step. Lillicrap et al. 2015: 0.15.
    size: D.
  """

  sigma: float
  theta: float
  size: int

  def initial(self, num_envs: int) -> np.ndarray:
    return np.zeros((num_envs, self.size), np.float32)

  def apply(
    self, key: jax.Array | None, state: Any, steps: Any, streams: Streams, action: Any, first: Any
  ) -> tuple[Any, Any]:
    assert key is not None
    state = jnp.where(first[:, None], 0.0, state)
    noise = jax.random.normal(key, action.shape, state.dtype)  # [N, D]
    state = (1 - self.theta) * state + self.sigma * noise
    return jnp.clip(action + state, -1, 1), state
