"""DMPO's training step.

  critic:  CE(Φ(R_t + γ D_t Z_θ'(o_t, ·)), Z_θ(o_tm1, a_tm1)),  Z_θ'(o_t, ·) = Σ_n p_n Z_θ'(o_t, a_n),  a_n ~ π'(o_t)
  policy:  acme_tf.mpo, with a_n ~ π'(o_tm1) and q_n = E[Z_θ'(o_tm1, a_n)]

where R_t and D_t are n-step sums (acme.types.Transition).

References: Abdolmaleki et al. 2018 (1812.02256); Bellemare et al. 2017 (1707.06887).
Deviations: those of `acme_dmpo.jax.learning`.

Shapes: B batch, N candidates, K atoms.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import sonnet as snt
import tensorflow as tf

from acme import replay, specs, types
from acme_dmpo import config as dmpo_config
from acme_dmpo.tf import acting, losses, networks
from acme_tf import control, learning, mpo, variables
from acme_tf.program import Metrics, Program, Update


class TrainingState(NamedTuple):
  """All that changes as the learner learns."""

  policy: snt.Module
  critic: snt.Module
  duals: dict[str, tf.Variable]
  target_policy: snt.Module  # copied from the policy every config.target_policy_period steps
  target_critic: snt.Module  # from the critic every config.target_critic_period
  optimizers: tuple[snt.Optimizer, ...]  # of policy, critic, duals
  seed: tf.Variable  # [] int64, constant, and combined with the steps
  steps: tf.Variable  # [] int64, SGD steps taken


def make_state(nets: networks.Networks, config: dmpo_config.DMPOConfig, seed: int) -> TrainingState:
  """The first state: the target networks are equal to the online networks. The seed is consumed."""
  seeds = [int(each) for each in np.random.SeedSequence(seed).generate_state(3)]
  inputs = (nets.observation, *nets.kind.zeros(1))
  policy = variables.create(nets.make_policy, nets.observation, seed=seeds[0])
  critic = variables.create(nets.make_critic, *inputs, seed=seeds[1])
  duals = nets.kind.make_duals()
  rates = (config.policy_learning_rate, config.critic_learning_rate, config.dual_learning_rate)
  parts = (policy.trainable_variables, critic.trainable_variables, variables.of(duals))
  return TrainingState(
    policy=policy,
    critic=critic,
    duals=duals,
    target_policy=variables.make_target(nets.make_policy, policy, nets.observation),
    target_critic=variables.make_target(nets.make_critic, critic, *inputs),
    optimizers=tuple(map(learning.adam, rates, parts)),
    seed=tf.Variable(seeds[2], dtype=tf.int64, name="seed"),
    steps=tf.Variable(0, dtype=tf.int64, name="steps"),
  )


def draw(nets: networks.Networks, state: TrainingState, num_states: int) -> Any:
  """All that one update draws."""
  return nets.kind.draw(tf.stack([state.seed, state.steps]), num_states)


def make_loss(nets: networks.Networks, config: dmpo_config.DMPOConfig) -> Callable[..., tuple[tf.Tensor, Metrics]]:
  """The function (state, transitions, noise) -> (loss [], metrics)."""
  atoms, kind, tree_map = tf.constant(networks.atoms(config)), nets.kind, tf.nest.map_structure

  def loss(state: TrainingState, transitions: types.Transition, noise: Any) -> tuple[tf.Tensor, Metrics]:
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


def make_update(nets: networks.Networks, config: dmpo_config.DMPOConfig) -> Update[TrainingState]:
  """The function (state, sample) -> (None, metrics), which changes the state; within a `tf.function` only."""
  loss = make_loss(nets, config)

  def update(state: TrainingState, sample: replay.Sample) -> tuple[None, Metrics]:
    noise = draw(nets, state, 2 * sample.data.reward.shape[0])
    parts = (state.policy.trainable_variables, state.critic.trainable_variables, variables.of(state.duals))
    with tf.GradientTape() as tape:
      value, metrics = loss(state, sample.data, noise)
    limits = (config.max_gradient_norm, config.max_gradient_norm, None)
    for optimizer, *inputs in zip(state.optimizers, tape.gradient(value, parts), parts, limits, strict=True):
      learning.apply_gradients(optimizer, *inputs)
    mpo.put_floor(state.duals)
    steps = state.steps
    steps.assign_add(1)
    variables.periodic_copy(steps, config.target_policy_period, state.policy.variables, state.target_policy.variables)
    variables.periodic_copy(steps, config.target_critic_period, state.critic.variables, state.target_critic.variables)
    multipliers = {name: tf.reduce_mean(value) for name, value in mpo.positive(state.duals).items()}
    return None, metrics | multipliers

  return update


def make_program(
  spec: specs.EnvironmentSpec, config: dmpo_config.DMPOConfig, network: control.Factories | None = None
) -> Program[TrainingState, snt.Module, tuple[()]]:
  """Makes DMPO's program. Raises ValueError where the actions are neither one discrete one nor bounded floats."""
  nets = networks.make_networks(spec, config, network)
  names = ("policy", "critic", "duals", "target_policy", "target_critic")
  return Program(
    init=lambda seed: make_state(nets, config, seed),
    update=make_update(nets, config),
    params=lambda state: state.policy,
    make_params=lambda: variables.create(nets.make_policy, nets.observation),
    variables=lambda state: {name: getattr(state, name) for name in names},
    behaviour=acting.make_policy(nets, evaluation=False),
    evaluation=acting.make_policy(nets, evaluation=True),
    space=nets.kind.space,
  )
