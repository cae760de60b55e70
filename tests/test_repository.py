"""What every package of the repository must have, so that none is forgotten."""

import ast
import configparser
import pathlib
import re
import tomllib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = sorted(path.parent for path in ROOT.glob("packages/*/pyproject.toml"))


def _project(package: pathlib.Path) -> dict:
  return tomllib.loads((package / "pyproject.toml").read_text())["project"]


def _module(package: pathlib.Path) -> pathlib.Path:
  (init,) = package.glob("src/*/__init__.py")
  return init.parent


each_package = pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)


@each_package
def test_package_is_complete(package):
  for name in ("README.md", "CHANGELOG.md", "LICENSE"):
    assert (package / name).read_text().strip(), name
  assert (_module(package) / "py.typed").exists()
  assert list(package.glob("tests/test_*.py"))
  version = re.search(r'__version__ = "(.+)"', (_module(package) / "__init__.py").read_text())[1]
  assert f"## {version}" in (package / "CHANGELOG.md").read_text()


@each_package
def test_requirements_are_ranges(package):
  project = _project(package)
  requirements = project.get("dependencies", []) + sum(project.get("optional-dependencies", {}).values(), [])
  assert not [requirement for requirement in requirements if "==" in requirement.partition(";")[0]]


@each_package
def test_readme_and_import_contracts_know_the_package(package):
  module = _module(package).name
  assert f"packages/{package.name})" in (ROOT / "README.md").read_text()
  contracts = configparser.ConfigParser()
  contracts.read(ROOT / ".importlinter")
  assert module in contracts["importlinter"]["root_packages"].split()


def test_every_agent_is_held_to_the_contracts():
  """An agent must not import experiments, another agent, or a backend from its config."""
  contracts = configparser.ConfigParser()
  contracts.read(ROOT / ".importlinter")
  for package in PACKAGES:
    if "acme.agents" in _project(package).get("entry-points", {}):
      module = _module(package).name
      assert module in contracts["importlinter:contract:others-know-no-agent"]["forbidden_modules"].split()
      assert f"{module}.config" in contracts["importlinter:contract:config-without-backend"]["source_modules"].split()


def test_core_is_small():
  """Under 1,500 lines of code: blank lines, comments and docstrings explain it, and do not count."""
  total = sum(len(_code_lines(path)) for path in (ROOT / "packages/acme-core/src").rglob("*.py"))
  assert total < 1500, total


def test_no_url_in_constraints():
  for path in (ROOT / "constraints").glob("*.txt"):
    assert "://" not in path.read_text(), path


def _code_lines(path: pathlib.Path) -> set[int]:
  """The lines that a token of code stands on."""
  tree = ast.parse(path.read_text())
  docstrings: set[int] = set()
  for node in ast.walk(tree):
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
      docstrings.update(range(node.lineno, node.end_lineno + 1))
  lines = enumerate(path.read_text().splitlines(), 1)
  return {i for i, line in lines if line.strip() and not line.strip().startswith("#")} - docstrings
