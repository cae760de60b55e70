"""Calls to a server that may be gone: some of Reverb's wait for ever, and none can be interrupted."""

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def within(seconds: float, what: str, address: str, call: Callable[[], Result]) -> Result:
  """Returns what `call` returns, waiting no longer than `seconds`.

  The call runs in a daemon thread, which is left behind where it never returns, and ends with the process.

  Raises:
    ConnectionError: no answer in time, or the server is not there.
  """
  box: queue.SimpleQueue[tuple[Result | None, Exception | None]] = queue.SimpleQueue()

  def run() -> None:
    try:
      box.put((call(), None))
    except Exception as error:  # Whatever it is belongs to the caller's thread.
      box.put((None, error))

  threading.Thread(target=run, name=f"acme_reverb {what}", daemon=True).start()
  try:
    result, error = box.get(timeout=seconds)
  except queue.Empty:
    raise gone(what, address, f"no answer within {seconds:g} s") from None
  if error is not None:
    raise gone(what, address, str(error)) from error
  return result  # type: ignore[return-value]


def gone(what: str, address: str, why: str) -> ConnectionError:
  """The error for a server that does not answer."""
  return ConnectionError(
    f"{what}: the Reverb server at {address} is not there ({why}). Check the address, and that the server is running: "
    "`acme replay-server` starts one."
  )
