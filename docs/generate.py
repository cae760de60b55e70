"""Writes the pages that follow from the packages: one for each, its API, its changes; the table of versions.

What a package's README says is taken from there, what a config's fields say from their docstrings, and equations and
deviations from the head of the training step: nothing of it is written twice. `conf.py` calls `write` before it reads.
"""

import ast
import dataclasses
import importlib
import os
import pathlib
import re
import shutil
import tomllib
import typing
from collections.abc import Iterator
from typing import Any

import api

from acme import configs, plugins
from acme_testing import fields

ROOT = pathlib.Path(__file__).parents[1]
DOCS = ROOT / "docs"
OUT = DOCS / "generated"
AT_THE_TOP = ("CONTRIBUTING.md", "SECURITY.md")


def write() -> None:
  """Writes all pages below docs/generated, those that changed alone, so that Sphinx reads no other again."""
  pages = dict(_pages())
  for path in OUT.rglob("*.md"):
    if path.relative_to(OUT).as_posix() not in pages:
      path.unlink()
  for name, text in pages.items():
    path = OUT / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
      path.write_text(text)
  for picture in (ROOT / "benchmarks" / "results").glob("*.png"):
    shutil.copy(picture, OUT / "benchmarks")


def _pages() -> Iterator[tuple[str, str]]:
  projects = {name: _project(name) for name in api.packages()}
  for name, project in projects.items():
    page = _page_of(name).removeprefix("generated/")
    yield f"{page}.md", _package(name, project, page)
    yield f"api/{name}.md", api.page(name)
    changes = (ROOT / "packages" / name / "CHANGELOG.md").read_text()
    yield f"changes/{name}.md", re.sub(r"\A# .*", f"# Changes of {name}", changes)
  for path in sorted((ROOT / "benchmarks" / "results").glob("*.md")):
    text = relink(path.read_text(), path, f"generated/benchmarks/{path.stem}")
    title = "" if text.startswith("# ") else f"# {path.stem.replace('_', ' ').capitalize()}\n\n"
    yield f"benchmarks/{path.name}", title + text
  for name in AT_THE_TOP:
    yield name.lower(), relink((ROOT / name).read_text(), ROOT / name, f"generated/{name.lower()}")
  yield "versions.md", versions(projects)


def _project(name: str) -> dict[str, Any]:
  return tomllib.loads((ROOT / "packages" / name / "pyproject.toml").read_text())["project"]


def is_agent(name: str) -> bool:
  """Whether a package offers an agent."""
  return "acme.agents" in _project(name).get("entry-points", {})


def _page_of(name: str) -> str:
  return f"generated/{'agents' if is_agent(name) else 'packages'}/{name}"


# Links of the repository's files, as they are on the site.


def relink(text: str, source: pathlib.Path, page: str) -> str:
  """Markdown of a file of the repository, its links to others turned into links to their pages.

  What has no page, such as a folder, becomes its path in the repository. `page` is where the text stands, from docs/.
  """

  def replaced(match: re.Match[str]) -> str:
    text, target = match.groups()
    path, _, anchor = target.partition("#")
    if not path or re.match(r"[a-z]+:", path):
      return match[0]
    if not (source.parent / path).exists():
      raise FileNotFoundError(f"{source.relative_to(ROOT)}: expected a file at {path}, to which it links; got none.")
    found = _site_page((source.parent / path).resolve())
    if found is None:
      where = (source.parent / path).resolve().relative_to(ROOT)
      return f"{text}{'' if text.strip('`') == str(where) else f' (`{where}`)'}"
    return f"[{text}]({os.path.relpath(found, pathlib.PurePath(page).parent)}{'#' if anchor else ''}{anchor})"

  return re.sub(r"(?<!!)\[([^\]\[]+)\]\(([^)\s]+)\)", replaced, text)


