"""What can go wrong before there is an environment."""

import importlib
from typing import Any


class MissingExtraError(ImportError):
  """A suite's own packages are not installed; the message says what to install."""


class UnsupportedSpaceError(ValueError, TypeError):
  """An environment has a space without a spec; the message names the wrapper that helps."""


class UnknownEnvironmentError(ValueError):
  """No environment has the name; the message lists near ones."""


def import_extra(module: str, extra: str) -> Any:
  """Imports a module that the extra `extra` of acme-envs brings.

  Raises:
    MissingExtraError: it cannot be imported; the message names the extra.
  """
  try:
    return importlib.import_module(module)
  except ImportError as error:
    raise MissingExtraError(
      f"Could not import {module} ({error}). Install what it needs: pip install 'acme-envs[{extra}]'."
    ) from error
