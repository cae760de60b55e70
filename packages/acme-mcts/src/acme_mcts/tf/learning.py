"""Learning from searches: the value by temporal difference, the prior from the visits; and a model of the environment.

  L(θ) = ½ (r_t + γ d_t v_θ⁻(o_t) − v_θ(o_tm1))² − Σ_a π_tm1(a) log p_θ(a | o_tm1)  [+ the model's loss]

π_tm1 are the shares of the search's visits at o_tm1; they travel through replay as extras.

References: Silver et al. 2018 (1712.01815); Anthony et al. 2017 (1705.08439).
Deviations: the value's target is bootstrapped after one step, as the same transitions train the model, not the
episode's outcome; its error is halved, and there is no L2 on the weights; the model predicts observations, step by
step, not unrolled.

Shapes: B batch, A actions, D features.
"""

from typing import NamedTuple

import sonnet as snt
import tensorflow as tf

from acme import replay, specs
from acme_mcts import config as mcts_config
from acme_mcts.tf import losses, networks
from acme_tf import learning, spaces, variables
from acme_tf.program import Metrics, Program, Update


class TrainingState(NamedTuple):
  """All that changes as the learner learns."""

  online: networks.Networks
  target: networks.PredictionNetwork  # copied every config.target_update_period steps
  optimizer: snt.Optimizer
  steps: tf.Variable  # [] int64, SGD steps taken


MCTSProgram = Program[TrainingState, networks.Networks, tuple[()]]


def make_state(
  spec: specs.EnvironmentSpec, config: mcts_config.MCTSConfig, learned_model: bool, seed: int
) -> TrainingState:
  """The first state: the target network is equal to the prediction network. The seed is consumed."""
  online = networks.make_networks(spec, config, learned_model, seed)
  target = networks.make_prediction(spec, config, learned_model)
  variables.copy(online.prediction.variables, target.variables)
  optimizer = learning.adam(config.learning_rate, _parameters(online))
  return TrainingState(online, target, optimizer, tf.Variable(0, dtype=tf.int64, name="steps"))


def make_update(config: mcts_config.MCTSConfig) -> Update[TrainingState]:
  """The function (state, sample) -> (None, metrics), which changes the state."""

  def update(state: TrainingState, sample: replay.Sample) -> tuple[None, Metrics]:
    (prediction, transition), parameters, data = state.online, _parameters(state.online), sample.data
    _, v_t = state.target(data.next_observation)  # [B]
    with tf.GradientTape() as tape:
      features_tm1 = prediction.encode(data.observation)  # [B, D]
      logits, v_tm1 = prediction.predict(features_tm1)  # [B, A], [B]
      metrics = {
        "value_loss": losses.value_loss(v_tm1, data.reward, config.discount * data.discount, v_t),
        "policy_loss": losses.policy_loss(logits, data.extras["policy"]),
      }
      if transition is not None:
        features_t = prediction.encode(data.next_observation)  # [B, D]
        step = transition(features_tm1, data.action)
        metrics["model_loss"] = losses.transition_loss(step, features_t, data.reward, data.discount)
      loss = tf.add_n(list(metrics.values()))
    gradients = tape.gradient(loss, parameters)
    norm = learning.apply_gradients(state.optimizer, gradients, parameters, config.max_gradient_norm)
    state.steps.assign_add(1)
    variables.periodic_copy(state.steps, config.target_update_period, prediction.variables, state.target.variables)
    return None, {"loss": loss, **metrics, "gradient_norm": norm, "value": tf.reduce_mean(v_tm1)}

  return update


def make_program(spec: specs.EnvironmentSpec, config: mcts_config.MCTSConfig, learned_model: bool) -> MCTSProgram:
  """Makes MCTS's program, without policies: it acts by searching. Raises ValueError where actions are not discrete."""
  space = spaces.make(spec, "MCTS", "discrete")
  return Program(
    init=lambda seed: make_state(spec, config, learned_model, seed),
    update=make_update(config),
    params=lambda state: state.online,
    make_params=lambda: networks.make_networks(spec, config, learned_model),
    variables=_variables,
    behaviour=None,
    evaluation=None,
    space=space,
  )


def _parameters(nets: networks.Networks) -> list[tf.Variable]:
  transition = () if nets.transition is None else nets.transition.trainable_variables
  return [*nets.prediction.trainable_variables, *transition]


def _variables(state: TrainingState) -> dict[str, snt.Module]:
  prediction, transition = state.online
  model = {} if transition is None else {"transition": transition}
  return {"prediction": prediction, "target_prediction": state.target, **model}
