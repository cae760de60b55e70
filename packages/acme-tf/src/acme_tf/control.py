"""Continuous control: policies and critics over observation and action.

Shapes: B batch, D numbers in an action (all leaves of its nest, flattened), K outputs of a critic.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import sonnet as snt
import tensorflow as tf

from acme import specs, types
from acme_tf import networks, variables

Factories = tuple[variables.Factory, variables.Factory]  # of a policy and a critic


class DeterministicPolicy(snt.Module):
  """tanh(Linear(LayerNormMLP(features))): [B, D] in [−1, 1]."""

  def __init__(self, spec: types.NestedSpec, size: int, hidden_sizes: Sequence[int], name: str | None = None) -> None:
    """Makes a policy over observations of `spec`, with actions of `size` D."""
    super().__init__(name)
    self._torso = networks.ObservationTorso(spec)
    self._hidden = networks.LayerNormMLP(hidden_sizes)
    self._head = networks.near_zero_linear(size)  # So that no action begins saturated.

  def __call__(self, observation: types.NestedArray) -> tf.Tensor:
    return tf.tanh(self._head(self._hidden(self._torso(observation))))


class Critic(snt.Module):
  """Linear(LayerNormMLP(features, action)): [B, K], such as one Q-value or the logits of K atoms."""

  def __init__(
    self, spec: types.NestedSpec, num_outputs: int, hidden_sizes: Sequence[int], name: str | None = None
  ) -> None:
    """Makes a critic over observations of `spec` and actions [B, D] in [−1, 1]."""
    super().__init__(name)
    self._torso = networks.ObservationTorso(spec)
    self._hidden = networks.LayerNormMLP(hidden_sizes)
    self._head = snt.Linear(num_outputs, name="head")

  def __call__(self, observation: types.NestedArray, action: tf.Tensor) -> tf.Tensor:
    x = tf.concat([self._torso(observation), action], axis=-1)
    return self._head(self._hidden(x))


def check_networks(network: Any, spec: specs.EnvironmentSpec, size: int, num_outputs: int) -> None:
  """Holds a pair of policy and critic to what they are to give.

  Raises:
    TypeError: it is no pair of functions that make Sonnet modules.
    ValueError: the policy does not give [B, D], or the critic [B, K].
  """
  if not isinstance(network, tuple) or len(network) != 2 or not all(map(callable, network)):
    raise TypeError(
      f"network: expected a pair of functions that make Sonnet modules, policy and critic, got {network!r}."
    )
  policy, critic = network
  action = np.zeros((2, size), np.float32)
  networks.check_output(policy, spec, (size,), "actions [D] in [−1, 1]")
  networks.check_output(critic, spec, (num_outputs,), "outputs [K]", action)
