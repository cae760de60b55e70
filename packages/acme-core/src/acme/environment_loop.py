"""The loop in which an actor meets an environment."""

import functools
import operator
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import dm_env
import numpy as np
import tree

from acme import core, counting, episodes, loggers, types
from acme.wrappers.checked import Checked

Result = dict[str, Any]


class Observer(Protocol):
  """Watches the steps of a loop and gives metrics of its own."""

  def observe_first(self, environment: dm_env.Environment, timestep: dm_env.TimeStep) -> None:
    """Sees the first timestep of an episode."""

  def observe(self, environment: dm_env.Environment, timestep: dm_env.TimeStep, action: types.NestedArray) -> None:
    """Sees the timestep that `action` led to."""

  def get_metrics(self) -> Mapping[str, Any]:
    """Returns metrics of the episode that ended, for its result."""


class Loop(core.Saveable):
  """What loops over one environment and over many have in common: running for so long, stopping, closing."""

  def __init__(
    self,
    environment: Any,
    actor: core.Actor,
    counter: counting.Counter | None,
    logger: loggers.Logger | None,
    should_update: bool,
    label: str,
  ) -> None:
    self._environment = environment
    self._actor = actor
    self._counter = counting.Counter(counter, prefix=label)
    self._logger = logger if logger is not None else loggers.TimeFilter(loggers.TerminalLogger(label), seconds=1.0)
    self._should_update = should_update
    self._label = label
    self._stop = False

  @property
  def counter(self) -> counting.Counter:
    """What this loop counts on: its `steps` and `episodes`."""
    return self._counter

  def run(self, num_episodes: int | None = None, num_steps: int | None = None) -> int:
    """Runs for some episodes or some steps; with neither, for ever.

    After `num_steps` the episode in progress is left open, and the next run goes on with it.

    Args:
      num_episodes: episodes to end.
      num_steps: environment steps to take.

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
    steps = ended = 0
    try:
      while not self._stop and (num_steps is None or steps < num_steps):
        if num_episodes is not None and ended >= num_episodes:
          break
        more_steps, results = self._step()
        steps += more_steps
        ended += len(results)
    except BaseException as error:
      self._close_after(error)
      raise
    return steps

  def stop(self) -> None:
    """Makes `run` return after the step in progress; a signal handler may call it."""
    self._stop = True

  def close(self) -> None:
    """Closes the environment and the logger."""
    try:
      self._environment.close()
    finally:
      self._logger.close()

  def __enter__(self) -> "Loop":
    return self

  def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
    if error is None:
      self.close()
    else:
      self._close_after(error, self.close)

  def _close_after(self, error: BaseException, close: Callable[[], None] | None = None) -> None:
    """Closes the environment; what that raises becomes a note on the error that was first."""
    try:
      (close if close is not None else self._environment.close)()
    except Exception as second:
      error.add_note(f"Closing the environment then raised {type(second).__name__}: {second}")

  def _count_episode(self, length: int) -> dict[str, float]:
    """All counts; what evaluations counted is left out of a training row, so that nobody takes it for one of theirs."""
    counts = self._counter.increment(episodes=1, steps=length)
    evaluation = self._label.startswith("eval")
    return {name: count for name, count in counts.items() if evaluation or not name.startswith("eval")}

  def _step(self) -> tuple[int, Sequence[Result]]:
    """Steps once; returns the environment steps taken and the results of the episodes that ended."""
    raise NotImplementedError


class EnvironmentLoop(Loop):
  """Runs an actor in an environment, and logs a result for each episode.

  With a `seed`, episode i is reset with a seed derived from (seed, i), where the environment has a method `seed(int)`
  (acme.wrappers.GymWrapper and what acme_envs makes have one). A loop so seeded can be saved within an episode: what is
  kept is the episode's seed and actions, and `restore` plays them again.

  What the environment and the actor give is held to the specs: the first thing that does not fit is a ValueError or a
  TypeError that names it. An exception that leaves `run` closes the environment.
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
    super().__init__(environment, actor, counter, logger, should_update, label)
    self._observers = tuple(observers)
    self._episodes = episodes.Episodes(Checked(environment), seed)
    flat = isinstance(environment.reward_spec(), dm_env.specs.Array)
    self._add = operator.add if flat else functools.partial(tree.map_structure, operator.add)
    self._zero_return = tree.map_structure(lambda spec: np.zeros(spec.shape), environment.reward_spec())
    self._timestep: dm_env.TimeStep | None = None  # None between episodes.
    self._return: types.NestedArray = self._zero_return
    self._length = 0

  @property
  def reproducible(self) -> bool:
    """Whether every episode is seeded, so that the loop can be saved within one."""
    return self._episodes.reproducible

  @property
  def steps(self) -> int:
    """Environment steps taken, those of the episode in progress included."""
    return int(self._counter.get("steps")) + (self._length if self._timestep is not None else 0)

  def run_episode(self) -> Result:
    """Runs to the end of one episode, and returns its result (also logged)."""
    results: Sequence[Result] = ()
    try:
      while not results:
        _, results = self._step()
    except BaseException as error:
      self._close_after(error)
      raise
    return results[0]

  def _step(self) -> tuple[int, Sequence[Result]]:
    current = self._timestep if self._timestep is not None else self._begin()
    t0 = time.perf_counter()
    action = self._actor.select_action(current.observation)
    t1 = time.perf_counter()
    timestep = self._episodes.step(action)
    self._environment_seconds += time.perf_counter() - t1
    self._action_seconds += t1 - t0
    self._length += 1
    self._return = self._add(self._return, timestep.reward)
    self._timestep = timestep
    self._actor.observe(action, timestep)
    for observer in self._observers:
      observer.observe(self._environment, timestep, action)
    if self._should_update:
      self._actor.update()
    return 1, (self._end(timestep),) if timestep.last() else ()

  def _begin(self) -> dm_env.TimeStep:
    self._start = time.perf_counter()
    timestep = self._episodes.reset()
    self._environment_seconds = time.perf_counter() - self._start
    self._action_seconds = 0.0
    self._length = 0
    self._return = self._zero_return
    self._actor.observe_first(timestep)
    for observer in self._observers:
      observer.observe_first(self._environment, timestep)
    return timestep

  def _end(self, last: dm_env.TimeStep) -> Result:
    seconds = time.perf_counter() - self._start
    counts = self._count_episode(self._length)
    result = {
      "episode_length": self._length,
      "episode_return": tree.map_structure(lambda total: np.asarray(total).tolist(), self._return),
      "truncated": bool(np.any(np.asarray(tree.flatten(last.discount)) > 0)),
      "steps_per_second": self._length / seconds,
      "environment_seconds": self._environment_seconds,
      "action_seconds": self._action_seconds,
      **counts,
    }
    for observer in self._observers:
      result.update(observer.get_metrics())
    self._timestep = None
    self._logger.write(result)
    return result

  def save(self) -> types.State:
    """Returns the loop's state. Raises RuntimeError within an episode of an environment that cannot be seeded."""
    state: dict[str, Any] = {"episodes": self._episodes.save(), "counts": self._counter.save()}
    if self._timestep is not None:
      state |= {"length": self._length, "return": tree.flatten(self._return)}
    return state

  def restore(self, state: types.State) -> None:
    """Puts the loop where it was, playing the episode in progress again.

    Raises:
      RuntimeError: the environment, seeded and played again, comes to another observation.
    """
    self._counter.restore(state["counts"])
    self._start = time.perf_counter()
    self._timestep = self._episodes.restore(state["episodes"])
    self._environment_seconds = time.perf_counter() - self._start
    self._action_seconds = 0.0
    if self._timestep is not None:
      self._length = state["length"]
      # Numpy's floats: JSON gives Python's, which added to a float32 would give a float32.
      self._return = tree.unflatten_as(self._zero_return, [np.asarray(total) for total in state["return"]])


def evaluate(
  environment: dm_env.Environment, actor: core.Actor, num_episodes: int, *, seed: int | None = None
) -> list[Result]:
  """Runs whole episodes with an actor that is shown them but not updated, and returns their results."""
  actor.update(wait=True)
  loop = EnvironmentLoop(
    environment, actor, logger=loggers.NullLogger(), should_update=False, label="evaluation", seed=seed
  )
  return [loop.run_episode() for _ in range(num_episodes)]
