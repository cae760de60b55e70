"""Classic control: twins of Gymnasium's environments, step for step, in float32 where those compute in float64.

A state that comes within a rounding error of a threshold may end an episode a step earlier or later than the twin's.
Angles are kept within [-π, π], where float32 is exact to 2e-7, however often a pendulum has gone round.
"""

import jax
import jax.numpy as jnp
import numpy as np
from dm_env import specs

from acme_anakin.environments import base

_PI = float(np.pi)


def cartpole() -> base.Environment:
  """A pole on a cart, pushed left or right; 1 a step until it falls (Barto, Sutton & Anderson 1983).

  With θ the pole's angle and x the cart's place, M = 1.1 kg in all, m = 0.1 kg and l = 0.5 m of the pole:

    t = (F + m l θ'² sin θ) / M,  θ'' = (g sin θ - t cos θ) / (l (4/3 - m cos² θ / M)),  x'' = t - m l θ'' cos θ / M
  """
  gravity, mass, pole, length, interval = 9.8, 1.1, 0.1, 0.5, 0.02
  limits = np.array([2.4, np.inf, 12 * 2 * np.pi / 360, np.inf], np.float32)

  def reset(key: jax.Array) -> tuple[jax.Array, jax.Array]:
    state = jax.random.uniform(key, (4,), jnp.float32, -0.05, 0.05)
    return state, state

  def step(key: jax.Array, state: jax.Array, action: jax.Array) -> base.Outcome:
    del key
    x, x_dot, theta, theta_dot = state
    force = jnp.where(action == 1, jnp.float32(10), jnp.float32(-10))
    sine, cosine = jnp.sin(theta), jnp.cos(theta)
    push = (force + pole * length * theta_dot**2 * sine) / mass
    theta_acc = (gravity * sine - cosine * push) / (length * (4 / 3 - pole * cosine**2 / mass))
    x_acc = push - pole * length * theta_acc * cosine / mass
    state = state + interval * jnp.stack([x_dot, x_acc, theta_dot, theta_acc])
    return base.outcome(state, state, 1.0, jnp.any(jnp.abs(state) > limits))

  bounds = 2 * limits
  spec = base.make_spec(_box(-bounds, bounds), base.discrete(2), rewards=(1, 1))
  return base.time_limit(base.Environment(name="CartPole-v1", spec=spec, reset=reset, step=step), 500)


def pendulum() -> base.Environment:
  """A pendulum to swing up and hold by a torque u within [-2, 2] N m; θ is 0 where it stands.

  The reward is -(θ² + 0.1 θ'² + 0.001 u²) of the state before, and θ'' = 15 sin θ + 3 u.
  """
  interval = 0.05

  def observe(state: jax.Array) -> jax.Array:
    theta, theta_dot = state
    return jnp.stack([jnp.cos(theta), jnp.sin(theta), theta_dot])

  def reset(key: jax.Array) -> tuple[jax.Array, jax.Array]:
    high = jnp.array([_PI, 1.0], jnp.float32)
    state = jax.random.uniform(key, (2,), jnp.float32, -high, high)
    return state, observe(state)

  def step(key: jax.Array, state: jax.Array, action: jax.Array) -> base.Outcome:
    del key
    theta, theta_dot = state
    torque = jnp.clip(action[0], -2.0, 2.0)
    cost = theta**2 + 0.1 * theta_dot**2 + 0.001 * torque**2
    theta_dot = jnp.clip(theta_dot + interval * (15.0 * jnp.sin(theta) + 3.0 * torque), -8.0, 8.0)
    state = jnp.stack([_wrapped(theta + interval * theta_dot), theta_dot])
    return base.outcome(state, observe(state), -cost, jnp.bool_(False))

  bounds = np.array([1.0, 1.0, 8.0], np.float32)
  action = specs.BoundedArray((1,), np.float32, np.full(1, -2, np.float32), np.full(1, 2, np.float32), name="action")
  spec = base.make_spec(_box(-bounds, bounds), action, rewards=(-(_PI**2 + 0.1 * 8**2 + 0.001 * 2**2), 0))
  environment = base.Environment(name="Pendulum-v1", spec=spec, reset=reset, step=step)
  return base.time_limit(environment, 200)


