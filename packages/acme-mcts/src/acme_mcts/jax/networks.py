"""The networks of MCTS.

Shapes: B batch, A actions, D features.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp

from acme import specs, types
from acme_jax import heads, networks
from acme_mcts import config as mcts_config

Outputs = tuple[jax.Array, jax.Array]  # logits [B, A], values [B]


class Params(NamedTuple):
  """What a search reads."""

  prediction: hk.Params
  transition: hk.Params | None  # None where a simulator says what follows


class Step(NamedTuple):
  """What a model says of a step."""

  features: jax.Array  # [B, D] of o_t
  reward: jax.Array  # [B] r_t
  discount_logits: jax.Array  # [B] whose sigmoid is d_t


class Networks(NamedTuple):
  """Pure functions of parameters.

  Beside a simulator the features are an `ObservationTorso`'s, convolutions and all. Beside a learned model, which
  predicts features, they are the observation itself, flattened: fixed, so that there is something to learn.
  """

  init: Callable[[jax.Array], Params]  # the key is consumed
  encode: Callable[[hk.Params, types.NestedArray], jax.Array]  # observation [B, …] -> features [B, D]
  predict: Callable[[hk.Params, jax.Array], Outputs]  # features [B, D] -> logits [B, A], values [B]
  transition: Callable[[hk.Params | None, jax.Array, jax.Array], Step]  # features [B, D], actions [B] -> the step


def make_networks(spec: specs.EnvironmentSpec, config: mcts_config.MCTSConfig, learned_model: bool) -> Networks:
  """Makes the networks that a config asks for; without a learned model nobody calls `transition`."""
  prediction: Any = hk.without_apply_rng(hk.multi_transform(lambda: _prediction(spec, config, learned_model)))
  transition: Any = hk.without_apply_rng(hk.transform(lambda *inputs: _transition(spec, config, *inputs)))
  encode, predict = prediction.apply

  def init(key: jax.Array) -> Params:
    prediction_key, transition_key = jax.random.split(key)
    observation = networks.zeros(spec.observations)
    params = prediction.init(prediction_key, observation)
    if not learned_model:
      return Params(params, None)
    return Params(params, transition.init(transition_key, encode(params, observation), jnp.zeros(1, jnp.int32)))

  return Networks(init, encode, predict, transition.apply)


def _prediction(spec: specs.EnvironmentSpec, config: mcts_config.MCTSConfig, learned_model: bool) -> Any:
  """Prior and value of an observation, by way of features; and the two parts."""
  torso = None if learned_model else networks.ObservationTorso(spec.observations)
  trunk = hk.nets.MLP(config.hidden_sizes, activate_final=True, name="trunk")
  policy = heads.near_zero_linear(spec.actions.num_values, name="policy")
  value = heads.near_zero_linear(1, name="value")

  def encode(observation: types.NestedArray) -> jax.Array:
    return networks.flatten(spec.observations, observation) if torso is None else torso(observation)

  def predict(features: jax.Array) -> Outputs:
    x = trunk(features)
    return policy(x), jnp.squeeze(value(x), axis=-1)

  return lambda observation: predict(encode(observation)), (encode, predict)


def _transition(
  spec: specs.EnvironmentSpec, config: mcts_config.MCTSConfig, features: jax.Array, action: jax.Array
) -> Step:
  """Where an action leads: the change of features, the reward, and the discount as the sigmoid of one logit."""
  x = jnp.concatenate([features, jax.nn.one_hot(action, spec.actions.num_values, dtype=jnp.float32)], axis=-1)
  x = hk.nets.MLP(config.hidden_sizes, activate_final=True, name="trunk")(x)
  change = hk.Linear(features.shape[-1], name="change")(x)
  reward, discount = (jnp.squeeze(hk.Linear(1, name=name)(x), axis=-1) for name in ("reward", "discount"))
  return Step(features + change, reward, discount)
