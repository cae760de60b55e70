"""`acme replay-server`: the replay of an agent, served to runs in other processes.

A package offers a server under the entry-point group `acme.replay_servers`: a function `(experience, step_spec, port,
checkpoint_dir, *, listen_everywhere)`.
"""

import pathlib
from importlib import metadata
from typing import Any

import acme
from acme import plugins
from acme_experiments import parsing, stopping
from acme_experiments.components import make_environment
from acme_experiments.experiment import UsageError

_SERVER = "reverb"


def serve(plugin: plugins.AgentPlugin[Any], config: Any, command: parsing.ReplayServer) -> None:
  """Serves an agent's experience until a signal comes, then saves it.

  Raises:
    UsageError: no package that is installed has a server, it cannot start, or agent and environment do not fit.
  """
  start = _load_server()
  environment = make_environment(command.env, 0, options=command.env_options, wrap=command.wrap)
  try:
    spec = acme.make_environment_spec(environment)
    builder = plugin.builder(config, backend=command.backend)
    program = builder.make_program(spec)
    experience, step_spec = builder.make_experience(spec, program), builder.step_spec(spec, program)
  except (TypeError, ValueError, ImportError) as error:
    raise UsageError(str(error)) from error
  finally:
    environment.close()
  stop = stopping.StopRequest()
  with stop.installed():
    checkpoints = pathlib.Path(command.checkpoints)
    try:
      server = start(experience, step_spec, command.port, checkpoints, listen_everywhere=command.listen_everywhere)
    except (ValueError, OSError) as error:
      raise UsageError(str(error)) from error
    try:
      address = f"{_SERVER}://localhost:{server.port}"
      print(f"serving the replay of {plugin.name} in {command.env}: --replay {address}", flush=True)
      stop.wait()
      print(f"saved: {server.checkpoint()}", flush=True)
    finally:
      server.close()


def _load_server() -> Any:
  """What starts a server; UsageError where no installed package offers one."""
  found = {entry_point.name: entry_point for entry_point in metadata.entry_points(group="acme.replay_servers")}
  if _SERVER not in found:
    raise UsageError("There is no replay server: pip install acme-reverb (Linux, Python 3.11).")
  try:
    return found[_SERVER].load()
  except ImportError as error:
    raise UsageError(f"The replay server {_SERVER!r} cannot be imported: {error}") from error
