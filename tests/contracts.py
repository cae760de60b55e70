"""Who may import whom: writes import-linter's contracts for what lies in packages/, and checks README's table.

python tests/contracts.py CONFIG

What lies below the agents has its place here; an agent's is what its own pyproject.toml declares.
"""

import pathlib
import re
import sys
import tomllib

ROOT = pathlib.Path(__file__).parents[1]
BELOW = {
  "acme-core": [],
  "acme-replay": ["acme-core"],
  "acme-testing": ["acme-core", "acme-jax", "acme-replay"],  # The last two in some of its modules, WITH_MORE.
  "acme-envs": ["acme-core"],
  "acme-jax": ["acme-core"],
  "acme-tf": ["acme-core"],
  "acme-reverb": ["acme-core", "acme-replay"],
  "acme-anakin": ["acme-core", "acme-jax", "acme-replay"],
  "acme-ray": ["acme-core", "acme-replay"],
  "acme-experiments": ["acme-core", "acme-envs", "acme-replay"],
}
WITH_MORE = ("tiny", "programs", "runs")  # Of acme_testing: they need what the agent that is tested brings.
BACKENDS = ["jax", "jaxlib", "haiku", "optax", "rlax", "chex", "tensorflow", "sonnet", "trfl", "reverb"]
OTHERS = ["gymnasium", "gym", "pandas", "matplotlib", "rich", "tyro", "ray"]


def packages(root: pathlib.Path = ROOT) -> dict[str, dict]:
  """The projects under packages/, by name."""
  paths = sorted(root.glob("packages/*/pyproject.toml"))
  return {path.parent.name: tomllib.loads(path.read_text())["project"] for path in paths}


def module(package: str) -> str:
  return {"acme-core": "acme"}.get(package, package.replace("-", "_"))


def declared(project: dict) -> list[str]:
  """The names of all requirements, those of extras too."""
  requirements = project.get("dependencies", []) + sum(project.get("optional-dependencies", {}).values(), [])
  return [re.match(r"[\w-]+", requirement)[0] for requirement in requirements]


def forbidden(package: str, projects: dict[str, dict]) -> list[str]:
  """The packages that one must not import: what does not lie below it, or what an agent does not declare."""
  allowed = BELOW.get(package, [name for name in declared(projects[package]) if name != "acme-experiments"])
  return [name for name in projects if name != package and name not in allowed]


def missing_in_readme(projects: dict[str, dict], root: pathlib.Path = ROOT) -> list[str]:
  """What to write into README.md: the packages that its table lacks."""
  table = (root / "README.md").read_text()
  return [
    f"README.md, What there is: add a line for packages/{name}, such as\n"
    f"| [{name}](packages/{name}) | `{module(name)}` | {project['description']} |"
    for name, project in projects.items()
    if f"](packages/{name})" not in table
  ]


def config(projects: dict[str, dict], root: pathlib.Path = ROOT) -> str:
  """The contracts as import-linter reads them."""
  sections = [_section("importlinter", root_packages=list(map(module, projects)), include_external_packages="True")]

  def forbid(name: str, sources: list[str], targets: list[str], indirect: bool = False) -> None:
    if sources and targets:
      key, options = f"importlinter:contract:{len(sections)}", {"allow_indirect_imports": str(indirect)}
      sections.append(
        _section(key, name=name, type="forbidden", source_modules=sources, forbidden_modules=targets, **options)
      )

  forbid("acme-core needs dm-env, dm-tree and numpy, and nothing else", ["acme"], BACKENDS + OTHERS)
  for package in projects:
    below = BELOW.get(package)
    why = "what it declares" if below is None else ", ".join(below) or "none"
    forbid(
      f"{package} knows of the others: {why}", [module(package)], list(map(module, forbidden(package, projects))), True
    )
  agents = [name for name in projects if "acme.agents" in projects[name].get("entry-points", {})]
  configs = [module(name) for name in agents if list(root.glob(f"packages/{name}/src/*/config.py"))]
  backends = [name for name in ("acme_jax", "acme_tf", "acme_reverb") if name.replace("_", "-") in projects]
  forbid("The config of an agent loads no backend", [f"{name}.config" for name in configs], BACKENDS + backends)
  source = root / "packages" / "acme-testing" / "src" / "acme_testing"
  parts = sorted({path.stem for path in source.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()})
  others = [f"acme_testing.{part}" for part in parts if part not in ("__init__", *WITH_MORE)]
  name = f"Of acme-testing {', '.join(WITH_MORE)} alone know JAX or replay"
  forbid(name, others, ["acme_jax", "acme_replay", *BACKENDS], True)
  return "\n".join(sections)


def _section(section: str, **options: str | list[str]) -> str:
  lines = [f"[{section}]"]
  for key, value in options.items():
    lines.append(f"{key} = " + (value if isinstance(value, str) else "".join(f"\n    {each}" for each in value)))
  return "\n".join([*lines, ""])


if __name__ == "__main__":
  found = packages()
  if missing := missing_in_readme(found):
    sys.exit("\n".join(missing))
  pathlib.Path(sys.argv[1]).write_text(config(found))
