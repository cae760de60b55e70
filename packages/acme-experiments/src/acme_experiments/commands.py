"""What each command does, once its command line is read."""

import contextlib
import dataclasses
import functools
import importlib.util
import inspect
import pathlib
import secrets
import shutil
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import acme_envs
from acme import checkpointing, plugins
from acme_experiments import (
  bsuite,
  components,
  dataset_commands,
  device,
  distributed,
  listing,
  loading,
  overview,
  parsing,
  processes,
  progress,
  recording,
  rundir,
  runs,
  stopping,
  sweep,
  together,
  trackers,
)  # fmt: skip
from acme_experiments.rundir import Experiment, RunDirectory
from acme_experiments.usage import AUTO, Failed, UsageError

_STEPS = 50_000  # Where neither steps nor episodes are asked for.
_EVALUATIONS = 20  # In a run of so many steps; …
_EVAL_EVERY = 2_500  # … in a run of so many episodes, the steps between two of them.
_DATASETS = ("dataset", "demonstrations")  # Fields of configs that are paths of recorded episodes.
_BEST = 10  # Trials of a sweep that are shown.


@functools.singledispatch
def execute(command: Any, config: Any = None) -> None:
  """Does what a command says; `config` is the agent's for `acme run`."""
  raise TypeError(f"Expected a command, got {command!r}.")


@execute.register
def _run(command: parsing.Run, config: Any = None) -> None:
  experiment = _experiment(command, config)
  if command.preset == AUTO and not command.quiet:
    print(_tell_preset(experiment), flush=True)
  _warn_of_another_environment(experiment)
  directory = RunDirectory.create(command.out or rundir.default_path(experiment), experiment)
  with _begun_or_gone(directory.path):
    _train(directory, command.quiet, command.jobs)


@contextlib.contextmanager
def _begun_or_gone(path: pathlib.Path) -> Iterator[None]:
  """Removes a directory whose runs cannot begin: nothing is in there but their configs."""
  try:
    yield
  except (UsageError, plugins.PluginError):
    if not any(path.rglob("saved.json")):
      shutil.rmtree(path)
    raise


