"""Short training runs of an agent in a fake environment, and what they leave as values that can be compared."""

import copy
import dataclasses
import functools
import hashlib
import pathlib
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import dm_env
import numpy as np
import tree

from acme import (
  EnvironmentLoop,
  LearningLoop,
  VectorEnvironmentLoop,
  agents,
  builders,
  core,
  experience,
  loggers,
  plugins,
  specs,
  types,
  wrappers,
)
from acme.replay import Sample
from acme_testing import fakes

DATASET = "{dataset}"
"""As the value of a config's field: the path of episodes that were recorded at random in the run's environment."""
OTHER_DATASET = "{other dataset}"

SMALL: dict[str, Any] = {
  "hidden_sizes": (16,),
  "policy_hidden_sizes": (16,),
  "critic_hidden_sizes": (16,),
  "core_size": 8,
  "batch_size": 8,
  "min_replay_size": 16,
  "max_replay_size": 1_000,
  "samples_per_insert": 8.0,
  "burn_in_length": 2,
  "trace_length": 4,
  "unroll_length": 4,
  "sequence_length": 6,
  "sequence_period": 2,
  "num_simulations": 4,
  "random_steps": 8,
  "demonstrations": DATASET,
}
"""The convention: a config's field of one of these names takes this value in the battery, so that runs last moments.

A learner then steps once for each item inserted after the first 16. Fields of other names keep their defaults, but for
those that the plug-in's own `small` has.
"""

NUM_STEPS = 60  # Eight episodes and a half: runs end within one.
NUM_ENVS = 2
_FEW = 4  # Learner steps in the first half of a run.
_TOO_MANY = 3_000  # Environment steps before that.


def small_config(plugin: plugins.AgentPlugin[Any], base: Any = None, **changes: Any) -> Any:
  """Makes a config for short runs: `base`, or the plug-in's default, with `SMALL`, the plug-in's own, and `changes`."""
  base = plugin.config() if base is None else base
  names = {field.name for field in dataclasses.fields(base)}
  small = {name: value for name, value in {**SMALL, **plugin.small}.items() if name in names}
  return dataclasses.replace(base, **{**small, **changes})


def default_spec(plugin: plugins.AgentPlugin[Any], actions: str | None = None) -> specs.EnvironmentSpec:
  """The specs that the battery uses where it does not matter: vector observations, and actions that the agent takes."""
  return fakes.make_spec("vector", plugin.actions[0] if actions is None else actions)


def make_builder(plugin: plugins.AgentPlugin[Any], config: Any, spec: specs.EnvironmentSpec) -> builders.Builder:
  """The agent's builder, with a dataset of such an environment where the config has a place for one."""
  paths = {
    field.name: dataset(spec, seed)
    for field in dataclasses.fields(config)
    for seed, place in enumerate((DATASET, OTHER_DATASET))
    if getattr(config, field.name) == place
  }
  return plugin.builder(dataclasses.replace(config, **paths))


def make_experience(
  plugin: plugins.AgentPlugin[Any], config: Any, spec: specs.EnvironmentSpec
) -> experience.Experience:
  """What the agent stores and samples."""
  builder = make_builder(plugin, config, spec)
  return builder.make_experience(spec, builder.make_program(spec))


