"""The parts of an agent, and who makes them."""

import abc
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from dm_env.specs import Array

from acme import core, counting, loggers, replay, specs, types

Networks = TypeVar("Networks")


class Builder(abc.ABC, Generic[Networks]):
  """Makes one agent's components, whoever runs them: one process, many environments, Ray, or a dataset on disk.

  A seed given to a method is that component's own, and is consumed by it.
  """

  config: Any  # The agent's frozen config.

  @property
  @abc.abstractmethod
  def samples_per_step(self) -> int:
    """Items that one `Learner.step()` takes from the table: the batch size times the SGD steps in a step."""

  @abc.abstractmethod
  def make_networks(self, spec: specs.EnvironmentSpec) -> Networks:
    """Makes the networks: pure functions, or for Sonnet the modules. Raises ValueError for a spec that does not fit."""

  @abc.abstractmethod
  def make_tables(self, spec: specs.EnvironmentSpec, networks: Networks) -> list[replay.Table]:
    """Describes the tables. The rate limiter of the first one says when the learner steps."""

  def extras_spec(self, spec: specs.EnvironmentSpec, networks: Networks) -> types.NestedSpec:
    """The spec of the extras that the actor gives its adder with each action."""
    return ()

  @abc.abstractmethod
  def make_adder(self, spec: specs.EnvironmentSpec, networks: Networks, writer: replay.Writer) -> replay.Adder:
    """Makes the adder of one actor over a writer of its own."""

  @abc.abstractmethod
  def make_dataset(self, store: replay.Replay) -> Iterator[replay.Sample]:
    """Makes what the learner iterates over."""

  @abc.abstractmethod
  def make_learner(
    self,
    spec: specs.EnvironmentSpec,
    networks: Networks,
    dataset: Iterator[replay.Sample],
    *,
    seed: int,
    store: replay.Replay | None = None,
    logger: loggers.Logger | None = None,
    counter: counting.Counter | None = None,
  ) -> core.Learner:
    """Makes the learner; `store` is where it hands priorities back, None where nobody wants them."""

  @abc.abstractmethod
  def make_actor(
    self,
    spec: specs.EnvironmentSpec,
    networks: Networks,
    variables: core.VariableSource,
    *,
    seed: int,
    adder: replay.Adder | None = None,
    num_envs: int | None = None,
    evaluation: bool = False,
  ) -> core.Actor:
    """Makes an actor, of N environments at once where `num_envs` is N: observations and actions have a leading [N].

    With `evaluation` it acts greedily (or as the config's evaluation policy says), and nothing is added.
    """


def step_spec(spec: specs.EnvironmentSpec, extras: types.NestedSpec) -> types.Step:
  """The spec of one stored step, from which a store allocates."""
  return types.Step(
    observation=spec.observations,
    action=spec.actions,
    reward=spec.rewards,
    discount=spec.discounts,
    start_of_episode=Array((), bool, name="start_of_episode"),
    extras=extras,
  )
