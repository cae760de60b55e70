"""D4PG's policy and critic.

Shapes: B batch, D numbers in an action, K atoms.
"""

import functools

import numpy as np

from acme import specs
from acme_d4pg import config as d4pg_config
from acme_tf import control, networks, spaces


def make_networks(
  spec: specs.EnvironmentSpec, config: d4pg_config.D4PGConfig, network: control.Factories | None = None
) -> control.Networks:
  """Makes both networks, or takes those of `network`; the critic gives the logits of the atoms [B, K].

  Raises:
    ValueError: the actions are not continuous and bounded, or a network's output does not fit.
    TypeError: `network` is no pair of functions that make Sonnet modules.
  """
  space, o = spaces.Continuous(specs.require_continuous(spec, "D4PG")), spec.observations
  if network is None:
    network = (
      functools.partial(control.DeterministicPolicy, o, space.size, config.policy_hidden_sizes),
      functools.partial(control.Critic, o, config.num_atoms, config.critic_hidden_sizes),
    )
  else:
    control.check_networks(network, spec, space.size, config.num_atoms)
  return control.Networks(*network, space, networks.zeros(o))


def atoms(config: d4pg_config.D4PGConfig, spec: specs.EnvironmentSpec) -> np.ndarray:
  """The critic's support: [K] returns from vmin to vmax."""
  return np.linspace(*config.value_range(spec), config.num_atoms, dtype=np.float32)
