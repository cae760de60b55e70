"""DDPG: deep deterministic policy gradients, with the three changes of TD3, for continuous control.

agent = acme_ddpg.DDPG(acme.make_environment_spec(environment), seed=0)
acme.EnvironmentLoop(environment, agent).run(num_episodes=100)
"""

from acme import agents, plugins
from acme_ddpg.config import DDPGConfig

__version__ = "0.1.0"

__all__ = ["AGENT", "DDPG", "DDPGConfig"]

AGENT = plugins.AgentPlugin(
  name="ddpg",
  summary="DDPG: off-policy deterministic policy gradients, with TD3's changes as switches, for continuous actions.",
  config=DDPGConfig,
  actions=("continuous",),
  backends={"jax": "acme_ddpg.jax", "tf": "acme_ddpg.tf"},
  presets={
    "td3": DDPGConfig.td3,
    "paper": DDPGConfig.paper,
    "control_suite": DDPGConfig.control_suite,
    "mountain_car": DDPGConfig.mountain_car,
  },
  tuned={"MountainCarContinuous-v0": "mountain_car"},
  references=(
    "Lillicrap et al. 2015, arXiv 1509.02971",
    "Fujimoto et al. 2018, arXiv 1802.09477",
    "Eberhard et al. 2023, Pink noise is all you need",
  ),
)


class DDPG(agents.PluginAgent[DDPGConfig]):
  """A DDPG agent, for bounded continuous actions (Lillicrap et al. 2015, 1509.02971).

  `network` is a pair: the policy, from observations [B, …] to [B, D] in [−1, 1], and the critic, from these and such
  actions to Q-values [B, K], K = 2 with `twin_critic`, else 1; each a `haiku.Transformed`, or with "tf" a function that
  makes a Sonnet module.
  """

  plugin = AGENT
