"""Config fields: what they say of themselves, values they must refuse, and values that must change something."""

import ast
import dataclasses
import inspect
import math
import textwrap
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from acme import configs, experience, plugins, specs
from acme_testing import programs, runs

MAX_RUNS = 3  # Values tried for a field in each of the configs that `bases` gives.


Plugin = plugins.AgentPlugin[Any]


def names(plugin: Plugin) -> list[str]:
  """The names of the config's fields."""
  return [field.name for field in dataclasses.fields(plugin.config())]


def hint_of(plugin: Plugin, field: str) -> Any:
  """The annotated type of a field."""
  return typing.get_type_hints(type(plugin.config()), include_extras=True)[field]


def documentation(plugin: Plugin) -> dict[str, str]:
  """The docstring literal that follows each field, by name; a config that inherits has those of its bases too."""
  found: dict[str, str] = {}
  for cls in reversed(type(plugin.config()).__mro__):
    if cls is object:
      continue
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(body, ast.ClassDef)
    for statement, following in zip(body.body, body.body[1:], strict=False):
      is_field = isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
      if is_field and isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
        found[statement.target.id] = str(following.value.value)  # type: ignore[attr-defined]
  return found


def bad_values(hint: Any) -> list[Any]:
  """Values that a field of this type must refuse."""
  kind, optional, limits = _read(hint)
  bad: list[Any] = [] if optional else [None]
  if kind in (int, float):
    bad += ["1", "many", True, [1], math.nan, math.inf]
    bad += [1.5] if kind is int else []
    bad += [limits.low - 1] if limits.low > -math.inf else []
    bad += [limits.low] if limits.open_low else []
    bad += [limits.high + 1] if limits.high < math.inf else []
  elif kind is bool:
    bad += [2, "yes"]
  elif typing.get_origin(kind) is tuple:
    bad += [1, "ab", *((value,) for value in bad_values(typing.get_args(kind)[0]))]
  elif typing.get_origin(kind) is Literal:
    bad += ["no such choice", -12345]
  elif kind is str:
    bad += [1]
  return bad


