"""D4PG's training step.

  critic:  E_i[w_i · CE(Φ(R_t + γ D_t Z_θ⁻(o_t, π_φ⁻(o_t))), Z_θ(o_tm1, a_tm1))]
  policy:  −∇_φ π_φ(o_tm1) ∇_a E[Z_θ(o_tm1, a)] at a = π_φ(o_tm1)

where R_t and D_t are n-step sums (acme.types.Transition).

References: Barth-Maron et al. 2018 (1804.08617), algorithm 1; Bellemare et al. 2017 (1707.06887).
Deviations: the target networks are copied, as published for the control suite, not moved slowly.

Shapes: B batch, D numbers in an action, K atoms.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import sonnet as snt
import tensorflow as tf

from acme import counting, loggers, replay, types
from acme_d4pg import config as d4pg_config
from acme_d4pg.tf import losses, networks
from acme_tf import learning
from acme_tf import variables as tf_variables


class TrainingState(NamedTuple):
  """All that changes as the learner learns."""

  policy: snt.Module
  critic: snt.Module
  target_policy: snt.Module  # both copied every config.target_update_period steps
  target_critic: snt.Module
  policy_optimizer: snt.Optimizer
  critic_optimizer: snt.Optimizer
  steps: tf.Variable  # [] int64, SGD steps taken


def make_state(nets: networks.Networks, config: d4pg_config.D4PGConfig, seed: int) -> TrainingState:
  """The first state: the target networks are equal to the online networks. The seed is consumed."""
  policy_seed, critic_seed = (int(s) for s in np.random.SeedSequence(seed).generate_state(2))
  critic_inputs = (nets.observation, np.zeros((1, nets.space.size), np.float32))
  policy = tf_variables.create(nets.make_policy, nets.observation, seed=policy_seed)
  critic = tf_variables.create(nets.make_critic, *critic_inputs, seed=critic_seed)
  return TrainingState(
    policy,
    critic,
    learning.make_target(nets.make_policy, policy, nets.observation),
    learning.make_target(nets.make_critic, critic, *critic_inputs),
    learning.adam(config.policy_learning_rate, policy.trainable_variables),
    learning.adam(config.critic_learning_rate, critic.trainable_variables),
    tf.Variable(0, dtype=tf.int64, name="steps"),
  )


def make_losses(
  state: TrainingState, nets: networks.Networks, config: d4pg_config.D4PGConfig
) -> tuple[Callable[[types.Transition], tf.Tensor], Callable[[types.NestedArray], tuple[tf.Tensor, tf.Tensor]]]:
  """The critic's loss, transitions -> [B], and the policy's, observation -> (loss [B], values [B])."""

  def critic_loss(transitions: types.Transition) -> tf.Tensor:
    a_t = state.target_policy(transitions.next_observation)  # [B, D]
    z_t = state.target_critic(transitions.next_observation, a_t)  # logits [B, K]
    a_tm1 = nets.space.flatten(transitions.action)  # [B, D]
    z_tm1 = state.critic(transitions.observation, a_tm1)  # logits [B, K]
    r_t = tf.cast(transitions.reward, tf.float32)  # [B]
    discount_t = config.discount * tf.cast(transitions.discount, tf.float32)  # [B], with the γ that D leaves out
    return losses.categorical_td_loss(z_tm1.values, z_tm1.logits, r_t, discount_t, z_t.logits)

  def policy_loss(observation: types.NestedArray) -> tuple[tf.Tensor, tf.Tensor]:
    action = state.policy(observation)  # [B, D]
    q = state.critic(observation, action).mean()  # [B]
    return losses.policy_gradient_loss(q, action, config.dqda_clipping), q

  return critic_loss, policy_loss


def make_update(state: TrainingState, nets: networks.Networks, config: d4pg_config.D4PGConfig) -> learning.Update:
  """The function sample -> (priorities [B], metrics), which changes the state; within a `tf.function` only."""
  critic_loss, policy_loss = make_losses(state, nets, config)
  policy_parameters, critic_parameters = state.policy.trainable_variables, state.critic.trainable_variables
  online = (*state.policy.variables, *state.critic.variables)
  target = (*state.target_policy.variables, *state.target_critic.variables)

  def update(sample: replay.Sample) -> tuple[tf.Tensor, learning.Metrics]:
    exponent = config.importance_sampling_exponent if config.prioritized else 0.0
    weights = learning.importance_weights(sample.probabilities, exponent)  # [B], max 1
    with tf.GradientTape() as tape:
      td_loss = critic_loss(sample.data)  # [B]
      critic_value = tf.reduce_mean(weights * td_loss)
    critic_gradients = tape.gradient(critic_value, critic_parameters)
    with tf.GradientTape() as tape:
      loss, q = policy_loss(sample.data.observation)  # [B], [B]
      policy_value = tf.reduce_mean(loss)
    policy_gradients = tape.gradient(policy_value, policy_parameters)
    learning.apply_gradients(state.policy_optimizer, policy_gradients, policy_parameters, config.max_gradient_norm)
    learning.apply_gradients(state.critic_optimizer, critic_gradients, critic_parameters, config.max_gradient_norm)
    state.steps.assign_add(1)
    tf_variables.periodic_copy(state.steps, config.target_update_period, online, target)
    return td_loss, {"loss": critic_value, "policy_loss": policy_value, "q": tf.reduce_mean(q)}

  return update


def make_learner(
  nets: networks.Networks,
  config: d4pg_config.D4PGConfig,
  dataset: Iterator[replay.Sample],
  *,
  seed: int,
  store: replay.Replay | None,
  table: str,
  logger: loggers.Logger | None,
  counter: counting.Counter | None,
) -> learning.TFLearner:
  """Makes the learner, whose variables are "policy", "critic" and the targets of both, "target_policy" and so on."""
  state = make_state(nets, config, seed)
  names = ("policy", "critic", "target_policy", "target_critic")
  return learning.TFLearner(
    state._asdict(),
    make_update(state, nets, config),
    dataset,
    variables={name: getattr(state, name).variables for name in names},
    num_sgd_steps=config.num_sgd_steps_per_step,
    store=store,
    table=table,
    logger=logger,
    counter=counter,
  )
