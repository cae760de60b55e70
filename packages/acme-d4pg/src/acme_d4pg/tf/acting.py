"""D4PG's actors: the policy with Gaussian noise, and without it for evaluation."""

from acme import core, replay, specs, types
from acme_d4pg import config as d4pg_config
from acme_d4pg.tf import networks
from acme_tf import acting
from acme_tf import variables as tf_variables


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
  network = tf_variables.create(nets.make_policy, nets.observation)

  def policy(observation: types.NestedArray) -> types.NestedArray:
    return nets.space.unflatten(network(observation))

  return acting.GaussianActor(
    policy,
    variables,
    spec.actions,
    sigma=0.0 if evaluation else config.sigma,
    seed=seed,
    random_steps=0 if evaluation else config.random_steps,
    variables=network.variables,
    adder=adder,
    num_envs=num_envs,
  )