def _site_page(path: pathlib.Path) -> str | None:
  """The page, from docs/, that shows a file or folder of the repository."""
  if not path.is_relative_to(ROOT):
    return None
  parts = path.relative_to(ROOT).parts
  named = {"README.md": "index.md"} | {each: f"generated/{each.lower()}" for each in AT_THE_TOP}
  if len(parts) == 1:
    return named.get(parts[0])
  if parts[0] == "packages" and len(parts) == 2 + (parts[-1] == "README.md"):
    return f"{_page_of(parts[1])}.md"
  if parts[:2] == ("benchmarks", "results") and path.suffix == ".md":
    return f"generated/benchmarks/{path.name}"
  if parts[0] == "docs" and path.suffix in (".md", ".svg"):
    return "/".join(parts[1:])
  return None


# A package's page, and what an agent's has beside the README.


def _package(name: str, project: dict[str, Any], page: str) -> str:
  path = ROOT / "packages" / name / "README.md"
  text = relink(path.read_text(), path, f"generated/{page}")
  more = f"[API](../api/{name}.md) · [Changes](../changes/{name}.md)"
  head, _, rest = text.partition("\n")
  parts = [head, f"*{project['description']}.* {more}", rest.strip()]
  if is_agent(name):
    plugin = _plugin(project)
    parts += [_equations(name), _runs(plugin.name), _table(plugin), _presets(plugin), _references(plugin)]
  return "\n\n".join(filter(None, parts)) + "\n"


def _plugin(project: dict[str, Any]) -> plugins.AgentPlugin[Any]:
  ((_, value),) = project["entry-points"]["acme.agents"].items()
  module, _, attribute = value.partition(":")
  plugin: plugins.AgentPlugin[Any] = getattr(importlib.import_module(module), attribute)
  return plugin


def _equations(name: str) -> str:
  """The heads of the training step and of the losses, as they stand in the sources."""
  (folder,) = (ROOT / "packages" / name).glob("src/*/jax")
  parts = ["## Equations", f"As they stand at the head of `{folder.name}/learning.py`, deviations included."]
  parts.append(_literal(_head(folder / "learning.py")))
  losses = folder / "losses.py"
  if losses.exists():
    tree = ast.parse(losses.read_text())
    parts += [f"`{folder.name}/losses.py` has:", _literal(ast.get_docstring(tree) or "")]
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")]
    for node in functions:
      parts.append(f"`{node.name}`\n\n" + _literal(ast.get_docstring(node) or ""))
  return "\n\n".join(parts)


def _head(path: pathlib.Path) -> str:
  return ast.get_docstring(ast.parse(path.read_text())) or ""


def _literal(text: str) -> str:
  return f"```text\n{text}\n```"


def _runs(agent: str) -> str:
  """The agent's rows of the tables of modes and of results, where they have any."""
  parts = []
  for title, page in (("Where it runs", "modes"), ("Results over seeds", "results")):
    rows = [line for line in (DOCS / f"{page}.md").read_text().splitlines() if line.startswith("| ")]
    own = [row for row in rows if row.startswith(f"| {agent} |")]
    if own:
      head = next(row for row in rows if row.startswith("| agent |"))
      ruler = "|" + " --- |" * (head.count("|") - 1)
      more = f"[What the columns mean, and all agents](../../{page}.md)"
      parts.append("\n".join([f"## {title}", "", head, ruler, *own, "", more]))
  return "\n\n".join(parts)


def _table(plugin: plugins.AgentPlugin[Any]) -> str:
  """Every field of the config: its default, its type with its range, and its docstring."""
  default = type(plugin.config())()
  documented, hints = fields.documentation(plugin), typing.get_type_hints(type(default), include_extras=True)
  rows = [f"## `{type(default).__name__}`", "", "| field | default | is | meaning |", "| --- | --- | --- | --- |"]
  for field in dataclasses.fields(default):
    value, kind = getattr(default, field.name), _kind(hints[field.name])
    meaning = " ".join(documented[field.name].split())
    rows.append(f"| `{field.name}` | {_cell(f'`{value!r}`')} | {_cell(kind)} | {_cell(meaning)} |")
  return "\n".join(rows)


