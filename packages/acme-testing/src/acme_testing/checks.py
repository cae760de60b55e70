"""The checks of the battery, each a plain function on a subject (`runs.Subject`), or on one and a case.

See `conformance`. What several checks look at is run once: `Subject.trained` and `Subject.halved`.
"""

import functools
import pathlib
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import dm_env
import numpy as np
import tree

import acme
from acme import builders, checkpointing, core, plugins, replay, specs, types, wrappers
from acme_testing import fakes, fields, programs, runs

Subject = runs.Subject


def _require(condition: bool, message: str) -> None:
  if not condition:
    raise AssertionError(message)


def _raises(kinds: Any, call: Callable[[], Any], what: str, *words: str) -> None:
  """Holds a call to raise an error of some kind whose message has every one of `words` (regular expressions)."""
  try:
    call()
  except kinds as error:
    for word in words:
      _require(re.search(word, str(error), re.IGNORECASE) is not None, f"{what}: expected {word!r} in: {error}")
    return
  except Exception as error:
    raise AssertionError(f"{what}: expected {kinds}, got {error!r}") from error
  raise AssertionError(f"{what}: expected {kinds}, and nothing was raised.")


def check_record(subject: Subject) -> None:
  """The plug-in record is whole: default and presets are configs, each backend's builder builds."""
  plugin, config = subject.plugin, subject.plugin.config()
  _require(bool(plugin.summary.strip()), "summary: expected a line for `acme list`, got nothing.")
  for name, preset in plugin.presets.items():
    _require(type(preset()) is type(config), f"preset {name!r}: expected {type(config).__name__}, got {preset()!r}.")
  astray = {environment for environment, name in plugin.tuned.items() if name not in plugin.presets}
  _require(not astray, f"tuned: expected names of presets for {sorted(astray)}.")
  unknown = set(plugin.small) - set(fields.names(plugin))
  _require(not unknown, f"small: the config has no fields {sorted(unknown)}.")
  builder = runs.make_builder(plugin, subject.config, subject.spec)
  _require(isinstance(builder, builders.Builder), "make_builder(config): expected an acme.builders.Builder.")
  described = subject.experience()
  _require(
    repr(described) == repr(subject.experience()), f"make_experience gave two things for one config: {described!r}."
  )


def check_specs(subject: Subject, case: str) -> None:
  """Observations of a kind go in, valid actions come out, of agent and evaluator; what is learned stays finite."""
  spec = fakes.make_spec(*case.split("-"))
  # The subject's own environment has the first of these specs.
  run = subject.trained.run if repr(spec) == repr(subject.spec) else subject.run(spec=spec).train(subject.num_steps)
  for actor in (run.agent, run.agent.make_evaluator()):
    for observation in runs.observations(spec, 3):
      action = runs.evaluate_action(actor, observation) if not run.offline else actor.select_action(observation)
      tree.map_structure(lambda leaf, value: leaf.validate(value), spec.actions, action)
  _require_finite(run)


def _require_finite(run: runs.Run) -> None:
  names = runs.learner_names(run.agent.learner)
  for name, values in zip(names, run.agent.get_variables(names), strict=True):
    finite = all(np.isfinite(np.asarray(leaf)).all() for leaf in tree.flatten(values))
    _require(finite, f"{name}: expected finite parameters after {run.loop.steps} steps.")


class _Plain(wrappers.EnvironmentWrapper):
  """Leaves the specs of rewards and discounts to dm_env's defaults, and gives Python's floats."""

  reward_spec = dm_env.Environment.reward_spec
  discount_spec = dm_env.Environment.discount_spec

  def step(self, action: Any) -> dm_env.TimeStep:
    timestep = super().step(action)
    return timestep if timestep.first() else timestep._replace(
      reward=float(timestep.reward), discount=float(timestep.discount)
    )  # fmt: skip


