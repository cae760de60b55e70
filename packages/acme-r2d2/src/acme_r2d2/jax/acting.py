"""How R2D2 acts: ε-greedily, with a recurrent state that begins anew where an episode does."""

from typing import Any

import haiku as hk
import jax.numpy as jnp

from acme import types
from acme_jax import exploration
from acme_jax.program import Acted, Policy
from acme_r2d2 import config as r2d2_config
from acme_r2d2.jax import networks


def make_policy(nets: networks.Networks, config: r2d2_config.R2D2Config, *, evaluation: bool) -> Policy:
  """The behaviour, by a ladder of ε over environments or by a schedule; for evaluation with `eval_epsilon`."""
  ladder = config.ladder and not evaluation
  if ladder:
    epsilon: Any = exploration.ladder(config.ladder_base, config.ladder_exponent)
  elif evaluation:
    epsilon = exploration.linear_schedule(config.eval_epsilon, config.eval_epsilon, 0)
  else:
    epsilon = exploration.linear_schedule(config.epsilon_initial, config.epsilon, config.epsilon_decay_steps)

  def act(params: hk.Params, key: None, step: types.Step, core: Any) -> Acted[Any]:
    q, core = nets.step(params, networks.Inputs(step.observation, step.action, step.reward), core)  # [N, A]
    return Acted(jnp.argmax(q, axis=-1), core=core)  # [N]

  return Policy(
    act=act,
    initial=lambda params, num_envs: nets.initial_state(params, num_envs),
    explore=exploration.EpsilonGreedy(num_actions=nets.num_actions, epsilon=epsilon, by_stream=ladder),
    reads=("observation", "action", "reward"),
  )
