"""MCTS's components, from its config; `acme_mcts.tf`, imported when wanted, supplies networks, actor and learner."""

import functools
import importlib
from collections.abc import Iterator
from typing import Any

import dm_env
import numpy as np

from acme import builders, core, counting, loggers, replay, specs, types
from acme_mcts import config as mcts_config
from acme_mcts import models

TABLE = "replay"


class MCTSBuilder(builders.Builder[Any]):
  """Makes MCTS's components."""

  def __init__(
    self,
    config: mcts_config.MCTSConfig | None = None,
    *,
    simulator: dm_env.Environment | models.Simulator | None = None,
  ) -> None:
    """Makes a builder; `simulator` as in `acme_mcts.MCTS`."""
    self.config = config if config is not None else mcts_config.MCTSConfig()
    is_environment = simulator is not None and not isinstance(simulator, models.Simulator)
    self.simulator = models.Simulator(simulator) if is_environment else simulator

  @functools.cached_property
  def _backend(self) -> Any:
    return importlib.import_module("acme_mcts.tf")

  @property
  def samples_per_step(self) -> int:
    return self.config.batch_size * self.config.num_sgd_steps_per_step

  def make_networks(self, spec: specs.EnvironmentSpec) -> Any:
    specs.require_discrete(spec, "MCTS")
    return self._backend.make_networks(spec, self.config, learned_model=self.simulator is None)

  def make_tables(self, spec: specs.EnvironmentSpec, networks: Any) -> list[replay.Table]:
    config = self.config
    limiter = replay.RateLimiter(min_size=config.min_replay_size, samples_per_insert=config.samples_per_insert)
    return [replay.Table(name=TABLE, max_size=config.max_replay_size, rate_limiter=limiter)]

  def extras_spec(self, spec: specs.EnvironmentSpec, networks: Any) -> types.NestedSpec:
    return {"policy": specs.BoundedArray((spec.actions.num_values,), np.float32, 0, 1, name="policy")}

  def make_adder(self, spec: specs.EnvironmentSpec, networks: Any, writer: replay.Writer) -> replay.Adder:
    import acme_replay

    return acme_replay.NStepTransitionAdder(writer, 1, self.config.discount, table=TABLE)

  def make_dataset(self, store: replay.Replay) -> Iterator[replay.Sample]:
    return store.dataset(TABLE, self.samples_per_step)

  def make_learner(
    self,
    spec: specs.EnvironmentSpec,
    networks: Any,
    dataset: Iterator[replay.Sample],
    *,
    seed: int,
    store: replay.Replay | None = None,
    logger: loggers.Logger | None = None,
    counter: counting.Counter | None = None,
  ) -> core.Learner:
    del store  # Sampling is uniform.
    return self._backend.make_learner(spec, networks, self.config, dataset, seed=seed, logger=logger, counter=counter)

  def make_actor(
    self,
    spec: specs.EnvironmentSpec,
    networks: Any,
    variables: core.VariableSource,
    *,
    seed: int,
    adder: replay.Adder | None = None,
    num_envs: int | None = None,
    evaluation: bool = False,
  ) -> core.Actor:
    """Makes an actor. Raises ValueError where there is one simulator for several environments, or of another kind."""
    if self.simulator is not None:
      if num_envs is not None:
        raise ValueError(
          f"MCTS with a simulator acts in one environment, got num_envs={num_envs}: leave simulator= out, so that it "
          "learns a model, or run one environment."
        )
      _check_specs(self.simulator.environment, spec)
    return self._backend.make_actor(
      spec,
      networks,
      self.config,
      variables,
      self.simulator,
      seed=seed,
      adder=None if evaluation else adder,
      num_envs=num_envs,
      evaluation=evaluation,
    )


def _check_specs(environment: dm_env.Environment, spec: specs.EnvironmentSpec) -> None:
  theirs = specs.make_environment_spec(environment)
  for name in ("observations", "actions"):
    wanted, got = (specs.describe(getattr(each, name)) for each in (spec, theirs))
    if got != wanted:
      raise ValueError(
        f"MCTS simulator: expected {name} {wanted}, as the agent has them, got {got}: give it the very environment "
        "that the agent acts in."
      )
