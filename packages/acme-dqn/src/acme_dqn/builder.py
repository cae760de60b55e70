"""DQN's components, from its config; the backend's module supplies networks, actor and learner."""

import functools
import importlib
from collections.abc import Iterator
from typing import Any

import dm_env
import numpy as np
import tree

from acme import builders, core, counting, loggers, replay, specs, types
from acme_dqn import config as dqn_config

TABLE = "replay"
BACKENDS = ("jax", "tf")


class DQNBuilder(builders.Builder[Any]):
  """Makes DQN's components."""

  def __init__(self, config: dqn_config.DQNConfig | None = None, *, backend: str = "jax", network: Any = None) -> None:
    """Makes a builder; arguments as in `acme_dqn.DQN`."""
    if backend not in BACKENDS:
      raise ValueError(f"backend: expected one of {', '.join(map(repr, BACKENDS))}, got {backend!r}.")
    self.config = config if config is not None else dqn_config.DQNConfig()
    self.backend = backend
    self._network = network

  @functools.cached_property
  def _backend(self) -> Any:
    """The module with `make_networks`, `make_learner` and `make_actor`, imported when one is wanted."""
    try:
      return importlib.import_module(f"acme_dqn.{self.backend}")
    except ModuleNotFoundError as error:
      extra = "acme-dqn" if self.backend == "jax" else f"acme-dqn[{self.backend}]"
      raise ImportError(
        f'The backend {self.backend!r} of DQN needs {error.name}, which is not installed: pip install "{extra}"'
      ) from error

  @property
  def samples_per_step(self) -> int:
    return self.config.batch_size * self.config.num_sgd_steps_per_step

  def make_networks(self, spec: specs.EnvironmentSpec) -> Any:
    specs.require_discrete(spec, "DQN")
    return self._backend.make_networks(spec, self.config, self._network)

  def make_tables(self, spec: specs.EnvironmentSpec, networks: Any) -> list[replay.Table]:
    config = self.config
    return [
      replay.Table(
        name=TABLE,
        max_size=config.max_replay_size,
        sampler=replay.Prioritized(config.priority_exponent) if config.prioritized else replay.Uniform(),
        rate_limiter=replay.RateLimiter(min_size=config.min_replay_size, samples_per_insert=config.samples_per_insert),
      )
    ]

  def make_adder(self, spec: specs.EnvironmentSpec, networks: Any, writer: replay.Writer) -> replay.Adder:
    import acme_replay

    adder = acme_replay.NStepTransitionAdder(writer, self.config.n_step, self.config.discount, table=TABLE)
    return adder if self.config.max_abs_reward is None else _ClippedRewards(adder, self.config.max_abs_reward)

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
    return self._backend.make_learner(
      networks,
      self.config,
      dataset,
      seed=seed,
      store=store if self.config.prioritized else None,
      table=TABLE,
      logger=logger,
      counter=counter,
    )

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
    return self._backend.make_actor(
      spec,
      networks,
      self.config,
      variables,
      seed=seed,
      adder=None if evaluation else adder,
      num_envs=num_envs,
      evaluation=evaluation,
    )


class _ClippedRewards(replay.Adder):
  """Clips each step's reward to [−limit, limit] before another adder sums it."""

  def __init__(self, adder: replay.Adder, limit: float) -> None:
    self._adder = adder
    self._limit = limit

  def add_first(self, timestep: dm_env.TimeStep) -> None:
    self._adder.add_first(timestep)

  def add(self, action: types.NestedArray, next_timestep: dm_env.TimeStep, extras: types.NestedArray = ()) -> None:
    reward = tree.map_structure(lambda r: np.clip(r, -self._limit, self._limit), next_timestep.reward)
    self._adder.add(action, next_timestep._replace(reward=reward), extras)

  def reset(self) -> None:
    self._adder.reset()

  def save(self) -> types.State:
    return self._adder.save()

  def restore(self, state: types.State) -> None:
    self._adder.restore(state)
