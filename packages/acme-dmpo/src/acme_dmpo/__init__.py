"""DMPO: maximum a posteriori policy optimisation with a distributional critic, for continuous and discrete control.

agent = acme_dmpo.DMPO(acme.make_environment_spec(environment), seed=0)
acme.EnvironmentLoop(environment, agent).run(num_episodes=300)
"""

from acme import agents, plugins
from acme_dmpo.config import DMPOConfig

__version__ = "0.1.0"

__all__ = ["AGENT", "DMPO", "DMPOConfig"]

AGENT = plugins.AgentPlugin(
  name="dmpo",
  summary="DMPO: MPO with a categorical critic of returns, for continuous or discrete actions, or both.",
  config=DMPOConfig,
  actions=("continuous", "discrete", "mixed"),
  backends={"jax": "acme_dmpo.jax", "tf": "acme_dmpo.tf"},
  presets={"published": DMPOConfig.published},
  references=("Abdolmaleki et al. 2018, arXiv 1812.02256", "Bellemare et al. 2017, arXiv 1707.06887"),
  small={"num_samples": 4, "num_atoms": 11},
)


class DMPO(agents.PluginAgent[DMPOConfig]):
  """A DMPO agent, for bounded continuous actions, one discrete one, or both in a nest.

  `network` is a pair: the policy, from observations [B, …] to a distribution of `acme_jax.distributions`, a
  `DiagonalGaussian` over [B, D], a `Categorical` over [B], or of both kinds of actions a `Mixed` over [B, V]; and the
  critic, from observations and actions [B, D] in [−1, 1], or [B, V], to logits [B, K], or of a discrete action from
  observations alone to [B, A, K]. Each is a `haiku.Transformed`; with "tf" a function that makes a Sonnet module, whose
  distributions are those of `acme_tf.networks`.
  """

  plugin = AGENT
