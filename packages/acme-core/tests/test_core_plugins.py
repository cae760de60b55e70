"""Agents are found by name, loaded when asked for, and what is wrong with one is said."""

import dataclasses
import pathlib
import re
import sys
import textwrap

import pytest

from acme import configs, plugins

AGENT = """
  from acme.plugins import AgentPlugin
  AGENT = AgentPlugin(name="{name}", summary="A fake.", config=dict, actions=("discrete",), backends={{"jax": "json"}})
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
  """Makes distributions on sys.path that offer agents, as pip would."""
  made = []

  def make(distribution, name, code=AGENT, target=None):
    module = f"{distribution.replace('-', '_')}_module"
    folder = tmp_path / distribution
    info = folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / f"{module}.py").write_text(textwrap.dedent(code.format(name=name)))
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[acme.agents]\n{name} = {target or module + ':AGENT'}\n")
    monkeypatch.syspath_prepend(str(folder))
    made.append(module)
    return module

  yield make
  for module in made:
    sys.modules.pop(module, None)


def test_listing_imports_nothing(install):
  module = install("fake-one", "fake_one", "raise RuntimeError('imported')")
  assert plugins.list_agents()["fake_one"].value == f"{module}:AGENT"
  assert module not in sys.modules


def test_loading(install):
  install("fake-one", "fake_one")
  plugin = plugins.load_agent("fake_one")
  assert plugin.name == "fake_one" and plugin.presets == {} and plugin.references == ()


def test_two_packages_with_one_name(install):
  install("fake-one", "fake_agent")
  install("fake-two", "fake_agent")
  with pytest.raises(plugins.PluginError) as error:
    plugins.load_agent("fake_agent")
  message = str(error.value)
  assert "Two packages claim the agent name 'fake_agent'" in message and "Uninstall one" in message
  assert "of fake-one" in message and "of fake-two" in message


def test_two_packages_with_one_name_and_one_target(install):
  install("fake-one", "fake_agent")
  install("fake-two", "fake_agent", target="fake_one_module:AGENT")
  with pytest.raises(plugins.PluginError, match="Two packages claim"):
    plugins.list_agents()


@pytest.mark.parametrize(
  "code, cause",
  [
    ("import no_such_library", ModuleNotFoundError),
    ("raise ValueError('no GPU')", ValueError),
    ("OTHER = 1", AttributeError),
    ("def (", SyntaxError),
  ],
)
def test_a_package_that_fails_to_load(install, code, cause):
  install("fake-one", "fake_one", code)
  with pytest.raises(
    plugins.PluginError, match="'fake_one', fake_one_module:AGENT of fake-one, failed to load"
  ) as error:
    plugins.load_agent("fake_one")
  assert isinstance(error.value.__cause__, cause)


def test_what_is_no_plugin(install):
  install("fake-one", "fake_one", "AGENT = 3")
  with pytest.raises(plugins.PluginError, match="of fake-one: expected an acme.plugins.AgentPlugin, got int"):
    plugins.load_agent("fake_one")


def test_a_plugin_of_another_name(install):
  install("fake-one", "fake_one", AGENT.replace("{name}", "other"))
  with pytest.raises(plugins.PluginError, match="'other'"):
    plugins.load_agent("fake_one")


def test_unknown_names(install):
  install("fake-one", "fake_agent")
  with pytest.raises(plugins.PluginError, match="No agent is called 'fake_agnt'. Did you mean fake_agent"):
    plugins.load_agent("fake_agnt")
  with pytest.raises(plugins.PluginError, match="No agent is called 'zzzzzzz'. Installed: .*fake_agent"):
    plugins.load_agent("zzzzzzz")


def test_nothing_installed(monkeypatch):
  monkeypatch.setattr(plugins.metadata, "entry_points", lambda group: [])
  assert plugins.list_agents() == {}
  with pytest.raises(plugins.PluginError, match="Installed: none.*a package of its own, as acme-dqn"):
    plugins.load_agent("dqn")


def test_actions_of_a_plugin():
  with pytest.raises(
    ValueError, match=r"'x': expected actions of 'discrete', 'continuous' and 'mixed', got \('both',\)"
  ):
    plugins.AgentPlugin(name="x", summary="", config=dict, actions=("both",), backends={"jax": "json"})


def test_backends():
  plugin = plugins.AgentPlugin(
    name="x", summary="", config=dict, actions=("discrete",), backends={"numpy": "acme_x.numpy", "tf": "acme_x.tf"}
  )
  with pytest.raises(ValueError, match="backend: expected one of 'numpy', 'tf', got 'torch'"):
    plugin.builder(backend="torch")
  for config in ({}, configs.ReplayConfig()):
    with pytest.raises(TypeError, match="config: expected a TransitionConfig or None, got "):
      dataclasses.replace(plugin, config=configs.TransitionConfig).builder(config)
  with pytest.raises(ImportError, match=r"The backend 'numpy' of x needs acme_x.*pip install \"acme-x\"$"):
    plugin.builder()
  with pytest.raises(ImportError, match=r"pip install \"acme-x\[tf\]\""):
    plugin.builder(backend="tf")


def test_replays_come_by_name(monkeypatch):
  assert callable(plugins.load_replay())
  monkeypatch.setattr(plugins.metadata, "entry_points", lambda group: [])
  with pytest.raises(
    plugins.PluginError, match="No replay is called 'embedded'. Installed: none. pip install acme-replay"
  ):
    plugins.load_replay()
  with pytest.raises(plugins.PluginError, match="No replay is called 'x'.*Replays come as packages"):
    plugins.load_replay("x")


@pytest.mark.parametrize("name", ["dqn", "dqm", "evil-package", "mpo"])
def test_nothing_that_was_typed_is_advised_to_be_installed(monkeypatch, name):
  monkeypatch.setattr(plugins, "list_agents", dict)
  with pytest.raises(plugins.PluginError) as error:
    plugins.load_agent(name)
  assert "pip install" not in str(error.value)


def test_errors_name_packages_that_there_are():
  folder = pathlib.Path(__file__).parents[2]
  packages = {path.name for path in folder.iterdir()}
  texts = "".join(path.read_text() for path in folder.glob("*/src/**/*.py"))
  advised = set(re.findall(r"(?:use|or|pip install ['\"]?)\s*(acme-[a-z0-9]+)", texts))
  assert "acme-dqn" in advised and advised <= packages
