"""R2D2's training step.

Both networks, each from the state stored with the sequence and through the burn-in by itself, are unrolled over the
trace; `losses` has δ_t, which is 0 where no action was taken. With w_i the importance weights:

  L(θ) = E_i[w_i ½ Σ_t δ_t²],    p_i = η max_t |δ_t| + (1 − η) mean_t |δ_t|

Reference: Kapturowski et al. 2019.
Deviations: a stored sequence may go on into the next episode (`end_of_episode`), and its state begins anew there. The
reward enters the network as its tanh, as published implementations have it.

Shapes: B batch, L = burn-in + T + 1 steps stored, A actions.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import optax

from acme import replay, specs, types
from acme_jax import learning, optimizers, spaces, targets
from acme_jax.program import Metrics, Program, Update
from acme_r2d2 import config as r2d2_config
from acme_r2d2.jax import acting, losses, networks

LossFn = Callable[[hk.Params, hk.Params, types.Sequence, jax.Array], tuple[jax.Array, "Result"]]
Watch = Callable[[replay.Sample, "Result"], Metrics]


class TrainingState(NamedTuple):
  """All that changes as the learner learns."""

  params: hk.Params
  target_params: hk.Params  # copied from params every config.target_update_period steps
  opt_state: optax.OptState
  steps: jax.Array  # [] int32, SGD steps taken


def make_optimizer(config: r2d2_config.R2D2Config) -> optax.GradientTransformation:
  """Adam, after a clip of the gradients' global norm where the config has one."""
  return optimizers.adam(config.learning_rate, epsilon=config.adam_epsilon, max_gradient_norm=config.max_gradient_norm)


def make_state(nets: networks.Networks, config: r2d2_config.R2D2Config, key: jax.Array) -> TrainingState:
  """The first state: the target network is the online network. The key is consumed."""
  params = nets.init(key)
  return TrainingState(params, params, make_optimizer(config).init(params), jnp.zeros((), jnp.int32))


def unroll(nets: networks.Networks, burn_in: int, params: hk.Params, sequences: types.Sequence) -> jax.Array:
  """Q-values [B, T + 1, A] of the steps after the burn-in, through which no gradient flows."""
  inputs = networks.Inputs(sequences.observation, sequences.previous_action, sequences.previous_reward)
  start, core = sequences.start_of_episode, sequences.core
  if burn_in:
    early = jax.tree.map(lambda x: x[:, :burn_in], inputs)
    _, core = nets.unroll(jax.lax.stop_gradient(params), early, start[:, :burn_in], core)
    inputs = jax.tree.map(lambda x: x[:, burn_in:], inputs)
  q, _ = nets.unroll(params, inputs, start[:, burn_in:], core)
  return q


class Result(NamedTuple):
  """What a batch of sequences gives, besides its loss."""

  loss: jax.Array  # [B], what the loss is the mean of
  priority: jax.Array  # [B]
  q: jax.Array  # [] mean value of what was done


def make_loss(nets: networks.Networks, config: r2d2_config.R2D2Config) -> LossFn:
  """The function (params, target params, sequences, weights [B]) -> (loss [], Result)."""
  burn_in = config.burn_in_length
  td_errors = functools.partial(losses.td_errors, n=config.n_step, epsilon=config.transform_epsilon)
  priority = functools.partial(losses.priority, max_weight=config.max_priority_weight)

  def loss(
    params: hk.Params, target_params: hk.Params, sequences: types.Sequence, weights: jax.Array
  ) -> tuple[jax.Array, Result]:
    q = unroll(nets, burn_in, params, sequences)  # [B, T + 1, A]
    target_q = unroll(nets, burn_in, target_params, sequences)
    steps = sequences.action, sequences.reward, config.discount * sequences.discount, sequences.acted  # [B, L] each
    action, reward, discount, acted = (x[:, burn_in:] for x in steps)  # [B, T + 1]
    td_error = jax.vmap(td_errors)(q, action, reward, discount, acted, target_q)  # [B, T]
    acted = acted[:, :-1]
    done = jnp.take_along_axis(q[:, :-1], action[:, :-1, None], axis=-1)[..., 0]  # [B, T]
    mean_q = jnp.sum(acted * done) / jnp.maximum(jnp.sum(acted), 1)
    each = weights * jnp.sum(0.5 * td_error**2, axis=-1)  # [B]
    return jnp.mean(each), Result(each, jax.vmap(priority)(td_error, acted), mean_q)

  return loss


def make_priorities(
  nets: networks.Networks, config: r2d2_config.R2D2Config
) -> Callable[[hk.Params, types.Sequence], jax.Array]:
  """The function (params, new sequences) -> first priorities [B], by the actor's network in place of the target's."""
  loss = make_loss(nets, config)
  return lambda params, sequences: loss(params, params, sequences, jnp.ones(()))[1].priority


def watch_nothing(sample: replay.Sample, result: Result) -> Metrics:
  """No metrics beside those of every update."""
  del sample, result
  return {}


def make_update(
  nets: networks.Networks, config: r2d2_config.R2D2Config, watch: Watch = watch_nothing
) -> Update[TrainingState]:
  """The pure function (state, sample) -> (state, priorities [B], metrics); `watch` gives more metrics."""
  optimizer = make_optimizer(config)
  gradient = jax.value_and_grad(make_loss(nets, config), has_aux=True)

  def update(state: TrainingState, sample: replay.Sample) -> tuple[TrainingState, jax.Array, Metrics]:
    weights = learning.importance_weights(sample.probabilities, config.importance_sampling_exponent)  # [B], max 1
    (loss, result), gradients = gradient(state.params, state.target_params, sample.data, weights)
    updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    steps = state.steps + 1
    target_params = targets.periodic_update(params, state.target_params, steps, config.target_update_period)
    metrics = {"loss": loss, "priority": jnp.mean(result.priority), "q": result.q}
    return TrainingState(params, target_params, opt_state, steps), result.priority, metrics | watch(sample, result)

  return update


def make_program(
  spec: specs.EnvironmentSpec,
  config: r2d2_config.R2D2Config,
  network: networks.MakeNetwork | None = None,
  *,
  name: str = "R2D2",
  watch: Watch = watch_nothing,
) -> Program[TrainingState, hk.Params, Any]:
  """Makes R2D2's program, or that of an agent called `name` which learns as it does from other experience.

  `watch` gives metrics beside R2D2's. Raises ValueError where actions are not discrete, or the network does not fit.
  """
  space = spaces.make(spec, name, "discrete")
  nets = networks.make_networks(spec, config, network)
  make_policy = functools.partial(acting.make_policy, nets, config)
  return Program(
    init=functools.partial(make_state, nets, config),
    update=make_update(nets, config, watch),
    params=lambda state: state.params,
    variables=lambda state: {"policy": state.params, "target_policy": state.target_params},
    behaviour=make_policy(evaluation=False),
    evaluation=make_policy(evaluation=True),
    space=space,
    priorities=make_priorities(nets, config),
  )
