"""How DQN acts: ε-greedily."""

import sonnet as snt
import tensorflow as tf

from acme import types
from acme_dqn import config as dqn_config
from acme_dqn.tf import networks
from acme_tf import exploration
from acme_tf.program import Acted, Policy


def make_policy(nets: networks.Networks, config: dqn_config.DQNConfig, *, evaluation: bool) -> Policy:
  """The behaviour; for evaluation with `eval_epsilon`."""
  if evaluation:
    epsilon = exploration.linear_schedule(config.eval_epsilon, config.eval_epsilon, 0)
  else:
    epsilon = exploration.linear_schedule(config.epsilon_initial, config.epsilon, config.epsilon_decay_steps)

  def act(network: snt.Module, seed: tf.Tensor | None, step: types.Step, core: tuple[()]) -> Acted[tuple[()]]:
    q = nets.values(network(step.observation))  # [N, A]
    return Acted(tf.argmax(q, axis=-1))  # [N]

  return Policy(act=act, explore=exploration.EpsilonGreedy(num_actions=nets.num_actions, epsilon=epsilon))
