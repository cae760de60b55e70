"""Environments by name."""

import difflib
import importlib
import inspect
from collections.abc import Sequence
from importlib import metadata
from typing import Any

import dm_env

from acme_envs import errors, own, wrappers, wrapping

SUITES = ("gym", "atari", "dm_control", "bsuite")
OTHERS = {"jax": "acme-anakin"}  # Suites known to come from other packages.


def make(
  name: str,
  seed: int | None = None,
  *,
  render: bool = False,
  wrap: Sequence[str] = (),
  folder: str | None = None,
  **options: Any,
) -> dm_env.Environment:
  """Makes an environment: "gym:CartPole-v1", "atari:Pong", "dm_control:cartpole:swingup" or "bsuite:catch/0".

  One's own are "FILE.py:NAME" and "MODULE:NAME": a class or function that makes one of Gymnasium's or of dm_env's.
  Other packages offer suites by entry points in the group `acme.environments`, such as acme-anakin's "jax:CartPole-v1":
  a module with `names()`, and `make(name, *, seed=None, …)` that raises ValueError for a name that it does not know.

  Floats are float32, integers int32, images uint8. Its method `seed(int)` makes the next reset, and the episode after
  it, the same whatever was played before. What an environment is (a bandit's arms, say) is fixed by its name.

  Args:
    name: suite, colon, and the suite's own name for it; `list_environments(suite)` has them all.
    seed: of the episodes; None takes the suite's own default, mostly a new one each time.
    render: whether `render()` will be asked for pictures, uint8 [height, width, 3]. Gymnasium needs to know, and MuJoCo
      where there is no screen.
    wrap: wrappers by name, with options, the innermost first: "frame_stack:4", "flatten", "TimeLimit:500",
      "mine.py:Wrapper". Those of Gymnasium come before ours (`wrappers.BY_NAME`).
    folder: where files and modules of one's own are; None for the current one.
    **options: of the suite (see `make` of acme_envs.gym, .atari, .dm_control and .bsuite), or of what is one's own.

  Raises:
    UnknownEnvironmentError: no suite or no environment is called so; the message lists near names.
    ValueError: no wrapper is called so, or it does not fit the environment.
    MissingExtraError: the suite's packages are not installed; the message says what to install.
    ImportError: a file or module of one's own cannot be imported; the message says where it failed.
    TypeError: an option that the environment does not have.
    RuntimeError: `render`, without a screen, after dm_control was imported to draw on one.
  """
  found = [wrapping.parse(each, folder) for each in wrap]
  environment = _make(name, seed, render, folder, options)
  suite = name.partition(":")[0]
  if not found and suite != "gym" and suite in suites():
    return environment
  try:
    for wrapper in found:
      environment = wrapping.apply(wrapper, environment, name)
    if own.is_gym(environment):
      environment = wrapping.as_dm_env(environment, name)
    environment = wrapping.single(environment)
  except BaseException:
    environment.close()
    raise
  if seed is not None and hasattr(environment, "seed"):
    environment.seed(seed)
  return environment


def _make(name: str, seed: int | None, render: bool, folder: str | None, options: dict[str, Any]) -> Any:
  """An environment without its wrappers: Gymnasium's as it is, others as dm_env ones."""
  suite, _, rest = name.partition(":")
  if suite not in suites() and own.is_there(name, folder):
    return own.make(name, folder, seed, render, options)
  if suite not in suites() or not rest:
    raise errors.UnknownEnvironmentError(_explain(name, suite, rest))
  module = _load(suite)
  own.check_options(f"Suite {suite}", inspect.signature(module.make).parameters, options)
  if suite not in SUITES:
    return module.make(rest, seed=seed, **options)
  if suite == "gym" and ":" in rest:
    own.look_in(folder)  # Gymnasium imports the module.
  elif suite == "gym":
    module.register(rest)
  if suite == "dm_control" and render:
    module.draw_without_a_screen()
  known = module.names()
  if rest not in known and not (suite == "gym" and ":" in rest):
    raise errors.UnknownEnvironmentError(f"{suite} has no environment {rest!r}. {_near(suite, rest, known)}")
  if suite == "gym":
    return module.make_inside(rest, render=render, **options)
  return module.make(rest, seed=seed, **options)


