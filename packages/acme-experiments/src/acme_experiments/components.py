"""What a run is made of: the environments, the agent, its evaluator, from an experiment's names and numbers."""

import contextlib
import functools
import importlib.util
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dm_env
import numpy as np

import acme
import acme_envs
from acme import agents, checkpointing, configs, counting, loggers, plugins, specs
from acme_experiments import placement, stores
from acme_experiments.evaluation import Evaluator
from acme_experiments.rundir import Experiment, UsageError, agent_version
from acme_experiments.usage import AUTO


class Components:
  """The parts of one run.

  Attributes:
    environments: for training, as many as the experiment says.
    builder: the agent's.
    spec: of the environment.
    agent: acts and learns in it.
    evaluator: evaluates the agent in an environment of its own; None where there is no environment.
    train_seed: what the seeds of the training episodes derive from.
    metadata: what checkpoints say they are of.
    xla_flag: what JAX was told, for networks of this size; None for nothing.
    device: where the agent computes, by its name for `--device`.
    why: what that was chosen for, in words; None where there was nothing to choose.
  """

  def __init__(
    self,
    experiment: Experiment,
    *,
    logger: loggers.Logger | None = None,
    counter: counting.Counter | None = None,
    video: pathlib.Path | None = None,
  ) -> None:
    """Makes them.

    Args:
      experiment: says what.
      logger: takes the learner's metrics.
      counter: what the learner counts its steps on.
      video: a file that an evaluation may be filmed to; None where none will be.

    Raises:
      PluginError: there is no such agent, or no such replay.
      UsageError: there is no such environment or dataset, or config and agent do not fit it.
    """
    plugin = plugins.load_agent(experiment.agent)
    backend = experiment.backend or next(iter(plugin.backends))
    self.xla_flag = placement.choose(backend, experiment.config)
    placement.prepare(backend, self.xla_flag)
    seeds = np.random.SeedSequence(experiment.seed).generate_state(4)
    environment_seed, evaluation_environment_seed, self.train_seed, evaluation_seed = map(int, seeds)
    with contextlib.ExitStack() as on_error:
      # First, since it may have to draw, which MuJoCo must know at once.
      evaluation_environment = None
      self.environments: list[dm_env.Environment] = []
      if experiment.environment is not None:
        make = environment_maker(experiment)
        evaluation_environment = make(evaluation_environment_seed, render=video is not None)
        on_error.callback(evaluation_environment.close)
        for i in range(experiment.envs):
          self.environments.append(make(acme.episode_seed(environment_seed, i)))
          on_error.callback(self.environments[-1].close)
      try:
        if video is not None:
          if experiment.simulator:  # What draws holds windows and the like, which nothing copies.
            raise UsageError("A run with --simulator cannot be filmed: leave --video out.")
          acme_envs.wrappers.VideoWrapper(evaluation_environment, video)  # Complains now of what it would miss later.
        config = configs.from_dict(type(plugin.config()), experiment.config)
        environment = self.environments[0] if self.environments else None
        spec = _recorded_spec(experiment) if environment is None else acme.make_environment_spec(environment)
        self.spec = spec
        builder = plugin.builder(config, backend=experiment.backend)
        if experiment.simulator:
          builder = builder.with_simulator(self.environments[0])
        self.builder = builder
        learns = experiment.replay != stores.NOTHING
        placed, self.device, self.why = placement.place(
          experiment.device if learns else AUTO, builder, spec, num_envs=experiment.envs,
          measure=learns and not experiment.simulator, acts=experiment.dataset is None,
        )  # fmt: skip
        self.agent = agents.Agent(
          placed,
          spec,
          replay=stores.make_replay(experiment, environment, self.device),
          seed=experiment.seed,
          num_envs=experiment.envs if experiment.envs > 1 else None,
          logger=logger,
          counter=counter,
        )
        actor = self.agent.make_evaluator(evaluation_environment if experiment.simulator else None)
      except (TypeError, ValueError, KeyError, ImportError, OSError, MemoryError) as error:
        raise UsageError(str(error)) from error
      self.evaluator = None
      if evaluation_environment is not None:
        self.evaluator = Evaluator(
          environment=evaluation_environment, actor=actor, seed=evaluation_seed, initial=actor.save()
        )
      on_error.pop_all()
    self.metadata = metadata(experiment)

  def close(self) -> None:
    """Closes all environments."""
    with contextlib.ExitStack() as stack:
      for environment in (*self.environments, *([self.evaluator.environment] if self.evaluator else [])):
        stack.callback(environment.close)


def _recorded_spec(experiment: Experiment) -> specs.EnvironmentSpec:
  """The specs of the environment that the experiment's dataset is of."""
  if importlib.util.find_spec("acme_replay") is None:
    raise UsageError("Datasets are read by acme-replay: pip install acme-replay.")
  from acme_replay import datasets

  return datasets.environment_spec(experiment.dataset or "")


def learner_of(checkpoint: checkpointing.Checkpoint) -> Any:
  """The learner's state in a checkpoint, of a run in one process or on Ray."""
  state = checkpoint.state
  return (state["agent"] if "agent" in state else state["learner"])["learner"]


def metadata(experiment: Experiment) -> dict[str, Any]:
  """What the checkpoints of an experiment say they are of."""
  return {"agent": experiment.agent, "version": agent_version(experiment.agent), "environment": experiment.environment}


def check(checkpoint: checkpointing.Checkpoint, experiment: Experiment) -> None:
  """Raises CheckpointError where a checkpoint is of another agent, version or environment."""
  for name, expected in metadata(experiment).items():
    found = checkpoint.metadata.get(name)
    if found != expected:
      raise checkpointing.CheckpointError(
        f"The checkpoint at step {checkpoint.step:,} has {name} {found!r}, this run has {expected!r}: go on with "
        "what it was made with. Nothing was changed."
      )


def environment_maker(experiment: Experiment) -> Callable[..., dm_env.Environment]:
  """What makes an experiment's environment of a seed, in whichever process; `render` as in `make_environment`."""
  assert experiment.environment is not None
  options: dict[str, Any] = {"options": experiment.env_options, "wrap": experiment.wrap, "folder": experiment.folder}
  return functools.partial(make_environment, experiment.environment, **options)


def make_environment(
  name: str,
  seed: int,
  *,
  options: Mapping[str, Any],
  wrap: Sequence[str],
  folder: str | None = None,
  render: bool = False,
) -> dm_env.Environment:
  """Makes an environment, as `acme_envs.make`; UsageError where its name or what it needs is unknown."""
  if reserved := sorted({"name", "seed", "render", "wrap", "folder"} & options.keys()):  # Arguments of `make` itself.
    raise UsageError(f"--env.{reserved[0]} is no option: --seed seeds episodes, --video draws them, --wrap wraps them.")
  try:
    return acme_envs.make(name, seed=seed, render=render, wrap=wrap, folder=folder, **options)
  except (ValueError, ImportError) as error:
    raise UsageError(str(error)) from error
  except Exception as error:  # The environment is somebody's: what its constructor raises may be anything.
    raise UsageError(f"{name} cannot be made: {type(error).__name__}: {error}") from error


def to_json(config: Any) -> dict[str, Any]:
  """A config by field, as JSON has it."""
  return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(config).items()}
