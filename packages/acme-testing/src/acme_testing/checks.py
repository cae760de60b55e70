"""The checks of the battery, each a plain function on a plug-in, or on a plug-in and a case. See `conformance`."""

import functools
import pathlib
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import dm_env
import numpy as np
import tree

from acme import agents, builders, checkpointing, evaluate, plugins, replay, specs, wrappers
from acme_testing import fakes, fields, runs

Plugin = plugins.AgentPlugin


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


def check_record(plugin: Plugin) -> None:
  """The plug-in record is whole: default and presets are configs, the builder builds, the agent is an Agent."""
  config = plugin.config()
  _require(bool(plugin.summary.strip()), "summary: expected a line for `acme list`, got nothing.")
  for name, preset in plugin.presets.items():
    _require(type(preset()) is type(config), f"preset {name!r}: expected {type(config).__name__}, got {preset()!r}.")
  _require(isinstance(plugin.builder(config), builders.Builder), "builder(config): expected an acme.builders.Builder.")
  agent = runs.Run(plugin).agent
  _require(isinstance(agent, agents.Agent), f"agent(spec, …): expected an acme.agents.Agent, got {agent!r}.")


def check_specs(plugin: Plugin, case: str) -> None:
  """Observations of a kind go in, valid actions come out, of agent and evaluator; what is learned stays finite."""
  spec = fakes.make_spec(*case.split("-"))
  run = runs.Run(plugin, spec=spec).train()
  for actor in (run.agent, run.agent.make_evaluator()):
    for observation in runs.observations(spec, 3):
      action = runs.evaluate_action(actor, observation)
      tree.map_structure(lambda leaf, value: leaf.validate(value), spec.actions, action)
  names = runs.learner_names(run.agent.learner)
  for name, values in zip(names, run.agent.get_variables(names), strict=True):
    finite = all(np.isfinite(np.asarray(leaf)).all() for leaf in tree.flatten(values))
    _require(finite, f"{name}: expected finite parameters after {runs.NUM_STEPS} steps.")


def check_preset(plugin: Plugin, preset: str) -> None:
  """A preset, made small, learns: its parameters change."""
  run = runs.Run(plugin, runs.small_config(plugin, plugin.presets[preset]()))
  before = _parameters(run.agent)
  _require(not runs.equal(before, _parameters(run.train().agent)), f"preset {preset!r}: the parameters did not change.")


def check_observe_first_comes_first(plugin: Plugin) -> None:
  """`observe` before `observe_first`, and after the end of an episode, is refused."""
  run = runs.Run(plugin)
  observation, after = runs.observations(run.spec, 2)
  action = fakes.random_value(run.spec.actions, np.random.default_rng(0))
  last = dm_env.TimeStep(dm_env.StepType.LAST, np.float32(1), np.float32(0), after)
  for when in ("before the first episode", "after an episode's end"):
    _raises(RuntimeError, lambda: run.agent.observe(action, last), f"observe() {when}", "observe_first")
    run.agent.observe_first(dm_env.restart(observation))
    run.agent.observe(run.agent.select_action(observation), last)


def check_learning_changes_parameters(plugin: Plugin) -> None:
  """One learner step changes the parameters, and what `get_variables` gave before stays as it was."""
  run = runs.Run(plugin)
  before = _parameters(run.agent)
  copies = tree.map_structure(lambda leaf: np.array(leaf), before)
  while runs.equal(before, _parameters(run.agent)) and run.loop.steps < runs.NUM_STEPS:
    run.train(1)
  _require(not runs.equal(copies, _parameters(run.agent)), f"No parameter changed in {runs.NUM_STEPS} steps.")
  run.train(20)
  _require(runs.equal(before, copies), "Parameters that get_variables gave were overwritten: expected new arrays.")


