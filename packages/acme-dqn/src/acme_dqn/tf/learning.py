"""DQN's training step.

  y_t = R_t + γ D_t Q_θ⁻(o_t, argmax_a Q_θ(o_t, a)),    L(θ) = E_i[w_i · loss(y_t, Q_θ(o_tm1, a_tm1))]

where R_t and D_t are n-step sums (acme.types.Transition), and `losses` has the loss and target of each extension.

References: Mnih et al. 2015; van Hasselt et al. 2015 (1509.06461); Schaul et al. 2015 (1511.05952) §3.4.
Deviations: Adam in place of RMSProp.

Shapes: B batch, A actions, K atoms or quantiles.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import sonnet as snt
import tensorflow as tf

from acme import counting, loggers, replay, types
from acme_dqn import config as dqn_config
from acme_dqn.tf import losses, networks
from acme_tf import learning
from acme_tf import variables as tf_variables

LossFn = Callable[[types.Transition], tuple[losses.Loss, tf.Tensor]]


class TrainingState(NamedTuple):
  """All that changes as the learner learns."""

  online: snt.Module
  target: snt.Module  # copied from online every config.target_update_period steps
  optimizer: snt.Optimizer
  steps: tf.Variable  # [] int64, SGD steps taken


def make_state(nets: networks.Networks, config: dqn_config.DQNConfig, seed: int) -> TrainingState:
  """The first state: the target network is equal to the online network. The seed is consumed."""
  online = tf_variables.create(nets.make, nets.observation, seed=seed)
  target = learning.make_target(nets.make, online, nets.observation)
  optimizer = learning.adam(config.learning_rate, online.trainable_variables, config.adam_epsilon)
  return TrainingState(online, target, optimizer, tf.Variable(0, dtype=tf.int64, name="steps"))


def make_loss(state: TrainingState, nets: networks.Networks, config: dqn_config.DQNConfig) -> LossFn:
  """The function transitions -> (losses and priorities [B], values of actions [B])."""
  loss_of_outputs = _loss_of_outputs(config)

  def loss(transitions: types.Transition) -> tuple[losses.Loss, tf.Tensor]:
    a_tm1 = tf.cast(transitions.action, tf.int32)  # [B]
    r_t = tf.cast(transitions.reward, tf.float32)  # [B]
    discount_t = config.discount * tf.cast(transitions.discount, tf.float32)  # [B], with the γ that D leaves out
    out_tm1 = state.online(transitions.observation)  # [B, A] or [B, A, K]
    out_t = state.target(transitions.next_observation)
    chooser = state.online(transitions.next_observation) if config.double_q else out_t
    result = loss_of_outputs(out_tm1, a_tm1, r_t, discount_t, out_t, nets.values(chooser))
    return result, tf.gather(nets.values(out_tm1), a_tm1, batch_dims=1)

  return loss


def _loss_of_outputs(config: dqn_config.DQNConfig) -> Callable[..., losses.Loss]:
  """The (out_tm1, a_tm1, r_t, discount_t, target out_t, selector [B, A]) -> Loss that the switches ask for."""
  if config.categorical:
    atoms = tf.constant(networks.atoms(config))
    return lambda *outputs: losses.categorical_q_learning(atoms, *outputs)
  plain: Callable[..., losses.Loss] = losses.quantile_q_learning if config.quantile else losses.q_learning
  return lambda *outputs: plain(*outputs, config.huber_delta)


def make_update(state: TrainingState, nets: networks.Networks, config: dqn_config.DQNConfig) -> learning.Update:
  """The function sample -> (priorities [B], metrics), which changes the state."""
  loss = make_loss(state, nets, config)
  online, target, optimizer, steps = state

  def update(sample: replay.Sample) -> tuple[tf.Tensor, learning.Metrics]:
    exponent = config.importance_sampling_exponent if config.prioritized else 0.0
    weights = learning.importance_weights(sample.probabilities, exponent)  # [B], max 1
    with tf.GradientTape() as tape:
      result, q_tm1 = loss(sample.data)
      loss_value = tf.reduce_mean(weights * result.loss)
    gradients = tape.gradient(loss_value, online.trainable_variables)
    learning.apply_gradients(optimizer, gradients, online.trainable_variables, config.max_gradient_norm)
    steps.assign_add(1)
    tf_variables.periodic_copy(steps, config.target_update_period, online.variables, target.variables)
    metrics = {"loss": loss_value, "priority": tf.reduce_mean(result.priority), "q": tf.reduce_mean(q_tm1)}
    return result.priority, metrics

  return update


def make_learner(
  nets: networks.Networks,
  config: dqn_config.DQNConfig,
  dataset: Iterator[replay.Sample],
  *,
  seed: int,
  store: replay.Replay | None,
  table: str,
  logger: loggers.Logger | None,
  counter: counting.Counter | None,
) -> learning.TFLearner:
  """Makes the learner, whose variables are "policy", the online network, and "target_policy"."""
  state = make_state(nets, config, seed)
  return learning.TFLearner(
    state._asdict(),
    make_update(state, nets, config),
    dataset,
    variables={"policy": state.online.variables, "target_policy": state.target.variables},
    num_sgd_steps=config.num_sgd_steps_per_step,
    store=store,
    table=table,
    logger=logger,
    counter=counter,
  )