def acrobot() -> base.Environment:
  """Two links, hanging, with a torque between them; -1 a step until the end is 1 m above the joint (Sutton 1996).

  Links of 1 m, 1 kg and a moment of inertia of 1 kg m², in the equations of Sutton & Barto's book; a step of 0.2 s is
  one of Runge-Kutta's of fourth order.
  """
  interval, gravity = 0.2, 9.8
  speeds = np.array([4 * np.pi, 9 * np.pi], np.float32)

  def observe(state: jax.Array) -> jax.Array:
    cosines, sines = jnp.cos(state[:2]), jnp.sin(state[:2])
    return jnp.stack([cosines[0], sines[0], cosines[1], sines[1], state[2], state[3]])

  def reset(key: jax.Array) -> tuple[jax.Array, jax.Array]:
    state = jax.random.uniform(key, (4,), jnp.float32, -0.1, 0.1)
    return state, observe(state)

  def derivative(state: jax.Array, torque: jax.Array) -> jax.Array:
    theta1, theta2, speed1, speed2 = state
    sine, cosine = jnp.sin(theta2), jnp.cos(theta2)
    d1 = 3.5 + cosine
    d2 = 1.25 + 0.5 * cosine
    phi2 = 0.5 * gravity * jnp.sin(theta1 + theta2)
    phi1 = -0.5 * speed2 * (speed2 + 2 * speed1) * sine + 1.5 * gravity * jnp.sin(theta1) + phi2
    acceleration2 = (torque + d2 / d1 * phi1 - 0.5 * speed1**2 * sine - phi2) / (1.25 - d2**2 / d1)
    acceleration1 = -(d2 * acceleration2 + phi1) / d1
    return jnp.stack([speed1, speed2, acceleration1, acceleration2])

  def step(key: jax.Array, state: jax.Array, action: jax.Array) -> base.Outcome:
    del key
    torque = jnp.asarray(action, jnp.float32) - 1
    k1 = derivative(state, torque)
    k2 = derivative(state + interval / 2 * k1, torque)
    k3 = derivative(state + interval / 2 * k2, torque)
    k4 = derivative(state + interval * k3, torque)
    state = state + interval / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    state = jnp.concatenate([_wrapped(state[:2]), jnp.clip(state[2:], -speeds, speeds)])
    terminated = -jnp.cos(state[0]) - jnp.cos(state[0] + state[1]) > 1
    return base.outcome(state, observe(state), jnp.where(terminated, 0.0, -1.0), terminated)

  bounds = np.concatenate([np.ones(4, np.float32), speeds])
  spec = base.make_spec(_box(-bounds, bounds), base.discrete(3), rewards=(-1, 0))
  return base.time_limit(base.Environment(name="Acrobot-v1", spec=spec, reset=reset, step=step), 500)


def mountain_car() -> base.Environment:
  """A car in a valley, pushed left, not at all, or right; -1 a step until it is up on the right (Moore 1990)."""

  def step(key: jax.Array, state: jax.Array, action: jax.Array) -> base.Outcome:
    del key
    state = _roll(state, 0.001 * (jnp.asarray(action, jnp.float32) - 1))
    return base.outcome(state, state, -1.0, (state[0] >= 0.5) & (state[1] >= 0))

  spec = base.make_spec(_box(*_VALLEY), base.discrete(3), rewards=(-1, -1))
  return base.time_limit(base.Environment(name="MountainCar-v0", spec=spec, reset=_valley, step=step), 200)


def mountain_car_continuous() -> base.Environment:
  """The same car with a force u within [-1, 1]; 100 once it is up, and -0.1 u² a step."""

  def step(key: jax.Array, state: jax.Array, action: jax.Array) -> base.Outcome:
    del key
    state = _roll(state, 0.0015 * jnp.clip(action[0], -1.0, 1.0))
    terminated = (state[0] >= 0.45) & (state[1] >= 0)
    reward = jnp.where(terminated, jnp.float32(100), jnp.float32(0)) - 0.1 * action[0] ** 2
    return base.outcome(state, state, reward, terminated)

  action = specs.BoundedArray((1,), np.float32, -np.ones(1, np.float32), np.ones(1, np.float32), name="action")
  # Without bounds of rewards: 100 comes once, and returns never come near what it would be at every step.
  spec = base.make_spec(_box(*_VALLEY), action)
  environment = base.Environment(name="MountainCarContinuous-v0", spec=spec, reset=_valley, step=step)
  return base.time_limit(environment, 999)


_VALLEY = np.array([[-1.2, -0.07], [0.6, 0.07]], np.float32)  # Lowest and highest position and velocity.


def _valley(key: jax.Array) -> tuple[jax.Array, jax.Array]:
  position = jax.random.uniform(key, (), jnp.float32, -0.6, -0.4)
  state = jnp.stack([position, jnp.float32(0)])
  return state, state


def _roll(state: jax.Array, push: jax.Array) -> jax.Array:
  """The car's next position and velocity; the left end of the valley stops it."""
  low, high = _VALLEY
  position, velocity = state
  velocity = jnp.clip(velocity + push - 0.0025 * jnp.cos(3 * position), low[1], high[1])
  position = jnp.clip(position + velocity, low[0], high[0])
  return jnp.stack([position, jnp.where((position <= low[0]) & (velocity < 0), 0, velocity)])


def _wrapped(angle: jax.Array) -> jax.Array:
  """An angle in [-π, π], of one that is not far beyond."""
  return angle - 2 * _PI * jnp.round(angle / (2 * _PI))


def _box(low: np.ndarray, high: np.ndarray) -> specs.BoundedArray:
  return specs.BoundedArray(low.shape, np.float32, low, high, name="observation")
