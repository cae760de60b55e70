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
import zipfile
from concurrent import futures

import nox
from packaging.specifiers import SpecifierSet
from packaging.version import Version

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = [
  "lint", "types", "imports", "tests", "isolation", "lowest", "reverb_stack", "reverb_store", "ray", "conformance",
  "pythons-3.13", "template", "docs",
]  # fmt: skip

ROOT = pathlib.Path(__file__).parent
DIST = ROOT / "dist"
CONSTRAINTS = ROOT / "constraints"
UV = shutil.which("uv")


# The packages, read from their pyproject.toml.


@functools.cache
def pyproject(name: str) -> dict:
  return tomllib.loads((ROOT / "packages" / name / "pyproject.toml").read_text())


def project(name: str) -> dict:
  return pyproject(name)["project"]


def tool(name: str) -> dict:
  """What a package says to this file."""
  return pyproject(name).get("tool", {}).get("acme", {})


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
  """The constraint file whose versions a package lives with, one of the three stacks that never mix, or as it says."""
  if "stack" in tool(name):
    return tool(name)["stack"]
  declared = {requirement_name(r) for need in needs(name) for r in project(need).get("dependencies", [])}
  return "reverb" if "dm-reverb" in declared else "tf" if "acme-tf" in declared or name == "acme-tf" else "jax"


def of_stack(*stacks: str) -> list[str]:
  return [name for name in PACKAGES if stack(name) in stacks]


# Building and installing.

# The libraries of acme-experiments have not been tried at their lowest yet; those of TensorFlow are the Reverb stack's.
BOTH = [name for name in AGENTS if "tf" in project(name).get("optional-dependencies", {})]
LOWEST = [name for name in of_stack("jax") if name != "acme-experiments"]
STACKS = ("jax", "tf")  # Each has an environment of its own in a session; the Reverb stack has sessions of its own.
TESTERS = ("pytest", "pytest-xdist")
ON_TWO_CORES = ("-n", "2", "--dist", "worksteal")


@functools.cache
def built() -> dict[str, pathlib.Path]:
  """Builds the wheel of every package once a run of nox, and returns them by package."""
  with tempfile.TemporaryDirectory() as folder, futures.ThreadPoolExecutor(2) as pool:
    command = [UV, "build", "-q", "--wheel", "-o"] if UV else ["pip", "wheel", "-q", "--no-deps", "-w"]
    commands = [[*command, folder, str(ROOT / "packages" / name)] for name in PACKAGES]
    list(pool.map(functools.partial(subprocess.run, check=True), commands))
    shutil.rmtree(DIST, ignore_errors=True)
    shutil.copytree(folder, DIST)
  return {name: next(DIST.glob(f"{name.replace('-', '_')}-*.whl")) for name in PACKAGES}


def wheel(name: str, extra: str | None = None) -> str:
  path = built()[name]
  return f"{path}[{extra}]" if extra else str(path)


def extras(name: str) -> dict[str, list[str]]:
  """What the extras of a package require, but for those with a session of their own: tf, and its `extras-apart`."""
  apart = ["tf", *tool(name).get("extras-apart", [])]
  return {
    extra: needed for extra, needed in project(name).get("optional-dependencies", {}).items() if extra not in apart
  }


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
  # Many tests start processes; each would compile the sources of all that it imports, for five seconds of those of JAX.
  "PYTHONDONTWRITEBYTECODE": "",
  # What one test has compiled, another need not: most of the time of small tests is XLA's.
  "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".nox" / "compiled"),
  "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
  "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}


QUICK = "not slow and not long"  # For those tests that another session has, too.

# Where hardly anything runs for long, what XLA compiles is quicker compiled badly.
COMPILE_QUICKLY = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
# Half the time of that; but XLA ends where it does not know an option, so with the JAX of jax.txt and tf.txt alone.
COMPILE_QUICKEST = f"{COMPILE_QUICKLY} --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"


