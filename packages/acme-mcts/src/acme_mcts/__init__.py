"""MCTS: PUCT search in copies of an environment or in a learned model, with a learned prior and value.

agent = acme_mcts.MCTS(acme.make_environment_spec(environment), simulator=environment, seed=0)
acme.EnvironmentLoop(environment, agent).run(num_episodes=300)
"""

from acme import plugins
from acme_mcts.acting import MCTSActor, SearchObserver
from acme_mcts.agent import MCTS
from acme_mcts.builder import MCTSBuilder
from acme_mcts.config import MCTSConfig
from acme_mcts.models import Simulator
from acme_mcts.search import SearchResult

__version__ = "0.1.0"

__all__ = ["AGENT", "MCTS", "MCTSActor", "MCTSBuilder", "MCTSConfig", "SearchObserver", "SearchResult", "Simulator"]

AGENT = plugins.AgentPlugin(
  name="mcts",
  summary="MCTS: plans by tree search in a learned model (or a simulator), with a learned prior and value.",
  config=MCTSConfig,
  builder=MCTSBuilder,
  agent=MCTS,
  actions="discrete",
  backends=("tf",),
  references=(
    "Silver et al. 2018, Science 362, arXiv 1712.01815",
    "Anthony et al. 2017, arXiv 1705.08439",
    "Schrittwieser et al. 2019, arXiv 1911.08265",
  ),
)
