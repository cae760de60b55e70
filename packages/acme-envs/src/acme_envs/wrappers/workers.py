"""The processes of a Gymnasium AsyncVectorEnv, which may die or hang."""

import contextlib
import multiprocessing
import threading
from collections.abc import Callable
from typing import Any

_GRACE = 2.0  # Seconds for a process to end when asked, and for a dead one to be known as dead.


class Workers:
  """Waits for processes so long and no longer, and ends them where they fail."""

  def __init__(self, environments: Any, timeout: float) -> None:
    """Sets a limit of `timeout` seconds on what an AsyncVectorEnv waits for."""
    self._environments = environments
    self._timeout = timeout
    self._waiting = False
    for name in ("reset_wait", "step_wait"):  # What its reset() and step() call, without a limit of their own.
      setattr(environments, name, _limited(getattr(environments, name), timeout))

  def call(self, function: Callable[[], Any]) -> Any:
    """Calls what talks to the processes. Raises RuntimeError where one has died or does not answer in time."""
    self._waiting = True
    try:
      result = function()
    except (EOFError, OSError, multiprocessing.TimeoutError) as error:
      raise RuntimeError(self._explain(error)) from error
    self._waiting = False
    return result

  def close(self, function: Callable[[], Any]) -> None:
    """Calls `function`, which closes them, where they listen; else, and where that takes too long, ends them."""
    if self._waiting or not all(process.is_alive() for process in self._environments.processes):
      self._end()
    watchdog = threading.Timer(self._timeout, self._end)
    watchdog.daemon = True
    watchdog.start()
    try:
      function()
    except (EOFError, OSError, multiprocessing.TimeoutError):
      watchdog.cancel()
      watchdog.join()
      self._end()
    finally:
      watchdog.cancel()

  def _explain(self, error: Exception) -> str:
    dead = []
    for i, process in enumerate(self._environments.processes):
      if not isinstance(error, multiprocessing.TimeoutError):
        process.join(_GRACE / len(self._environments.processes))
      if not process.is_alive():
        dead.append(f"environment {i} (exit code {process.exitcode})")
    if dead:
      return (
        f"The process of {', '.join(dead)} died. A negative code is the signal that killed it; -9 is mostly the "
        "system's, for want of memory. Run the environment in this process (vectorization_mode='sync') to see why."
      )
    return (
      f"The processes of the vector environment did not answer within {self._timeout:g} seconds. If a step may take so "
      "long, give them more: acme_envs.wrappers.GymVectorWrapper(environments, timeout=…)."
    )

  def _end(self) -> None:
    """Ends the processes, by force those that do not end when asked."""
    processes = self._environments.processes
    for process in processes:
      process.terminate()
    for process in processes:
      process.join(_GRACE / len(processes))
      if process.is_alive():
        process.kill()
    for pipe in self._environments.parent_pipes:
      if pipe is not None:
        with contextlib.suppress(OSError):
          pipe.close()


def _limited(function: Callable[..., Any], limit: float) -> Callable[..., Any]:
  def wait(timeout: float | None = None) -> Any:
    return function(limit if timeout is None else timeout)

  return wait
