"""DDPG's policy and critic, or two critics.

Shapes: B batch, D numbers in an action, K critics.
"""

import functools
from collections.abc import Sequence

import sonnet as snt
import tensorflow as tf

from acme import specs, types
from acme_ddpg import config as ddpg_config
from acme_tf import control, networks, spaces


class Critics(snt.Module):
  """K critics, each by itself: [B, K]."""

  def __init__(self, spec: types.NestedSpec, num_critics: int, hidden_sizes: Sequence[int]) -> None:
    """Makes critics over observations of `spec` and actions [B, D] in [−1, 1]."""
    super().__init__()
    self._each = [control.Critic(spec, 1, hidden_sizes, name=f"critic_{i}") for i in range(num_critics)]

  def __call__(self, observation: types.NestedArray, action: tf.Tensor) -> tf.Tensor:
    return tf.concat([critic(observation, action) for critic in self._each], axis=-1)


def make_networks(
  spec: specs.EnvironmentSpec, config: ddpg_config.DDPGConfig, network: control.Factories | None = None
) -> control.Networks:
  """Makes the policy and the critics, which give [B, K], or takes those of `network`.

  Raises:
    ValueError: the actions are not continuous and bounded, or a network's output does not fit.
    TypeError: `network` is no pair of functions that make Sonnet modules.
  """
  space, num_critics = spaces.Continuous(specs.require_continuous(spec, "DDPG")), 2 if config.twin_critic else 1
  if network is not None:
    control.check_networks(network, spec, space.size, num_critics)
    make_policy, make_critics = network
  else:
    policy_sizes, critic_sizes = config.policy_hidden_sizes, config.critic_hidden_sizes
    make_policy = functools.partial(control.DeterministicPolicy, spec.observations, space.size, policy_sizes)
    make_critics = functools.partial(Critics, spec.observations, num_critics, critic_sizes)
  return control.Networks(make_policy, make_critics, space, networks.zeros(spec.observations))
