"""The battery itself: a sound agent passes, and each way of breaking it fails the checks that are there for it."""

import contextlib
import dataclasses
import os
import random
import subprocess
import sys
import textwrap
from typing import Literal

import numpy as np
import pytest

from acme import agents, builders, configs, plugins
from acme_replay import adders
from acme_testing import checks, conformance, fields, linear_q, runs, test_agent

AGENT = linear_q.AGENT
# Checks that a mutant passes unless it says otherwise: a break shows where it should, and not everywhere.
BYSTANDERS = {"record", "observe_first_comes_first", "get_variables", "wrong_action_spec", "target_starts_equal"}
EMBEDDED = plugins.load_replay()
FIELDS = ("learning_rate", "eval_epsilon")  # Each takes runs of its own: these will do.


def failed(plugin, checks):
  """Which of some checks an agent fails."""
  found = set()
  for name, run in conformance.items(plugin):
    check, _, case = name.removeprefix("check_").rstrip("]").partition("[")
    if check not in checks or check in found or (check == "field_changes_something" and case not in FIELDS):
      continue
    try:
      run()
    except Exception:
      found.add(check)
  return found


def test_the_reference_agent_passes():
  conformance.check_agent(AGENT)


def patched(**methods):
  """Replaces methods of linear_q's classes, or of the agent's and the replay's: `Class__method=function(original)`."""
  places = {"Agent": agents.Agent, "Replay": EMBEDDED, "Adder": adders.NStepTransitionAdder}

  @contextlib.contextmanager
  def broken():
    with pytest.MonkeyPatch.context() as patch:
      for name, change in methods.items():
        owner, _, method = name.partition("__")
        cls = places.get(owner) or getattr(linear_q, owner)
        patch.setattr(cls, method, change(getattr(cls, method)))
      yield AGENT

  return broken


def with_config(cls):
  """The agent with another config class, some of whose fields nothing reads."""

  @contextlib.contextmanager
  def broken():
    yield dataclasses.replace(AGENT, config=cls, presets={})

  return broken


def before(statement):
  """A change that does something to `self` and the arguments, then what the method did."""

  def change(original):
    def method(self, *args, **kwargs):
      statement(self, *args, **kwargs)
      return original(self, *args, **kwargs)

    return method

  return change


def after(statement):
  """A change that does something to `self` and the result, which it may replace."""

  def change(original):
    def method(self, *args, **kwargs):
      result = original(self, *args, **kwargs)
      replaced = statement(self, result)
      return result if replaced is None else replaced

    return method

  return change


def instead(function):
  return lambda original: function


def scribble(self, observation):
  np.asarray(observation)[...] = 0


def forget(*names):
  """A state without these, which stay as they were at restore."""

  def restore_without(original):
    def restore(self, state):
      kept = {name: value for name, value in self.save().items() if name in names}
      return original(self, {**state, **kept})

    return restore

  return restore_without


def overwrite(original):
  def step(self):
    w = self._w
    original(self)
    w[...] = self._w
    self._w = w

  return step


@dataclasses.dataclass(frozen=True, kw_only=True)
class IdleField(linear_q.LinearQConfig):
  """Has a field that nothing reads."""

  learning_rate: configs.Positive = 0.01
  """Read."""
  momentum: configs.Fraction = 0.9
  """Read by nobody."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Undocumented(linear_q.LinearQConfig):
  epsilon_too: configs.Fraction = 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unvalidated(linear_q.LinearQConfig):
  """Takes anything."""

  def __post_init__(self):
    pass


@dataclasses.dataclass(frozen=True, kw_only=True)
class UniformByDefault(linear_q.LinearQConfig):
  prioritized: bool = False
  """Off."""


def seedless(original):
  """Takes no notice of the seed: that of the inputs, or the replay's third argument."""

  def method(self, *args, **kwargs):
    args = [dataclasses.replace(a, seed=0) if dataclasses.is_dataclass(a) and hasattr(a, "seed") else a for a in args]
    if isinstance(args[-1], int):
      args[-1] = 0
    return original(self, *args, **kwargs)

  return method


def restored_at_random(original):
  """Puts back everything but the random numbers of the tables."""

  def restore(self, state):
    original(self, state)
    self.store.table("replay")._rng = np.random.default_rng(7)

  return restore


def forbid(dtype):
  """Zero, for anything but float64."""
  if dtype == np.float64:
    raise TypeError("float64")
  return np.float32(0)


class Impure(tuple):
  """A tuple that has the functions of a program in JAX, of which one changes what it keeps."""

  evaluation = behaviour = space = None

  def __new__(cls, shape):
    self = super().__new__(cls, shape)
    self.calls = []
    return self

  def init(self, key):
    self.calls.append(1)
    return key

  def update(self, state, sample):
    return state, None, {}

  def params(self, state):
    return state

  def variables(self, state):
    return {}


