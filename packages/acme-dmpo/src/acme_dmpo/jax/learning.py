"""DMPO's training step.

  critic:  CE(Φ(R_t + γ D_t Z_θ'(o_t, ·)), Z_θ(o_tm1, a_tm1)),  Z_θ'(o_t, ·) = Σ_n p_n Z_θ'(o_t, a_n),  a_n ~ π'(o_t)
  policy:  acme_jax.mpo, with a_n ~ π'(o_tm1) and q_n = E[Z_θ'(o_tm1, a_n)]

where R_t and D_t are n-step sums (acme.types.Transition). Of the sampled actions' distributions the probabilities are
averaged, not the logits.

References: Abdolmaleki et al. 2018 (1812.02256); Bellemare et al. 2017 (1707.06887).
Deviations: the policy is improved at the observations that were sampled, where published implementations do it at those
that they led to. Actions are clipped to the bounds before they are executed or valued.

Shapes: B batch, N candidates, K atoms.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from acme import replay, specs, types
from acme_dmpo import config as dmpo_config
from acme_dmpo.jax import acting, networks
from acme_jax import losses, mpo, normalization
from acme_jax.program import Metrics, Program, Update


def make_state(nets: mpo.Networks, config: dmpo_config.DMPOConfig, key: jax.Array) -> mpo.TrainingState:
  """The first state: the target networks are the online networks. The key is consumed."""
  key, policy_key, critic_key = jax.random.split(key, 3)
  return mpo.make_state(nets, mpo.Rates.of(config), policy_key, critic_key, key)


def make_loss(
  nets: mpo.Networks, config: dmpo_config.DMPOConfig, support: np.ndarray
) -> Callable[..., tuple[jax.Array, Metrics]]:
  """The function (params, target policy, target critic, transitions, noise) -> (loss [], metrics).

  `support` [K] as `networks.atoms`.
  """
  atoms = jnp.asarray(support)
  categorical_td_loss = jax.vmap(losses.categorical_td_loss, in_axes=(None, 0, 0, 0, 0))
  kind = nets.kind

  def loss(
    params: mpo.Params, target_policy: hk.Params, target_critic: hk.Params, transitions: types.Transition, noise: Any
  ) -> tuple[jax.Array, Metrics]:
    o_tm1, batch = transitions.observation, len(transitions.reward)
    both = jax.tree.map(lambda *x: jnp.concatenate(x), o_tm1, transitions.next_observation)  # [2B, …]
    target = nets.policy.apply(target_policy, both)
    candidates = kind.candidates(target, noise)
    z = jax.nn.softmax(kind.values(partial(nets.critic.apply, target_critic), both, candidates))  # [N, 2B, K]

    z_t = candidates.mean(z)[batch:]  # [B, K]
    logits = kind.value(partial(nets.critic.apply, params.critic), o_tm1, kind.stored(transitions.action))  # [B, K]
    discount_t = config.discount * transitions.discount  # [B], with the γ that the transition leaves out
    critic_loss = jnp.mean(categorical_td_loss(atoms, logits, transitions.reward, discount_t, z_t))

    q = z[:, :batch] @ atoms  # [N, B]
    here, there = jax.tree.map(lambda x: x[:batch], target), jax.tree.map(lambda x: x[:, :batch], candidates)
    improvement = kind.loss(params.duals, nets.policy.apply(params.policy, o_tm1), here, there, q)  # each leaf [B]
    policy_loss, metrics = jax.tree.map(jnp.mean, tuple(improvement))
    metrics |= {"loss": critic_loss, "policy_loss": policy_loss, "q": jnp.mean(candidates.mean(z)[:batch] @ atoms)}
    return critic_loss + policy_loss, metrics

  return loss


def make_update(nets: mpo.Networks, config: dmpo_config.DMPOConfig, support: np.ndarray) -> Update[mpo.TrainingState]:
  """The pure function (state, sample) -> (state, None, metrics); `support` [K] as `networks.atoms`."""
  gradient, step = jax.grad(make_loss(nets, config, support), has_aux=True), mpo.make_step(mpo.Rates.of(config))

  def update(state: mpo.TrainingState, sample: replay.Sample) -> tuple[mpo.TrainingState, None, Metrics]:
    noise = mpo.draw(nets, state, 2 * len(sample.data.reward))
    gradients, metrics = gradient(state.params, state.target_policy, state.target_critic, sample.data, noise)
    state, multipliers = step(state, gradients)
    return state, None, metrics | multipliers

  return update


def make_program(
  spec: specs.EnvironmentSpec, config: dmpo_config.DMPOConfig, network: mpo.Pair | None = None
) -> Program[mpo.TrainingState, hk.Params, tuple[()]]:
  """Makes DMPO's program. Raises ValueError where the actions are neither one discrete one nor bounded floats."""
  nets = networks.make_networks(spec, config, network)
  init, make_policy = partial(make_state, nets, config), partial(acting.make_policy, nets)
  program = mpo.make_program(nets, init, make_update(nets, config, networks.atoms(config, spec)), make_policy)
  return normalization.normalized(program, spec) if config.normalize_observations else program
