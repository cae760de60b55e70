"""The parts of an agent, and who makes them."""

import abc
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from dm_env.specs import Array

from acme import core, counting, experience, loggers, replay, specs, types

Config = TypeVar("Config")
Program = TypeVar("Program")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LearnerInputs:
  """What a learner is given."""

  dataset: Iterator[replay.Sample]
  """What it learns from."""
  once: Callable[[bool], Iterator[replay.Sample]] | None = None
  """What gives each item of its datasets once (`acme.replay.Replay.once`); None where there are none."""
  seed: int = 0
  """Consumed by the learner."""
  replay: "replay.Replay | None" = None
  """Where it hands priorities back; None where nobody wants them."""
  logger: loggers.Logger | None = None
  """Where its metrics go; None for nowhere."""
  counter: counting.Counter | None = None
  """What it counts its steps on."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ActorInputs:
  """What an actor is given."""

  variables: core.VariableSource
  """Where its parameters come from."""
  seed: int = 0
  """Consumed by the actor."""
  adder: replay.Adder | None = None
  """Takes what the actor sees and does; None where nothing is recorded."""
  num_envs: int | None = None
  """N where it acts in N environments at once, and observations and actions have a leading [N]; None for one."""
  evaluation: bool = False
  """Whether it acts as the agent's evaluation policy does, which is greedily unless the config says otherwise."""
  index: int = 0
  """Which actor it is, …"""
  num_actors: int = 1
  """… of how many: exploration may differ from one to another, and schedules count the steps of all."""
  incarnation: int = 0
  """How often it was made anew after it had died, so that it does not draw the same again."""
  steps: int = 0
  """Environment steps that all actors had taken by then, from which schedules go on."""

  @property
  def streams(self) -> tuple[int, int]:
    """The number of its first environment among those of all actors, and how many those are."""
    mine = self.num_envs or 1
    return self.index * mine, self.num_actors * mine


class Builder(abc.ABC, Generic[Config, Program]):
  """Makes one agent's components, whoever runs them: one process, many environments, Ray, or a dataset on disk.

  A program is what all of them share: an agent's pure functions in JAX, the makers of its modules in TensorFlow.
  """

  config: Config
  """The agent's frozen config."""
  backend: str | None = None
  """The library that it learns with, jax or tf; None where it takes samples of NumPy alone."""

  @abc.abstractmethod
  def make_program(self, spec: specs.EnvironmentSpec) -> Program:
    """Makes the program. Raises ValueError for specs that do not fit the agent."""

  @abc.abstractmethod
  def make_experience(self, spec: specs.EnvironmentSpec, program: Program) -> experience.Experience:
    """Says what is stored and sampled."""

  def extras_spec(self, spec: specs.EnvironmentSpec, program: Program) -> types.NestedSpec:
    """The spec of the extras that the actor gives its adder with each action."""
    return ()

  @abc.abstractmethod
  def make_learner(self, spec: specs.EnvironmentSpec, program: Program, inputs: LearnerInputs) -> core.Learner:
    """Makes the learner."""

  @abc.abstractmethod
  def make_actor(self, spec: specs.EnvironmentSpec, program: Program, inputs: ActorInputs) -> core.Actor:
    """Makes an actor."""

  def priorities(self, program: Program) -> Callable[[types.NestedArray, Any], Any] | None:
    """(parameters, new items [B]) -> their first priorities [B]; None where these are the largest so far."""
    return None

  def with_simulator(self, simulator: Any) -> "Builder[Config, Program]":
    """The same agent, planning in copies of the environment that it acts in; ValueError where it plans in none."""
    raise ValueError("This agent does not plan in copies of its environment: leave the simulator out.")

  def step_spec(self, spec: specs.EnvironmentSpec, program: Program) -> types.Step:
    """The spec of one stored step, from which a store allocates."""
    return step_spec(spec, self.extras_spec(spec, program))


def step_spec(spec: specs.EnvironmentSpec, extras: types.NestedSpec = ()) -> types.Step:
  """The spec of one stored step with such extras."""
  start = Array((), bool, name="start_of_episode")
  return types.Step(spec.observations, spec.actions, spec.rewards, spec.discounts, start, extras)
