"""`acme new-agent`: a package to begin from, written from the files under templates/.

A package is laid together from four folders, each of which has what others share: `common`, the backend's, the kind's,
and that of the kind in the backend.
"""

import importlib.resources
import itertools
import pathlib
import re
import shutil
import string
from importlib.resources.abc import Traversable
from typing import NamedTuple

from acme_experiments.experiment import UsageError

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_TEMPLATE = ".tmpl"  # Such files have names of Python's and $placeholders inside; others are copied.
_IMPORT = re.compile(r"from (acme[\w.]*) import ")


class Kind(NamedTuple):
  """A kind of agent."""

  about: str
  actions: str = "discrete"
  reference: str = "Mnih et al. 2015, Nature 518"
  environment: str = "gym:CartPole-v1"
  options: str = ""
  arguments: str = "acme.make_environment_spec(environment), seed=0"
  loop: str = "acme.EnvironmentLoop(environment, agent).run(num_episodes=300)"
  small: str = ""
  backends: tuple[str, ...] = ("jax",)


KINDS = {
  "discrete": Kind("Q-learning with replay and a target network", backends=("jax", "tf")),
  "continuous": Kind(
    "deterministic policy gradients with replay and target networks",
    actions="continuous",
    reference="Lillicrap et al. 2015, arXiv 1509.02971",
    environment="gym:Pendulum-v1",
    backends=("jax", "tf"),
  ),
  "recurrent": Kind(
    "Q-learning with a recurrent network, from sequences with stored state",
    reference="Kapturowski et al. 2019, R2D2, ICLR",
  ),
  "queue": Kind(
    "an actor-critic that learns from each sequence once, corrected by V-trace",
    reference="Espeholt et al. 2018, arXiv 1802.01561",
  ),
  "offline": Kind(
    "behavioural cloning, from recorded episodes",
    reference="Pomerleau 1991, Neural Computation 3",
    options=" --dataset EPISODES",
    arguments="spec, config={cls}Config(dataset=path)",
    loop="acme.LearningLoop(agent.learner).run(num_steps=10_000)",
    small='\n  small={"dataset": "{dataset}"},',
  ),
}
_REQUIREMENTS = {
  "jax": ("acme-jax>=0.2,<0.3", "chex>=0.1.87", "dm-haiku>=0.0.16", "jax>=0.4.34", "optax>=0.2.5", "rlax>=0.1.7"),
  "tf": ("acme-tf>=0.2,<0.3", "dm-sonnet>=2.0.2", "tensorflow>=2.15.1"),
}


def render(name: str, folder: pathlib.Path, kind: str = "discrete", backend: str = "jax") -> pathlib.Path:
  """Writes the package `acme-NAME` into `folder`, and returns its path.

  Raises:
    UsageError: `name` cannot be one, the package's folder exists, or the kind is not there in the backend.
  """
  if not _NAME.fullmatch(name):
    raise UsageError(f"{name!r} cannot be an agent's name: use lower-case letters, digits and dashes, as in my-dqn.")
  path = folder / f"acme-{name}"
  if path.exists():
    raise UsageError(f"{path} exists: give another name, or another --out.")
  if backend not in KINDS[kind].backends:
    raise UsageError(f"There is no {kind} template in {backend}; there is one in {', '.join(KINDS[kind].backends)}.")
  words = KINDS[kind]._asdict() | {
    "name": name,
    "distribution": f"acme-{name}",
    "module": f"acme_{name.replace('-', '_')}",
    "cls": "".join(word.capitalize() for word in name.split("-")),
    "backend": backend,
    "requirements": "\n".join(f'  "{requirement}",' for requirement in _REQUIREMENTS[backend]),
  }
  words["arguments"] = words["arguments"].format(cls=words["cls"])
  exports = ["AGENT", words["cls"], f"{words['cls']}Config"]
  words["exports"] = ", ".join(f'"{name}"' for name in sorted(exports, key=lambda name: (not name.isupper(), name)))
  words["summary"] = words["about"][0].upper() + words["about"][1:] + "."
  try:
    for part in ("common", backend, kind, f"{kind}-{backend}"):
      _write(importlib.resources.files("acme_experiments") / "templates" / part, path, words)
  except OSError:
    shutil.rmtree(path, ignore_errors=True)  # Half a package would only be in the way.
    raise
  return path


def _write(source: Traversable, target: pathlib.Path, words: dict[str, str]) -> None:
  """Renders a folder into another; the folder called `package` gets the module's name."""
  target.mkdir(parents=True, exist_ok=True)
  for entry in source.iterdir():
    if entry.is_dir():
      _write(entry, target / (words["module"] if entry.name == "package" else entry.name), words)
    elif entry.name.endswith(_TEMPLATE):
      text = string.Template(entry.read_text(encoding="utf-8")).substitute(words)
      (target / entry.name.removesuffix(_TEMPLATE)).write_text(_sorted_imports(text), encoding="utf-8")
    else:
      (target / entry.name).write_bytes(entry.read_bytes())


def _sorted_imports(text: str) -> str:
  """The text with `from acme… import` lines in order, which depends on the agent's name."""
  lines: list[str] = []
  for is_import, group in itertools.groupby(text.splitlines(), lambda line: bool(_IMPORT.match(line))):
    block = list(group)
    lines += sorted(block, key=lambda line: line.split()[1]) if is_import else block
  return "\n".join([*lines, ""])
