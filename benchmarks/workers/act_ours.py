"""Our actor alone on CartPole, MLP 256-256, ε-greedy: environment steps a second."""

import argparse

import common
import gymnasium
import ours

import acme
import acme_envs
from acme import core, loggers
from acme_dqn import DQN

parser = argparse.ArgumentParser()
parser.add_argument("--envs", type=int, default=0, help="0 for one environment in EnvironmentLoop")
parser.add_argument("--listed", action="store_true", help="a list of dm_env environments, not Gymnasium's vector one")
parser.add_argument("--chunk", type=int, default=500, help="steps of the loop between two looks at the clock")
options = parser.parse_args()
common.compute_at_once()

single = acme.wrappers.GymWrapper(gymnasium.make("CartPole-v1"))
spec = acme.make_environment_spec(single)
config = ours.plain_config(hidden_sizes=(256, 256), max_replay_size=1_000)
agent = DQN(spec, config=config, seed=0, num_envs=options.envs or None)


class Acting(core.Actor):
  """The agent's own actor, shown nothing: no replay, no learning."""

  def select_action(self, observation):
    return agent.select_action(observation)

  def observe_first(self, timestep):
    pass

  def observe(self, action, next_timestep):
    pass

  def update(self, wait=False):
    pass


def make_loop():
  """The loop over one environment, over a list of them, or over a vector environment."""
  silent = {"logger": loggers.NullLogger(), "should_update": False}
  if not options.envs:
    return acme.EnvironmentLoop(single, Acting(), **silent)
  if options.listed:
    environments = [acme.wrappers.GymWrapper(gymnasium.make("CartPole-v1")) for _ in range(options.envs)]
    return acme.VectorEnvironmentLoop(environments, Acting(), **silent)
  environments = gymnasium.make_vec("CartPole-v1", num_envs=options.envs, vectorization_mode="vector_entry_point")
  return acme.VectorEnvironmentLoop(acme_envs.wrappers.GymVectorWrapper(environments), Acting(), **silent)


loop = make_loop()
steps = options.chunk * max(1, options.envs)
common.report(steps_per_second=common.rate(lambda: loop.run(num_steps=steps), steps, 2.0))