def pytest(session: nox.Session, *args: str, xla: str = "", marked: str = "not long") -> None:
  """Runs tests, by default none that take long; `xla` has options of its compiler."""
  session.env.update(TEST_ENVIRONMENT)
  session.env["XLA_FLAGS"] = f"{TEST_ENVIRONMENT['XLA_FLAGS']} {xla}"
  with tempfile.TemporaryDirectory() as folder:  # Away from the sources, so that what is tested is what was installed.
    session.chdir(folder)
    session.run(
      "pytest", *ON_TWO_CORES, "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT), "-p", "no:cacheprovider",
      "-m", marked, *args
    )  # fmt: skip
    session.chdir(ROOT)


def with_extras(name: str) -> str:
  return f"{name}[{','.join(extras(name))}]" if extras(name) else name


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


# Tests. Those of packages run together: an environment for each stack, not for each package.


def chosen(session: nox.Session, among: list[str]) -> tuple[list[str], list[str]]:
  """The packages named after `--`, all of `among` where none is, and the other arguments, which are pytest's."""
  agents = {agent: package for package, agent in AGENTS.items()}
  names = [agents.get(argument, argument) for argument in session.posargs]
  named = [name for name in names if name in PACKAGES]
  rest = [name for name in names if name not in PACKAGES]
  if named and not set(named) & set(among):
    session.skip(f"nothing to do here for {', '.join(named)}")
  return [name for name in among if not named or name in named], rest


def tests_of(package: str, pattern: str = "test_*.py") -> list[str]:
  return sorted(map(str, (ROOT / "packages" / package / "tests").glob(pattern)))


@nox.session
@nox.parametrize("stack", STACKS, ids=STACKS)
def tests(session: nox.Session, stack: str) -> None:
  """All tests, against built wheels; of some packages: nox -s tests -- acme-dqn."""
  packages, options = chosen(session, of_stack("jax") if stack == "jax" else of_stack("tf") + BOTH)
  with_tf = BOTH if stack == "tf" else []  # Of agents with both backends, the tests of this one.
  patterns = {name: ("test_*tf*.py", "test_*parity*.py") for name in with_tf}
  files = [file for name in packages for each in patterns.get(name, ("test_*.py",)) for file in tests_of(name, each)]
  if stack == "jax":
    wanted = [with_extras(name) for name in of_stack("jax")]
  else:
    wanted = [*of_stack("tf"), *(f"{name}[tf]" for name in BOTH), "acme-envs[gym,bsuite]", "acme-testing"]
  install(session, *wanted, constraints=stack, others=TESTERS)
  pytest(session, *files, *options, xla=COMPILE_QUICKEST, marked="not long" if stack == "jax" else QUICK)


@nox.session
def long(session: nox.Session) -> None:
  """The learning tests, and the checks of presets, that no other session has; by name, since they take an hour."""
  packages, options = chosen(session, of_stack("jax"))
  install(session, *(with_extras(name) for name in of_stack("jax")), others=TESTERS)
  pytest(session, *(file for name in packages for file in tests_of(name)), *options, marked="long")
  agents = [AGENTS[name] for name in packages if name in AGENTS]
  if agents:
    battery(session, *agents, options=options, marked="long")


@nox.session
@nox.parametrize("stack", STACKS, ids=STACKS)
def conformance(session: nox.Session, stack: str) -> None:
  """The conformance battery on every agent, or some: nox -s conformance -- dqn. Each on its default backend."""
  packages, options = chosen(session, [name for name in AGENTS if name in of_stack(stack)])
  if not packages:
    session.skip(f"no agent has {stack} as its default")
  install(session, *(name for name in AGENTS if name in of_stack(stack)), "acme-testing", constraints=stack,
          others=TESTERS)  # fmt: skip
  xla = COMPILE_QUICKEST if stack == "jax" else COMPILE_QUICKLY
  battery(session, *(AGENTS[name] for name in packages), options=options, xla=xla)


@nox.session
def conformance_tf(session: nox.Session) -> None:
  """The battery on agents' other backend; by name, since tracing makes it take minutes."""
  packages, options = chosen(session, BOTH)
  install(session, *(f"{name}[tf]" for name in BOTH), "acme-testing", constraints="tf", others=TESTERS)
  battery(session, *(f"{AGENTS[name]}@tf" for name in packages), options=options)


