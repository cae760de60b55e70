"""DQfD's training step: DQN's loss over one step and over n, a margin for demonstrations, and small weights.

  L(θ) = E_i[w_i (J_1 + λ_n J_n + λ_E 1[i is a demonstration] J_E)] + λ_2 Σ θ²

where J_1 and J_n are DQN's loss, the Huber loss of double Q-learning by default, on the first step of a transition and
on all n, and J_E is `losses.large_margin`. The priority of a transition is that of its first step, |δ_1|; the replay
adds ε_d or ε_a to it. Every switch of DQN is one of J_1 and J_n.

Reference: Hester et al. 2017 (1704.03732), equation 2.
Deviations: Huber's loss, ½ δ² within its δ, in place of δ², so that λ_E and λ_2 count as twice the paper's; the target
network is evaluated at the action that the online network chooses for J_n, too, where the paper writes a maximum; L2
leaves out the biases.

Shapes: B batch, A actions.
"""

from collections.abc import Callable
from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import optax

from acme import replay, specs
from acme_dqfd import config as dqfd_config
from acme_dqfd.jax import losses
from acme_dqn.jax import acting, networks
from acme_dqn.jax import learning as dqn
from acme_jax import learning, spaces, targets
from acme_jax.program import Metrics, Program, Update


class Terms(NamedTuple):
  """What the loss is made of."""

  one_step: jax.Array  # [B]
  n_step: jax.Array  # [B]
  margin: jax.Array  # [B], 0 where the transition is no demonstration
  l2: jax.Array  # []


LossFn = Callable[[hk.Params, hk.Params, jax.Array, replay.Sample], tuple[Terms, jax.Array, jax.Array]]


def make_loss(nets: networks.Networks, config: dqfd_config.DQfDConfig) -> LossFn:
  """The function (params, target params, key, sample) -> (terms, priorities [B], Q-values [B, A])."""
  q_learning = dqn.make_loss(nets, config)

  def loss(
    params: hk.Params, target_params: hk.Params, key: jax.Array, sample: replay.Sample
  ) -> tuple[Terms, jax.Array, jax.Array]:
    data = sample.data
    key_1, key_n = jax.random.split(key)
    one_step, q_tm1 = q_learning(params, target_params, key_1, data._replace(**data.one_step._asdict()))
    n_step, _ = q_learning(params, target_params, key_n, data)
    margin = jax.vmap(losses.large_margin, (0, 0, None))(q_tm1, data.action, config.margin)  # [B]
    margin = jnp.where(sample.table == dqfd_config.DEMONSTRATIONS, margin, 0)
    return Terms(one_step.loss, n_step.loss, margin, losses.l2(params)), one_step.priority, q_tm1

  return loss


def make_update(nets: networks.Networks, config: dqfd_config.DQfDConfig) -> Update[dqn.TrainingState]:
  """The pure function (state, sample) -> (state, priorities [B], metrics)."""
  optimizer = dqn.make_optimizer(config)
  loss = make_loss(nets, config)
  exponent = config.importance_sampling_exponent if config.prioritized else 0.0

  def total(
    params: hk.Params, target_params: hk.Params, key: jax.Array, sample: replay.Sample
  ) -> tuple[jax.Array, tuple[jax.Array, Metrics]]:
    terms, priorities, q_tm1 = loss(params, target_params, key, sample)
    weights = learning.importance_weights(sample.probabilities, exponent)  # [B], max 1
    one_step, n_step, margin = (jnp.mean(weights * term) for term in terms[:3])
    l2 = config.l2_cost * terms.l2
    value = one_step + config.n_step_cost * n_step + config.margin_cost * margin + l2
    metrics = {"loss": value, "one_step_loss": one_step, "n_step_loss": n_step, "margin_loss": margin, "l2_loss": l2}
    return value, (priorities, metrics | _watch(terms, priorities, q_tm1, sample))

  def update(state: dqn.TrainingState, sample: replay.Sample) -> tuple[dqn.TrainingState, jax.Array, Metrics]:
    key = jax.random.fold_in(state.key, state.steps)
    gradients, (priorities, metrics) = jax.grad(total, has_aux=True)(state.params, state.target_params, key, sample)
    changes, opt_state = optimizer.update(gradients, state.opt_state, state.params)
    params, steps = optax.apply_updates(state.params, changes), state.steps + 1
    target_params = targets.periodic_update(params, state.target_params, steps, config.target_update_period)
    return dqn.TrainingState(params, target_params, opt_state, steps, state.key), priorities, metrics

  return update


def _watch(terms: Terms, priorities: jax.Array, q_tm1: jax.Array, sample: replay.Sample) -> Metrics:
  """What is logged beside the losses; the last two are shares of the batch's demonstrations, 0 where it has none."""
  action = sample.data.action
  shown = (sample.table == dqfd_config.DEMONSTRATIONS).astype(jnp.float32)  # [B]
  number = jnp.maximum(jnp.sum(shown), 1)
  return {
    "priority": jnp.mean(priorities),
    "q": jnp.mean(jnp.take_along_axis(q_tm1, action[:, None], axis=1)),
    "demonstrations": jnp.mean(shown),
    "margin_violations": jnp.sum(shown * (terms.margin > 0)) / number,
    "other_actions": jnp.sum(shown * (jnp.argmax(q_tm1, axis=1) != action)) / number,
  }


def make_program(
  spec: specs.EnvironmentSpec, config: dqfd_config.DQfDConfig, network: hk.Transformed | None = None
) -> Program[dqn.TrainingState, hk.Params, tuple[()]]:
  """Makes DQfD's program. Raises ValueError where the actions are not discrete, or the network does not fit."""
  space = spaces.make(spec, "DQfD", "discrete")
  nets = networks.make_networks(spec, config, network)
  policies = [acting.make_policy(nets, config, evaluation=evaluation) for evaluation in (False, True)]
  return Program(
    init=lambda key: dqn.make_state(nets, config, key),
    update=make_update(nets, config),
    params=lambda state: state.params,
    variables=lambda state: {"policy": state.params, "target_policy": state.target_params},
    behaviour=policies[0],
    evaluation=policies[1],
    space=space,
  )