def _kind(hint: Any) -> str:
  """A field's type and range in words."""
  origin, arguments = typing.get_origin(hint), typing.get_args(hint)
  if origin is typing.Annotated:
    ranges = [str(each) for each in arguments[1:] if isinstance(each, configs.Range)]
    return " ".join([_kind(arguments[0]), *ranges])
  if origin is typing.Literal:
    return " or ".join(f"`{value!r}`" for value in arguments)
  if origin is tuple:
    inner = [_kind(each) for each in arguments if each is not Ellipsis]
    return f"tuple of {', '.join(inner)}"
  if arguments:  # A union.
    return " or ".join(_kind(each) for each in arguments)
  return {type(None): "None", bool: "True or False", int: "an integer", float: "a number", str: "text"}.get(
    hint, getattr(hint, "__name__", str(hint))
  )


def _presets(plugin: plugins.AgentPlugin[Any]) -> str:
  """What each preset sets otherwise than the default, and where `--preset auto` chooses it."""
  if not plugin.presets:
    return ""
  default = type(plugin.config())()
  rows = [
    "## Presets",
    "",
    f"`acme run {plugin.name} ENV --preset NAME`, or `--preset auto` for the one that was found for ENV:",
  ]
  rows += ["", "| preset | found for | sets |", "| --- | --- | --- |"]
  for name, make in plugin.presets.items():
    config = make()
    differing = [f for f in dataclasses.fields(config) if getattr(config, f.name) != getattr(default, f.name, None)]
    what = ", ".join(f"`{field.name}={getattr(config, field.name)!r}`" for field in differing)
    environments = ", ".join(f"`{each}`" for each, preset in plugin.tuned.items() if preset == name)
    rows.append(f"| `{name}` | {environments} | {_cell(what) or 'nothing: it is the default'} |")
  return "\n".join(rows)


def _references(plugin: plugins.AgentPlugin[Any]) -> str:
  def linked(reference: str) -> str:
    return re.sub(r"arXiv (\d{4}\.\d{4,5})", r"[arXiv \1](https://arxiv.org/abs/\1)", reference)

  return "\n".join(["## References", "", *(f"- {linked(each)}" for each in plugin.references)])


def _cell(text: str) -> str:
  return text.replace("|", "\\|")


# The table of versions.


def versions(projects: dict[str, dict[str, Any]]) -> str:
  """Which versions of each other the packages ask for, and of Python; from their pyproject.toml files."""
  lines = [
    "# Versions that go together",
    "",
    "Made from each `pyproject.toml`: what a package needs of this repository, with the extra in brackets.",
    "",
    "| package | version | Python | needs |",
    "| --- | --- | --- | --- |",
  ]
  for name, project in projects.items():
    needed = [_ours(each) for each in project.get("dependencies", []) if each.startswith("acme-")]
    for extra, requirements in project.get("optional-dependencies", {}).items():
      needed += [f"{_ours(each)} [{extra}]" for each in requirements if re.match(r"acme-.*[<>]", each)]
    lines.append(f"| {name} | {version(name)} | {project['requires-python']} | {', '.join(needed) or '–'} |")
  return "\n".join(lines) + "\n"


def _ours(requirement: str) -> str:
  name, versions = re.match(r"([\w-]+)(?:\[.*\])?([^;]*)", requirement).groups()  # type: ignore[union-attr]
  return f"{name} {versions}".strip().replace("<", "\\<")


def version(name: str) -> str:
  """A package's version, as its sources say it."""
  text = (api.packages()[name] / "__init__.py").read_text()
  return re.search(r'^__version__ = "(.+)"', text, re.MULTILINE)[1]  # type: ignore[index]
