"""Where a run keeps its replay: in the process, or in a store that an installed package offers.

A package offers a store under the entry-point group `acme.replays`, a class `(tables, step_spec, seed, *,
address=None)`, and its server under `acme.replay_servers`, a function `(tables, step_spec, port, checkpoint_dir)`.
"""

import functools
import pathlib
from importlib import metadata
from typing import Any

import acme
from acme import builders
from acme.agents.agent import MakeReplay
from acme_experiments import stopping
from acme_experiments.components import make_environment, with_backend
from acme_experiments.rundir import UsageError

LOCAL = "local"


def make_replay(replay: str) -> MakeReplay | None:
  """What makes the store of `--replay`: `local`, NAME, or NAME://HOST:PORT; None for the agent's own.

  Raises:
    UsageError: no such store is installed, or the address has no port.
  """
  name, at, address = replay.partition("://")
  if name == LOCAL and not at:
    return None
  if at and not address.rpartition(":")[2].isdigit():
    raise UsageError(f"--replay: expected {name}://HOST:PORT, got {replay!r}.")
  store = load("acme.replays", name)
  return functools.partial(store, address=address) if at else store


def serve(
  plugin: Any, config: Any, backend: str | None, environment: str, port: int, checkpoints: pathlib.Path
) -> None:
  """Serves the tables of an agent until a signal comes, then saves them under `checkpoints`.

  Raises:
    UsageError: no package that is installed has a server, or agent and environment do not fit.
  """
  start = load("acme.replay_servers", "reverb")
  made = make_environment(environment, seed=0)
  try:
    spec = acme.make_environment_spec(made)
    builder = with_backend(plugin, plugin.builder, backend)(config)
    networks = builder.make_networks(spec)
    tables = builder.make_tables(spec, networks)
    step_spec = builders.step_spec(spec, builder.extras_spec(spec, networks))
  except (ValueError, ImportError) as error:
    raise UsageError(str(error)) from error
  finally:
    made.close()
  stop = stopping.StopRequest()
  with stop.installed():
    server = start(tables, step_spec, port, checkpoints)
    try:
      print(
        f"serving the replay of {plugin.name} in {environment}: --replay reverb://localhost:{server.port}", flush=True
      )
      stop.wait()
      print(f"saved: {server.checkpoint()}", flush=True)
    finally:
      server.close()


def load(group: str, name: str) -> Any:
  """What an installed package offers under a name; UsageError where none does."""
  found = {entry_point.name: entry_point for entry_point in metadata.entry_points(group=group)}
  if name not in found:
    raise UsageError(
      f"No replay store is called {name!r}. Installed: {', '.join([LOCAL, *found])}. Stores come as packages: "
      "pip install acme-reverb (Linux, Python 3.11)."
    )
  try:
    return found[name].load()
  except ImportError as error:
    raise UsageError(f"The replay store {name!r} cannot be imported: {error}") from error
