"""MPO: maximum a posteriori policy optimisation, for continuous and discrete control.

agent = acme_mpo.MPO(acme.make_environment_spec(environment), seed=0)
acme.EnvironmentLoop(environment, agent).run(num_episodes=300)
"""

from acme import agents, plugins
from acme_mpo.config import MPOConfig

__version__ = "0.1.0"

__all__ = ["AGENT", "MPO", "MPOConfig"]

AGENT = plugins.AgentPlugin(
  name="mpo",
  summary="MPO: off-policy policy improvement within trust regions, for continuous or discrete actions, or both.",
  config=MPOConfig,
  actions=("continuous", "discrete", "mixed"),
  backends={"jax": "acme_mpo.jax", "tf": "acme_mpo.tf"},
  presets={"mountain_car": MPOConfig.mountain_car, "published": MPOConfig.published},
  tuned={"MountainCarContinuous-v0": "mountain_car"},
  references=(
    "Abdolmaleki et al. 2018, arXiv 1806.06920",
    "Abdolmaleki et al. 2018, arXiv 1812.02256",
    "Neunert et al. 2020, arXiv 2001.00449",
    "Munos et al. 2016, arXiv 1606.02647",
  ),
  small={"num_samples": 4, "sequence_length": 4, "sequence_period": 1},
)


class MPO(agents.PluginAgent[MPOConfig]):
  """An MPO agent, for bounded continuous actions, one discrete one, or both (Abdolmaleki et al. 2018, 1806.06920).

  `network` is a pair: the policy, from observations [B, …] to an `acme_jax.distributions` `DiagonalGaussian` over
  [B, D], a `Categorical` over [B], or of both kinds of actions a `Mixed` over [B, V]; and the critic, from observations
  and actions [B, D] in [−1, 1], or [B, V], to Q-values [B, 1], or of a discrete action from observations alone to
  [B, A, 1]. Each is a `haiku.Transformed`, or with "tf" a function that makes a Sonnet module, the distributions those
  of `acme_tf.networks`.
  """

  plugin = AGENT