MUTANTS = {
  "no line for acme list": (lambda: contextlib.nullcontext(dataclasses.replace(AGENT, summary=" ")), {"record"}),
  "a preset of another kind": (
    lambda: contextlib.nullcontext(dataclasses.replace(AGENT, presets={"bad": dict})),
    {"record"},
  ),
  "tuned by a preset that is not there": (
    lambda: contextlib.nullcontext(dataclasses.replace(AGENT, tuned={"CartPole-v1": "fast"})),
    {"record"},
  ),
  "actions outside the spec": (
    patched(LinearQActor__select_action=after(lambda self, action: np.int32(7))),
    {"specs", "get_variables"},
  ),
  "actions of another dtype": (
    patched(LinearQActor__select_action=after(lambda self, action: np.int64(action))),
    {"specs", "get_variables"},
  ),
  "observes before the first": (
    patched(Agent__observe=instead(lambda self, action, timestep: self.actor.observe(action, timestep))),
    {"observe_first_comes_first", "bad_input"},
  ),
  "learns nothing": (
    patched(LinearQLearner__step=instead(lambda self: next(self._dataset))),
    {"learning_changes_parameters"},
  ),
  "overwrites its parameters": (
    patched(LinearQLearner__step=overwrite),
    {"learning_changes_parameters", "saved_state_stands_still"},
  ),
  "forgets its steps": (patched(LinearQLearner__restore=forget("steps")), {"resume_is_exact"}),
  "forgets the target": (patched(LinearQLearner__restore=forget("target_w")), {"resume_is_exact"}),
  "forgets the actor's random numbers": (patched(LinearQActor__restore=forget("rng")), {"resume_is_exact"}),
  "forgets the replay's random numbers": (patched(Replay__restore=restored_at_random), {"resume_is_exact"}),
  "forgets the episode in progress": (patched(Adder__restore=instead(lambda self, state: None)), {"resume_is_exact"}),
  "saves what is no plain data": (
    patched(LinearQLearner__save=after(lambda self, state: {**state, "rng": object()})),
    {"resume_is_exact"},
  ),
  "saves its own lists": (
    patched(
      LinearQLearner__save=after(lambda self, state: {**state, "alias": self.__dict__.setdefault("log", [])}),
      LinearQLearner__step=before(lambda self: self.__dict__.setdefault("log", []).append(1)),
      LinearQLearner__restore=before(lambda self, state: self.__dict__.update(log=list(state["alias"]))),
    ),
    {"saved_state_stands_still"},
  ),
  "random numbers from nowhere": (
    patched(LinearQActor__select_action=after(lambda self, a: np.int32(random.SystemRandom().randrange(3)))),
    {"same_seed_same_run", "evaluation_is_greedy"},
  ),
  "no seed": (
    patched(LinearQLearner____init__=seedless, LinearQActor____init__=seedless, Replay____init__=seedless),
    {"other_seed_other_run"},
  ),
  "several streams, and random numbers from nowhere": (
    patched(
      LinearQActor__select_action=after(
        lambda self, a: a if self._one else np.int32([random.SystemRandom().randrange(3) for _ in a])
      )
    ),
    {"vector_run"},
  ),
  "rewards of float64 are not taken": (
    patched(
      Agent____init__=before(lambda self, builder, spec, **_: np.zeros(1, np.float32) + forbid(spec.rewards.dtype))
    ),
    {"plain_environment"},
  ),
  "a replay of its own": (
    patched(
      Agent____init__=lambda original: (
        lambda self, builder, spec, *, replay=None, **others: original(self, builder, spec, **others)
      )
    ),
    {"replay_is_given"},
  ),
  "a program that keeps count": (
    patched(LinearQBuilder__make_program=after(lambda self, program: Impure(program))),
    {"program"},
  ),
  "variables in an order of its own": (
    patched(LinearQLearner__get_variables=after(lambda self, values: values[::-1])),
    {"get_variables"},
  ),
  "a KeyError that lists nothing": (
    patched(
      LinearQLearner__get_variables=instead(
        lambda self, names: [{"params": self._w, "target_params": self._target_w}[name] for name in names]
      )
    ),
    {"get_variables", "target_starts_equal"},
  ),
  "a target of its own": (
    patched(LinearQLearner____init__=after(lambda self, _: setattr(self, "_target_w", self._w + 1))),
    {"target_starts_equal"},
  ),
  "evaluation explores": (
    patched(LinearQBuilder__make_actor=after(lambda self, actor: setattr(actor, "_epsilon", 0.5))),
    {"evaluation_is_greedy"},
  ),
  "training does not explore": (
    patched(LinearQBuilder__make_actor=after(lambda self, actor: setattr(actor, "_epsilon", 0.0))),
    {"evaluation_is_greedy"},
  ),
  "an actor that keeps its first parameters": (
    patched(
      LinearQActor__update=lambda original: lambda self, wait=False: None if hasattr(self, "_w") else original(self)
    ),
    {"evaluator_takes_new_parameters"},
  ),
  "evaluation is recorded": (
    patched(
      Agent__make_evaluator=instead(
        lambda self: linear_q.LinearQActor(
          0.0, np.int32, builders.ActorInputs(variables=self.learner, adder=self.replay.adder())
        )
      )
    ),
    {"evaluation_leaves_no_trace"},
  ),
  "writes to observations": (patched(LinearQActor__select_action=before(scribble)), {"observations_are_not_mutated"}),
  "keeps observations by reference": (
    patched(
      LinearQActor__observe_first=before(lambda self, timestep: setattr(self, "_o", timestep.observation)),
      LinearQActor__select_action=after(lambda self, a: np.int32((a + (self._o > 0).sum()) % 3)),
    ),
    {"observations_are_copied"},
  ),
  "takes any action": (patched(LinearQBuilder__make_program=instead(lambda self, spec: (6, 3))), {"wrong_action_spec"}),
  "a wrong action is an error that says nothing": (
    patched(LinearQBuilder__make_program=before(lambda self, spec: spec.actions.num_values)),
    {"wrong_action_spec"},
  ),
  "takes a NaN": (
    patched(Agent____init__=after(lambda self, _: setattr(self, "_check_reward", lambda value: None))),
    {"bad_input"},
  ),
  "a field without documentation": (with_config(Undocumented), {"field_is_documented"}),
  "a field without validation": (with_config(Unvalidated), {"field_refuses_bad_values"}),
  "ignores the learning rate": (
    patched(
      LinearQLearner____init__=after(
        lambda self, _: setattr(self, "_config", dataclasses.replace(self._config, learning_rate=0.01))
      )
    ),
    {"field_changes_something"},
  ),
  "takes 0.0 for absent": (
    patched(LinearQBuilder__make_actor=after(lambda self, a: setattr(a, "_epsilon", a._epsilon or 0.05))),
    {"evaluation_is_greedy"},
  ),
  "priorities are not written back": (
    patched(LinearQLearner____init__=after(lambda self, _: setattr(self, "_replay", None))),
    {"priorities_are_written_back"},
  ),
  "diverges in silence": (
    patched(LinearQLearner__step=lambda original: lambda self: silent(original, self)),
    {"diverging_loss"},
  ),
}


