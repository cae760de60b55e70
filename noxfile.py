"""Every command of the repository: `nox` tests, `nox -s train -- dqn gym:CartPole-v1` trains, `nox -l` lists all.

Packages are found under packages/, never listed here: a new one is tested because it is there.
"""

import functools
import pathlib
import re
import shutil
import subprocess
import tempfile
import tomllib

import nox

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = [
  "lint", "types", "imports", "tests", "isolation", "lowest", "reverb_stack", "reverb_store", "conformance",
  "newest_tf", "pythons", "template", "docs",
]  # fmt: skip

ROOT = pathlib.Path(__file__).parent
DIST = ROOT / "dist"
CONSTRAINTS = ROOT / "constraints"
UV = shutil.which("uv")


# The packages, read from their pyproject.toml.


@functools.cache
def project(name: str) -> dict:
  return tomllib.loads((ROOT / "packages" / name / "pyproject.toml").read_text())["project"]


PACKAGES = sorted(path.parent.name for path in ROOT.glob("packages/*/pyproject.toml"))
AGENTS = {name: list(project(name)["entry-points"]["acme.agents"])[0] for name in PACKAGES
          if "acme.agents" in project(name).get("entry-points", {})}  # fmt: skip


def requirement_name(requirement: str) -> str:
  return re.match(r"[\w-]+", requirement)[0]


@functools.cache
def needs(name: str) -> tuple[str, ...]:
  """The packages of this repository that `name`, or `name[extra,…]`, needs, itself first."""
  package, _, extras = name.rstrip("]").partition("[")
  declared = list(project(package).get("dependencies", []))
  for extra in filter(None, extras.split(",")):
    declared += project(package)["optional-dependencies"][extra]
  found = [package]
  for requirement in map(requirement_name, declared):
    if requirement in PACKAGES and requirement != package:
      found += needs(requirement)
  return tuple(dict.fromkeys(found))


def dependents(name: str) -> list[str]:
  every_extra = {other: ",".join(project(other).get("optional-dependencies", {})) for other in PACKAGES}
  return [other for other, extras in every_extra.items() if name in needs(f"{other}[{extras}]")]


def stack(name: str) -> str:
  """The constraint file whose versions a package lives with: one of the three stacks that never mix."""
  declared = {requirement_name(r) for need in needs(name) for r in project(need).get("dependencies", [])}
  return "reverb" if "dm-reverb" in declared else "tf" if "acme-tf" in declared or name == "acme-tf" else "jax"


def of_stack(*stacks: str) -> list[str]:
  return [name for name in PACKAGES if stack(name) in stacks]


# Building and installing.

# The libraries of acme-experiments have not been tried at their lowest yet; those of TensorFlow are the Reverb stack's.
BOTH = [name for name in AGENTS if "tf" in project(name).get("optional-dependencies", {})]
LOWEST = [name for name in of_stack("jax") if name != "acme-experiments"]
TESTERS = ("pytest", "pytest-xdist")
ON_TWO_CORES = ("-n", "2", "--dist", "worksteal")


@functools.cache
def built() -> dict[str, pathlib.Path]:
  """Builds the wheel of every package once a run of nox, and returns them by package."""
  with tempfile.TemporaryDirectory() as folder:
    for name in PACKAGES:
      source = str(ROOT / "packages" / name)
      command = [UV, "build", "-q", "--wheel", "-o", folder, source] if UV else [
        "pip", "wheel", "-q", "--no-deps", "-w", folder, source]  # fmt: skip
      subprocess.run(command, check=True)
    shutil.rmtree(DIST, ignore_errors=True)
    shutil.copytree(folder, DIST)
  return {name: next(DIST.glob(f"{name.replace('-', '_')}-*.whl")) for name in PACKAGES}


def wheel(name: str, extra: str | None = None) -> str:
  path = built()[name]
  return f"{path}[{extra}]" if extra else str(path)


def all_extras(name: str) -> str:
  """The extras of a package; the other backend has a session of its own."""
  return ",".join(extra for extra in project(name).get("optional-dependencies", {}) if extra != "tf")


