"""One experiment, in its run directory: train by an exact schedule, evaluate, save.

The schedule counts environment steps. At each event (an evaluation, a checkpoint, the end) the loop stands still
between two steps, so where a run is stopped and resumed changes nothing that it computes.
"""

import contextlib
import dataclasses
import functools
import math
import pathlib
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import acme
from acme import core, counting, loggers
from acme.environment_loop import Result
from acme_envs import repeats
from acme_experiments import components, evaluation, observing, progress, records, saving, stopping
from acme_experiments.components import Components
from acme_experiments.rundir import RunDirectory, UsageError
from acme_experiments.stopping import Stopped

FINAL_EPISODES = 20  # The final evaluation has at least so many.
_CHUNK_SECONDS = 0.1  # How long the loop runs between two looks at the clock.


def run(directory: RunDirectory, display: progress.Progress | None = None) -> dict[str, Any]:
  """Runs the experiment of a run directory to its end, from its newest checkpoint if there is one.

  Args:
    directory: as `RunDirectory.create` made it, or as a run that was stopped or killed left it.
    display: is told how it goes; None for silence.

  Returns:
    The summary, which is also in summary.json.

  Raises:
    Stopped: SIGINT, SIGTERM or SIGHUP came; everything is saved.
    UsageError: another process runs in the directory, or its agent or environment cannot be made.
    CheckpointError: the checkpoints are of another agent, version or environment, or the disk is full.
  """
  return attempt([directory], lambda stop: _Run(directory, display or progress.Progress(), stop))


def attempt(directories: Sequence[RunDirectory], make: Callable[[stopping.StopRequest], Any]) -> dict[str, Any]:
  """Holds directories, runs what `make` makes of them, and keeps the traceback in each where that fails."""
  stop = stopping.StopRequest()
  with contextlib.ExitStack() as stack:
    for each in directories:
      stack.enter_context(each.lock())
    stack.enter_context(stop.installed())
    for each in directories:
      each.error.unlink(missing_ok=True)
    try:
      with _no_exit(), contextlib.closing(make(stop)) as this:
        summary: dict[str, Any] = this.run()
        return summary
    except (Stopped, UsageError, KeyboardInterrupt):
      raise
    except BaseException:
      for each in directories:
        with contextlib.suppress(OSError):  # The disk may be what failed.
          each.error.write_text(traceback.format_exc())
      raise


@contextlib.contextmanager
def _no_exit() -> Iterator[None]:
  """Makes an error of what an environment or a library asks for by `sys.exit`, or the run would end without a word."""
  try:
    yield
  except SystemExit as error:
    raise RuntimeError(f"something in the run called sys.exit({error.code!r}).") from error


