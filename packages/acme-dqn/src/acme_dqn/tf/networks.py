"""DQN's network, and what it means.

Shapes: B batch, A actions, K atoms or quantiles.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import sonnet as snt
import tensorflow as tf

from acme import specs, types
from acme_dqn import config as dqn_config
from acme_tf import networks, variables


class Networks(NamedTuple):
  """A factory, and what its networks' outputs mean."""

  make: variables.Factory  # observation [B, …] -> Q-values [B, A], atoms' logits [B, A, K], or quantiles [B, A, K]
  values: Callable[[tf.Tensor], tf.Tensor]  # any of these -> Q-values [B, A]
  num_actions: int  # A
  observation: types.NestedArray  # zeros [1, …], to make variables with


def make_networks(
  spec: specs.EnvironmentSpec, config: dqn_config.DQNConfig, network: variables.Factory | None = None
) -> Networks:
  """Makes the network that the config and specs ask for, or takes `network` where it fits them.

  Raises:
    TypeError: `network` is no function that makes a Sonnet module.
    ValueError: its outputs do not fit.
  """
  num_actions = specs.require_discrete(spec, "DQN").num_values
  outputs, what = _outputs(config)
  shape = (num_actions, outputs) if outputs else (num_actions,)
  if network is None:
    network = functools.partial(QNetwork, spec, config, shape)
  elif callable(network):
    networks.check_output(network, spec, shape, what)
  else:
    raise TypeError(f"network: expected a function that makes a Sonnet module, got {network!r}.")
  return Networks(network, _values(config), num_actions, networks.zeros(spec.observations))


def atoms(config: dqn_config.DQNConfig) -> np.ndarray:
  """The support of C51: [K] returns from vmin to vmax."""
  return np.linspace(config.vmin, config.vmax, config.num_atoms, dtype=np.float32)


def _outputs(config: dqn_config.DQNConfig) -> tuple[int, str]:
  """How many outputs an action has, 0 for one without an axis of its own, and what they are."""
  if config.categorical:
    return config.num_atoms, "logits [A, num_atoms]"
  if config.quantile:
    return config.num_quantiles, "quantiles [A, num_quantiles]"
  return 0, "Q-values [A]"


def _values(config: dqn_config.DQNConfig) -> Callable[[tf.Tensor], tf.Tensor]:
  """From the network's outputs to Q-values [B, A]."""
  if config.categorical:
    support = atoms(config)
    return lambda logits: tf.linalg.matvec(tf.nn.softmax(logits), support)  # [B, A, K] -> [B, A]
  if config.quantile:
    return lambda quantiles: tf.reduce_mean(quantiles, axis=-1)  # [B, A, K] -> [B, A]
  return lambda q: q


class QNetwork(snt.Module):
  """Torso by the observations, then `hidden_sizes`, then a plain or dueling head."""

  def __init__(self, spec: specs.EnvironmentSpec, config: dqn_config.DQNConfig, shape: tuple[int, ...]) -> None:
    """Makes a network whose outputs have `shape`, [A] or [A, K]."""
    super().__init__("q_network")
    self._shape = shape
    num_outputs = shape[1] if len(shape) > 1 else 1
    self._torso = networks.ObservationTorso(spec.observations)
    if config.dueling:
      *torso, last = config.hidden_sizes
      self._hidden = networks.MLP(torso)
      self._head = networks.DuelingHead(shape[0], (last,), num_outputs)
    else:
      self._hidden = networks.MLP(config.hidden_sizes)
      self._head = snt.Linear(shape[0] * num_outputs, name="head")

  def __call__(self, observation: types.NestedArray) -> tf.Tensor:
    x = self._hidden(self._torso(observation))  # [B, D]
    return tf.reshape(self._head(x), (-1, *self._shape))
