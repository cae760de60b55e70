"""DMPO's training step.

  critic:  CE(Φ(R_t + γ D_t Z_θ'(o_t, ·)), Z_θ(o_tm1, a_tm1)),  Z_θ'(o_t, ·) = Σ_n p_n Z_θ'(o_t, a_n),  a_n ~ π'(o_t)
  policy:  acme_tf.mpo, with a_n ~ π'(o_tm1) and q_n = E[Z_θ'(o_tm1, a_n)]

where R_t and D_t are n-step sums (acme.types.Transition).

References: Abdolmaleki et al. 2018 (1812.02256); Bellemare et al. 2017 (1707.06887).
Deviations: those of `acme_dmpo.jax.learning`.

Shapes: B batch, N candidates, K atoms.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import sonnet as snt
import tensorflow as tf

from acme import replay, specs, types
from acme_dmpo import config as dmpo_config
from acme_dmpo.tf import acting, losses, networks
from acme_tf import control, mpo
from acme_tf.program import Metrics, Program, Update


def make_loss(
  nets: mpo.Networks, config: dmpo_config.DMPOConfig, support: np.ndarray
) -> Callable[..., tuple[tf.Tensor, Metrics]]:
  """The function (state, transitions, noise) -> (loss [], metrics); `support` [K] as `networks.atoms`."""
  atoms, kind, tree_map = tf.constant(support), nets.kind, tf.nest.map_structure

  def loss(state: mpo.TrainingState, transitions: types.Transition, noise: Any) -> tuple[tf.Tensor, Metrics]:
    o_tm1, batch = transitions.observation, transitions.reward.shape[0]
    both = tree_map(lambda *x: tf.concat(x, axis=0), o_tm1, transitions.next_observation)  # [2B, …]
    target = state.target_policy(both)
    candidates = kind.candidates(target, noise)
    z = tf.nn.softmax(kind.values(state.target_critic, both, candidates))  # [N, 2B, K]

    z_t = candidates.mean(z)[batch:]  # [B, K]
    logits = kind.value(state.critic, o_tm1, kind.stored(transitions.action))  # [B, K]
    discount_t = config.discount * transitions.discount  # [B], with the γ that the transition leaves out
    critic_loss = tf.reduce_mean(losses.categorical_td_loss(atoms, logits, transitions.reward, discount_t, z_t))

    q = tf.linalg.matvec(z[:, :batch], atoms)  # [N, B]
    here, there = tree_map(lambda x: x[:batch], target), tree_map(lambda x: x[:, :batch], candidates)
    improvement = kind.loss(state.duals, state.policy(o_tm1), here, there, q)  # each leaf [B]
    values = {"policy_loss": improvement.total, "q": there.mean(q), **improvement.metrics}
    metrics = {"loss": critic_loss, **{name: tf.reduce_mean(value) for name, value in values.items()}}
    return critic_loss + metrics["policy_loss"], metrics

  return loss


def make_update(nets: mpo.Networks, config: dmpo_config.DMPOConfig, support: np.ndarray) -> Update[mpo.TrainingState]:
  """The function (state, sample) -> (None, metrics), which changes the state; within a `tf.function` only."""
  loss, rates = make_loss(nets, config, support), mpo.Rates.of(config)

  def update(state: mpo.TrainingState, sample: replay.Sample) -> tuple[None, Metrics]:
    noise = mpo.draw(nets, state, 2 * sample.data.reward.shape[0])
    with tf.GradientTape() as tape:
      value, metrics = loss(state, sample.data, noise)
    return None, metrics | mpo.step(rates, state, tape.gradient(value, mpo.parts(state)))

  return update


def make_program(
  spec: specs.EnvironmentSpec, config: dmpo_config.DMPOConfig, network: control.Factories | None = None
) -> Program[mpo.TrainingState, snt.Module, tuple[()]]:
  """Makes DMPO's program. Raises ValueError where the actions are neither one discrete one nor bounded floats."""
  nets = networks.make_networks(spec, config, network)
  update = make_update(nets, config, networks.atoms(config, spec))
  return mpo.make_program(nets, mpo.Rates.of(config), update, partial(acting.make_policy, nets))
