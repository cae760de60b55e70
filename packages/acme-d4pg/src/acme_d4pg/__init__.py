"""D4PG: distributional deep deterministic policy gradients, for continuous control.

agent = acme_d4pg.D4PG(acme.make_environment_spec(environment), seed=0)
acme.EnvironmentLoop(environment, agent).run(num_episodes=100)
"""

from acme import plugins
from acme_d4pg import builder
from acme_d4pg.agent import D4PG
from acme_d4pg.builder import D4PGBuilder
from acme_d4pg.config import D4PGConfig

__version__ = "0.1.0"

__all__ = ["AGENT", "D4PG", "D4PGBuilder", "D4PGConfig"]

AGENT = plugins.AgentPlugin(
  name="d4pg",
  summary="D4PG: off-policy deterministic policy gradients with a categorical critic, for continuous actions.",
  config=D4PGConfig,
  builder=D4PGBuilder,
  agent=D4PG,
  actions="continuous",
  backends=builder.BACKENDS,
  presets={"paper": D4PGConfig.paper},
  references=("Barth-Maron et al. 2018, arXiv 1804.08617", "Lillicrap et al. 2015, arXiv 1509.02971"),
)