def battery(
  session: nox.Session, *agents: str, options: list[str] | None = None, xla: str = COMPILE_QUICKLY,
  marked: str = "not long",
) -> None:  # fmt: skip
  named = [f"--acme-agent={agent}" for agent in agents]
  # It is a package's module, which the oldest pytest cannot import from its path alone.
  command = ("--import-mode=prepend", "--pyargs", "acme_testing", *named, *(options or []))
  pytest(session, *command, xla=xla, marked=marked)


@nox.session
def isolation(session: nox.Session) -> None:
  """Each package alone with what it declares: all its modules import, and no more came than it may bring."""
  packages, _ = chosen(session, PACKAGES)
  folder, own = pathlib.Path(session.create_tmp()).resolve(), str(pathlib.Path(session.bin) / "python")
  built()
  with futures.ThreadPoolExecutor(2) as pool:  # Two cores.
    for package, done in [(package, pool.submit(alone, package, folder, own)) for package in packages]:
      if error := done.exception():
        session.error(f"{package}: {error}")


def environment(target: pathlib.Path, python: str) -> list[str]:
  """Makes an environment beside the session's own, and returns the command that installs into it."""
  shutil.rmtree(target, ignore_errors=True)
  made = str(target / "bin" / "python")
  subprocess.run([UV, "venv", "-q", "--python", python, target] if UV else [python, "-m", "venv", target], check=True)
  return [UV, "pip", "install", "-q", "--python", made] if UV else [made, "-m", "pip", "install", "-q"]


def alone(package: str, folder: pathlib.Path, python: str) -> None:
  """Installs a package's wheel, with what it declares and no more, and imports all its modules."""
  target = folder / package
  subprocess.run([*environment(target, python), *(wheel(need) for need in needs(package))], check=True)
  subprocess.run([target / "bin" / "python", ROOT / "tests" / "isolation.py", package], check=True)
  shutil.rmtree(target)


@nox.session
def lowest(session: nox.Session) -> None:
  """What lies below agents, and that agents resume, on the lowest versions that they declare, all in one environment.

  Their lower bounds agree (tests/test_repository.py), so it is each one's own. TensorFlow's are the Reverb stack's.
  """
  if session.venv_backend != "uv":
    session.skip("only uv resolves to the lowest versions: pip install uv")
  packages, options = chosen(session, LOWEST)
  wheels = {need: wheel(need) for name in LOWEST for need in needs(name)}
  fresh = [f"--reinstall-package={name}" for name in wheels]
  # What a wheel requires is not direct, and would come at its highest: so it is asked for here, too.
  direct = {
    requirement for name in LOWEST for requirement in declared(name) if requirement_name(requirement) not in wheels
  }
  session.install("-q", "--resolution=lowest-direct", *fresh, *wheels.values(), *sorted(direct), "pytest-xdist>=3.5")
  resumes(session, packages, options)


def declared(name: str) -> list[str]:
  """What a package requires, with its extras."""
  return project(name).get("dependencies", []) + sum(extras(name).values(), [])


def resumes(session: nox.Session, packages: list[str], options: list[str], tf: bool = False) -> None:
  """Of other versions: all tests of what lies below agents; of agents, whose equations do not change, that they resume.

  That takes all of an agent: it acts, learns, saves, restores, and does so again. With `tf` on that backend.
  """
  below = [name for name in packages if name not in AGENTS]
  files = [file for name in below for file in tests_of(name, tool(name).get("quick-tests", "test_*.py"))]
  if files:
    pytest(session, *files, *options, xla=COMPILE_QUICKLY, marked=QUICK)
  agents = [AGENTS[name] + ("@tf" if tf and name in BOTH else "") for name in packages if name in AGENTS]
  if agents:
    # By default; of no preset.
    battery(session, *agents, options=["-k", "check_resume_is_exact]", *options])


@nox.session(python=["3.12", "3.13"])
def pythons(session: nox.Session) -> None:
  """The core package and the agents on newer Pythons: by default on the newest, pythons-3.12 by name."""
  packages, options = chosen(session, [name for name in of_stack("jax") if name == "acme-core" or name in AGENTS])
  names = [name for name in of_stack("jax") if name == "acme-core" or name in AGENTS]
  install(session, *names, "acme-testing", "acme-envs[gym,bsuite]", constraints=None, others=TESTERS)
  resumes(session, packages, options)


