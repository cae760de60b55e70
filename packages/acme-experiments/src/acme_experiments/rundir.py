"""A run directory: what was run, and everything that came of it. Of many seeds each has one within it, `seed-N`.

- config.json: the experiment, and the versions it ran on
- train.csv: a row an episode
- eval.csv: a row an evaluation
- learner.csv: what the learner logs
- tensorboard/: the same for TensorBoard
- checkpoints/: the newest two
- best/: the parameters of the best evaluation
- saved.json: how far the newest checkpoint is
- videos/: where asked for
- summary.json: the final evaluation, once there is one
"""

import contextlib
import dataclasses
import datetime
import errno
import functools
import json
import os
import pathlib
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from typing import Any, TextIO

from acme import checkpointing, plugins
from acme_experiments.experiment import Experiment, UsageError
from acme_experiments.usage import Which

FORMAT = 2  # 1 is of acme-core 0.1.
_SUMMARY = ("steps", "episodes")  # What a summary must have, …
_RETURNS = ("eval_return_mean", "eval_return_std", "eval_episodes")  # … and that of a run with an environment.
_OTHER_VERSIONS = (
  "jax", "jaxlib", "dm-haiku", "optax", "rlax", "tensorflow", "dm-sonnet", "trfl", "dm-reverb", "numpy", "gymnasium",
)  # fmt: skip


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
    self.best = self.path / "best"
    self.saved = self.path / "saved.json"
    self.error = self.path / "error.txt"
    if not os.path.lexists(self.config):
      raise UsageError(f"{self.path} holds no run: it has no config.json. `acme run` makes one.")

  @classmethod
  def create(cls, path: str | os.PathLike[str], experiment: Experiment, together: Sequence[str] = ()) -> "RunDirectory":
    """Makes a run directory with its config.json, at one stroke: killed on the way, it leaves none.

    `together` are the names of several runs beside each other, this one among them, that are one program.

    Raises:
      UsageError: something is there already.
    """
    path = pathlib.Path(path)
    taken = f"{path} exists and is not empty: give another --out, or go on with the run in it by `acme resume {path}`."
    with at_one_stroke(path, taken) as folder:
      content = {
        "format": FORMAT,
        "experiment": dataclasses.asdict(experiment),
        "versions": versions(experiment.agent),
        "command": [pathlib.Path(sys.argv[0]).name, *sys.argv[1:]],
        "written": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
      }
      if together:
        content["together"] = list(together)
      write_json(folder / "config.json", content)
    return cls(path)

  def seed_path(self, seed: int) -> pathlib.Path:
    """Where the directory of one of the run's seeds is."""
    return self.path / f"seed-{seed}"

  def seed(self, seed: int) -> "RunDirectory":
    """The directory of one of the run's seeds. Raises UsageError where there is none."""
    return RunDirectory(self.seed_path(seed))

  def make_seed(self, seed: int) -> "RunDirectory":
    """The same, made where it is not there yet."""
    path = self.seed_path(seed)
    if not os.path.lexists(path / self.config.name):
      path.mkdir(exist_ok=True)
      experiment = dataclasses.replace(self.read_experiment(), seed=seed, seeds=None)
      content = {name: value for name, value in self.read_config().items() if name != "together"}
      write_json(path / self.config.name, content | {"experiment": dataclasses.asdict(experiment)})
    return RunDirectory(path)

  def together(self) -> "list[RunDirectory]":
    """The runs that are one program with this one, itself among them; mostly it is alone.

    Raises:
      UsageError: one of them is not there, or config.json is damaged.
    """
    path = self.path.resolve()
    own = path.name
    names = self.read_config().get("together", [own])
    plain = isinstance(names, list) and all(isinstance(name, str) and _is_plain(name) for name in names)
    if not plain or own not in names or len(set(names)) < len(names):
      raise UsageError(f"{self.config} cannot be read: expected names of runs at 'together'. Put it back from a copy.")
    return [self if name == own else RunDirectory(path.parent / name) for name in names]

  def read_experiment(self) -> Experiment:
    """Reads what config.json says, held to the same types and ranges as the command line.

    Raises:
      UsageError: it is damaged, or of a newer format.
    """
    content = self.read_config()
    try:
      return Experiment(**content["experiment"])
    except (ValueError, TypeError) as error:
      raise UsageError(f"{self.config} cannot be read: {error}") from error

  def write_experiment(self, experiment: Experiment) -> None:
    """Replaces the experiment in config.json."""
    write_json(self.config, self.read_config() | {"experiment": dataclasses.asdict(experiment)})

  def write_xla_flag(self, flag: str | None) -> None:
    """Puts into config.json what JAX was told in this process, which another machine may tell otherwise."""
    if self.read_config().get("xla_flag") != flag:
      write_json(self.config, self.read_config() | {"xla_flag": flag})

  def read_config(self) -> dict[str, Any]:
    """The whole of config.json; UsageError where it is damaged, or of a newer format."""
    content = read_object(self.config, ("format",))
    if content["format"] == 1:
      raise UsageError(
        f"{self.path} holds a run of acme-core 0.1, which this version cannot read: use the versions that "
        f"{self.config.name} names, or begin a new run. Nothing was changed."
      )
    if content["format"] != FORMAT:
      raise UsageError(f"{self.config} has format {content['format']}; this acme-experiments reads format {FORMAT}.")
    for name in ("experiment", "versions"):
      if not isinstance(content.get(name), dict):
        raise UsageError(f"{self.config} cannot be read: expected an object at {name!r}. Put it back from a copy.")
    return content

  def read_summary(self) -> dict[str, Any] | None:
    """The summary, None where the run is not over; UsageError where it is damaged."""
    if not os.path.lexists(self.summary):
      return None
    acted = self.read_experiment().environment is not None
    summary = read_object(self.summary, _SUMMARY + (_RETURNS if acted else ()))
    if not _is_number(summary.get("held_out_loss", 0)):
      raise UsageError(f"{self.summary} cannot be read: expected a number at 'held_out_loss'. Put it back from a copy.")
    for name in ("seeds", "diverged"):
      numbers = summary.get(name, {})
      if not isinstance(numbers, dict) or not all(map(_is_number, numbers.values())):
        raise UsageError(
          f"{self.summary} cannot be read: expected numbers by seed at {name!r}. Put it back from a copy."
        )
    return summary

  def write_summary(self, summary: Mapping[str, Any]) -> None:
    """Writes the summary, which says that the run is over."""
    write_json(self.summary, summary)

  def newest_checkpoint(self) -> pathlib.Path | None:
    """The newest checkpoint's path, without a look inside; None where there has been none yet.

    Raises:
      CheckpointError: they cannot be seen, or there have been some and now there are none.
    """
    found = checkpointing.find(self.checkpoints)
    if found:
      return found[-1][1]
    if os.path.lexists(self.saved) or os.path.lexists(self.summary):
      raise checkpointing.CheckpointError(
        f"{self.path} has been saved, but there is no checkpoint in {self.checkpoints}: mount its disk or put it back "
        "from a copy, then resume; or begin a new run. Nothing was changed."
      )
    return None

  def load_checkpoint(self, which: Which = "newest") -> checkpointing.Checkpoint:
    """Reads the newest whole checkpoint, the learner's of the best evaluation, or that of a step; changes nothing.

    Raises:
      CheckpointError: there is none.
    """
    if which in ("newest", "best"):
      return checkpointing.load(self.best if which == "best" else self.checkpoints)
    found = {step: path for folder in (self.best, self.checkpoints) for step, path in checkpointing.find(folder)}
    if which not in found:
      there = f"those of {' and '.join(f'{step:,}' for step in sorted(found))}" if found else "none"
      raise checkpointing.CheckpointError(
        f"{self.path} has no checkpoint of step {which:,}, but {there}: the newest two are kept, and the best."
      )
    state, manifest = checkpointing.read(found[which])
    return checkpointing.Checkpoint(which, state, manifest["metadata"])

  def write_saved(self, steps: int, episodes: int) -> None:
    """Writes down that there is a checkpoint, and how far it is."""
    write_json(self.saved, {"steps": steps, "episodes": episodes})

  def read_progress(self) -> tuple[int, int]:
    """Steps and episodes trained for up to the newest checkpoint; (0, 0) where there has been none."""
    if os.path.lexists(self.saved):
      saved = read_object(self.saved, ("steps", "episodes"))
      return saved["steps"], saved["episodes"]
    found = checkpointing.find(self.checkpoints)
    return (found[-1][0] if found else 0), 0

  def lock(self) -> contextlib.AbstractContextManager[None]:
    """Holds the directory, as `lock` does."""
    return lock(self.path)


