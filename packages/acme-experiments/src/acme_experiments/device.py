"""A run whose seeds are all one jitted program on a device, in a run directory with one for each seed.

So may be several runs whose configs differ in numbers alone, as a sweep's trials: each has its files and checkpoints as
if it were alone, all of the same steps.

Steps are taken in pieces short enough for a signal; where pieces end changes nothing. Rows are written and seeds
evaluated at multiples of `eval_every`, so a run that was stopped and resumed has the same ones.
"""

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tree

from acme import checkpointing, configs, core, plugins, types
from acme_experiments import components, evaluation, parts, placement, progress, rundir, runner, saving, stopping
from acme_experiments.experiment import Experiment, UsageError
from acme_experiments.rundir import RunDirectory
from acme_experiments.stopping import Stopped

_PIECE_SECONDS = 1.0  # How long the device works between two looks at the clock and for signals.
_ROWS = 20  # In a run without evaluations.


def find_reason(experiment: Experiment) -> str | None:
  """Why an experiment cannot run on a device, as a sentence; None where it can.

  Raises:
    UsageError: it cannot run anywhere: there is no such environment, or the agent does not fit it.
    PluginError: there is no such agent.
  """
  if experiment.environment is None:
    return "There is no environment, in which a loop on a device would act."
  name, found = _find(experiment.environment)
  if found is None:
    return f"Nothing installed runs {experiment.environment} there: acme-anakin does what is called jax:NAME."
  if experiment.needs_host is not None:
    return experiment.needs_host
  with _complaints():
    reason: str | None = found.fits(_make_builder(experiment), name, **_wrap(experiment))
    return reason


def looking(environment: str) -> contextlib.AbstractContextManager[None]:
  """What a process looks at runs in, where others run them: see `placement.looking`."""
  return contextlib.nullcontext() if _find(environment)[1] is None else placement.looking()


def room(experiment: Experiment, fields: Sequence[str]) -> int:
  """How many seeds fit into one program of runs whose configs differ in these fields; 0 where they may not differ."""
  name, found = _find(experiment.environment or "")
  if not hasattr(found, "room"):
    return 0
  make, config = _builder_maker(experiment)
  number: int = found.room(
    make, config, name, fields, steps=experiment.steps, num_envs=experiment.envs, **_wrap(experiment)
  )
  return number


def run(directory: RunDirectory, display: progress.Progress | None = None) -> dict[str, Any]:
  """Runs all seeds to the end, and those of all runs that are one program with it, from the newest checkpoint.

  Args:
    directory: of the run, with those of its seeds in it.
    display: is told how it goes; None for silence.

  Returns:
    The summary, as in summary.json; `diverged` in it are the SGD steps at which losses of seeds were not finite. Of a
    run all of whose seeds diverged, which has none, that of another in the program.

  Raises:
    FloatingPointError: no seed has a finite loss any more.
    Stopped, UsageError, CheckpointError: as `runner.run`.
  """
  together = directory.together()
  _allow_files(len(together))
  with placement.on(directory.read_experiment().device):
    runner.attempt(together, lambda stop: _Run(together, display or progress.Progress(), stop))
  found = [summary for each in (directory, *together) if (summary := each.read_summary()) is not None]
  if not found:
    raise FloatingPointError(parts.ALL_DIVERGED)
  return found[0]


def evaluate(
  directory: RunDirectory, episodes: int, seed: int | None = None, which: rundir.Which = "newest"
) -> dict[int, dict[str, Any]]:
  """Evaluates a checkpoint of all seeds, or of one seed whose directory it is; arguments as `runs.evaluate`.

  Returns:
    By seed what `runs.evaluate` gives of one.

  Raises:
    CheckpointError: there is no checkpoint, or it is of another agent, version or environment.
    UsageError: the seed's directory does not lie in the run's, which has the checkpoints; or the best are asked for.
  """
  loop, seeds, steps = _load(directory, which)
  returns = loop.evaluate(episodes, seed)  # [S, E]
  return {each: parts.statistics(returns[i]) | {"steps": steps} for i, each in enumerate(seeds)}


