"""`acme new-agent`: a package to begin from, written from the files under templates/."""

import importlib.resources
import pathlib
import re
import shutil
import string
from importlib.resources.abc import Traversable

from acme_experiments.rundir import UsageError

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_TEMPLATE = ".tmpl"  # Such files have names of Python's and $placeholders inside; others are copied.


def render(name: str, folder: pathlib.Path) -> pathlib.Path:
  """Writes the package `acme-NAME` into `folder`, and returns its path.

  Raises:
    UsageError: `name` cannot be one, or the package's folder exists.
  """
  if not _NAME.fullmatch(name):
    raise UsageError(f"{name!r} cannot be an agent's name: use lower-case letters, digits and dashes, as in my-dqn.")
  path = folder / f"acme-{name}"
  if path.exists():
    raise UsageError(f"{path} exists: give another name, or another --out.")
  words = {
    "name": name,
    "distribution": f"acme-{name}",
    "module": f"acme_{name.replace('-', '_')}",
    "cls": "".join(word.capitalize() for word in name.split("-")),
  }
  try:
    _write(importlib.resources.files("acme_experiments") / "templates", path, words)
  except OSError:
    shutil.rmtree(path, ignore_errors=True)  # Half a package would only be in the way.
    raise
  return path


def _write(source: Traversable, target: pathlib.Path, words: dict[str, str]) -> None:
  """Renders a folder into a new one; the folder called `package` gets the module's name."""
  target.mkdir(parents=True)
  for entry in source.iterdir():
    if entry.is_dir():
      _write(entry, target / (words["module"] if entry.name == "package" else entry.name), words)
    elif entry.name.endswith(_TEMPLATE):
      text = string.Template(entry.read_text(encoding="utf-8")).substitute(words)
      (target / entry.name.removesuffix(_TEMPLATE)).write_text(text, encoding="utf-8")
    else:
      (target / entry.name).write_bytes(entry.read_bytes())
