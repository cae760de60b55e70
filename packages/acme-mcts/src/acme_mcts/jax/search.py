"""What the search plans with, in JAX: one compiled call for each batch of leaves, always of the same shapes.

Shapes: B evaluation batch, A actions, D features.
"""

from typing import Any

import jax

from acme import specs, types
from acme_jax import variables
from acme_mcts import config as mcts_config
from acme_mcts import models, search
from acme_mcts.jax import networks


def make_model(
  nets: networks.Networks,
  client: variables.VariableClient,
  spec: specs.EnvironmentSpec,
  config: mcts_config.MCTSConfig,
  simulator: models.Simulator | None,
) -> search.Model:
  """Makes the model: the simulator where there is one, else what the networks learn; `client` has the parameters."""

  def root(params: networks.Params, observation: types.NestedArray) -> tuple[jax.Array, ...]:
    features = nets.encode(params.prediction, observation)  # [B, D]
    return features, *nets.predict(params.prediction, features)

  def evaluate(params: networks.Params, observation: types.NestedArray) -> tuple[jax.Array, ...]:
    return root(params, observation)[1:]

  def expand(params: networks.Params, features: jax.Array, actions: jax.Array) -> tuple[jax.Array, ...]:
    step = nets.transition(params.transition, features, actions)
    logits, values = nets.predict(params.prediction, step.features)
    return step.features, step.reward, jax.nn.sigmoid(step.discount_logits), logits, values

  def with_params(function: Any) -> Any:
    compiled = jax.jit(function)
    return lambda *inputs: compiled(client.params, *inputs)

  if simulator is not None:
    return models.SimulatorModel(
      simulator, with_params(evaluate), spec.actions, config.discount, config.evaluation_batch
    )
  return models.LearnedModel(with_params(root), with_params(expand), config.evaluation_batch)
