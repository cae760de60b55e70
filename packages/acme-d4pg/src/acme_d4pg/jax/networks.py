"""D4PG's policy and critic.

Shapes: B batch, D numbers in an action, K atoms.
"""

from typing import NamedTuple

import haiku as hk
import jax
import numpy as np

from acme import specs, types
from acme_d4pg import config as d4pg_config
from acme_jax import control, networks, spaces


class Networks(NamedTuple):
  """Pure functions."""

  policy: hk.Transformed  # observation [B, …] -> action [B, D] in [−1, 1]
  critic: hk.Transformed  # (observation [B, …], action [B, D]) -> logits of the atoms [B, K]
  space: spaces.Continuous  # between [−1, 1]^D and the environment's actions
  observation: types.NestedArray  # zeros [1, …], to initialise with


def make_networks(
  spec: specs.EnvironmentSpec,
  config: d4pg_config.D4PGConfig,
  network: tuple[hk.Transformed, hk.Transformed] | None = None,
) -> Networks:
  """Makes both networks, or takes those of `network`.

  Raises:
    ValueError: the actions are not continuous and bounded, or a network's output does not fit.
    TypeError: `network` is no pair of haiku.Transformed.
  """
  space = spaces.Continuous(specs.require_continuous(spec, "D4PG"))

  def policy(observation: types.NestedArray) -> jax.Array:
    return control.DeterministicPolicy(spec.observations, space.size, config.policy_hidden_sizes)(observation)

  def critic(observation: types.NestedArray, action: jax.Array) -> jax.Array:
    return control.Critic(spec.observations, config.num_atoms, config.critic_hidden_sizes)(observation, action)

  if network is None:
    network = hk.transform(policy), hk.transform(critic)
  control.check_networks(network, spec, space.size, config.num_atoms)
  policy_network, critic_network = (hk.without_apply_rng(each) for each in network)
  return Networks(policy_network, critic_network, space, networks.zeros(spec.observations))


def atoms(config: d4pg_config.D4PGConfig) -> np.ndarray:
  """The critic's support: [K] returns from vmin to vmax."""
  return np.linspace(config.vmin, config.vmax, config.num_atoms, dtype=np.float32)
