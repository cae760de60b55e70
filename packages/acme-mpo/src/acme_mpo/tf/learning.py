"""MPO's training step.

  critic:  ½ (G_t − Q_θ(o_t, a_t))²,  with V(o) = E_π'[Q_θ'(o, a)], over N samples, and
           G_t = R_t + γ D_t V(o_{t+n}), or Retrace(λ) of V and Q_θ' (acme_tf.returns)
  policy:  acme_tf.mpo, with a_n ~ π'(o_t) and q_n = Q_θ'(o_t, a_n)

where R_t and D_t are n-step sums (acme.types.Transition). A transition is learned from as a sequence of one step.

References: Abdolmaleki et al. 2018 (1806.06920, 1812.02256); Munos et al. 2016 (1606.02647).
Deviations: those of `acme_mpo.jax.learning`.

Shapes: B batch, T steps that were acted at, time first; M = T·B states, or (T + 1)·B; N candidates.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import sonnet as snt
import tensorflow as tf

from acme import replay, specs, types
from acme_mpo import config as mpo_config
from acme_mpo.tf import acting, networks
from acme_tf import control, learning, mpo, returns, variables
from acme_tf.program import Metrics, Program, Update


class TrainingState(NamedTuple):
  """All that changes as the learner learns."""

  policy: snt.Module
  critic: snt.Module
  duals: dict[str, tf.Variable]
  target_policy: snt.Module  # copied every config.target_policy_period steps
  target_critic: snt.Module  # and every config.target_critic_period steps
  policy_optimizer: snt.Optimizer
  critic_optimizer: snt.Optimizer
  dual_optimizer: snt.Optimizer
  seed: tf.Variable  # [] int64, constant; what is drawn at a step follows from both
  steps: tf.Variable  # [] int64, SGD steps taken


class Steps(NamedTuple):
  """What was seen and done."""

  observation: types.NestedArray  # [T + 1, B, …]
  action: types.NestedArray  # [T, B, …]
  reward: tf.Tensor  # [T, B]
  discount: tf.Tensor  # [T, B]
  log_mu: tf.Tensor  # [T, B], log-probabilities of the actions, as they were stored
  acted: tf.Tensor  # [T, B], 0 at an episode's final observation and in padding


def steps_of(data: types.Transition | types.Sequence) -> Steps:
  """A batch with time first; a transition [B, …] has T = 1."""
  tree_map = tf.nest.map_structure
  if isinstance(data, types.Transition):
    observation = tree_map(lambda *x: tf.stack(x), data.observation, data.next_observation)
    action, reward, discount = tree_map(lambda x: x[None], (data.action, data.reward, data.discount))
    return Steps(observation, action, reward, discount, tf.zeros_like(reward), tf.ones_like(reward))
  wanted = (data.action, data.reward, data.discount, data.extras["log_prob"], data.acted)
  observation, *others = tree_map(
    lambda x: tf.transpose(x, (1, 0, *range(2, x.shape.rank))), (data.observation, *wanted)
  )
  return Steps(observation, *tree_map(lambda x: x[:-1], others))


def make_state(nets: networks.Networks, config: mpo_config.MPOConfig, seed: int) -> TrainingState:
  """The first state: the target networks are equal to the online networks. The seed is consumed."""
  policy_seed, critic_seed, seed = (int(s) for s in np.random.SeedSequence(seed).generate_state(3))
  inputs = (nets.observation, *nets.kind.zeros(1))
  policy = variables.create(nets.make_policy, nets.observation, seed=policy_seed)
  critic = variables.create(nets.make_critic, *inputs, seed=critic_seed)
  duals = nets.kind.make_duals()
  return TrainingState(
    policy,
    critic,
    duals,
    variables.make_target(nets.make_policy, policy, nets.observation),
    variables.make_target(nets.make_critic, critic, *inputs),
    learning.adam(config.policy_learning_rate, policy.trainable_variables),
    learning.adam(config.critic_learning_rate, critic.trainable_variables),
    learning.adam(config.dual_learning_rate, variables.of(duals)),
    tf.Variable(seed, dtype=tf.int64, name="seed"),
    tf.Variable(0, dtype=tf.int64, name="steps"),
  )


def draw(nets: networks.Networks, state: TrainingState, num_states: int) -> Any:
  """All that one update draws."""
  return nets.kind.draw(tf.stack([state.seed, state.steps]), num_states)


def make_loss(nets: networks.Networks, config: mpo_config.MPOConfig) -> Callable[..., tuple[tf.Tensor, Metrics]]:
  """The function (state, steps, noise) -> (loss [], metrics)."""
  kind, tree_map = nets.kind, tf.nest.map_structure

  def loss(state: TrainingState, steps: Steps, noise: Any) -> tuple[tf.Tensor, Metrics]:
    shape = steps.reward.shape  # T, B
    size = shape[0] * shape[1]
    merged = tree_map(lambda x: tf.reshape(x, (-1, *x.shape[2:])), steps)
    observation, here = merged.observation, tree_map(lambda x: x[:size], merged.observation)  # [(T + 1)·B, …], [T·B, …]
    action = kind.stored(merged.action)

    # Of the targets: candidates and their values in all states, the value and probability of what was done.
    target = state.target_policy(observation)
    candidates = kind.candidates(target, noise)
    q = kind.values(state.target_critic, observation, candidates)[..., 0]  # [N, (T + 1)·B]
    v_t = tf.reshape(candidates.mean(q), (-1, shape[1]))[1:]  # [T, B]
    q_tm1 = tf.reshape(kind.value(state.target_critic, here, action)[:, 0], shape)
    target = tree_map(lambda x: x[:size], target)
    log_pi = tf.reshape(target.log_prob(action), shape)
    discount_t = config.discount * steps.discount
    g = returns.retrace(
      q_tm1[1:], v_t, steps.reward, discount_t, log_pi[1:], steps.log_mu[1:], steps.acted[1:], config.retrace_lambda
    )  # [T, B]

    q_online = kind.value(state.critic, here, action)[:, 0]  # [T·B]
    td_error = tf.reshape(g, (-1,)) - q_online
    states = tree_map(lambda x: x[:, :size], candidates)
    improvement = kind.loss(state.duals, state.policy(here), target, states, q[:, :size])  # each leaf [T·B]

    weights = merged.acted / tf.maximum(tf.reduce_sum(merged.acted), 1)  # [T·B]
    values = {"loss": 0.5 * td_error**2, "policy_loss": improvement.total, "q": q_online, **improvement.metrics}
    metrics = {name: tf.reduce_sum(weights * value) for name, value in values.items()}
    return metrics["loss"] + metrics["policy_loss"], metrics

  return loss


def make_update(nets: networks.Networks, config: mpo_config.MPOConfig) -> Update[TrainingState]:
  """The function (state, sample) -> (None, metrics), which changes the state; within a `tf.function` only."""
  loss = make_loss(nets, config)

  def update(state: TrainingState, sample: replay.Sample) -> tuple[None, Metrics]:
    steps = steps_of(sample.data)
    noise = draw(nets, state, (steps.reward.shape[0] + 1) * steps.reward.shape[1])
    parts = state.policy.trainable_variables, state.critic.trainable_variables, variables.of(state.duals)
    with tf.GradientTape() as tape:
      value, metrics = loss(state, steps, noise)
    gradients = tape.gradient(value, parts)
    learning.apply_gradients(state.policy_optimizer, gradients[0], parts[0], config.max_gradient_norm)
    learning.apply_gradients(state.critic_optimizer, gradients[1], parts[1], config.max_gradient_norm)
    learning.apply_gradients(state.dual_optimizer, gradients[2], parts[2])
    mpo.put_floor(state.duals)
    state.steps.assign_add(1)
    for online, target, period in (
      (state.policy, state.target_policy, config.target_policy_period),
      (state.critic, state.target_critic, config.target_critic_period),
    ):
      variables.periodic_copy(state.steps, period, online.variables, target.variables)
    return None, metrics | {name: tf.reduce_mean(value) for name, value in mpo.positive(state.duals).items()}

  return update


def make_program(
  spec: specs.EnvironmentSpec, config: mpo_config.MPOConfig, network: control.Factories | None = None
) -> Program[TrainingState, snt.Module, tuple[()]]:
  """Makes MPO's program. Raises ValueError where the actions are neither one discrete one nor bounded floats."""
  nets = networks.make_networks(spec, config, network)
  return Program(
    init=lambda seed: make_state(nets, config, seed),
    update=make_update(nets, config),
    params=lambda state: state.policy,
    make_params=lambda: variables.create(nets.make_policy, nets.observation),
    variables=lambda state: {name: getattr(state, name) for name in TrainingState._fields[:5]},
    behaviour=acting.make_policy(nets, config, evaluation=False),
    evaluation=acting.make_policy(nets, config, evaluation=True),
    space=nets.kind.space,
  )
