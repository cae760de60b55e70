"""`acme doctor`: what is installed, what it sees of the machine, and for all that is missing what to do about it."""

import ctypes
import importlib.util
import os
import pathlib
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from typing import NamedTuple

from packaging import requirements

from acme import plugins
from acme_experiments import listing, saving

_SECONDS = 120  # For a library to say what devices it sees.
_LIBRARIES = {  # What each prints of its devices, and what to install.
  "jax": ("import jax; print(*(d.device_kind for d in jax.devices()), sep=', ')", "jax"),
  "tensorflow": (
    "import tensorflow as tf; print(*(d.device_type for d in tf.config.list_physical_devices()), sep=', ')",
    "'acme-dqn[tf]', for agents with --backend tf",
  ),
}


class Finding(NamedTuple):
  """One line of the report."""

  what: str
  state: str  # "ok", "missing" what may be missing, or "wrong".
  text: str


def examine() -> Iterator[tuple[str, list[Finding]]]:
  """Examines the installation, section by section, quick ones first."""
  yield "Machine", list(_machine())
  yield "Packages", list(_packages())
  yield "Agents", list(_agents())
  yield "Libraries (some seconds each)", list(_libraries())
  yield "Extras", list(_extras())
  yield "Pictures", list(_display())


def print_report() -> bool:
  """Prints it; returns whether nothing is wrong, whatever may be missing."""
  sound = True
  for title, findings in examine():
    print(title)
    listing.print_table(findings or [("none", "", "")])
    sys.stdout.flush()
    sound = sound and all(finding.state != "wrong" for finding in findings)
  return sound


def _machine() -> Iterator[Finding]:
  yield Finding("python", "ok", f"{platform.python_version()} at {sys.executable}, {platform.platform()}")
  memory, disk = saving.available_memory(), shutil.disk_usage(".").free
  text = (
    f"{os.cpu_count()} cores, {memory / 2**30:.1f} GiB of memory available, {disk / 2**30:.1f} GiB of disk free here"
  )
  yield Finding("resources", "ok", text)


def _packages() -> Iterator[Finding]:
  """The packages of this project, each held to what it requires."""
  for name, distribution in sorted(_ours().items()):
    unmet = [problem for line in distribution.requires or () for problem in _unmet(line, "")]
    advice = f": pip install --upgrade {name}" if unmet else ""
    yield Finding(name, "wrong" if unmet else "ok", f"{distribution.version} {', '.join(unmet)}{advice}".strip())


def _agents() -> Iterator[Finding]:
  agents = plugins.list_agents()
  for name in agents:
    try:
      yield Finding(name, "ok", ", ".join(plugins.load_agent(name, agents).backends))
    except plugins.PluginError as error:
      yield Finding(name, "wrong", str(error))


def _libraries() -> Iterator[Finding]:
  for name, (code, package) in _LIBRARIES.items():
    try:
      version = metadata.version(name)
    except metadata.PackageNotFoundError:
      yield Finding(name, "missing", f"pip install {package}")
      continue
    devices, problem = _ask(code)
    if problem is not None:
      yield Finding(name, "wrong", f"{version} does not say what it runs on: {problem}")
    elif pathlib.Path("/proc/driver/nvidia").exists() and devices.lower() == "cpu":
      advice = 'pip install "jax[cuda13]"' if name == "jax" else 'pip install "tensorflow[and-cuda]"'
      yield Finding(name, "missing", f"{version} on {devices}, and not on the GPU that is here: {advice}")
    else:
      yield Finding(name, "ok", f"{version} on {devices}")


def _ask(code: str) -> tuple[str, str | None]:
  """The last line that Python prints in a process of its own, where it may crash, and what went wrong there."""
  try:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=_SECONDS, check=False)
  except subprocess.TimeoutExpired:
    return "", f"no answer within {_SECONDS} seconds"
  said = done.stdout if done.returncode == 0 else done.stderr
  line = (said.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
  return (line, None) if done.returncode == 0 else ("", line)


def _extras() -> Iterator[Finding]:
  """The extras of our packages: those of which nothing is missing, and what to install for the others."""
  for name, distribution in sorted(_ours().items()):
    for extra in distribution.metadata.get_all("Provides-Extra") or ():
      unmet = dict.fromkeys(problem for line in distribution.requires or () for problem in _unmet(line, extra))
      text = f"{', '.join(unmet)}: pip install '{name}[{extra}]'" if unmet else ""
      yield Finding(f"{name}[{extra}]", "missing" if unmet else "ok", text)


def _display() -> Iterator[Finding]:
  screen = next((name for name in ("DISPLAY", "WAYLAND_DISPLAY") if os.environ.get(name)), None)
  if screen is not None:
    yield Finding("display", "ok", f"{screen}={os.environ[screen]}")
  else:
    yield Finding("display", "missing", "none, so no windows; films (--video) are drawn without one")
  chosen = os.environ.get("MUJOCO_GL")
  if importlib.util.find_spec("mujoco") is None:
    return
  if chosen:
    yield Finding("MuJoCo", "ok", f"draws by MUJOCO_GL={chosen}")
  elif screen is None:
    try:
      ctypes.CDLL("libEGL.so.1")
      yield Finding("MuJoCo", "ok", "draws by EGL")
    except OSError:
      yield Finding("MuJoCo", "missing", "cannot draw: install libEGL (Debian: apt install libegl1), or give a display")


def _ours() -> dict[str, metadata.Distribution]:
  return {each.name: each for each in metadata.distributions() if each.name.startswith("acme-")}


def _unmet(line: str, extra: str) -> list[str]:
  """What of a requirement, which may be of an extra, is not installed or of another version."""
  requirement = requirements.Requirement(line)
  if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
    return []
  if extra and (requirement.marker is None or "extra" not in str(requirement.marker)):
    return []  # Of the package itself.
  try:
    distribution = metadata.distribution(requirement.name)
  except metadata.PackageNotFoundError:
    return [f"no {requirement.name}"]
  if not requirement.specifier.contains(distribution.version, prereleases=True):
    return [f"{requirement.name} {distribution.version}, expected {requirement.specifier}"]
  lines = [(line, each) for each in sorted(requirement.extras) for line in distribution.requires or ()]
  return [problem for line, each in lines for problem in _unmet(line, each)]
