"""D4PG's components, from its config; the backend's module supplies networks, actor and learner."""

import functools
import importlib
from collections.abc import Iterator
from typing import Any

from acme import builders, core, counting, loggers, replay, specs
from acme_d4pg import config as d4pg_config
from acme_d4pg import returns

TABLE = "replay"
BACKENDS = ("jax", "tf")


class D4PGBuilder(builders.Builder[Any]):
  """Makes D4PG's components."""

  def __init__(self, config: d4pg_config.D4PGConfig | None = None, *, backend: str = "jax") -> None:
    """Makes a builder; arguments as in `acme_d4pg.D4PG`."""
    if backend not in BACKENDS:
      raise ValueError(f"backend: expected one of {', '.join(map(repr, BACKENDS))}, got {backend!r}.")
    self.config = config if config is not None else d4pg_config.D4PGConfig()
    self.backend = backend

  @functools.cached_property
  def _backend(self) -> Any:
    """The module with `make_networks`, `make_learner` and `make_actor`, imported when one is wanted."""
    try:
      return importlib.import_module(f"acme_d4pg.{self.backend}")
    except ModuleNotFoundError as error:
      extra = "acme-d4pg" if self.backend == "jax" else f"acme-d4pg[{self.backend}]"
      raise ImportError(
        f'The backend {self.backend!r} of D4PG needs {error.name}, which is not installed: pip install "{extra}"'
      ) from error

  @property
  def samples_per_step(self) -> int:
    return self.config.batch_size * self.config.num_sgd_steps_per_step

  def make_networks(self, spec: specs.EnvironmentSpec) -> Any:
    specs.require_continuous(spec, "D4PG")
    return self._backend.make_networks(spec, self.config)

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
    return returns.WarnOfReturns(adder, self.config.discount, self.config.vmin, self.config.vmax)

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
