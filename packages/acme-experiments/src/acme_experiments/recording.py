"""Recording: the policy of a run plays whole episodes, which go to a dataset."""

import contextlib
import dataclasses
import math
import os
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import dm_env
import numpy as np
import tree

import acme
from acme import builders, core, loggers, replay, specs, types
from acme_experiments import loading, stopping
from acme_experiments.experiment import Experiment, UsageError
from acme_experiments.rundir import RunDirectory, Which
from acme_replay import datasets


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recording:
  """What is recorded: whole episodes until there are so many, or so many steps."""

  directory: RunDirectory
  """The run's, of one seed."""
  out: str
  """The dataset, a new one or one to append to."""
  episodes: int | None
  """How many; None where `steps` says."""
  steps: int | None
  """Environment steps after which no further episode begins; None where `episodes` says."""
  which: Which
  """Of the run's parameters."""
  seed: int
  """Of the episodes and of what is drawn."""
  epsilon: float
  """ε, with which an action is drawn uniformly, where they are discrete."""
  noise: float
  """σ of the noise on continuous actions, where their bounds are −1 and 1."""
  explore: bool
  """Whether the agent acts as in training, and its extras are recorded."""
  core: bool
  """Whether the recurrent state before each action is recorded."""

  def reached(self, episodes: int, steps: int) -> bool:
    """Whether so many are enough."""
    return episodes >= (self.episodes or 0) if self.steps is None else steps >= self.steps


class Recorded(NamedTuple):
  """What has been recorded."""

  episodes: int
  steps: int
  mean_return: float
  checkpoint: int  # The step whose parameters played.
  signal: int | None  # That asked it to stop before all was recorded; None where it was.


def record(recording: Recording) -> Recorded:
  """Plays, and writes; stopped by SIGINT or SIGTERM, it writes the whole episodes that there are.

  Raises:
    UsageError: what is asked for does not fit the run, its agent, or the dataset that is there.
    CheckpointError: there is no checkpoint, or it is of another agent, version or environment.
    OSError: the disk is full; whole episodes stay.
  """
  experiment = recording.directory.read_experiment()
  loading.check_environment(recording.directory.path, experiment)
  parts, variables, checkpoint = loading.open_run(recording.directory, recording.which)
  with contextlib.closing(parts):
    assert parts.evaluator is not None
    environment, spec = parts.evaluator.environment, parts.spec
    disturb = _make_noise(recording, spec)
    noted = _Noted()
    actor = parts.agent.make_actor(
      builders.ActorInputs(
        variables=variables, seed=acme.episode_seed(recording.seed, 0), adder=noted, evaluation=not recording.explore
      )
    )
    if "steps" in (state := actor.save()):  # By which exploration may go.
      actor.restore(state | {"steps": checkpoint})
    actor.update(wait=True)
    index = datasets.Index(
      spec=spec, environment=experiment.environment, origin=(_origin(recording, experiment, checkpoint),)
    )
    _check_new(recording.out, index)
    with contextlib.ExitStack() as stack:

      def make_writer() -> datasets.Writer:  # When a step has shown what is noted.
        extras = _spec_of(noted.extras) if recording.explore else ()
        core_spec = _spec_of(_core(noted, experiment)) if recording.core else ()
        whole = dataclasses.replace(index, extras=extras, core=core_spec)
        return stack.enter_context(_open(recording.out, whole))

      recorder = _Recorder(actor, disturb, noted, make_writer, recording)
      loop = acme.EnvironmentLoop(
        environment, recorder, logger=loggers.NullLogger(), should_update=False, label="record",
        seed=acme.episode_seed(recording.seed, 1),
      )  # fmt: skip
      stop = stopping.StopRequest()
      with stop.installed(), stop.watching(loop):
        while not stop and not recording.reached(len(recorder.returns), recorder.steps):
          loop.run(num_episodes=1)
  mean = float(np.mean(recorder.returns)) if recorder.returns else math.nan
  return Recorded(len(recorder.returns), recorder.steps, mean, checkpoint, stop.signal)


def _origin(recording: Recording, experiment: Experiment, checkpoint: int) -> dict[str, Any]:
  """What the index says of these episodes."""
  options = {name: getattr(recording, name) for name in ("epsilon", "noise", "explore", "seed")}
  return {
    "run": os.path.abspath(recording.directory.path),
    "agent": experiment.agent,
    **({"env_options": dict(experiment.env_options)} if experiment.env_options else {}),
    **({"wrap": list(experiment.wrap)} if experiment.wrap else {}),
    "policy": str(recording.which),
    "checkpoint": checkpoint,
    **options,
  }


def _check_new(out: str, index: datasets.Index) -> None:
  """Raises UsageError, before a step is taken, where a dataset has these very episodes or cannot take them."""
  if not (pathlib.Path(out) / datasets.INDEX).exists():
    return
  try:
    there = datasets.read_index(out)
    difference = datasets.disagreement(there, dataclasses.replace(index, extras=there.extras, core=there.core))
  except ValueError as error:
    raise UsageError(str(error)) from error
  if difference is not None:
    raise UsageError(f"{out} is of another kind: {difference}. Give another --out.")
  if dict(index.origin[0]) in [dict(entry) for entry in there.origin]:
    raise UsageError(f"{out} has these very episodes: give another --seed. Nothing was changed.")


def _open(out: str, index: datasets.Index) -> datasets.Writer:
  """A writer; UsageError where the dataset that is there cannot take its episodes."""
  try:
    return datasets.Writer(out, index)
  except (ValueError, FileExistsError, BlockingIOError) as error:
    raise UsageError(str(error)) from error


