"""The search's functions in TensorFlow, and the actor that has them.

Shapes: B evaluation batch, A actions, D features.
"""

from typing import Any

import tensorflow as tf

from acme import core, replay, specs
from acme_mcts import acting, models, search
from acme_mcts import config as mcts_config
from acme_mcts.tf import networks
from acme_tf import functions, variables


def make_actor(
  spec: specs.EnvironmentSpec,
  make: networks.Networks,
  config: mcts_config.MCTSConfig,
  source: core.VariableSource,
  simulator: models.Simulator | None,
  *,
  seed: int,
  adder: replay.Adder | None,
  num_envs: int | None,
  evaluation: bool,
) -> acting.MCTSActor:
  """Makes an actor with networks of its own; `seed` is of its searches."""
  prediction = networks.create_prediction(make, spec)
  clients = [variables.VariableClient(source, "prediction", prediction.variables)]
  model: search.Model
  if simulator is not None:
    model = models.SimulatorModel(
      simulator, functions.Compiled(prediction), spec.actions, config.discount, config.evaluation_batch
    )
  else:
    transition = networks.create_transition(make, spec, prediction)
    assert transition is not None
    clients.append(variables.VariableClient(source, "transition", transition.variables))
    model = _learned_model(prediction, transition, config.evaluation_batch)
  return acting.MCTSActor(
    model, clients, spec.actions, config, seed=seed, adder=adder, num_envs=num_envs, evaluation=evaluation
  )


def _learned_model(
  prediction: networks.PredictionNetwork, transition: networks.TransitionNetwork, batch_size: int
) -> models.LearnedModel:
  def root(observation: Any) -> tuple[tf.Tensor, ...]:
    features = prediction.encode(observation)  # [1, D]
    return features, *prediction.predict(features)

  def expand(features: tf.Tensor, actions: tf.Tensor) -> tuple[tf.Tensor, ...]:
    step = transition(features, actions)
    return step.features, step.reward, tf.sigmoid(step.discount_logits), *prediction.predict(step.features)

  return models.LearnedModel(functions.Compiled(root), functions.Compiled(expand), batch_size)
