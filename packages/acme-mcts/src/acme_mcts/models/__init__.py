"""What the search plans with: a simulator, or a model that was learned. Neither imports a framework."""

from acme_mcts.models.learned import LearnedModel
from acme_mcts.models.simulator import Simulator, SimulatorModel, as_simulator

__all__ = ["LearnedModel", "Simulator", "SimulatorModel", "as_simulator"]
