"""Runs in processes, so many at once: the seeds of a run on the host, the trials of a sweep."""

import contextlib
import ctypes
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from acme_experiments import evaluation, progress, rundir, stopping
from acme_experiments.rundir import RunDirectory, UsageError
from acme_experiments.stopping import Stopped

_SECONDS = 0.1  # Between two looks at the processes.
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG.


class SeedsFailed(RuntimeError):  # noqa: N818 - what happened, in two words.
  """Seeds that failed on the way, the others having gone on to their end; the message names them."""


def run(directory: RunDirectory, display: progress.Progress | None = None, jobs: int = 1) -> dict[str, Any]:
  """Runs all seeds of a run that are not over, `jobs` at once, to their end.

  Returns:
    The summary, as in summary.json.

  Raises:
    SeedsFailed: some did.
    Stopped: SIGINT or SIGTERM came; every seed is saved.
    UsageError: another process runs in the directory; or no seed can run, as there is no such environment.
  """
  display, stop = display or progress.Progress(), stopping.StopRequest()
  with directory.lock(), stop.installed():
    experiment = directory.read_experiment()
    seeds = {seed: directory.make_seed(seed) for seed in experiment.seeds or ()}

    def steps() -> int:  # Those of the seed that is furthest back.
      return min(each.read_progress()[0] for each in seeds.values())

    display.start(experiment, steps())
    try:
      pool = Pool({f"seed {seed}": each for seed, each in seeds.items()}, jobs, display.message)
      pool.run(stop, lambda: display.update(steps(), 0))
    finally:
      display.close()
    if stop.signal is not None:
      raise Stopped(stop.signal, steps())
    _complain(pool.failed, len(seeds))
    results = {seed: each.read_summary() or {} for seed, each in seeds.items()}
    summary = evaluation.of_seeds(results) | {
      "steps": min(result["steps"] for result in results.values()),
      "episodes": min(result["episodes"] for result in results.values()),
    }
    directory.write_summary(summary)
    return summary


def check_jobs(jobs: int) -> None:
  """Raises UsageError where so many at once cannot be."""
  if jobs < 1:
    raise UsageError(f"--jobs: expected 1 or more, got {jobs}.")


def _complain(failed: Mapping[str, tuple[int, str]], number: int) -> None:
  """Raises SeedsFailed where seeds did, or UsageError where none of them could begin."""
  if not failed:
    return
  first = next(iter(failed.values()))[1]
  if len(failed) == number and all(code == 2 for code, _ in failed.values()):
    raise UsageError(first.removeprefix("acme: "))
  names = ", ".join(map(str, sorted(int(name.removeprefix("seed ")) for name in failed)))
  raise SeedsFailed(f"Of {number} seeds {len(failed)} failed: {names}. The first says: {first}")


class Pool:
  """Runs, each in a process of its own.

  Attributes:
    failed: exit codes and last words of those that failed, by name.
  """

  def __init__(self, runs: Mapping[str, RunDirectory], jobs: int, say: Callable[[str], None]) -> None:
    """Takes them by name, in order; those that are over are left alone. UsageError where `jobs` is less than 1."""
    check_jobs(jobs)
    self._runs, self._jobs, self._say = dict(runs), jobs, say
    self._waiting = [name for name, each in runs.items() if each.read_summary() is None]
    self._running: dict[str, subprocess.Popen[bytes]] = {}
    self._unwanted: set[str] = set()
    self.failed: dict[str, tuple[int, str]] = {}

  def run(self, stop: stopping.StopRequest, look: Callable[[], None]) -> None:
    """Returns once none runs any more: since all are over, or since `stop` asked for it and they have saved.

    `look` is called ten times a second. Leaving by an exception ends the processes at once.
    """
    told = False
    try:
      while (self._waiting and not stop) or self._running:
        while self._waiting and len(self._running) < self._jobs and not stop:
          self._start(self._waiting.pop(0))
        if stop.signal is not None and not told:
          self._tell(stop.signal)
          told = True
        for name, process in list(self._running.items()):
          if process.poll() is not None:
            del self._running[name]
            self._note(name, process.returncode, told)
        look()
        time.sleep(_SECONDS)
    finally:
      self._tell(signal.SIGKILL)
      for process in self._running.values():
        process.wait()

  def add(self, name: str, directory: RunDirectory) -> None:
    """Takes one more; `look` may do so."""
    self._runs[name] = directory
    if directory.read_summary() is None:
      self._waiting.append(name)

  def has(self, name: str) -> bool:
    """Whether a run waits or runs."""
    return name in self._waiting or name in self._running

  def stop_one(self, name: str, number: int) -> None:
    """Sends a signal to a run that is not wanted any more, and takes its end for no failure."""
    self._unwanted.add(name)
    if name in self._running:
      self._running[name].send_signal(number)

  def _start(self, name: str) -> None:
    path = self._runs[name].path
    command = [sys.executable, "-m", "acme_experiments.cli", "resume", str(path), "--quiet"]
    with rundir.open_to_append(path / "output.txt") as output:
      self._running[name] = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,  # Or Ctrl-C would reach it twice.
        preexec_fn=_stop_with_parent,
      )

  def _tell(self, number: int) -> None:
    for process in self._running.values():
      process.send_signal(number)

  def _note(self, name: str, code: int, told: bool) -> None:
    """Says how a run ended."""
    lines = (self._runs[name].path / "output.txt").read_text(errors="replace").strip().splitlines() or [
      "It said nothing."
    ]
    if code == 0 and self._runs[name].read_summary() is not None:
      self._say(f"{name}: {lines[-2] if len(lines) > 1 else lines[-1]}")
    elif not told and name not in self._unwanted:
      self.failed[name] = code, lines[-1]
      print(f"acme: {name.capitalize()} failed (exit code {code}): {lines[-1]}", file=sys.stderr)


def _stop_with_parent() -> None:
  """Has the system send SIGTERM, upon which it saves, when the process that began it is killed; on Linux alone."""
  with contextlib.suppress(OSError, AttributeError):
    ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGTERM)
