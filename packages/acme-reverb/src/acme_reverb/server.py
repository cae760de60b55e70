"""A Reverb server that runs tables of ours."""

from __future__ import annotations

import logging
import os
import pathlib
import shutil
import socket
from collections.abc import Sequence

import reverb
from reverb.platform import checkpointers_lib

import acme_replay
from acme import experience, types
from acme_reverb.layout import Layout
from acme_reverb.tables import make_tables

_logger = logging.getLogger("acme_reverb")


class ReplayServer:
  """A running server."""

  def __init__(
    self,
    tables: Sequence[reverb.Table],
    port: int | None,
    checkpoint_dir: str | os.PathLike[str],
    *,
    temporary: bool = False,
  ) -> None:
    """Starts a server with the newest checkpoint in its directory; `temporary` removes the directory in the end.

    Raises:
      OSError: it cannot listen at the port.
    """
    self._directory = pathlib.Path(checkpoint_dir) if temporary else None
    os.makedirs(checkpoint_dir, exist_ok=True)
    if port is not None:
      _check_free(port)
    checkpointer = checkpointers_lib.DefaultCheckpointer(str(checkpoint_dir))
    self._server: reverb.Server | None = reverb.Server(list(tables), port, checkpointer)
    self.port: int = self._server.port
    _logger.warning(
      "The Reverb server listens at port %d on EVERY network interface, without authentication: keep it behind a "
      "firewall.",
      self.port,
    )

  def wait(self) -> None:
    """Runs until interrupted (KeyboardInterrupt)."""
    assert self._server is not None
    self._server.wait()

  def checkpoint(self) -> str:
    """Writes what the tables hold, and returns the path."""
    return reverb.Client(f"localhost:{self.port}").checkpoint()

  def close(self) -> None:
    """Stops the server."""
    if self._server is not None:
      self._server.stop()
      self._server = None
    if self._directory is not None:
      shutil.rmtree(self._directory, ignore_errors=True)


def _check_free(port: int) -> None:
  """Raises OSError where somebody listens at a port: Reverb would listen there too, and share what comes."""
  try:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
      probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # Connections that have just ended do not count.
      probe.bind(("", port))
  except OSError as error:
    raise OSError(f"A Reverb server cannot listen at port {port}: {error}. Is another program there?") from error


def require_permission(listen_everywhere: bool) -> None:
  """Raises ValueError where a server may not do what every server of Reverb does.

  Its address is written in Reverb's code as `[::]`, and only the port can be given.
  """
  if not listen_everywhere:
    raise ValueError(
      "A Reverb server listens on EVERY network interface, without authentication, and cannot be told otherwise: "
      "whoever reaches its port can read, change and fill the replay. Where a firewall or a trusted network keeps "
      "others out, allow it: listen_everywhere=True, or --listen-everywhere on the command line. The embedded replay "
      "needs no server."
    )


def serve(
  description: experience.Experience,
  step_spec: types.Step,
  port: int | None,
  checkpoint_dir: str | os.PathLike[str],
  *,
  listen_everywhere: bool = False,
) -> ReplayServer:
  """Starts a server to which `ReverbReplay(experience, step_spec, address="host:port")` connects.

  Reverb asks nobody who he is: keep the port behind a firewall.

  Args:
    description: the experience; of a mixture, the server has the part that actors add to.
    step_spec: the spec of one step (acme.builders.step_spec).
    port: where it listens; None for any free port, which `.port` of the result says.
    checkpoint_dir: where checkpoints go; the newest one there is loaded first.
    listen_everywhere: whether it may listen on every network interface, as it does.

  Raises:
    OSError: another program listens at the port.
    ValueError: it may not listen everywhere, or there is nothing that actors add.
  """
  require_permission(listen_everywhere)
  items, table = acme_replay.of_actors(description)
  layout = Layout(step_spec, getattr(items, "core_spec", ()))
  return ReplayServer(make_tables([table], layout, limited=True), port, checkpoint_dir)
