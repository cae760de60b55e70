"""IMPALA's training step.

  L(θ) = E_t[ −A_t log π_θ(a_t|o_t) + c_v (v_t − V_θ(o_t))² − c_e H(π_θ(·|o_t)) ]

the mean over all steps of a batch at which there was an action, with targets v and advantages A by V-trace
(acme_tf.returns).

Reference: Espeholt et al. 2018 (1802.01561).
Deviations: those of `acme_impala.jax.learning`.

Shapes: B batch, L steps.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import sonnet as snt
import tensorflow as tf

from acme import replay, specs, types
from acme_impala import config as impala_config
from acme_impala.tf import acting, losses, networks
from acme_tf import learning, variables
from acme_tf.program import Metrics, Program, Update


class TrainingState(NamedTuple):
  """All that changes as the learner learns."""

  network: snt.Module
  optimizer: snt.Optimizer
  learning_rate: tf.Variable  # [] of the next SGD step
  steps: tf.Variable  # [] int64, SGD steps taken


def make_state(nets: networks.Networks, config: impala_config.IMPALAConfig, seed: int) -> TrainingState:
  """The first state. The seed is consumed."""
  network = variables.create(nets.make, *nets.inputs(), seed=seed)
  learning_rate = learning.make_rate(config.learning_rate)
  make = learning.adam
  if config.optimizer == "rmsprop":
    make = partial(learning.rmsprop, decay=config.rmsprop_decay, epsilon=config.rmsprop_epsilon)
  optimizer = make(learning_rate, network.trainable_variables)
  return TrainingState(network, optimizer, learning_rate, tf.Variable(0, dtype=tf.int64, trainable=False, name="steps"))


def make_loss(
  nets: networks.Networks, config: impala_config.IMPALAConfig
) -> Callable[[snt.Module, types.Sequence], tuple[tf.Tensor, Metrics]]:
  """The function (network, sequences) -> (loss [], metrics)."""
  limit = config.max_abs_reward

  def loss(network: snt.Module, data: types.Sequence) -> tuple[tf.Tensor, Metrics]:
    policy, values, _ = network(data.observation, data.start_of_episode, data.core)  # [B, L]
    log_pi, log_mu = nets.kind.log_probs(policy, data)
    reward = config.reward_scale * (data.reward if limit is None else tf.clip_by_value(data.reward, -limit, limit))
    discount = config.discount * data.discount
    sums = losses.actor_critic(log_pi, policy.entropy(), values, reward, discount, log_mu, data.acted)
    steps = tf.maximum(tf.reduce_sum(data.acted[:, :-1]), 1)
    policy_loss, baseline_loss, entropy = (part / steps for part in sums)
    total = policy_loss + config.baseline_cost * baseline_loss - config.entropy_cost * entropy
    return total, {"policy_loss": policy_loss, "baseline_loss": baseline_loss, "entropy": entropy}

  return loss


def make_update(nets: networks.Networks, config: impala_config.IMPALAConfig) -> Update[TrainingState]:
  """The function (state, sample) -> (None, metrics), which changes the state; within a `tf.function` only."""
  loss = make_loss(nets, config)

  def update(state: TrainingState, sample: replay.Sample) -> tuple[None, Metrics]:
    parameters = state.network.trainable_variables
    with tf.GradientTape() as tape:
      value, metrics = loss(state.network, sample.data)
    gradients = tape.gradient(value, parameters)
    learning.apply_gradients(state.optimizer, gradients, parameters, config.max_gradient_norm)
    state.steps.assign_add(1)
    if config.learning_rate_steps is not None:
      learning.fall(state.learning_rate, config.learning_rate, state.steps, config.learning_rate_steps)
    return None, {"loss": value, **metrics}

  return update


def make_program(
  spec: specs.EnvironmentSpec, config: impala_config.IMPALAConfig, network: networks.Pair | None = None
) -> Program[TrainingState, snt.Module, types.NestedArray]:
  """Makes IMPALA's program. Raises ValueError where the actions are neither one discrete one nor bounded floats."""
  nets = networks.make_networks(spec, config, network)
  return Program(
    init=partial(make_state, nets, config),
    update=make_update(nets, config),
    params=lambda state: state.network,
    make_params=lambda: variables.create(nets.make, *nets.inputs()),
    variables=lambda state: {"policy": state.network},
    behaviour=acting.make_policy(nets, evaluation=False),
    evaluation=acting.make_policy(nets, evaluation=True),
    space=nets.kind.space,
  )
