"""Where a run keeps its replay: in the process, in a store that an installed package offers, or read from a dataset.

A package offers a replay under the entry-point group `acme.replays`: `(experience, step_spec, seed, **options)`.
The options that a run gives, to those that take them: `frame_stack`, `address`, `listen_everywhere`.
"""

import functools
import inspect
import warnings
from collections.abc import Iterator
from typing import Any

import dm_env
import numpy as np

from acme import experience, plugins, replay, types
from acme_experiments.experiment import AUTO, Experiment, UsageError

NOTHING = "nothing"  # The replay of those who do not learn.
_DEVICE = "device"  # The replay that gives the embedded one's samples, and keeps observations on the device.
_ACCELERATED = ("gpu", "split")  # Where an agent learns on an accelerator.


def make_replay(experiment: Experiment, environment: dm_env.Environment | None, device: str) -> plugins.MakeReplay:
  """What makes the replay of `--replay`: NAME, or NAME://HOST:PORT; of auto, for an agent on this device.

  Raises:
    PluginError: no such replay is installed.
    UsageError: the address has no port, or the replay takes none.
  """
  if experiment.replay == NOTHING:
    return _Nothing
  name, at, address = experiment.replay.partition("://")
  if at and not address.rpartition(":")[2].isdigit():
    raise UsageError(f"--replay: expected {name}://HOST:PORT, got {experiment.replay!r}.")
  if name == AUTO:
    name = _DEVICE if device in _ACCELERATED and _DEVICE in plugins.list_replays() else plugins.EMBEDDED
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
  if experiment.replay == AUTO and name == _DEVICE:
    make = functools.partial(_where_it_fits, make, functools.partial(plugins.load_replay(), **options))
  return make if experiment.dataset is None else functools.partial(_from_dataset, make, experiment.dataset)


class _Nothing(replay.Replay):
  """Holds nothing, whatever the agent would learn from: datasets, which may be gone, are not read."""

  def __init__(self, description: experience.Experience, step_spec: types.Step, seed: int) -> None:
    del description, step_spec, seed

  def adder(self, num_streams: int | None = None) -> Any:
    return None

  def dataset(self) -> Iterator[replay.Sample]:
    return iter(())

  def update_priorities(self, keys: np.ndarray, priorities: np.ndarray) -> None:
    pass

  def info(self) -> dict[str, replay.TableInfo]:
    return {}

  def available(self) -> float:
    return 0

  def save(self) -> types.State:
    return None

  def restore(self, state: types.State) -> None:
    pass


def _where_it_fits(
  on_device: plugins.MakeReplay,
  embedded: plugins.MakeReplay,
  description: experience.Experience,
  step_spec: types.Step,
  seed: int,
) -> replay.Replay:
  """A replay on the device, or in this process where that has no room: their samples are the same."""
  try:
    return on_device(description, step_spec, seed)
  except MemoryError as error:
    warnings.warn(f"{error} Here it is --replay embedded.", stacklevel=2)
    return embedded(description, step_spec, seed)


def _from_dataset(
  make: plugins.MakeReplay, path: str, description: experience.Experience, step_spec: types.Step, seed: int
) -> replay.Replay:
  """A replay of the same items, made of recorded episodes."""
  return make(description.from_dataset(path), step_spec, seed)