def _core(noted: "_Noted", experiment: Experiment) -> types.NestedArray:
  """The recurrent state before the newest action. Raises UsageError where there is none."""
  if not tree.flatten(noted.core):
    raise UsageError(f"--core: the policy of {experiment.agent} has no recurrent state, or its actor tells none.")
  return tree.map_structure(lambda leaf: leaf[0], noted.core)


def _spec_of(nest: types.NestedArray) -> types.NestedSpec:
  """The spec of what an actor noted."""
  return tree.map_structure_with_path(
    lambda path, leaf: specs.Array(np.shape(leaf), np.asarray(leaf).dtype, "/".join(map(str, path))), nest
  )


Disturb = Callable[[types.NestedArray, np.random.Generator], types.NestedArray]


def _make_noise(recording: Recording, spec: specs.EnvironmentSpec) -> Disturb:
  """What is done to the policy's actions. Raises UsageError where it does not fit the actions."""
  epsilon, noise = recording.epsilon, recording.noise
  if not 0 <= epsilon <= 1 or not 0 <= noise < math.inf:
    raise UsageError(f"--epsilon and --noise: expected numbers in [0, 1] and of 0 or more, got {epsilon} and {noise}.")
  if recording.explore and (epsilon or noise):
    raise UsageError("--explore is the agent's own exploration: leave --epsilon and --noise out.")
  leaves = tree.flatten(spec.actions)
  if epsilon and not all(isinstance(leaf, specs.DiscreteArray) for leaf in leaves):
    raise UsageError("--epsilon is for discrete actions, and these are continuous: give --noise.")
  if noise and not all(isinstance(leaf, specs.BoundedArray) and np.dtype(leaf.dtype).kind == "f" for leaf in leaves):
    raise UsageError("--noise is for continuous actions with bounds, and these are not: give --epsilon.")

  def draw(leaf: Any, rng: np.random.Generator) -> Any:
    return leaf.dtype.type(rng.integers(leaf.num_values))

  def blur(leaf: Any, action: Any, rng: np.random.Generator) -> Any:
    moved = action + noise * (leaf.maximum - leaf.minimum) / 2 * rng.standard_normal(leaf.shape)
    return np.clip(moved, leaf.minimum, leaf.maximum).astype(leaf.dtype)

  def disturb(action: types.NestedArray, rng: np.random.Generator) -> types.NestedArray:
    if epsilon and rng.random() < epsilon:
      return tree.map_structure(lambda leaf: draw(leaf, rng), spec.actions)
    if noise:
      return tree.map_structure(lambda leaf, a: blur(leaf, a, rng), spec.actions, action)
    return action

  return disturb


class _Noted(replay.Adder):
  """Keeps what an actor notes of its newest action."""

  def __init__(self) -> None:
    self.extras: types.NestedArray = ()
    self.core: types.NestedArray = ()

  def add_first(self, timestep: dm_env.TimeStep) -> None:
    pass

  def add(
    self,
    action: types.NestedArray,
    next_timestep: dm_env.TimeStep,
    extras: types.NestedArray = (),
    core: types.NestedArray = (),
  ) -> None:
    self.extras, self.core = extras, core

  def reset(self) -> None:
    pass

  def save(self) -> types.State:
    return None

  def restore(self, state: types.State) -> None:
    pass


class _Recorder(core.Actor):
  """Acts as another actor does, but for noise, and writes what it sees."""

  def __init__(
    self,
    actor: core.Actor,
    disturb: Disturb,
    noted: _Noted,
    make_writer: Callable[[], datasets.Writer],
    recording: Recording,
  ) -> None:
    self._actor, self._disturb, self._noted = actor, disturb, noted
    self._make_writer = make_writer
    self._writer: datasets.Writer | None = None
    self._explore, self._core = recording.explore, recording.core
    self._rng = np.random.default_rng(acme.episode_seed(recording.seed, 2))
    self._first: types.NestedArray = ()
    self._steps: list[tuple[types.NestedArray, ...]] = []  # (o_{t+1}, a_t, r_{t+1}, d_{t+1}, extras, core)
    self.steps = 0  # Of whole episodes.
    self.returns: list[float] = []

  def select_action(self, observation: types.NestedArray) -> types.NestedArray:
    return self._disturb(self._actor.select_action(observation), self._rng)

  def observe_first(self, timestep: dm_env.TimeStep) -> None:
    self._actor.observe_first(timestep)
    self._first, self._steps = _copy(timestep.observation), []

  def observe(self, action: types.NestedArray, next_timestep: dm_env.TimeStep) -> None:
    self._actor.observe(action, next_timestep)
    extras = _copy(self._noted.extras) if self._explore else ()
    state = tree.map_structure(lambda leaf: np.array(leaf[0]), self._noted.core) if self._core else ()
    _, reward, discount, observation = next_timestep
    self._steps.append((*map(_copy, (observation, action, reward, discount)), extras, state))
    if self._writer is None:
      self._writer = self._make_writer()
    if next_timestep.last():
      self._end()

  def _end(self) -> None:
    observations, *others = zip(*self._steps, strict=True)
    episode = datasets.Episode(_stack([self._first, *observations]), *map(_stack, others))
    assert self._writer is not None
    self._writer.write(episode)
    self.steps += len(self._steps)
    self.returns.append(datasets.total_return(episode))

  def update(self, wait: bool = False) -> None:
    self._actor.update(wait)


def _copy(nest: types.NestedArray) -> types.NestedArray:
  return tree.map_structure(np.array, nest)


def _stack(values: Any) -> types.NestedArray:
  return tree.map_structure(lambda *leaves: np.stack(leaves), *values)
