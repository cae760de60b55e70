"""R2D2: recurrent double Q-learning from prioritised sequences, for discrete actions that need a memory.

agent = acme_r2d2.R2D2(acme.make_environment_spec(environment), seed=0)
acme.EnvironmentLoop(environment, agent).run(num_episodes=300)
"""

from acme import agents, plugins
from acme_r2d2.config import R2D2Config

__version__ = "0.1.0"

__all__ = ["AGENT", "R2D2", "R2D2Config"]

AGENT = plugins.AgentPlugin(
  name="r2d2",
  summary="R2D2: Q-learning with a recurrent network from prioritised sequences, for discrete actions.",
  config=R2D2Config,
  actions=("discrete",),
  backends={"jax": "acme_r2d2.jax", "tf": "acme_r2d2.tf"},
  presets={"memory": R2D2Config.memory, "published": R2D2Config.published},
  references=(
    "Kapturowski et al. 2019, Recurrent experience replay in distributed reinforcement learning (ICLR)",
    "Pohlen et al. 2018, arXiv 1805.11593",
    "Horgan et al. 2018, arXiv 1803.00933",
    "Wang et al. 2015, arXiv 1511.06581",
  ),
  small={"head_hidden_sizes": (16,)},
)


class R2D2(agents.PluginAgent[R2D2Config]):
  """An R2D2 agent, for one discrete action (Kapturowski et al. 2019).

  `network` is a function that makes three: a torso, from observations [B, …], the actions before them one-hot [B, A]
  and their rewards [B] to features [B, F]; a recurrent core, a `haiku.RNNCore`, from these to [B, H]; and a head, from
  [B, H] to Q-values [B, A]. With "tf" they are of Sonnet.
  """

  plugin = AGENT
