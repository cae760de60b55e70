"""DQN's actors: ε-greedy, with noisy weights where the config says so."""

from acme import core, replay, specs
from acme_dqn import config as dqn_config
from acme_dqn.jax import networks
from acme_jax import acting


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
  """Makes an actor; for evaluation one with `eval_epsilon`, and the mean weights of noisy layers."""
  if evaluation:
    epsilon = acting.linear_schedule(config.eval_epsilon, config.eval_epsilon, 0)
  else:
    epsilon = acting.linear_schedule(config.epsilon_initial, config.epsilon, config.epsilon_decay_steps)
  noisy = config.noisy and not evaluation
  return acting.EpsilonGreedyActor(
    nets.noisy if noisy else nets.greedy,
    variables,
    specs.require_discrete(spec, "DQN"),
    epsilon=epsilon,
    seed=seed,
    adder=adder,
    num_envs=num_envs,
    noise_seed=seed if noisy else None,
  )
