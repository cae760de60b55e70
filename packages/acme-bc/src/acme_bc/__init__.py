"""Behavioural cloning: a policy that does what recorded episodes did, for discrete or continuous actions.

agent = acme_bc.BC(acme_replay.datasets.environment_spec(path), config=acme_bc.BCConfig(dataset=path))
acme.LearningLoop(agent.learner, evaluate=agent.learner.evaluate).run(num_steps=10_000)
actor = agent.make_evaluator()
"""

from acme import agents, plugins
from acme_bc.config import BCConfig

__version__ = "0.1.0"

__all__ = ["AGENT", "BC", "BCConfig"]

AGENT = plugins.AgentPlugin(
  name="bc",
  summary="Behavioural cloning: imitates recorded episodes, with discrete or continuous actions.",
  config=BCConfig,
  actions=("discrete", "continuous"),
  backends={"jax": "acme_bc.jax", "tf": "acme_bc.tf"},
  presets={"recurrent": BCConfig.recurrent},
  references=("Pomerleau 1991, Efficient training of artificial neural networks for autonomous navigation",),
  small={"dataset": "{dataset}", "held_out": 0.25},
)


class BC(agents.PluginAgent[BCConfig]):
  """A behavioural-cloning agent, for one discrete action or bounded continuous ones (Pomerleau 1991).

  It learns by `acme.LearningLoop`, from the config's dataset, or from any iterator of batches of transitions:
  `replay=functools.partial(acme_replay.StreamReplay, batches)`. It acts by `make_evaluator()`.

  `network` is a function that makes three: a torso, from observations [B, …] to features [B, F]; a `haiku.RNNCore`, or
  None where the config has no `core`; and a head, from [B, F] or what the core gives to a policy over [B]: an
  `acme_jax.distributions` `Categorical`, `DiagonalGaussian` or `TanhGaussian`, or with the loss "mse" actions [B, D] in
  [−1, 1]. With "tf" they are of Sonnet, and the policy one of `acme_tf.networks`.
  """

  plugin = AGENT
