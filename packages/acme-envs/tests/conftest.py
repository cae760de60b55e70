from typing import Any

import dm_env
import numpy as np
import pytest
from dm_env import specs

from acme_envs import dm_control


class Fake(dm_env.Environment):
  """Counts its steps. Observations are nested, and it keeps the arrays it gave; rewards are 1, 2, 3, …"""

  def __init__(self, length: int = 5, discount: float = 0.5, last_discount: float = 0.0) -> None:
    self.length, self.discount, self.last_discount = length, discount, last_discount
    self.given: list[Any] = []
    self.actions: list[Any] = []
    self.resets = 0
    self.closed = False
    self._count = -1

  def _observation(self) -> Any:
    observation = {
      "b": np.array([self._count, -self._count], np.float32),
      "a": {"scalar": np.float32(self._count), "image": np.full((2, 2, 1), self._count, np.uint8)},
    }
    self.given.append((self._count, observation))
    return observation

  def reset(self) -> dm_env.TimeStep:
    self._count = 0
    self.resets += 1
    return dm_env.restart(self._observation())

  def step(self, action: Any) -> dm_env.TimeStep:
    if self._count < 0 or self._count >= self.length:
      return self.reset()
    self.actions.append(action)
    self._count += 1
    reward = np.float32(self._count)
    if self._count == self.length:
      return dm_env.TimeStep(dm_env.StepType.LAST, reward, np.float32(self.last_discount), self._observation())
    return dm_env.transition(reward, self._observation(), np.float32(self.discount))

  def observation_spec(self) -> Any:
    return {
      "b": specs.Array((2,), np.float32),
      "a": {
        "scalar": specs.BoundedArray((), np.float32, 0, 100),
        "image": specs.BoundedArray((2, 2, 1), np.uint8, 0, 255),
      },
    }

  def action_spec(self) -> Any:
    return specs.BoundedArray((2,), np.float32, [-1, 0], [3, 10])

  def reward_spec(self) -> Any:
    return specs.BoundedArray((), np.float32, 0, 10)

  def discount_spec(self) -> Any:
    return specs.BoundedArray((), np.float32, 0, 1)

  def close(self) -> None:
    self.closed = True

  def unspoiled(self) -> bool:
    """Whether everything it gave is still as it was."""
    return all(
      observation["b"][0] == count and np.all(observation["a"]["image"] == count) for count, observation in self.given
    )


class SeededFake(Fake):
  """Its episodes' lengths are drawn."""

  def __init__(self) -> None:
    super().__init__()
    self._rng = np.random.default_rng(0)

  def seed(self, seed: int) -> None:
    self._rng = np.random.default_rng(seed)

  def reset(self) -> dm_env.TimeStep:
    self.length = int(self._rng.integers(3, 30))
    return super().reset()


@pytest.fixture(scope="session", autouse=True)
def without_a_screen() -> None:
  dm_control.draw_without_a_screen()  # Before any test imports MuJoCo, which chooses once.


@pytest.fixture
def fake() -> type[Fake]:
  return Fake


@pytest.fixture
def seeded_fake() -> type[SeededFake]:
  return SeededFake
