"""Learning from searches: the value by temporal difference, the prior from the visits; and a model of the environment.

  L(θ) = ½ (r_t + γ d_t v_θ⁻(o_t) − v_θ(o_tm1))² − Σ_a π_tm1(a) log p_θ(a | o_tm1)  [+ the model's loss]

π_tm1 are the shares of the search's visits at o_tm1; they travel through replay as extras.

References: Silver et al. 2018 (1712.01815); Anthony et al. 2017 (1705.08439).
Deviations: the value's target is bootstrapped after one step, as the same transitions train the model, not the
episode's outcome; the model predicts observations, step by step, not unrolled.

Shapes: B batch, A actions, D features.
"""

from collections.abc import Iterator

import tensorflow as tf

from acme import counting, loggers, replay, specs
from acme_mcts import config as mcts_config
from acme_mcts.tf import losses, networks
from acme_tf import learning, variables


def make_learner(
  spec: specs.EnvironmentSpec,
  make: networks.Networks,
  config: mcts_config.MCTSConfig,
  dataset: Iterator[replay.Sample],
  *,
  seed: int,
  logger: loggers.Logger | None,
  counter: counting.Counter | None,
) -> learning.TFLearner:
  """Makes the learner; `seed` is of the networks' first values."""
  prediction = networks.create_prediction(make, spec, seed)
  transition = networks.create_transition(make, spec, prediction, seed + 1)
  target = networks.create_prediction(make, spec)
  variables.copy(prediction.variables, target.variables)
  parameters = list(prediction.trainable_variables) + (
    [] if transition is None else list(transition.trainable_variables)
  )
  optimizer = learning.adam(config.learning_rate, parameters)
  steps = tf.Variable(0, dtype=tf.int64, name="steps")  # [] SGD steps taken

  def update(sample: replay.Sample) -> tuple[None, learning.Metrics]:
    data = sample.data
    _, v_t = target(data.next_observation)  # [B]
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
    norm = learning.apply_gradients(optimizer, tape.gradient(loss, parameters), parameters, config.max_gradient_norm)
    steps.assign_add(1)
    variables.periodic_copy(steps, config.target_update_period, prediction.variables, target.variables)
    return None, {"loss": loss, **metrics, "gradient_norm": norm, "value": tf.reduce_mean(v_tm1)}

  networks_ = {"prediction": prediction, "target_prediction": target}
  if transition is not None:
    networks_["transition"] = transition
  return learning.TFLearner(
    {**networks_, "optimizer": optimizer, "steps": steps},
    update,
    dataset,
    variables={name: network.variables for name, network in networks_.items()},
    num_sgd_steps=config.num_sgd_steps_per_step,
    logger=logger,
    counter=counter,
  )
