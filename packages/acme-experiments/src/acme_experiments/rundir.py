"""A run directory: what was run, and everything that came of it.

- config.json: the experiment, and the versions it ran on
- train.csv: a row an episode
- eval.csv: a row an evaluation
- learner.csv: what the learner logs
- tensorboard/: the same for TensorBoard
- checkpoints/: the newest two
- videos/: where asked for
- summary.json: the final evaluation, once there is one
"""

import contextlib
import dataclasses
import datetime
import json
import os
import pathlib
import platform
import re
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import Any

from acme import checkpointing, plugins

FORMAT = 1
_OTHER_VERSIONS = (
  "jax", "jaxlib", "dm-haiku", "optax", "rlax", "tensorflow", "dm-sonnet", "trfl", "dm-reverb", "numpy", "gymnasium",
)  # fmt: skip
_CHECKPOINT = re.compile(r"step-\d{12}")


class UsageError(ValueError):
  """Something asked for that cannot be; the message says what to do."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
  """Everything that decides what a run does.

  Attributes:
    agent: the name of an installed agent.
    environment: a name that `acme_envs.make` takes.
    seed: what every other seed of the run derives from.
    envs: environments that the agent acts in at once.
    preset: the preset the config began with, if any; a note, since `config` holds every field.
    config: the agent's config, every field by name.
    backend: the library that the agent learns with, such as jax or tf; None for the agent's first.
    replay: where its replay is: `local`, `reverb`, or `reverb://HOST:PORT`.
    steps: environment steps to train for; None where `episodes` says when to end.
    episodes: episodes to train for; None where `steps` says.
    eval_every: environment steps between evaluations; 0 for none but the final one.
    eval_episodes: episodes of an evaluation; the final one has at least 20.
    checkpoint_every: environment steps between checkpoints; None for every minute or so.
    video: whether the first episode of each evaluation is filmed.
  """

  agent: str
  environment: str
  seed: int = 0
  envs: int = 1
  preset: str | None = None
  config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  backend: str | None = None
  replay: str = "local"
  steps: int | None = None
  episodes: int | None = None
  eval_every: int = 0
  eval_episodes: int = 10
  checkpoint_every: int | None = None
  video: bool = False

  def __post_init__(self) -> None:
    if (self.steps is None) == (self.episodes is None):
      raise UsageError("Expected either steps or episodes: give one of them.")
    least = {
      "seed": 0,
      "envs": 1,
      "steps": 1,
      "episodes": 1,
      "eval_every": 0,
      "eval_episodes": 1,
      "checkpoint_every": 1,
    }
    for name, low in least.items():
      value = getattr(self, name)
      if value is not None and value < low:
        raise UsageError(f"{name}: expected {low} or more, got {value}.")

  @property
  def goal(self) -> str:
    """What the run trains for, in words."""
    return f"{self.steps:,} steps" if self.steps is not None else f"{self.episodes:,} episodes"

  def reached(self, steps: float, episodes: float) -> bool:
    """Whether so many steps and episodes are what the run trains for."""
    return steps >= self.steps if self.steps is not None else episodes >= (self.episodes or 0)

  def evaluation_due(self, steps: int, evaluations: int) -> bool:
    """Whether it is time for one more evaluation, after so many steps and evaluations."""
    return self.eval_every > 0 and steps >= (evaluations + 1) * self.eval_every

  def next_event(self, steps: int, evaluations: int) -> float:
    """The step at which something other than training comes next: an evaluation, a checkpoint or the end."""
    events = [float("inf")]
    if self.steps is not None:
      events.append(self.steps)
    if self.eval_every:
      events.append((evaluations + 1) * self.eval_every)
    if self.checkpoint_every:
      events.append((steps // self.checkpoint_every + 1) * self.checkpoint_every)
    return min(events)


class RunDirectory:
  """The files of one run."""

  def __init__(self, path: str | os.PathLike[str]) -> None:
    """Opens an existing run directory.

    Raises:
      UsageError: there is none at `path`.
    """
    self.path = pathlib.Path(path)
    self.config = self.path / "config.json"
    self.summary = self.path / "summary.json"
    self.checkpoints = self.path / "checkpoints"
    self.error = self.path / "error.txt"
    if not self.config.is_file():
      raise UsageError(f"{self.path} holds no run: it has no config.json. `acme run` makes one.")

  @classmethod
  def create(cls, path: str | os.PathLike[str], experiment: Experiment) -> "RunDirectory":
    """Makes a run directory with its config.json, at one stroke: killed on the way, it leaves none.

    Raises:
      UsageError: something is there already.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = pathlib.Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
      temporary.chmod(0o755)
      content = {
        "format": FORMAT,
        "experiment": dataclasses.asdict(experiment),
        "versions": versions(experiment.agent),
        "command": [pathlib.Path(sys.argv[0]).name, *sys.argv[1:]],
        "written": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
      }
      write_json(temporary / "config.json", content)
      temporary.rename(path)
    except OSError as error:
      shutil.rmtree(temporary, ignore_errors=True)
      if not path.exists():
        raise
      raise UsageError(
        f"{path} exists and is not empty: give another --out, or go on with the run in it by `acme resume {path}`."
      ) from error
    return cls(path)

  def read_experiment(self) -> Experiment:
    """Reads what config.json says.

    Raises:
      UsageError: it is damaged, or of a newer format.
    """
    try:
      content = self.read_config()
      if content["format"] != FORMAT:
        raise UsageError(f"{self.config} has format {content['format']}; this acme-experiments reads format {FORMAT}.")
      return Experiment(**content["experiment"])
    except (ValueError, KeyError, TypeError) as error:
      raise UsageError(f"{self.config} cannot be read: {error}") from error

  def write_experiment(self, experiment: Experiment) -> None:
    """Replaces the experiment in config.json."""
    write_json(self.config, self.read_config() | {"experiment": dataclasses.asdict(experiment)})

  def read_config(self) -> dict[str, Any]:
    """The whole of config.json."""
    return json.loads(self.config.read_text())

  def read_summary(self) -> dict[str, Any] | None:
    """The summary, None where the run is not over."""
    return json.loads(self.summary.read_text()) if self.summary.is_file() else None

  def write_summary(self, summary: Mapping[str, Any]) -> None:
    """Writes the summary, which says that the run is over."""
    write_json(self.summary, summary)

  def newest_checkpoint(self) -> pathlib.Path | None:
    """The newest checkpoint's path, without a look inside."""
    return next(iter(self._checkpoints()), None)

  def load_checkpoint(self) -> checkpointing.Checkpoint:
    """Reads the newest whole checkpoint, and touches nothing: the run may be going on.

    Raises:
      CheckpointError: there is none.
    """
    for path in self._checkpoints():
      try:
        state, manifest = checkpointing.read(path)
        return checkpointing.Checkpoint(manifest["step"], state, manifest["metadata"])
      except checkpointing.CheckpointError as error:
        warnings.warn(f"Passing over a checkpoint: {error}", stacklevel=2)
    raise checkpointing.CheckpointError(f"No whole checkpoint in {self.checkpoints}.")

  @contextlib.contextmanager
  def lock(self) -> Iterator[None]:
    """Holds the directory for this process; the operating system lets go however the process ends.

    Raises:
      UsageError: another process holds it.
    """
    import fcntl  # Not on Windows, where reading run directories should still work.

    with (self.path / "lock").open("a+") as file:
      try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
      except BlockingIOError:
        file.seek(0)
        raise UsageError(f"{self.path} is in use: process {file.read().strip()} runs in it.") from None
      file.truncate(0)
      file.write(str(os.getpid()))
      file.flush()
      yield

  def _checkpoints(self) -> list[pathlib.Path]:
    """The checkpoints, the newest first."""
    return sorted((p for p in self.checkpoints.glob("step-*") if _CHECKPOINT.fullmatch(p.name)), reverse=True)


