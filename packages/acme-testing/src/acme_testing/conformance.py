"""The battery that every agent passes: plain functions on what a package offers as its `acme.plugins.AgentPlugin`.

    from acme_testing import conformance
    conformance.check_agent(my_package.AGENT)

or `pytest --pyargs acme_testing --acme-agent=NAME`, which runs each check as a test of its own. A check raises
AssertionError, which says what was expected. Every agent is run small, by the convention of `runs.SMALL` and the
record's own `small`, in fake environments. The agent's default config goes through every check; each preset, and each
other kind of action that it takes, through those of behaviour. Conventions that the battery reads:

- `get_variables` raises a KeyError that lists the names it knows; a name `target_x` is the target of `x`, or, where
  there is no `x`, of `params`; an agent has such a name whose config has a field that says how targets follow:
  `target_…_period`, `target_…_rate`, `target_…_tau`, `target_update…`, `target_network…`;
- every field of the config is followed by a docstring literal, in its class or a base, and typed as `acme.configs` has
  it; a field `demonstrations`, or one for which `small` has `runs.DATASET`, is the path of recorded episodes;
- a program that has the functions of `acme_jax.program.Program` traces without values.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from acme import plugins
from acme_testing import checks, fakes, fields, runs

__all__ = ["BEHAVIOUR", "CASES", "CHECKS", "check_agent", "items"]

Check = Callable[..., None]

BEHAVIOUR: tuple[Check, ...] = (
  checks.check_program,  # First, as it looks at all that is alive.
  checks.check_specs,
  checks.check_learning_changes_parameters,
  checks.check_resume_is_exact,
  checks.check_saved_state_stands_still,
  checks.check_same_seed_same_run,
  checks.check_other_seed_other_run,
  checks.check_vector_run,
  checks.check_plain_environment,
  checks.check_get_variables,
  checks.check_target_starts_equal,
  checks.check_evaluation_is_greedy,
  checks.check_evaluator_takes_new_parameters,
  checks.check_evaluation_leaves_no_trace,
  checks.check_observations_are_not_mutated,
  checks.check_observations_are_copied,
  checks.check_priorities_are_written_back,
  checks.check_diverging_loss,
)
"""Those that depend on the config, and that each preset goes through, too."""

_ONCE: tuple[Check, ...] = (
  checks.check_record,
  checks.check_observe_first_comes_first,
  checks.check_wrong_action_spec,
  checks.check_bad_input,
  checks.check_field_is_documented,
  checks.check_field_refuses_bad_values,
  checks.check_field_changes_something,
  checks.check_replay_is_given,
)

CHECKS: tuple[Check, ...] = BEHAVIOUR + _ONCE
"""The battery. `acme_testing.test_agent` pins its names."""

ACTING: tuple[Check, ...] = (
  checks.check_observe_first_comes_first,
  checks.check_bad_input,
  checks.check_vector_run,
  checks.check_plain_environment,
  checks.check_observations_are_not_mutated,
  checks.check_observations_are_copied,
)
"""Those that mean nothing to an agent that learns from datasets alone."""

_BAD_INPUT = [
  "NaN in the first observation",
  "NaN in an observation",
  "NaN reward",
  "infinite reward",
  "NaN discount",
  "observation of a wrong shape",
  "reward of a wrong shape",
]


def _spec_cases(subject: runs.Subject) -> list[str]:
  kind = next((name for name, spec in fakes.ACTIONS.items() if spec is subject.spec.actions), "continuous")
  if subject.label:  # The rest depends on the network, which the agent's other subjects have, too.
    return [f"vector-{kind}"]
  more = ("vector-matrix", "vector-dict") if kind == "continuous" else ()
  return [f"{o}-{kind}" for o in ("vector", "scalar", "nested", "image", "dict")] + [*more]


def _wrong_actions(subject: runs.Subject) -> list[str]:
  taken = subject.plugin.actions
  return [*(["discrete"] if "discrete" not in taken else []), *(["continuous"] if "continuous" not in taken else []),
          *(["free"] if "continuous" in taken else ["dict"])]  # fmt: skip


def _fields(subject: runs.Subject) -> list[str]:
  return fields.names(subject.plugin)


CASES: dict[str, Callable[[runs.Subject], Sequence[str]]] = {
  "check_specs": _spec_cases,
  "check_wrong_action_spec": _wrong_actions,
  "check_bad_input": lambda subject: _BAD_INPUT,
  "check_field_is_documented": _fields,
  "check_field_refuses_bad_values": _fields,
  "check_field_changes_something": _fields,
}
"""The cases of the checks that have some, by name: what they take beside the subject."""


def subjects(plugin: plugins.AgentPlugin[Any]) -> list[runs.Subject]:
  """The agent by default, with each other kind of action, and with each preset that its backend takes.

  Of presets with the same switches, which differ in numbers, one: the others are no other program.
  """
  kinds = [runs.Subject(plugin, actions, spec=runs.default_spec(plugin, actions)) for actions in plugin.actions[1:]]
  made = {name: make() for name, make in plugin.presets.items()}
  config = type(plugin.config())  # What is of another kind `check_record` refuses.
  presets = {name: runs.small_config(plugin, preset) for name, preset in made.items() if isinstance(preset, config)}
  taken = {name: config for name, config in presets.items() if fields.taken(plugin, config)}
  programs = {fields.switches(plugin, runs.small_config(plugin)): ""}
  for name, each in taken.items():
    programs.setdefault(fields.switches(plugin, each), name)
  named = [runs.Subject(plugin, name, config=taken[name]) for name in programs.values() if name]
  return [runs.Subject(plugin), *kinds, *named]


def items(
  plugin: plugins.AgentPlugin[Any], alternatives: Mapping[str, Sequence[Any]] | None = None
) -> Iterator[tuple[str, Callable[[], None]]]:
  """Every check of an agent, case by case, with its name: `check_specs[image-discrete]`, `check_program[uniform]`.

  They share runs, so each is quickest after the one before it.
  """
  outcomes: dict[str, str] = {}
  agents = subjects(plugin)
  for subject, several in [*((subject, BEHAVIOUR) for subject in agents), (agents[0], _ONCE)]:
    offline = runs.is_offline(subject.experience())
    for check in several:
      if offline and check in ACTING:
        continue
      more = {}
      if check is checks.check_field_changes_something:
        more = {"alternatives": alternatives, "outcomes": outcomes}
      cases = [(case,) for case in CASES[check.__name__](subject)] if check.__name__ in CASES else [()]
      for case in cases:
        label = "-".join([*filter(None, [subject.label]), *case])
        name = f"{check.__name__}[{label}]" if label else check.__name__
        yield name, functools.partial(check, subject, *case, **more)


def check_agent(plugin: plugins.AgentPlugin[Any], alternatives: Mapping[str, Sequence[Any]] | None = None) -> None:
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
