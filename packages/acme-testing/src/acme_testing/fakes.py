"""Environments made from specs alone, and an actor that fits any of them.

Their rewards and discounts are never trivial: a fake whose reward is 0 and whose discount is 1 hides a lost reward, a
forgotten discount and an off-by-one alike.
"""

import zlib
from collections.abc import Iterable
from typing import Any

import dm_env
import numpy as np
import tree

from acme import core, specs, types

__all__ = [
  "ACTIONS",
  "OBSERVATIONS",
  "FakeEnvironment",
  "RandomActor",
  "Reach",
  "ScriptedEnvironment",
  "Steer",
  "make_spec",
  "random_value",
]

OBSERVATIONS: dict[str, types.NestedSpec] = {
  "scalar": specs.BoundedArray((), np.float32, -1, 1, name="observation"),
  "vector": specs.BoundedArray((5,), np.float32, -1, 1, name="observation"),
  "unbounded": specs.Array((3,), np.float32, name="observation"),
  "integer": specs.BoundedArray((4,), np.int32, 0, 9, name="observation"),
  "nested": (specs.Array((3,), np.float32, name="position"), {"goal": specs.Array((2, 2), np.float32, name="goal")}),
  "image": specs.BoundedArray((16, 16, 3), np.uint8, 0, 255, name="pixels"),
  "dict": {
    "velocity": specs.Array((2,), np.float32, name="velocity"),
    "height": specs.BoundedArray((), np.float32, 0, 2, name="height"),
  },
}
"""Observation specs by name; those that DESIGN.md asks every agent for are scalar, vector, nested, image and dict."""

ACTIONS: dict[str, types.NestedSpec] = {
  "discrete": specs.DiscreteArray(3, np.int32, name="action"),
  "continuous": specs.BoundedArray((2,), np.float32, [-1, 0], [1, 3], name="action"),
  "matrix": specs.BoundedArray((2, 3), np.float32, -2, 2, name="action"),
  "dict": {
    "arm": specs.BoundedArray((2,), np.float32, -1, 1, name="arm"),
    "hand": specs.BoundedArray((), np.float32, 0, 0.5, name="hand"),
  },
  "mixed": {
    "arm": specs.BoundedArray((2,), np.float32, [-1, 0], [1, 3], name="arm"),
    "gear": specs.DiscreteArray(3, np.int32, name="gear"),
    "horn": specs.DiscreteArray(2, np.int64, name="horn"),
  },
  "free": specs.Array((2,), np.float32, name="action"),
}
"""Action specs by name: one discrete, three continuous, one of both kinds, and one continuous without bounds."""


def make_spec(observation: str = "vector", action: str = "discrete") -> specs.EnvironmentSpec:
  """Makes an environment's specs from two names of the tables above."""
  return specs.EnvironmentSpec(
    observations=OBSERVATIONS[observation],
    actions=ACTIONS[action],
    rewards=specs.Array((), np.float32, name="reward"),
    discounts=specs.BoundedArray((), np.float32, 0, 1, name="discount"),
  )


def random_value(spec: types.NestedSpec, rng: np.random.Generator) -> types.NestedArray:
  """Draws a value that is valid under a spec: uniform between finite bounds, else standard normal."""
  return tree.map_structure(lambda leaf: _random_leaf(leaf, rng), spec)


def _random_leaf(spec: specs.Array, rng: np.random.Generator) -> np.ndarray:
  dtype = np.dtype(spec.dtype)
  if dtype.kind == "b":
    return rng.integers(2, size=spec.shape).astype(bool)
  is_float = np.issubdtype(dtype, np.floating)
  low: Any = -np.inf if is_float else 0
  high: Any = np.inf if is_float else 9
  if isinstance(spec, specs.BoundedArray):
    low, high = spec.minimum, spec.maximum
  low, high = (np.broadcast_to(np.asarray(bound), spec.shape) for bound in (low, high))
  if not is_float:
    return np.asarray(rng.integers(low, high, size=spec.shape, endpoint=True, dtype=np.int64)).astype(dtype)
  finite = np.isfinite(low) & np.isfinite(high)
  low0, high0 = np.where(finite, low, 0).astype(np.float64), np.where(finite, high, 1).astype(np.float64)
  uniform = low0 + (high0 - low0) * rng.random(spec.shape)
  value = np.where(finite, uniform, rng.standard_normal(spec.shape)).astype(dtype)
  return np.asarray(np.clip(value, low, high), dtype)  # Half-bounded, or rounded over a bound.


