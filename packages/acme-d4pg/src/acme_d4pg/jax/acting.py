"""D4PG's actors: the policy with Gaussian noise, and without it for evaluation."""

from acme import core, replay, specs
from acme_d4pg import config as d4pg_config
from acme_d4pg.jax import networks
from acme_jax import continuous


def make_actor(
  spec: specs.EnvironmentSpec,
  nets: networks.Networks,
  config: d4pg_config.D4PGConfig,
  variables: core.VariableSource,
  *,
  seed: int,
  adder: replay.Adder | None = None,
  num_envs: int | None = None,
  evaluation: bool = False,
) -> core.Actor:
  """Makes an actor; for evaluation one without noise."""
  del spec
  return continuous.GaussianActor(
    nets.act,
    variables,
    nets.space,
    sigma=0.0 if evaluation else config.sigma,
    seed=seed,
    random_steps=0 if evaluation else config.random_steps,
    adder=adder,
    num_envs=num_envs,
  )