def default_path(experiment: Experiment) -> pathlib.Path:
  """`runs/<agent>-<environment>-<seed>-<time>`."""
  environment = re.sub(r"[^A-Za-z0-9._-]+", "-", experiment.environment)
  time = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
  return pathlib.Path("runs") / f"{experiment.agent}-{environment}-{experiment.seed}-{time}"


def write_json(path: pathlib.Path, content: Any) -> None:
  """Writes JSON under a temporary name, flushes it to disk, and renames: the file is the old one or the new one."""
  temporary = path.with_name(path.name + ".tmp")
  with temporary.open("w") as file:
    json.dump(content, file, indent=2)
    file.write("\n")
    file.flush()
    os.fsync(file.fileno())
  temporary.replace(path)


def agent_version(name: str) -> str:
  """The package and version that an agent comes from: `acme-dqn 0.1.0`."""
  entry_point = plugins.list_agents().get(name)
  distribution = entry_point.dist if entry_point is not None else None
  return f"{distribution.name} {distribution.version}" if distribution is not None else "unknown"


def versions(agent: str) -> dict[str, str]:
  """The versions of Python, of this project's packages and of the libraries that decide results."""
  found = {"python": platform.python_version(), "platform": platform.platform(), "agent": agent_version(agent)}
  for distribution in metadata.distributions():
    name = distribution.name.lower()
    if name.startswith("acme-") or name in _OTHER_VERSIONS:
      found[name] = distribution.version
  return dict(sorted(found.items()))