def _load(directory: RunDirectory, which: rundir.Which) -> tuple[Any, tuple[int, ...], int]:
  """The loop of a run's seeds, or of the one whose directory it is, at a checkpoint; the seeds; its step."""
  if which == "best":
    raise UsageError("--which best: a run on a device keeps its newest parameters only.")
  experiment = directory.read_experiment()
  if experiment.seeds is not None:
    run_directory, seeds = directory, experiment.seeds
  else:
    run_directory, seeds = parent(directory), (experiment.seed,)
  checkpoint = run_directory.load_checkpoint(which)
  components.check(checkpoint, experiment)
  saved = checkpoint.state["loop"]
  if not set(seeds) <= set(saved["seeds"]):
    raise checkpointing.CheckpointError(
      f"The checkpoint at step {checkpoint.step:,} is of the seeds {saved['seeds']}, and not of {list(seeds)}: put "
      f"{directory.config} back from a copy."
    )
  rows = [saved["seeds"].index(seed) for seed in seeds]
  loop = _make_loop([dataclasses.replace(experiment, seeds=seeds)])
  loop.restore({"seeds": list(seeds), "state": [leaf[rows] for leaf in saved["state"]]})
  return loop, seeds, checkpoint.step


def load_variables(directory: RunDirectory, which: rundir.Which) -> tuple[core.VariableSource, int]:
  """What a run of one seed, or one seed of a run, has learnt by a checkpoint, and its step; raises as `evaluate`."""
  loop, _, steps = _load(directory, which)
  return _OfOneSeed(loop), steps


class _OfOneSeed(core.VariableSource):
  """The variables of a loop that has one seed."""

  def __init__(self, loop: Any) -> None:
    self._loop = loop

  def get_variables(self, names: Sequence[str]) -> list[types.NestedArray]:
    return [tree.map_structure(lambda leaf: leaf[0], nest) for nest in self._loop.get_variables(names)]


def parent(directory: RunDirectory) -> RunDirectory:
  """The directory of the run that a seed's directory belongs to."""
  return RunDirectory(directory.path.absolute().parent)


