"""IMPALA's training step.

  L(θ) = E_t[ −A_t log π_θ(a_t|o_t) + c_v (v_t − V_θ(o_t))² − c_e H(π_θ(·|o_t)) ]

the mean over all steps of a batch at which there was an action, with targets v and advantages A by V-trace
(acme_jax.returns), as a sequence may come from an older policy μ than π_θ. A recurrent network is unrolled from the
state that acted at the sequence's first step.

Reference: Espeholt et al. 2018 (1802.01561).
Deviations: means over steps, where the paper has sums, and no ½ before the squared error; the network does not see the
last action and reward; by default a constant learning rate, and Adam.

Shapes: B batch, L steps.
"""

from functools import partial
from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import optax

from acme import replay, specs, types
from acme_impala import config as impala_config
from acme_impala.jax import acting, losses, networks
from acme_jax import optimizers
from acme_jax.program import Metrics, Program, Update


class TrainingState(NamedTuple):
  """All that changes as the learner learns."""

  params: hk.Params
  opt_state: optax.OptState


def make_optimizer(config: impala_config.IMPALAConfig) -> optax.GradientTransformation:
  """Adam or RMSProp, after a clip of the gradients' global norm where the config has one."""
  make = optimizers.adam
  if config.optimizer == "rmsprop":
    make = partial(optimizers.rmsprop, decay=config.rmsprop_decay, epsilon=config.rmsprop_epsilon)
  rate = optimizers.falling(config.learning_rate, config.learning_rate_steps)
  return make(rate, max_gradient_norm=config.max_gradient_norm)


def make_state(nets: networks.Networks, config: impala_config.IMPALAConfig, key: jax.Array) -> TrainingState:
  """The first state. The key is consumed."""
  params = nets.unroll.init(key, nets.observation, jnp.ones((1, 1), bool), nets.initial_core(1))
  return TrainingState(params, make_optimizer(config).init(params))


def make_update(nets: networks.Networks, config: impala_config.IMPALAConfig) -> Update[TrainingState]:
  """The pure function (state, sample) -> (state, None, metrics)."""
  optimizer, limit = make_optimizer(config), config.max_abs_reward

  def loss(params: hk.Params, data: types.Sequence) -> tuple[jax.Array, Metrics]:
    policy, values, _ = nets.unroll.apply(params, data.observation, data.start_of_episode, data.core)  # [B, L]
    log_pi, log_mu = nets.kind.log_probs(policy, data)
    reward = config.reward_scale * (data.reward if limit is None else jnp.clip(data.reward, -limit, limit))
    discount = config.discount * data.discount
    each = jax.vmap(losses.actor_critic)(log_pi, policy.entropy(), values, reward, discount, log_mu, data.acted)  # [B]
    steps = jnp.maximum(jnp.sum(data.acted[:, :-1]), 1)
    policy_loss, baseline_loss, entropy = (jnp.sum(part) / steps for part in each)
    total = policy_loss + config.baseline_cost * baseline_loss - config.entropy_cost * entropy
    return total, {"policy_loss": policy_loss, "baseline_loss": baseline_loss, "entropy": entropy}

  def update(state: TrainingState, sample: replay.Sample) -> tuple[TrainingState, None, Metrics]:
    (value, metrics), gradients = jax.value_and_grad(loss, has_aux=True)(state.params, sample.data)
    updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
    return TrainingState(optax.apply_updates(state.params, updates), opt_state), None, {"loss": value, **metrics}

  return update


def make_program(
  spec: specs.EnvironmentSpec, config: impala_config.IMPALAConfig, network: networks.Pair | None = None
) -> Program[TrainingState, hk.Params, types.NestedArray]:
  """Makes IMPALA's program. Raises ValueError where the actions are neither one discrete one nor bounded floats."""
  nets = networks.make_networks(spec, config, network)
  return Program(
    init=partial(make_state, nets, config),
    update=make_update(nets, config),
    params=lambda state: state.params,
    variables=lambda state: {"policy": state.params},
    behaviour=acting.make_policy(nets, evaluation=False),
    evaluation=acting.make_policy(nets, evaluation=True),
    space=nets.kind.space,
  )
