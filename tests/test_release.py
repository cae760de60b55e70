"""What `nox -s release` finds missing, and that siblings ask for versions of each other that there are."""

import importlib.util
import pathlib

import pytest
from packaging.version import Version

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = sorted(path.parent.name for path in ROOT.glob("packages/*/pyproject.toml"))

_spec = importlib.util.spec_from_file_location("release", ROOT / "tests" / "release.py")
release = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(release)


@pytest.mark.parametrize("package", PACKAGES)
def test_the_oldest_sibling_that_a_range_admits_is_known(package):
  """The lowest version that a range names is released, or is the one that all tests here run with.

  While nothing has been released the oldest of each sibling is the one beside it; from the first tag on, `nox -s
  siblings` installs the oldest ones.
  """
  tags = release.tags()
  for sibling, asked in release.siblings(package).items():
    lowest = {Version(each.version) for each in asked if each.operator == ">="}
    found = release.oldest(asked, sibling, tags)
    assert found is not None, f"{package} asks for {sibling}{asked}, and there is {release.version(sibling)}"
    assert lowest == {found}, f"{package} asks for {sibling}{asked}; the oldest there is in that range is {found}"


@pytest.fixture
def tree(tmp_path):
  """A repository of two packages, of which the second needs the first."""

  def write(version="0.2.1", changelog="## 0.2.1 (2026-11-28)", asked='["acme-one>=0.2,<0.3"]'):
    for name, of, log, needs in (
      ("acme-one", "0.2.0", "## 0.2.0 (2026-11-01)", "[]"),
      ("acme-two", version, changelog, asked),
    ):
      package = tmp_path / "packages" / name
      (package / "src" / "module").mkdir(parents=True)
      (package / "src" / "module" / "__init__.py").write_text(f'__version__ = "{of}"\n')
      (package / "pyproject.toml").write_text(f'[project]\nname = "{name}"\ndependencies = {needs}\n')
      (package / "CHANGELOG.md").write_text(f"# Changelog\n\n{log}\n\n- A line.\n")
    return tmp_path

  return write


TAGS = ["acme-one-0.2.0", "acme-two-0.2.0", "acme-two-more-9.0"]


@pytest.mark.parametrize(
  ("given", "expected"),
  [
    ({}, None),
    ({"version": "0.2.0", "changelog": "## 0.2.0 (2026-11-28)"}, "version: expected one above 0.2.0"),
    ({"changelog": "## 0.2.1"}, 'expected "## 0.2.1 (YYYY-MM-DD)" at the top, got "## 0.2.1"'),
    ({"changelog": "## 0.2.0 (2026-11-28)"}, 'got "## 0.2.0 (2026-11-28)"'),
    ({"changelog": ""}, "got no section"),
    ({"asked": '["acme-one"]'}, "acme-one: expected a range"),
    ({"asked": '["acme-one>=0.1,<0.2"]'}, "leaves out 0.2.0"),
  ],
)
def test_what_is_missing_is_said(tree, given, expected):
  found = release.faults("acme-two", TAGS, tree(**given))
  assert found == [] if expected is None else len(found) == 1 and expected in found[0]


def test_siblings_are_released_first(tree):
  assert release.faults("acme-two", [], tree()) == ["acme-one: 0.2.0 is not released yet: release it first"]


def test_the_oldest_released_sibling_is_found(tree):
  root = tree()
  asked = release.siblings("acme-two", root)["acme-one"]
  known = ["acme-one-0.1.9", "acme-one-0.2.0rc1", "acme-one-0.2.0.post1"]
  assert release.oldest(asked, "acme-one", known, root) == Version("0.2.0")
  assert release.older("acme-two", known, root) == []
  (root / "packages" / "acme-one" / "src" / "module" / "__init__.py").write_text('__version__ = "0.2.3"\n')
  assert release.older("acme-two", [*known, "acme-one-0.2.2"], root) == ["acme-one-0.2.0.post1"]