def install(session: nox.Session, *names: str, constraints: str | None = "jax", others: tuple[str, ...] = ()) -> None:
  """Installs built wheels with their needs from this repository, and other requirements, under a constraint file."""
  wheels = {need: wheel(need) for name in names for need in needs(name)}
  for name in names:
    package, _, extra = name.partition("[")
    wheels[package] = wheel(package, extra.rstrip("]") or None)
  options = ["-c", str(CONSTRAINTS / f"{constraints}.txt")] if constraints else []
  # The version stays the same from build to build, so an older build must not stand in for this one.
  fresh = [f"--reinstall-package={name}" for name in wheels] if session.venv_backend == "uv" else ["--force-reinstall"]
  session.install("-q", *options, *fresh, *wheels.values(), *others)


# Two workers on two cores: a thread each.
TEST_ENVIRONMENT = {
  "OMP_NUM_THREADS": "1",
  "TF_NUM_INTRAOP_THREADS": "1",
  "TF_NUM_INTEROP_THREADS": "1",
  "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
  # What one test has compiled, another need not: most of the time of small tests is XLA's.
  "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".nox" / "compiled"),
  "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
  "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}


def pytest(session: nox.Session, *args: str) -> None:
  session.env.update(TEST_ENVIRONMENT)
  with tempfile.TemporaryDirectory() as folder:  # Away from the sources, so that what is tested is what was installed.
    session.chdir(folder)
    options = () if "--markdown-docs" in args else ON_TWO_CORES
    session.run(
      "pytest", *options, "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT), "-p", "no:cacheprovider", *args
    )
    session.chdir(ROOT)


def with_extras(name: str) -> str:
  return f"{name}[{all_extras(name)}]" if all_extras(name) else name


# What a user runs.


@nox.session
def train(session: nox.Session) -> None:
  """Train an agent: nox -s train -- AGENT ENV [options of `acme run`]."""
  if len(session.posargs) < 2:
    session.error("Expected an agent and an environment: nox -s train -- dqn gym:CartPole-v1")
  agent, environment = session.posargs[:2]
  by_name = {agent: package for package, agent in AGENTS.items()}
  if agent not in by_name:
    session.error(f"No agent is called {agent!r}; there are {', '.join(sorted(by_name))}.")
  extra = environment.partition(":")[0]
  suites = project("acme-envs").get("optional-dependencies", {})
  chosen = f"[{extra}]" if extra in suites else ""
  editable: list[str] = []
  for name in sorted({*needs(by_name[agent]), *needs("acme-experiments")}):
    editable += ["-e", str(ROOT / "packages" / name) + (chosen if name == "acme-envs" else "")]
  session.install("-q", *editable, "-c", str(CONSTRAINTS / "jax.txt"))
  session.run("acme", "run", *session.posargs)


@nox.session
def build(session: nox.Session) -> None:
  """Build the wheel of every package into dist/."""
  session.log("Built " + ", ".join(path.name for path in built().values()))


# Tests.


@nox.session
@nox.parametrize("package", of_stack("jax", "tf"), ids=of_stack("jax", "tf"))
def tests(session: nox.Session, package: str) -> None:
  """A package's tests, against its built wheel."""
  wanted = (with_extras(package), "acme-testing", *test_needs(package))
  install(session, *wanted, constraints=stack(package), others=TESTERS)
  pytest(session, str(ROOT / "packages" / package / "tests"), *session.posargs)


@nox.session
def reverb_store(session: nox.Session) -> None:
  """Both stores through one suite, and runs of `acme` on a Reverb server."""
  packages = ("acme-reverb", "acme-testing", "acme-replay", "acme-experiments", "acme-dqn[tf]", "acme-envs[bsuite]")
  install(session, *packages, constraints="reverb", others=TESTERS)
  tests = (str(ROOT / "packages" / "acme-reverb" / "tests"), str(ROOT / "tests" / "test_reverb_runs.py"))
  pytest(session, *tests, "--dist", "loadfile", *session.posargs)  # A file's tests share its server.


def test_needs(package: str) -> list[str]:
  """What else a package's tests import: `test-needs` of [tool.acme] in its pyproject.toml."""
  text = tomllib.loads((ROOT / "packages" / package / "pyproject.toml").read_text())
  return text.get("tool", {}).get("acme", {}).get("test-needs", [])


@nox.session
@nox.parametrize("package", PACKAGES, ids=PACKAGES)
def isolation(session: nox.Session, package: str) -> None:
  """A package installed with only what it declares: all its modules import, and no more came than it may bring."""
  install(session, package, constraints=None)
  session.run("python", str(ROOT / "tests" / "isolation.py"), package)


@nox.session
@nox.parametrize("package", LOWEST, ids=LOWEST)
def lowest(session: nox.Session, package: str) -> None:
  """A package's tests on the lowest versions that it declares; those of TensorFlow are the Reverb stack's."""
  if session.venv_backend != "uv":
    session.skip("only uv resolves to the lowest versions: pip install uv")
  wheels = {need: wheel(need) for other in ("acme-testing", *test_needs(package), package)
            for need in needs(other)}  # fmt: skip
  wheels[package] = wheel(package, all_extras(package) or None)
  fresh = [f"--reinstall-package={name}" for name in wheels]
  session.install("-q", "--resolution=lowest-direct", *fresh, *wheels.values(), "pytest>=8", "pytest-xdist>=3.5")
  learns = "--ignore-glob=*_learns.py"  # Whether it learns is seen with other versions.
  pytest(session, str(ROOT / "packages" / package / "tests"), "-m", "not slow", learns, *session.posargs)


@nox.session
def reverb_stack(session: nox.Session) -> None:
  """Both backends of every agent, beside dm-reverb: JAX and TensorFlow of the versions that it lives with."""
  packages = [name for name in PACKAGES if {"acme-jax", "acme-tf"} & set(needs(name))]
  wanted = [f"{name}[tf]" if "tf" in project(name).get("optional-dependencies", {}) else name for name in packages]
  install(session, *wanted, "acme-testing", "acme-envs[gym,bsuite]", constraints="reverb", others=TESTERS)
  pytest(session, *[str(ROOT / "packages" / name / "tests") for name in packages], "-m", "not slow", *session.posargs)


@nox.session
@nox.parametrize("package", list(AGENTS), ids=list(AGENTS))
def conformance(session: nox.Session, package: str) -> None:
  """The conformance battery, for each package with an agent, on its default backend and versions that are newest."""
  install(session, package, "acme-testing", constraints=stack(package), others=TESTERS)
  pytest(session, "--pyargs", "acme_testing", f"--acme-agent={AGENTS[package]}", *session.posargs)


@nox.session
def newest_tf(session: nox.Session) -> None:
  """The other backend of agents that have two, on the newest TensorFlow."""
  install(session, *(f"{name}[tf]" for name in BOTH), "acme-testing", "acme-envs[gym,bsuite]", constraints="tf",
          others=TESTERS)  # fmt: skip
  tests = sorted(str(path) for name in BOTH for path in (ROOT / "packages" / name / "tests").glob("test_*tf*.py"))
  pytest(session, *tests, "-m", "not slow", *session.posargs)


@nox.session
@nox.parametrize("package", BOTH, ids=BOTH)
def conformance_tf(session: nox.Session, package: str) -> None:
  """The battery on an agent's other backend; by name, since tracing makes it take minutes."""
  install(session, f"{package}[tf]", "acme-testing", constraints="tf", others=TESTERS)
  pytest(session, "--pyargs", "acme_testing", f"--acme-agent={AGENTS[package]}@tf", *session.posargs)


@nox.session(python=["3.12", "3.13"])
def pythons(session: nox.Session) -> None:
  """The core packages and the agents on newer Pythons."""
  packages = [name for name in of_stack("jax") if name == "acme-core" or name in AGENTS]
  install(session, *packages, "acme-testing", "acme-envs[gym,bsuite]", constraints=None, others=TESTERS)
  pytest(session, *[str(ROOT / "packages" / name / "tests") for name in packages], "-m", "not slow", *session.posargs)


@nox.session
def template(session: nox.Session) -> None:
  """The package that `acme new-agent` writes: rendered, built, and held to the battery as it stands."""
  install(session, "acme-experiments", "acme-jax", "acme-replay", "acme-testing", "acme-envs[gym]", others=TESTERS)
  folder = str(pathlib.Path(session.create_tmp()).resolve())
  shutil.rmtree(pathlib.Path(folder) / "acme-example", ignore_errors=True)
  session.run("acme", "new-agent", "example", "--out", folder)
  fresh = "--reinstall-package=acme-example" if session.venv_backend == "uv" else "--force-reinstall"
  example = str(pathlib.Path(folder) / "acme-example")
  session.install("-q", fresh, example, "--find-links", str(DIST), "-c", str(CONSTRAINTS / "jax.txt"))
  pytest(session, "--pyargs", "acme_testing", "--acme-agent=example")
  pytest(session, str(pathlib.Path(folder) / "acme-example" / "tests"))


@nox.session
def docs(session: nox.Session) -> None:
  """The Python in README files runs, the cross-package tests of tests/ pass."""
  packages = of_stack("jax")
  install(session, *packages, "acme-envs[gym,bsuite]", others=(*TESTERS, "pytest-markdown-docs"))
  readmes = [str(ROOT / "README.md"), *(str(ROOT / "packages" / name / "README.md") for name in packages)]
  pytest(session, str(ROOT / "tests"), *session.posargs)
  pytest(session, "--markdown-docs", *readmes)


# Long measurements, outside CI.


@nox.session
def kills(session: nox.Session) -> None:
  """Kill runs 1,000 times, and DQN's 40 times, anywhere, writes included, and compare with one never stopped."""
  install(session, "acme-experiments[gym]", "acme-dqn", "acme-testing", others=TESTERS)
  tests = str(ROOT / "packages" / "acme-experiments" / "tests" / "test_experiments_resume.py")
  session.env["ACME_KILLS"] = session.posargs[0] if session.posargs else "1000"
  pytest(session, tests, "-k", "lose_nothing", "-rP")


@nox.session
def learning(session: nox.Session) -> None:
  """Learning tables: nox -s learning -- dqn gym:CartPole-v1 --steps 50000 --seeds 0-9 --bar 475."""
  install(session, *of_stack("jax"), "acme-envs[gym,bsuite,dm_control]")
  session.run("python", "benchmarks/learning.py", *session.posargs)


@nox.session
def benchmark(session: nox.Session) -> None:
  """Speed against peers, each in an environment of its own; tables and a plot in benchmarks/results."""
  install(session, "acme-dqn", "acme-d4pg", "acme-envs[gym]", others=("matplotlib",))
  peers = str(ROOT / ".nox" / "peers")
  session.run("python", "benchmarks/make_peers.py", peers)
  session.run("python", "benchmarks/speed.py", "--peers", peers, *session.posargs)
  session.run("python", "benchmarks/time_to_solve.py", "--peers", peers)


# Habits.


@nox.session
def lint(session: nox.Session) -> None:
  """Lint and format."""
  session.install("-q", "ruff", "-c", str(CONSTRAINTS / "tools.txt"))
  session.run("ruff", "check", ".")
  session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
  """Types, strict for core."""
  install(session, *of_stack("jax"), "acme-envs[gym]", others=("mypy", "-c", str(CONSTRAINTS / "tools.txt")))
  if others := of_stack("tf", "reverb"):
    session.install("-q", "--no-deps", *map(wheel, others))  # Without TensorFlow, which has no types.
  session.run("mypy", "--strict", "--allow-any-generics", "--allow-subclassing-any", "-p", "acme")
  for name in PACKAGES:
    if name != "acme-core":
      session.run("mypy", "-p", name.replace("-", "_"))


@nox.session
def imports(session: nox.Session) -> None:
  """Who may import whom."""
  session.install("-q", "import-linter", "-c", str(CONSTRAINTS / "tools.txt"))
  session.install("-q", "--no-deps", *map(wheel, PACKAGES))  # It reads them, and imports nothing.
  session.run("lint-imports")


@nox.session
def changed(session: nox.Session) -> None:
  """The sessions of what differs from a revision (main unless given), and of all that depends on it."""
  base = session.posargs[0] if session.posargs else "main"
  diff = subprocess.run(
    ["git", "diff", "--name-only", base], cwd=ROOT, check=True, capture_output=True, text=True
  ).stdout.splitlines()
  touched = {match[1] for path in diff if (match := re.match(r"packages/([\w-]+)/", path))} & set(PACKAGES)
  if any(not path.startswith("packages/") for path in diff):
    touched = set(PACKAGES)
  affected = sorted({dependent for name in touched for dependent in dependents(name)})
  session.log(f"Changed: {', '.join(sorted(touched)) or 'nothing'}; affected: {', '.join(affected) or 'nothing'}")
  for name in affected:
    for kind in ("tests", "isolation", *(["conformance"] if name in AGENTS else [])):
      session.notify(f"{kind}({name})")
  if affected:
    for kind in ("lint", "types", "imports"):
      session.notify(kind)
