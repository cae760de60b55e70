"""The loop in which one actor meets many environments at once."""

import time
from collections.abc import Sequence

import dm_env
import numpy as np
import tree

from acme import core, counting, loggers, specs, types, validation
from acme.environment_loop import Loop, Result
from acme.vector_environment import SyncVectorEnvironment, VectorEnvironment
from acme.wrappers.base import copied

_FIRST, _LAST = int(dm_env.StepType.FIRST), int(dm_env.StepType.LAST)
_INT32 = np.dtype(np.int32)


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
      environments: N dm_env environments of the same specs, or a vector environment.
      actor: made for N environments: `DQN(spec, num_envs=N)`.
      counter: counts `{label}_episodes` and `{label}_steps`, for whoever shares it.
      logger: takes a result for each episode; None for a line on the terminal now and then.
      should_update: whether to call `actor.update()` after each step of all environments.
      label: the name under which steps are counted.
      seed: what the episodes' seeds derive from, where `environments` is a sequence; None leaves the environments' own.

    Raises:
      TypeError: Gymnasium's vector environments, which want a wrapper.
    """
    if isinstance(environments, Sequence):
      environments = SyncVectorEnvironment(environments, seed)
    elif hasattr(environments, "single_observation_space"):
      raise TypeError("Gymnasium's vector environments want acme_envs.wrappers.GymVectorWrapper(environments, seed).")
    super().__init__(environments, actor, counter, logger, should_update, label)
    spec, n = specs.make_environment_spec(environments), environments.num_envs
    self._action = validation.ActionValidator(spec.actions, n)
    self._checks = (
      validation.Validator("reward", spec.rewards, n),
      validation.DiscountValidator("discount", spec.discounts, n),
      validation.Validator("observation", spec.observations, n),
    )
    self._ended = np.ones(n, bool)  # [N], whether the next timestep is to be a first one.
    self._observation: types.NestedArray = None  # [N, …]; None before the first reset.
    self._lengths, self._returns, self._steps = np.zeros(n, np.int64), np.zeros(n), 0

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
      first = self._checked("reset()", self._environment.reset())
      self._observation = first.observation
      self._window = (time.perf_counter(), self._steps)
      self._actor.observe_first(first)
    action = self._actor.select_action(self._observation)
    if not self._action.fits(action):
      self._action(action)
    timestep = self._checked("step()", self._environment.step(copied(action)))
    stepped = timestep.step_type != _FIRST  # [N]
    self._lengths += stepped
    self._returns += np.where(stepped, timestep.reward, 0.0)
    steps = int(np.count_nonzero(stepped))
    self._steps += steps
    self._observation = timestep.observation
    self._actor.observe(action, timestep)
    if self._should_update:
      self._actor.update()
    return steps, [self._end(i, timestep) for i in self._ended.nonzero()[0].tolist()]

  def _checked(self, call: str, timestep: dm_env.TimeStep) -> dm_env.TimeStep:
    """The timestep with arrays that nobody else has. Raises ValueError where something does not fit."""
    if not hasattr(timestep, "step_type"):
      raise TypeError(f"{call}: expected a dm_env.TimeStep, got {type(timestep).__name__}.")
    step_type, *values = timestep
    step_type = validation.convert(f"{call} step_type", step_type, _INT32)
    if step_type.shape != self._ended.shape or step_type.min() < _FIRST or step_type.max() > _LAST:
      raise ValueError(
        f"{call} step_type: expected [{len(self._ended)}] of 0, 1 or 2, got {validation.brief(step_type)}."
      )
    wrong = (step_type == _FIRST) != self._ended
    if wrong.any():
      raise ValueError(_wrong_order(call, int(wrong.argmax()), step_type))
    for check, value in zip(self._checks, values, strict=True):
      if not check.fits(value):
        check(value)
    self._ended = step_type == _LAST
    return dm_env.TimeStep(step_type, *map(copied, values))

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
      "ended": self._ended.copy(),
    }

  def restore(self, state: types.State) -> None:
    """Puts the loop where it was, playing the episodes in progress again; one that is lost counts no more."""
    self._counter.restore(state["counts"])
    self._lengths[:] = state["lengths"]
    self._returns[:] = state["returns"]
    self._steps = state["steps"]
    self._ended = np.array(state["ended"], bool)
    self._window = (time.perf_counter(), self._steps)
    if state["environments"] is not None:
      self._environment.restore(state["environments"])
      lost = self._environment.ended & ~self._ended
      self._ended, self._lengths[lost], self._returns[lost] = self._ended | lost, 0, 0.0
      self._observation = tree.unflatten_as(self._environment.observation_spec(), state["observation"])


def _wrong_order(call: str, i: int, step_type: np.ndarray) -> str:
  if step_type[i] == _FIRST:
    return (
      f"{call}: expected a timestep of type MID or LAST within the episode of environment {i}, got FIRST. If somebody "
      "else resets or evaluates in these environments, give them some of their own."
    )
  return (
    f"{call}: expected a timestep of type FIRST of environment {i}, whose episode has ended or not begun, got "
    f"{dm_env.StepType(int(step_type[i]))!r}. An environment that resets in the step that ends its episode hides the "
    "last observation: make it reset in the step after."
  )
