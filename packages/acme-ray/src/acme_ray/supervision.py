"""Calls to nodes, and what becomes of nodes that die, fail or hang.

Every call has a time by which it must be answered. Where a process dies, raises or stays silent, what it owes is lost,
it is ended for good, and whoever made it is told, who makes another one and gives it its state: Ray restarts nothing by
itself, since what it restarts has forgotten everything.
"""

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

import ray

from acme_ray import nodes

_MOST_ERRORS = 3  # A node that raises so often in one run is given up, …
_MOST_STRIKES = 3.0  # … as is one with so many strikes: a death is one, …
_FORGIVEN = 0.1  # … of which each call that succeeds takes so much away.


class NodeFailed(RuntimeError):  # noqa: N818 - what happened.
  """A node fails again and again; the message ends with its own traceback, and `cause` is what it raised, if it did."""

  def __init__(self, message: str, cause: BaseException | None = None) -> None:
    super().__init__(message)
    self.cause = cause


class Handle:
  """A node of the run, whichever process it is in now."""

  def __init__(self, kind: type[nodes.Node], recipe: nodes.Recipe, index: int, options: Mapping[str, Any]) -> None:
    self.kind, self.index = kind.__name__.lower(), index
    self._class, self._recipe = ray.remote(kind), recipe
    self._options = {"max_restarts": 0, "max_task_retries": 0, **options}
    self.actor: Any = None  # Ray's; None while there is no process.
    self.place: nodes.Place | None = None
    self.ready = False  # Whether it has started, and answers.
    self.ever = False  # Whether it ever did.
    self.deaths = 0
    self.errors = 0
    self.strikes = 0.0

  @property
  def name(self) -> str:
    return f"{self.kind} {self.index}"

  def begin(self) -> None:
    """Begins a process."""
    self.actor = self._class.options(**self._options).remote(self._recipe, self.index)
    self.ready = False

  def end(self, hangs: bool = False) -> None:
    """Ends the process; one that hangs, and lives on this machine, without asking it."""
    if hangs and self.place is not None and self.place.host == socket.gethostname():
      with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(self.place.pid, signal.SIGKILL)
    if self.actor is not None:
      with contextlib.suppress(ray.exceptions.RayError, ValueError):
        ray.kill(self.actor)
    self.actor, self.place, self.ready = None, None, False


class ShardHandle(Handle):
  """A shard, and what is on its way to and from it."""

  def __init__(self, *arguments: Any) -> None:
    super().__init__(*arguments)
    self.size, self.mass = 0, 0.0  # As it said last; of a queue, less what has been claimed since.
    self.sampling: list[int] = []  # Batches of each group that it was asked for.
    self.coming = 0  # Blocks that actors were asked for, or that it has not answered for.
    self.unanswered: list[tuple[ActorHandle, Any]] = []  # The latter, and whose they are.


class ActorHandle(Handle):
  """An actor, and what it was asked for."""

  def __init__(self, *arguments: Any) -> None:
    super().__init__(*arguments)
    self.incarnation = 0  # Of its episodes: one more after each death of its own or of its shard.
    self.asked: list[int] = []  # Steps of each block that it was asked for.
    self.coming = 0  # Those blocks, and the ones that its shard has not answered for.
    self.steps = 0  # That it has taken, in all its lives.


class _Call:
  """A call that is to be answered."""

  def __init__(self, handle: Handle, then: Callable[..., None], refs: list[Any], deadline: float) -> None:
    self.handle, self.then, self.refs, self.deadline = handle, then, refs, deadline


class Supervisor:
  """Makes calls, hands on their answers, and finds out who is gone."""

  def __init__(self, patience: float, on_death: Callable[[Handle, str], None]) -> None:
    """Makes a supervisor.

    Args:
      patience: seconds in which a node must answer.
      on_death: is told of a node that is no more, and why; it begins another process.
    """
    self._patience, self._on_death = patience, on_death
    self._calls: dict[Any, _Call] = {}

  def call(
    self, handle: Handle, method: str, *arguments: Any, then: Callable[..., None], outputs: int = 1, weight: int = 1
  ) -> None:
    """Calls a method.

    Args:
      handle: of whom.
      method: its name.
      *arguments: references among them are resolved where the method runs.
      then: takes the last output; before it, as references, the others.
      outputs: how many the method returns.
      weight: how many times as long as any other it may take.
    """
    made = getattr(handle.actor, method).options(num_returns=outputs).remote(*arguments)
    refs = list(made) if outputs > 1 else [made]
    self._calls[refs[-1]] = _Call(handle, then, refs, time.monotonic() + self._patience * weight)

  def pending(self, *kinds: str) -> int:
    """How many calls to nodes of such kinds are to be answered; to all, where none is named."""
    return sum(not kinds or call.handle.kind in kinds for call in self._calls.values())

  def poll(self, timeout: float) -> None:
    """Waits for an answer so long at the most, and hands on all that have come.

    Raises:
      NodeFailed: a node fails again and again, or cannot even start.
    """
    if not self._calls:
      return
    waiting = list(self._calls)
    ready, _ = ray.wait(waiting, timeout=timeout, fetch_local=False)
    if ready:  # And whatever else has come by now.
      ready, _ = ray.wait(waiting, num_returns=len(waiting), timeout=0, fetch_local=False)
    for ref in ready:
      if ref in self._calls:  # Not of a node found dead since.
        self._answer(ref)
    now = time.monotonic()
    for call in [call for call in self._calls.values() if call.deadline < now]:
      if call.refs[-1] in self._calls:
        never = "" if call.handle.place else " It has not begun at all: others may have all cores that Ray gives."
        self._lose(call.handle, f"It gave no answer in {self._patience:g} seconds.{never}", None, hangs=True)

  def _answer(self, ref: Any) -> None:
    call = self._calls[ref]
    try:
      answer = ray.get(ref)
    except ray.exceptions.RayTaskError as error:
      self._lose(call.handle, str(error), getattr(error, "cause", None))
      return
    except ray.exceptions.RayError as error:
      self._lose(call.handle, str(error), None)
      return
    del self._calls[ref]
    call.handle.strikes = max(0.0, call.handle.strikes - _FORGIVEN)
    call.then(*call.refs[:-1], answer)

  def _lose(self, handle: Handle, why: str, cause: BaseException | None, hangs: bool = False) -> None:
    """Forgets what a node owes, ends it, and tells."""
    self._calls = {ref: call for ref, call in self._calls.items() if call.handle is not handle}
    handle.end(hangs)
    handle.deaths += 1
    handle.strikes += 1
    handle.errors += cause is not None
    if cause is not None and not handle.ever:
      raise NodeFailed(f"The {handle.name} cannot start: {why}", cause)
    if handle.strikes >= _MOST_STRIKES or handle.errors >= _MOST_ERRORS:
      raise NodeFailed(f"The {handle.name} fails again and again, the last time so: {why}", cause)
    self._on_death(handle, why)
