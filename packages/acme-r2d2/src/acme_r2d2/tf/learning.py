"""R2D2's training step.

Both networks, each from the state stored with the sequence and through the burn-in by itself, are unrolled over the
trace; `losses` has δ_t, which is 0 where no action was taken. With w_i the importance weights:

  L(θ) = E_i[w_i ½ Σ_t δ_t²],    p_i = η max_t |δ_t| + (1 − η) mean_t |δ_t|

Reference: Kapturowski et al. 2019.
Deviations: those of `acme_r2d2.jax.learning`.

Shapes: B batch, L = burn-in + T + 1 steps stored, A actions.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import sonnet as snt
import tensorflow as tf

from acme import replay, specs, types
from acme_r2d2 import config as r2d2_config
from acme_r2d2.tf import acting, losses, networks
from acme_tf import learning, spaces, variables
from acme_tf.program import Metrics, Program, Update

Watch = Callable[[replay.Sample, "Result"], Metrics]


class TrainingState(NamedTuple):
  """All that changes as the learner learns."""

  online: networks.Network
  target: networks.Network  # copied from online every config.target_update_period steps
  optimizer: snt.Optimizer
  steps: tf.Variable  # [] int64, SGD steps taken


def make_state(nets: networks.Networks, config: r2d2_config.R2D2Config, seed: int) -> TrainingState:
  """The first state: the target network is equal to the online network. The seed is consumed."""
  online = variables.create(nets.make, nets.inputs, seed=seed)
  target = variables.make_target(nets.make, online, nets.inputs)
  optimizer = learning.adam(config.learning_rate, online.trainable_variables, config.adam_epsilon)
  return TrainingState(online, target, optimizer, tf.Variable(0, dtype=tf.int64, name="steps"))


def unroll(burn_in: int, network: networks.Network, sequences: types.Sequence) -> tf.Tensor:
  """Q-values [B, T + 1, A] of the steps after the burn-in, through which no gradient flows."""
  inputs = networks.Inputs(sequences.observation, sequences.previous_action, sequences.previous_reward)
  start, core = sequences.start_of_episode, sequences.core
  if burn_in:
    early = tf.nest.map_structure(lambda x: x[:, :burn_in], inputs)
    _, core = network.unroll(early, start[:, :burn_in], core)
    core = tf.nest.map_structure(tf.stop_gradient, core)
    inputs = tf.nest.map_structure(lambda x: x[:, burn_in:], inputs)
  q, _ = network.unroll(inputs, start[:, burn_in:], core)
  return q


class Result(NamedTuple):
  """What a batch of sequences gives, besides its loss."""

  loss: tf.Tensor  # [B], what the loss is the mean of
  priority: tf.Tensor  # [B]
  q: tf.Tensor  # [] mean value of what was done


def make_loss(config: r2d2_config.R2D2Config) -> Callable[..., tuple[tf.Tensor, Result]]:
  """The function (online, target, sequences, weights [B]) -> (loss [], Result)."""
  burn_in = config.burn_in_length

  def loss(
    online: networks.Network, target: networks.Network, sequences: types.Sequence, weights: tf.Tensor
  ) -> tuple[tf.Tensor, Result]:
    q = unroll(burn_in, online, sequences)  # [B, T + 1, A]
    target_q = unroll(burn_in, target, sequences)
    steps = sequences.action, sequences.reward, config.discount * sequences.discount, sequences.acted  # [B, L] each
    action, reward, discount, acted = (x[:, burn_in:] for x in steps)  # [B, T + 1]
    action = tf.cast(action, tf.int32)
    td_error = losses.td_errors(
      q, action, reward, discount, acted, target_q, config.n_step, config.transform_epsilon
    )  # [B, T]
    acted = acted[:, :-1]
    done = tf.gather(q[:, :-1], action[:, :-1], axis=-1, batch_dims=2)  # [B, T]
    mean_q = tf.reduce_sum(acted * done) / tf.maximum(tf.reduce_sum(acted), 1)
    each = weights * tf.reduce_sum(0.5 * td_error**2, axis=-1)  # [B]
    return tf.reduce_mean(each), Result(each, losses.priority(td_error, acted, config.max_priority_weight), mean_q)

  return loss


def make_priorities(config: r2d2_config.R2D2Config) -> Callable[[networks.Network, types.Sequence], tf.Tensor]:
  """The function (network, new sequences) -> first priorities [B], by the actor's network in place of the target's."""
  loss = make_loss(config)
  return lambda network, sequences: loss(network, network, sequences, tf.ones(()))[1].priority


def watch_nothing(sample: replay.Sample, result: Result) -> Metrics:
  """No metrics beside those of every update."""
  del sample, result
  return {}


def make_update(config: r2d2_config.R2D2Config, watch: Watch = watch_nothing) -> Update[TrainingState]:
  """The function (state, sample) -> (priorities [B], metrics), which changes the state; `watch` gives more metrics."""
  loss = make_loss(config)

  def update(state: TrainingState, sample: replay.Sample) -> tuple[tf.Tensor, Metrics]:
    online, target, optimizer, steps = state
    weights = learning.importance_weights(sample.probabilities, config.importance_sampling_exponent)  # [B], max 1
    with tf.GradientTape() as tape:
      value, result = loss(online, target, sample.data, weights)
    parameters = online.trainable_variables
    learning.apply_gradients(optimizer, tape.gradient(value, parameters), parameters, config.max_gradient_norm)
    steps.assign_add(1)
    variables.periodic_copy(steps, config.target_update_period, online.variables, target.variables)
    metrics = {"loss": value, "priority": tf.reduce_mean(result.priority), "q": result.q}
    return result.priority, metrics | watch(sample, result)

  return update


def make_program(
  spec: specs.EnvironmentSpec,
  config: r2d2_config.R2D2Config,
  network: networks.MakeNetwork | None = None,
  *,
  name: str = "R2D2",
  watch: Watch = watch_nothing,
) -> Program[TrainingState, networks.Network, Any]:
  """Makes R2D2's program; arguments and errors as in `acme_r2d2.jax.learning.make_program`."""
  space = spaces.make(spec, name, "discrete")
  nets = networks.make_networks(spec, config, network)
  make_policy = functools.partial(acting.make_policy, nets, config)
  return Program(
    init=functools.partial(make_state, nets, config),
    update=make_update(config, watch),
    params=lambda state: state.online,
    make_params=lambda: variables.create(nets.make, nets.inputs),
    variables=lambda state: {"policy": state.online, "target_policy": state.target},
    behaviour=make_policy(evaluation=False),
    evaluation=make_policy(evaluation=True),
    space=space,
    priorities=make_priorities(config),
  )
