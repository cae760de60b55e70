"""Ctrl-C and SIGTERM as a wish to stop at the next step."""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

from acme.environment_loop import Loop


class StopRequest:
  """Whether the user or the machine has asked the run to stop.

  The first signal is noted, and makes the loop being watched return after its step; the second one raises
  KeyboardInterrupt wherever the process is.
  """

  def __init__(self) -> None:
    self.signal: int | None = None
    self._loop: Loop | None = None

  def __bool__(self) -> bool:
    return self.signal is not None

  @contextlib.contextmanager
  def installed(self) -> Iterator[None]:
    """Takes over both signals; elsewhere than in the main thread, which alone can, it does nothing."""
    if threading.current_thread() is not threading.main_thread():
      yield
      return
    before = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
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
  def watching(self, loop: Loop) -> Iterator[None]:
    """Has `loop` stopped in place of the one watched so far."""
    before, self._loop = self._loop, loop
    try:
      yield
    finally:
      self._loop = before

  def _handle(self, number: int, frame: FrameType | None) -> None:
    del frame
    if self.signal is not None:
      raise KeyboardInterrupt
    self.signal = number
    if self._loop is not None:
      self._loop.stop()
