"""D4PG's policy and critic.

Shapes: B batch, D numbers in an action, K atoms.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import haiku as hk
import jax
import numpy as np

from acme import specs, types
from acme_d4pg import config as d4pg_config
from acme_jax import continuous, networks


class Networks(NamedTuple):
  """Pure functions."""

  policy: hk.Transformed  # observation [B, …] -> action [B, D] in [−1, 1]
  critic: hk.Transformed  # (observation [B, …], action [B, D]) -> logits of the atoms [B, K]
  space: continuous.ActionSpace  # between [−1, 1]^D and the environment's actions
  act: Callable[..., jax.Array]  # jitted: (policy params, observation [B, …]) -> [B, D]
  observation: types.NestedArray  # zeros [1, …], to initialise with


def make_networks(spec: specs.EnvironmentSpec, config: d4pg_config.D4PGConfig) -> Networks:
  """Makes both networks. Raises ValueError where the actions are not continuous and bounded."""
  space = continuous.ActionSpace(specs.require_continuous(spec, "D4PG"))

  def policy(observation: types.NestedArray) -> jax.Array:
    return continuous.DeterministicPolicy(spec.observations, space.size, config.policy_hidden_sizes)(observation)

  def critic(observation: types.NestedArray, action: jax.Array) -> jax.Array:
    return continuous.Critic(spec.observations, config.num_atoms, config.critic_hidden_sizes)(observation, action)

  policy_network: Any = hk.without_apply_rng(hk.transform(policy))  # Haiku overloads this beyond what mypy follows.
  return Networks(
    policy_network,
    hk.without_apply_rng(hk.transform(critic)),
    space,
    jax.jit(policy_network.apply),
    networks.zeros(spec.observations),
  )


def atoms(config: d4pg_config.D4PGConfig) -> np.ndarray:
  """The critic's support: [K] returns from vmin to vmax."""
  return np.linspace(config.vmin, config.vmax, config.num_atoms, dtype=np.float32)
