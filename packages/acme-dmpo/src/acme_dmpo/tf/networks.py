"""DMPO's policy and categorical critic.

Shapes: B batch, D numbers in an action, A actions, K atoms.
"""

from typing import NamedTuple

import numpy as np

from acme import specs, types
from acme_dmpo import config as dmpo_config
from acme_tf import control, mpo, networks, variables


class Networks(NamedTuple):
  """Factories, and what their networks work on."""

  make_policy: variables.Factory  # observation [B, …] -> distribution over actions [B, D], or over A
  make_critic: variables.Factory  # (observation [B, …], action [B, D]) -> logits of the atoms [B, K], or o -> [B, A, K]
  kind: mpo.Kind  # of the actions
  observation: types.NestedArray  # zeros [1, …], to make variables with


def make_networks(
  spec: specs.EnvironmentSpec, config: dmpo_config.DMPOConfig, network: control.Factories | None = None
) -> Networks:
  """Makes both networks, or takes those of `network`.

  Raises:
    ValueError: the actions are neither one discrete one nor bounded floats, or a network's output does not fit.
    TypeError: `network` is no pair of functions that make Sonnet modules.
  """
  kind, sizes = mpo.make_kind(spec, "DMPO", config), (config.policy_hidden_sizes, config.critic_hidden_sizes)
  if network is not None:
    mpo.check_networks(network, spec, kind, config.num_atoms)
  pair = mpo.make_networks(spec, kind, config.num_atoms, *sizes) if network is None else network
  return Networks(*pair, kind, networks.zeros(spec.observations))


def atoms(config: dmpo_config.DMPOConfig) -> np.ndarray:
  """The critic's support: [K] returns from vmin to vmax."""
  return np.linspace(config.vmin, config.vmax, config.num_atoms, dtype=np.float32)