class Run:
  """An agent, a fake environment or several, and the loop in which they meet, all from one seed.

  An agent that learns from datasets alone is in a `LearningLoop`, whose steps are the learner's.
  """

  def __init__(
    self,
    plugin: plugins.AgentPlugin[Any],
    config: Any = None,
    *,
    spec: specs.EnvironmentSpec | None = None,
    seed: int = 0,
    num_envs: int | None = None,
    replay: plugins.MakeReplay | None = None,
    learn: bool = True,
    wrap: Callable[[core.Actor], core.Actor] = lambda agent: agent,
    wrap_environment: Callable[[dm_env.Environment], dm_env.Environment] = lambda environment: environment,
  ) -> None:
    """Makes a run.

    Args:
      plugin: the agent.
      config: None for `small_config(plugin)`.
      spec: None for `default_spec(plugin)`.
      seed: the agent's; the environment's episodes are always the same.
      num_envs: as the agent takes it.
      replay: as the agent takes it.
      learn: whether the agent is updated after each step.
      wrap: puts a wrapper around the agent, between it and the loop.
      wrap_environment: puts one around each environment.
    """
    self.spec = default_spec(plugin) if spec is None else spec
    builder = make_builder(plugin, small_config(plugin) if config is None else config, self.spec)
    self.agent = agents.Agent(builder, self.spec, replay=replay, seed=seed, num_envs=num_envs)
    self.actions = hashlib.sha256()
    described = builder.make_experience(self.spec, builder.make_program(self.spec))
    self.offline = is_offline(described)
    self.batch_size = described.batch_size
    # Of unequal lengths, so that episodes do not end all at once.
    environments = [
      _Recorded(wrap_environment(fakes.FakeEnvironment(self.spec, episode_length=7 - 2 * i)), self)
      for i in range(num_envs or 1)
    ]
    options: dict[str, Any] = {"logger": loggers.NullLogger(), "should_update": learn, "seed": 0}
    self.loop: Any
    if self.offline:
      evaluate = self.agent.learner.evaluate  # On what is held out, where there is anything.
      self.loop = LearningLoop(self.agent.learner, logger=loggers.NullLogger(), evaluate=evaluate, evaluate_every=5)
    elif num_envs is None:
      self.loop = EnvironmentLoop(environments[0], wrap(self.agent), **options)
    else:
      self.loop = VectorEnvironmentLoop(environments, wrap(self.agent), **options)

  def train(self, num_steps: int = NUM_STEPS) -> "Run":
    """Takes so many environment steps, and gives itself back."""
    self.loop.run(num_steps=num_steps)
    return self

  @property
  def learner_steps(self) -> int:
    """Steps that the learner has taken."""
    return sum(table.samples for table in self.agent.replay.info().values()) // self.batch_size

  def save(self) -> types.State:
    """The state of agent and loop."""
    return {"agent": self.agent.save(), "loop": self.loop.save()}

  def restore(self, state: types.State) -> None:
    """Puts back what `save` returned."""
    self.agent.restore(state["agent"])
    self.loop.restore(state["loop"])

  def outcome(self) -> types.State:
    """What differs where anything that the agent did, learned, or would do at evaluation differs."""
    evaluator = self.agent.make_evaluator()
    evaluated = [evaluate_action(evaluator, o) for o in observations(self.spec, 50)]
    return {"agent": self.agent.save(), "evaluation": evaluated, "actions": self.actions.hexdigest()}


class _Recorded(wrappers.EnvironmentWrapper):
  """Tells a run what was done in its environment."""

  def __init__(self, environment: dm_env.Environment, run: Run) -> None:
    super().__init__(environment)
    self._run = run

  def step(self, action: Any) -> dm_env.TimeStep:
    self._run.actions.update(digest(action).encode())
    return super().step(action)


class Trained(NamedTuple):
  """A run, and what was there before it learned."""

  run: Run
  outcome: types.State
  before: types.NestedArray  # the parameters that `get_variables` gave …
  copies: types.NestedArray  # … and copies of them
  evaluator: core.Actor  # made before
  handed_back: list[tuple[tuple[int, ...], tuple[int, ...]]]  # shapes of the keys and priorities that the learner gave


class Halved(NamedTuple):
  """A run that was saved in its middle, and went on."""

  state: types.State  # as it was saved
  reference: types.State  # what `save` gave, which is to stay as it was
  actions: Any  # those taken until then
  outcome: types.State  # of the whole run