class _Run:
  """All seeds of a program's runs while they run."""

  def __init__(self, directories: list[RunDirectory], display: progress.Progress, stop: stopping.StopRequest) -> None:
    """Builds everything, and restores the newest checkpoint if there is one."""
    self._display, self._stop = display, stop
    self._parts = [parts.Part(directory, i, len(directories)) for i, directory in enumerate(directories)]
    parts.check_together(self._parts)
    self._experiment = experiment = self._parts[0].experiment
    assert experiment.steps is not None  # As `Experiment` has seen to.
    self._goal, self._every = experiment.steps, experiment.eval_every or max(1, experiment.steps // _ROWS)
    self._schedule = dataclasses.replace(experiment, eval_every=self._every)
    self._loop = _make_loop([part.experiment for part in self._parts])
    self._piece = 8 * experiment.envs
    self._reported = 0  # Steps at the newest rows.
    self._earlier_seconds = 0.0
    _allow_files(8 * sum(len(part.seeds) for part in self._parts))
    with contextlib.ExitStack() as stack:
      for part in self._parts:
        part.records = [stack.enter_context(parts.open_records(each)) for each in part.directories]
        for each in part.records:
          each.steps = lambda: self._loop.steps
      self._restore()
      self._files = stack.pop_all()
    self._started = time.monotonic()

  def run(self) -> None:
    """Trains to the end, evaluates, and writes the summaries."""
    self._display.start(self._experiment, self._loop.steps, max(part.highest for part in self._parts))
    self._display.learns_from(getattr(self._loop, "experience", None))  # Runners are anybody's.
    self._pretrain()
    while not self._over or self._rows_due:
      self._train()
      if self._stop:
        self._save()
        assert self._stop.signal is not None
        raise Stopped(self._stop.signal, self._loop.steps)
      if self._rows_due:
        self._write_rows()
      if self._saver.due_at(self._loop.steps):
        self._save()
    self._save()
    returns = self._loop.evaluate(max(runner.FINAL_EPISODES, self._experiment.eval_episodes))
    steps, seconds = self._loop.steps, self._seconds
    counts = {"steps": steps, "wall_seconds": seconds, "steps_per_second": steps / seconds}
    for part in reversed(self._parts):  # The first one's summary says that all are over.
      part.finish(returns[part.rows], counts)

  def close(self) -> None:
    """Closes the files and the display."""
    with self._files:
      self._display.close()

  @property
  def _saver(self) -> saving.Saver:
    """Whose times are those of all."""
    return self._parts[0].saver

  @property
  def _seconds(self) -> float:
    return self._earlier_seconds + time.monotonic() - self._started

  @property
  def _over(self) -> bool:
    return self._loop.steps >= self._goal or self._experiment.high_enough(self._parts[0].highest)

  @property
  def _rows_due(self) -> bool:
    steps = self._loop.steps
    return steps // self._every > self._reported // self._every or (self._over and steps > self._reported)

  def _pretrain(self) -> None:
    """Takes the SGD steps that come before acting, in pieces as `_train` does."""
    if self._loop.pretraining:
      self._display.message(f"pre-training: {self._loop.pretraining:,} SGD steps")
    piece = 8
    while not self._stop and (left := self._loop.pretraining):
      start = time.perf_counter()
      self._loop.pretrain(min(piece, left))
      rate = (left - self._loop.pretraining) / (time.perf_counter() - start)
      piece = max(1, min(4 * piece, int(rate * _PIECE_SECONDS)))
      if self._stop or self._saver.due_by_time():
        self._save(again=True)

  def _train(self) -> None:
    """Takes the steps up to the next event; the last one of several environments may go beyond it."""
    steps = self._loop.steps
    until = self._schedule.next_event(steps, steps // self._every)
    while not (self._stop or self._over or self._rows_due) and steps < until:
      start = time.perf_counter()
      self._loop.advance(int(min(self._piece, until - steps)))
      taken, steps = self._loop.steps - steps, self._loop.steps  # Waits for the device.
      rate = taken / (time.perf_counter() - start)
      self._piece = max(self._experiment.envs, min(4 * self._piece, int(rate * _PIECE_SECONDS)))
      self._display.update(steps, sum(sum(part.episodes) for part in self._parts))
      if self._saver.due_by_time():
        self._save()

  def _write_rows(self) -> None:
    """Writes what happened since the last rows, and evaluates where that is due."""
    steps, report = self._loop.steps, self._loop.report()
    evaluates = self._experiment.eval_every and steps // self._every > self._reported // self._every
    self._reported = steps
    first = report.pop("diverged")
    for part in self._parts:
      part.find_diverged(first[part.rows])
    if not any(part.sound for part in self._parts):
      raise FloatingPointError(parts.ALL_DIVERGED)
    returns = []
    for part, i in self._sound:
      values = {name: _plain(of[part.rows][i]) for name, of in report.items()}
      part.episodes[i] += values["episodes"]
      row = values | {"episodes": part.episodes[i]}
      if not row["learner_steps"]:  # There has been no update for its metrics to be of.
        row = {name: row[name] for name in ("steps", "learner_steps", "episodes", "episode_return", "episode_length")}
      part.records[i].training(row | {"wall_seconds": self._seconds})
      if row["episode_return"] is not None:
        returns.append(row["episode_return"])
    if returns:
      self._display.episode({"episode_return": float(np.median(returns))})
    if evaluates:
      self._evaluate()

  def _evaluate(self) -> None:
    self._display.evaluating(0, self._experiment.eval_episodes)
    returns, steps, seconds = self._loop.evaluate(self._experiment.eval_episodes), self._loop.steps, self._seconds
    rows = []
    for part, i in self._sound:
      row = {"steps": steps, "episodes": part.episodes[i], **evaluation.of_returns(returns[part.rows][i].tolist())}
      part.records[i].evaluation(row | {"wall_seconds": seconds})
      rows.append(row)
    self._display.evaluation(*rows)
    for part in self._parts:
      if part.sound:
        part.highest = max(part.highest, float(np.mean(returns[part.rows][part.sound])))
    if self._experiment.high_enough(self._parts[0].highest):
      self._display.message(f"stopped: an evaluation reached {self._experiment.stop_at:,g} (--stop-at)")

  @property
  def _sound(self) -> list[tuple[parts.Part, int]]:
    return [(part, i) for part in self._parts for i in part.sound]

  def _save(self, again: bool = False) -> None:
    """Writes checkpoints; `again`, even where the newest ones are of this step, as all are in pre-training."""
    steps = self._loop.steps
    if self._saver.has(steps, self._reported) and not again:
      return
    state = self._loop.save()
    for part in self._parts:
      part.save(steps, self._reported, state, self._seconds)

  def _restore(self) -> None:
    """Goes back to the newest checkpoint; without any, to the beginning."""
    if len(self._parts) > 1:
      found = saving.load_together([part.saver for part in self._parts])
    else:
      found = None if (newest := self._saver.load()) is None else [newest]
    if found is None:
      for part in self._parts:
        part.restore(None)
      return
    for part, checkpoint in zip(self._parts, found, strict=True):
      components.check(checkpoint, part.experiment)
    loops = [checkpoint.state["loop"] for checkpoint in found]
    leaves = zip(*(each["state"] for each in loops), strict=True)
    whole = [np.concatenate(of) if len(of) > 1 else of[0] for of in leaves]
    self._loop.restore({"seeds": [seed for each in loops for seed in each["seeds"]], "state": whole})
    for part, checkpoint in zip(self._parts, found, strict=True):
      part.restore(checkpoint)
    self._reported = found[0].state["evaluations"]["done"]
    self._earlier_seconds = found[0].metadata["wall_seconds"]


def _find(environment: str) -> tuple[str, Any]:
  """An environment's name in its suite, and what runs it on a device, None where nothing does."""
  suite, _, name = environment.partition(":")
  found = plugins.load_runner(suite)
  return name, found if hasattr(found, "make") else None  # That of Ray has none.


def _builder_maker(experiment: Experiment) -> tuple[Callable[[Any], Any], Any]:
  """What makes the agent's builder of a config, and the config."""
  plugin = plugins.load_agent(experiment.agent)
  config = configs.from_dict(type(plugin.config()), experiment.config)
  return functools.partial(plugin.builder, backend=experiment.backend), config


def _make_builder(experiment: Experiment) -> Any:
  make, config = _builder_maker(experiment)
  return make(config)


def _make_loop(experiments: Sequence[Experiment]) -> Any:
  """The program of all seeds of runs that differ in numbers of their configs. UsageError where it cannot be made."""
  experiment = experiments[0]
  name, found = _find(experiment.environment or "")
  if found is None:
    raise UsageError(f"{experiment.environment} runs on a device by acme-anakin, which is not installed.")
  lanes = [(each.config, seed) for each in experiments for seed in each.seeds or ()]
  options = _wrap(experiment)
  differs = [field for field, value in experiment.config.items() if any(of[field] != value for of, _ in lanes)]
  with _complaints():
    make, config = _builder_maker(experiment)
    if len(experiments) > 1:
      options["variants"] = {field: [of[field] for of, _ in lanes] for field in differs}, make
    try:
      return found.make(
        make(config), name, steps=experiment.steps, num_envs=experiment.envs, seeds=[seed for _, seed in lanes],
        **options,
      )  # fmt: skip
    except (TypeError, ValueError) as error:
      if not differs:
        raise
      line = str(error).partition("\n")[0]  # JAX has more of them.
      raise UsageError(
        f"Runs of one program differ in {', '.join(differs)}, and no program can: {line} Put back from a copy the "
        "config.json that was altered."
      ) from error


def _wrap(experiment: Experiment) -> dict[str, Any]:
  """For a runner that knows wrappers; others are asked only where there are none."""
  return {"wrap": experiment.wrap} if experiment.wrap else {}


@contextlib.contextmanager
def _complaints() -> Any:
  """Turns what cannot be made into a UsageError."""
  try:
    yield
  except (TypeError, ValueError, KeyError, ImportError, OSError, MemoryError) as error:
    raise UsageError(str(error)) from error


def _allow_files(number: int) -> None:
  """Lets the process open so many files and some more, as far as the system does; each seed has several."""
  with contextlib.suppress(ImportError, ValueError, OSError):
    import resource  # Not on Windows.

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = number + 256 if hard == resource.RLIM_INFINITY else min(number + 256, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
      resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _plain(value: Any) -> Any:
  """A number as Python has it; None for the mean of no episodes."""
  return value.item() if np.isfinite(value) else None
