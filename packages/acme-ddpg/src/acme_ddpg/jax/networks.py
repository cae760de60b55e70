"""DDPG's policy and critic, or two critics.

Shapes: B batch, D numbers in an action, K critics.
"""

import haiku as hk
import jax
import jax.numpy as jnp

from acme import specs, types
from acme_ddpg import config as ddpg_config
from acme_jax import control, spaces


def make_networks(
  spec: specs.EnvironmentSpec,
  config: ddpg_config.DDPGConfig,
  network: tuple[hk.Transformed, hk.Transformed] | None = None,
) -> control.Networks:
  """Makes the policy and the critics, which give [B, K], or takes those of `network`.

  Raises:
    ValueError: the actions are not continuous and bounded, or a network's output does not fit.
    TypeError: `network` is no pair of haiku.Transformed.
  """
  space = spaces.Continuous(specs.require_continuous(spec, "DDPG"))
  num_critics = 2 if config.twin_critic else 1

  def policy(observation: types.NestedArray) -> jax.Array:
    return control.DeterministicPolicy(spec.observations, space.size, config.policy_hidden_sizes)(observation)

  def critics(observation: types.NestedArray, action: jax.Array) -> jax.Array:
    each = [control.Critic(spec.observations, 1, config.critic_hidden_sizes) for _ in range(num_critics)]
    return jnp.concatenate([critic(observation, action) for critic in each], axis=-1)  # [B, K]

  if network is None:
    network = hk.transform(policy), hk.transform(critics)
  return control.make_networks(network, spec, space, num_critics)
