"""The loop in which an actor meets an environment."""

import operator
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import dm_env
import numpy as np
import tree

from acme import core, counting, loggers, types

Result = dict[str, Any]


class Observer(Protocol):
  """Watches the steps of a loop and gives metrics of its own."""

  def observe_first(self, environment: dm_env.Environment, timestep: dm_env.TimeStep) -> None:
    """Sees the first timestep of an episode."""

  def observe(self, environment: dm_env.Environment, timestep: dm_env.TimeStep, action: types.NestedArray) -> None:
    """Sees the timestep that `action` led to."""

  def get_metrics(self) -> Mapping[str, Any]:
    """Returns metrics of the episode that ended, for its result."""


class EnvironmentLoop(core.Saveable):
  """Runs an actor in an environment, and logs a result for each episode.

  With a `seed`, episode i is reset with a seed derived from (seed, i), where the environment has a method `seed(int)`
  (acme.wrappers.GymWrapper and what acme_envs makes have one). A loop so seeded can be saved within an episode: what is
  kept is the episode's seed and actions, and `restore` plays them again.
  """

  def __init__(
    self,
    environment: dm_env.Environment,
    actor: core.Actor,
    *,
    counter: counting.Counter | None = None,
    logger: loggers.Logger | None = None,
    should_update: bool = True,
    label: str = "train",
    observers: Sequence[Observer] = (),
    seed: int | None = None,
  ) -> None:
    """Makes a loop.

    Args:
      environment: used by this loop alone.
      actor: who acts.
      counter: counts `{label}_episodes` and `{label}_steps`, for whoever shares it.
      logger: takes a result for each episode; None for a line on the terminal now and then.
      should_update: whether to call `actor.update()` after each step.
      label: the name under which steps are counted.
      observers: who else watches.
      seed: what the episodes' seeds derive from; None leaves the environment's own.
    """
    self._environment = environment
    self._actor = actor
    self._counter = counting.Counter(counter, prefix=label)
    self._logger = logger if logger is not None else loggers.TimeFilter(loggers.TerminalLogger(label), seconds=1.0)
    self._should_update = should_update
    self._observers = tuple(observers)
    self._seed = seed if hasattr(environment, "seed") else None
    self._zero_return = tree.map_structure(lambda spec: np.zeros(spec.shape, spec.dtype), environment.reward_spec())
    self._episode = 0  # Of the one in progress, or the next.
    self._timestep: dm_env.TimeStep | None = None  # None between episodes.
    self._stop = False

  @property
  def counter(self) -> counting.Counter:
    """What this loop counts on: its `steps` and `episodes`."""
    return self._counter

  @property
  def reproducible(self) -> bool:
    """Whether every episode is seeded, so that the loop can be saved within one."""
    return self._seed is not None

  @property
  def steps(self) -> int:
    """Environment steps taken, those of the episode in progress included."""
    return int(self._counter.get("steps")) + (self._length if self._timestep is not None else 0)

  def run(self, num_episodes: int | None = None, num_steps: int | None = None) -> int:
    """Runs for some episodes or some steps; with neither, for ever.

    After `num_steps` the episode in progress is left open, and the next run goes on with it.

    Args:
      num_episodes: episodes to end.
      num_steps: exact number of environment steps to take.

    Returns:
      The number of environment steps taken.

    Raises:
      ValueError: both are given, or a negative one.
    """
    if num_episodes is not None and num_steps is not None:
      raise ValueError("Expected num_episodes or num_steps, got both: give one, or neither to run for ever.")
    for name, value in (("num_episodes", num_episodes), ("num_steps", num_steps)):
      if value is not None and value < 0:
        raise ValueError(f"{name}: expected 0 or more, got {value}.")
    self._stop = False
    steps = episodes = 0
    try:
      while not self._stop and (num_steps is None or steps < num_steps):
        if num_episodes is not None and episodes >= num_episodes:
          break
        result = self._step()
        steps += 1
        episodes += result is not None
    except BaseException:
      self._environment.close()
      raise
    return steps

  def run_episode(self) -> Result:
    """Runs to the end of one episode, and returns its result (also logged)."""
    result = None
    try:
      while result is None:
        result = self._step()
    except BaseException:
      self._environment.close()
      raise
    return result

  def stop(self) -> None:
    """Makes `run` return after the step in progress; a signal handler may call it."""
    self._stop = True

  def close(self) -> None:
    """Closes the environment and the logger."""
    try:
      self._environment.close()
    finally:
      self._logger.close()

  def __enter__(self) -> "EnvironmentLoop":
    return self

  def __exit__(self, *_: object) -> None:
    self.close()

  def _step(self) -> Result | None:
    """Takes one step, beginning an episode where none is in progress; returns its result where it ends."""
    current = self._timestep if self._timestep is not None else self._begin()
    t0 = time.perf_counter()
    action = self._actor.select_action(current.observation)
    t1 = time.perf_counter()
    timestep = self._environment.step(action)
    t2 = time.perf_counter()
    self._record(action, timestep)
    self._action_seconds += t1 - t0
    self._environment_seconds += t2 - t1
    self._timestep = timestep
    self._actor.observe(action, timestep)
    for observer in self._observers:
      observer.observe(self._environment, timestep, action)
    if self._should_update:
      self._actor.update()
    return self._end(timestep) if timestep.last() else None

  def _begin(self) -> dm_env.TimeStep:
    timestep = self._reset()
    self._actor.observe_first(timestep)
    for observer in self._observers:
      observer.observe_first(self._environment, timestep)
    return timestep

  def _reset(self) -> dm_env.TimeStep:
    """Resets the environment and the episode's own records."""
    start = time.perf_counter()
    if self._seed is not None:
      self._environment.seed(episode_seed(self._seed, self._episode))
    self._timestep = self._environment.reset()
    self._start = start
    self._length = 0
    self._return = self._zero_return
    self._actions: list[types.NestedArray] = []
    self._action_seconds = 0.0
    self._environment_seconds = time.perf_counter() - start
    return self._timestep

  def _record(self, action: types.NestedArray, timestep: dm_env.TimeStep) -> None:
    self._length += 1
    if isinstance(self._return, np.ndarray | np.generic | float):
      self._return = self._return + timestep.reward
    else:
      self._return = tree.map_structure(operator.add, self._return, timestep.reward)
    if self._seed is not None:
      self._actions.append(action)

  def _end(self, last: dm_env.TimeStep) -> Result:
    seconds = time.perf_counter() - self._start
    counts = self._counter.increment(episodes=1, steps=self._length)
    result = {
      "episode_length": self._length,
      "episode_return": tree.map_structure(_number, self._return),
      "truncated": bool(np.any(np.asarray(tree.flatten(last.discount)) > 0)),
      "steps_per_second": self._length / seconds,
      "environment_seconds": self._environment_seconds,
      "action_seconds": self._action_seconds,
      **counts,
    }
    for observer in self._observers:
      result.update(observer.get_metrics())
    self._episode += 1
    self._timestep = None
    self._logger.write(result)
    return result

  def save(self) -> types.State:
    """Returns the loop's state; within an episode, its actions so far.

    Raises:
      RuntimeError: within an episode of an environment that cannot be seeded.
    """
    state: dict[str, Any] = {"episode": self._episode, "counts": self._counter.save(), "actions": None}
    if self._timestep is not None:
      if self._seed is None:
        raise RuntimeError(
          "Cannot save within an episode: the environment has no seed(int) method, or the loop no seed, so the "
          "episode could not be played again. Save between episodes (run(num_episodes=…))."
        )
      state["actions"] = tree.map_structure(lambda *a: np.stack(a), *self._actions) if self._actions else ()
      state["length"] = self._length
      state["observation"] = tree.flatten(self._timestep.observation)
    return state

  def restore(self, state: types.State) -> None:
    """Puts the loop where it was, playing the episode in progress again.

    Raises:
      RuntimeError: the environment, seeded and played again, comes to another observation.
    """
    self._episode = state["episode"]
    self._counter.restore(state["counts"])
    self._timestep = None
    if state["actions"] is None:
      return
    timestep = self._reset()
    for i in range(state["length"]):
      action = tree.map_structure(lambda a, i=i: a[i], state["actions"])
      timestep = self._environment.step(action)
      self._record(action, timestep)
    self._timestep = timestep
    if not all(map(np.array_equal, tree.flatten(timestep.observation), state["observation"])):
      raise RuntimeError(
        f"Episode {self._episode}, played again from its seed and its {state['length']} actions, came to another "
        "observation: the environment is not deterministic given its seed, so it cannot be resumed within an episode."
      )


def episode_seed(seed: int, episode: int) -> int:
  """The seed with which episode `episode` of a loop seeded with `seed` is reset."""
  return int(np.random.SeedSequence([seed, episode]).generate_state(1)[0])


def evaluate(
  environment: dm_env.Environment, actor: core.Actor, num_episodes: int, *, seed: int | None = None
) -> list[Result]:
  """Runs whole episodes with an actor that is shown them but not updated, and returns their results."""
  actor.update(wait=True)
  loop = EnvironmentLoop(
    environment, actor, logger=loggers.NullLogger(), should_update=False, label="evaluation", seed=seed
  )
  return [loop.run_episode() for _ in range(num_episodes)]


def _number(value: Any) -> Any:
  array = np.asarray(value)
  return array.item() if array.ndim == 0 else array
