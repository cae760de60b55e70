"""What packages offer by name, through entry points.

Agents under `acme.agents`, replays under `acme.replays`, and under `acme.runners` whole runs on a device.

Nothing is imported before it is asked for by name.
"""

import dataclasses
import difflib
import importlib
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any, Generic, TypeVar

from acme import builders, experience, replay, types

AGENTS = "acme.agents"
REPLAYS = "acme.replays"
RUNNERS = "acme.runners"
EMBEDDED = "embedded"  # The replay of those who ask for none.

Config = TypeVar("Config")
MakeReplay = Callable[[experience.Experience, types.Step, int], replay.Replay]
"""(experience, step spec, seed) -> replay."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AgentPlugin(Generic[Config]):
  """What an agent package offers as `AGENT`.

  Attributes:
    name: what the entry point is called.
    summary: one line for `acme list`.
    config: the config class; made without arguments it is the default.
    actions: which action specs it takes: "discrete", "continuous", "mixed" (both in one nest), or several of these.
    backends: by name, its default first, the module that has `make_builder(config, network=None, …)`.
    presets: named configs, such as {"rainbow": DQNConfig.rainbow}.
    tuned: by environment, without its suite or what follows ":" or "/", the preset that was found for it.
    references: papers.
    small: fields of the config, with values that make a run last moments: for tests, where the field's own name does
      not say it (`acme_testing.runs.SMALL` knows the usual ones).
    num_envs: environments that it acts in at once where nobody says how many.
  """

  name: str
  summary: str
  config: Callable[..., Config]
  actions: tuple[str, ...]
  backends: Mapping[str, str]
  presets: Mapping[str, Callable[[], Config]] = dataclasses.field(default_factory=dict)
  tuned: Mapping[str, str] = dataclasses.field(default_factory=dict)
  references: tuple[str, ...] = ()
  small: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  num_envs: int = 1

  def __post_init__(self) -> None:
    if not self.actions or not set(self.actions) <= {"discrete", "continuous", "mixed"}:
      raise ValueError(
        f"AgentPlugin {self.name!r}: expected actions of 'discrete', 'continuous' and 'mixed', got {self.actions!r}."
      )
    if not self.backends:
      raise ValueError(f"AgentPlugin {self.name!r}: expected one backend or more, got none.")

  def builder(
    self, config: Config | None = None, *, backend: str | None = None, network: Any = None, **options: Any
  ) -> builders.Builder[Config, Any]:
    """Makes the agent's builder.

    Args:
      config: every number and switch; None for the default.
      backend: one of `backends`; None for the first.
      network: in place of the one that the config and the specs ask for; see the agent's README.
      **options: others that the agent takes.

    Raises:
      TypeError: the config is another agent's, or none.
      ValueError: there is no such backend, or it lacks a switch of the config.
      ImportError: the backend is not installed; the message says what to install.
    """
    default = self.config()
    if not isinstance(config, type(default) | None):
      raise TypeError(f"config: expected a {type(default).__name__} or None, got {config!r}.")
    backend = next(iter(self.backends)) if backend is None else backend
    if backend not in self.backends:
      raise ValueError(f"backend: expected one of {', '.join(map(repr, self.backends))}, got {backend!r}.")
    path = self.backends[backend]
    try:
      module = importlib.import_module(path)
    except ModuleNotFoundError as error:
      package = path.partition(".")[0].replace("_", "-")
      wanted = package if backend == next(iter(self.backends)) else f"{package}[{backend}]"
      raise ImportError(
        f'The backend {backend!r} of {self.name} needs {error.name}, which is not installed: pip install "{wanted}"'
      ) from error
    if network is not None:
      options = {"network": network, **options}
    builder: builders.Builder[Config, Any] = module.make_builder(default if config is None else config, **options)
    return builder


class PluginError(RuntimeError):
  """A plug-in that is unknown, claimed twice, or that fails to load."""


def list_agents() -> dict[str, metadata.EntryPoint]:
  """Returns the entry points of the agents installed, by name, without importing any.

  Raises:
    PluginError: two packages claim one name.
  """
  return _entry_points(AGENTS, "agent")


def load_agent(name: str, agents: Mapping[str, metadata.EntryPoint] | None = None) -> AgentPlugin[Any]:
  """Imports the agent called `name`, of those that `list_agents` gave where it was asked already: it takes a while.

  Raises:
    PluginError: none is called so (near matches are named), its import fails (the cause is chained), or what it
      offers is no AgentPlugin of that name.
  """
  agents = list_agents() if agents is None else agents
  if name not in agents:
    near = difflib.get_close_matches(name, agents)
    hint = f"Did you mean {' or '.join(near)}?" if near else f"Installed: {', '.join(agents) or 'none'}."
    raise PluginError(f"No agent is called {name!r}. {hint} Each comes as a package of its own, as acme-dqn does.")
  plugin = _load(agents[name], "agent")
  if not isinstance(plugin, AgentPlugin):
    raise PluginError(f"{_origin(agents[name])}: expected an acme.plugins.AgentPlugin, got {type(plugin).__name__}.")
  if plugin.name != name:
    raise PluginError(f"{_origin(agents[name])}: its entry point is called {name!r}, the plug-in {plugin.name!r}.")
  return plugin


def list_replays() -> dict[str, metadata.EntryPoint]:
  """Returns the entry points of the replays installed, by name; raises PluginError as `list_agents`."""
  return _entry_points(REPLAYS, "replay")


def load_replay(name: str = EMBEDDED) -> Any:
  """Imports the replay called `name`: a `MakeReplay` that may take more by keyword.

  Raises:
    PluginError: none is called so, or its import fails.
  """
  replays = list_replays()
  if name not in replays:
    wanted = {EMBEDDED: "acme-replay", "reverb": "acme-reverb (Linux, Python 3.11)"}.get(name)
    hint = "Replays come as packages." if wanted is None else f"pip install {wanted}"
    raise PluginError(f"No replay is called {name!r}. Installed: {', '.join(replays) or 'none'}. {hint}")
  return _load(replays[name], "replay")


def load_runner(suite: str) -> Any:
  """Imports what runs agents wholly on a device in the environments `SUITE:NAME`; None where nothing installed does.

  It has two functions, of an agent's builder and NAME: `fits` gives the reason why it cannot, or None; `make`, which
  takes `steps`, `num_envs` and `seeds` too, the run: see `acme_anakin.runner`, and `acme_anakin.loop.Loop`.

  What is called "ray" is of no suite: it has one function `run`, `acme_ray.run`.

  Raises:
    PluginError: its import fails, or two packages claim the suite.
  """
  runners = _entry_points(RUNNERS, "runner")
  return _load(runners[suite], "runner") if suite in runners else None


def _entry_points(group: str, what: str) -> dict[str, metadata.EntryPoint]:
  found: dict[str, metadata.EntryPoint] = {}
  for entry_point in sorted(metadata.entry_points(group=group)):
    other = found.setdefault(entry_point.name, entry_point)
    if other is not entry_point and _origin(other) != _origin(entry_point):
      raise PluginError(
        f"Two packages claim the {what} name {entry_point.name!r}: {_origin(other)} and {_origin(entry_point)}. "
        "Uninstall one of them."
      )
  return found


def _load(entry_point: metadata.EntryPoint, what: str) -> Any:
  try:
    return entry_point.load()
  except Exception as error:
    raise PluginError(f"The {what} {entry_point.name!r}, {_origin(entry_point)}, failed to load: {error!r}") from error


def _origin(entry_point: metadata.EntryPoint) -> str:
  package = entry_point.dist.name if entry_point.dist is not None else "an unknown package"
  return f"{entry_point.value} of {package}"
