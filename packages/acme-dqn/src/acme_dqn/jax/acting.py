"""How DQN acts: ε-greedily, with noisy weights where the config says so."""

import jax
import jax.numpy as jnp

from acme import types
from acme_dqn import config as dqn_config
from acme_dqn.jax import networks
from acme_jax import exploration
from acme_jax.program import Acted, Policy


def make_policy(nets: networks.Networks, config: dqn_config.DQNConfig, *, evaluation: bool) -> Policy:
  """The behaviour; for evaluation with `eval_epsilon` and the mean weights of noisy layers."""
  if evaluation:
    epsilon = exploration.linear_schedule(config.eval_epsilon, config.eval_epsilon, 0)
  else:
    epsilon = exploration.linear_schedule(config.epsilon_initial, config.epsilon, config.epsilon_decay_steps)

  def act(params: networks.Params, key: jax.Array | None, step: types.Step, core: tuple[()]) -> Acted[tuple[()]]:
    q = nets.values(nets.network.apply(params, key, step.observation))  # [N, A]
    return Acted(jnp.argmax(q, axis=-1))  # [N]

  return Policy(
    act=act,
    explore=exploration.EpsilonGreedy(num_actions=nets.num_actions, epsilon=epsilon),
    random=config.noisy and not evaluation,
  )