@nox.session
def reverb_stack(session: nox.Session) -> None:
  """What needs TensorFlow on the version that dm-reverb lives with; its JAX is the lowest, which `lowest` tries."""
  names = of_stack("tf") + BOTH
  packages, options = chosen(session, names)
  wanted = [f"{name}[tf]" if name in BOTH else name for name in names]
  install(session, *wanted, "acme-testing", "acme-envs[gym,bsuite]", constraints="reverb", others=TESTERS)
  resumes(session, packages, options, tf=True)


@nox.session
def reverb_store(session: nox.Session) -> None:
  """Both stores through one suite, runs of `acme` on a Reverb server, and shards on Ray that are such servers."""
  packages = ("acme-reverb", "acme-testing", "acme-replay", "acme-experiments", "acme-dqn[tf]", "acme-envs[bsuite]")
  install(session, *packages, "acme-ray", constraints="reverb", others=TESTERS)
  files = ("packages/acme-reverb/tests", "tests/test_reverb_runs.py", "packages/acme-ray/tests/test_ray_reverb.py")
  tests = [str(ROOT / file) for file in files]
  pytest(session, *tests, "--dist", "loadfile", *session.posargs)  # A file's tests share its server.


@nox.session
def ray(session: nox.Session) -> None:
  """All tests of acme-ray, and runs of `acme` on Ray; -- -m long: those that wait, and kill 200, or ACME_KILLS."""
  agents = ("acme-dqn", "acme-d4pg", "acme-r2d2", "acme-impala", "acme-dqfd", "acme-r2d3", "acme-mcts")
  install(session, "acme-ray", "acme-experiments[gym]", "acme-testing", *agents, others=TESTERS)
  pytest(session, *tests_of("acme-ray"), *session.posargs, xla=COMPILE_QUICKEST)


# What `acme new-agent` writes.

TEMPLATES = {"jax": ["discrete", "continuous", "recurrent", "queue", "offline"], "tf": ["discrete", "continuous"]}


@nox.session
@nox.parametrize("stack", STACKS, ids=STACKS)
def template(session: nox.Session, stack: str) -> None:
  """What `acme new-agent` writes: linted, typed, built, traced, resumed; the first is held to all that an agent is."""
  rendered = render(session, stack)
  for kind, path in rendered.items():
    whole = kind == "discrete" and stack == "jax"
    if whole:
      others = [f"example-{other}" for other in rendered if other != kind]
      battery(session, f"example-{kind}", xla=COMPILE_QUICKEST)
      battery(session, *others, options=["-k", "check_program or check_evaluation"], xla=COMPILE_QUICKEST)
    pytest(session, str(path / "tests"), "-n", "0", *([] if whole else ["-k", "resum"]))


@nox.session
@nox.parametrize("stack", STACKS, ids=STACKS)
def templates(session: nox.Session, stack: str) -> None:
  """All of them in full; by name, since it takes minutes."""
  rendered = render(session, stack)
  battery(session, *(f"example-{kind}" for kind in rendered))
  for path in rendered.values():
    pytest(session, str(path / "tests"), "-n", "0")


def render(session: nox.Session, stack: str) -> dict[str, pathlib.Path]:
  """Renders a backend's templates where the repository's settings hold, checks, builds and installs them."""
  needed = ("acme-experiments", f"acme-{stack}", "acme-replay", "acme-testing", "acme-envs[gym]")
  install(session, *needed, constraints=stack, others=TESTERS)
  session.install("-q", "ruff", "mypy", "-c", str(CONSTRAINTS / "tools.txt"))
  folder = pathlib.Path(session.create_tmp()).resolve()
  shutil.rmtree(folder)
  folder.mkdir()
  shutil.copy(ROOT / "pyproject.toml", folder)
  paths = {kind: folder / "packages" / f"acme-example-{kind}" for kind in TEMPLATES[stack]}
  for kind in paths:
    command = ("acme", "new-agent", f"example-{kind}", "--kind", kind, "--backend", stack)
    session.run(*command, "--out", str(folder / "packages"), silent=True)
  session.run("ruff", "check", "-q", str(folder))
  session.run("ruff", "format", "-q", "--check", str(folder))
  fresh = [f"--reinstall-package={path.name}" for path in paths.values()] if session.venv_backend == "uv" else []
  session.install("-q", *fresh, *map(str, paths.values()), "-c", str(CONSTRAINTS / f"{stack}.txt"))
  for path in paths.values():
    session.run("mypy", "--config-file", str(ROOT / "pyproject.toml"), "-p", path.name.replace("-", "_"))
  return paths


