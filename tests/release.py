"""What is missing before packages may be released, a line each; nothing where nothing is: `nox -s release` asks.

python tests/release.py acme-dqn            # what is missing
python tests/release.py --oldest acme-dqn   # the tags of the oldest siblings that it admits, but for those as they are

Below 1.0 a sibling is asked for by one minor version. The oldest one that a range admits is the oldest released one
in it, or, where none has been released yet, what lies in the repository.
"""

import pathlib
import re
import subprocess
import sys
import tomllib
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

ROOT = pathlib.Path(__file__).parents[1]


def project(name: str, root: pathlib.Path = ROOT) -> dict[str, Any]:
  return tomllib.loads((root / "packages" / name / "pyproject.toml").read_text())["project"]


def version(name: str, root: pathlib.Path = ROOT) -> Version:
  """What the sources of a package say."""
  (init,) = (root / "packages" / name).glob("src/*/__init__.py")
  return Version(re.search(r'^__version__ = "(.+)"', init.read_text(), re.MULTILINE)[1])


def released(name: str, tags: list[str]) -> list[Version]:
  """The versions of a package that have a tag, the oldest first."""
  pattern = re.compile(rf"{re.escape(name)}-(\d[\w.]*)")
  return sorted(Version(match[1]) for tag in tags if (match := pattern.fullmatch(tag)))


def tags() -> list[str]:
  command = ["git", "tag", "--list"]
  return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()


def siblings(name: str, root: pathlib.Path = ROOT) -> dict[str, SpecifierSet]:
  """The ranges that a package asks of others of the repository, extras included."""
  declared = project(name, root)
  requirements = declared.get("dependencies", []) + sum(declared.get("optional-dependencies", {}).values(), [])
  found: dict[str, SpecifierSet] = {}
  for each in map(Requirement, requirements):
    if each.name != name and (root / "packages" / each.name).is_dir():
      found[each.name] = found.get(each.name, SpecifierSet()) & each.specifier
  return found


def oldest(asked: SpecifierSet, of: str, known: list[str], root: pathlib.Path = ROOT) -> Version | None:
  """The oldest version of a sibling that a range admits, of those released and the one in the repository."""
  admitted = [each for each in [*released(of, known), version(of, root)] if each in asked]
  return min(admitted, default=None)


def older(name: str, known: list[str], root: pathlib.Path = ROOT) -> list[str]:
  """The tags of the oldest siblings that a package admits, where they are not those in the repository."""
  found = ((of, oldest(asked, of, known, root)) for of, asked in siblings(name, root).items())
  return [f"{of}-{which}" for of, which in found if which is not None and which != version(of, root)]


def faults(name: str, known: list[str], root: pathlib.Path = ROOT) -> list[str]:
  """What is missing before a package may be released, beside what its wheel shows."""
  now, before = version(name, root), released(name, known)
  found = []
  if before and now <= before[-1]:
    found.append(f"version: expected one above {before[-1]}, which is released, got {now}: raise __version__")
  text = (root / "packages" / name / "CHANGELOG.md").read_text()
  head = re.search(r"^## (.*)", text, re.MULTILINE)
  wanted = rf"{re.escape(str(now))} \(\d{{4}}-\d\d-\d\d\)"
  if head is None or not re.fullmatch(wanted, head[1]):
    got = "no section" if head is None else f'"## {head[1]}"'
    found.append(f'CHANGELOG.md: expected "## {now} (YYYY-MM-DD)" at the top, got {got}: date it on the day')
  for sibling, asked in siblings(name, root).items():
    if not str(asked):
      found.append(f"{sibling}: expected a range of versions, got none: ask for a minor version, such as >=0.2,<0.3")
    elif version(sibling, root) not in asked:
      found.append(f"{sibling}: {asked} leaves out {version(sibling, root)}, which lies beside it: raise the range")
    elif version(sibling, root) not in released(sibling, known):
      found.append(f"{sibling}: {version(sibling, root)} is not released yet: release it first")
  return found


if __name__ == "__main__":
  wanted, packages = (older, sys.argv[2:]) if sys.argv[1] == "--oldest" else (faults, sys.argv[1:])
  for package in packages:
    for line in wanted(package, tags()):
      print(f"{package}: {line}")
