"""IMPALA: actor-critic with V-trace, recurrent or not, for discrete and continuous control.

agent = acme_impala.IMPALA(acme.make_environment_spec(environments[0]), num_envs=16, seed=0)
acme.VectorEnvironmentLoop(environments, agent).run(num_steps=100_000)
"""

from acme import agents, plugins
from acme_impala.config import IMPALAConfig

__version__ = "0.1.0"

__all__ = ["AGENT", "IMPALA", "IMPALAConfig"]

AGENT = plugins.AgentPlugin(
  name="impala",
  summary="IMPALA: actor-critic with V-trace, recurrent or not, for discrete or continuous actions.",
  config=IMPALAConfig,
  actions=("discrete", "continuous"),
  backends={"jax": "acme_impala.jax", "tf": "acme_impala.tf"},
  presets={"recurrent": IMPALAConfig.recurrent, "control": IMPALAConfig.control, "atari": IMPALAConfig.atari},
  references=("Espeholt et al. 2018, arXiv 1802.01561",),
  small={"sequence_length": 4, "head_hidden_sizes": (8,)},
  num_envs=16,
)


class IMPALA(agents.PluginAgent[IMPALAConfig]):
  """An IMPALA agent, for one discrete action or bounded continuous ones (Espeholt et al. 2018, 1802.01561).

  `network` is a pair, what unrolls over sequences and the state that it begins episodes in. The first is from
  observations [B, L, …], whether an episode starts there [B, L], and a recurrent state [B, …] to a policy over [B, L],
  values [B, L] and the state after the last step; a `haiku.Transformed`, or with "tf" a function that makes a Sonnet
  module. The policy is an `acme_jax.distributions` `Categorical` or `DiagonalGaussian`, or one of `acme_tf.networks`.
  The second is a function of B that gives that state [B, …], () for none.
  """

  plugin = AGENT
