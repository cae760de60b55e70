"""Ctrl-C, SIGTERM and a terminal that is closed as a wish to stop at the next step."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

from acme import LearningLoop
from acme.environment_loop import Loop

_AGAIN = 1.0  # Seconds in which a further SIGTERM is no second one.


class Stopped(Exception):  # noqa: N818 - no error.
  """The run was asked to stop by a signal, and is saved."""

  def __init__(self, signal: int, steps: int) -> None:
    super().__init__(f"Stopped and saved at step {steps:,}.")
    self.signal = signal


class StopRequest:
  """Whether the user or the machine has asked the run to stop.

  The first signal is noted, said to be noted, and makes the loop being watched return after its step; the second one
  raises KeyboardInterrupt wherever the process is. Where a process of several threads was killed that had begun this
  one, the system sends SIGTERM for more than one of them: these are one signal.
  """

  def __init__(self) -> None:
    self.signal: int | None = None
    self._since = 0.0
    self._loop: Loop | LearningLoop | None = None

  def __bool__(self) -> bool:
    return self.signal is not None

  @contextlib.contextmanager
  def installed(self) -> Iterator[None]:
    """Takes over the signals; elsewhere than in the main thread, which alone can, it does nothing.

    SIGHUP stays ignored where it is, as `nohup` asks.
    """
    if threading.current_thread() is not threading.main_thread():
      yield
      return
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
      numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, self._handle) for number in numbers}
    try:
      yield
    finally:
      for number, handler in before.items():
        signal.signal(number, handler)

  def wait(self) -> None:
    """Returns once it has."""
    while not self:
      time.sleep(0.1)

  @contextlib.contextmanager
  def watching(self, loop: Loop | LearningLoop) -> Iterator[None]:
    """Has `loop` stopped in place of the one watched so far."""
    before, self._loop = self._loop, loop
    try:
      yield
    finally:
      self._loop = before

  def _handle(self, number: int, frame: FrameType | None) -> None:
    del frame
    if self.signal is not None:
      if number == self.signal == signal.SIGTERM and time.monotonic() - self._since < _AGAIN:
        return
      raise KeyboardInterrupt
    self.signal, self._since = number, time.monotonic()
    with contextlib.suppress(OSError):  # Not print: the signal may have come in the middle of one.
      os.write(2, b"\nacme: Stopping after this step and saving; once more to stop at once.\n")
    if self._loop is not None:
      self._loop.stop()
