"""Finding agents by name: installed packages offer them under the entry-point group `acme.agents`.

Nothing is imported before it is asked for by name.
"""

import dataclasses
import difflib
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any

GROUP = "acme.agents"


@dataclasses.dataclass(frozen=True, kw_only=True)
class AgentPlugin:
  """What an agent package offers as `AGENT`.

  Attributes:
    name: what the entry point is called.
    summary: one line for `acme list`.
    config: the config class; made without arguments it is the default.
    builder: (config) -> acme.builders.Builder.
    agent: (spec, *, config, seed, …) -> acme.agents.Agent, the one line for the user.
    actions: which action specs it takes: "discrete" or "continuous".
    backends: the libraries it can learn with, its default first; with several, `builder` and `agent` take `backend=`.
    presets: named configs, such as {"rainbow": DQNConfig.rainbow}.
    references: papers.
  """

  name: str
  summary: str
  config: type
  builder: Callable[..., Any]
  agent: Callable[..., Any]
  actions: str
  backends: tuple[str, ...] = ("jax",)
  presets: Mapping[str, Callable[[], Any]] = dataclasses.field(default_factory=dict)
  references: tuple[str, ...] = ()

  def __post_init__(self) -> None:
    if self.actions not in ("discrete", "continuous"):
      raise ValueError(f"AgentPlugin {self.name!r}: expected actions 'discrete' or 'continuous', got {self.actions!r}.")


class PluginError(RuntimeError):
  """A plug-in that is unknown, claimed twice, or that fails to load."""


def list_agents() -> dict[str, metadata.EntryPoint]:
  """Returns the entry points of the agents installed, by name, without importing any.

  Raises:
    PluginError: two packages claim one name.
  """
  found: dict[str, metadata.EntryPoint] = {}
  for entry_point in sorted(metadata.entry_points(group=GROUP)):
    other = found.setdefault(entry_point.name, entry_point)
    if _origin(other) != _origin(entry_point):
      raise PluginError(
        f"Two packages claim the agent name {entry_point.name!r}: {_origin(other)} and {_origin(entry_point)}. "
        "Uninstall one of them."
      )
  return found


def load_agent(name: str) -> AgentPlugin:
  """Imports the agent called `name`.

  Raises:
    PluginError: none is called so (near matches are named), its import fails (the cause is chained), or what it
      offers is no AgentPlugin of that name.
  """
  agents = list_agents()
  if name not in agents:
    near = difflib.get_close_matches(name, agents)
    hint = f"Did you mean {' or '.join(near)}?" if near else f"Installed: {', '.join(agents) or 'none'}."
    raise PluginError(f"No agent is called {name!r}. {hint} Agents come as packages: pip install acme-{name}.")
  entry_point = agents[name]
  try:
    plugin = entry_point.load()
  except Exception as error:
    raise PluginError(f"The agent {name!r}, {_origin(entry_point)}, failed to load: {error!r}") from error
  if not isinstance(plugin, AgentPlugin):
    raise PluginError(f"{_origin(entry_point)}: expected an acme.plugins.AgentPlugin, got {type(plugin).__name__}.")
  if plugin.name != name:
    raise PluginError(f"{_origin(entry_point)}: its entry point is called {name!r}, the plug-in {plugin.name!r}.")
  return plugin


def _origin(entry_point: metadata.EntryPoint) -> str:
  package = entry_point.dist.name if entry_point.dist is not None else "an unknown package"
  return f"{entry_point.value} of {package}"
