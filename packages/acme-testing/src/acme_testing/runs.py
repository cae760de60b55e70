"""Short training runs of an agent in a fake environment, and what they leave as one comparable string."""

import dataclasses
import hashlib
from collections.abc import Callable
from typing import Any

import dm_env
import numpy as np
import tree

from acme import EnvironmentLoop, core, loggers, plugins, specs, types
from acme_testing import fakes

SMALL: dict[str, Any] = {
  "hidden_sizes": (16,),
  "policy_hidden_sizes": (16,),
  "critic_hidden_sizes": (16,),
  "batch_size": 8,
  "min_replay_size": 16,
  "max_replay_size": 1_000,
  "samples_per_insert": 8.0,
  "burn_in_length": 2,
  "trace_length": 4,
  "sequence_length": 6,
  "sequence_period": 2,
  "num_simulations": 4,
  "random_steps": 8,
}
"""The convention: a config's field of one of these names takes this value in the battery, so that runs last moments.

A learner then steps once for each item inserted after the first 16. Fields of other names keep their defaults.
"""

NUM_STEPS = 60  # Eight episodes and a half: runs end within one.


def small_config(plugin: plugins.AgentPlugin, base: Any = None, **changes: Any) -> Any:
  """Makes a config for short runs: `base`, or the plug-in's default, with `SMALL` and `changes`."""
  base = plugin.config() if base is None else base
  names = {field.name for field in dataclasses.fields(base)}
  return dataclasses.replace(base, **{**{k: v for k, v in SMALL.items() if k in names}, **changes})


def default_spec(plugin: plugins.AgentPlugin) -> specs.EnvironmentSpec:
  """The specs that the battery uses where it does not matter: vector observations, and actions that the agent takes."""
  return fakes.make_spec("vector", plugin.actions)


class Run:
  """An agent, a fake environment, and the loop in which they meet, all from one seed."""

  def __init__(
    self,
    plugin: plugins.AgentPlugin,
    config: Any = None,
    *,
    spec: specs.EnvironmentSpec | None = None,
    seed: int = 0,
    learn: bool = True,
    wrap: Callable[[dm_env.Environment], dm_env.Environment] = lambda environment: environment,
  ) -> None:
    """Makes a run.

    Args:
      plugin: the agent.
      config: None for `small_config(plugin)`.
      spec: None for `default_spec(plugin)`.
      seed: the agent's; the environment's episodes are always the same.
      learn: whether the agent is updated after each step.
      wrap: puts a wrapper around the environment.
    """
    self.spec = default_spec(plugin) if spec is None else spec
    self.agent = plugin.agent(self.spec, config=small_config(plugin) if config is None else config, seed=seed)
    self.actions = hashlib.sha256()
    self.loop = EnvironmentLoop(
      wrap(fakes.FakeEnvironment(self.spec)),
      self.agent,
      logger=loggers.NullLogger(),
      should_update=learn,
      observers=[self],
      seed=0,
    )

  def train(self, num_steps: int = NUM_STEPS) -> "Run":
    """Takes so many environment steps, and gives itself back."""
    self.loop.run(num_steps=num_steps)
    return self

  def save(self) -> types.State:
    """The state of agent and loop."""
    return {"agent": self.agent.save(), "loop": self.loop.save()}

  def restore(self, state: types.State) -> None:
    """Puts back what `save` returned."""
    self.agent.restore(state["agent"])
    self.loop.restore(state["loop"])

  def digest(self) -> str:
    """A string that differs where anything that the agent did, learned, or would do at evaluation differs."""
    evaluator = self.agent.make_evaluator()
    evaluated = [evaluate_action(evaluator, o) for o in observations(self.spec, 50)]
    return digest([self.agent.save(), evaluated, self.actions.hexdigest()])

  def observe_first(self, environment: dm_env.Environment, timestep: dm_env.TimeStep) -> None:
    """An observer's part."""

  def observe(self, environment: dm_env.Environment, timestep: dm_env.TimeStep, action: types.NestedArray) -> None:
    """Keeps what was done."""
    self.actions.update(digest(action).encode())

  def get_metrics(self) -> dict[str, Any]:
    """An observer's part."""
    return {}


def observations(spec: specs.EnvironmentSpec, number: int, seed: int = 0) -> list[types.NestedArray]:
  """Random observations, the same for the same seed."""
  rng = np.random.default_rng(seed)
  return [fakes.random_value(spec.observations, rng) for _ in range(number)]


def evaluate_action(actor: core.Actor, observation: types.NestedArray) -> types.NestedArray:
  """What an actor does with an observation that begins an episode, so that an earlier one leaves no recurrent state."""
  actor.observe_first(dm_env.restart(observation))
  return actor.select_action(observation)


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
