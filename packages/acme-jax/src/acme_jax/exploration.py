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

from acme import configs

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
  if steps == 0 or (initial == final) is True:  # Of traced numbers nobody knows.
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
    return _noisy(action, self.sigma * noise, noise, steps, self.random_steps), state


@dataclasses.dataclass(frozen=True, kw_only=True)
class OrnsteinUhlenbeck:
  """a = clip(π(o) + x_t, −1, 1), x_t = (1 − θ) x_{t-1} + σ ε_t, from x = 0 in each episode.

  Attributes:
    sigma: σ, in units of half an action's range. Lillicrap et al. 2015 (1509.02971): 0.2.
    theta: θ, the share of the noise that is lost in a step. Lillicrap et al. 2015: 0.15.
    size: D.
    random_steps: as in `Gaussian`, drawn by ε_t.
  """

  sigma: float
  theta: float
  size: int
  random_steps: int = 0

  def initial(self, num_envs: int) -> np.ndarray:
    return np.zeros((num_envs, self.size), np.float32)

  def apply(
    self, key: jax.Array | None, state: Any, steps: Any, streams: Streams, action: Any, first: Any
  ) -> tuple[Any, Any]:
    assert key is not None
    state = jnp.where(first[:, None], 0.0, state)
    noise = jax.random.normal(key, action.shape, state.dtype)  # [N, D]
    state = (1 - self.theta) * state + self.sigma * noise
    return _noisy(action, state, noise, steps, self.random_steps), state


class Window(NamedTuple):
  """The state of `Colored`."""

  noise: Any  # [N, D, W], made where an episode began
  read: Any  # [N] int32, how many steps of it have been read


@dataclasses.dataclass(frozen=True, kw_only=True)
class Colored:
  """a = clip(π(o) + σ x_t, −1, 1), x_t ~ N(0, I), and the power of x at the frequency f falls as 1 / f^β.

  The noise of W steps is made at once, where an episode begins and where W steps have been read; each number of an
  action and each stream has its own.

  Reference: Eberhard et al. 2023, "Pink noise is all you need"; Timmer & König 1995, §3.

  Attributes:
    beta: β: 0 for white noise, 1 for pink, 2 for red.
    sigma: σ, in units of half an action's range.
    window: W, in steps: about an episode's length, as slower waves than 1 / W are not in it.
    size: D.
    random_steps: as in `Gaussian`, drawn by x_t.
  """

  beta: float
  sigma: float
  window: int
  size: int
  random_steps: int = 0

  def initial(self, num_envs: int) -> Window:
    return Window(np.zeros((num_envs, self.size, self.window), np.float32), np.full(num_envs, self.window, np.int32))

  def apply(
    self, key: jax.Array | None, state: Any, steps: Any, streams: Streams, action: Any, first: Any
  ) -> tuple[Any, Any]:
    assert key is not None
    x, state = self.advance(key, state, first)
    return _noisy(action, self.sigma * x, x, steps, self.random_steps), state

  def advance(self, key: jax.Array, state: Window, first: Any) -> tuple[jax.Array, Window]:
    """Returns x [N, D] and the new state; the key is consumed."""
    noise, read = state
    anew = first | (read == self.window)  # [N]

    def make() -> jax.Array:
      return jnp.where(anew[:, None, None], self._draw(key, noise.shape[0]), noise)

    noise = jax.lax.cond(jnp.any(anew), make, lambda: noise)  # Rarely, as it costs more than all the rest.
    read = jnp.where(anew, 0, read)
    x = jnp.take_along_axis(noise, read[:, None, None], axis=-1)[..., 0]  # [N, D]
    return x, Window(noise, read + 1)

  def _draw(self, key: jax.Array, num_envs: int) -> jax.Array:
    """Noise [N, D, W]."""
    amplitudes = spectrum(self.beta, self.window)  # [W // 2 + 1]
    real, imaginary = jax.random.normal(key, (2, num_envs, self.size, len(amplitudes)), jnp.float32)
    return jnp.fft.irfft(jax.lax.complex(amplitudes * real, amplitudes * imaginary), self.window)


def spectrum(beta: float, window: int) -> np.ndarray:
  """Amplitudes of the waves whose sum has variance 1 at each step, and a power that falls as 1 / f^β.

    x = irfft(A · (ε + i ε')),  ε, ε' ~ N(0, I)

  The constant part is as strong as the slowest wave.

  Args:
    beta: β.
    window: W, in steps.

  Returns:
    A, [W // 2 + 1] float32.
  """
  frequencies = np.arange(window // 2 + 1)
  power = np.maximum(frequencies, 1.0) ** -beta
  waves = np.where((frequencies == 0) | (2 * frequencies == window), 1, 2)  # All but these two stand for a pair ±f.
  amplitudes = window * np.sqrt(power / waves / np.sum(waves * power))
  return amplitudes.astype(np.float32)


def make_noise(config: configs.NoiseConfig, size: int) -> Exploration:
  """The noise that a config asks for, on actions of `size` D."""
  common: dict[str, Any] = {"sigma": config.sigma, "random_steps": config.random_steps}
  if config.noise == "ou":
    return OrnsteinUhlenbeck(theta=config.ou_theta, size=size, **common)
  if config.noise == "pink":
    return Colored(beta=1.0, window=config.pink_window, size=size, **common)
  return Gaussian(**common)


def _noisy(action: Any, added: Any, normal: Any, steps: Any, random_steps: int) -> jax.Array:
  """clip(action + added, −1, 1), but uniform in the first steps: the distribution function of `normal` [N, D]."""
  noisy = jnp.clip(action + added, -1, 1)
  if not random_steps:
    return noisy
  return jnp.where(steps < random_steps, jax.scipy.special.erf(normal / math.sqrt(2)), noisy)
