"""Continuous control: policies and critics over observation and action, and the program of an agent that has both.

Shapes: B batch, D numbers in an action (all leaves of its nest, flattened), K outputs of a critic.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import sonnet as snt
import tensorflow as tf

from acme import specs, types
from acme_tf import networks, program, spaces, variables

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


class Networks(NamedTuple):
  """Factories, and what their networks work on."""

  make_policy: variables.Factory  # observation [B, …] -> action [B, D] in [−1, 1]
  make_critic: variables.Factory  # (observation [B, …], action [B, D]) -> [B, K]
  space: spaces.Continuous  # between [−1, 1]^D and the environment's actions
  observation: types.NestedArray  # zeros [1, …], to make variables with


class Modules(NamedTuple):
  """Both networks, and their targets."""

  policy: snt.Module
  critic: snt.Module
  target_policy: snt.Module
  target_critic: snt.Module


def make_modules(nets: Networks, policy_seed: int, critic_seed: int) -> Modules:
  """Makes the networks; the targets start equal to them. The seeds are consumed."""
  critic_inputs = (nets.observation, np.zeros((1, nets.space.size), np.float32))
  policy = variables.create(nets.make_policy, nets.observation, seed=policy_seed)
  critic = variables.create(nets.make_critic, *critic_inputs, seed=critic_seed)
  return Modules(
    policy,
    critic,
    variables.make_target(nets.make_policy, policy, nets.observation),
    variables.make_target(nets.make_critic, critic, *critic_inputs),
  )


def make_program(
  nets: Networks,
  init: Callable[[int], Any],
  update: program.Update[Any],
  make_policy: Callable[..., program.Policy[snt.Module, tuple[()]]],
) -> program.Program[Any, snt.Module, tuple[()]]:
  """Makes the program of an agent whose state has the names of `Modules`.

  Args:
    nets: the networks.
    init: as the program has it.
    update: as the program has it.
    make_policy: makes the behaviour, or with evaluation=True that of evaluation; both act by the policy's module.
  """
  return program.Program(
    init=init,
    update=update,
    params=lambda state: state.policy,
    make_params=lambda: variables.create(nets.make_policy, nets.observation),
    variables=lambda state: {name: getattr(state, name) for name in Modules._fields},
    behaviour=make_policy(evaluation=False),
    evaluation=make_policy(evaluation=True),
    space=nets.space,
  )


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
