"""Continuous control: policies and critics over observation and action, and the program of an agent that has both.

Shapes: B batch, D numbers in an action (all leaves of its nest, flattened), K outputs of a critic.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from acme import specs, types
from acme_jax import heads, networks, program, spaces


class DeterministicPolicy(hk.Module):
  """tanh(Linear(LayerNormMLP(features))): [B, D] in [−1, 1]."""

  def __init__(self, spec: types.NestedSpec, size: int, hidden_sizes: Sequence[int], name: str | None = None) -> None:
    """Makes a policy over observations of `spec`, with actions of `size` D."""
    super().__init__(name)
    self._spec, self._size, self._hidden_sizes = spec, size, hidden_sizes

  def __call__(self, observation: types.NestedArray) -> jax.Array:
    x = networks.LayerNormMLP(self._hidden_sizes)(networks.ObservationTorso(self._spec)(observation))
    # Near zero at first, so that no action begins saturated.
    return jnp.tanh(heads.near_zero_linear(self._size)(x))


class Critic(hk.Module):
  """Linear(LayerNormMLP(features, action)): [B, K], such as one Q-value or the logits of K atoms."""

  def __init__(
    self, spec: types.NestedSpec, num_outputs: int, hidden_sizes: Sequence[int], name: str | None = None
  ) -> None:
    """Makes a critic over observations of `spec` and actions [B, D] in [−1, 1]."""
    super().__init__(name)
    self._spec, self._num_outputs, self._hidden_sizes = spec, num_outputs, hidden_sizes

  def __call__(self, observation: types.NestedArray, action: jax.Array) -> jax.Array:
    x = jnp.concatenate([networks.ObservationTorso(self._spec)(observation), action], axis=-1)
    return hk.Linear(self._num_outputs)(networks.LayerNormMLP(self._hidden_sizes)(x))


class Networks(NamedTuple):
  """Pure functions."""

  policy: hk.Transformed  # observation [B, …] -> action [B, D] in [−1, 1]
  critic: hk.Transformed  # (observation [B, …], action [B, D]) -> [B, K]
  space: spaces.Continuous  # between [−1, 1]^D and the environment's actions
  observation: types.NestedArray  # zeros [1, …], to initialise with


class Params(NamedTuple):
  """The parameters of both networks."""

  policy: hk.Params
  critic: hk.Params


def make_networks(network: Any, spec: specs.EnvironmentSpec, space: spaces.Continuous, num_outputs: int) -> Networks:
  """Takes a pair of policy and critic; raises as `check_networks`."""
  check_networks(network, spec, space.size, num_outputs)
  policy, critic = (hk.without_apply_rng(each) for each in network)
  return Networks(policy, critic, space, networks.zeros(spec.observations))


def init_params(nets: Networks, key: jax.Array) -> Params:
  """The first parameters. The key is consumed."""
  policy_key, critic_key = jax.random.split(key)
  action = np.zeros((1, nets.space.size), np.float32)
  return Params(nets.policy.init(policy_key, nets.observation), nets.critic.init(critic_key, nets.observation, action))


def make_program(
  nets: Networks,
  init: Callable[[jax.Array], Any],
  update: program.Update[Any],
  make_policy: Callable[..., program.Policy[hk.Params, tuple[()]]],
) -> program.Program[Any, hk.Params, tuple[()]]:
  """Makes the program of an agent whose state has `params` and `target_params`, each with a policy and a critic.

  Args:
    nets: the networks.
    init: as the program has it.
    update: as the program has it.
    make_policy: makes the behaviour, or with evaluation=True that of evaluation; both act by the policy's parameters.
  """
  return program.Program(
    init=init,
    update=update,
    params=lambda state: state.params.policy,
    variables=lambda state: {
      "policy": state.params.policy,
      "critic": state.params.critic,
      "target_policy": state.target_params.policy,
      "target_critic": state.target_params.critic,
    },
    behaviour=make_policy(evaluation=False),
    evaluation=make_policy(evaluation=True),
    space=nets.space,
  )


def check_networks(network: Any, spec: specs.EnvironmentSpec, size: int, num_outputs: int) -> None:
  """Holds a pair of policy and critic to what they are to give; nothing is computed.

  Raises:
    TypeError: it is no pair of haiku.Transformed.
    ValueError: the policy does not give [B, D], or the critic [B, K].
  """
  pair = isinstance(network, tuple) and len(network) == 2
  if not pair or not all(isinstance(each, hk.Transformed) for each in network):
    raise TypeError(f"network: expected a pair of haiku.Transformed, policy and critic, got {network!r}.")
  policy, critic = network
  action = jnp.zeros((2, size))
  networks.check_output(policy, spec, (size,), "actions [D] in [−1, 1]")
  networks.check_output(critic, spec, (num_outputs,), "outputs [K]", action)
