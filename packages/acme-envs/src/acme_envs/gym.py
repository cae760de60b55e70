"""Gymnasium's registered environments."""

import importlib
from importlib import metadata
from typing import Any

import dm_env

from acme_envs import errors, wrapping

# Packages of which it is known that importing them registers ids that begin so: the module, and what to install.
_PACKAGES = {
  "ALE/": ("ale_py", "'acme-envs[atari]'"),
  "AdroitHand": ("gymnasium_robotics", "gymnasium-robotics"),
  "AntMaze": ("gymnasium_robotics", "gymnasium-robotics"),
  "BabyAI-": ("minigrid", "minigrid"),
  "Fetch": ("gymnasium_robotics", "gymnasium-robotics"),
  "FrankaKitchen-": ("gymnasium_robotics", "gymnasium-robotics"),
  "HandManipulate": ("gymnasium_robotics", "gymnasium-robotics"),
  "HandReach": ("gymnasium_robotics", "gymnasium-robotics"),
  "MiniGrid-": ("minigrid", "minigrid"),
  "MiniWorld-": ("miniworld", "miniworld"),
  "PointMaze": ("gymnasium_robotics", "gymnasium-robotics"),
  "highway-": ("highway_env", "highway-env"),
  "intersection-": ("highway_env", "highway-env"),
  "merge-": ("highway_env", "highway-env"),
  "parking-": ("highway_env", "highway-env"),
  "popgym-": ("popgym", "'acme-envs[popgym]'"),
  "racetrack-": ("highway_env", "highway-env"),
  "roundabout-": ("highway_env", "highway-env"),
}
_GROUP = "gymnasium.envs"  # Of entry points by which packages say that they register some.


def names() -> list[str]:
  """Returns the ids that Gymnasium has registered."""
  return sorted(errors.import_extra("gymnasium", "gym").registry)


def register(name: str) -> None:
  """Imports the package that registers an id, where nothing has registered it and a package is known to.

  Raises:
    MissingExtraError: that package is not installed.
  """
  registry = errors.import_extra("gymnasium", "gym").registry
  if name in registry:
    return
  for begin, (module, package) in _PACKAGES.items():
    if name.startswith(begin):
      try:
        importlib.import_module(module)
      except ImportError as error:
        raise errors.MissingExtraError(
          f"gym:{name} is registered by importing {module} ({error}): pip install {package}. Where another module "
          f"registers it, name that one: gym:{module}:{name}."
        ) from error
  for point in metadata.entry_points(group=_GROUP):
    if name not in registry:
      importlib.import_module(point.module.removesuffix(".__init__"))
    if name not in registry:
      point.load()()


def make(name: str, *, seed: int | None = None, render: bool = False, **options: Any) -> dm_env.Environment:
  """Makes a Gymnasium environment.

  Args:
    name: its id, such as "CartPole-v1"; "module:Id-v0" imports the module first, so that it can register the id.
    seed: of the first reset; later ones go on from there.
    render: whether `render()` is to return images; slows some environments down.
    **options: for `gymnasium.make`.

  Raises:
    MissingExtraError: the environment needs a package that is not installed.
    UnsupportedSpaceError: a space is of a kind that has no spec; the message names the wrapper that helps.
    UnknownEnvironmentError: the module imported does not register the id.
  """
  environment: Any = wrapping.as_dm_env(make_inside(name, render=render, **options), f"gym:{name}")
  if seed is not None:
    environment.seed(seed)
  return environment  # type: ignore[no-any-return]


def make_inside(name: str, *, render: bool = False, **options: Any) -> Any:
  """Makes what `make` makes a dm_env environment of."""
  gymnasium = errors.import_extra("gymnasium", "gym")
  if render:
    options["render_mode"] = "rgb_array"
  try:
    return gymnasium.make(name, disable_env_checker=True, **options)
  except gymnasium.error.DependencyNotInstalled as error:
    hint = "pip install 'acme-envs[box2d]'" if "box2d" in str(error).lower() else error
    raise errors.MissingExtraError(f"gym:{name} needs a package that is not installed: {hint}") from error
  except gymnasium.error.UnregisteredEnv as error:
    raise errors.UnknownEnvironmentError(f"gym has no environment {name!r}: {error}") from error
