"""Where a run keeps its replay: in the process, in a store that an installed package offers, or read from a dataset.

A package offers a replay under the entry-point group `acme.replays`: `(experience, step_spec, seed, **options)`.
The options that a run gives, to those that take them: `frame_stack`, `address`, `listen_everywhere`.
"""

import functools
import inspect
from typing import Any

import dm_env

from acme import experience, plugins, replay, types
from acme_experiments.experiment import Experiment, UsageError


def make_replay(experiment: Experiment, environment: dm_env.Environment) -> plugins.MakeReplay:
  """What makes the replay of `--replay`: NAME, or NAME://HOST:PORT.

  Raises:
    PluginError: no such replay is installed.
    UsageError: the address has no port, or the replay takes none.
  """
  name, at, address = experiment.replay.partition("://")
  if at and not address.rpartition(":")[2].isdigit():
    raise UsageError(f"--replay: expected {name}://HOST:PORT, got {experiment.replay!r}.")
  make = plugins.load_replay(name)
  taken = inspect.signature(make).parameters
  options: dict[str, Any] = {}
  if at:
    options["address"] = address
  if experiment.listen_everywhere:
    options["listen_everywhere"] = True
  for option in options:
    if option not in taken:
      raise UsageError(f"--replay {experiment.replay}: the replay {name!r} has no {option.replace('_', '-')} to set.")
  # Of consecutive stacks each frame is then stored once.
  frame_stack = getattr(environment, "frame_stack", None)
  if frame_stack is not None and "frame_stack" in taken:
    options["frame_stack"] = frame_stack
  make = functools.partial(make, **options)
  return make if experiment.dataset is None else functools.partial(_from_dataset, make, experiment.dataset)


def _from_dataset(
  make: plugins.MakeReplay, path: str, description: experience.Experience, step_spec: types.Step, seed: int
) -> replay.Replay:
  """A replay of the same items, made of recorded episodes."""
  return make(description.from_dataset(path), step_spec, seed)
