"""What is one's own, by name: "FILE.py:NAME" and "MODULE:NAME", a class or a function, of environments and wrappers.

Nothing has to be installed or registered. Files and modules are looked for in a folder, the current one unless another
is given; of modules those that are installed come first.
"""

import contextlib
import difflib
import importlib
import importlib.util
import inspect
import operator
import pathlib
import re
import sys
import traceback
from collections.abc import Mapping
from typing import Any

import dm_env

from acme_envs import errors

_WORD = r"[^\W\d]\w*"
_NAME = re.compile(rf"(.+\.py|{_WORD}(?:\.{_WORD})*):({_WORD}(?:\.{_WORD})*)(?::(.*))?", re.DOTALL)


def split(name: str) -> tuple[str, str, str] | None:
  """The file or module, the name in it, and what follows a second colon; None for a name of another form."""
  match = _NAME.fullmatch(name)
  return None if match is None else (match[1], match[2], match[3] or "")


def is_there(name: str, folder: str | None = None) -> bool:
  """Whether a name has this form, and is of a file, which may be missing, or of a module that can be imported."""
  parts = split(name)
  if parts is None:
    return False
  if parts[0].endswith(".py"):
    return True
  look_in(folder)
  try:
    return importlib.util.find_spec(parts[0].partition(".")[0]) is not None
  except (ImportError, ValueError):
    return False


def look_in(folder: str | None) -> None:
  """Lets modules of a folder be imported, after all that is installed."""
  path = str(pathlib.Path(folder or ".").absolute())
  if path not in sys.path:
    sys.path.append(path)
    importlib.invalidate_caches()


def load(name: str, folder: str | None = None) -> Any:
  """Imports the class or function that a name stands for.

  Raises:
    UnknownEnvironmentError: there is no such file, or nothing of the name in it; the message says what there is.
    ImportError: the file or module raises when it is imported; the message says where.
  """
  parts = split(name)
  assert parts is not None
  source, attribute, _ = parts
  look_in(folder)
  try:
    is_file = source.endswith(".py")
    module = _load_file(pathlib.Path(folder or ".", source)) if is_file else importlib.import_module(source)
  except errors.UnknownEnvironmentError:
    raise
  except (Exception, SystemExit) as error:  # It is somebody's: what it raises may be anything.
    raise ImportError(f"{name}: importing {source} failed: {_describe(error)}") from error
  try:
    return operator.attrgetter(attribute)(module)
  except AttributeError:
    has = [each for each, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    near = difflib.get_close_matches(attribute, has)
    hint = f"Did you mean {' or '.join(near)}?" if near else f"It has {', '.join(has) or 'no class and no function'}."
    where = getattr(module, "__file__", None) or source
    raise errors.UnknownEnvironmentError(f"{name}: {where} has no {attribute!r}. {hint}") from None


def make(name: str, folder: str | None, seed: int | None, render: bool, options: Mapping[str, Any]) -> Any:
  """Calls it with the options; `seed` and `render_mode` are added where it takes them.

  Returns:
    A dm_env environment, or Gymnasium's, as it came.

  Raises:
    TypeError: an option that it does not have; or what came is no environment.
  """
  target = load(name, folder)
  if not callable(target):
    raise TypeError(f"{name}: expected a class or a function that makes an environment, got {target!r:.100}.")
  parameters: Mapping[str, inspect.Parameter] = {}
  with contextlib.suppress(ValueError):  # Of what is written in C.
    parameters = inspect.signature(target).parameters
  check_options(name, parameters, options)
  added: dict[str, Any] = {}
  if seed is not None and "seed" in parameters:
    added["seed"] = seed
  if render and "render_mode" in parameters:
    added["render_mode"] = "rgb_array"
  environment = target(**{**options, **added})
  if not is_gym(environment) and not isinstance(environment, dm_env.Environment):
    raise TypeError(f"{name}: expected a Gymnasium or dm_env environment, got {environment!r:.100}: return one.")
  return environment


def is_gym(environment: Any) -> bool:
  """Whether an environment is Gymnasium's, or old Gym's."""
  return hasattr(environment, "observation_space")


def check_options(owner: str, parameters: Mapping[str, inspect.Parameter], options: Mapping[str, Any]) -> None:
  """Raises TypeError for an option that is no parameter; the message has near ones."""
  if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
    return
  known = [name for name in parameters if name not in ("name", "seed")]
  for option in options:
    if option not in known:
      near = difflib.get_close_matches(option, known)
      hint = f"Did you mean {' or '.join(near)}?" if near else f"It has: {', '.join(known) or 'none'}."
      raise TypeError(f"{owner} has no option {option!r}. {hint}")


def _load_file(path: pathlib.Path) -> Any:
  """Imports a file, once, under its path for a name; what lies beside it can be imported, too."""
  path = path.absolute()
  name = str(path)
  if name in sys.modules:
    return sys.modules[name]
  if not path.is_file():
    raise errors.UnknownEnvironmentError(f"There is no file {path}: put it there, or give its path.")
  look_in(str(path.parent))
  spec = importlib.util.spec_from_file_location(name, path)
  assert spec is not None and spec.loader is not None
  module = importlib.util.module_from_spec(spec)
  sys.modules[name] = module
  try:
    spec.loader.exec_module(module)
  except BaseException:
    del sys.modules[name]
    raise
  return module


def _describe(error: BaseException) -> str:
  """An error in a line, with the file and line that raised it."""
  frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<frozen")]
  at = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames and frames[-1].filename != __file__ else ""
  return f"{type(error).__name__}: {error}{'' if isinstance(error, SyntaxError) else at}"
