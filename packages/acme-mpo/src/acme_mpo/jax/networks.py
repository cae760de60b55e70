"""MPO's policy and critic.

Shapes: B batch, D numbers in an action, A actions.
"""

from typing import NamedTuple

import haiku as hk

from acme import specs, types
from acme_jax import mpo, networks
from acme_mpo import config as mpo_config


class Networks(NamedTuple):
  """Pure functions."""

  policy: hk.Transformed  # observation [B, …] -> distribution over actions [B, D], or over A
  critic: hk.Transformed  # (observation [B, …], action [B, D]) -> Q [B, 1]; of discrete actions o -> Q [B, A, 1]
  kind: mpo.Kind  # of actions, and how policies over them are improved
  observation: types.NestedArray  # zeros [1, …], to initialise with


def make_networks(
  spec: specs.EnvironmentSpec, config: mpo_config.MPOConfig, network: mpo.Pair | None = None
) -> Networks:
  """Makes both networks, or takes those of `network`.

  Raises:
    ValueError: the actions are neither one discrete one nor bounded floats, or a network's output does not fit.
    TypeError: `network` is no pair of haiku.Transformed.
  """
  kind = mpo.make_kind(spec, "MPO", config)
  if network is None:
    network = mpo.make_networks(spec, kind, 1, config.policy_hidden_sizes, config.critic_hidden_sizes)
  mpo.check_networks(network, spec, kind, num_outputs=1)
  policy, critic = map(hk.without_apply_rng, network)
  return Networks(policy, critic, kind, networks.zeros(spec.observations))