# Documentation.

DOCS = ROOT / "docs"
SPHINX = (
  "sphinx",
  "furo",
  "myst-nb",
  "sphinx-copybutton",
  "sphinx-design",
  "griffe",
  "-c",
  str(CONSTRAINTS / "docs.txt"),
)


@nox.session
def docs(session: nox.Session) -> None:
  """The Python in README files and in docs/ runs, tests/ pass, a new user's day is timed, the site is built."""
  packages = of_stack("jax")
  needed = (*TESTERS, "pytest-markdown-docs", "matplotlib", *SPHINX)
  install(session, *packages, "acme-envs[gym,bsuite,video]", others=needed)
  readmes = [str(ROOT / "README.md"), *(str(ROOT / "packages" / name / "README.md") for name in packages)]
  pages = [*DOCS.glob("*.md"), *DOCS.glob("concepts/*.md"), *DOCS.glob("howto/*.md")]
  pytest(session, str(ROOT / "tests"), *session.posargs)
  pytest(session, "--markdown-docs", *readmes, *map(str, pages))
  session.run("python", str(ROOT / "tests" / "new_user.py"))
  site(session, "quickstart")


@nox.session
def tutorials(session: nox.Session) -> None:
  """The site with the outputs of all tutorials, or of some: nox -s tutorials -- quickstart. By name: 15 minutes."""
  needed = ("matplotlib", "build", "hatchling", "pip", "twine", "pytest", *SPHINX)
  install(session, *of_stack("jax"), "acme-ray", "acme-envs[gym,dm-control,video]", others=needed)
  if not session.posargs or "tensorflow" in session.posargs:
    tensorflow_kernel(session)
  site(session, *(session.posargs or ["all"]))


def tensorflow_kernel(session: nox.Session) -> None:
  """Makes TensorFlow's stack, which the session's own has no room for, a kernel of the notebooks."""
  target = pathlib.Path(session.create_tmp()).resolve() / "tensorflow"
  wheels = {need: wheel(need) for need in (*needs("acme-dqn[tf]"), "acme-envs")}
  wheels |= {"acme-dqn": wheel("acme-dqn", "tf"), "acme-envs": wheel("acme-envs", "gym")}
  pip = environment(target, str(pathlib.Path(session.bin) / "python"))
  session.run(*pip, "-c", str(CONSTRAINTS / "tf.txt"), *wheels.values(), "ipykernel", external=True)
  kernel = ("-m", "ipykernel", "install", "--prefix", session.virtualenv.location, "--name", "acme-tf")
  session.run(str(target / "bin" / "python"), *kernel, external=True)


def site(session: nox.Session, *executed: str, builder: str = "html") -> None:
  """Builds docs/ without a warning, with the outputs of the tutorials named."""
  session.env.update(TEST_ENVIRONMENT)
  session.env["TUTORIALS"] = " ".join(executed)
  out = DOCS / "_build" / builder
  session.run("sphinx-build", "-W", "--keep-going", "-q", "-b", builder, str(DOCS), str(out))
  session.log(f"See {out}/index.html")


@nox.session
def links(session: nox.Session) -> None:
  """The links to other sites, by name, since they may fail without our doing; those within the site `docs` checks."""
  install(session, *of_stack("jax"), others=SPHINX)
  site(session, builder="linkcheck")


# Releases.


