"""R2D2's network: a torso, a recurrent core and a head, for one step or for whole sequences.

Shapes: B batch, L steps, A actions, F features, H units of the core.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import sonnet as snt
import tensorflow as tf

from acme import specs, types
from acme_r2d2 import config as r2d2_config
from acme_tf import functions, networks, recurrent, variables

Parts = tuple[snt.Module, snt.RNNCore, snt.Module]  # torso, core, head
MakeNetwork = Callable[[], Parts]


class Inputs(NamedTuple):
  """What the network sees of a step, leaves [B, …] or [B, L, …]."""

  observation: types.NestedArray  # o_t
  action: tf.Tensor  # a_{t−1}; 0 at the first step of an episode
  reward: tf.Tensor  # r_t; 0 at the first step


class Network(snt.Module):
  """Torso, core and head in one module; called, it takes a step."""

  def __init__(self, make: MakeNetwork, num_actions: int) -> None:
    """Makes the parts."""
    super().__init__("r2d2")
    self._torso, core, self._head = make()
    self._core = recurrent.Core(core)
    self._num_actions = num_actions

  def __call__(self, inputs: Inputs, state: Any = None) -> tuple[tf.Tensor, Any]:
    """From inputs [B, …] and the state [B, H] before them, the initial one for None, to q [B, A] and a state."""
    if state is None:
      state = self.initial_state(inputs.action.shape[0])
    outputs, state = self._core.step(self._features(inputs), state)
    return self._head(outputs), state

  def unroll(self, inputs: Inputs, start_of_episode: tf.Tensor, state: Any) -> tuple[tf.Tensor, Any]:
    """From inputs [B, L, …] and the state [B, H] before them to q [B, L, A] and the state after them."""
    features = snt.BatchApply(self._features)(inputs)  # [B, L, F]
    outputs, state = self._core.unroll(features, start_of_episode, state)
    return snt.BatchApply(self._head)(outputs), state

  def initial_state(self, batch: int) -> Any:
    """The state [B, H] in which episodes begin."""
    return self._core.initial_state(batch)

  def _features(self, inputs: Inputs) -> tf.Tensor:
    action = tf.one_hot(tf.cast(inputs.action, tf.int32), self._num_actions)
    return self._torso(inputs.observation, action, inputs.reward)


class Networks(NamedTuple):
  """A factory, and what its networks work on."""

  make: Callable[[], Network]
  num_actions: int  # A
  inputs: Inputs  # zeros [1, …], to make variables with


def make_networks(
  spec: specs.EnvironmentSpec, config: r2d2_config.R2D2Config, network: MakeNetwork | None = None
) -> Networks:
  """Makes the network that the config and specs ask for, or takes the parts that `network` makes.

  Raises:
    TypeError: `network` is no function.
    ValueError: the actions are not discrete, or its outputs are no Q-values of them.
  """
  num_actions = specs.require_discrete(spec, "R2D2").num_values
  if network is not None and not callable(network):
    raise TypeError(f"network: expected a function that makes torso, core and head, got {network!r}.")
  parts = network or (lambda: (Torso(spec, config), _core(config), Head(config, num_actions)))
  inputs = Inputs(*networks.zeros((spec.observations, spec.actions, spec.rewards)))
  nets = Networks(functools.partial(Network, parts, num_actions), num_actions, inputs)
  if network is not None:
    _check(nets)
  return nets


class Torso(snt.Module):
  """By the observations and `hidden_sizes`, beside the action before and its reward."""

  def __init__(self, spec: specs.EnvironmentSpec, config: r2d2_config.R2D2Config) -> None:
    super().__init__("torso")
    self._torso = networks.ObservationTorso(spec.observations)
    self._hidden = networks.MLP(config.hidden_sizes)

  def __call__(self, observation: types.NestedArray, action: tf.Tensor, reward: tf.Tensor) -> tf.Tensor:
    x = self._hidden(self._torso(observation))  # [B, F]
    return tf.concat([x, action, tf.tanh(reward)[:, None]], axis=-1)


def _core(config: r2d2_config.R2D2Config) -> snt.RNNCore:
  return snt.LSTM(config.core_size) if config.core == "lstm" else snt.GRU(config.core_size)


class Head(snt.Module):
  """Plain or dueling: [B, H] to [B, A]."""

  def __init__(self, config: r2d2_config.R2D2Config, num_actions: int) -> None:
    super().__init__("head")
    sizes = config.head_hidden_sizes
    dueling = config.dueling
    self._layers = networks.DuelingHead(num_actions, sizes) if dueling else snt.nets.MLP([*sizes, num_actions])
    self._num_actions = num_actions

  def __call__(self, x: tf.Tensor) -> tf.Tensor:
    return tf.reshape(self._layers(x), (-1, self._num_actions))


def _check(nets: Networks) -> None:
  """Raises ValueError where the network does not give float [1, A] for one step."""
  inputs = tf.nest.map_structure(tf.constant, nets.inputs)
  output, _ = variables.create(nets.make, inputs)(functions.single(inputs))
  if tuple(output.shape) != (1, nets.num_actions) or not output.dtype.is_floating:
    raise ValueError(
      f"network: expected a head that gives one float array of Q-values [A], shape {(1, nets.num_actions)} for a batch "
      f"of 1, got {output.dtype.name}{list(output.shape)}. Change the head's last layer."
    )
