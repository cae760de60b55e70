"""MPO's policy and critic.

Shapes: B batch, D numbers in an action, A actions.
"""

from acme import specs
from acme_mpo import config as mpo_config
from acme_tf import control, mpo, networks


def make_networks(
  spec: specs.EnvironmentSpec, config: mpo_config.MPOConfig, network: control.Factories | None = None
) -> mpo.Networks:
  """Makes both networks, or takes those of `network`.

  Raises:
    ValueError: the actions are neither one discrete one nor bounded floats, or a network's output does not fit.
    TypeError: `network` is no pair of functions that make Sonnet modules.
  """
  kind = mpo.make_kind(spec, "MPO", config)
  if network is None:
    network = mpo.make_networks(spec, kind, 1, config.policy_hidden_sizes, config.critic_hidden_sizes)
  else:
    mpo.check_networks(network, spec, kind, 1)
  return mpo.Networks(*network, kind, networks.zeros(spec.observations))
