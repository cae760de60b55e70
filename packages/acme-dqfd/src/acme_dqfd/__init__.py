"""DQfD: deep Q-learning from demonstrations, which DQN learns from before it acts, and keeps.

agent = acme_dqfd.DQfD(spec, config=acme_dqfd.DQfDConfig(demonstrations="path/of/episodes"), seed=0)
acme.EnvironmentLoop(environment, agent).run(num_episodes=300)
"""

from acme import agents, plugins
from acme_dqfd.config import DQfDConfig

__version__ = "0.1.0"

__all__ = ["AGENT", "DQfD", "DQfDConfig"]

AGENT = plugins.AgentPlugin(
  name="dqfd",
  summary="DQfD: DQN from demonstrations and its own experience, with a margin that holds up what was demonstrated.",
  config=DQfDConfig,
  actions=("discrete",),
  backends={"jax": "acme_dqfd.jax", "tf": "acme_dqfd.tf"},
  presets={"atari": DQfDConfig.atari, "mountain_car": DQfDConfig.mountain_car},
  references=("Hester et al. 2017, arXiv 1704.03732",),
  small={"pretraining_steps": 3},
)


class DQfD(agents.PluginAgent[DQfDConfig]):
  """A DQfD agent, for one discrete action (Hester et al. 2017, 1704.03732); `network` as in `acme_dqn.DQN`."""

  plugin = AGENT
