"""D4PG's policy and critic.

Shapes: B batch, D numbers in an action, K atoms.
"""

import functools
from typing import NamedTuple

import numpy as np

from acme import specs, types
from acme_d4pg import config as d4pg_config
from acme_tf import control, networks, spaces, variables


class Networks(NamedTuple):
  """Factories, and what their networks work on."""

  make_policy: variables.Factory  # observation [B, …] -> action [B, D] in [−1, 1]
  make_critic: variables.Factory  # (observation [B, …], action [B, D]) -> logits of the atoms [B, K]
  space: spaces.Continuous  # between [−1, 1]^D and the environment's actions
  observation: types.NestedArray  # zeros [1, …], to make variables with


def make_networks(
  spec: specs.EnvironmentSpec, config: d4pg_config.D4PGConfig, network: control.Factories | None = None
) -> Networks:
  """Makes both networks, or takes those of `network`.

  Raises:
    ValueError: the actions are not continuous and bounded, or a network's output does not fit.
    TypeError: `network` is no pair of functions that make Sonnet modules.
  """
  space = spaces.Continuous(specs.require_continuous(spec, "D4PG"))
  if network is None:
    network = (
      functools.partial(control.DeterministicPolicy, spec.observations, space.size, config.policy_hidden_sizes),
      functools.partial(control.Critic, spec.observations, config.num_atoms, config.critic_hidden_sizes),
    )
  else:
    control.check_networks(network, spec, space.size, config.num_atoms)
  return Networks(*network, space, networks.zeros(spec.observations))


def atoms(config: d4pg_config.D4PGConfig) -> np.ndarray:
  """The critic's support: [K] returns from vmin to vmax."""
  return np.linspace(config.vmin, config.vmax, config.num_atoms, dtype=np.float32)
