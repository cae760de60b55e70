"""Gymnasium's vector environments as vector environments of ours."""

from types import SimpleNamespace
from typing import Any

import dm_env
import numpy as np

from acme import types
from acme.wrappers import gym_wrapper

_FIRST, _MID, _LAST = (np.int32(kind) for kind in dm_env.StepType)


class GymVectorWrapper(gym_wrapper.GymWrapper):
  """A Gymnasium vector environment (`gymnasium.make_vec`), for `acme.VectorEnvironmentLoop`.

  Its specs are those of one of the environments. Its autoreset mode must be NEXT_STEP, Gymnasium's default. Its
  environments draw from generators of their own, which run on from episode to episode: a loop over it cannot be saved.
  """

  def __init__(self, environments: Any, seed: int | None = None) -> None:
    """Wraps a vector environment; `seed` is for its first reset.

    Raises:
      ValueError: its autoreset mode is another than NEXT_STEP.
    """
    mode = environments.metadata.get("autoreset_mode")
    if mode is not None and mode.name != "NEXT_STEP":
      raise ValueError(
        f"Expected a vector environment with autoreset mode NEXT_STEP, got {mode.name}: make it with "
        'vector_kwargs={"autoreset_mode": gymnasium.vector.AutoresetMode.NEXT_STEP}.'
      )
    single = {
      "observation_space": environments.single_observation_space,
      "action_space": environments.single_action_space,
    }
    super().__init__(SimpleNamespace(**single))
    self._environment = environments
    self._to_action = gym_wrapper.converter(environments.action_space)
    self._seed = seed
    self._ended = np.zeros(environments.num_envs, bool)
    self.num_envs: int = environments.num_envs

  def reset(self) -> dm_env.TimeStep:
    observation, _ = self._environment.reset(seed=self._seed)
    self._seed = None
    self._ended[:] = False
    n = self.num_envs
    return dm_env.TimeStep(
      np.full(n, _FIRST), np.zeros(n, np.float32), np.ones(n, np.float32), self.convert(observation)
    )

  def step(self, action: types.NestedArray) -> dm_env.TimeStep:
    observation, reward, terminated, truncated, _ = self._environment.step(self._to_action(action))
    ended = terminated | truncated
    step_type = np.where(self._ended, _FIRST, np.where(ended, _LAST, _MID))
    discount = np.where(terminated, np.float32(0.0), np.float32(1.0))
    self._ended = ended
    return dm_env.TimeStep(step_type, reward.astype(np.float32), discount, self.convert(observation))