@nox.session
def release(session: nox.Session) -> None:
  """Whether packages may be released, and what to tag then: nox -s release -- acme-dqn."""
  packages, _ = chosen(session, PACKAGES)
  if not session.posargs:
    session.error("Expected packages: nox -s release -- acme-dqn")
  session.install("-q", "build", "hatchling", "twine", "packaging", "-c", str(CONSTRAINTS / "docs.txt"))
  folder = pathlib.Path(session.create_tmp()).resolve()
  uploads = [path for name in packages for path in distributions(session, name, folder / "dist")]
  session.run("twine", "check", "--strict", *uploads)
  for python in PYTHONS:
    interpreter = working(f"python{python}")
    for name in packages:
      if Version(python) not in SpecifierSet(project(name)["requires-python"]):
        session.log(f"{name}: not for Python {python}")
      elif interpreter is None:
        session.warn(f"{name}: not tried on Python {python}, which is not on the PATH, or is pyenv's and not chosen")
      else:
        alone(name, folder, interpreter)
  faults = session.run("python", str(ROOT / "tests" / "release.py"), *packages, silent=True)
  if faults:
    session.error(f"Not ready to be released:\n{faults}")
  for name in packages:
    tag = f"{name}-{wheel(name).rpartition('/')[2].split('-')[1]}"
    session.log(f'git tag -a {tag} -m "{tag}" && git push origin {tag}')
  session.log(f"twine upload {' '.join(uploads)}")


@nox.session
def siblings(session: nox.Session) -> None:
  """Packages with the oldest released siblings that they admit; by name: nox -s siblings -- acme-dqn."""
  packages, options = chosen(session, of_stack("jax"))
  session.install("-q", "packaging", "-c", str(CONSTRAINTS / "docs.txt"))
  for name in packages:
    command = ("python", str(ROOT / "tests" / "release.py"), "--oldest", name)
    tags = [line.partition(": ")[2] for line in session.run(*command, silent=True).splitlines()]
    if tags:
      install(session, with_extras(name), "acme-testing", others=TESTERS)
      session.install("-q", "--no-deps", *(str(unpacked(session, tag)) for tag in tags))
      resumes(session, [name], options)
    else:
      session.log(f"{name}: no older sibling is released; those beside it, with which all is tested, are the oldest")


def working(python: str) -> str | None:
  """The path of an interpreter that runs; what pyenv puts on the PATH may be of a version that is not chosen."""
  path = shutil.which(python)
  return path if path and subprocess.run([path, "-c", ""], capture_output=True).returncode == 0 else None


def unpacked(session: nox.Session, tag: str) -> pathlib.Path:
  """The sources of a package as they were released."""
  folder, name = pathlib.Path(session.create_tmp()).resolve() / tag, tag.rpartition("-")[0]
  shutil.rmtree(folder, ignore_errors=True)
  folder.mkdir()
  archive = subprocess.run(["git", "archive", tag, f"packages/{name}"], cwd=ROOT, check=True, capture_output=True)
  subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
  return folder / "packages" / name


PYTHONS = ("3.11", "3.12", "3.13")


def distributions(session: nox.Session, name: str, folder: pathlib.Path) -> list[str]:
  """Builds the source distribution and, from that, the wheel that are uploaded; returns their paths."""
  out = folder / name
  shutil.rmtree(out, ignore_errors=True)
  session.run("python", "-m", "build", "--no-isolation", "-o", str(out), str(ROOT / "packages" / name), silent=True)
  (archive,) = out.glob("*.whl")
  held = zipfile.ZipFile(archive).namelist()
  for wanted in ("py.typed", "licenses/LICENSE", "METADATA"):
    if not any(each.endswith(f"/{wanted}") for each in held):
      session.error(f"{archive.name}: expected {wanted} in it, got {len(held)} files without")
  return sorted(map(str, out.iterdir()))


# Long measurements, outside CI.


@nox.session
def suites(session: nox.Session) -> None:
  """Environments in JAX of other packages, all six in one environment."""
  install(session, f"acme-anakin[{','.join(tool('acme-anakin')['extras-apart'])}]", others=TESTERS)
  pytest(session, str(ROOT / "packages" / "acme-anakin" / "tests" / "test_anakin_suites.py"))


@nox.session
def trackers(session: nox.Session) -> None:
  """`acme run --log wandb|mlflow` with the tools themselves, which tell no server."""
  install(session, "acme-experiments[gym,mlflow,wandb]", constraints=None, others=TESTERS)
  tests = str(ROOT / "packages" / "acme-experiments" / "tests" / "test_experiments_trackers.py")
  pytest(session, tests, "-k", "offline", "-n", "0")


