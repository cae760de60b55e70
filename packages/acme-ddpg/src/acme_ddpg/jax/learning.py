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
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import optax

from acme import replay, specs, types
from acme_ddpg import config as ddpg_config
from acme_ddpg.jax import acting, losses, networks
from acme_jax import control, learning, normalization, optimizers, targets
from acme_jax.losses import deterministic_policy_gradient_loss as dpg_loss
from acme_jax.program import Metrics, Program, Update


class TrainingState(NamedTuple):
  """All that changes as the learner learns, and a key."""

  params: control.Params
  target_params: control.Params  # moved towards params every config.target_update_period steps
  policy_opt_state: optax.OptState
  critic_opt_state: optax.OptState
  steps: jax.Array  # [] int32, SGD steps taken
  key: jax.Array  # constant; folded with the steps


def make_state(nets: control.Networks, config: ddpg_config.DDPGConfig, key: jax.Array) -> TrainingState:
  """The first state: the target networks are the online networks. The key is consumed."""
  params_key, key = jax.random.split(key)
  params = control.init_params(nets, params_key)
  policy, critic = make_optimizers(config)
  return TrainingState(
    params, params, policy.init(params.policy), critic.init(params.critic), jnp.zeros((), jnp.int32), key
  )


def make_optimizers(config: ddpg_config.DDPGConfig) -> list[optax.GradientTransformation]:
  """Those of policy and critic."""
  rates = config.policy_learning_rate, config.critic_learning_rate
  return [optimizers.adam(rate, max_gradient_norm=config.max_gradient_norm) for rate in rates]


def draw(state: TrainingState, shape: tuple[int, ...]) -> jax.Array:
  """What an update draws: ε ~ N(0, I)."""
  return jax.random.normal(jax.random.fold_in(state.key, state.steps), shape)


def td_errors(
  nets: control.Networks,
  config: ddpg_config.DDPGConfig,
  critic: hk.Params,
  target: control.Params,
  transitions: types.Transition,
  noise: jax.Array | None,
) -> tuple[jax.Array, jax.Array]:
  """The critics' δ [B, K], and what they say of the stored actions, q [B, K]; noise [B, D]."""
  a_t = nets.policy.apply(target.policy, transitions.next_observation)  # [B, D]
  if noise is not None:
    a_t = jax.vmap(losses.smoothed, in_axes=(0, 0, None))(a_t, config.target_noise * noise, config.target_noise_clip)
  q_t = nets.critic.apply(target.critic, transitions.next_observation, a_t)  # [B, K]
  a_tm1 = nets.space.from_environment(transitions.action)  # [B, D]
  q_tm1 = nets.critic.apply(critic, transitions.observation, a_tm1)  # [B, K]
  discount_t = config.discount * transitions.discount  # [B], with the γ that the transition leaves out
  return jax.vmap(losses.td_errors)(q_tm1, transitions.reward, discount_t, q_t), q_tm1


def policy_loss(
  nets: control.Networks,
  config: ddpg_config.DDPGConfig,
  policy: hk.Params,
  critic: hk.Params,
  observation: types.NestedArray,
) -> jax.Array:
  """The policy's loss, [B]."""
  action = nets.policy.apply(policy, observation)  # [B, D]
  dq_da = jax.grad(lambda a: jnp.sum(nets.critic.apply(critic, observation, a)[:, 0]))(action)  # [B, D]
  return jax.vmap(dpg_loss, in_axes=(0, 0, None))(action, dq_da, config.dqda_clipping)


def make_update(nets: control.Networks, config: ddpg_config.DDPGConfig) -> Update[TrainingState]:
  """The pure function (state, sample) -> (state, priorities [B], metrics)."""
  policy_optimizer, critic_optimizer = make_optimizers(config)

  def update_critic(state: TrainingState, sample: replay.Sample) -> tuple[Any, Any, jax.Array, Metrics]:
    exponent = config.importance_sampling_exponent if config.prioritized else 0.0
    weights = learning.importance_weights(sample.probabilities, exponent)  # [B], max 1
    shape = (weights.shape[0], nets.space.size)  # [B, D]
    noise = draw(state, shape) if config.target_noise else None

    def loss(critic: hk.Params) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
      errors, q = td_errors(nets, config, critic, state.target_params, sample.data, noise)  # [B, K], [B, K]
      return jnp.mean(weights * 0.5 * jnp.sum(errors**2, axis=-1)), (errors, q)

    (value, (errors, q)), gradients = jax.value_and_grad(loss, has_aux=True)(state.params.critic)
    critic, opt_state = _step(critic_optimizer, gradients, state.critic_opt_state, state.params.critic)
    priorities = jnp.max(jnp.abs(errors), axis=-1)  # [B], of the critic that is further off
    return critic, opt_state, priorities, {"loss": value, "q": jnp.mean(q[:, 0])}

  def update_policy(state: TrainingState, sample: replay.Sample) -> tuple[Any, Any]:
    def loss(policy: hk.Params) -> jax.Array:
      return jnp.mean(policy_loss(nets, config, policy, state.params.critic, sample.data.observation))

    gradients = jax.grad(loss)(state.params.policy)
    return _step(policy_optimizer, gradients, state.policy_opt_state, state.params.policy)

  def update(state: TrainingState, sample: replay.Sample) -> tuple[TrainingState, jax.Array, Metrics]:
    steps = state.steps + 1
    critic, critic_opt_state, priorities, metrics = update_critic(state, sample)
    policy, policy_opt_state = jax.lax.cond(
      steps % config.policy_period == 0,
      lambda: update_policy(state, sample),
      lambda: (state.params.policy, state.policy_opt_state),
    )
    params = control.Params(policy, critic)
    moved = targets.soft_update(params, state.target_params, config.target_update_rate)
    target = targets.periodic_update(moved, state.target_params, steps, config.target_update_period)
    return TrainingState(params, target, policy_opt_state, critic_opt_state, steps, state.key), priorities, metrics

  return update


def make_program(
  spec: specs.EnvironmentSpec,
  config: ddpg_config.DDPGConfig,
  network: tuple[hk.Transformed, hk.Transformed] | None = None,
) -> Program[TrainingState, hk.Params, tuple[()]]:
  """Makes DDPG's program. Raises ValueError where the actions are not continuous and bounded."""
  nets = networks.make_networks(spec, config, network)
  make_policy = functools.partial(acting.make_policy, nets, config)
  init, update = functools.partial(make_state, nets, config), make_update(nets, config)
  program = control.make_program(nets, init, update, make_policy)
  return normalization.normalized(program, spec) if config.normalize_observations else program


def _step(optimizer: optax.GradientTransformation, gradients: Any, opt_state: Any, params: Any) -> tuple[Any, Any]:
  updates, opt_state = optimizer.update(gradients, opt_state, params)
  return optax.apply_updates(params, updates), opt_state
