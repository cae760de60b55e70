"""Gymnasium's registered environments."""

from typing import Any

import dm_env
import numpy as np
import tree

import acme
from acme_envs import errors


def names() -> list[str]:
  """Returns the ids that Gymnasium has registered."""
  return sorted(errors.import_extra("gymnasium", "gym").registry)


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
  gymnasium = errors.import_extra("gymnasium", "gym")
  mode = "rgb_array" if render else None
  try:
    inner = gymnasium.make(name, render_mode=mode, disable_env_checker=True, **options)
  except gymnasium.error.DependencyNotInstalled as error:
    hint = "pip install 'acme-envs[box2d]'" if "box2d" in str(error).lower() else error
    raise errors.MissingExtraError(f"gym:{name} needs a package that is not installed: {hint}") from error
  except gymnasium.error.UnregisteredEnv as error:
    raise errors.UnknownEnvironmentError(f"gym has no environment {name!r}: {error}") from error
  try:
    environment = acme.wrappers.GymWrapper(inner)
  except TypeError as error:
    inner.close()
    raise errors.UnsupportedSpaceError(f"gym:{name}: {error}") from error
  if seed is not None:
    environment.seed(seed)
  wide = any(leaf.dtype in (np.float64, np.int64) for leaf in tree.flatten(acme.make_environment_spec(environment)))
  return acme.wrappers.SinglePrecision(environment) if wide else environment  # A wrapper less is a faster step.