def check_resume_is_exact(plugin: Plugin) -> None:
  """Saved within an episode, written to disk, restored into an agent of another seed: the rest is the same."""
  run = runs.Run(plugin).train(runs.NUM_STEPS // 2)
  with tempfile.TemporaryDirectory() as directory:
    checkpointing.write(pathlib.Path(directory), run.save(), {})
    state, _ = checkpointing.read(pathlib.Path(directory))
  again = runs.Run(plugin, seed=1)
  again.restore(state)
  again.actions = run.actions.copy()
  _require(run.digest() == again.digest(), "restore(save()) is not what was saved.")
  _require(run.train().digest() == again.train().digest(), "After restore the run went on otherwise.")


def check_saved_state_stands_still(plugin: Plugin) -> None:
  """What `save` returned does not change while the agent works on."""
  run = runs.Run(plugin).train(runs.NUM_STEPS // 2)
  state = run.save()
  before = runs.digest(state)
  run.train(20)
  _require(runs.digest(state) == before, "The state that save() returned changed later: expected copies.")


def check_same_seed_same_run(plugin: Plugin) -> None:
  """The same seed gives the same run, bit for bit."""
  one, other = (runs.Run(plugin, seed=3).train().digest() for _ in range(2))
  _require(one == other, "Two runs with one seed differ: something random does not come from the seed.")


def check_other_seed_other_run(plugin: Plugin) -> None:
  """Another seed gives other parameters and another run."""
  one, other = (runs.Run(plugin, seed=seed).train() for seed in (3, 4))
  _require(one.digest() != other.digest(), "Runs with two seeds are the same: the seed is not used.")
  _require(one.actions.digest() != other.actions.digest(), "Runs with two seeds took the same actions.")


def check_get_variables(plugin: Plugin) -> None:
  """`get_variables` gives one nest a name, in order; an unknown one is a KeyError that lists the known."""
  learner = runs.Run(plugin).train().agent.learner
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


def check_target_starts_equal(plugin: Plugin) -> None:
  """Target networks equal the online ones at step 0."""
  learner = runs.Run(plugin).agent.learner
  names = runs.learner_names(learner)
  targets = [name for name in names if name.startswith("target_")]
  configured = [name for name in fields.names(plugin) if name.startswith("target")]
  _require(
    bool(targets) or not configured, f"With config fields {configured}, expected variables target_…, got {names}."
  )
  for target in targets:
    online = target.removeprefix("target_")
    online = online if online in names else "params"
    one, other = learner.get_variables([online, target])
    _require(runs.equal(one, other), f"{target} differs from {online} before the first step.")


def check_evaluation_is_greedy(plugin: Plugin) -> None:
  """An evaluator does the same with the same observation, call after call; the agent, exploring, sometimes does not."""
  run = runs.Run(plugin).train()
  evaluator = run.agent.make_evaluator()
  for observation in runs.observations(run.spec, 10):
    actions = {runs.digest(runs.evaluate_action(evaluator, observation)) for _ in range(30)}
    _require(len(actions) == 1, f"The evaluator took {len(actions)} actions for one observation.")
  observation = runs.observations(run.spec, 1)[0]
  run.agent.observe_first(dm_env.restart(observation))
  explored = {runs.digest(run.agent.select_action(observation)) for _ in range(1000)}
  _require(len(explored) > 1, "In 1,000 calls the agent did not explore.")


def check_evaluator_takes_new_parameters(plugin: Plugin) -> None:
  """An evaluator made before training acts, after `update(wait=True)`, as one made afterwards."""
  run = runs.Run(plugin)
  old = run.agent.make_evaluator()
  run.train()
  old.update(wait=True)
  new = run.agent.make_evaluator()
  for observation in runs.observations(run.spec, 100):
    same = runs.equal(runs.evaluate_action(old, observation), runs.evaluate_action(new, observation))
    _require(same, "An evaluator made before training did not take the new parameters in update(wait=True).")


def check_evaluation_leaves_no_trace(plugin: Plugin) -> None:
  """Evaluating changes nothing in the agent: no steps in replay, no draws from its random numbers."""
  run = runs.Run(plugin).train()
  before = runs.digest(run.agent.save())
  evaluate(fakes.FakeEnvironment(run.spec), run.agent.make_evaluator(), num_episodes=2)
  _require(runs.digest(run.agent.save()) == before, "Evaluating changed the state of the agent.")


class _Frozen(wrappers.EnvironmentWrapper):
  """Gives arrays that cannot be written to."""

  def reset(self) -> dm_env.TimeStep:
    return self._freeze(super().reset())

  def step(self, action: Any) -> dm_env.TimeStep:
    return self._freeze(super().step(action))

  def _freeze(self, timestep: dm_env.TimeStep) -> dm_env.TimeStep:
    for leaf in tree.flatten((timestep.observation, timestep.reward, timestep.discount)):
      if isinstance(leaf, np.ndarray):
        leaf.setflags(write=False)
    return timestep


class _Reused(wrappers.EnvironmentWrapper):
  """Gives the same observation arrays each time, overwritten, as simulators do."""

  _arrays: Any = None

  def reset(self) -> dm_env.TimeStep:
    return self._reuse(super().reset())

  def step(self, action: Any) -> dm_env.TimeStep:
    return self._reuse(super().step(action))

  def _reuse(self, timestep: dm_env.TimeStep) -> dm_env.TimeStep:
    if self._arrays is None:
      self._arrays = tree.map_structure(np.array, timestep.observation)
    tree.map_structure(np.copyto, self._arrays, timestep.observation)
    return timestep._replace(observation=self._arrays)


def check_observations_are_not_mutated(plugin: Plugin) -> None:
  """Arrays that cannot be written to go through the whole agent."""
  runs.Run(plugin, wrap=_Frozen).train()


def check_observations_are_copied(plugin: Plugin) -> None:
  """An environment that overwrites its observation arrays gives the same run: they belong to the caller."""
  plain, reused = runs.Run(plugin).train(), runs.Run(plugin, wrap=_Reused).train()
  _require(plain.digest() == reused.digest(), "The run differs where the environment reuses its observation arrays.")


def check_wrong_action_spec(plugin: Plugin, action: str) -> None:
  """A wrong action spec is a ValueError that names what was expected and what came."""
  spec = fakes.make_spec("vector", action)
  expected = plugin.actions if action != "free" else "bounds"
  _raises(
    ValueError,
    lambda: runs.Run(plugin, spec=spec),
    f"actions {action!r}",
    expected,
    re.escape(specs.describe(spec.actions)),
  )


def check_bad_input(plugin: Plugin, case: str) -> None:
  """A NaN or wrong shape from the environment is a ValueError that names it, and is not stored."""
  run = runs.Run(plugin).train(10)
  run.loop.run_episode()
  good, after = runs.observations(run.spec, 2)
  first, timestep = dm_env.restart(good), dm_env.transition(np.float32(1), after, np.float32(0.5))
  poisoned = np.full_like(after, np.nan)
  before = run.agent.replay.info()
  if case == "NaN in the first observation":
    _raises(ValueError, lambda: run.agent.observe_first(dm_env.restart(poisoned)), case, "observation", "nan|finite")
    return
  bad, words = {
    "NaN in an observation": (timestep._replace(observation=poisoned), ("observation", "nan|finite")),
    "NaN reward": (timestep._replace(reward=np.float32(np.nan)), ("reward", "nan|finite")),
    "infinite reward": (timestep._replace(reward=np.float32(np.inf)), ("reward", "inf|finite")),
    "NaN discount": (timestep._replace(discount=np.float32(np.nan)), ("discount", "nan|finite")),
    "observation of a wrong shape": (timestep._replace(observation=after[:2]), ("observation", r"\(5,\)", r"\(2,\)")),
    "reward of a wrong shape": (timestep._replace(reward=np.ones(2, np.float32)), ("reward", r"\(2,\)")),
  }[case]
  run.agent.observe_first(first)
  action = run.agent.select_action(good)
  _raises(ValueError, lambda: run.agent.observe(action, bad), case, *words)
  _require(run.agent.replay.info() == before, f"{case}: the replay took the step.")


def check_field_is_documented(plugin: Plugin, field: str) -> None:
  """A docstring literal follows the field."""
  documented = fields.documentation(plugin).get(field, "")
  _require(bool(documented.strip()), f"{field}: expected a docstring after the field: meaning, unit, source.")


def check_field_refuses_bad_values(plugin: Plugin, field: str) -> None:
  """A field refuses values of another type or out of its range, with an error that names it."""
  config: Callable[..., Any] = type(plugin.config())
  for value in fields.bad_values(fields.hint_of(plugin, field)):
    make = functools.partial(config, **{field: value})
    _raises((TypeError, ValueError), make, f"{field}={value!r}", re.escape(field))


def check_field_changes_something(
  plugin: Plugin,
  field: str,
  alternatives: Mapping[str, Sequence[Any]] | None = None,
  outcomes: dict[str, str] | None = None,
) -> None:
  """Some other value of a field changes the tables, a short run, or evaluation after it: no field is idle."""
  outcomes = {} if outcomes is None else outcomes
  changed, tried = fields.changes_something(plugin, field, alternatives or {}, outcomes)
  hint = "" if tried else " None was accepted: give some, check_agent(plugin, alternatives={…})."
  _require(changed, f"{field}: of the values {tried}, none changed anything, with any switch or preset.{hint}")


def check_priorities_are_written_back(plugin: Plugin) -> None:
  """Where a table samples by priority, the learner's steps set priorities."""
  run = runs.Run(plugin)
  builder = plugin.builder(runs.small_config(plugin))
  tables = builder.make_tables(run.spec, builder.make_networks(run.spec))
  wanted = {table.name for table in tables if isinstance(table.sampler, replay.Prioritized)}
  seen: set[str] = set()
  update = run.agent.replay.update_priorities

  def spy(table: str, keys: np.ndarray, priorities: np.ndarray) -> None:
    seen.add(table)
    _require(
      np.shape(keys) == np.shape(priorities),
      f"update_priorities: {np.shape(keys)} keys, {np.shape(priorities)} priorities.",
    )
    update(table, keys, priorities)

  run.agent.replay.update_priorities = spy  # type: ignore[method-assign]
  run.train()
  _require(wanted <= seen, f"Expected priorities for the tables {sorted(wanted)}, got some for {sorted(seen)}.")


def check_diverging_loss(plugin: Plugin) -> None:
  """A learner whose loss is not a number says so, within a few steps or at the next save."""
  run = runs.Run(plugin, learn=False).train()  # Its samples are left for the learner below.
  builder = plugin.builder(runs.small_config(plugin))
  networks = builder.make_networks(run.spec)

  def poisoned() -> Iterator[replay.Sample]:
    for sample in builder.make_dataset(run.agent.replay):
      reward = tree.map_structure(lambda r: np.full_like(r, np.nan), sample.data.reward)
      yield sample._replace(data=sample.data._replace(reward=reward))

  learner = builder.make_learner(run.spec, networks, poisoned(), seed=0)

  def learn() -> None:
    for _ in range(3):
      learner.step()
    learner.save()

  _raises((ArithmeticError, ValueError, RuntimeError), learn, "A loss of NaN", "loss", "nan|finite")


def _parameters(agent: agents.Agent) -> Any:
  """All parameters that `get_variables` knows but the targets."""
  names = [name for name in runs.learner_names(agent.learner) if not name.startswith("target")]
  return agent.get_variables(names)
