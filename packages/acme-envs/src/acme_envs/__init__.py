"""Environments by name, wrappers for any dm_env environment, and a check of one's own.

acme_envs.make("dm_control:cartpole:swingup", seed=0)
"""

from acme_envs import atari, bsuite, dm_control, gym, wrappers
from acme_envs.checking import Finding, check_environment, repeats
from acme_envs.errors import MissingExtraError, UnknownEnvironmentError, UnsupportedSpaceError
from acme_envs.factory import SUITES, is_own, list_environments, make, missing_package, suites
from acme_envs.wrapping import parse_value

__version__ = "0.2.0"

__all__ = [
  "SUITES",
  "Finding",
  "MissingExtraError",
  "UnknownEnvironmentError",
  "UnsupportedSpaceError",
  "atari",
  "bsuite",
  "check_environment",
  "dm_control",
  "gym",
  "is_own",
  "list_environments",
  "make",
  "missing_package",
  "parse_value",
  "repeats",
  "suites",
  "wrappers",
]
