"""D4PG's training step.

  critic:  E_i[w_i · CE(Φ(R_t + γ D_t Z_θ⁻(o_t, π_φ⁻(o_t))), Z_θ(o_tm1, a_tm1))]
  policy:  −∇_φ π_φ(o_tm1) ∇_a E[Z_θ(o_tm1, a)] at a = π_φ(o_tm1)

where R_t and D_t are n-step sums (acme.types.Transition).

References: Barth-Maron et al. 2018 (1804.08617), algorithm 1; Bellemare et al. 2017 (1707.06887).
Deviations: by default dq/da is clipped; replay is uniform unless `prioritized`.

Shapes: B batch, D numbers in an action, K atoms.
"""

import functools
from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax

from acme import replay, specs, types
from acme_d4pg import config as d4pg_config
from acme_d4pg.jax import acting, networks
from acme_jax import control, learning, losses, normalization, optimizers, targets
from acme_jax.program import Metrics, Program, Update


class TrainingState(NamedTuple):
  """All that changes as the learner learns."""

  params: control.Params
  target_params: control.Params  # copied from params every config.target_update_period steps
  policy_opt_state: optax.OptState
  critic_opt_state: optax.OptState
  steps: jax.Array  # [] int32, SGD steps taken


def make_optimizers(
  config: d4pg_config.D4PGConfig,
) -> tuple[optax.GradientTransformation, optax.GradientTransformation]:
  """Those of policy and critic."""
  return (
    optimizers.adam(config.policy_learning_rate, max_gradient_norm=config.max_gradient_norm),
    optimizers.adam(config.critic_learning_rate, max_gradient_norm=config.max_gradient_norm),
  )


def make_state(nets: control.Networks, config: d4pg_config.D4PGConfig, key: jax.Array) -> TrainingState:
  """The first state: the target networks are the online networks. The key is consumed."""
  policy_optimizer, critic_optimizer = make_optimizers(config)
  params = control.init_params(nets, key)
  opt_states = policy_optimizer.init(params.policy), critic_optimizer.init(params.critic)
  return TrainingState(params, params, *opt_states, jnp.zeros((), jnp.int32))


def make_update(nets: control.Networks, config: d4pg_config.D4PGConfig, support: np.ndarray) -> Update[TrainingState]:
  """The pure function (state, sample) -> (state, priorities [B], metrics); `support` [K] as `networks.atoms`."""
  policy_optimizer, critic_optimizer = make_optimizers(config)
  atoms = jnp.asarray(support)

  def critic_loss(
    critic: hk.Params, target: control.Params, transitions: types.Transition, weights: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    a_t = nets.policy.apply(target.policy, transitions.next_observation)  # [B, D]
    logits_t = nets.critic.apply(target.critic, transitions.next_observation, a_t)  # [B, K]
    a_tm1 = nets.space.from_environment(transitions.action)  # [B, D]
    logits_tm1 = nets.critic.apply(critic, transitions.observation, a_tm1)  # [B, K]
    discount_t = config.discount * transitions.discount  # [B], with the γ that the transition leaves out
    td_loss = jax.vmap(losses.categorical_td_loss, in_axes=(None, 0, 0, 0, 0))(
      atoms, logits_tm1, transitions.reward, discount_t, jax.nn.softmax(logits_t)
    )  # [B]
    return jnp.mean(weights * td_loss), td_loss

  def policy_loss(policy: hk.Params, critic: hk.Params, observation: types.NestedArray) -> tuple[jax.Array, jax.Array]:
    action = nets.policy.apply(policy, observation)  # [B, D]

    def q(action: jax.Array) -> jax.Array:
      return jax.nn.softmax(nets.critic.apply(critic, observation, action)) @ atoms  # [B]

    value, gradient = jax.vjp(q, action)
    (dq_da,) = gradient(jnp.ones_like(value))  # [B, D]
    loss = jax.vmap(losses.deterministic_policy_gradient_loss, in_axes=(0, 0, None))(
      action, dq_da, config.dqda_clipping
    )  # [B]
    return jnp.mean(loss), value

  def update(state: TrainingState, sample: replay.Sample) -> tuple[TrainingState, jax.Array, Metrics]:
    exponent = config.importance_sampling_exponent if config.prioritized else 0.0
    weights = learning.importance_weights(sample.probabilities, exponent)  # [B], max 1
    params, target = state.params, state.target_params
    (critic_value, td_loss), critic_gradients = jax.value_and_grad(critic_loss, has_aux=True)(
      params.critic, target, sample.data, weights
    )
    (policy_value, q), policy_gradients = jax.value_and_grad(policy_loss, has_aux=True)(
      params.policy, params.critic, sample.data.observation
    )
    policy_updates, policy_opt_state = policy_optimizer.update(policy_gradients, state.policy_opt_state, params.policy)
    critic_updates, critic_opt_state = critic_optimizer.update(critic_gradients, state.critic_opt_state, params.critic)
    params = control.Params(
      optax.apply_updates(params.policy, policy_updates), optax.apply_updates(params.critic, critic_updates)
    )
    steps = state.steps + 1
    target = targets.periodic_update(params, target, steps, config.target_update_period)
    metrics = {"loss": critic_value, "policy_loss": policy_value, "q": jnp.mean(q)}
    return TrainingState(params, target, policy_opt_state, critic_opt_state, steps), td_loss, metrics

  return update


def make_program(
  spec: specs.EnvironmentSpec,
  config: d4pg_config.D4PGConfig,
  network: tuple[hk.Transformed, hk.Transformed] | None = None,
) -> Program[TrainingState, hk.Params, tuple[()]]:
  """Makes D4PG's program. Raises ValueError where the actions are not continuous and bounded."""
  nets = networks.make_networks(spec, config, network)
  update = make_update(nets, config, networks.atoms(config, spec))
  make_policy = functools.partial(acting.make_policy, nets, config)
  program = control.make_program(nets, lambda key: make_state(nets, config, key), update, make_policy)
  return normalization.normalized(program, spec) if config.normalize_observations else program
