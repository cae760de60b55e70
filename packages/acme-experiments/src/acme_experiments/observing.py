"""Who watches a run: observers by the name that a package offers, or one's own, `MODULE:CLASS` and `FILE.py:CLASS`."""

from collections.abc import Sequence
from importlib import metadata
from typing import Any

from acme_envs import own
from acme_experiments.usage import UsageError

GROUP = "acme.observers"


def make(names: Sequence[str], folder: str | None) -> list[Any]:
  """Makes the observers (`acme.environment_loop.Observer`) of these names, without arguments.

  One that is an `acme.core.Saveable` too is saved and restored with the run.

  Args:
    names: of observers.
    folder: where files and modules are that they name.

  Raises:
    UsageError: there is no such observer, it cannot be made, or it is none.
  """
  return [_make(name, folder) for name in names]


def _make(name: str, folder: str | None) -> Any:
  offered = {entry_point.name: entry_point for entry_point in metadata.entry_points(group=GROUP)}
  if name not in offered and own.split(name) is None:
    there = ", ".join(offered) or "none is installed"
    raise UsageError(f"--observe: expected MODULE:CLASS, or a name that a package offers ({there}), got {name!r}.")
  try:
    observer = (offered[name].load() if name in offered else own.load(name, folder))()
  except Exception as error:  # Whatever somebody's code raises.
    raise UsageError(f"--observe {name}: {type(error).__name__}: {error}") from error
  if lacking := [each for each in ("observe_first", "observe", "get_metrics") if not hasattr(observer, each)]:
    raise UsageError(f"--observe {name}: expected an observer of a loop, got {observer!r} without {lacking[0]}().")
  return observer
