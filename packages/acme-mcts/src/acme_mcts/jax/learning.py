"""Learning from searches: the value by temporal difference, the prior from the visits; and a model of the environment.

  L(θ) = ½ (r_t + γ d_t v_θ⁻(o_t) − v_θ(o_tm1))² − Σ_a π_tm1(a) log p_θ(a | o_tm1)  [+ the model's loss]

π_tm1 are the shares of the search's visits at o_tm1; they travel through replay as extras.

References: Silver et al. 2018 (1712.01815); Anthony et al. 2017 (1705.08439).
Deviations: the value's target is bootstrapped after one step, as the same transitions train the model, not the
episode's outcome; its error is halved, and there is no L2 on the weights; the model predicts observations, step by
step, not unrolled.

Shapes: B batch, A actions, D features.
"""

from collections.abc import Callable
from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import optax

from acme import replay, specs, types
from acme_jax import optimizers, spaces, targets
from acme_jax.program import Metrics, Program, Update
from acme_mcts import config as mcts_config
from acme_mcts.jax import losses, networks


class TrainingState(NamedTuple):
  """All that changes as the learner learns."""

  params: networks.Params
  target_params: hk.Params  # of the prediction network, copied every config.target_update_period steps
  opt_state: optax.OptState
  steps: jax.Array  # [] int32, SGD steps taken


MCTSProgram = Program[TrainingState, networks.Params, tuple[()]]
LossFn = Callable[[networks.Params, hk.Params, types.Transition], tuple[jax.Array, Metrics]]


def make_optimizer(config: mcts_config.MCTSConfig) -> optax.GradientTransformation:
  """Adam, after a clip of the gradients' global norm."""
  return optimizers.adam(config.learning_rate, max_gradient_norm=config.max_gradient_norm)


def make_state(nets: networks.Networks, config: mcts_config.MCTSConfig, key: jax.Array) -> TrainingState:
  """The first state: the target network is equal to the prediction network. The key is consumed."""
  params = nets.init(key)
  return TrainingState(params, params.prediction, make_optimizer(config).init(params), jnp.zeros((), jnp.int32))


def make_loss(nets: networks.Networks, config: mcts_config.MCTSConfig, learned_model: bool) -> LossFn:
  """The function (params, target params, transitions) -> (loss, its parts and the mean value)."""

  def loss(params: networks.Params, target_params: hk.Params, data: types.Transition) -> tuple[jax.Array, Metrics]:
    features_tm1, features_t = (nets.encode(params.prediction, o) for o in (data.observation, data.next_observation))
    logits, v_tm1 = nets.predict(params.prediction, features_tm1)  # [B, A], [B]
    _, v_t = nets.predict(target_params, nets.encode(target_params, data.next_observation))  # [B]
    parts = {
      "value_loss": jax.vmap(losses.value_loss)(v_tm1, data.reward, config.discount * data.discount, v_t),
      "policy_loss": jax.vmap(losses.policy_loss)(logits, data.extras["policy"]),
    }
    if learned_model:
      step = nets.transition(params.transition, features_tm1, data.action)
      parts["model_loss"] = jax.vmap(losses.transition_loss)(step, features_t, data.reward, data.discount)
    metrics = {name: jnp.mean(part) for name, part in parts.items()}
    return sum(metrics.values(), jnp.zeros(())), metrics | {"value": jnp.mean(v_tm1)}

  return loss


def make_update(nets: networks.Networks, config: mcts_config.MCTSConfig, learned_model: bool) -> Update[TrainingState]:
  """The pure function (state, sample) -> (state, None, metrics)."""
  optimizer = make_optimizer(config)
  loss = make_loss(nets, config, learned_model)

  def update(state: TrainingState, sample: replay.Sample) -> tuple[TrainingState, None, Metrics]:
    gradient = jax.value_and_grad(loss, has_aux=True)
    (loss_value, metrics), gradients = gradient(state.params, state.target_params, sample.data)
    updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    steps = state.steps + 1
    target = targets.periodic_update(params.prediction, state.target_params, steps, config.target_update_period)
    norm = jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(gradients)))
    metrics = {"loss": loss_value, **metrics, "gradient_norm": norm}
    return TrainingState(params, target, opt_state, steps), None, metrics

  return update


def make_program(spec: specs.EnvironmentSpec, config: mcts_config.MCTSConfig, learned_model: bool) -> MCTSProgram:
  """Makes MCTS's program, without policies: it acts by searching. Raises ValueError where actions are not discrete."""
  space = spaces.make(spec, "MCTS", "discrete")
  nets = networks.make_networks(spec, config, learned_model)
  return Program(
    init=lambda key: make_state(nets, config, key),
    update=make_update(nets, config, learned_model),
    params=lambda state: state.params,
    variables=_variables,
    behaviour=None,
    evaluation=None,
    space=space,
  )


def _variables(state: TrainingState) -> dict[str, hk.Params]:
  prediction, transition = state.params
  model = {} if transition is None else {"transition": transition}
  return {"prediction": prediction, "target_prediction": state.target_params, **model}
