"""DQN's actors: ε-greedy."""

import tensorflow as tf

from acme import core, replay, specs, types
from acme_dqn import config as dqn_config
from acme_dqn.tf import networks
from acme_tf import acting
from acme_tf import variables as tf_variables


def make_actor(
  spec: specs.EnvironmentSpec,
  nets: networks.Networks,
  config: dqn_config.DQNConfig,
  variables: core.VariableSource,
  *,
  seed: int,
  adder: replay.Adder | None = None,
  num_envs: int | None = None,
  evaluation: bool = False,
) -> core.Actor:
  """Makes an actor; for evaluation one with `eval_epsilon`."""
  if evaluation:
    epsilon = acting.linear_schedule(config.eval_epsilon, config.eval_epsilon, 0)
  else:
    epsilon = acting.linear_schedule(config.epsilon_initial, config.epsilon, config.epsilon_decay_steps)
  network = tf_variables.create(nets.make, nets.observation)

  def greedy(observation: types.NestedArray) -> tf.Tensor:
    return tf.argmax(nets.values(network(observation)), axis=-1)  # [B]

  return acting.EpsilonGreedyActor(
    greedy,
    variables,
    specs.require_discrete(spec, "DQN"),
    epsilon=epsilon,
    seed=seed,
    variables=network.variables,
    adder=adder,
    num_envs=num_envs,
  )
