"""DQN's training step.

  y_t = R_t + γ D_t Q_θ⁻(o_t, argmax_a Q_θ(o_t, a)),    L(θ) = E_i[w_i · loss(y_t, Q_θ(o_tm1, a_tm1))]

where R_t and D_t are n-step sums (acme.types.Transition), and `losses` has the loss and target of each extension.

References: Mnih et al. 2015; van Hasselt et al. 2015 (1509.06461); Schaul et al. 2015 (1511.05952) §3.4.
Deviations: Adam in place of RMSProp.

Shapes: B batch, A actions, K atoms or quantiles.
"""

from collections.abc import Callable
from typing import NamedTuple

import sonnet as snt
import tensorflow as tf

from acme import replay, specs, types
from acme_dqn import config as dqn_config
from acme_dqn.tf import acting, losses, networks
from acme_tf import learning, spaces, variables
from acme_tf.program import Metrics, Program, Update

LossFn = Callable[[snt.Module, snt.Module, types.Transition], tuple[losses.Loss, tf.Tensor]]


class TrainingState(NamedTuple):
  """All that changes as the learner learns."""

  online: snt.Module
  target: snt.Module  # copied from online every config.target_update_period steps
  optimizer: snt.Optimizer
  learning_rate: tf.Variable  # [] of the next SGD step
  steps: tf.Variable  # [] int64, SGD steps taken


def make_state(nets: networks.Networks, config: dqn_config.DQNConfig, seed: int) -> TrainingState:
  """The first state: the target network is equal to the online network. The seed is consumed."""
  online = variables.create(nets.make, nets.observation, seed=seed)
  target = variables.make_target(nets.make, online, nets.observation)
  rate = learning.make_rate(config.learning_rate)
  optimizer = learning.adam(rate, online.trainable_variables, config.adam_epsilon)
  return TrainingState(online, target, optimizer, rate, tf.Variable(0, dtype=tf.int64, name="steps"))


def end_step(state: TrainingState, config: dqn_config.DQNConfig) -> None:
  """Counts an SGD step: the learning rate falls, and the online network is copied to the target, where they are to."""
  state.steps.assign_add(1)
  if config.learning_rate_steps is not None:
    learning.fall(state.learning_rate, config.learning_rate, state.steps, config.learning_rate_steps)
  variables.periodic_copy(state.steps, config.target_update_period, state.online.variables, state.target.variables)


def make_loss(nets: networks.Networks, config: dqn_config.DQNConfig) -> LossFn:
  """The function (online, target, transitions) -> (losses and priorities [B], Q-values [B, A])."""
  atoms, delta = tf.constant(networks.atoms(config)), config.huber_delta

  def loss(online: snt.Module, target: snt.Module, transitions: types.Transition) -> tuple[losses.Loss, tf.Tensor]:
    a_tm1 = tf.cast(transitions.action, tf.int32)  # [B]
    discount_t = config.discount * transitions.discount  # [B], with the γ that the transition leaves out
    out_tm1 = online(transitions.observation)  # [B, A] or [B, A, K]
    out_t = target(transitions.next_observation)
    chooser = online(transitions.next_observation) if config.double_q else out_t
    selector_t, happened = nets.values(chooser), (a_tm1, transitions.reward, discount_t)  # [B, A] chooses the action
    if config.categorical:
      result = losses.categorical_q_learning(atoms, out_tm1, *happened, out_t, selector_t)
    else:
      plain = losses.quantile_q_learning if config.quantile else losses.q_learning
      result = plain(out_tm1, *happened, out_t, selector_t, delta)
    return result, nets.values(out_tm1)

  return loss


def make_update(nets: networks.Networks, config: dqn_config.DQNConfig) -> Update[TrainingState]:
  """The function (state, sample) -> (priorities [B], metrics), which changes the state."""
  loss = make_loss(nets, config)

  def update(state: TrainingState, sample: replay.Sample) -> tuple[tf.Tensor, Metrics]:
    online = state.online
    exponent = config.importance_sampling_exponent if config.prioritized else 0.0
    weights = learning.importance_weights(sample.probabilities, exponent)  # [B], max 1
    with tf.GradientTape() as tape:
      result, q_tm1 = loss(online, state.target, sample.data)
      loss_value = tf.reduce_mean(weights * result.loss)
    gradients = tape.gradient(loss_value, online.trainable_variables)
    learning.apply_gradients(state.optimizer, gradients, online.trainable_variables, config.max_gradient_norm)
    end_step(state, config)
    q = tf.gather(q_tm1, tf.cast(sample.data.action, tf.int32), batch_dims=1)  # [B]
    metrics = {"loss": loss_value, "priority": tf.reduce_mean(result.priority), "q": tf.reduce_mean(q)}
    return result.priority, metrics

  return update


def make_program(
  spec: specs.EnvironmentSpec, config: dqn_config.DQNConfig, network: variables.Factory | None = None
) -> Program[TrainingState, snt.Module, tuple[()]]:
  """Makes DQN's program. Raises ValueError where the actions are not discrete, or the network does not fit."""
  space = spaces.make(spec, "DQN", "discrete")
  nets = networks.make_networks(spec, config, network)
  return Program(
    init=lambda seed: make_state(nets, config, seed),
    update=make_update(nets, config),
    params=lambda state: state.online,
    make_params=lambda: variables.create(nets.make, nets.observation),
    variables=lambda state: {"policy": state.online, "target_policy": state.target},
    behaviour=acting.make_policy(nets, config, evaluation=False),
    evaluation=acting.make_policy(nets, config, evaluation=True),
    space=space,
  )
