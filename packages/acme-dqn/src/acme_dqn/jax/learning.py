"""DQN's training step, with every extension.

  y_t = R_t + γ D_t Q_θ⁻(o_t, argmax_a Q_θ(o_t, a)),    L(θ) = E_i[w_i · loss(y_t, Q_θ(o_tm1, a_tm1))]

where R_t and D_t are n-step sums (acme.types.Transition), and `losses` has the loss and target of each extension.

References: Mnih et al. 2015; van Hasselt et al. 2015 (1509.06461); Schaul et al. 2015 (1511.05952) §3.4.
Deviations: Adam in place of RMSProp.

Shapes: B batch, A actions, K atoms or quantiles.
"""

from collections.abc import Callable
from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import optax

from acme import replay, specs, types
from acme_dqn import config as dqn_config
from acme_dqn.jax import acting, losses, networks
from acme_jax import learning, optimizers, spaces, targets
from acme_jax.program import Metrics, Program, Update

LossFn = Callable[[hk.Params, hk.Params, jax.Array, types.Transition], tuple[losses.Loss, jax.Array]]


class TrainingState(NamedTuple):
  """All that changes as the learner learns."""

  params: hk.Params
  target_params: hk.Params  # copied from params every config.target_update_period steps
  opt_state: optax.OptState
  steps: jax.Array  # [] int32, SGD steps taken
  key: jax.Array  # constant; the noise of step i comes from fold_in(key, i)


def make_optimizer(config: dqn_config.DQNConfig) -> optax.GradientTransformation:
  """Adam, after a clip of the gradients' global norm where the config has one."""
  rate = optimizers.falling(config.learning_rate, config.learning_rate_steps)
  return optimizers.adam(rate, epsilon=config.adam_epsilon, max_gradient_norm=config.max_gradient_norm)


def make_state(nets: networks.Networks, config: dqn_config.DQNConfig, key: jax.Array) -> TrainingState:
  """The first state: the target network is the online network. The key is consumed."""
  init_key, key = jax.random.split(key)
  params = nets.network.init(init_key, nets.observation)
  return TrainingState(params, params, make_optimizer(config).init(params), jnp.zeros((), jnp.int32), key)


class Outputs(NamedTuple):
  """What the networks give for a transition: Q-values [A], or the logits or quantiles [A, K] of each action."""

  tm1: jax.Array  # of the online network for o_tm1
  t: jax.Array  # of the target network for o_t
  target_tm1: jax.Array | None  # of the target network for o_tm1, where the policy's log is Munchausen's bonus
  selector_t: jax.Array | None  # [A], the Q-values that choose the action in o_t; elsewhere


def make_loss(nets: networks.Networks, config: dqn_config.DQNConfig) -> LossFn:
  """The function (params, target params, key, transitions) -> (losses and priorities [B], Q-values [B, A])."""
  apply, values = nets.network.apply, nets.values

  def loss(
    params: hk.Params, target_params: hk.Params, key: jax.Array, transitions: types.Transition
  ) -> tuple[losses.Loss, jax.Array]:
    keys = jax.random.split(key, 4) if config.noisy else [None] * 4  # Noise of its own for each use (1706.10295).
    observation, next_observation = transitions.observation, transitions.next_observation
    discount_t = config.discount * transitions.discount  # [B], with the γ that the transition leaves out
    tm1 = apply(params, keys[0], observation)  # [B, A] or [B, A, K]
    t = apply(target_params, keys[1], next_observation)
    target_tm1 = selector_t = None
    if config.munchausen:
      target_tm1 = apply(target_params, keys[2], observation)
    else:
      selector_t = values(apply(params, keys[3], next_observation) if config.double_q else t)  # [B, A]
    outputs = Outputs(tm1, t, target_tm1, selector_t)
    result = jax.vmap(make_loss_of_one(config))(outputs, transitions.action, transitions.reward, discount_t)
    return result, values(tm1)

  return loss


def make_loss_of_one(config: dqn_config.DQNConfig) -> Callable[[Outputs, jax.Array, jax.Array, jax.Array], losses.Loss]:
  """The function (outputs, a_tm1, r_t, discount_t) -> Loss, of one transition, that the switches ask for."""
  atoms, delta = jnp.asarray(networks.atoms(config)), config.huber_delta
  constants = losses.Munchausen(config.munchausen_alpha, config.munchausen_temperature, config.munchausen_clip)

  def loss(out: Outputs, a_tm1: jax.Array, r_t: jax.Array, discount_t: jax.Array) -> losses.Loss:
    happened = (a_tm1, r_t, discount_t)
    if out.target_tm1 is not None:
      if config.categorical:
        return losses.munchausen_categorical_q_learning(atoms, out.tm1, *happened, out.target_tm1, out.t, constants)
      munchausen = losses.munchausen_quantile_q_learning if config.quantile else losses.munchausen_q_learning
      return munchausen(out.tm1, *happened, out.target_tm1, out.t, delta, constants)
    assert out.selector_t is not None
    if config.categorical:
      return losses.categorical_q_learning(atoms, out.tm1, *happened, out.t, out.selector_t)
    plain = losses.quantile_q_learning if config.quantile else losses.q_learning
    return plain(out.tm1, *happened, out.t, out.selector_t, delta)

  return loss


def make_update(nets: networks.Networks, config: dqn_config.DQNConfig) -> Update[TrainingState]:
  """The pure function (state, sample) -> (state, priorities [B], metrics)."""
  optimizer = make_optimizer(config)
  loss = make_loss(nets, config)

  def weighted(
    params: hk.Params, target_params: hk.Params, key: jax.Array, sample: replay.Sample
  ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    result, q_tm1 = loss(params, target_params, key, sample.data)
    q_tm1 = jnp.take_along_axis(q_tm1, sample.data.action[:, None], axis=1)  # [B, 1], of the actions taken
    if config.prioritized:
      weights = learning.importance_weights(sample.probabilities, config.importance_sampling_exponent)  # [B], max 1
      return jnp.mean(weights * result.loss), (result.priority, q_tm1)
    return jnp.mean(result.loss), (result.priority, q_tm1)

  def update(state: TrainingState, sample: replay.Sample) -> tuple[TrainingState, jax.Array, Metrics]:
    key = jax.random.fold_in(state.key, state.steps)
    (loss_value, (priorities, q_tm1)), gradients = jax.value_and_grad(weighted, has_aux=True)(
      state.params, state.target_params, key, sample
    )
    updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    steps = state.steps + 1
    target_params = targets.periodic_update(params, state.target_params, steps, config.target_update_period)
    metrics = {"loss": loss_value, "priority": jnp.mean(priorities), "q": jnp.mean(q_tm1)}
    return TrainingState(params, target_params, opt_state, steps, state.key), priorities, metrics

  return update


def make_program(
  spec: specs.EnvironmentSpec, config: dqn_config.DQNConfig, network: hk.Transformed | None = None
) -> Program[TrainingState, hk.Params, tuple[()]]:
  """Makes DQN's program. Raises ValueError where the actions are not discrete, or the network does not fit."""
  space = spaces.make(spec, "DQN", "discrete")
  nets = networks.make_networks(spec, config, network)
  return Program(
    init=lambda key: make_state(nets, config, key),
    update=make_update(nets, config),
    params=lambda state: state.params,
    variables=lambda state: {"policy": state.params, "target_policy": state.target_params},
    behaviour=acting.make_policy(nets, config, evaluation=False),
    evaluation=acting.make_policy(nets, config, evaluation=True),
    space=space,
  )
