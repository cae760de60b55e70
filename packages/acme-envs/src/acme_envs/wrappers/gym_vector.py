"""Gymnasium's vector environments as vector environments of ours."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import dm_env
import numpy as np

from acme import types
from acme.validation import convert
from acme.wrappers import checked, gym_wrapper
from acme_envs.wrappers import workers

_FIRST, _MID, _LAST = (np.int32(kind) for kind in dm_env.StepType)
_BOOL, _FLOAT32 = np.dtype(bool), np.dtype(np.float32)


class GymVectorWrapper(gym_wrapper.GymWrapper):
  """A Gymnasium vector environment (`gymnasium.make_vec`), for `acme.VectorEnvironmentLoop`.

  Its specs are those of one of the environments. Its autoreset mode must be NEXT_STEP, Gymnasium's default. Its
  environments draw from generators of their own, which run on from episode to episode: a loop over it cannot be saved.

  Environments in processes of their own (AsyncVectorEnv) have `timeout` seconds for each reset and each step; after
  that, or where a process has died, they are ended, and the error says which.
  """

  def __init__(self, environments: Any, seed: int | None = None, timeout: float = 60.0) -> None:
    """Wraps a vector environment.

    Args:
      environments: to wrap.
      seed: for its first reset.
      timeout: seconds to wait for environments in other processes.

    Raises:
      ValueError: its autoreset mode is another than NEXT_STEP.
    """
    mode = environments.metadata.get("autoreset_mode")
    if mode is not None and getattr(mode, "name", mode) != "NEXT_STEP":
      raise ValueError(
        f"Expected a vector environment with autoreset mode NEXT_STEP, got {getattr(mode, 'name', mode)}: make it with "
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
    inner = getattr(environments, "unwrapped", environments)
    self._workers = workers.Workers(inner, timeout) if hasattr(inner, "processes") else None

  def reset(self) -> dm_env.TimeStep:
    seed, self._seed = self._seed, None
    observation, _ = self._call(lambda: checked.with_seed(lambda seed: self._environment.reset(seed=seed), seed))
    self._ended[:] = False
    n = self.num_envs
    return dm_env.TimeStep(
      np.full(n, _FIRST), np.zeros(n, np.float32), np.ones(n, np.float32), self.convert(observation)
    )

  def step(self, action: types.NestedArray) -> dm_env.TimeStep:
    action = self._to_action(action)
    observation, reward, terminated, truncated, info = self._call(lambda: self._environment.step(action))
    terminated, truncated = (convert("terminated or truncated", x, _BOOL) for x in (terminated, truncated))
    reward = convert("reward", reward, _FLOAT32)
    ended = terminated | truncated
    self._check_resets(reward, ended, info)
    step_type = np.where(self._ended, _FIRST, np.where(ended, _LAST, _MID))
    discount = np.where(terminated, np.float32(0.0), np.float32(1.0))
    self._ended = ended
    return dm_env.TimeStep(step_type, reward, discount, self.convert(observation))

  def close(self) -> None:
    """Closes the environments; those in processes of their own are ended where they do not close in time."""
    if self._workers is None:
      self._environment.close()
    else:
      self._workers.close(self._environment.close)

  def _call(self, function: Callable[[], Any]) -> Any:
    return function() if self._workers is None else self._workers.call(function)

  def _check_resets(self, reward: np.ndarray, ended: np.ndarray, info: Any) -> None:
    """Raises ValueError where an environment did not spend the step after its episode's end on a reset."""
    hidden = "final_obs" in info or "final_observation" in info
    if hidden or np.any(self._ended & (ended | (reward != 0))):
      raise ValueError(
        "Expected every environment to reset in the step after the end of its episode (reward 0, no end), got one that "
        f"{'resets in the step that ends it' if hidden else 'goes on instead'}: the autoreset mode is not NEXT_STEP, "
        "whatever its metadata say. Make it with autoreset_mode=gymnasium.vector.AutoresetMode.NEXT_STEP."
      )