def _experiment(command: parsing.Run, config: Any) -> Experiment:
  """What a command line asks for."""
  plugin = plugins.load_agent(command.agent)
  preset = parsing.choose_preset(plugin, command.preset, command.env)
  if config is None:
    config = parsing.default_config(plugin, preset)
  fields = components.to_json(config)
  fields |= {name: _whole_path(fields[name]) for name in _DATASETS if fields.get(name) is not None}
  dataset = _whole_path(command.dataset) if command.dataset is not None else fields.get("dataset")
  envs = command.envs
  if envs is None:
    envs = plugin.num_envs if dataset is None else 1  # Nobody acts on a dataset.
  steps = _STEPS if command.steps is None and command.episodes is None else command.steps
  eval_every = command.eval_every
  if eval_every is None:
    eval_every = _EVAL_EVERY if steps is None else max(1, steps // _EVALUATIONS)
  experiment = Experiment(
    agent=command.agent,
    environment=command.env,
    env_options=command.env_options,
    wrap=command.wrap,
    folder=str(pathlib.Path.cwd()) if command.observe or acme_envs.is_own(command.env or "", command.wrap) else None,
    seed=_choose(command.seed) if command.seeds is None else 0,
    envs=envs,
    preset=preset,
    config=fields,
    backend=command.backend,
    device=command.device,
    replay=command.replay,
    listen_everywhere=command.listen_everywhere,
    dataset=dataset,
    simulator=command.simulator,
    steps=steps,
    episodes=command.episodes,
    eval_every=eval_every,
    eval_episodes=command.eval_episodes,
    eval_share=command.eval_share,
    checkpoint_every=command.checkpoint_every,
    video=command.video,
    log=command.log,
    observe=command.observe,
    stop_at=command.stop_at,
    seeds=None if command.seeds is None else parsing.seeds(command.seeds),
    actors=command.actors,
    shards=command.shards,
    ray_address=command.ray_address,
    learner_gpus=command.learner_gpus,
  )
  distributed.check(experiment)
  return _place(experiment, command.loop)


def _tell_preset(experiment: Experiment) -> str:
  """What `--preset auto` chose, and whence it comes."""
  plugin = plugins.load_agent(experiment.agent)
  if experiment.preset is None:
    tuned = ", ".join(plugin.tuned) or "none"
    return f"preset: {plugin.name} has none for {experiment.place}, so its defaults (it has: {tuned})"
  source = inspect.getdoc(plugin.presets[experiment.preset]) or "its source is not said."
  return f"preset: {experiment.preset} of {plugin.name}: {source.splitlines()[0]}"


def _warn_of_another_environment(experiment: Experiment) -> None:
  """Warns where a dataset, whose specs may well fit, says that it was recorded elsewhere."""
  paths = {experiment.dataset, *(experiment.config.get(name) for name in _DATASETS)}
  if experiment.environment is None or paths == {None}:
    return
  if importlib.util.find_spec("acme_replay") is None:
    return  # The agent says so.
  from acme_replay import datasets

  for path in filter(None, paths):
    with contextlib.suppress(OSError, ValueError):  # Where it cannot be read the agent says so.
      if (recorded := datasets.read_index(path).environment) not in (None, experiment.environment):
        warnings.warn(f"{path} was recorded in {recorded}, and this run is in {experiment.environment}.", stacklevel=2)


def _choose(seed: int | str) -> int:
  """The seed asked for; of `random` a new one, which is said."""
  if isinstance(seed, int):
    return seed
  chosen = secrets.randbelow(2**31)
  print(f"seed: {chosen}", flush=True)
  return chosen


@execute.register
def _sweep(command: parsing.Sweep, config: Any = None) -> None:
  processes.check_jobs(command.jobs)
  plan = sweep.read_plan(command.file)
  shared = parsing.config_table(command.file, plan.options)
  experiments = []
  path = command.out or rundir.timed_path(f"sweep-{pathlib.Path(command.file).stem}")
  with device.looking(plan.env):
    for values in plan.trials:  # All of them, so that none is found wrong when others have run for hours.
      content = {**plan.options, "config": {**shared, **values}}
      line = ["run", plan.agent, plan.env, *parsing.to_options(command.file, content)]
      run, config = parsing.parse(line)
      assert isinstance(run, parsing.Run)
      if run.seed == parsing.RANDOM:
        raise UsageError(f"{command.file}: seed: trials are compared on the same seeds: give a number.")
      experiments.append(_experiment(run, config))
    programs = together.programs(experiments, command.jobs) if plan.study is None else []
  _try_all(sweep.create(path, plan, experiments, programs), command.quiet, command.jobs)


def _try_all(path: pathlib.Path, quiet: bool, jobs: int) -> None:
  """Runs a sweep to the end, and shows its best trials."""
  with _stoppable(path, "trial"):
    rows = sweep.run(path, progress.choose(quiet), jobs)
  for row in rows[:_BEST]:
    print(sweep.describe(row))
  print(f"all {len(rows)} trials: {path / 'results.csv'}")
  if failed := [row["trial"] for row in rows if row["failed"]]:
    raise Failed(
      f"Of {len(rows)} trials {len(failed)} failed: {', '.join(failed)}. output.txt or error.txt in each, or in the "
      "first of its program, says why."
    )


@execute.register
def _bsuite(command: parsing.Bsuite, config: Any = None) -> None:
  processes.check_jobs(command.jobs)
  try:
    ids = acme_envs.bsuite.choose(command.ids)
  except (ValueError, ImportError) as error:
    raise UsageError(f"--ids: {error}") from error
  experiments = {}
  for name in ids:
    run = parsing.Run(
      agent=command.agent,
      env=f"bsuite:{name}",
      episodes=acme_envs.bsuite.num_episodes(name) if command.episodes is None else command.episodes,
      seed=command.seed + int(name.partition("/")[2]),
      envs=1,  # Each of the suite's statistics is of one environment, from its first episode on.
      loop="host",
      eval_every=0,
      observe=(bsuite.OBSERVER,),
      log=(),
      backend=command.backend,
      preset=command.preset,
      simulator=command.simulator,
    )
    experiments[name] = dataclasses.replace(_experiment(run, config), folder=None)  # The observer is installed.
  path = bsuite.create(command.out or rundir.timed_path(f"bsuite-{command.agent}"), experiments)
  with _begun_or_gone(path):
    _run_bsuite(path, command.quiet, command.jobs)


def _run_bsuite(path: pathlib.Path, quiet: bool, jobs: int) -> None:
  """Runs an agent through bsuite to the end, and shows its scores."""
  with _stoppable(path, "run"):
    scores = bsuite.run(path, progress.choose(quiet), jobs)
  for line in bsuite.describe(scores):
    print(line)
  print(f"scores: {path / 'scores.md'}")
  if scores.failed:
    names = ", ".join(scores.failed)
    raise Failed(
      f"{len(scores.failed)} ids failed: {names}. output.txt in each says why; mend it, then: acme resume {path}"
    )


@contextlib.contextmanager
def _stoppable(path: pathlib.Path, what: str) -> Iterator[None]:
  """Says how to go on where runs are stopped; of whatever else ends them it makes one line."""
  try:
    with _complaints(f"{path} cannot go on"):
      yield
  except stopping.Stopped:
    print(f"Stopped; every {what} is saved. Go on with: acme resume {path}")
    raise


def _whole_path(dataset: str) -> str:
  """Where a dataset lies, whatever folder the run is resumed from; one of Minari's has a name of its own."""
  return dataset if dataset.startswith("minari:") else str(pathlib.Path(dataset).absolute())


def _place(experiment: Experiment, loop: str | None) -> Experiment:
  """The experiment where it is to run: on a device where it can, unless the host or Ray is asked for."""
  if experiment.actors is not None and loop == "device":
    raise UsageError("--actors: a run on Ray has no --loop device.")
  if loop == "host" or experiment.actors is not None:
    return experiment
  reason = device.find_reason(experiment)
  if reason is not None:
    if loop == "device":
      raise UsageError(f"--loop device: {reason}")
    return experiment
  seeds = experiment.seeds if experiment.seeds is not None else (experiment.seed,)
  return dataclasses.replace(experiment, loop="device", seeds=seeds)


@execute.register
def _resume(command: parsing.Resume, config: Any = None) -> None:
  for holds, what, go_on in ((sweep.is_sweep, "a sweep", _try_all), (bsuite.is_bsuite, "of bsuite", _run_bsuite)):
    if holds(command.directory):
      if command.steps is not None or command.episodes is not None:
        raise UsageError(f"{command.directory} is {what}, and cannot be made longer: begin a new one.")
      if command.ray_address is not None:
        raise UsageError(f"{command.directory} is {what}: resume it without --ray-address.")
      go_on(pathlib.Path(command.directory), command.quiet, command.jobs)
      return
  directory = RunDirectory(command.directory)
  experiment = directory.read_experiment()
  runs.check_whole(directory)
  if not experiment.in_processes:
    directory.newest_checkpoint()  # Complains where they cannot be seen, before anything is changed.
  if command.steps is not None or command.episodes is not None:
    if experiment.seeds is not None:
      raise UsageError(f"{directory.path} is of many seeds or on a device, and cannot be made longer: begin a new run.")
    with directory.lock():
      experiment = _extend(directory, experiment, command.steps, command.episodes)
  if command.ray_address is not None:
    experiment = dataclasses.replace(experiment, ray_address=command.ray_address)
    with directory.lock():
      directory.write_experiment(experiment)
  summary = directory.read_summary()
  if summary is not None and (summary.get("finished") or experiment.reached(summary["steps"], summary["episodes"])):
    done = f"{summary['steps']:,} steps, {summary['episodes']:,} episodes"
    advice = " To go on: --steps with more of them." if experiment.seeds is None else ""
    if experiment.stop_at is not None and summary.get("finished"):
      advice = f" An evaluation reached {experiment.stop_at:,g} (--stop-at)."
    print(f"{directory.path} is over: it has trained for {done}.{advice}")
    _print_result(directory, summary)
    return
  _warn_of_versions(directory)
  _train(directory, command.quiet, command.jobs)


def _extend(directory: RunDirectory, experiment: Experiment, steps: int | None, episodes: int | None) -> Experiment:
  """Puts another goal into config.json; UsageError where the run is beyond it, and config.json as it was."""
  extended = dataclasses.replace(experiment, steps=steps, episodes=episodes)
  if extended == experiment:
    return experiment
  done_steps, done_episodes = directory.read_progress()
  if extended.reached(done_steps, done_episodes):
    done = f"{done_steps:,} steps" if steps is not None else f"{done_episodes:,} episodes"
    raise UsageError(
      f"{directory.path} has trained for {done} already, and it was to train for {experiment.goal}: ask for more of "
      "them. Nothing was changed."
    )
  directory.write_experiment(extended)
  return extended


@contextlib.contextmanager
def _complaints(what: str, more: str = "") -> Iterator[None]:
  """Makes one line of whatever an environment raises, of damaged files, or a config no longer the checkpoint's."""
  try:
    yield
  except (UsageError, plugins.PluginError, checkpointing.CheckpointError, OSError, stopping.Stopped):
    raise
  except Exception as error:
    raise Failed(f"{what}: {_describe(error)}{more}") from error


@execute.register
def _status(command: parsing.Status, config: Any = None) -> None:
  directory = RunDirectory(command.directory)
  experiment = directory.read_experiment()
  print(f"{experiment.agent} {experiment.place}: {experiment.goal}")
  for name, part in _parts(directory, experiment).items():
    steps, episodes = part.read_progress()
    print(f"{name}newest checkpoint: step {steps:,}, {episodes:,} episodes")
  if directory.read_summary() is not None:
    print("the run is over")
  for line in distributed.read_status(directory):
    print(line)


def _parts(directory: RunDirectory, experiment: Experiment) -> dict[str, RunDirectory]:
  """The directories that have checkpoints, by how a line about each begins: of seeds in processes those that began."""
  if not experiment.in_processes:
    return {"": directory}
  began = [seed for seed in experiment.seeds or () if (directory.seed_path(seed) / "config.json").exists()]
  return {f"seed {seed}: ": directory.seed(seed) for seed in began}


@execute.register
def _evaluate(command: parsing.Evaluate, config: Any = None) -> None:
  if command.episodes < 1:
    raise UsageError(f"--episodes: expected 1 or more, got {command.episodes}.")
  seed = None if command.seed is None else _choose(command.seed)
  if seed is not None and not 0 <= seed < 2**32:
    raise UsageError(f"--seed: expected 0 or more, below 2^32, got {seed}.")
  directory = RunDirectory(command.directory)
  video = pathlib.Path(command.video) if command.video is not None else None
  with _complaints(f"{directory.path} cannot be evaluated"):
    result = runs.evaluate(directory, command.episodes, video, parsing.which(command.which), seed)
  print(f"{_evaluation(result)}, with the parameters of step {result['steps']:,}")
  if video is not None:
    print(f"video: {video}")


@execute.register
def _export(command: parsing.Export, config: Any = None) -> None:
  from acme_experiments import export

  with _complaints(f"{command.directory} cannot be exported"):
    agent = loading.load(command.directory, parsing.which(command.which))
    out = export.export(agent, command.out)
  print(f"wrote {out}, the policy of {agent.path} at step {agent.step:,}")


@execute.register
def _record(command: parsing.Record, config: Any = None) -> None:
  if (command.episodes is None) == (command.steps is None) or (command.episodes or command.steps or 0) < 1:
    raise UsageError("Expected either --episodes or --steps, of 1 or more: give one of them.")
  directory = RunDirectory(command.directory)
  asked = recording.Recording(
    directory=directory,
    out=command.out,
    episodes=command.episodes,
    steps=command.steps,
    which=parsing.which(command.which),
    seed=_choose(command.seed),
    epsilon=command.epsilon,
    noise=command.noise,
    explore=command.explore,
    core=command.core,
  )
  with _complaints(f"{directory.path} cannot be recorded", " Whole episodes are kept."):
    done = recording.record(asked)
  print(
    f"{done.episodes:,} episodes, {done.steps:,} steps, return {done.mean_return:,.2f}, by step {done.checkpoint:,}"
  )
  print(f"dataset: {command.out}")
  if done.signal is not None:
    raise stopping.Stopped(done.signal, done.steps)


@execute.register
def _dataset(command: parsing.Dataset, config: Any = None) -> None:
  try:
    dataset_commands.execute(command)
  except (FileExistsError, FileNotFoundError) as error:
    raise UsageError(str(error)) from error
  except UsageError:
    raise
  except ValueError as error:  # A damaged file, which it names.
    raise Failed(str(error)) from error


@execute.register
def _plot(command: parsing.Plot, config: Any = None) -> None:
  from acme_experiments import plotting  # Brings matplotlib.

  plotting.plot(_all_directories(command.directories), pathlib.Path(command.out), command.columns)
  print(f"wrote {command.out}")


@execute.register
def _report(command: parsing.Report, config: Any = None) -> None:
  from acme_experiments import report  # As for plots.

  ranges = None if command.ranges is None else report.read_ranges(command.ranges)
  report.write(report.read(_all_directories(command.directories), ranges), pathlib.Path(command.out))
  print(f"wrote {pathlib.Path(command.out) / 'report.md'}")


def _all_directories(paths: Sequence[str]) -> list[RunDirectory]:
  """Those of all seeds of several runs."""
  found = [each for path in paths for each in _directories_of(pathlib.Path(path), alone=len(paths) == 1)]
  unique = {each.path.resolve(): each for each in found}
  if more := len(found) - len(unique):
    warnings.warn(f"Left out: {more} of the runs, which are given twice.", stacklevel=2)
  return list(unique.values())


def _directories_of(path: pathlib.Path, alone: bool) -> list[RunDirectory]:
  """A run's directory, or those of its seeds; one that cannot be read is left out, unless it is `alone`."""
  try:
    directory = RunDirectory(path)
    seeds = directory.read_experiment().seeds
  except UsageError as error:
    if alone:
      raise
    warnings.warn(f"Left out: {error}", stacklevel=2)
    return []
  if seeds is None:
    return [directory]
  return [found for seed in seeds for found in _directories_of(directory.seed_path(seed), alone=False)]


@execute.register
def _replay_server(command: parsing.ReplayServer, config: Any = None) -> None:
  from acme_experiments import serving

  plugin = plugins.load_agent(command.agent)
  preset = parsing.choose_preset(plugin, command.preset, command.env)
  config = parsing.default_config(plugin, preset) if config is None else config
  serving.serve(plugin, config, command)


@execute.register
def _list(command: parsing.List, config: Any = None) -> None:
  if command.runs is None:
    listing.print_installed()
  else:
    overview.print_runs(pathlib.Path(command.runs))


@execute.register
def _doctor(command: parsing.Doctor, config: Any = None) -> None:
  from acme_experiments import doctor

  if not doctor.print_report():
    raise Failed("Something is wrong: see the lines above.")


@execute.register
def _completion(command: parsing.Completion, config: Any = None) -> None:
  from acme_experiments import completion

  print(completion.write(command.shell, parsing.COMMANDS), end="")


@execute.register
def _check_env(command: parsing.CheckEnv, config: Any = None) -> None:
  with contextlib.closing(
    components.make_environment(command.env, 0, options=command.env_options, wrap=command.wrap)
  ) as environment:
    findings = acme_envs.check_environment(environment)
  for finding in findings:
    print(f"{finding.severity}: {finding.message}")
  if any(finding.severity == "error" for finding in findings):
    raise Failed(f"{command.env} breaks agents: see the errors above.")
  print(f"{command.env} can be used." if findings else f"{command.env} is fine.")


@execute.register
def _new_agent(command: parsing.NewAgent, config: Any = None) -> None:
  from acme_experiments import new_agent

  path = new_agent.render(command.name, pathlib.Path(command.out), command.kind, command.backend)
  print(f"wrote {path}; its README.md says how to go on")


def _train(directory: RunDirectory, quiet: bool, jobs: int) -> None:
  """Runs to the end, and says how it went and where it lies."""
  resume = f"Go on with: acme resume {directory.path}"
  try:
    summary = runs.run(directory, progress.choose(quiet), jobs)
  except stopping.Stopped as stopped:
    print(f"{stopped} {resume}")
    raise
  except KeyboardInterrupt:
    print(f"{_newest(directory)} {resume}")
    raise
  except (UsageError, plugins.PluginError, BrokenPipeError):
    raise
  except processes.SeedsFailed as error:
    raise Failed(f"{error} See output.txt in their directories; mend it, then: acme resume {directory.path}") from error
  except checkpointing.CheckpointError as error:
    newest = _newest(directory)
    raise Failed(str(error) if newest == str(error) else f"{error} {newest}") from error
  except Exception as error:
    text = _describe(error)
    if directory.error.exists():
      text += f" The traceback is in {directory.error}."
    # What the machine lacked it may have again; whatever else failed is computed again, and fails again.
    cured = isinstance(error, OSError | MemoryError)
    advice = resume if cured else f"Mend what failed, then: acme resume {directory.path}; by itself it fails again."
    raise Failed(f"{text} {_newest(directory)} {advice}") from error
  _print_results(directory.together(), summary)
  if not quiet and trackers.TENSORBOARD in directory.read_experiment().log:
    print(_how_to_open(directory))


def _describe(error: Exception) -> str:
  return str(error) if isinstance(error, ValueError | FloatingPointError) else f"{type(error).__name__}: {error}"


def _how_to_open(directory: RunDirectory) -> str:
  """How TensorBoard shows the curves of a run."""
  missing = importlib.util.find_spec("tensorboard") is None
  advice = ' (it comes by: pip install "acme-experiments[tensorboard]")' if missing else ""
  return f"curves: tensorboard --logdir {directory.path}{advice}"


def _newest(directory: RunDirectory) -> str:
  if directory.read_experiment().in_processes:
    return "Its seeds have checkpoints of their own."
  try:
    path = directory.newest_checkpoint()
  except checkpointing.CheckpointError as error:
    return str(error)
  return f"The newest checkpoint is {path}." if path is not None else "There is no checkpoint yet."


def _print_results(together: Sequence[RunDirectory], summary: dict[str, Any]) -> None:
  """Says what came of a run, or of each of those that are one program; Failed names those of which seeds diverged."""
  if len(together) == 1:
    return _print_result(together[0], summary)
  summaries = {each.path.name: each.read_summary() for each in together}
  for name, found in summaries.items():
    print(f"{name}: {'no result' if found is None else _evaluation(found)}")
  means = [found["eval_return_mean"] for found in summaries.values() if found is not None]
  print(f"evaluation returns from {min(means):,.2f} to {max(means):,.2f}")
  print(f"runs: {together[0].path.parent}")
  if failed := [name for name, found in summaries.items() if found is None or found.get("diverged")]:
    raise Failed(f"Of {len(together)} runs {len(failed)} diverged, or a seed of theirs: {', '.join(failed)}.")


def _print_result(directory: RunDirectory, summary: dict[str, Any]) -> None:
  print(_evaluation(summary))
  print(f"run: {directory.path}")
  if diverged := summary.get("diverged"):
    raise Failed(f"Of {len(summary['seeds']) + len(diverged)} seeds {len(diverged)} diverged: {', '.join(diverged)}.")


def _evaluation(result: dict[str, Any]) -> str:
  if "eval_return_mean" not in result:
    return f"held-out loss {result['held_out_loss']:,.4g}" if "held_out_loss" in result else "no evaluation"
  mean, std, episodes = result["eval_return_mean"], result["eval_return_std"], result["eval_episodes"]
  of = f" of {len(result['seeds'])} seeds" if len(result.get("seeds", ())) > 1 else ""
  return f"evaluation return {mean:,.2f} ± {std:,.2f} over {episodes} episodes{of}"


def _warn_of_versions(directory: RunDirectory) -> None:
  """Says which versions are no longer those that the run began with."""
  then, now = directory.read_config()["versions"], rundir.versions(directory.read_experiment().agent)
  names = [name for name in sorted(then | now) if then.get(name) != now.get(name)]
  if names:
    changes = ", ".join(f"{name} {then.get(name)} → {now.get(name)}" for name in names)
    warnings.warn(f"Versions have changed since the run began, so it may go on differently: {changes}.", stacklevel=2)