@nox.session
@nox.parametrize("stack", [*STACKS, "reverb"], ids=[*STACKS, "reverb"])
def modes(session: nox.Session, stack: str) -> None:
  """Every agent in every mode, with its reason where it refuses: docs/modes.md. After an interruption it goes on."""
  agents = [f"{name}[tf]" if name in BOTH and stack != "jax" else name for name in AGENTS]
  agents = [name for name in agents if stack != "jax" or name in of_stack("jax")]
  others = ["acme-reverb"] if stack == "reverb" else []
  install(
    session, *agents, *others, "acme-experiments", "acme-anakin", "acme-testing", "acme-envs[gym]", constraints=stack
  )
  session.env.update(TEST_ENVIRONMENT)
  session.env["XLA_FLAGS"] = f"{TEST_ENVIRONMENT['XLA_FLAGS']} {COMPILE_QUICKLY}"
  session.run("python", str(ROOT / "tests" / "modes.py"), stack, *session.posargs)


@nox.session
@nox.parametrize("stack", STACKS, ids=STACKS)
def kills(session: nox.Session, stack: str) -> None:
  """Kill runs 1,000 times, DQN's 40 times and MCTS's, anywhere, and compare with one never stopped."""
  agents = ("acme-dqn", "acme-mcts") if stack == "jax" else ("acme-mcts[tf]",)
  install(session, "acme-experiments[gym]", *agents, "acme-testing", constraints=stack, others=TESTERS)
  pytest(session, str(ROOT / "tests" / "test_mcts_runs.py"), "-k", "tf" if stack == "tf" else "not tf", marked="long")
  if stack == "tf":
    return
  tests = str(ROOT / "packages" / "acme-experiments" / "tests" / "test_experiments_resume.py")
  session.env["ACME_KILLS"] = session.posargs[0] if session.posargs else "1000"
  pytest(session, tests, "-k", "lose_nothing", "-rP")


@nox.session
@nox.parametrize("stack", STACKS, ids=STACKS)
def results(session: nox.Session, stack: str) -> None:
  """Agents on their tasks over seeds: docs/results.md. nox -s results -- dqn; it goes on where it was. All: days."""
  agents = [f"{name}[tf]" for name in BOTH] if stack == "tf" else of_stack("jax")
  suites = "acme-envs[gym]" if stack == "tf" else "acme-envs[gym,box2d,bsuite,dm-control]"
  install(session, *agents, "acme-experiments", suites, constraints=stack)
  session.run("python", "benchmarks/results.py", *session.posargs)


@nox.session
def learning(session: nox.Session) -> None:
  """Learning tables: nox -s learning -- dqn gym:CartPole-v1 --steps 50000 --seeds 0-9 --bar 475."""
  install(session, *of_stack("jax"), "acme-envs[gym,bsuite,dm-control]")
  session.run("python", "benchmarks/learning.py", *session.posargs)


@nox.session
def benchmark(session: nox.Session) -> None:
  """Speed against peers, each in an environment of its own; tables and a plot in benchmarks/results."""
  install(session, *of_stack("jax"), "acme-ray", "acme-envs[gym]", others=("matplotlib",))
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
  """Types, strict for core and acme-jax."""
  install(session, *of_stack("jax"), "acme-envs[gym]", others=("mypy", "-c", str(CONSTRAINTS / "tools.txt")))
  if others := of_stack("tf", "reverb", "ray"):
    session.install("-q", "--no-deps", *map(wheel, others))  # Without TensorFlow, which has no types.
  strict = ("mypy", "--strict", "--allow-any-generics", "--allow-subclassing-any")
  session.run(*strict, "-p", "acme")
  session.run(*strict, "-p", "acme_jax")
  for name in PACKAGES:
    if name not in ("acme-core", "acme-jax"):
      session.run("mypy", "-p", name.replace("-", "_"))


@nox.session
def imports(session: nox.Session) -> None:
  """Who may import whom, from what lies in packages/; README.md names all of it, and no package lacks anything."""
  contracts = pathlib.Path(session.create_tmp()).resolve() / "contracts.ini"
  session.run("python", str(ROOT / "tests" / "contracts.py"), str(contracts))  # Before the minute that building takes.
  session.install("-q", "import-linter", "pytest", "-c", str(CONSTRAINTS / "tools.txt"))
  session.run("pytest", "-q", "-p", "no:cacheprovider", str(ROOT / "tests" / "test_repository.py"))
  session.install("-q", "--no-deps", *map(wheel, PACKAGES))  # It reads them, and imports nothing.
  session.run("lint-imports", "--config", str(contracts), "--no-cache")


