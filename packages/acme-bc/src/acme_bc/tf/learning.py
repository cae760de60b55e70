"""Behavioural cloning's training step.

  L(θ) = E_i[w(a_i) · loss(π_θ(·|o_i), a_i)]

the mean over all steps of a batch at which something was done; see `acme_bc.jax.learning`.

Reference: Pomerleau 1991.

Shapes: B batch, L steps, A actions.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import sonnet as snt
import tensorflow as tf

from acme import replay, specs, types
from acme_bc import config as bc_config
from acme_bc.tf import acting, losses, networks
from acme_tf import learning, spaces, variables
from acme_tf.program import Evaluate, Metrics, Program, Update

LossFn = Callable[[networks.Network, Any], tuple[tf.Tensor, Metrics, tf.Tensor]]


class TrainingState(NamedTuple):
  """All that changes as the learner learns."""

  network: networks.Network
  optimizer: snt.Optimizer


def make_state(nets: networks.Networks, config: bc_config.BCConfig, seed: int) -> TrainingState:
  """The first state. The seed is consumed."""
  network = variables.create(nets.make, nets.observation, seed=seed)
  return TrainingState(network, learning.adam(config.learning_rate, network.trainable_variables))


def make_loss(nets: networks.Networks, class_weights: np.ndarray | None = None) -> LossFn:
  """The function (network, transitions or sequences) -> (loss [], metrics, steps that they are means over)."""
  kind = nets.kind

  def loss(network: networks.Network, data: Any) -> tuple[tf.Tensor, Metrics, tf.Tensor]:
    action = data.action
    if isinstance(data, types.Sequence):
      policy = network.unroll(data.observation, data.start_of_episode)  # over [B · L]
      action, acted = tf.nest.map_structure(lambda x: tf.reshape(x, (-1, *x.shape[2:])), (action, data.acted))
    else:
      policy, _ = network.step(data.observation, ())  # over [B]
      acted = tf.ones(tf.nest.flatten(policy)[0].shape[0])
    if isinstance(kind.space, spaces.Continuous):
      action = kind.space.from_environment(action)  # [B, D] in [−1, 1]
      measured = losses.squared_error(policy.mode(), action)
    else:
      action = tf.cast(action, tf.int32)
      measured = tf.cast(policy.mode() == action, tf.float32)
    each = kind.loss(policy, action)  # [B]
    if class_weights is not None:
      each *= tf.gather(tf.constant(class_weights), action)
    steps = tf.reduce_sum(acted)
    value, measure = (tf.reduce_sum(tf.where(acted > 0, x, 0.0)) / tf.maximum(steps, 1) for x in (each, measured))
    return value, {"loss": value, kind.measure: measure}, steps

  return loss


def make_update(
  nets: networks.Networks, config: bc_config.BCConfig, class_weights: np.ndarray | None = None
) -> Update[TrainingState]:
  """The function (state, sample) -> (None, metrics), which changes the state; within a `tf.function` only."""
  loss = make_loss(nets, class_weights)

  def update(state: TrainingState, sample: replay.Sample) -> tuple[None, Metrics]:
    weights = state.network.trainable_variables
    with tf.GradientTape() as tape:
      value, metrics, _ = loss(state.network, sample.data)
    learning.apply_gradients(state.optimizer, tape.gradient(value, weights), weights, config.max_gradient_norm)
    return None, metrics

  return update


def make_evaluate(nets: networks.Networks, class_weights: np.ndarray | None = None) -> Evaluate[TrainingState]:
  """The function (state, sample) -> (metrics, steps that they are means over): the same loss, not learned from."""
  loss = make_loss(nets, class_weights)
  return lambda state, sample: loss(state.network, sample.data)[1:]


def make_program(
  spec: specs.EnvironmentSpec,
  config: bc_config.BCConfig,
  network: networks.MakeNetwork | None = None,
  class_weights: np.ndarray | None = None,
) -> Program[TrainingState, networks.Network, Any]:
  """Makes the program; arguments and errors as in `acme_bc.jax.learning`."""
  nets = networks.make_networks(spec, config, network)
  policy = acting.make_policy()
  return Program(
    init=functools.partial(make_state, nets, config),
    update=make_update(nets, config, class_weights),
    params=lambda state: state.network,
    make_params=lambda: variables.create(nets.make, nets.observation),
    variables=lambda state: {"policy": state.network},
    behaviour=policy,
    evaluation=policy,
    space=nets.kind.space,
    evaluate=make_evaluate(nets, class_weights),
    patience=config.patience,
  )
