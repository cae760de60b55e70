"""DQN and its extensions: double, n-step, prioritised, dueling, C51, QR-DQN, noisy nets, Munchausen; Rainbow.

agent = acme_dqn.DQN(acme.make_environment_spec(environment), seed=0)
acme.EnvironmentLoop(environment, agent).run(num_episodes=300)
"""

from acme import agents, plugins
from acme_dqn.config import DQNConfig

__version__ = "0.2.0"

__all__ = ["AGENT", "DQN", "DQNConfig"]

AGENT = plugins.AgentPlugin(
  name="dqn",
  summary="DQN: off-policy Q-learning for discrete actions, with every Rainbow extension as a switch.",
  config=DQNConfig,
  actions=("discrete",),
  backends={"jax": "acme_dqn.jax", "tf": "acme_dqn.tf"},
  presets={
    "rainbow": DQNConfig.rainbow,
    "atari": DQNConfig.atari,
    "default": DQNConfig.default,
    "acrobot": DQNConfig.acrobot,
    "mountain_car": DQNConfig.mountain_car,
    "lunar_lander": DQNConfig.lunar_lander,
  },
  tuned={
    "CartPole-v1": "default",
    "catch": "default",
    "Acrobot-v1": "acrobot",
    "MountainCar-v0": "mountain_car",
    "LunarLander-v3": "lunar_lander",
  },
  references=(
    "Mnih et al. 2015, Nature 518",
    "van Hasselt et al. 2015, arXiv 1509.06461",
    "Schaul et al. 2015, arXiv 1511.05952",
    "Wang et al. 2015, arXiv 1511.06581",
    "Bellemare et al. 2017, arXiv 1707.06887",
    "Dabney et al. 2017, arXiv 1710.10044",
    "Fortunato et al. 2017, arXiv 1706.10295",
    "Hessel et al. 2017, arXiv 1710.02298",
    "Vieillard et al. 2020, arXiv 2007.14430",
  ),
)


class DQN(agents.PluginAgent[DQNConfig]):
  """A DQN agent, for one discrete action (Mnih et al. 2015, and the papers in `DQNConfig`).

  `network` is from observations [B, …] to Q-values [B, A], or to logits or quantiles [B, A, K]: a `haiku.Transformed`,
  or with "tf" a function that makes a Sonnet module.
  """

  plugin = AGENT