# What a contributor runs.


@nox.session
def new(session: nox.Session) -> None:
  """Begin an agent in packages/: nox -s new -- my-agent --kind discrete [options of `acme new-agent`]."""
  if not session.posargs:
    session.error("Expected a name: nox -s new -- my-agent --kind discrete")
  editable: list[str] = []
  for name in needs("acme-experiments"):
    editable += ["-e", str(ROOT / "packages" / name)]
  session.install("-q", *editable, "-c", str(CONSTRAINTS / "jax.txt"))
  out = [] if "--out" in session.posargs else ["--out", str(ROOT / "packages")]
  session.run("acme", "new-agent", *session.posargs, *out)


@nox.session
def changed(session: nox.Session) -> None:
  """The sessions of what differs from a revision (main unless given), and of all that depends on it."""
  paths = changed_paths(session.posargs[0] if session.posargs else "main")
  touched = {match[1] for path in paths if (match := re.match(r"packages/([\w-]+)/(?:src|tests|pyproject)", path))}
  touched &= set(PACKAGES)
  sessions: dict[str, None] = {}  # In order.
  for path in paths:
    for pattern, wanted in SHARED.items():
      if re.match(pattern, path):
        touched |= set(PACKAGES) if wanted is None else set()
        sessions |= dict.fromkeys(wanted or ())
  affected = sorted({dependent for name in touched for dependent in dependents(name)})
  session.log(f"Changed: {', '.join(sorted(touched)) or 'no package'}; affected: {', '.join(affected) or 'none'}")
  if affected:
    sessions |= dict.fromkeys(("lint", "types", "imports"))
  for name in sessions:
    session.notify(name, posargs=["acme-core"] if name == "isolation" else [])
  jax, tf = set(of_stack("jax")) & set(affected), (set(of_stack("tf")) | set(BOTH)) & set(affected)
  for name, among in (
    ("tests(jax)", jax), ("tests(tf)", tf), ("isolation", set(affected)),
    ("conformance(jax)", jax & set(AGENTS)), ("conformance(tf)", tf & set(AGENTS) - set(BOTH)),
    ("reverb_store", {"acme-reverb", "acme-ray"} & set(affected)), ("ray", {"acme-ray"} & set(affected)),
  ):  # fmt: skip
    if among:
      session.notify(name, posargs=[] if name in ("reverb_store", "ray") else sorted(among))
  if notebooks := [match[1] for path in paths if (match := re.match(r"docs/tutorials/(?!index)(\w+)\.md", path))]:
    session.notify("tutorials", posargs=notebooks)
  for stack in STACKS:
    beneath = {"acme-experiments", "acme-testing", *needs(f"acme-{stack}"), *needs("acme-replay")}
    if touched & beneath:
      session.notify(f"template({stack})")


# What files that are no package's code mean: sessions, or None for all packages.
SHARED = {
  r"constraints/": None,
  r"noxfile\.py|\.ci/": ("lint", "isolation"),  # A smoke test: builds all wheels, and looks at one package.
  r"pyproject\.toml": ("lint", "types", "docs"),
  r"tests/contracts\.py": ("lint", "imports", "docs"),
  r"tests/isolation\.py": ("lint", "isolation"),
  r"tests/": ("lint", "docs"),
  r"README\.md|packages/[\w-]+/README\.md": ("imports", "docs"),
  r"packages/[\w-]+/[A-Z]+": ("docs",),
  r"docs/|CITATION": ("lint", "docs"),
  r"benchmarks/": ("lint",),
}


def changed_paths(base: str) -> list[str]:
  """What differs from a revision: committed, not committed, and not yet known to git; of what moved, both places."""
  commands = (["diff", "--name-only", "--no-renames", "-z", base], ["ls-files", "--others", "--exclude-standard", "-z"])
  run = functools.partial(subprocess.run, cwd=ROOT, check=True, capture_output=True, text=True)
  return [path for each in commands for path in run(["git", *each]).stdout.split("\0") if path]
