"""MPO's training step.

  critic:  ½ (G_t − Q_θ(o_t, a_t))²,  with V(o) = E_π'[Q_θ'(o, a)], over N samples, and
           G_t = R_t + γ D_t V(o_{t+n}), or Retrace(λ) of V and Q_θ' (acme_jax.returns)
  policy:  acme_jax.mpo, with a_n ~ π'(o_t) and q_n = Q_θ'(o_t, a_n)

where R_t and D_t are n-step sums (acme.types.Transition). A transition is learned from as a sequence of one step.

References: Abdolmaleki et al. 2018 (1806.06920, 1812.02256); Munos et al. 2016 (1606.02647).
Deviations: the critic's target is of n steps without correction, by default of one. The policy is improved at the
observations that were sampled, where published implementations do it at those that they led to. Actions are clipped to
the bounds before they are executed, valued, or compared by their densities, which do not count the mass at the bounds.

Shapes: B batch, T steps that were acted at, time first; M = T·B states, or (T + 1)·B; N candidates.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp

from acme import replay, specs, types
from acme_jax import mpo, normalization, returns
from acme_jax.program import Metrics, Program, Update
from acme_mpo import config as mpo_config
from acme_mpo.jax import acting, networks


class Steps(NamedTuple):
  """What was seen and done."""

  observation: types.NestedArray  # [T + 1, B, …]
  action: types.NestedArray  # [T, B, …]
  reward: jax.Array  # [T, B]
  discount: jax.Array  # [T, B]
  log_mu: jax.Array  # [T, B], log-probabilities of the actions, as they were stored
  acted: jax.Array  # [T, B], 0 at an episode's final observation and in padding


def steps_of(data: types.Transition | types.Sequence) -> Steps:
  """A batch with time first; a transition [B, …] has T = 1."""
  if isinstance(data, types.Transition):
    observation = jax.tree.map(lambda *x: jnp.stack(x), data.observation, data.next_observation)
    action, reward, discount = jax.tree.map(lambda x: x[None], (data.action, data.reward, data.discount))
    return Steps(observation, action, reward, discount, jnp.zeros_like(reward), jnp.ones_like(reward))
  data = types.Sequence(*jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1), data))
  others = (data.action, data.reward, data.discount, data.extras["log_prob"], data.acted)
  return Steps(data.observation, *jax.tree.map(lambda x: x[:-1], others))


def make_state(nets: mpo.Networks, config: mpo_config.MPOConfig, key: jax.Array) -> mpo.TrainingState:
  """The first state: the target networks are the online networks. The key is consumed."""
  policy_key, critic_key, key = jax.random.split(key, 3)
  return mpo.make_state(nets, mpo.Rates.of(config), policy_key, critic_key, key)


def make_loss(nets: mpo.Networks, config: mpo_config.MPOConfig) -> Callable[..., tuple[jax.Array, Metrics]]:
  """The function (params, target policy, target critic, steps, noise) -> (loss [], metrics)."""
  kind = nets.kind

  def loss(
    params: mpo.Params, target_policy: hk.Params, target_critic: hk.Params, steps: Steps, noise: Any
  ) -> tuple[jax.Array, Metrics]:
    shape = steps.reward.shape  # T, B
    observation, action = jax.tree.map(_merge, (steps.observation, steps.action))  # [(T + 1)·B, …], [T·B, …]
    action = kind.stored(action)

    def acted(nest: Any) -> Any:
      """The part of the first T steps of [(T + 1)·B, …]."""
      return jax.tree.map(lambda x: x[: shape[0] * shape[1]], nest)

    # Of the targets: candidates and their values in all states, the value and probability of what was done.
    critic = partial(nets.critic.apply, target_critic)
    target = nets.policy.apply(target_policy, observation)
    candidates = kind.candidates(target, noise)
    q = kind.values(critic, observation, candidates)[..., 0]  # [N, (T + 1)·B]
    v_t = jnp.reshape(candidates.mean(q), (-1, shape[1]))[1:]  # [T, B]
    q_tm1 = jnp.reshape(kind.value(critic, acted(observation), action)[:, 0], shape)
    log_pi = jnp.reshape(acted(target).log_prob(action), shape)
    g = jax.vmap(returns.retrace, in_axes=(*7 * (1,), None), out_axes=1)(
      q_tm1[1:], v_t, steps.reward, config.discount * steps.discount, log_pi[1:], steps.log_mu[1:], steps.acted[1:],
      config.retrace_lambda,
    )  # [T, B]  # fmt: skip

    q_online = kind.value(partial(nets.critic.apply, params.critic), acted(observation), action)[:, 0]  # [T·B]
    td_error = jnp.ravel(g) - q_online
    online = nets.policy.apply(params.policy, acted(observation))
    states = jax.tree.map(lambda x: x[:, : q_online.size], candidates)
    improvement = kind.loss(params.duals, online, acted(target), states, q[:, : q_online.size])  # of [T·B]

    weights = jnp.ravel(steps.acted) / jnp.maximum(jnp.sum(steps.acted), 1)  # [T·B]
    critic_loss, policy_loss, metrics = jax.tree.map(lambda x: x @ weights, (0.5 * td_error**2, *improvement))
    metrics |= {"loss": critic_loss, "policy_loss": policy_loss, "q": q_online @ weights}
    return critic_loss + policy_loss, metrics

  return loss


def _merge(x: jax.Array) -> jax.Array:
  """[T, B, …] to [T·B, …]."""
  return jnp.reshape(x, (-1, *x.shape[2:]))


def make_update(nets: mpo.Networks, config: mpo_config.MPOConfig) -> Update[mpo.TrainingState]:
  """The pure function (state, sample) -> (state, None, metrics)."""
  gradient, step = jax.grad(make_loss(nets, config), has_aux=True), mpo.make_step(mpo.Rates.of(config))

  def update(state: mpo.TrainingState, sample: replay.Sample) -> tuple[mpo.TrainingState, None, Metrics]:
    steps = steps_of(sample.data)
    noise = mpo.draw(nets, state, (steps.reward.shape[0] + 1) * steps.reward.shape[1])
    gradients, metrics = gradient(state.params, state.target_policy, state.target_critic, steps, noise)
    state, multipliers = step(state, gradients)
    return state, None, metrics | multipliers

  return update


def make_program(
  spec: specs.EnvironmentSpec, config: mpo_config.MPOConfig, network: mpo.Pair | None = None
) -> Program[mpo.TrainingState, hk.Params, tuple[()]]:
  """Makes MPO's program. Raises ValueError where the actions are neither one discrete one nor bounded floats."""
  nets = networks.make_networks(spec, config, network)
  make_policy = partial(acting.make_policy, nets, config)
  program = mpo.make_program(nets, lambda key: make_state(nets, config, key), make_update(nets, config), make_policy)
  return normalization.normalized(program, spec) if config.normalize_observations else program