@contextlib.contextmanager
def at_one_stroke(path: pathlib.Path, taken: str) -> Iterator[pathlib.Path]:
  """Gives a folder with another name, which becomes `path` at the end; killed on the way, it leaves none.

  Raises:
    UsageError: something is there already; the message is `taken`.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = pathlib.Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
  try:
    temporary.chmod(0o755)
    yield temporary
    temporary.rename(path)
  except BaseException as error:
    shutil.rmtree(temporary, ignore_errors=True)
    if not isinstance(error, OSError) or not path.exists():
      raise
    raise UsageError(taken) from error


@contextlib.contextmanager
def lock(path: pathlib.Path) -> Iterator[None]:
  """Holds a directory for this process; the operating system lets go however the process ends.

  Raises:
    UsageError: another process holds it.
  """
  import fcntl  # Not on Windows, where reading run directories should still work.

  check_plain(path / "lock")
  flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW  # What a link leads to would be emptied.
  with open(os.open(path / "lock", flags, 0o644), "r+") as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      raise UsageError(f"{path} is in use: process {file.read().strip()} runs in it.") from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    yield


def is_locked(path: pathlib.Path) -> bool:
  """Whether a process holds a directory; a directory that none holds is not touched where the last one has ended."""
  import fcntl  # As above.

  try:
    os.kill(int(read_text(path / "lock")), 0)
  except PermissionError:  # It is somebody else's.
    pass
  except (OSError, ValueError):
    return False
  with open(os.open(path / "lock", os.O_RDONLY | os.O_NOFOLLOW)) as file:
    try:
      fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
      return True
  return False


def default_path(experiment: Experiment) -> pathlib.Path:
  """`runs/<agent>-<environment>-<seed>-<time>`, or the first and the last of many seeds."""
  ends = dict.fromkeys([experiment.seed] if experiment.seeds is None else [experiment.seeds[0], experiment.seeds[-1]])
  return timed_path("-".join([experiment.agent, *experiment.place_and_options, *map(str, ends)]))


def timed_path(name: str) -> pathlib.Path:
  """`runs/<name>-<time>`, whatever is in the name."""
  time = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
  return pathlib.Path("runs") / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', name)}-{time}"


def read_object(path: pathlib.Path, numbers: Sequence[str]) -> dict[str, Any]:
  """An object with such numbers from a JSON file; UsageError where it is none."""
  try:
    check_plain(path)
    content = json.loads(path.read_bytes())
  except (OSError, ValueError, RecursionError) as error:
    raise UsageError(f"{path} cannot be read: {error}. Put it back from a copy.") from error
  if not isinstance(content, dict) or not all(_is_number(content.get(name)) for name in numbers):
    raise UsageError(f"{path} cannot be read: expected the numbers {', '.join(numbers)}. Put it back from a copy.")
  return content


def _is_plain(name: str) -> bool:
  """Whether it is the name of something in a folder, and leads nowhere else."""
  return os.path.basename(name) == name and name.strip(".") != ""


def _is_number(value: Any) -> bool:
  """Whether it is a finite number, which JSON's NaN, Infinity and integers beyond a float are not."""
  return isinstance(value, int | float) and abs(value) <= sys.float_info.max