class Subject:
  """An agent with one config in one environment, and the runs that several checks look at: making one takes seconds."""

  def __init__(
    self,
    plugin: plugins.AgentPlugin[Any],
    label: str = "",
    *,
    config: Any = None,
    spec: specs.EnvironmentSpec | None = None,
  ) -> None:
    """Makes a subject; `label` names it among others of the same agent."""
    self.plugin, self.label = plugin, label
    self.config = small_config(plugin) if config is None else config
    self.spec = default_spec(plugin) if spec is None else spec
    self._others: dict[str, Subject] = {}

  def run(self, **options: Any) -> Run:
    """Makes a run of its own; options are those of `Run`."""
    return Run(self.plugin, **{"config": self.config, "spec": self.spec, **options})

  def of_kind(self, actions: str) -> "Subject":
    """The same with another kind of action, or itself."""
    spec = default_spec(self.plugin, actions)
    if repr(spec) == repr(self.spec):
      return self
    return self._others.setdefault(actions, Subject(self.plugin, self.label, config=self.config, spec=spec))

  def experience(self) -> experience.Experience:
    """What the agent stores and samples."""
    return make_experience(self.plugin, self.config, self.spec)

  @property
  def num_steps(self) -> int:
    """Steps of a run: `NUM_STEPS`, or as many as it takes to learn in the first half of them."""
    return self._trained[1]

  @property
  def trained(self) -> Trained:
    """A run of `num_steps`, seed 0: to look at and to act with, not to train further."""
    return self._trained[0]

  @functools.cached_property
  def _trained(self) -> tuple[Trained, int]:
    run = self.run()
    handed_back: list[Any] = []
    update = run.agent.replay.update_priorities

    def spy(keys: np.ndarray, priorities: np.ndarray) -> None:
      handed_back.append((np.shape(keys), np.shape(priorities)))
      update(keys, priorities)

    run.agent.replay.update_priorities = spy  # type: ignore[method-assign]
    before = parameters(run.agent)
    copies = tree.map_structure(np.array, before)
    evaluator = run.agent.make_evaluator()
    while run.learner_steps < _FEW:
      run.train(10)
      if run.loop.steps >= _TOO_MANY:
        raise AssertionError(
          f"In {run.loop.steps} steps the learner took {run.learner_steps}: give the plug-in's `small` values for the "
          "fields that say how much experience it waits for."
        )
    num_steps = max(NUM_STEPS, 2 * run.loop.steps)
    run.train(num_steps - run.loop.steps)
    return Trained(run, run.outcome(), before, copies, evaluator, handed_back), num_steps

  @functools.cached_property
  def halved(self) -> Halved:
    """The same run once more, saved in its middle."""
    half = self.num_steps // 2
    run = self.run().train(half)
    reference = run.save()
    state, actions = copy.deepcopy(reference), run.actions.copy()
    return Halved(state, reference, actions, run.train(self.num_steps - half).outcome())

  @functools.cached_property
  def unlearned(self) -> Run:
    """A run of `num_steps` without learning, whose samples are all left."""
    num_steps = self.num_steps
    run = self.run(learn=False)
    return run if run.offline else run.train(num_steps)

  @functools.cached_property
  def sample(self) -> Sample:
    """A batch of that run, of which a queue has few."""
    return next(self.unlearned.agent.replay.dataset())


def is_offline(described: experience.Experience) -> bool:
  """Whether nobody acts."""
  return described.online is None if isinstance(described, experience.Mixed) else described.dataset is not None


def parameters(agent: agents.Agent) -> Any:
  """All parameters that `get_variables` knows but the targets."""
  names = [name for name in learner_names(agent.learner) if not name.startswith("target")]
  return agent.get_variables(names)


def observations(spec: specs.EnvironmentSpec, number: int, seed: int = 0) -> list[types.NestedArray]:
  """Random observations, the same for the same seed."""
  rng = np.random.default_rng(seed)
  return [fakes.random_value(spec.observations, rng) for _ in range(number)]


def evaluate_action(actor: core.Actor, observation: types.NestedArray) -> types.NestedArray:
  """What an actor does with an observation that begins an episode, so that an earlier one leaves no recurrent state."""
  actor.observe_first(dm_env.restart(observation))
  return actor.select_action(observation)


