"""What a run has learnt, read back: `acme_experiments.load`, and what evaluates, records and exports it."""

import contextlib
import os
import pathlib
from typing import Any, NamedTuple

import dm_env

from acme import builders, core, specs, types
from acme_experiments import components, device, stores
from acme_experiments.components import Components
from acme_experiments.experiment import Experiment, UsageError
from acme_experiments.rundir import RunDirectory, Which


class Opened(NamedTuple):
  """A run of one seed, put together on the host, to act and not to learn; `parts` are the caller's to close."""

  parts: Components
  variables: core.VariableSource  # where its parameters are read
  step: int  # that they are of


def open_run(directory: RunDirectory, which: Which = "newest", video: pathlib.Path | None = None) -> Opened:
  """Puts a run of one seed together, of the host or of a device, without its replay.

  Args:
    directory: the run's, which may be going on.
    which: of its parameters.
    video: a file that an evaluation may be filmed to.

  Raises:
    CheckpointError: there is no such checkpoint, or it is of another agent, version or environment.
    UsageError: the directory holds many seeds, or its environment cannot be made.
  """
  experiment = directory.read_experiment()
  seeds = experiment.seeds or (experiment.seed,)
  if len(seeds) > 1:
    example = directory.seed_path(seeds[0])
    raise UsageError(f"{directory.path} holds many seeds: give the directory of one, such as {example}.")
  if experiment.in_processes:
    directory = directory.seed(seeds[0])
  # Of the replay nothing is wanted, wherever it lies; of a dataset the specs, where there is no environment.
  on_host = experiment.in_one_process(
    seed=seeds[0], seeds=None, loop="host", envs=1, replay=stores.NOTHING, listen_everywhere=False,
    dataset=experiment.dataset if experiment.environment is None else None,
  )  # fmt: skip
  if which == "best" and experiment.actors is not None:
    raise UsageError("--which best: a run on Ray keeps its newest parameters only.")
  if experiment.loop == "device":
    variables, step = device.load_variables(directory, which)
    return Opened(Components(on_host, video=video), variables, step)
  checkpoint = directory.load_checkpoint(which)
  components.check(checkpoint, experiment)
  parts = Components(on_host, video=video)
  try:
    parts.agent.learner.restore(components.learner_of(checkpoint))
  except BaseException:
    parts.close()
    raise
  return Opened(parts, parts.agent.learner, checkpoint.step)


class LoadedAgent(core.VariableSource):
  """An agent as a run has learnt it.

  Attributes:
    path: the run's directory; of many seeds, that of the one.
    experiment: what it was told to do.
    spec: of its environment.
    step: of the checkpoint, in environment steps, or learner steps on a dataset.
  """

  def __init__(self, directory: RunDirectory, which: Which = "newest") -> None:
    """Reads it; raises as `load`."""
    self.path, self.experiment = directory.path, directory.read_experiment()
    parts, self._variables, self.step = open_run(directory, which)
    with contextlib.closing(parts):  # Its environments: those who want one make it.
      self.spec: specs.EnvironmentSpec = parts.spec
      self.builder: builders.Builder[Any, Any] = parts.builder
      self._agent = parts.agent

  def make_evaluator(self, simulator: dm_env.Environment | None = None) -> core.Actor:
    """Makes an actor that acts as the run's evaluations do, and records nothing.

    `simulator` is the very environment that it will act in, where the agent plans in copies of its own; else None.
    """
    inputs = builders.ActorInputs(variables=self._variables, seed=self.seed, evaluation=True)
    return self._agent.make_actor(inputs, simulator)

  def make_environment(self, seed: int = 0) -> dm_env.Environment:
    """Makes an environment as the run's, within its wrappers. Raises UsageError where the run has none."""
    check_environment(self.path, self.experiment)
    return components.environment_maker(self.experiment)(seed)

  @property
  def seed(self) -> int:
    """What whatever the evaluation policy draws derives from."""
    return self._agent.evaluator_seed

  def get_variables(self, names: Any) -> list[types.NestedArray]:
    """What the learner's `get_variables` gives."""
    return self._variables.get_variables(names)


def load(path: str | os.PathLike[str], which: Which = "newest") -> LoadedAgent:
  """Reads the agent of a run, to act with what it has learnt.

      agent = acme_experiments.load("runs/first", which="best")
      loop = acme.EnvironmentLoop(agent.make_environment(), agent.make_evaluator(), should_update=False)

  Args:
    path: a run directory; of a run of many seeds that of one of them, or the whole, for the seed of the highest mean
      return in the final evaluation.
    which: `newest`, `best` (of all evaluations) or the step of a checkpoint that is kept.

  Raises:
    UsageError: there is no run, or none of its seeds is over; or a run on a device is asked for its best.
    CheckpointError: there is no such checkpoint, or it is of another agent, version or environment.
  """
  return LoadedAgent(_best_seed(RunDirectory(path)), which)


def _best_seed(directory: RunDirectory) -> RunDirectory:
  """The directory itself; of many seeds that of the best one."""
  experiment = directory.read_experiment()
  if experiment.seeds is None:
    return directory
  means = (directory.read_summary() or {}).get("seeds", {})
  if not means:
    raise UsageError(
      f"{directory.path} holds many seeds and is not over, so that none is the best: give the directory of one, such "
      f"as {directory.seed_path(experiment.seeds[0])}."
    )
  better = -1 if experiment.environment is None else 1  # Of a dataset alone these are losses.
  return directory.seed(int(max(means, key=lambda seed: better * means[seed])))


def check_environment(path: pathlib.Path, experiment: Experiment) -> None:
  """Raises UsageError where a run has no environment, in which to act."""
  if experiment.environment is None:
    raise UsageError(
      f"{path} is a run without an environment to act in: `acme run {experiment.agent} ENV --dataset "
      f"{experiment.dataset}` begins one with it, and in Python acme_experiments.load({str(path)!r}) acts in any."
    )
