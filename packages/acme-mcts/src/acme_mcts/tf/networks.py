"""The networks of MCTS.

Shapes: B batch, A actions, D features.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import sonnet as snt
import tensorflow as tf

from acme import specs, types
from acme_mcts import config as mcts_config
from acme_tf import networks, variables


class PredictionNetwork(snt.Module):
  """Prior and value of an observation, by way of features.

  Beside a simulator the features are an `ObservationTorso`'s, convolutions and all. Beside a learned model, which
  predicts features, they are the observation itself, flattened: fixed, so that there is something to learn.
  """

  def __init__(
    self, spec: specs.EnvironmentSpec, hidden_sizes: Sequence[int], learned_model: bool, name: str | None = None
  ) -> None:
    super().__init__(name)
    self._spec = spec.observations
    self._torso = None if learned_model else networks.ObservationTorso(spec.observations)
    self._trunk = networks.MLP(hidden_sizes, name="trunk")
    self._policy = networks.near_zero_linear(spec.actions.num_values, name="policy")
    self._value = networks.near_zero_linear(1, name="value")

  def encode(self, observation: types.NestedArray) -> tf.Tensor:
    """Features [B, D] of observations [B, …]."""
    return networks.flatten(self._spec, observation) if self._torso is None else self._torso(observation)

  def predict(self, features: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Logits [B, A] and values [B] of features [B, D]."""
    x = self._trunk(features)
    return self._policy(x), tf.squeeze(self._value(x), axis=-1)

  def __call__(self, observation: types.NestedArray) -> tuple[tf.Tensor, tf.Tensor]:
    return self.predict(self.encode(observation))


class Step(NamedTuple):
  """What a model says of a step."""

  features: tf.Tensor  # [B, D] of o_t
  reward: tf.Tensor  # [B] r_t
  discount_logits: tf.Tensor  # [B] whose sigmoid is d_t


class TransitionNetwork(snt.Module):
  """Where an action leads: the change of features, the reward, and the discount as the sigmoid of one logit."""

  def __init__(self, num_actions: int, hidden_sizes: Sequence[int], name: str | None = None) -> None:
    super().__init__(name)
    self._num_actions = num_actions
    self._trunk = networks.MLP(hidden_sizes, name="trunk")
    self._reward = snt.Linear(1, name="reward")
    self._discount = snt.Linear(1, name="discount")

  @snt.once
  def _make_change(self, size: int) -> None:
    self._change = snt.Linear(size, name="change")

  def __call__(self, features: tf.Tensor, action: tf.Tensor) -> Step:
    self._make_change(features.shape[-1])
    x = self._trunk(tf.concat([features, tf.one_hot(action, self._num_actions)], axis=-1))
    return Step(
      features + self._change(x), tf.squeeze(self._reward(x), axis=-1), tf.squeeze(self._discount(x), axis=-1)
    )


class Networks(NamedTuple):
  """What a search asks."""

  prediction: PredictionNetwork
  transition: TransitionNetwork | None  # None where a simulator says what follows


def make_networks(
  spec: specs.EnvironmentSpec, config: mcts_config.MCTSConfig, learned_model: bool, seed: int = 0
) -> Networks:
  """Makes the networks that a config asks for, and their variables. The seed is consumed."""
  prediction = make_prediction(spec, config, learned_model, seed)
  if not learned_model:
    return Networks(prediction, None)
  features = prediction.encode(networks.zeros(spec.observations))
  make = functools.partial(TransitionNetwork, spec.actions.num_values, config.hidden_sizes)
  return Networks(prediction, variables.create(make, features, np.zeros(1, np.int32), seed=seed + 1))


def make_prediction(
  spec: specs.EnvironmentSpec, config: mcts_config.MCTSConfig, learned_model: bool, seed: int = 0
) -> PredictionNetwork:
  """Makes the prediction network and its variables."""
  make = functools.partial(PredictionNetwork, spec, config.hidden_sizes, learned_model)
  return variables.create(make, networks.zeros(spec.observations), seed=seed)
