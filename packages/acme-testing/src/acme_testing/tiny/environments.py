"""Problems that no agent solves by luck: one to remember something in, one whose reward is hard to find."""

import dm_env
import numpy as np

from acme import specs


class Cue(dm_env.Environment):
  """One of three cues, told at the beginning of an episode, is to be the last action: +1 where it is, else −1.

  It is shown in the first observation; or, where it is `hidden`, told by the first reward alone, which is a quarter of
  how far it lies above the first action, modulo 3: then action and reward must be remembered, both.
  """

  def __init__(self, length: int = 4, *, hidden: bool = False, seed: int = 0) -> None:
    """Makes a problem of `length` steps, 2 or more."""
    self._length, self._hidden = length, hidden
    self._rng = np.random.default_rng(seed)
    self._cue = self._time = 0

  def seed(self, seed: int) -> None:
    """Determines the episodes from the next on."""
    self._rng = np.random.default_rng(seed)

  def reset(self) -> dm_env.TimeStep:
    self._cue, self._time = int(self._rng.integers(3)), 0
    return dm_env.restart(self._observation())

  def step(self, action: np.ndarray) -> dm_env.TimeStep:
    above = (self._cue - int(action)) % 3
    self._time += 1
    if self._time == self._length:
      reward = np.float32(-1 if above else 1)
      return dm_env.TimeStep(dm_env.StepType.LAST, reward, np.float32(0), self._observation())
    told = np.float32(0.25 * above if self._hidden and self._time == 1 else 0)
    return dm_env.TimeStep(dm_env.StepType.MID, told, np.float32(1), self._observation())

  def _observation(self) -> np.ndarray:
    """The cue, whether this is the first step, and whether it is the last in which to act."""
    cue = np.eye(3)[self._cue] * (self._time == 0 and not self._hidden)
    return np.array([*cue, self._time == 0, self._time == self._length - 1], np.float32)

  def observation_spec(self) -> specs.Array:
    return specs.Array((5,), np.float32, name="observation")

  def action_spec(self) -> specs.DiscreteArray:
    return specs.DiscreteArray(3, np.int32, name="action")

  def reward_spec(self) -> specs.Array:
    return specs.Array((), np.float32, name="reward")

  def discount_spec(self) -> specs.Array:
    return specs.BoundedArray((), np.float32, 0, 1, name="discount")


class Chain(dm_env.Environment):
  """N states in a row, each with one action that leads on; the last of these gives a 1, and any other action ends the
  episode with 0.5, so that whoever has not been at the end learns to leave at once.

  The right actions are 1 and 0 in turn; acting at random comes to the end in one episode of 2^N.
  """

  def __init__(self, length: int = 12) -> None:
    """Makes a chain of `length` states, N."""
    self._length = length
    self._state = 0

  def seed(self, seed: int) -> None:
    """Changes nothing: there is no chance in it."""

  def right(self, state: int) -> int:
    """The action that leads on from a state."""
    return 1 - state % 2

  def reset(self) -> dm_env.TimeStep:
    self._state = 0
    return dm_env.restart(self._observation())

  def step(self, action: np.ndarray) -> dm_env.TimeStep:
    on = int(action) == self.right(self._state)
    self._state += on
    done = self._state == self._length
    reward = np.float32(done if on else 0.5)
    if on and not done:
      return dm_env.TimeStep(dm_env.StepType.MID, reward, np.float32(1), self._observation())
    return dm_env.TimeStep(dm_env.StepType.LAST, reward, np.float32(0), self._observation())

  def _observation(self) -> np.ndarray:
    return np.eye(self._length + 1, dtype=np.float32)[self._state]

  def observation_spec(self) -> specs.Array:
    return specs.Array((self._length + 1,), np.float32, name="observation")

  def action_spec(self) -> specs.DiscreteArray:
    return specs.DiscreteArray(2, np.int32, name="action")

  def reward_spec(self) -> specs.Array:
    return specs.Array((), np.float32, name="reward")

  def discount_spec(self) -> specs.Array:
    return specs.BoundedArray((), np.float32, 0, 1, name="discount")