def check_plain_environment(subject: Subject) -> None:
  """An environment with dm_env's own specs of rewards and discounts, which are of float64, changes no dtype."""
  spec = acme.make_environment_spec(_Plain(fakes.FakeEnvironment(subject.spec)))
  for num_envs in (None, runs.NUM_ENVS):
    run = subject.run(spec=spec, wrap_environment=_Plain, num_envs=num_envs).train(subject.num_steps // 2)
    _require_finite(run)
    before, after = (
      tree.map_structure(lambda leaf: np.asarray(leaf).dtype, nest)
      for nest in (subject.trained.before, runs.parameters(run.agent))
    )
    _require(before == after, f"Parameters of dtypes {before} became {after} with rewards of float64.")


def check_observe_first_comes_first(subject: Subject) -> None:
  """`observe` before `observe_first`, and after the end of an episode, is refused."""
  run = subject.run()
  observation, after = runs.observations(run.spec, 2)
  action = fakes.random_value(run.spec.actions, np.random.default_rng(0))
  last = dm_env.TimeStep(dm_env.StepType.LAST, np.float32(1), np.float32(0), after)
  for when in ("before the first episode", "after an episode's end"):
    _raises(RuntimeError, lambda: run.agent.observe(action, last), f"observe() {when}", "observe_first")
    run.agent.observe_first(dm_env.restart(observation))
    run.agent.observe(run.agent.select_action(observation), last)


def check_learning_changes_parameters(subject: Subject) -> None:
  """Learning changes the parameters, and what `get_variables` gave before stays as it was."""
  run, _, before, copies, *_ = subject.trained
  _require(not runs.equal(copies, runs.parameters(run.agent)), f"No parameter changed in {run.loop.steps} steps.")
  _require(runs.equal(before, copies), "Parameters that get_variables gave were overwritten: expected new arrays.")


def check_resume_is_exact(subject: Subject) -> None:
  """Saved within an episode, written to disk, restored into an agent of another seed: the rest is the same."""
  halved = subject.halved
  with tempfile.TemporaryDirectory() as directory:
    checkpointing.write(pathlib.Path(directory), halved.state, {})
    state, _ = checkpointing.read(pathlib.Path(directory))
  again = subject.run(seed=1)
  again.restore(state)
  different = runs.difference(halved.state["agent"], again.agent.save())
  _require(not different, f"restore(save()) is not what was saved: {different}.")
  again.actions = halved.actions.copy()
  different = runs.difference(halved.outcome, again.train(subject.num_steps - subject.num_steps // 2).outcome())
  _require(not different, f"After restore the run went on otherwise: {different}.")


def check_saved_state_stands_still(subject: Subject) -> None:
  """What `save` returned does not change while the agent works on."""
  different = runs.difference(subject.halved.state, subject.halved.reference)
  _require(not different, f"The state that save() returned changed later, expected copies: {different}.")


def check_same_seed_same_run(subject: Subject) -> None:
  """The same seed gives the same run, bit for bit, also where it is saved in between."""
  different = runs.difference(subject.trained.outcome, subject.halved.outcome)
  _require(not different, f"Two runs with one seed differ, or saving changed something: {different}.")


def check_other_seed_other_run(subject: Subject) -> None:
  """Another seed gives other parameters and another run."""
  one, other = subject.trained, subject.run(seed=4).train(subject.num_steps)
  same = runs.equal(runs.parameters(one.run.agent), runs.parameters(other.agent))
  _require(not same, "Runs with two seeds learned the same: the seed is not used.")
  acted_alike = one.run.actions.digest() == other.actions.digest()
  _require(one.run.offline or not acted_alike, "Runs with two seeds took the same actions.")


def check_vector_run(subject: Subject) -> None:
  """In N environments at once it learns, the same for the same seed, and resumes exactly within episodes."""
  half = subject.num_steps // 2
  make = functools.partial(subject.run, num_envs=runs.NUM_ENVS)
  one, other = make(), make()
  before = tree.map_structure(np.array, runs.parameters(one.agent))
  outcome = one.train(2 * half).outcome()
  _require(
    not runs.equal(before, runs.parameters(one.agent)),
    f"No parameter changed in {one.loop.steps} steps of {runs.NUM_ENVS} environments.",
  )
  state, actions = other.train(half).save(), other.actions.copy()
  again = make(seed=1)
  again.restore(state)
  again.actions = actions
  different = runs.difference(outcome, again.train(2 * half - other.loop.steps).outcome())
  if different:
    apart = runs.difference(outcome, other.train(2 * half - other.loop.steps).outcome())
    what = "After restore a run of several environments went on otherwise"
    _require(not apart, f"Two runs of several environments with one seed differ: {apart}.")
    raise AssertionError(f"{what}: {different}.")


def check_replay_is_given(subject: Subject) -> None:
  """The replay that it is given is used, and changes nothing where it is the same; what makes none is a TypeError."""
  made = []

  def make(*arguments: Any) -> replay.Replay:
    made.append(functools.partial(plugins.load_replay(), available_memory=2**32)(*arguments))
    return made[-1]

  run = subject.run(replay=make).train(subject.num_steps // 2)
  _require(made == [run.agent.replay], "replay=: expected the one that was made, once, to be the agent's.")
  _require(run.learner_steps > 0, "replay=: nothing was sampled from the one that was given.")
  different = runs.difference(subject.halved.state["agent"], run.agent.save())
  _require(not different, f"A replay like the default, given, made another run: {different}.")
  _raises(TypeError, lambda: subject.run(replay=lambda *arguments: object()), "A replay that is none", "replay")


def check_program(subject: Subject) -> None:
  """A program in JAX is pure functions: they trace without values, alone, many at once and in a loop."""
  builder = runs.make_builder(subject.plugin, subject.config, subject.spec)
  program = builder.make_program(subject.spec)
  if programs.is_program(program):
    programs.check(program, subject.sample, builder.step_spec(subject.spec, program))


def check_get_variables(subject: Subject) -> None:
  """`get_variables` gives one nest a name, in order; an unknown one is a KeyError that lists the known."""
  learner = subject.trained.run.agent.learner
  names = runs.learner_names(learner)
  _require(bool(names), "get_variables: expected a KeyError that lists the known names, found none in it.")
  values = learner.get_variables(names)
  _require(len(values) == len(names), f"get_variables({names}): expected {len(names)} nests, got {len(values)}.")
  _require(learner.get_variables([]) == [], "get_variables([]): expected [].")
  backwards = learner.get_variables(names[::-1])
  _require(all(map(runs.equal, backwards, values[::-1])), "get_variables: expected the order of the names asked for.")
  twice = learner.get_variables([names[0], names[0]])
  _require(
    all(runs.equal(one, values[0]) for one in twice), "get_variables: expected a name given twice to come twice."
  )
  _raises(
    KeyError, lambda: learner.get_variables([names[0], "nonsense"]), "get_variables", "nonsense", *map(re.escape, names)
  )


_TARGET = re.compile(r"target_(\w+_)?(period|rate|tau|step_size)|target_update\w*|target_network\w*")


def check_target_starts_equal(subject: Subject) -> None:
  """Target networks equal the online ones at step 0; where a field says how they follow, there are some."""
  learner = subject.run().agent.learner
  names = runs.learner_names(learner)
  targets = [name for name in names if name.startswith("target_")]
  configured = [name for name in fields.names(subject.plugin) if _TARGET.fullmatch(name)]
  _require(
    bool(targets) or not configured, f"With config fields {configured}, expected variables target_…, got {names}."
  )
  for target in targets:
    online = target.removeprefix("target_")
    online = online if online in names else "params"
    one, other = learner.get_variables([online, target])
    _require(runs.equal(one, other), f"{target} differs from {online} before the first step.")


def check_evaluation_is_greedy(subject: Subject) -> None:
  """An evaluator does the same with the same observation, call after call; the agent, exploring, sometimes does not."""
  run = subject.trained.run
  evaluator = run.agent.make_evaluator()
  for observation in runs.observations(run.spec, 10):
    actions = {runs.digest(runs.evaluate_action(evaluator, observation)) for _ in range(30)}
    _require(len(actions) == 1, f"The evaluator took {len(actions)} actions for one observation.")
  if run.offline:
    return
  observation = runs.observations(run.spec, 1)[0]
  explored = {runs.digest(runs.evaluate_action(run.agent, observation)) for _ in range(1000)}
  _require(len(explored) > 1, "In 1,000 calls the agent did not explore.")


def check_evaluator_takes_new_parameters(subject: Subject) -> None:
  """An evaluator made before training acts, after `update(wait=True)`, as one made afterwards."""
  run, old = subject.trained.run, subject.trained.evaluator
  old.update(wait=True)
  new = run.agent.make_evaluator()
  for observation in runs.observations(run.spec, 100):
    same = runs.equal(runs.evaluate_action(old, observation), runs.evaluate_action(new, observation))
    _require(same, "An evaluator made before training did not take the new parameters in update(wait=True).")


def check_evaluation_leaves_no_trace(subject: Subject) -> None:
  """Evaluating changes nothing in the agent: no steps in replay, no draws from its random numbers."""
  agent = subject.trained.run.agent
  before = agent.save()
  acme.evaluate(fakes.FakeEnvironment(subject.spec), agent.make_evaluator(), num_episodes=2)
  different = runs.difference(before, agent.save())
  _require(not different, f"Evaluating changed the state of the agent: {different}.")


class _Between(core.Actor):
  """Passes everything on to an actor, observations by way of `_pass`."""

  def __init__(self, actor: core.Actor) -> None:
    self._actor = actor

  def _pass(self, observation: Any) -> Any:
    raise NotImplementedError

  def select_action(self, observation: Any) -> Any:
    return self._actor.select_action(self._pass(observation))

  def observe_first(self, timestep: dm_env.TimeStep) -> None:
    self._actor.observe_first(timestep._replace(observation=self._pass(timestep.observation)))

  def observe(self, action: Any, next_timestep: dm_env.TimeStep) -> None:
    self._actor.observe(action, next_timestep._replace(observation=self._pass(next_timestep.observation)))

  def update(self, wait: bool = False) -> None:
    self._actor.update(wait)


class _Frozen(_Between):
  """Gives arrays that cannot be written to."""

  def _pass(self, observation: Any) -> Any:
    for leaf in tree.flatten(observation):
      if isinstance(leaf, np.ndarray):
        leaf.setflags(write=False)
    return observation


class _Reused(_Between):
  """Gives the same observation arrays each time, overwritten, as simulators do."""

  _arrays: Any = None

  def _pass(self, observation: Any) -> Any:
    if self._arrays is None:
      self._arrays = tree.map_structure(np.array, observation)
    tree.map_structure(np.copyto, self._arrays, observation)
    return self._arrays


def check_observations_are_not_mutated(subject: Subject) -> None:
  """Arrays that cannot be written to go through the whole agent."""
  subject.run(wrap=_Frozen).train(subject.num_steps // 2)


def check_observations_are_copied(subject: Subject) -> None:
  """A caller that overwrites its observation arrays gives the same run: they belong to the caller."""
  reused = subject.run(wrap=_Reused).train(subject.num_steps)
  different = runs.difference(subject.trained.outcome, reused.outcome())
  _require(not different, f"The run differs where the caller reuses its observation arrays: {different}.")


def check_wrong_action_spec(subject: Subject, action: str) -> None:
  """A wrong action spec is a ValueError that names what was expected and what came."""
  spec = fakes.make_spec("vector", action)
  expected = "|".join(subject.plugin.actions) if action != "free" else "bounds"
  _raises(
    ValueError, lambda: subject.run(spec=spec), f"actions {action!r}", expected, re.escape(specs.describe(spec.actions))
  )


def check_bad_input(subject: Subject, case: str) -> None:
  """A NaN or wrong shape from the environment is a ValueError that names it, and is not stored."""
  agent = subject.trained.run.agent
  good, after = runs.observations(subject.spec, 2)
  first, timestep = dm_env.restart(good), dm_env.transition(np.float32(1), after, np.float32(0.5))
  poisoned = np.full_like(after, np.nan)
  before = agent.replay.info()
  if case == "NaN in the first observation":
    _raises(ValueError, lambda: agent.observe_first(dm_env.restart(poisoned)), case, "observation", "nan|finite")
    return
  bad, words = {
    "NaN in an observation": (timestep._replace(observation=poisoned), ("observation", "nan|finite")),
    "NaN reward": (timestep._replace(reward=np.float32(np.nan)), ("reward", "nan|finite")),
    "infinite reward": (timestep._replace(reward=np.float32(np.inf)), ("reward", "inf|finite")),
    "NaN discount": (timestep._replace(discount=np.float32(np.nan)), ("discount", "nan|finite")),
    "observation of a wrong shape": (timestep._replace(observation=after[:2]), ("observation", r"\(5,\)", r"\(2,\)")),
    "reward of a wrong shape": (timestep._replace(reward=np.ones(2, np.float32)), ("reward", r"\(2,\)")),
  }[case]
  agent.observe_first(first)
  action = agent.select_action(good)
  _raises(ValueError, lambda: agent.observe(action, bad), case, *words)
  _require(agent.replay.info() == before, f"{case}: the replay took the step.")


def check_field_is_documented(subject: Subject, field: str) -> None:
  """A docstring literal follows the field, in the config's class or in the base that it has it from."""
  documented = fields.documentation(subject.plugin).get(field, "")
  _require(bool(documented.strip()), f"{field}: expected a docstring after the field: meaning, unit, source.")


def check_field_refuses_bad_values(subject: Subject, field: str) -> None:
  """A field refuses values of another type or out of its range, with an error that names it."""
  config: Callable[..., Any] = type(subject.plugin.config())
  for value in fields.bad_values(fields.hint_of(subject.plugin, field)):
    make = functools.partial(config, **{field: value})
    _raises((TypeError, ValueError), make, f"{field}={value!r}", re.escape(field))


def check_field_changes_something(
  subject: Subject,
  field: str,
  alternatives: Mapping[str, Sequence[Any]] | None = None,
  outcomes: dict[str, str] | None = None,
) -> None:
  """Some other value of a field changes the experience, a short run, or evaluation after it: no field is idle."""
  outcomes = {} if outcomes is None else outcomes
  changed, tried = fields.changes_something(subject, field, alternatives or {}, outcomes)
  hint = "" if tried else " None was accepted: give some, check_agent(plugin, alternatives={…})."
  _require(changed, f"{field}: of the values {tried}, none changed anything, with any switch or preset.{hint}")


def check_priorities_are_written_back(subject: Subject) -> None:
  """Where the experience is prioritised, the learner hands priorities back: one for each key."""
  given = subject.trained.handed_back
  wanted = subject.experience().prioritized
  expected = "some" if wanted else "none"
  _require(bool(given) == wanted, f"Priorities: expected {expected} for {subject.experience()}, got {len(given)}.")
  for keys, priorities in given:
    _require(keys[:1] == priorities, f"update_priorities: got keys {keys} and priorities {priorities}.")


def check_diverging_loss(subject: Subject) -> None:
  """A learner whose loss is not a number says so, within a few steps or at the next save."""
  builder = runs.make_builder(subject.plugin, subject.config, subject.spec)

  def poison(nest: types.NestedArray) -> types.NestedArray:
    return tree.map_structure(lambda x: np.full_like(x, np.nan) if x.dtype.kind == "f" else x, nest)

  def poisoned() -> Iterator[replay.Sample]:
    for sample in subject.unlearned.agent.replay.dataset():
      data = sample.data._replace(reward=poison(sample.data.reward), observation=poison(sample.data.observation))
      yield sample._replace(data=data)

  inputs = builders.LearnerInputs(dataset=poisoned(), seed=0)
  learner = builder.make_learner(subject.spec, builder.make_program(subject.spec), inputs)

  def learn() -> None:
    for _ in range(3):
      learner.step()
    learner.save()

  _raises((ArithmeticError, ValueError, RuntimeError), learn, "A loss of NaN", "loss", "nan|finite")
