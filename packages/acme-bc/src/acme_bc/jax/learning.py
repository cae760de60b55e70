"""Behavioural cloning's training step.

  L(θ) = E_i[w(a_i) · loss(π_θ(·|o_i), a_i)]

the mean over all steps of a batch at which something was done, with the loss of the actions' kind (`losses`), and w of
1, or one over the action's share in what is learned from. A recurrent policy is unrolled over sequences, from nothing
remembered at their first step, and anew where an episode begins.

Reference: Pomerleau 1991.

Shapes: B batch, L steps, A actions.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax

from acme import replay, specs, types
from acme_bc import config as bc_config
from acme_bc.jax import acting, losses, networks
from acme_jax import normalization, optimizers, spaces
from acme_jax.program import Evaluate, Metrics, Program, Update

LossFn = Callable[[hk.Params, Any], tuple[jax.Array, tuple[Metrics, jax.Array]]]


class TrainingState(NamedTuple):
  """All that changes as the learner learns."""

  params: hk.Params
  opt_state: optax.OptState


def make_optimizer(config: bc_config.BCConfig) -> optax.GradientTransformation:
  """Adam, after a clip of the gradients' global norm where the config has one."""
  return optimizers.adam(config.learning_rate, max_gradient_norm=config.max_gradient_norm)


def make_state(nets: networks.Networks, config: bc_config.BCConfig, key: jax.Array) -> TrainingState:
  """The first state. The key is consumed."""
  params = nets.init(key)
  return TrainingState(params, make_optimizer(config).init(params))


def make_loss(nets: networks.Networks, class_weights: np.ndarray | None = None) -> LossFn:
  """The function (params, transitions or sequences) -> (loss [], (metrics, steps that they are means over))."""
  kind = nets.kind

  def loss(params: hk.Params, data: Any) -> tuple[jax.Array, tuple[Metrics, jax.Array]]:
    action = data.action
    if isinstance(data, types.Sequence):
      batch = data.mask.shape[0]
      policy, _ = nets.unroll(params, data.observation, data.start_of_episode, nets.initial_state(batch))
      policy, action, acted = jax.tree.map(_merge, (policy, action, data.acted))  # over [B · L]
    else:
      policy, _ = nets.step(params, data.observation, ())  # over [B]
      acted = jnp.ones(jax.tree.leaves(policy)[0].shape[0])
    if isinstance(kind.space, spaces.Continuous):
      action = kind.space.from_environment(action)  # [B, D] in [−1, 1]
      measured = jax.vmap(losses.squared_error)(policy.mode(), action)
    else:
      measured = (policy.mode() == action).astype(jnp.float32)
    each = jax.vmap(kind.loss)(policy, action)  # [B]
    if class_weights is not None:
      each *= jnp.asarray(class_weights)[action]
    steps = jnp.sum(acted)
    value, measure = (jnp.sum(jnp.where(acted > 0, x, 0)) / jnp.maximum(steps, 1) for x in (each, measured))
    return value, ({"loss": value, kind.measure: measure}, steps)

  return loss


def make_update(
  nets: networks.Networks, config: bc_config.BCConfig, class_weights: np.ndarray | None = None
) -> Update[TrainingState]:
  """The pure function (state, sample) -> (state, None, metrics)."""
  optimizer = make_optimizer(config)
  gradient = jax.grad(make_loss(nets, class_weights), has_aux=True)

  def update(state: TrainingState, sample: replay.Sample) -> tuple[TrainingState, None, Metrics]:
    gradients, (metrics, _) = gradient(state.params, sample.data)
    updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
    return TrainingState(optax.apply_updates(state.params, updates), opt_state), None, metrics

  return update


def make_evaluate(nets: networks.Networks, class_weights: np.ndarray | None = None) -> Evaluate[TrainingState]:
  """The pure function (state, sample) -> (metrics, steps that they are means over): the same loss, not learned from."""
  loss = make_loss(nets, class_weights)
  return lambda state, sample: loss(state.params, sample.data)[1]


def make_program(
  spec: specs.EnvironmentSpec,
  config: bc_config.BCConfig,
  network: networks.MakeNetwork | None = None,
  class_weights: np.ndarray | None = None,
) -> Program[Any, Any, Any]:
  """Makes the program.

  Args:
    spec: the environment's.
    config: every number and switch.
    network: in place of the default one; see `acme_bc.BC`.
    class_weights: w, [A]; None for 1.

  Raises:
    ValueError: the actions are neither one discrete one nor bounded floats, or network or config do not fit them.
  """
  nets = networks.make_networks(spec, config, network)
  policy = acting.make_policy(nets)
  program: Program[Any, Any, Any] = Program(
    init=functools.partial(make_state, nets, config),
    update=make_update(nets, config, class_weights),
    params=lambda state: state.params,
    variables=lambda state: {"policy": state.params},
    behaviour=policy,
    evaluation=policy,
    space=nets.kind.space,
    evaluate=make_evaluate(nets, class_weights),
    patience=config.patience,
  )
  return normalization.normalized(program, spec) if config.normalize else program


def _merge(x: jax.Array) -> jax.Array:
  """[B, L, …] as [B · L, …]."""
  return jnp.reshape(x, (-1, *x.shape[2:]))
