"""N environments stepped as one.

In the vector form every leaf of observation, action, reward and discount has a leading [N], and `step_type` is an int
array [N]. After its LAST timestep an environment gives a FIRST one at the next step, and its action is passed over.
"""

import contextlib
from collections.abc import Sequence
from typing import Any, Protocol

import dm_env
import numpy as np
import tree

from acme import core, episodes, specs, types
from acme.wrappers.checked import Checked

_LAST = int(dm_env.StepType.LAST)


class VectorEnvironment(Protocol):
  """N environments stepped as one; `acme_envs.wrappers.GymVectorWrapper` makes one of Gymnasium's.

  Its four specs (`observation_spec()` and so on, as dm_env has them) are those of one environment, without the [N].
  Where `step_type` is FIRST, the reward is 0 and the discount 1.
  """

  num_envs: int

  def reset(self) -> dm_env.TimeStep:
    """Begins an episode in each, and returns their first timesteps [N]."""

  def step(self, action: types.NestedArray) -> dm_env.TimeStep:
    """Steps each, or resets it where its episode had ended, and returns their timesteps [N]."""

  def close(self) -> None:
    """Closes each."""


class SyncVectorEnvironment(core.Saveable):
  """N dm_env environments with scalar rewards, stepped one after the other."""

  def __init__(self, environments: Sequence[dm_env.Environment], seed: int | None = None) -> None:
    """Makes one of `environments`; with a `seed`, episode k of environment i is number k·N + i.

    Raises:
      ValueError: there is none, one is given twice, their specs differ, or rewards or discounts are not single numbers.
    """
    if not environments:
      raise ValueError("Expected one or more environments, got none.")
    if len({id(_innermost(e)) for e in environments}) < len(environments):
      raise ValueError(
        "Expected environments of their own for each place, got one of them twice: make them one by one, "
        "[make(…) for _ in range(N)], not [environment] * N."
      )
    kinds = {repr(specs.make_environment_spec(e)) for e in environments}
    if len(kinds) > 1:
      raise ValueError(f"Expected environments of the same specs, got {len(kinds)} kinds: {sorted(kinds)}.")
    self._spec = specs.make_environment_spec(environments[0])
    for name, spec in (("reward", self._spec.rewards), ("discount", self._spec.discounts)):
      if not isinstance(spec, dm_env.specs.Array) or spec.shape:
        raise ValueError(f"Expected a {name} spec of one number (shape ()), got {specs.describe(spec)}.")
    self.num_envs = len(environments)
    checked = [Checked(e, name=f"environment {i}: ") for i, e in enumerate(environments)]
    self._episodes = [episodes.Episodes(e, seed, i, self.num_envs) for i, e in enumerate(checked)]
    self._timesteps: list[dm_env.TimeStep] = []
    self._flat = isinstance(self._spec.observations, dm_env.specs.Array)

  @property
  def reproducible(self) -> bool:
    """Whether the episodes in progress can be saved."""
    return all(e.reproducible for e in self._episodes)

  def observation_spec(self) -> types.NestedSpec:
    return self._spec.observations

  def action_spec(self) -> types.NestedSpec:
    return self._spec.actions

  def reward_spec(self) -> dm_env.specs.Array:
    return self._spec.rewards

  def discount_spec(self) -> dm_env.specs.Array:
    return self._spec.discounts

  def reset(self) -> dm_env.TimeStep:
    self._timesteps = [e.reset() for e in self._episodes]
    return self._stack()

  def step(self, action: types.NestedArray) -> dm_env.TimeStep:
    actions = list(action) if isinstance(action, np.ndarray) else [
      tree.map_structure(lambda a, i=i: a[i], action) for i in range(self.num_envs)
    ]  # fmt: skip
    self._timesteps = [
      e.reset() if last.step_type == _LAST else e.step(a)
      for e, last, a in zip(self._episodes, self._timesteps, actions, strict=True)
    ]
    return self._stack()

  def close(self) -> None:
    with contextlib.ExitStack() as stack:  # Closes them all, though one of them raises.
      for e in self._episodes:
        stack.callback(e.environment.close)

  def save(self) -> types.State:
    return [e.save() for e in self._episodes]

  def restore(self, state: types.State) -> None:
    """Plays each episode in progress again; one that had ended is begun by the next step."""
    ended = dm_env.TimeStep(dm_env.StepType.LAST, None, None, None)
    restored = [e.restore(s) for e, s in zip(self._episodes, state, strict=True)]
    self._timesteps = [ended if timestep is None else timestep for timestep in restored]

  @property
  def ended(self) -> np.ndarray:
    """Whether each environment begins an episode at the next step: [N] bool."""
    return np.array([t.step_type == _LAST for t in self._timesteps])

  def _stack(self) -> dm_env.TimeStep:
    observations = [t.observation for t in self._timesteps]
    return dm_env.TimeStep(
      np.array([t.step_type for t in self._timesteps], np.int32),
      np.array([0 if t.reward is None else t.reward for t in self._timesteps], self._spec.rewards.dtype),
      np.array([1 if t.discount is None else t.discount for t in self._timesteps], self._spec.discounts.dtype),
      _join(self._spec.observations, *observations)
      if self._flat
      else tree.map_structure(_join, self._spec.observations, *observations),
    )


def _join(spec: dm_env.specs.Array, *leaves: types.NestedArray) -> np.ndarray:
  return np.stack(leaves).astype(spec.dtype, copy=False)


def _innermost(environment: Any) -> Any:
  """The environment inside all wrappers, ours and Gymnasium's."""
  while hasattr(inner := getattr(environment, "environment", None), "reset"):
    environment = inner
  return getattr(environment, "unwrapped", environment)
