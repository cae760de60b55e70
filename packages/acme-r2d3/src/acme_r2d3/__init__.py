"""R2D3: R2D2 on batches of which an exact share are demonstrations, for rewards that exploration does not find.

agent = acme_r2d3.R2D3(spec, config=acme_r2d3.R2D3Config(demonstrations="path/of/episodes"), seed=0)
acme.EnvironmentLoop(environment, agent).run(num_episodes=300)
"""

from acme import agents, plugins
from acme_r2d3.config import R2D3Config

__version__ = "0.1.0"

__all__ = ["AGENT", "R2D3", "R2D3Config"]

AGENT = plugins.AgentPlugin(
  name="r2d3",
  summary="R2D3: R2D2 from demonstrations and its own experience, mixed at an exact ratio, for discrete actions.",
  config=R2D3Config,
  actions=("discrete",),
  backends={"jax": "acme_r2d3.jax", "tf": "acme_r2d3.tf"},
  presets={"memory": R2D3Config.memory, "published": R2D3Config.published},
  references=("Paine et al. 2019, arXiv 1909.01387",),
  small={"head_hidden_sizes": (16,)},
)


class R2D3(agents.PluginAgent[R2D3Config]):
  """An R2D3 agent, for one discrete action (Paine et al. 2019, 1909.01387); `network` as in `acme_r2d2.R2D2`."""

  plugin = AGENT
