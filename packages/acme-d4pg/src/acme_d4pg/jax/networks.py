"""D4PG's policy and critic.

Shapes: B batch, D numbers in an action, K atoms.
"""

import haiku as hk
import numpy as np

from acme import specs
from acme_d4pg import config as d4pg_config
from acme_jax import control, spaces


def make_networks(
  spec: specs.EnvironmentSpec,
  config: d4pg_config.D4PGConfig,
  network: tuple[hk.Transformed, hk.Transformed] | None = None,
) -> control.Networks:
  """Makes both networks, or takes those of `network`; the critic gives the logits of the atoms [B, K].

  Raises:
    ValueError: the actions are not continuous and bounded, or a network's output does not fit.
    TypeError: `network` is no pair of haiku.Transformed.
  """
  space, o = spaces.Continuous(specs.require_continuous(spec, "D4PG")), spec.observations
  if network is None:
    network = (
      hk.transform(lambda x: control.DeterministicPolicy(o, space.size, config.policy_hidden_sizes)(x)),
      hk.transform(lambda x, a: control.Critic(o, config.num_atoms, config.critic_hidden_sizes)(x, a)),
    )
  return control.make_networks(network, spec, space, config.num_atoms)


def atoms(config: d4pg_config.D4PGConfig, spec: specs.EnvironmentSpec) -> np.ndarray:
  """The critic's support: [K] returns from vmin to vmax."""
  return np.linspace(*config.value_range(spec), config.num_atoms, dtype=np.float32)