class FakeEnvironment(dm_env.Environment):
  """An environment that gives whatever its specs allow, the same for the same seed and actions.

  Rewards are ±[0.5, 2), discounts in [0.5, 0.99), and half the episodes terminate (discount 0) while half are
  truncated: those of even and of odd seeds. What comes depends on every action since the reset.
  """

  def __init__(self, spec: specs.EnvironmentSpec, *, episode_length: int = 7, seed: int = 0) -> None:
    """Makes an environment whose unseeded episodes have the seeds `seed`, `seed` + 1 and so on.

    Args:
      spec: the four specs; the rewards' and discounts' leaves are floats.
      episode_length: steps in each episode, 1 or more.
      seed: the first episode's seed.
    """
    if episode_length < 1:
      raise ValueError(f"FakeEnvironment episode_length: expected 1 or more, got {episode_length}.")
    self._spec = spec
    self._episode_length = episode_length
    self._next_seed = seed
    self._seed = seed
    self._steps: int | None = None  # None: the next step resets.
    self._history = 0
    self.closed = False

  def seed(self, seed: int) -> None:
    """Makes the next episode that of `seed`."""
    self._next_seed = seed

  def reset(self) -> dm_env.TimeStep:
    self._seed, self._next_seed = self._next_seed, self._next_seed + 1
    self._steps = 0
    self._history = 0
    return dm_env.restart(random_value(self._spec.observations, self._rng()))

  def step(self, action: types.NestedArray) -> dm_env.TimeStep:
    """Takes a step; raises ValueError for an action that its spec does not allow."""
    if self._steps is None:
      return self.reset()
    self._check(action)
    self._steps += 1
    for leaf in tree.flatten(action):
      self._history = zlib.crc32(np.ascontiguousarray(leaf).tobytes(), self._history)
    rng = self._rng()
    observation = random_value(self._spec.observations, rng)
    reward = tree.map_structure(lambda leaf: _reward(leaf, rng), self._spec.rewards)
    discount = tree.map_structure(
      lambda leaf: np.asarray(rng.uniform(0.5, 0.99, leaf.shape), leaf.dtype)[()], self._spec.discounts
    )
    if self._steps < self._episode_length:
      return dm_env.TimeStep(dm_env.StepType.MID, reward, discount, observation)
    self._steps = None
    if self._seed % 2 == 0:
      discount = tree.map_structure(np.zeros_like, discount)
    return dm_env.TimeStep(dm_env.StepType.LAST, reward, discount, observation)

  def observation_spec(self) -> types.NestedSpec:
    return self._spec.observations

  def action_spec(self) -> types.NestedSpec:
    return self._spec.actions

  def reward_spec(self) -> types.NestedSpec:
    return self._spec.rewards

  def discount_spec(self) -> types.NestedSpec:
    return self._spec.discounts

  def close(self) -> None:
    self.closed = True

  def _rng(self) -> np.random.Generator:
    return np.random.default_rng([self._seed, self._steps or 0, self._history])

  def _check(self, action: types.NestedArray) -> None:
    try:
      tree.map_structure(lambda leaf, value: leaf.validate(value), self._spec.actions, action)
    except (TypeError, ValueError) as error:
      raise ValueError(f"Expected an action of {specs.describe(self._spec.actions)}, got {action!r}: {error}") from None


def _reward(spec: specs.Array, rng: np.random.Generator) -> np.ndarray:
  size = rng.uniform(0.5, 2, spec.shape)
  return np.asarray(size * rng.choice([-1, 1], spec.shape), spec.dtype)[()]


