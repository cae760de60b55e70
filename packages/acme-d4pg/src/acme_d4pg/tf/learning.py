"""D4PG's training step.

  critic:  E_i[w_i · CE(Φ(R_t + γ D_t Z_θ⁻(o_t, π_φ⁻(o_t))), Z_θ(o_tm1, a_tm1))]
  policy:  −∇_φ π_φ(o_tm1) ∇_a E[Z_θ(o_tm1, a)] at a = π_φ(o_tm1)

where R_t and D_t are n-step sums (acme.types.Transition).

References: Barth-Maron et al. 2018 (1804.08617), algorithm 1; Bellemare et al. 2017 (1707.06887).
Deviations: by default dq/da is clipped; replay is uniform unless `prioritized`.

Shapes: B batch, D numbers in an action, K atoms.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import sonnet as snt
import tensorflow as tf

from acme import replay, specs, types
from acme_d4pg import config as d4pg_config
from acme_d4pg.tf import acting, losses, networks
from acme_tf import control, learning, variables
from acme_tf.losses import deterministic_policy_gradient_loss
from acme_tf.program import Metrics, Program, Update


class TrainingState(NamedTuple):
  """All that changes as the learner learns."""

  policy: snt.Module
  critic: snt.Module
  target_policy: snt.Module  # both copied every config.target_update_period steps
  target_critic: snt.Module
  policy_optimizer: snt.Optimizer
  critic_optimizer: snt.Optimizer
  steps: tf.Variable  # [] int64, SGD steps taken


def make_state(nets: control.Networks, config: d4pg_config.D4PGConfig, seed: int) -> TrainingState:
  """The first state: the target networks are equal to the online networks. The seed is consumed."""
  seeds = (int(s) for s in np.random.SeedSequence(seed).generate_state(2))
  modules = control.make_modules(nets, *seeds)
  return TrainingState(
    *modules,
    learning.adam(config.policy_learning_rate, modules.policy.trainable_variables),
    learning.adam(config.critic_learning_rate, modules.critic.trainable_variables),
    tf.Variable(0, dtype=tf.int64, name="steps"),
  )


def make_losses(
  nets: control.Networks, config: d4pg_config.D4PGConfig, support: np.ndarray
) -> tuple[Callable[..., tf.Tensor], Callable[..., tuple[tf.Tensor, tf.Tensor]]]:
  """The critic's, (state, transitions) -> [B], and the policy's, (state, observation) -> (loss [B], values [B])."""
  atoms = tf.constant(support)  # [K]

  def critic_loss(state: TrainingState, transitions: types.Transition) -> tf.Tensor:
    a_t = state.target_policy(transitions.next_observation)  # [B, D]
    logits_t = state.target_critic(transitions.next_observation, a_t)  # [B, K]
    a_tm1 = nets.space.from_environment(transitions.action)  # [B, D]
    logits_tm1 = state.critic(transitions.observation, a_tm1)  # [B, K]
    discount_t = config.discount * transitions.discount  # [B], with the γ that the transition leaves out
    return losses.categorical_td_loss(atoms, logits_tm1, transitions.reward, discount_t, logits_t)

  def policy_loss(state: TrainingState, observation: types.NestedArray) -> tuple[tf.Tensor, tf.Tensor]:
    action = state.policy(observation)  # [B, D]
    with tf.GradientTape() as tape:
      tape.watch(action)
      q = tf.reduce_sum(tf.nn.softmax(state.critic(observation, action)) * atoms, axis=-1)  # [B]
    dq_da = tape.gradient(q, action)  # [B, D]
    return deterministic_policy_gradient_loss(action, dq_da, config.dqda_clipping), q

  return critic_loss, policy_loss


def make_update(nets: control.Networks, config: d4pg_config.D4PGConfig, support: np.ndarray) -> Update[TrainingState]:
  """The function (state, sample) -> (priorities [B], metrics), which changes the state; within a `tf.function` only.

  `support` [K] as `networks.atoms`.
  """
  critic_loss, policy_loss = make_losses(nets, config, support)

  def update(state: TrainingState, sample: replay.Sample) -> tuple[tf.Tensor, Metrics]:
    policy, critic = state.policy.trainable_variables, state.critic.trainable_variables
    exponent = config.importance_sampling_exponent if config.prioritized else 0.0
    weights = learning.importance_weights(sample.probabilities, exponent)  # [B], max 1
    with tf.GradientTape() as tape:
      td_loss = critic_loss(state, sample.data)  # [B]
      critic_value = tf.reduce_mean(weights * td_loss)
    critic_gradients = tape.gradient(critic_value, critic)
    with tf.GradientTape() as tape:
      loss, q = policy_loss(state, sample.data.observation)  # [B], [B]
      policy_value = tf.reduce_mean(loss)
    policy_gradients = tape.gradient(policy_value, policy)
    learning.apply_gradients(state.policy_optimizer, policy_gradients, policy, config.max_gradient_norm)
    learning.apply_gradients(state.critic_optimizer, critic_gradients, critic, config.max_gradient_norm)
    state.steps.assign_add(1)
    online, target = (state.policy, state.critic), (state.target_policy, state.target_critic)
    variables.periodic_copy(state.steps, config.target_update_period, variables.of(online), variables.of(target))
    return td_loss, {"loss": critic_value, "policy_loss": policy_value, "q": tf.reduce_mean(q)}

  return update


def make_program(
  spec: specs.EnvironmentSpec, config: d4pg_config.D4PGConfig, network: control.Factories | None = None
) -> Program[TrainingState, snt.Module, tuple[()]]:
  """Makes D4PG's program. Raises ValueError where the actions are not continuous and bounded."""
  nets = networks.make_networks(spec, config, network)
  update = make_update(nets, config, networks.atoms(config, spec))
  make_policy = functools.partial(acting.make_policy, nets, config)
  return control.make_program(nets, lambda seed: make_state(nets, config, seed), update, make_policy)
