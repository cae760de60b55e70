"""DDPG's training step.

  critic:  E_i[w_i · ½ Σ_k (R_t + γ D_t min_j Q_j,θ⁻(o_t, π_φ⁻(o_t)) − Q_k,θ(o_tm1, a_tm1))²]
  policy:  −∇_φ π_φ(o_tm1) ∇_a Q_1,θ(o_tm1, a) at a = π_φ(o_tm1)

where R_t and D_t are n-step sums (acme.types.Transition), and there is one critic, or two with TD3's `twin_critic`.

References: Lillicrap et al. 2015 (1509.02971), algorithm 1; Fujimoto et al. 2018 (1802.09477), algorithm 1.
Deviations: targets may be of n steps, and by default dq/da is clipped. The policy follows the critic as it is before
this step.

Shapes: B batch, D numbers in an action, K critics.
"""

import functools
from typing import NamedTuple

import numpy as np
import sonnet as snt
import tensorflow as tf

from acme import replay, specs, types
from acme_ddpg import config as ddpg_config
from acme_ddpg.tf import acting, losses, networks
from acme_tf import control, learning, variables
from acme_tf.losses import deterministic_policy_gradient_loss as dpg_loss
from acme_tf.program import Metrics, Program, Update


class TrainingState(NamedTuple):
  """All that changes as the learner learns, and a seed."""

  policy: snt.Module
  critic: snt.Module
  target_policy: snt.Module  # both moved every config.target_update_period steps
  target_critic: snt.Module
  policy_optimizer: snt.Optimizer
  critic_optimizer: snt.Optimizer
  steps: tf.Variable  # [] int64, SGD steps taken
  seed: tf.Variable  # [] int64, constant; goes with the steps


def make_state(nets: control.Networks, config: ddpg_config.DDPGConfig, seed: int) -> TrainingState:
  """The first state: the target networks are equal to the online networks. The seed is consumed."""
  policy_seed, critic_seed, own = (int(s) for s in np.random.SeedSequence(seed).generate_state(3))
  modules = control.make_modules(nets, policy_seed, critic_seed)
  optimizers = (
    learning.adam(config.policy_learning_rate, modules.policy.trainable_variables),
    learning.adam(config.critic_learning_rate, modules.critic.trainable_variables),
  )
  steps, constant = (tf.Variable(x, dtype=tf.int64, name=name) for x, name in ((0, "steps"), (own, "seed")))
  return TrainingState(*modules, *optimizers, steps, constant)


def draw(state: TrainingState, shape: tuple[int, ...]) -> tf.Tensor:
  """What an update draws: ε ~ N(0, I)."""
  return tf.random.stateless_normal(shape, tf.stack([state.seed, state.steps]))


def td_errors(
  nets: control.Networks,
  config: ddpg_config.DDPGConfig,
  state: TrainingState,
  transitions: types.Transition,
  noise: tf.Tensor | None,
) -> tuple[tf.Tensor, tf.Tensor]:
  """The critics' δ [B, K], and what they say of the stored actions, q [B, K]; noise [B, D]."""
  a_t = state.target_policy(transitions.next_observation)  # [B, D]
  if noise is not None:
    a_t = losses.smoothed(a_t, config.target_noise * noise, config.target_noise_clip)
  q_t = state.target_critic(transitions.next_observation, a_t)  # [B, K]
  q_tm1 = state.critic(transitions.observation, nets.space.from_environment(transitions.action))  # [B, K]
  discount_t = config.discount * transitions.discount  # [B], with the γ that the transition leaves out
  return losses.td_errors(q_tm1, transitions.reward, discount_t, q_t), q_tm1


def policy_loss(config: ddpg_config.DDPGConfig, state: TrainingState, observation: types.NestedArray) -> tf.Tensor:
  """The policy's loss, [B]."""
  action = state.policy(observation)  # [B, D]
  with tf.GradientTape() as tape:
    tape.watch(action)
    q = state.critic(observation, action)[:, 0]  # [B]
  return dpg_loss(action, tape.gradient(q, action), config.dqda_clipping)


def make_update(nets: control.Networks, config: ddpg_config.DDPGConfig) -> Update[TrainingState]:
  """The function (state, sample) -> (priorities [B], metrics), which changes the state; within a `tf.function` only."""

  def update_policy(state: TrainingState, observation: types.NestedArray) -> tf.Tensor:
    parameters = state.policy.trainable_variables
    with tf.GradientTape() as tape:
      loss = tf.reduce_mean(policy_loss(config, state, observation))
    gradients = tape.gradient(loss, parameters)
    learning.apply_gradients(state.policy_optimizer, gradients, parameters, config.max_gradient_norm)
    return tf.constant(True)

  def update(state: TrainingState, sample: replay.Sample) -> tuple[tf.Tensor, Metrics]:
    exponent = config.importance_sampling_exponent if config.prioritized else 0.0
    weights = learning.importance_weights(sample.probabilities, exponent)  # [B], max 1
    noise = draw(state, (weights.shape[0], nets.space.size)) if config.target_noise else None  # [B, D]
    parameters = state.critic.trainable_variables
    with tf.GradientTape() as tape:
      errors, q = td_errors(nets, config, state, sample.data, noise)  # [B, K], [B, K]
      loss = tf.reduce_mean(weights * 0.5 * tf.reduce_sum(errors**2, axis=-1))
    gradients = tape.gradient(loss, parameters)
    state.steps.assign_add(1)
    due = tf.equal(state.steps % config.policy_period, 0)
    tf.cond(due, lambda: update_policy(state, sample.data.observation), lambda: tf.constant(False))
    learning.apply_gradients(state.critic_optimizer, gradients, parameters, config.max_gradient_norm)
    online, target = (
      variables.of((state.policy, state.critic)),
      variables.of((state.target_policy, state.target_critic)),
    )
    variables.periodic_copy(state.steps, config.target_update_period, online, target, config.target_update_rate)
    priorities = tf.reduce_max(tf.abs(errors), axis=-1)  # [B], of the critic that is further off
    return priorities, {"loss": loss, "q": tf.reduce_mean(q[:, 0])}

  return update


def make_program(
  spec: specs.EnvironmentSpec, config: ddpg_config.DDPGConfig, network: control.Factories | None = None
) -> Program[TrainingState, snt.Module, tuple[()]]:
  """Makes DDPG's program. Raises ValueError where the actions are not continuous and bounded."""
  nets = networks.make_networks(spec, config, network)
  make_policy = functools.partial(acting.make_policy, nets, config)
  return control.make_program(nets, lambda seed: make_state(nets, config, seed), make_update(nets, config), make_policy)
