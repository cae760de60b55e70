"""DMPO's policy and categorical critic.

Shapes: B batch, D numbers in an action, A actions, K atoms.
"""

import numpy as np

from acme import specs
from acme_dmpo import config as dmpo_config
from acme_jax import mpo


def make_networks(
  spec: specs.EnvironmentSpec, config: dmpo_config.DMPOConfig, network: mpo.Pair | None = None
) -> mpo.Networks:
  """Makes both networks, the critic with logits of the atoms, or takes those of `network`.

  Raises:
    ValueError: the actions are neither one discrete one nor bounded floats, or a network's output does not fit.
    TypeError: `network` is no pair of haiku.Transformed.
  """
  kind = mpo.make_kind(spec, "DMPO", config)
  if network is None:
    network = mpo.make_networks(spec, kind, config.num_atoms, config.policy_hidden_sizes, config.critic_hidden_sizes)
  return mpo.take_networks(network, spec, kind, config.num_atoms)


def atoms(config: dmpo_config.DMPOConfig, spec: specs.EnvironmentSpec) -> np.ndarray:
  """The critic's support: [K] returns from vmin to vmax."""
  return np.linspace(*config.value_range(spec), config.num_atoms, dtype=np.float32)
