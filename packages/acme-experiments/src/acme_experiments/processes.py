"""A run whose seeds are runs of their own, each in a process and in a directory within that of the run."""

import signal
import subprocess
import sys
import time
from typing import Any

from acme_experiments import evaluation, progress, stopping
from acme_experiments.experiment import Experiment
from acme_experiments.rundir import RunDirectory, UsageError
from acme_experiments.stopping import Stopped

_SECONDS = 0.1  # Between two looks at the processes.


class SeedsFailed(RuntimeError):  # noqa: N818 - what happened, in two words.
  """Seeds that failed on the way, the others having gone on to their end; the message names them."""


def run(directory: RunDirectory, display: progress.Progress | None = None, jobs: int = 1) -> dict[str, Any]:
  """Runs all seeds that are not over, `jobs` at once, to their end.

  Returns:
    The summary, as in summary.json.

  Raises:
    SeedsFailed: some did.
    Stopped: SIGINT or SIGTERM came; every seed is saved.
    UsageError: another process runs in the directory; or no seed can run, as there is no such environment.
  """
  if jobs < 1:
    raise UsageError(f"--jobs: expected 1 or more, got {jobs}.")
  stop = stopping.StopRequest()
  with directory.lock(), stop.installed():
    seeds = _Seeds(directory, display or progress.Progress(), jobs)
    try:
      seeds.run(stop)
    finally:
      seeds.close()
    if stop.signal is not None:
      raise Stopped(stop.signal, seeds.steps)
    return seeds.finish()


class _Seeds:
  """The processes of the seeds."""

  def __init__(self, directory: RunDirectory, display: progress.Progress, jobs: int) -> None:
    self._directory, self._display, self._jobs = directory, display, jobs
    self._experiment: Experiment = directory.read_experiment()
    self._all = {seed: directory.seed(seed) for seed in self._experiment.seeds or ()}
    self._waiting = [seed for seed, each in self._all.items() if each.read_summary() is None]
    self._running: dict[int, subprocess.Popen[bytes]] = {}
    self._failed: dict[int, tuple[int, str]] = {}  # Exit codes and last words.

  @property
  def steps(self) -> int:
    """Those of the seed that is furthest back."""
    return min(each.read_progress()[0] for each in self._all.values())

  def run(self, stop: stopping.StopRequest) -> None:
    """Returns once none runs any more: since all are over, or since `stop` asked for it and they have saved."""
    self._display.start(self._experiment, self.steps)
    told = False
    while (self._waiting and not stop) or self._running:
      while self._waiting and len(self._running) < self._jobs and not stop:
        self._start(self._waiting.pop(0))
      if stop.signal is not None and not told:
        self._tell(stop.signal)
        told = True
      for seed, process in list(self._running.items()):
        if process.poll() is not None:
          del self._running[seed]
          self._note(seed, process.returncode, told)
      self._display.update(self.steps, 0)
      time.sleep(_SECONDS)

  def close(self) -> None:
    """Ends the processes that still run, at once."""
    self._tell(signal.SIGKILL)
    for process in self._running.values():
      process.wait()
    self._display.close()

  def finish(self) -> dict[str, Any]:
    """The summary of all seeds together. Raises SeedsFailed, or UsageError where none of them could begin."""
    if self._failed:
      first = next(iter(self._failed.values()))[1]
      if len(self._failed) == len(self._all) and all(code == 2 for code, _ in self._failed.values()):
        raise UsageError(first.removeprefix("acme: "))
      names = ", ".join(map(str, sorted(self._failed)))
      raise SeedsFailed(f"Of {len(self._all)} seeds {len(self._failed)} failed: {names}. The first says: {first}")
    results = {seed: each.read_summary() or {} for seed, each in self._all.items()}
    summary = evaluation.of_seeds(results) | {
      "steps": min(result["steps"] for result in results.values()),
      "episodes": min(result["episodes"] for result in results.values()),
    }
    self._directory.write_summary(summary)
    return summary

  def _start(self, seed: int) -> None:
    path = self._all[seed].path
    command = [sys.executable, "-m", "acme_experiments.cli", "resume", str(path), "--quiet"]
    with (path / "output.txt").open("ab") as output:
      # In a session of its own, or Ctrl-C would reach it twice.
      self._running[seed] = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
      )

  def _tell(self, number: int) -> None:
    for process in self._running.values():
      process.send_signal(number)

  def _note(self, seed: int, code: int, told: bool) -> None:
    """Says how a seed ended."""
    lines = (self._all[seed].path / "output.txt").read_text(errors="replace").strip().splitlines() or [
      "It said nothing."
    ]
    summary = self._all[seed].read_summary()
    if code == 0 and summary is not None:
      self._display.message(f"seed {seed}: {lines[-2] if len(lines) > 1 else lines[-1]}")
    elif not told:
      self._failed[seed] = code, lines[-1]
      print(f"acme: Seed {seed} failed (exit code {code}): {lines[-1]}", file=sys.stderr)
