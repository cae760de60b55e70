"""The battery that every agent passes: plain functions on what a package offers as its `acme.plugins.AgentPlugin`.

    from acme_testing import conformance
    conformance.check_agent(my_package.AGENT)

or `pytest --pyargs acme_testing --acme-agent=NAME`, which runs each check as a test of its own. A check raises
AssertionError, which says what was expected. Every agent is run small, by the convention of `runs.SMALL`, in fake
environments. Conventions that the battery reads:

- `agent(spec, config=…, seed=…)` is an `acme.agents.Agent`;
- `get_variables` raises a KeyError that lists the names it knows; a name `target_x` is the target of `x`, or, where
  there is no `x`, of `params`; an agent whose config has a field that begins with `target` has such a name;
- every field of the config is followed by a docstring literal, and typed as `acme.configs` has it.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from acme import plugins
from acme_testing import checks, fields

__all__ = ["CASES", "CHECKS", "check_agent", "items"]


def _spec_cases(plugin: plugins.AgentPlugin) -> list[str]:
  more = ("vector-matrix", "vector-dict") if plugin.actions == "continuous" else ()
  return [f"{o}-{plugin.actions}" for o in ("scalar", "vector", "nested", "image", "dict")] + [*more]


_WRONG_ACTIONS = {"discrete": ["continuous", "dict"], "continuous": ["discrete", "free"]}

_BAD_INPUT = [
  "NaN in the first observation",
  "NaN in an observation",
  "NaN reward",
  "infinite reward",
  "NaN discount",
  "observation of a wrong shape",
  "reward of a wrong shape",
]

CHECKS: tuple[Callable[..., None], ...] = (
  checks.check_record,
  checks.check_specs,
  checks.check_preset,
  checks.check_observe_first_comes_first,
  checks.check_learning_changes_parameters,
  checks.check_resume_is_exact,
  checks.check_saved_state_stands_still,
  checks.check_same_seed_same_run,
  checks.check_other_seed_other_run,
  checks.check_get_variables,
  checks.check_target_starts_equal,
  checks.check_evaluation_is_greedy,
  checks.check_evaluator_takes_new_parameters,
  checks.check_evaluation_leaves_no_trace,
  checks.check_observations_are_not_mutated,
  checks.check_observations_are_copied,
  checks.check_wrong_action_spec,
  checks.check_bad_input,
  checks.check_field_is_documented,
  checks.check_field_refuses_bad_values,
  checks.check_field_changes_something,
  checks.check_priorities_are_written_back,
  checks.check_diverging_loss,
)
"""The battery. `acme_testing.test_agent` pins its names."""

CASES: dict[str, Callable[[plugins.AgentPlugin], Sequence[str]]] = {
  "check_specs": _spec_cases,
  "check_preset": lambda plugin: list(plugin.presets),
  "check_wrong_action_spec": lambda plugin: (
    ["continuous", "dict"] if plugin.actions == "discrete" else ["discrete", "free"]
  ),
  "check_bad_input": lambda plugin: _BAD_INPUT,
  "check_field_is_documented": fields.names,
  "check_field_refuses_bad_values": fields.names,
  "check_field_changes_something": fields.names,
}
"""The cases of the checks that have some, by name: what they take beside the plug-in."""


def items(
  plugin: plugins.AgentPlugin, alternatives: Mapping[str, Sequence[Any]] | None = None
) -> Iterator[tuple[str, Callable[[], None]]]:
  """Every check of an agent, case by case, with its name: `check_specs[image-discrete]`."""
  outcomes: dict[str, str] = {}
  for check in CHECKS:
    name, more = check.__name__, {}
    if check is checks.check_field_changes_something:
      more = {"alternatives": alternatives, "outcomes": outcomes}
    if name not in CASES:
      yield name, functools.partial(check, plugin)
      continue
    for case in CASES[name](plugin):
      yield f"{name}[{case}]", functools.partial(check, plugin, case, **more)


def check_agent(plugin: plugins.AgentPlugin, alternatives: Mapping[str, Sequence[Any]] | None = None) -> None:
  """Holds an agent to the whole battery.

  Args:
    plugin: the agent.
    alternatives: values to try, by field, in place of the battery's own: for types that it cannot make values
      of, and for fields that only some values of matter for.

  Raises:
    AssertionError: some checks failed; the message has each with its reason.
  """
  failures = []
  for name, run in items(plugin, alternatives):
    try:
      run()
    except Exception as error:
      failures.append(f"{name}: {type(error).__name__}: {error}")
  if failures:
    raise AssertionError(f"{plugin.name} failed {len(failures)} checks:\n" + "\n".join(failures))