class ScriptedEnvironment(dm_env.Environment):
  """Plays given timesteps, whatever the actions, which it keeps in `actions`."""

  def __init__(self, timesteps: Iterable[dm_env.TimeStep], spec: specs.EnvironmentSpec | None = None) -> None:
    """Makes an environment of one or more episodes, each a first timestep and what follows it.

    Args:
      timesteps: what `reset` and `step` give, in order.
      spec: the specs; None for those of the first observation, two discrete actions, and scalar rewards and discounts.
    """
    self._timesteps = list(timesteps)
    if not self._timesteps or not self._timesteps[0].first():
      raise ValueError("ScriptedEnvironment: expected timesteps that begin with a first one (dm_env.restart).")
    self._spec = spec if spec is not None else _spec_of(self._timesteps[0].observation)
    self._position = 0
    self.actions: list[types.NestedArray] = []

  def reset(self) -> dm_env.TimeStep:
    """Goes on to the next first timestep, passing over what is left of an episode in progress."""
    while self._position < len(self._timesteps) and not self._timesteps[self._position].first():
      self._position += 1
    return self._next()

  def step(self, action: types.NestedArray) -> dm_env.TimeStep:
    self.actions.append(action)
    return self._next()

  def observation_spec(self) -> types.NestedSpec:
    return self._spec.observations

  def action_spec(self) -> types.NestedSpec:
    return self._spec.actions

  def reward_spec(self) -> types.NestedSpec:
    return self._spec.rewards

  def discount_spec(self) -> types.NestedSpec:
    return self._spec.discounts

  def _next(self) -> dm_env.TimeStep:
    if self._position >= len(self._timesteps):
      raise RuntimeError(f"ScriptedEnvironment: the script of {len(self._timesteps)} timesteps is over.")
    self._position += 1
    return self._timesteps[self._position - 1]


def _spec_of(observation: types.NestedArray) -> specs.EnvironmentSpec:
  def leaf(value: Any) -> specs.Array:
    array = np.asarray(value)
    return specs.Array(array.shape, array.dtype, name="observation")

  return make_spec()._replace(
    observations=tree.map_structure(leaf, observation), actions=specs.DiscreteArray(2, np.int32, name="action")
  )


class Reach(dm_env.Environment):
  """An episode of one step, for quick tests of learning: the observation says which action is best.

  Of continuous actions in [−1, 1] the reward is −|a − o|, some −0.6 at random; of two discrete ones 0 for the one that
  tells the observation's sign, else −1. Observations are uniform in [−0.8, 0.8], and shown with `offset` added.
  """

  def __init__(self, discrete: bool, offset: float = 0.0) -> None:
    self._rng, self._discrete, self._offset = np.random.default_rng(0), discrete, np.float32(offset)

  def seed(self, seed: int) -> None:
    """Makes the next observations depend on `seed` alone."""
    self._rng = np.random.default_rng(seed)

  def reset(self) -> dm_env.TimeStep:
    self._goal = self._rng.uniform(-0.8, 0.8, size=1).astype(np.float32)
    return dm_env.restart(self._goal + self._offset)

  def step(self, action: types.NestedArray) -> dm_env.TimeStep:
    reward = (action == (self._goal[0] > 0)) - 1 if self._discrete else -abs(action - self._goal[0])
    return dm_env.termination(np.float32(reward), self._goal + self._offset)

  def observation_spec(self) -> specs.BoundedArray:
    return specs.BoundedArray((1,), np.float32, self._offset - 1, self._offset + 1)

  def action_spec(self) -> specs.Array:
    return specs.DiscreteArray(2) if self._discrete else specs.BoundedArray((), np.float32, -1, 1)


class Steer(Reach):
  """As `Reach`, by an action of two parts that both matter: how far to move, in [0, 1], and whether to the right.

  The reward is −|±a − o|, some −0.7 at random.
  """

  def __init__(self) -> None:
    super().__init__(discrete=False)

  def step(self, action: types.NestedArray) -> dm_env.TimeStep:
    return super().step(action["far"] if action["right"] else -action["far"])

  def action_spec(self) -> dict[str, specs.Array]:
    return {"far": specs.BoundedArray((), np.float32, 0, 1), "right": specs.DiscreteArray(2)}


class RandomActor(core.Actor):
  """Acts at random, uniformly between bounds, and learns nothing."""

  def __init__(self, spec: specs.EnvironmentSpec, *, seed: int = 0) -> None:
    """Makes an actor for any action spec."""
    self._actions = spec.actions
    self._rng = np.random.default_rng(seed)

  def select_action(self, observation: types.NestedArray) -> types.NestedArray:
    return random_value(self._actions, self._rng)

  def observe_first(self, timestep: dm_env.TimeStep) -> None:
    pass

  def observe(self, action: types.NestedArray, next_timestep: dm_env.TimeStep) -> None:
    pass

  def update(self, wait: bool = False) -> None:
    pass

  def save(self) -> types.State:
    return {"rng": self._rng.bit_generator.state}

  def restore(self, state: types.State) -> None:
    self._rng.bit_generator.state = state["rng"]