def write_json(path: pathlib.Path, content: Any) -> None:
  """Writes JSON, as `write_text` does."""
  write_text(path, json.dumps(content, indent=2, default=_from_numpy) + "\n")


def write_text(path: pathlib.Path, text: str) -> None:
  """Writes text under a temporary name, flushes it to disk, and renames: the file is the old one or the new one."""
  temporary = path.with_name(path.name + ".tmp")
  temporary.unlink(missing_ok=True)
  with temporary.open("x", encoding="utf-8", newline="") as file:  # A new one: a link is not followed.
    file.write(text)
    file.flush()
    os.fsync(file.fileno())
  temporary.replace(path)


def check_plain(path: pathlib.Path) -> None:
  """Raises OSError where a pipe or a device has a file's name: one may have no end, and nobody may answer the other."""
  if path.exists() and not path.is_file():
    raise OSError(errno.EINVAL, "Expected a plain file, got something else", str(path))


def read_text(path: pathlib.Path) -> str:
  """The text of a file of a run. OSError where it is a pipe or a device; ValueError where it is no UTF-8."""
  check_plain(path)
  try:
    return path.read_text(encoding="utf-8")
  except UnicodeDecodeError as error:  # Which has all of the file in it.
    raise ValueError(str(error)) from None


def open_to_append(path: pathlib.Path) -> TextIO:
  """Opens a file to write at its end; OSError where it is a link, as what that leads to would be written to."""
  check_plain(path)
  flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
  return open(os.open(path, flags, 0o644), "a", encoding="utf-8")


def _from_numpy(value: Any) -> Any:
  """What JSON does not know: numbers and arrays of NumPy."""
  if hasattr(value, "tolist"):
    return value.tolist()
  raise TypeError(f"Expected values of JSON, got {type(value).__name__}: {value!r}.")


def agent_version(name: str) -> str:
  """The package and version that an agent comes from: `acme-dqn 0.1.0`."""
  entry_point = plugins.list_agents().get(name)
  distribution = entry_point.dist if entry_point is not None else None
  return f"{distribution.name} {distribution.version}" if distribution is not None else "unknown"


def versions(agent: str) -> dict[str, str]:
  """The versions of Python, of this project's packages and of the libraries that decide results."""
  found = {"python": platform.python_version(), "platform": platform.platform(), "agent": agent_version(agent)}
  return dict(sorted((found | dict(_installed())).items()))


@functools.cache  # The look takes a tenth of a second, for each of hundreds of runs that are made at once.
def _installed() -> tuple[tuple[str, str], ...]:
  """Those of this project's packages and of the libraries that decide results."""
  all_of_them = ((distribution.name.lower(), distribution) for distribution in metadata.distributions())
  return tuple(
    (name, each.version) for name, each in all_of_them if name.startswith("acme-") or name in _OTHER_VERSIONS
  )
