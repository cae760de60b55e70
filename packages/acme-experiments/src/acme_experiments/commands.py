"""What each command does, once its command line is read."""

import contextlib
import dataclasses
import functools
import pathlib
import shutil
import warnings
from typing import Any

import acme_envs
from acme import checkpointing, plugins
from acme_experiments import components, parsing, progress, rundir, runner
from acme_experiments.rundir import Experiment, RunDirectory, UsageError

_STEPS = 50_000  # Where neither steps nor episodes are asked for.
_EVALUATIONS = 20  # In a run of so many steps; …
_EVAL_EVERY = 2_500  # … in a run of so many episodes, the steps between two of them.


class Failed(RuntimeError):  # noqa: N818 - what happened, in one word.
  """A run that failed on the way."""


@functools.singledispatch
def execute(command: Any, config: Any = None) -> None:
  """Does what a command says; `config` is the agent's for `acme run`."""
  raise TypeError(f"Expected a command, got {command!r}.")


@execute.register
def _run(command: parsing.Run, config: Any = None) -> None:
  if config is None:
    config = parsing.default_config(plugins.load_agent(command.agent), command.preset)
  steps = _STEPS if command.steps is None and command.episodes is None else command.steps
  eval_every = command.eval_every
  if eval_every is None:
    eval_every = _EVAL_EVERY if steps is None else max(1, steps // _EVALUATIONS)
  experiment = Experiment(
    agent=command.agent,
    environment=command.env,
    seed=command.seed,
    envs=command.envs,
    preset=command.preset,
    config=components.to_json(config),
    backend=command.backend,
    replay=command.replay,
    steps=steps,
    episodes=command.episodes,
    eval_every=eval_every,
    eval_episodes=command.eval_episodes,
    checkpoint_every=command.checkpoint_every,
    video=command.video,
  )
  directory = RunDirectory.create(command.out or rundir.default_path(experiment), experiment)
  try:
    _train(directory, command.quiet)
  except (UsageError, plugins.PluginError):
    shutil.rmtree(directory.path)  # The run never began: nothing is in there but its config.
    raise


@execute.register
def _resume(command: parsing.Resume, config: Any = None) -> None:
  directory = RunDirectory(command.directory)
  experiment = directory.read_experiment()
  if command.steps is not None or command.episodes is not None:
    extended = dataclasses.replace(experiment, steps=command.steps, episodes=command.episodes)
    with directory.lock():
      directory.write_experiment(extended)
    experiment = extended
  summary = directory.read_summary()
  if summary is not None and experiment.reached(summary["steps"], summary["episodes"]):
    print(f"{directory.path} is over: it has trained for {experiment.goal}. To go on: --steps with more of them.")
    _print_result(directory, summary)
    return
  _warn_of_versions(directory)
  _train(directory, command.quiet)


@execute.register
def _evaluate(command: parsing.Evaluate, config: Any = None) -> None:
  if command.episodes < 1:
    raise UsageError(f"--episodes: expected 1 or more, got {command.episodes}.")
  directory = RunDirectory(command.directory)
  video = pathlib.Path(command.video) if command.video is not None else None
  result = runner.evaluate(directory, command.episodes, video)
  print(f"{_evaluation(result)}, with the parameters of step {result['steps']:,}")
  if video is not None:
    print(f"video: {video}")


@execute.register
def _plot(command: parsing.Plot, config: Any = None) -> None:
  from acme_experiments import plotting  # Brings matplotlib.

  plotting.plot([RunDirectory(path) for path in command.directories], pathlib.Path(command.out))
  print(f"wrote {command.out}")


@execute.register
def _replay_server(command: parsing.ReplayServer, config: Any = None) -> None:
  from acme_experiments import stores

  plugin = plugins.load_agent(command.agent)
  config = parsing.default_config(plugin, command.preset) if config is None else config
  try:
    stores.serve(plugin, config, command.backend, command.env, command.port, pathlib.Path(command.checkpoints))
  except OSError as error:
    raise UsageError(str(error)) from error


@execute.register
def _list(command: parsing.List, config: Any = None) -> None:
  from acme_experiments import listing

  listing.print_agents()
  listing.print_environments()


@execute.register
def _check_env(command: parsing.CheckEnv, config: Any = None) -> None:
  with contextlib.closing(components.make_environment(command.env, seed=0)) as environment:
    findings = acme_envs.check_environment(environment)
  for finding in findings:
    print(f"{finding.severity}: {finding.message}")
  if any(finding.severity == "error" for finding in findings):
    raise Failed(f"{command.env} breaks agents: see the errors above.")
  print(f"{command.env} can be used." if findings else f"{command.env} is fine.")


@execute.register
def _new_agent(command: parsing.NewAgent, config: Any = None) -> None:
  from acme_experiments import new_agent

  path = new_agent.render(command.name, pathlib.Path(command.out))
  print(f"wrote {path}; next: pip install -e {path}, then acme run {command.name} gym:CartPole-v1")


def _train(directory: RunDirectory, quiet: bool) -> None:
  """Runs to the end, and says how it went and where it lies."""
  resume = f"Go on with: acme resume {directory.path}"
  try:
    summary = runner.run(directory, progress.choose(quiet))
  except runner.Stopped as stopped:
    print(f"{stopped} {resume}")
    raise
  except KeyboardInterrupt:
    print(f"{_newest(directory)} {resume}")
    raise
  except (UsageError, plugins.PluginError):
    raise
  except checkpointing.CheckpointError as error:
    raise Failed(f"{error} {_newest(directory)}") from error
  except Exception as error:
    text = str(error) if isinstance(error, ValueError | FloatingPointError) else f"{type(error).__name__}: {error}"
    raise Failed(f"{text} The traceback is in {directory.error}. {_newest(directory)} {resume}") from error
  _print_result(directory, summary)


def _newest(directory: RunDirectory) -> str:
  path = directory.newest_checkpoint()
  return f"The newest checkpoint is {path}." if path is not None else "There is no checkpoint yet."


def _print_result(directory: RunDirectory, summary: dict[str, Any]) -> None:
  print(_evaluation(summary))
  print(f"run: {directory.path}")


def _evaluation(result: dict[str, Any]) -> str:
  mean, std, episodes = result["eval_return_mean"], result["eval_return_std"], result["eval_episodes"]
  return f"evaluation return {mean:,.2f} ± {std:,.2f} over {episodes} episodes"


def _warn_of_versions(directory: RunDirectory) -> None:
  """Says which versions are no longer those that the run began with."""
  then, now = directory.read_config()["versions"], rundir.versions(directory.read_experiment().agent)
  names = [name for name in sorted(then | now) if then.get(name) != now.get(name)]
  if names:
    changes = ", ".join(f"{name} {then.get(name)} → {now.get(name)}" for name in names)
    warnings.warn(f"Versions have changed since the run began, so it may go on differently: {changes}.", stacklevel=2)