def other_values(hint: Any, value: Any) -> list[Any]:
  """Values other than `value` that a field of this type may take, those most likely to show in a short run first."""
  kind, optional, limits = _read(hint)
  found: list[Any] = []
  if value == runs.DATASET:
    found = [runs.OTHER_DATASET]
  elif kind is bool:
    found = [not value]
  elif kind is int:
    base = value if value is not None else 4
    found = [base, 1, base // 2, base + 1, 2, base * 2, 0]
  elif kind is float:
    base = value if value is not None else 0.5
    found = [base, base / 2, 0.01, base + 0.5, base * 2, 0.1, 0.0, -0.5]
  elif typing.get_origin(kind) is Literal:
    found = list(typing.get_args(kind))
  elif typing.get_origin(kind) is tuple and value is None:
    inner = typing.get_args(kind)
    found = [tuple(sorted(other_values(inner[0], None)[: len(inner)]))]
  elif typing.get_origin(kind) is tuple and value:
    inner = typing.get_args(kind)[0]
    found = [(other, *value[1:]) for other in other_values(inner, value[0])] + [(*value, value[-1]), value[:-1]]
  if kind in (int, float):
    found = [other for other in found if other in limits]
  found += [None] if optional else []
  return [other for i, other in enumerate(found) if other != value and other not in found[:i]]


def _read(hint: Any) -> tuple[Any, bool, configs.Range]:
  """The type under a hint, whether None is one of its values, and its range."""
  optional, limits = False, configs.Range()
  while typing.get_origin(hint) in (typing.Annotated, typing.Union, types.UnionType):
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Annotated:
      limits = next((a for a in arguments[1:] if isinstance(a, configs.Range)), limits)
      hint = arguments[0]
    else:
      optional = optional or type(None) in arguments
      hint = next(a for a in arguments if a is not type(None))
  return hint, optional, limits


def bases(plugin: Plugin, field: str) -> Iterator[Any]:
  """Small configs in which a field may matter: the default, each preset, and the default with each switch turned.

  Before them come those with the switches that the field's documentation names, as "With `categorical`: …" does.
  """
  documented = documentation(plugin).get(field, "")
  others = [name for name in names(plugin) if name != field and _is_switch(hint_of(plugin, name))]
  default = runs.small_config(plugin, type(plugin.config())())
  for name in (name for name in others if f"`{name}`" in documented):
    if getattr(default, name) is not True:  # A field is documented by what it does with a switch on.
      yield from _turned(plugin, default, name)
  yield runs.small_config(plugin)
  yield default  # Another, where the plug-in's is a preset.
  for preset in plugin.presets.values():
    yield runs.small_config(plugin, preset())
  for name in (name for name in others if f"`{name}`" not in documented):
    yield from _turned(plugin, default, name)


def _is_switch(hint: Any) -> bool:
  kind, _, _ = _read(hint)
  return kind is bool or typing.get_origin(kind) is Literal


def switches(plugin: Plugin, config: Any) -> tuple[Any, ...]:
  """The values of a config's switches, and which of its other fields are None: what makes it another program."""
  values = {name: getattr(config, name) for name in names(plugin)}
  return tuple(value if _is_switch(hint_of(plugin, name)) else value is None for name, value in values.items())


def _turned(plugin: Plugin, config: Any, name: str) -> Iterator[Any]:
  for value in other_values(hint_of(plugin, name), getattr(config, name)):
    changed = replaced(config, name, value)
    if changed is not None:
      yield changed


def replaced(config: Any, field: str, value: Any) -> Any:
  """The config with another value of a field; None where it refuses that value."""
  try:
    return dataclasses.replace(config, **{field: value})
  except (TypeError, ValueError):
    return None


def changes_something(
  subject: runs.Subject, field: str, alternatives: Mapping[str, Sequence[Any]], outcomes: dict[str, str]
) -> tuple[bool, list[Any]]:
  """Whether some other value of a field changes the experience or a short run, and the values that were tried.

  Where the agent's backend lacks the field, or the switch that it goes with, and says so, there is nothing to change.
  `outcomes` takes what each config led to: runs are costly, and every field starts from the same few configs. Where
  two configs' programs in JAX differ, as traced, no run is needed.
  """
  plugin = subject.plugin
  lacking = _lacking_switches(plugin)
  documented = documentation(plugin).get(field, "")
  if field in lacking or any(f"With `{switch}`" in documented for switch in lacking):
    return True, []
  kinds = [subject.of_kind(actions) for actions in plugin.actions]
  tried: list[Any] = []
  pairs: list[tuple[runs.Subject, Any, Any]] = []
  for base in bases(plugin, field):
    for kind in (kind for kind in kinds if taken(plugin, base, kind.spec)):
      values = alternatives.get(field) or other_values(hint_of(plugin, field), getattr(base, field))
      accepted = [(v, c) for v in values if (c := replaced(base, field, v)) is not None and taken(plugin, c, kind.spec)]
      for other, config in accepted[:MAX_RUNS]:
        tried.append(other)
        if _differ(kind, base, config, outcomes):
          return True, tried
        pairs.append((kind, base, config))
  # What tracing does not show, a run may.
  return any(_outcome(kind, base, outcomes) != _outcome(kind, other, outcomes) for kind, base, other in pairs), tried


def _differ(subject: runs.Subject, base: Any, config: Any, outcomes: dict[str, str]) -> bool:
  """Whether two configs differ in experience, or in what their programs compute, which no run is needed to see."""
  one, other = (runs.make_experience(subject.plugin, each, subject.spec) for each in (base, config))
  if repr(one) != repr(other):
    return True
  if repr(_as_sampled(one)) != repr(_as_sampled(subject.experience())):
    return False  # Of which there is no sample to trace with.
  return _traced(subject, base, outcomes) != _traced(subject, config, outcomes)


def _as_sampled(described: experience.Experience) -> experience.Experience:
  """The same samples, however they were chosen."""

  def plain(items: experience.Items) -> experience.Items:
    queue = isinstance(items, experience.Queue)
    return items if queue else dataclasses.replace(items, priority_exponent=None, min_size=1, samples_per_insert=None)

  if isinstance(described, experience.Items):
    return plain(described)
  parts = {name: plain(part) for name, part in described.parts.items()}
  return dataclasses.replace(described, parts=parts, samples_per_insert=None)


def _traced(subject: runs.Subject, config: Any, outcomes: dict[str, str]) -> str | None:
  """What a config's program computes, as text; None where it is none in JAX."""
  key = f"traced {(config, subject.spec)!r}"
  if key not in outcomes:
    builder = runs.make_builder(subject.plugin, config, subject.spec)
    program = builder.make_program(subject.spec)
    if not programs.is_program(program):
      return None
    outcomes[key] = programs.text(program, subject.sample, builder.step_spec(subject.spec, program))
  return outcomes[key]


def _outcome(subject: runs.Subject, config: Any, outcomes: dict[str, str]) -> str:
  """What a short run comes to."""
  key = repr((config, subject.spec))
  if key not in outcomes:
    same = repr(subject.config) == repr(config)
    outcome = subject.trained.outcome if same else subject.run(config=config).train(subject.num_steps).outcome()
    outcomes[key] = runs.digest(outcome)
  return outcomes[key]


def taken(plugin: Plugin, config: Any, spec: specs.EnvironmentSpec | None = None) -> bool:
  """Whether the agent's backend takes a config; one that lacks a switch refuses it with a ValueError."""
  try:
    runs.make_experience(plugin, config, runs.default_spec(plugin) if spec is None else spec)
  except ValueError:
    return False
  return True


def _lacking_switches(plugin: Plugin) -> list[str]:
  """The switches that the backend refuses to turn on."""
  default = runs.small_config(plugin, type(plugin.config())())
  off = [name for name in names(plugin) if getattr(default, name) is False]
  configs_on = {name: replaced(default, name, True) for name in off}
  return [name for name, config in configs_on.items() if config is not None and not taken(plugin, config)]
