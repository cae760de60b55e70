"""D4PG: distributional deep deterministic policy gradients, for continuous control.

agent = acme_d4pg.D4PG(acme.make_environment_spec(environment), seed=0)
acme.EnvironmentLoop(environment, agent).run(num_episodes=300)
"""

from acme import agents, plugins
from acme_d4pg.config import D4PGConfig

__version__ = "0.2.0"

__all__ = ["AGENT", "D4PG", "D4PGConfig"]

AGENT = plugins.AgentPlugin(
  name="d4pg",
  summary="D4PG: off-policy deterministic policy gradients with a categorical critic, for continuous actions.",
  config=D4PGConfig,
  actions=("continuous",),
  backends={"jax": "acme_d4pg.jax", "tf": "acme_d4pg.tf"},
  presets={
    "paper": D4PGConfig.paper,
    "mountain_car": D4PGConfig.mountain_car,
    "pendulum": D4PGConfig.pendulum,
    "cartpole": D4PGConfig.cartpole,
  },
  tuned={"MountainCarContinuous-v0": "mountain_car", "Pendulum-v1": "pendulum", "cartpole": "cartpole"},
  references=("Barth-Maron et al. 2018, arXiv 1804.08617", "Lillicrap et al. 2015, arXiv 1509.02971"),
)


class D4PG(agents.PluginAgent[D4PGConfig]):
  """A D4PG agent, for bounded continuous actions (Barth-Maron et al. 2018, 1804.08617).

  `network` is a pair: the policy, from observations [B, …] to [B, D] in [−1, 1], and the critic, from these and such
  actions to logits [B, K]; each a `haiku.Transformed`, or with "tf" a function that makes a Sonnet module.
  """

  plugin = AGENT
