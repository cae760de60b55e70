"""What the search plans with, in TensorFlow.

Shapes: B evaluation batch, A actions, D features.
"""

from typing import Any

import tensorflow as tf

from acme import specs
from acme_mcts import config as mcts_config
from acme_mcts import models, search
from acme_mcts.tf import networks
from acme_tf import functions


def make_model(
  nets: networks.Networks,
  spec: specs.EnvironmentSpec,
  config: mcts_config.MCTSConfig,
  simulator: models.Simulator | None,
) -> search.Model:
  """Makes the model: the simulator where there is one, else what the networks learn."""
  prediction, transition = nets
  if simulator is not None:
    evaluate = functions.Compiled(prediction)
    return models.SimulatorModel(simulator, evaluate, spec.actions, config.discount, config.evaluation_batch)
  assert transition is not None

  def root(observation: Any) -> tuple[tf.Tensor, ...]:
    features = prediction.encode(observation)  # [1, D]
    return features, *prediction.predict(features)

  def expand(features: tf.Tensor, actions: tf.Tensor) -> tuple[tf.Tensor, ...]:
    step = transition(features, actions)
    return step.features, step.reward, tf.sigmoid(step.discount_logits), *prediction.predict(step.features)

  return models.LearnedModel(functions.Compiled(root), functions.Compiled(expand), config.evaluation_batch)