def silent(step, learner):
  with contextlib.suppress(FloatingPointError):
    step(learner)


@pytest.mark.parametrize("broken, expected", MUTANTS.values(), ids=MUTANTS)
def test_a_broken_agent_fails_the_checks_that_are_there_for_it(broken, expected):
  with broken() as plugin:
    assert failed(plugin, expected | BYSTANDERS) == expected


def test_every_check_has_a_mutant():
  assert {f"check_{check}" for _, expected in MUTANTS.values() for check in expected} == set(test_agent.PINNED)


def test_check_agent_lists_every_failure():
  with patched(LinearQLearner__step=instead(lambda self: next(self._dataset)))() as plugin:
    with pytest.raises(
      AssertionError, match=r"linear_q failed \d+ checks:(.|\n)*\ncheck_learning_changes_parameters\[uniform\]"
    ):
      conformance.check_agent(plugin)


def test_the_battery_is_whole():
  test_agent.test_battery_is_whole()


@pytest.mark.parametrize("change", ["delete", "override", "leave out"])
def test_a_check_deleted_or_overridden_is_noticed(monkeypatch, change):
  others = [check for check in conformance.CHECKS if check is not checks.check_specs]
  if change == "delete":
    monkeypatch.setattr(conformance, "CHECKS", tuple(others))
  else:
    nothing = (lambda plugin, case: None) if change == "override" else checks.check_program
    monkeypatch.setattr(checks, "check_specs", nothing)
  with pytest.raises(AssertionError):
    test_agent.test_battery_is_whole()


OTHERS = [
  (configs.PositiveInt, 8, [1, 4, 9, 2, 16], [0, 1.5, "1", None]),
  (configs.Fraction, 0.5, [0.25, 0.01, 1.0, 0.1, 0.0], [-1, 2, "1", None]),
  (configs.Positive | None, None, [0.5, 0.25, 0.01, 1.0, 0.1], [0, -1, "many"]),
  (configs.Positive | None, 0.5, [0.25, 0.01, 1.0, 0.1, None], [0, -1]),
  (bool, True, [False], ["yes", 2, None]),
  (Literal["a", "b"], "a", ["b"], ["no such choice"]),
  (tuple[float, float] | None, None, [(0.25, 0.5)], [1, "ab", ("1",)]),
  (tuple[configs.PositiveInt, ...], (4,), [(1,), (2,), (5,), (8,), (4, 4), ()], [1, "ab", (0,), (1.5,)]),
]


