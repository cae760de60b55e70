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
from functools import partial
from typing import Any, NamedTuple

import sonnet as snt
import tensorflow as tf

from acme import replay, specs, types
from acme_mpo import config as mpo_config
from acme_mpo.tf import acting, networks
from acme_tf import control, mpo, returns
from acme_tf.program import Metrics, Program, Update


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


def make_loss(nets: mpo.Networks, config: mpo_config.MPOConfig) -> Callable[..., tuple[tf.Tensor, Metrics]]:
  """The function (state, steps, noise) -> (loss [], metrics)."""
  kind, tree_map = nets.kind, tf.nest.map_structure

  def loss(state: mpo.TrainingState, steps: Steps, noise: Any) -> tuple[tf.Tensor, Metrics]:
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


def make_update(nets: mpo.Networks, config: mpo_config.MPOConfig) -> Update[mpo.TrainingState]:
  """The function (state, sample) -> (None, metrics), which changes the state; within a `tf.function` only."""
  loss, rates = make_loss(nets, config), mpo.Rates.of(config)

  def update(state: mpo.TrainingState, sample: replay.Sample) -> tuple[None, Metrics]:
    steps = steps_of(sample.data)
    noise = mpo.draw(nets, state, (steps.reward.shape[0] + 1) * steps.reward.shape[1])
    with tf.GradientTape() as tape:
      value, metrics = loss(state, steps, noise)
    return None, metrics | mpo.step(rates, state, tape.gradient(value, mpo.parts(state)))

  return update


def make_program(
  spec: specs.EnvironmentSpec, config: mpo_config.MPOConfig, network: control.Factories | None = None
) -> Program[mpo.TrainingState, snt.Module, tuple[()]]:
  """Makes MPO's program. Raises ValueError where the actions are neither one discrete one nor bounded floats."""
  nets = networks.make_networks(spec, config, network)
  return mpo.make_program(
    nets, mpo.Rates.of(config), make_update(nets, config), partial(acting.make_policy, nets, config)
  )
