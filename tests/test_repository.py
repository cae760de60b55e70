"""What every package of the repository must have, so that none is forgotten."""

import ast
import collections
import importlib.util
import pathlib
import re
import tomllib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = sorted(path.parent for path in ROOT.glob("packages/*/pyproject.toml"))
_RUN = 8

_spec = importlib.util.spec_from_file_location("contracts", ROOT / "tests" / "contracts.py")
contracts = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(contracts)


def _project(package: pathlib.Path) -> dict:
  return tomllib.loads((package / "pyproject.toml").read_text())["project"]


def _requirements(package: pathlib.Path) -> list[str]:
  project = _project(package)
  return project.get("dependencies", []) + sum(project.get("optional-dependencies", {}).values(), [])


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
  assert not [requirement for requirement in _requirements(package) if "==" in requirement.partition(";")[0]]


def test_readme_has_a_line_for_each_package():
  assert not contracts.missing_in_readme(contracts.packages())
  assert "packages/acme-new)" in contracts.missing_in_readme({"acme-new": {"description": "New."}})[0]


def test_an_agent_may_import_what_it_declares_and_nothing_else_of_ours():
  needs = ["acme-core", "acme-jax>=0.2", "acme-one", "acme-experiments"]
  projects = {name: {} for name in contracts.BELOW} | {"acme-one": {}, "acme-two": {"dependencies": needs}}
  refused = contracts.forbidden("acme-two", projects)
  assert {"acme-experiments", "acme-tf", "acme-replay"} <= set(refused)
  assert not {"acme-core", "acme-jax", "acme-one"} & set(refused)
  assert {"acme-one", "acme-two", "acme-replay"} <= set(contracts.forbidden("acme-jax", projects))
  assert set(contracts.forbidden("acme-core", projects)) == projects.keys() - {"acme-core"}


def test_lower_bounds_agree():
  """One environment then shows all packages of a stack on the lowest versions that they declare."""
  bounds = collections.defaultdict(set)
  for package in PACKAGES:
    stack = "reverb" if package.name == "acme-reverb" else "others"
    for requirement in _requirements(package):
      name = re.match(r"[\w-]+", requirement)[0]
      if not name.startswith("acme-") and (bound := re.search(r">=([\w.]+)", requirement)):
        bounds[stack, name].add(bound[1])
  assert not {name: found for name, found in bounds.items() if len(found) > 1}


def test_core_is_small():
  """No file over 300 lines, and 3,000 in all that are not blank."""
  lines = {path: path.read_text().splitlines() for path in (ROOT / "packages/acme-core/src").rglob("*.py")}
  assert max(map(len, lines.values())) <= 300, {path.name: len(text) for path, text in lines.items() if len(text) > 300}
  total = sum(bool(line.strip()) for text in lines.values() for line in text)
  assert total <= 3000, total


def test_anakin_is_small():
  """1,000 lines of code at the most without its environments, where docstrings and comments are none."""
  total = sum(_code_lines(path) for path in (ROOT / "packages/acme-anakin/src/acme_anakin").glob("*.py"))
  assert 0 < total <= 1000, total


def _code_lines(path: pathlib.Path) -> int:
  text = path.read_text()
  kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
  documented = [node for node in ast.walk(ast.parse(text)) if isinstance(node, kinds) and ast.get_docstring(node)]
  docstrings = {i for node in documented for i in range(node.body[0].lineno, node.body[0].end_lineno + 1)}
  lines = enumerate(map(str.strip, text.splitlines()), 1)
  return sum(i not in docstrings and line != "" and not line.startswith("#") for i, line in lines)


def test_agents_share_no_code():
  """No run of 8 lines in two agent packages: what two agents write alike belongs below them."""
  seen: dict[tuple[str, ...], tuple[str, str]] = {}
  shared = set()
  for package in PACKAGES:
    if "acme.agents" not in _project(package).get("entry-points", {}):
      continue
    for path in sorted(package.glob("src/**/*.py")):
      lines = _lines_of_its_own(path)
      for i in range(len(lines) - _RUN + 1):
        run = tuple(text for _, text in lines[i : i + _RUN])
        place = f"{path.relative_to(ROOT)}:{lines[i][0]}"
        owner, first = seen.setdefault(run, (package.name, place))
        if owner != package.name:
          shared.add(f"{first} and {place}")
  assert not shared, "\n".join(sorted(shared))


def test_losses_assert_shapes():
  """Not only say them: of arrays that broadcast, which no error shows, something else would be learned."""
  missing = []
  for path in ROOT.glob("packages/*/src/*/jax/losses.py"):
    for node in ast.parse(path.read_text()).body:
      public = isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and len(node.args.args) > 1
      if public and "chex.assert_" not in ast.unparse(node):
        missing.append(f"{path.relative_to(ROOT)}:{node.lineno}: {node.name}")
  assert not missing, missing


def test_the_reverb_stack_has_the_lowest_jax():
  """What the session `lowest` tries need so not be tried beside dm-reverb again."""
  lines = (ROOT / "constraints" / "reverb.txt").read_text().splitlines()
  pinned = dict(line.split("==") for line in lines if "==" in line)
  for requirement in _requirements(ROOT / "packages" / "acme-jax"):
    name, _, rest = requirement.partition(">=")
    if name in ("jax", "dm-haiku", "optax", "rlax"):
      assert pinned[name] == rest.partition(",")[0], requirement


def test_the_stacks_of_both_backends_have_one_jax():
  """Whose compiler knows the options that noxfile.py gives it; XLA ends where it does not."""
  names = ("jax", "jaxlib")
  stacks = [(ROOT / "constraints" / f"{stack}.txt").read_text().splitlines() for stack in ("jax", "tf")]
  ours, theirs = ({line for line in lines if line.partition("==")[0] in names} for lines in stacks)
  assert ours == theirs and len(ours) == len(names)


def test_no_url_in_constraints():
  for path in (ROOT / "constraints").glob("*.txt"):
    assert "://" not in path.read_text(), path


def _lines_of_its_own(path: pathlib.Path) -> list[tuple[int, str]]:
  """Numbered lines, less imports and blanks, with one space for any."""
  imports: set[int] = set()
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import | ast.ImportFrom):
      imports.update(range(node.lineno, node.end_lineno + 1))
  numbered = enumerate(path.read_text().splitlines(), 1)
  return [(i, " ".join(line.split())) for i, line in numbered if line.strip() and i not in imports]


def test_no_script_has_the_name_of_a_package_that_it_would_hide():
  needed = {re.match(r"[\w-]+", each)[0].replace("-", "_") for package in PACKAGES for each in _requirements(package)}
  assert "bsuite" in needed
  assert not needed & {path.stem for path in ROOT.glob("benchmarks/*.py")}
