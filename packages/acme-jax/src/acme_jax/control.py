"""Continuous control: policies and critics over observation and action.

Shapes: B batch, D numbers in an action (all leaves of its nest, flattened), K outputs of a critic.
"""

from collections.abc import Sequence
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp

from acme import specs, types
from acme_jax import heads, networks


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
