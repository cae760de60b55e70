"""The loop in which one actor meets many environments at once.

In the vector form every leaf of observation, action, reward and discount has a leading [N], and `step_type` is an int
array [N]. After its LAST timestep an environment gives a FIRST one at the next step, and its action is passed over.
"""

import time
from collections.abc import Sequence
from typing import Protocol

import dm_env
import numpy as np
import tree

from acme import core, counting, episodes, loggers, types
from acme.environment_loop import Loop, Result
from acme.wrappers.gym_vector_wrapper import GymVectorWrapper

_FIRST, _LAST = int(dm_env.StepType.FIRST), int(dm_env.StepType.LAST)


class VectorEnvironment(Protocol):
  """N environments stepped as one; `acme.wrappers.GymVectorWrapper` makes one of Gymnasium's."""

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
      ValueError: there is none, or their specs differ.
    """
    if not environments:
      raise ValueError("Expected one or more environments, got none.")
    kinds = {repr((e.observation_spec(), e.action_spec())) for e in environments}
    if len(kinds) > 1:
      raise ValueError(f"Expected environments of the same specs, got {len(kinds)} kinds: {sorted(kinds)}.")
    self.num_envs = len(environments)
    self._episodes = [episodes.Episodes(e, seed, i, self.num_envs) for i, e in enumerate(environments)]
    self._timesteps: list[dm_env.TimeStep] = []
    self._observation_spec = environments[0].observation_spec()
    self._flat = isinstance(self._observation_spec, dm_env.specs.Array)

  @property
  def reproducible(self) -> bool:
    """Whether the episodes in progress can be saved."""
    return all(e.reproducible for e in self._episodes)

  def observation_spec(self) -> types.NestedSpec:
    """The spec of one environment's observation, without the leading [N]."""
    return self._observation_spec

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
    for e in self._episodes:
      e.environment.close()

  def save(self) -> types.State:
    return [e.save() for e in self._episodes]

  def restore(self, state: types.State) -> None:
    """Plays each episode in progress again; one that had ended is begun by the next step."""
    ended = dm_env.TimeStep(dm_env.StepType.LAST, None, None, None)
    restored = [e.restore(s) for e, s in zip(self._episodes, state, strict=True)]
    self._timesteps = [ended if timestep is None else timestep for timestep in restored]

  def _stack(self) -> dm_env.TimeStep:
    observations = [t.observation for t in self._timesteps]
    return dm_env.TimeStep(
      np.array([t.step_type for t in self._timesteps], np.int32),
      np.array([0.0 if t.reward is None else t.reward for t in self._timesteps], np.float32),
      np.array([1.0 if t.discount is None else t.discount for t in self._timesteps], np.float32),
      np.stack(observations) if self._flat else tree.map_structure(lambda *o: np.stack(o), *observations),
    )


class VectorEnvironmentLoop(Loop):
  """Runs an actor of N environments in all of them at once, and logs a result for each episode.

  One call of the policy serves N environments, and the agent learns as often for each step as in one environment. No
  transition crosses an episode.
  """

  def __init__(
    self,
    environments: Sequence[dm_env.Environment] | VectorEnvironment,
    actor: core.Actor,
    *,
    counter: counting.Counter | None = None,
    logger: loggers.Logger | None = None,
    should_update: bool = True,
    label: str = "train",
    seed: int | None = None,
  ) -> None:
    """Makes a loop.

    Args:
      environments: N dm_env environments of the same specs, or a vector environment, Gymnasium's or our own.
      actor: made for N environments: `DQN(spec, num_envs=N)`.
      counter: counts `{label}_episodes` and `{label}_steps`, for whoever shares it.
      logger: takes a result for each episode; None for a line on the terminal now and then.
      should_update: whether to call `actor.update()` after each step of all environments.
      label: the name under which steps are counted.
      seed: what the episodes' seeds derive from, where `environments` is a sequence; None leaves the environments' own.
    """
    if hasattr(environments, "single_observation_space"):
      environments = GymVectorWrapper(environments, seed)
    elif isinstance(environments, Sequence):
      environments = SyncVectorEnvironment(environments, seed)
    super().__init__(environments, actor, counter, logger, should_update, label)
    self._observation: types.NestedArray = None  # [N, …]; None before the first reset.
    self._lengths = np.zeros(environments.num_envs, np.int64)
    self._returns = np.zeros(environments.num_envs, np.float64)
    self._steps = 0

  @property
  def reproducible(self) -> bool:
    """Whether every episode is seeded, so that the loop can be saved."""
    return getattr(self._environment, "reproducible", False)

  @property
  def steps(self) -> int:
    """Environment steps taken, those of the episodes in progress included."""
    return self._steps

  def _step(self) -> tuple[int, Sequence[Result]]:
    if self._observation is None:
      first = self._environment.reset()
      self._observation = first.observation
      self._window = (time.perf_counter(), self._steps)
      self._actor.observe_first(first)
    action = self._actor.select_action(self._observation)
    timestep = self._environment.step(action)
    stepped = timestep.step_type != _FIRST  # [N]
    self._lengths += stepped
    self._returns += np.where(stepped, timestep.reward, 0.0)
    steps = int(np.count_nonzero(stepped))
    self._steps += steps
    self._observation = timestep.observation
    self._actor.observe(action, timestep)
    if self._should_update:
      self._actor.update()
    ended = np.flatnonzero(timestep.step_type == _LAST)
    return steps, [self._end(i, timestep) for i in ended.tolist()]

  def _end(self, i: int, timestep: dm_env.TimeStep) -> Result:
    length = int(self._lengths[i])
    counts = self._count_episode(length)
    start, steps = self._window
    result = {
      "episode_length": length,
      "episode_return": float(self._returns[i]),
      "truncated": bool(timestep.discount[i] > 0),
      "steps_per_second": (self._steps - steps) / (time.perf_counter() - start),
      "environment": int(i),
      **counts,
    }
    self._lengths[i] = 0
    self._returns[i] = 0.0
    self._logger.write(result)
    return result

  def save(self) -> types.State:
    """Returns the loop's state. Raises RuntimeError where the environments cannot be saved."""
    if not self.reproducible:
      raise RuntimeError(
        "Cannot save this loop: its environments have no seed(int) method, or the loop no seed, so that their episodes "
        "could not be played again. Give VectorEnvironmentLoop a list of dm_env environments and a seed."
      )
    begun = self._observation is not None
    return {
      "environments": self._environment.save() if begun else None,
      "observation": tree.flatten(self._observation) if begun else None,
      "counts": self._counter.save(),
      "lengths": self._lengths.copy(),
      "returns": self._returns.copy(),
      "steps": self._steps,
    }

  def restore(self, state: types.State) -> None:
    """Puts the loop where it was, playing the episodes in progress again.

    Raises:
      RuntimeError: an environment, seeded and played again, comes to another observation.
    """
    self._counter.restore(state["counts"])
    self._lengths[:] = state["lengths"]
    self._returns[:] = state["returns"]
    self._steps = state["steps"]
    self._window = (time.perf_counter(), self._steps)
    if state["environments"] is not None:
      self._environment.restore(state["environments"])
      self._observation = tree.unflatten_as(self._environment.observation_spec(), state["observation"])
