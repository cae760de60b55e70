"""D4PG's training step.

  critic:  E_i[w_i · CE(Φ(R_t + γ D_t Z_θ⁻(o_t, π_φ⁻(o_t))), Z_θ(o_tm1, a_tm1))]
  policy:  −∇_φ π_φ(o_tm1) ∇_a E[Z_θ(o_tm1, a)] at a = π_φ(o_tm1)

where R_t and D_t are n-step sums (acme.types.Transition).

References: Barth-Maron et al. 2018 (1804.08617), algorithm 1; Bellemare et al. 2017 (1707.06887).
Deviations: the target networks are copied, as published for the control suite, not moved slowly.

Shapes: B batch, D numbers in an action, K atoms.
"""

from collections.abc import Iterator
from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax

from acme import counting, loggers, replay, types
from acme_d4pg import config as d4pg_config
from acme_d4pg.jax import losses, networks
from acme_jax import learning


class Params(NamedTuple):
  """The parameters of both networks."""

  policy: hk.Params
  critic: hk.Params


class TrainingState(NamedTuple):
  """All that changes as the learner learns."""

  params: Params
  target_params: Params  # copied from params every config.target_update_period steps
  policy_opt_state: optax.OptState
  critic_opt_state: optax.OptState
  steps: jax.Array  # [] int32, SGD steps taken


def make_optimizer(learning_rate: float, max_gradient_norm: float | None) -> optax.GradientTransformation:
  """Adam, after a clip of the gradients' global norm where there is one."""
  adam = optax.adam(learning_rate)
  return adam if max_gradient_norm is None else optax.chain(optax.clip_by_global_norm(max_gradient_norm), adam)


def make_optimizers(
  config: d4pg_config.D4PGConfig,
) -> tuple[optax.GradientTransformation, optax.GradientTransformation]:
  """Those of policy and critic."""
  return (
    make_optimizer(config.policy_learning_rate, config.max_gradient_norm),
    make_optimizer(config.critic_learning_rate, config.max_gradient_norm),
  )


def make_state(nets: networks.Networks, config: d4pg_config.D4PGConfig, seed: int) -> TrainingState:
  """The first state: the target networks are the online networks. The seed is consumed."""
  policy_optimizer, critic_optimizer = make_optimizers(config)
  action = np.zeros((1, nets.space.size), np.float32)

  @jax.jit  # All at once: each array made on its own would be compiled on its own.
  def make(key: jax.Array) -> TrainingState:
    policy_key, critic_key = jax.random.split(key)
    policy, critic = (
      nets.policy.init(policy_key, nets.observation),
      nets.critic.init(critic_key, nets.observation, action),
    )
    params = Params(policy, critic)
    return TrainingState(
      params, params, policy_optimizer.init(policy), critic_optimizer.init(critic), jnp.zeros((), jnp.int32)
    )

  return make(jax.random.PRNGKey(seed))


def make_update(nets: networks.Networks, config: d4pg_config.D4PGConfig) -> learning.Update[TrainingState]:
  """The pure function (state, sample) -> (state, priorities [B], metrics)."""
  policy_optimizer, critic_optimizer = make_optimizers(config)
  atoms = jnp.asarray(networks.atoms(config))  # [K]

  def critic_loss(
    critic: hk.Params, target: Params, transitions: types.Transition, weights: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    a_t = nets.policy.apply(target.policy, transitions.next_observation)  # [B, D]
    logits_t = nets.critic.apply(target.critic, transitions.next_observation, a_t)  # [B, K]
    a_tm1 = nets.space.flatten(transitions.action)  # [B, D]
    logits_tm1 = nets.critic.apply(critic, transitions.observation, a_tm1)  # [B, K]
    discount_t = config.discount * transitions.discount  # [B], with the γ that the transition leaves out
    td_loss = jax.vmap(losses.categorical_td_loss, in_axes=(None, 0, 0, 0, 0))(
      atoms, logits_tm1, transitions.reward, discount_t, logits_t
    )  # [B]
    return jnp.mean(weights * td_loss), td_loss

  def policy_loss(policy: hk.Params, critic: hk.Params, observation: types.NestedArray) -> tuple[jax.Array, jax.Array]:
    action = nets.policy.apply(policy, observation)  # [B, D]

    def q(action: jax.Array) -> jax.Array:
      return jax.nn.softmax(nets.critic.apply(critic, observation, action)) @ atoms  # [B]

    value, gradient = jax.vjp(q, action)
    (dq_da,) = gradient(jnp.ones_like(value))  # [B, D]
    loss = jax.vmap(losses.policy_gradient_loss, in_axes=(0, 0, None))(action, dq_da, config.dqda_clipping)  # [B]
    return jnp.mean(loss), value

  def update(state: TrainingState, sample: replay.Sample) -> tuple[TrainingState, jax.Array, learning.Metrics]:
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
    params = Params(
      optax.apply_updates(params.policy, policy_updates), optax.apply_updates(params.critic, critic_updates)
    )
    steps = state.steps + 1
    target = optax.periodic_update(params, target, steps, config.target_update_period)
    metrics = {"loss": critic_value, "policy_loss": policy_value, "q": jnp.mean(q)}
    return TrainingState(params, target, policy_opt_state, critic_opt_state, steps), td_loss, metrics

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
) -> learning.JaxLearner[TrainingState]:
  """Makes the learner, whose variables are "policy", "critic" and the targets of both, "target_policy" and so on."""

  def variables(state: TrainingState) -> dict[str, hk.Params]:
    online, target = state.params, state.target_params
    return {
      "policy": online.policy,
      "critic": online.critic,
      "target_policy": target.policy,
      "target_critic": target.critic,
    }

  return learning.JaxLearner(
    make_state(nets, config, seed),
    make_update(nets, config),
    dataset,
    variables=variables,
    num_sgd_steps=config.num_sgd_steps_per_step,
    store=store,
    table=table,
    logger=logger,
    counter=counter,
  )
