"""The battery as tests: `pytest --pyargs acme_testing --acme-agent=NAME[@BACKEND][:PRESET]`; else not collected."""

import ast
import dataclasses
import inspect
from typing import Any

import pytest

from acme import plugins
from acme_testing import checks, conformance

PINNED_BEHAVIOUR = [
  "check_program",
  "check_specs",
  "check_learning_changes_parameters",
  "check_resume_is_exact",
  "check_saved_state_stands_still",
  "check_same_seed_same_run",
  "check_other_seed_other_run",
  "check_vector_run",
  "check_plain_environment",
  "check_get_variables",
  "check_target_starts_equal",
  "check_evaluation_is_greedy",
  "check_evaluator_takes_new_parameters",
  "check_evaluation_leaves_no_trace",
  "check_observations_are_not_mutated",
  "check_observations_are_copied",
  "check_priorities_are_written_back",
  "check_diverging_loss",
]  # Each preset is held to these, too.
QUICK_OF_PRESETS = ("check_learning_changes_parameters", "check_resume_is_exact")
PINNED = [
  *PINNED_BEHAVIOUR,
  "check_record",
  "check_observe_first_comes_first",
  "check_wrong_action_spec",
  "check_bad_input",
  "check_field_is_documented",
  "check_field_refuses_bad_values",
  "check_field_changes_something",
  "check_replay_is_given",
]


def load(name: str) -> plugins.AgentPlugin[Any]:
  """The agent of `NAME[@BACKEND][:PRESET]`, with that backend, and with that preset as its default config."""
  name, _, preset = name.partition(":")
  name, _, backend = name.partition("@")
  plugin = plugins.load_agent(name)
  if backend:
    if backend not in plugin.backends:
      raise plugins.PluginError(f"{name} has no backend {backend!r}; known: {', '.join(plugin.backends)}.")
    plugin = dataclasses.replace(plugin, backends={backend: plugin.backends[backend]})
  if not preset:
    return plugin
  if preset not in plugin.presets:
    raise plugins.PluginError(f"{name} has no preset {preset!r}; known: {', '.join(plugin.presets) or 'none'}.")
  return dataclasses.replace(plugin, name=f"{name}:{preset}", config=plugin.presets[preset])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
  """Makes a test of each check and case of each agent named."""
  if "run_check" not in metafunc.fixturenames:
    return
  runs, ids = [], []
  for name in metafunc.config.getoption("--acme-agent"):
    try:
      plugin = load(name)
      found = list(conformance.items(plugin))
    except plugins.PluginError as error:
      raise pytest.Collector.CollectError(f"--acme-agent={name}: {error}") from None
    runs += [pytest.param(check, marks=_marks(plugin, check_name)) for check_name, check in found]
    ids += [f"{name}-{check_name}" for check_name, _ in found]
  metafunc.parametrize("run_check", runs, ids=ids)


def _marks(plugin: plugins.AgentPlugin[Any], check_name: str) -> list[pytest.MarkDecorator]:
  """`long` for most checks of presets, which a quick session (`-m "not long"`) leaves to one that has time."""
  check, _, case = check_name.rstrip("]").partition("[")
  of_preset = any(case == preset or case.startswith(f"{preset}-") for preset in plugin.presets)
  return [pytest.mark.long] if of_preset and check not in QUICK_OF_PRESETS else []


def test_agent(run_check):
  """Holds one agent to one check."""
  run_check()


def test_battery_is_whole():
  """Fails where a check is deleted, left out of the battery, or overridden by another of its name."""
  source = ast.parse(inspect.getsource(checks))
  defined = [node.name for node in source.body if isinstance(node, ast.FunctionDef) and node.name.startswith("check_")]
  assert sorted(defined) == sorted(PINNED)
  assert [check.__name__ for check in conformance.CHECKS] == PINNED
  assert [check.__name__ for check in conformance.BEHAVIOUR] == PINNED_BEHAVIOUR
  for check in conformance.CHECKS:
    assert check is getattr(checks, check.__name__) and check.__module__ == checks.__name__, check
    assert check.__code__.co_name == check.__name__, f"{check.__name__} was put in place of another check"
  assert set(conformance.CASES) <= set(PINNED)
