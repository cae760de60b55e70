"""DQfD's training step: DQN's loss over one step and over n, a margin for demonstrations, and small weights.

  L(θ) = E_i[w_i (J_1 + λ_n J_n + λ_E 1[i is a demonstration] J_E)] + λ_2 Σ θ²

where J_1 and J_n are DQN's loss, the Huber loss of double Q-learning by default, on the first step of a transition and
on all n, and J_E is `losses.large_margin`. The priority of a transition is that of its first step, |δ_1|; the replay
adds ε_d or ε_a to it.

Reference: Hester et al. 2017 (1704.03732), equation 2; for the deviations see `acme_dqfd.jax.learning`.

Shapes: B batch, A actions.
"""

from collections.abc import Callable
from typing import NamedTuple

import sonnet as snt
import tensorflow as tf

from acme import replay, specs
from acme_dqfd import config as dqfd_config
from acme_dqfd.tf import losses
from acme_dqn.tf import acting, networks
from acme_dqn.tf import learning as dqn
from acme_tf import learning, spaces, variables
from acme_tf.program import Metrics, Program, Update


class Terms(NamedTuple):
  """What the loss is made of."""

  one_step: tf.Tensor  # [B]
  n_step: tf.Tensor  # [B]
  margin: tf.Tensor  # [B], 0 where the transition is no demonstration
  l2: tf.Tensor  # []


LossFn = Callable[[snt.Module, snt.Module, replay.Sample], tuple[Terms, tf.Tensor, tf.Tensor]]


def make_loss(nets: networks.Networks, config: dqfd_config.DQfDConfig) -> LossFn:
  """The function (online, target, sample) -> (terms, priorities [B], Q-values [B, A])."""
  q_learning = dqn.make_loss(nets, config)

  def loss(online: snt.Module, target: snt.Module, sample: replay.Sample) -> tuple[Terms, tf.Tensor, tf.Tensor]:
    data = sample.data
    one_step, q_tm1 = q_learning(online, target, data._replace(**data.one_step._asdict()))
    n_step, _ = q_learning(online, target, data)
    margin = losses.large_margin(q_tm1, tf.cast(data.action, tf.int32), config.margin)  # [B]
    margin = tf.where(sample.table == dqfd_config.DEMONSTRATIONS, margin, 0)
    return Terms(one_step.loss, n_step.loss, margin, losses.l2(online.trainable_variables)), one_step.priority, q_tm1

  return loss


def make_update(nets: networks.Networks, config: dqfd_config.DQfDConfig) -> Update[dqn.TrainingState]:
  """The function (state, sample) -> (priorities [B], metrics), which changes the state."""
  loss = make_loss(nets, config)
  exponent = config.importance_sampling_exponent if config.prioritized else 0.0

  def update(state: dqn.TrainingState, sample: replay.Sample) -> tuple[tf.Tensor, Metrics]:
    weights = learning.importance_weights(sample.probabilities, exponent)  # [B], max 1
    with tf.GradientTape() as tape:
      terms, priorities, q_tm1 = loss(state.online, state.target, sample)
      one_step, n_step, margin = (tf.reduce_mean(weights * term) for term in terms[:3])
      l2 = config.l2_cost * terms.l2
      value = one_step + config.n_step_cost * n_step + config.margin_cost * margin + l2
    trained = state.online.trainable_variables
    learning.apply_gradients(state.optimizer, tape.gradient(value, trained), trained, config.max_gradient_norm)
    dqn.end_step(state, config)
    metrics = {"loss": value, "one_step_loss": one_step, "n_step_loss": n_step, "margin_loss": margin, "l2_loss": l2}
    return priorities, metrics | _watch(terms, priorities, q_tm1, sample)

  return update


def _watch(terms: Terms, priorities: tf.Tensor, q_tm1: tf.Tensor, sample: replay.Sample) -> Metrics:
  """What is logged beside the losses; the last two are shares of the batch's demonstrations, 0 where it has none."""
  action = tf.cast(sample.data.action, tf.int64)
  shown = tf.cast(sample.table == dqfd_config.DEMONSTRATIONS, tf.float32)  # [B]
  number = tf.maximum(tf.reduce_sum(shown), 1)

  def share(condition: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(shown * tf.cast(condition, tf.float32)) / number

  return {
    "priority": tf.reduce_mean(priorities),
    "q": tf.reduce_mean(tf.gather(q_tm1, action, batch_dims=1)),
    "demonstrations": tf.reduce_mean(shown),
    "margin_violations": share(terms.margin > 0),
    "other_actions": share(tf.argmax(q_tm1, axis=1) != action),
  }


def make_program(
  spec: specs.EnvironmentSpec, config: dqfd_config.DQfDConfig, network: variables.Factory | None = None
) -> Program[dqn.TrainingState, snt.Module, tuple[()]]:
  """Makes DQfD's program. Raises ValueError where the actions are not discrete, or the network does not fit."""
  space = spaces.make(spec, "DQfD", "discrete")
  nets = networks.make_networks(spec, config, network)
  policies = [acting.make_policy(nets, config, evaluation=evaluation) for evaluation in (False, True)]
  return Program(
    init=lambda seed: dqn.make_state(nets, config, seed),
    update=make_update(nets, config),
    params=lambda state: state.online,
    make_params=lambda: variables.create(nets.make, nets.observation),
    variables=lambda state: {"policy": state.online, "target_policy": state.target},
    behaviour=policies[0],
    evaluation=policies[1],
    space=space,
  )