@pytest.mark.parametrize("hint, value, others, bad", OTHERS, ids=lambda x: str(x)[:20])
def test_values_to_try_and_to_refuse(hint, value, others, bad):
  assert fields.other_values(hint, value) == others
  assert all(any(b == x and type(b) is type(x) for x in fields.bad_values(hint)) for b in bad)


def test_of_presets_that_differ_in_numbers_one_is_held_to_the_battery():
  uniform = AGENT.presets["uniform"]
  presets = {
    "numbers": lambda: type(AGENT.config())(learning_rate=0.5),
    "uniform": uniform,
    "slow": lambda: dataclasses.replace(uniform(), learning_rate=0.01),
  }
  subjects = conformance.subjects(dataclasses.replace(AGENT, presets=presets))
  assert [subject.label for subject in subjects] == ["", "uniform"]


def test_switches_that_the_documentation_names_go_first():
  uniform = dataclasses.replace(AGENT, config=UniformByDefault)
  first, *_ = fields.bases(AGENT, "priority_exponent")
  assert first == runs.small_config(AGENT), "the switch is on already"
  first, second, *_ = fields.bases(uniform, "priority_exponent")
  assert first.prioritized and not second.prioritized


def test_alternatives_are_tried_in_place_of_the_batterys_own_values():
  with pytest.raises(AssertionError, match=r"discount: of the values \[0.99, .*none changed"):
    checks.check_field_changes_something(runs.Subject(AGENT), "discount", {"discount": [0.99]})


def test_digests_tell_values_apart():
  values = [1, 1.0, True, "1", None, [], {}, [1], [[1]], [1, 1], {"a": 1}, np.int32(1), np.int64(1), np.ones(1, int)]
  values += [np.zeros((2, 1)), np.zeros((1, 2)), np.zeros(2), np.float32("nan"), -0.0, 0.0]
  assert len({runs.digest(value) for value in values}) == len(values)
  assert runs.digest((np.arange(3), {"b": 1, "a": 2})) == runs.digest([np.arange(3), {"a": 2, "b": 1}])


def test_a_difference_is_named():
  state = {"learner": [np.zeros(2), {"steps": 3}], "seed": None}
  assert runs.difference(state, {"seed": None, "learner": (np.zeros(2), {"steps": 3})}) == ""
  other = {"learner": [np.zeros(2), {"steps": 4}], "seed": None}
  assert runs.difference(state, other) == "learner/1/steps is 3, and 4"
  assert runs.difference(state, {"learner": [np.zeros(2), {}], "seed": None}).startswith("learner/1/steps is 3, and")


def run_pytest(directory, *arguments):
  """Runs pytest in a process of its own, where a fake distribution offers the reference agent."""
  (directory / "fake_agent.py").write_text("from acme_testing.linear_q import AGENT\n")
  info = directory / "fake_agent-1.0.dist-info"
  info.mkdir()
  (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fake-agent\nVersion: 1.0\n")
  (info / "entry_points.txt").write_text("[acme.agents]\nlinear_q = fake_agent:AGENT\n")
  command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
  environment = {**os.environ, "PYTHONPATH": str(directory)}
  return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)


def test_the_battery_under_pytest(tmp_path):
  result = run_pytest(
    tmp_path, "--pyargs", "acme_testing", "--acme-agent=linear_q", "--acme-agent=linear_q:uniform", "-v"
  )
  assert result.returncode == 0, result.stdout
  assert "test_agent[linear_q-check_specs[image-discrete]] PASSED" in result.stdout
  assert "test_agent[linear_q:uniform-check_field_changes_something[learning_rate]] PASSED" in result.stdout
  assert "test_battery_is_whole PASSED" in result.stdout


@pytest.mark.parametrize(
  "arguments, code, output",
  [
    (["--pyargs", "acme_testing"], 5, "no tests ran"),
    (["--pyargs", "acme_testing", "--acme-agent=linear_w"], 2, "Did you mean linear_q"),
    (["--pyargs", "acme_testing", "--acme-agent=linear_q:rainbow"], 2, "no preset 'rainbow'; known: uniform"),
  ],
  ids=["no agent", "unknown agent", "unknown preset"],
)
def test_the_option(tmp_path, arguments, code, output):
  result = run_pytest(tmp_path, *arguments)
  assert result.returncode == code and output in result.stdout + result.stderr, result.stdout


def test_other_runs_are_left_alone(tmp_path):
  (tmp_path / "test_mine.py").write_text(
    textwrap.dedent("""
      import sys

      def test_mine(request):
        assert "acme" not in sys.modules and "numpy" not in sys.modules
    """)
  )
  result = run_pytest(tmp_path, "test_mine.py")
  assert result.returncode == 0 and "1 passed" in result.stdout, result.stdout