class _Run:
  """An experiment while it runs."""

  def __init__(self, directory: RunDirectory, display: progress.Progress, stop: stopping.StopRequest) -> None:
    """Builds everything, and restores the newest checkpoint if there is one."""
    self._directory = directory
    self._display = display
    self._stop = stop
    self._experiment = directory.read_experiment()
    self._tally = evaluation.Tally()
    self._observers: list[Any] = []
    self._save_due = False  # Whether a checkpoint waits for the end of an episode.
    self._earlier_seconds = 0.0
    self._chunk = 8
    with contextlib.ExitStack() as on_error:
      self._records = records.Records(directory.path, self._experiment)
      on_error.callback(self._records.close)
      counter = counting.Counter()
      self._parts = Components(
        self._experiment, logger=self._records.learner, counter=counter, video=self._video("final")
      )
      on_error.callback(self._parts.close)
      directory.write_xla_flag(self._parts.xla_flag)
      if self._experiment.device != self._parts.device:  # So that it goes on there.
        self._experiment = dataclasses.replace(self._experiment, device=self._parts.device)
        directory.write_experiment(self._experiment)
      if self._experiment.dataset is None:  # Of what a dataset holds a save copies the priorities alone.
        saving.check_memory(getattr(self._parts.agent, "replay", None), self._experiment.steps)
      # Before the first episode, and in one environment for all. What it tries has no effect on those that repeat.
      offline = self._experiment.dataset is not None
      self._repeats = offline or repeats(self._parts.environments[0], self._parts.train_seed)
      self._counter = counter
      self._loop = self._make_loop(counter)
      self._records.steps = lambda: self._loop.steps
      self._saver = saving.Saver(directory, self._experiment.checkpoint_every)
      self._restore()
      on_error.pop_all()
    self._started = time.monotonic()

  def _make_loop(
    self, counter: counting.Counter
  ) -> acme.EnvironmentLoop | acme.VectorEnvironmentLoop | acme.LearningLoop:
    """Makes the training loop: over one environment, over several at once, or over learner steps without any."""
    environments, agent, seed = self._parts.environments, self._parts.agent, self._parts.train_seed
    logger = _Then(self._records.train, self._on_episode)
    if self._experiment.dataset is not None:
      return acme.LearningLoop(agent.learner, counter=counter, logger=logger)
    if len(environments) == 1:
      observers = self._observers = observing.make(self._experiment.observe, self._experiment.folder)
      return acme.EnvironmentLoop(
        environments[0], agent, counter=counter, logger=logger, seed=seed, observers=observers
      )
    if not self._repeats:
      raise UsageError(
        f"{self._experiment.environment} does not repeat an episode from its seed, so that several could not be saved: "
        "leave out --envs."
      )
    return acme.VectorEnvironmentLoop(environments, agent, counter=counter, logger=logger, seed=seed)

  def run(self) -> dict[str, Any]:
    """Trains to the end, evaluates, and returns the summary."""
    if not self._repeats:
      warnings.warn(
        f"{self._experiment.environment} does not repeat an episode from its seed (it cannot be seeded, ignores the "
        "seed or keeps statistics between episodes): checkpoints wait for the end of an episode, and a run that is "
        "resumed is not the same as one never stopped.",
        stacklevel=2,
      )
    self._display.start(self._experiment, self._loop.steps, self._tally.highest)
    if self._parts.why is not None:
      self._display.message(self._parts.why)
    self._display.learns_from(self._parts.agent.experience)
    self._pretrain()
    while not self._over or self._evaluation_due:
      self._train()
      if self._stop:
        raise self._stopped()
      if self._evaluation_due:
        self._evaluate()
      if self._saver.due_at(self._loop.steps):
        self._save()
    self._end_episode_if_it_must()
    self._save()
    return self._finish()

  def close(self) -> None:
    """Closes the environments, the files and the display."""
    with contextlib.ExitStack() as stack:
      for part in (self._display, self._records, self._parts):
        stack.callback(part.close)

  @property
  def _seconds(self) -> float:
    return self._earlier_seconds + time.monotonic() - self._started

  @property
  def _metadata(self) -> dict[str, Any]:
    return self._parts.metadata | {"wall_seconds": self._seconds}

  @property
  def _episodes(self) -> int:
    return int(self._loop.counter.get("episodes"))

  @property
  def _over(self) -> bool:
    reached = self._experiment.reached(self._loop.steps, self._episodes)
    return reached or self._parts.agent.learner.finished or self._experiment.high_enough(self._tally.highest)

  @property
  def _evaluation_due(self) -> bool:
    return self._experiment.evaluation_due(self._loop.steps, self._tally.done)

  @property
  def _can_save(self) -> bool:
    between_episodes = self._loop.steps == self._loop.counter.get("steps")
    return self._repeats or between_episodes

  def _pretrain(self) -> None:
    """Takes the learner steps that come before acting, in pieces as `_train` does; none counts as a step of the run."""
    left = self._parts.agent.replay.pretraining
    if not left():
      return
    self._display.message(f"pre-training: {left():,} learner steps")
    loop = acme.LearningLoop(self._parts.agent.learner, counter=self._counter, label="pretraining")
    with self._stop.watching(loop):
      while not self._stop and left():
        self._run_piece(loop, left())
        if self._stop or self._saver.due_by_time():
          self._save(again=True)

  def _train(self) -> None:
    """Runs the loop to the next event, in pieces short enough to show progress; their lengths decide nothing else."""
    until = self._experiment.next_event(self._loop.steps, self._tally.done)
    with self._stop.watching(self._loop):
      while not self._stop and not self._over and self._loop.steps < until:
        self._run_piece(self._loop, until - self._loop.steps)
        self._display.update(self._loop.steps, self._episodes)
        if self._save_due or self._saver.due_by_time():
          self._save()

  def _run_piece(
    self, loop: acme.EnvironmentLoop | acme.VectorEnvironmentLoop | acme.LearningLoop, most: float
  ) -> None:
    """Runs a loop for so long as is to pass between two looks at the clock, and for `most` steps at the most."""
    start = time.perf_counter()
    steps = loop.run(num_steps=int(min(self._chunk, most)))
    rate = steps / (time.perf_counter() - start)
    self._chunk = max(1, min(2 * self._chunk, int(rate * _CHUNK_SECONDS)))

  def _on_episode(self, row: loggers.Row) -> None:
    """Stops the loop at the end of an episode, where something waits for one."""
    self._display.episode(row)
    if self._save_due or (self._experiment.episodes is not None and self._over):
      self._loop.stop()

  def _evaluate(self) -> None:
    """Evaluates, as far as the steps that evaluations may take allow, and keeps the parameters where they are best."""
    left = self._experiment.evaluation_steps(self._loop.steps) - self._tally.steps
    learner = self._parts.agent.learner
    before = None if self._experiment.dataset is None else learner.save()
    held_out = dict(learner.evaluate())  # First: the parameters that it finds best are those that act.
    undo = None if before is None else functools.partial(learner.restore, before)
    results = self._run_evaluator(self._tally.done + 1, self._experiment.eval_episodes, left, undo)
    best = self._tally.add(results, held_out)
    if not results and self._parts.evaluator is not None:
      self._display.message(f"step {self._loop.steps:,}: no evaluation, they have taken their share (--eval-share)")
    if not results and not held_out:
      return
    row: dict[str, Any] = {"steps": self._loop.steps, "episodes": self._episodes}
    row |= (evaluation.summarize(results) if results else {}) | held_out
    row["wall_seconds"] = self._seconds
    if best:
      self._saver.save_best(self._loop.steps, learner.save(), self._metadata)
    self._records.evaluation(row)
    self._display.evaluation(row)
    if self._experiment.high_enough(self._tally.highest):
      self._display.message(f"stopped: an evaluation reached {self._experiment.stop_at:,g} (--stop-at)")

  def _run_evaluator(
    self, number: int, episodes: int, max_steps: float = math.inf, undo: Callable[[], None] | None = None
  ) -> list[Result]:
    """Runs an evaluation, none without an environment; where a signal comes meanwhile, it is as if it had not begun."""
    if self._parts.evaluator is None:
      return []
    video = self._video("final" if number == evaluation.FINAL else f"step-{self._loop.steps:012d}")
    results = self._parts.evaluator.run(number, episodes, self._stop, video, max_steps, self._display.evaluating)
    if self._stop:
      if undo is not None:
        undo()
      raise self._stopped()
    cut = sum(result["episode_length"] >= evaluation.ENDLESS for result in results)
    if cut:
      self._display.message(
        f"evaluation: {cut} of {len(results)} episodes were cut at {evaluation.ENDLESS:,} steps: the environment may "
        "need a limit of its own (--wrap step_limit:1000)"
      )
    return results

  def _video(self, name: str) -> pathlib.Path | None:
    if not self._experiment.video:
      return None
    path = self._directory.path / "videos" / f"{name}.mp4"
    if path.is_symlink():  # What it leads to would be overwritten.
      path.unlink()
    return path

  def _finish(self) -> dict[str, Any]:
    """The final evaluation, on seeds of its own, and the summary."""
    learner = self._parts.agent.learner
    held_out = self._tally.held_out or dict(learner.evaluate())
    results = self._run_evaluator(evaluation.FINAL, max(FINAL_EPISODES, self._experiment.eval_episodes))
    seconds = self._seconds
    summary = (
      (evaluation.statistics(results) if results else {})
      | held_out
      | {
        "steps": self._loop.steps,
        "episodes": self._episodes,
        "wall_seconds": seconds,
        "steps_per_second": self._loop.steps / seconds,
      }
    )
    if learner.finished or self._experiment.high_enough(self._tally.highest):
      summary["finished"] = True
    self._directory.write_summary(summary)
    self._records.finish(summary)
    return summary

  def _stopped(self) -> Stopped:
    """Saves, for the signal that came."""
    assert self._stop.signal is not None
    self._end_episode_if_it_must()
    self._save()
    return Stopped(self._stop.signal, self._loop.steps)

  def _end_episode_if_it_must(self) -> None:
    """Runs to the end of an episode that cannot be played again, so that there is something to save."""
    if not self._can_save:
      self._display.message("Going on to the end of the episode: this environment cannot be saved within one.")
      assert not isinstance(self._loop, acme.LearningLoop)  # It can always be saved.
      self._loop.run(num_episodes=1)

  def _save(self, again: bool = False) -> None:
    """Writes a checkpoint, or leaves it for the end of the episode where it cannot be now.

    Args:
      again: even where the newest one is of this step, as all are in pre-training.
    """
    self._save_due = not self._can_save
    if self._save_due or (self._saver.has(self._loop.steps, self._tally.done) and not again):
      return
    self._records.flush()
    parts = {"agent": self._parts.agent, "loop": self._loop, "records": self._records, "evaluations": self._tally}
    state = {name: part.save() for name, part in parts.items()}
    if self._observers:
      state["observers"] = [each.save() if isinstance(each, core.Saveable) else None for each in self._observers]
    self._saver.save(self._loop.steps, self._episodes, self._tally.done, state, self._metadata)
    self._records.publish()

  def _restore(self) -> None:
    """Goes back to the newest checkpoint; without any, to the beginning."""
    checkpoint = self._saver.load()
    if checkpoint is None:
      self._records.restore({})
      return
    components.check(checkpoint, self._experiment)
    self._parts.agent.restore(checkpoint.state["agent"])
    self._loop.restore(checkpoint.state["loop"])
    for observer, state in zip(self._observers, checkpoint.state.get("observers", ()), strict=False):
      if isinstance(observer, core.Saveable) and state is not None:
        observer.restore(state)
    lost = checkpoint.step - self._loop.steps
    if lost:  # Of an episode that could not be played again: they were taken all the same.
      self._loop.counter.increment(steps=lost)
    self._records.restore(checkpoint.state["records"])
    self._tally.restore(checkpoint.state["evaluations"])
    self._earlier_seconds = checkpoint.metadata["wall_seconds"]


class _Then(loggers.Logger):
  """Writes a row, and calls a function with it."""

  def __init__(self, to: loggers.Logger, then: Callable[[loggers.Row], None]) -> None:
    self._to = to
    self._then = then

  def write(self, row: loggers.Row) -> None:
    self._to.write(row)
    self._then(row)
