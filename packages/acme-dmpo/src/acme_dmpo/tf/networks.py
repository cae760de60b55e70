"""DMPO's policy and categorical critic.

Shapes: B batch, D numbers in an action, A actions, K atoms.
"""

import numpy as np

from acme import specs
from acme_dmpo import config as dmpo_config
from acme_tf import control, mpo, networks


def make_networks(
  spec: specs.EnvironmentSpec, config: dmpo_config.DMPOConfig, network: control.Factories | None = None
) -> mpo.Networks:
  """Makes both networks, or takes those of `network`.

  Raises:
    ValueError: the actions are neither one discrete one nor bounded floats, or a network's output does not fit.
    TypeError: `network` is no pair of functions that make Sonnet modules.
  """
  kind = mpo.make_kind(spec, "DMPO", config)
  if network is None:
    network = mpo.make_networks(spec, kind, config.num_atoms, config.policy_hidden_sizes, config.critic_hidden_sizes)
  else:
    mpo.check_networks(network, spec, kind, config.num_atoms)
  return mpo.Networks(*network, kind, networks.zeros(spec.observations))


def atoms(config: dmpo_config.DMPOConfig, spec: specs.EnvironmentSpec) -> np.ndarray:
  """The critic's support: [K] returns from vmin to vmax."""
  return np.linspace(*config.value_range(spec), config.num_atoms, dtype=np.float32)
