"""MCTS: PUCT search in copies of an environment or in a learned model, with a learned prior and value.

agent = acme_mcts.MCTS(acme.make_environment_spec(environment), simulator=environment, seed=0)
acme.EnvironmentLoop(environment, agent).run(num_episodes=300)
"""

import dm_env

from acme import agents, core, plugins
from acme_mcts.acting import MCTSActor, SearchObserver
from acme_mcts.config import MCTSConfig
from acme_mcts.models import Simulator
from acme_mcts.search import SearchResult

__version__ = "0.2.0"

__all__ = ["AGENT", "MCTS", "MCTSActor", "MCTSConfig", "SearchObserver", "SearchResult", "Simulator"]

AGENT = plugins.AgentPlugin(
  name="mcts",
  summary="MCTS: plans by tree search in a learned model (or a simulator), with a learned prior and value.",
  config=MCTSConfig,
  actions=("discrete",),
  backends={"jax": "acme_mcts.jax", "tf": "acme_mcts.tf"},
  references=(
    "Silver et al. 2018, Science 362, arXiv 1712.01815",
    "Anthony et al. 2017, arXiv 1705.08439",
    "Schrittwieser et al. 2019, arXiv 1911.08265",
  ),
  small={"num_simulations": 4},
)


class MCTS(agents.PluginAgent[MCTSConfig]):
  """An agent that plans by Monte Carlo tree search, in copies of its environment or in a model that it learns.

  It takes one option more: `simulator`, the very environment that the agent will act in, to plan in copies of it (or an
  `acme_mcts.Simulator` of it, to say how); None to learn a model. With a simulator it acts in one environment only.
  """

  plugin = AGENT

  def make_evaluator(self, simulator: dm_env.Environment | Simulator | None = None) -> core.Actor:
    """Makes an actor that acts greedily with this agent's newest parameters and records nothing.

    Args:
      simulator: the very environment that the evaluator will act in, where the agent plans in a simulator.

    Raises:
      ValueError: a simulator is given to an agent that learns a model, or none to one that plans in a simulator; or it
        has other specs than the agent.
      TypeError: it is no dm_env environment, or cannot be copied.
    """
    own: Simulator | None = self._builder.simulator  # type: ignore[attr-defined]
    if (own is None) != (simulator is None):
      expected = (
        "the environment that the evaluator will act in" if simulator is None else "none, as the agent learns a model"
      )
      raise ValueError(f"make_evaluator simulator: expected {expected}, got {simulator!r}.")
    return super().make_evaluator(simulator)
