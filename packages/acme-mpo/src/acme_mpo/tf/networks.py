"""MPO's policy and critic.

Shapes: B batch, D numbers in an action, A actions.
"""

from typing import NamedTuple

from acme import specs, types
from acme_mpo import config as mpo_config
from acme_tf import control, mpo, networks, variables


class Networks(NamedTuple):
  """Factories, and what their networks work on."""

  make_policy: variables.Factory  # observation [B, …] -> distribution over actions [B, D], or over A
  make_critic: (
    variables.Factory
  )  # (observation [B, …], action [B, D]) -> Q [B, 1]; of discrete actions o -> Q [B, A, 1]
  kind: mpo.Kind  # of actions, and how policies over them are improved
  observation: types.NestedArray  # zeros [1, …], to make variables with


def make_networks(
  spec: specs.EnvironmentSpec, config: mpo_config.MPOConfig, network: control.Factories | None = None
) -> Networks:
  """Makes both networks, or takes those of `network`.

  Raises:
    ValueError: the actions are neither one discrete one nor bounded floats, or a network's output does not fit.
    TypeError: `network` is no pair of functions that make Sonnet modules.
  """
  kind = mpo.make_kind(spec, "MPO", config)
  if network is None:
    network = mpo.make_networks(spec, kind, 1, config.policy_hidden_sizes, config.critic_hidden_sizes)
  else:
    mpo.check_networks(network, spec, kind, num_outputs=1)
  return Networks(*network, kind, networks.zeros(spec.observations))
