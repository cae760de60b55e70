"""`acme list`: what is installed."""

import importlib.util
from collections.abc import Sequence

import acme_envs
from acme import plugins

_PACKAGES = {"gym": "gymnasium", "atari": "ale_py", "dm_control": "dm_control", "bsuite": "bsuite"}


def print_installed() -> None:
  """Prints the agents, then the environment suites."""
  _print_agents()
  _print_environments()


def _print_agents() -> None:
  """Prints a line an agent: name, version, kind of actions, summary; of a broken one, what is wrong."""
  rows: list[tuple[str, ...]] = []
  agents = plugins.list_agents()
  for name, entry_point in agents.items():
    version = entry_point.dist.version if entry_point.dist is not None else "?"
    try:
      plugin = plugins.load_agent(name, agents)
      presets = f" Presets: {', '.join(plugin.presets)}." if plugin.presets else ""
      tuned = f" --preset auto: {', '.join(plugin.tuned)}." if plugin.tuned else ""
      rows.append((name, version, ", ".join(plugin.actions), plugin.summary + presets + tuned))
    except plugins.PluginError as error:
      rows.append((name, version, "broken", str(error)))
  print("Agents (acme run AGENT --help shows the options of each)")
  print_table(rows or [("none", "install one: pip install acme-dqn")])


def _print_environments() -> None:
  """Prints a line a suite: whether it is installed, and what its names look like."""
  rows = []
  for suite in acme_envs.SUITES:
    installed = importlib.util.find_spec(_PACKAGES.get(suite, suite)) is not None
    extra = suite.replace("_", "-")
    rows.append((f"{suite}:", "installed" if installed else f"pip install 'acme-envs[{extra}]'"))
  for suite in acme_envs.suites()[len(acme_envs.SUITES) :]:
    package = acme_envs.missing_package(suite)
    rows.append((f"{suite}:", "installed" if package is None else f"pip install {package}"))
  print("\nEnvironment suites (with names such as gym:CartPole-v1, dm_control:cartpole:swingup, jax:CartPole-v1)")
  print_table(rows)


def print_table(rows: Sequence[tuple[str, ...]]) -> None:
  """Prints columns; the last one may be long."""
  widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
  for row in rows:
    cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
    print("  " + "  ".join([*cells, row[-1]]))