def dataset(spec: specs.EnvironmentSpec, seed: int = 0, num_episodes: int = 12) -> str:
  """The path of episodes that a random actor played in a fake environment; the same for the same specs and seed."""
  path = pathlib.Path(_directory().name) / digest([repr(spec), seed])
  if path.exists():
    return str(path)
  environment, actor = fakes.FakeEnvironment(spec, seed=100 * seed), fakes.RandomActor(spec, seed=seed)
  return record(path, environment, actor.select_action, num_episodes)


def record(
  path: pathlib.Path,
  environment: dm_env.Environment,
  act: Callable[[types.NestedArray], types.NestedArray],
  num_episodes: int = 1,
) -> str:
  """Writes episodes in which `act` maps observations to actions into a folder; returns its path."""
  from acme_replay import datasets  # Those who learn from datasets have it.

  path.mkdir(parents=True, exist_ok=True)
  for i in range(num_episodes):
    timesteps, actions = [environment.reset()], []
    while not timesteps[-1].last():
      actions.append(act(timesteps[-1].observation))
      timesteps.append(environment.step(actions[-1]))
    columns = [[t.observation for t in timesteps], actions, *([t[k] for t in timesteps[1:]] for k in (1, 2))]
    episode = datasets.Episode(*(tree.map_structure(lambda *x: np.stack(x), *column) for column in columns))
    datasets.write(path / f"{i:03}.npz", episode)
  return str(path)


@functools.cache
def _directory() -> tempfile.TemporaryDirectory:
  """Where datasets lie; removed when the process ends."""
  return tempfile.TemporaryDirectory(prefix="acme-testing-")


def digest(value: Any) -> str:
  """A string that is the same only for the same structure, dtypes, shapes and bits."""
  result = hashlib.sha256()
  _feed(value, result.update)
  return result.hexdigest()


def _feed(value: Any, update: Callable[[bytes], None]) -> None:
  if isinstance(value, dict):
    update(b"{")
    for key in sorted(value):
      update(repr(key).encode())
      _feed(value[key], update)
    update(b"}")
  elif isinstance(value, list | tuple):
    update(b"[")
    for item in value:
      _feed(item, update)
    update(b"]")
  elif value is None or isinstance(value, bool | int | float | str):
    update(f"{type(value).__name__} {value!r};".encode())
  else:
    array = np.asarray(value)
    update(f"{array.dtype} {array.shape};".encode())
    update(np.ascontiguousarray(array).tobytes())


def difference(one: Any, other: Any) -> str:
  """Which leaf is the first to differ, and its two values; "" where all are the same, bit for bit."""
  if digest(one) == digest(other):
    return ""
  mine, others = dict(_leaves(one)), dict(_leaves(other))
  for path in mine | others:
    values = [leaves.get(path, "nothing") for leaves in (mine, others)]
    if digest(values[0]) != digest(values[1]):
      return f"{path} is {_brief(values[0])}, and {_brief(values[1])}"
  return f"the structure, {sorted(mine)[:5]}… and {sorted(others)[:5]}…"


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
  if isinstance(value, dict | list | tuple) and value:
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
      yield from _leaves(item, f"{path}/{key}" if path else str(key))
  else:
    yield path, value


def _brief(value: Any) -> str:
  text = repr(value) if value is None or isinstance(value, bool | int | float | str) else str(np.asarray(value).ravel())
  return text if len(text) <= 60 else text[:60] + "…"


def learner_names(learner: core.VariableSource) -> list[str]:
  """The names that `get_variables` knows, read from the KeyError that an unknown name must give."""
  unknown = "no such variables"
  try:
    learner.get_variables([unknown])
  except KeyError as error:
    words = "".join(c if c.isalnum() or c in "_/.-" else " " for c in str(error)).split()
  else:
    raise AssertionError("get_variables: expected KeyError for an unknown name, got none.")
  names = []
  for word in (w.strip(".") for w in words):
    try:
      learner.get_variables([word])
    except KeyError:
      continue
    if word not in names:
      names.append(word)
  return names


def equal(one: Any, other: Any) -> bool:
  """Whether two nests of arrays are the same, bit for bit."""
  return digest(list(map(np.asarray, tree.flatten(one)))) == digest(list(map(np.asarray, tree.flatten(other))))