def is_own(name: str, wrap: Sequence[str] = ()) -> bool:
  """Whether an environment, or a wrapper around it, is looked for in a folder, not only among what is installed."""
  suite, _, rest = name.partition(":")
  return (
    (suite == "gym" and ":" in rest)
    or (suite not in suites() and own.split(name) is not None)
    or any(each.partition(":")[0] not in wrappers.BY_NAME and own.split(each) is not None for each in wrap)
  )


def suites() -> list[str]:
  """Returns the names of all suites: ours, then those that other packages offer or are known to."""
  others = {entry_point.name for entry_point in metadata.entry_points(group=_GROUP)}
  return [*SUITES, *sorted({*OTHERS, *others}.difference(SUITES))]


def missing_package(suite: str) -> str | None:
  """Returns the package to install where a suite known to come from another is not there; None elsewhere."""
  return None if metadata.entry_points(group=_GROUP, name=suite) else OTHERS.get(suite)


def list_environments(suite: str) -> list[str]:
  """Returns the full names of a suite's environments, sorted.

  Raises:
    UnknownEnvironmentError: no suite is called so.
    MissingExtraError: the suite's packages are not installed.
  """
  if suite not in suites():
    raise errors.UnknownEnvironmentError(f"No suite is called {suite!r}. Suites: {', '.join(suites())}.")
  return [f"{suite}:{name}" for name in _load(suite).names()]


def _load(suite: str) -> Any:
  """The module that has a suite's `names` and `make`."""
  if suite in SUITES:
    return importlib.import_module(f"acme_envs.{suite}")
  if (package := missing_package(suite)) is not None:
    raise errors.MissingExtraError(f"The suite {suite!r} comes with another package: pip install {package}")
  entry_point, *rest = metadata.entry_points(group=_GROUP, name=suite)
  if rest:
    raise ValueError(f"Two packages claim the suite {suite!r}: {entry_point.value} and {rest[0].value}. Uninstall one.")
  return entry_point.load()


def _explain(name: str, suite: str, rest: str) -> str:
  """The message for a name without a suite that we know."""
  known_suites = suites()
  if suite in known_suites:
    such_as = f", such as {_EXAMPLES[suite]}" if suite in _EXAMPLES else ""
    return f"{name!r} names no environment. list_environments({suite!r}) has the names{such_as}."
  matches = difflib.get_close_matches(suite, known_suites) if rest else []
  if matches:
    return f"No suite is called {suite!r}. Did you mean {' or '.join(f'{match}:{rest}' for match in matches)}?"
  found: list[str] = []
  for known_suite in SUITES:
    try:
      known = list_environments(known_suite)
    except errors.MissingExtraError:
      continue
    if f"{known_suite}:{name}" in known:
      return f"{name!r} lacks its suite. Did you mean {known_suite}:{name}?"
    short = [full.removeprefix(f"{known_suite}:") for full in known]
    found += [f"{known_suite}:{match}" for match in _matches(name, short)]
  hint = f"Did you mean {' or '.join(found)}?" if found else f"Names look like {', '.join(_EXAMPLES.values())}."
  return (
    f"No environment is called {name!r}: a name begins with its suite ({', '.join(known_suites)}), or is one's "
    f"own, FILE.py:NAME or MODULE:NAME. {hint}"
  )


def _near(suite: str, name: str, known: list[str]) -> str:
  matches = _matches(name, known)
  if matches:
    return f"Did you mean {' or '.join(f'{suite}:{match}' for match in matches)}?"
  others = " What a package registers when it is imported is gym:MODULE:NAME." if suite == "gym" else ""
  return f"list_environments({suite!r}) has the {len(known)} names, such as {_EXAMPLES[suite]}.{others}"


def _matches(name: str, known: list[str]) -> list[str]:
  """Up to three names that begin with `name`, or else near ones, whatever their case."""
  by_lower = {candidate.lower(): candidate for candidate in known}
  name = name.lower()
  begun = [candidate for candidate in by_lower if name and candidate.startswith(name)]
  return [by_lower[match] for match in begun[:3] or difflib.get_close_matches(name, by_lower, n=3, cutoff=0.7)]


_EXAMPLES = {
  "gym": "gym:CartPole-v1",
  "atari": "atari:Pong",
  "dm_control": "dm_control:cartpole:swingup",
  "bsuite": "bsuite:catch/0",
  "jax": "jax:CartPole-v1",
}
_GROUP = "acme.environments"
