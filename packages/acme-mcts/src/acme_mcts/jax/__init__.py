"""MCTS in JAX and Haiku."""

import dm_env

from acme_mcts import models
from acme_mcts.config import MCTSConfig
from acme_mcts.jax.builder import MCTSBuilder
from acme_mcts.jax.learning import make_program

__all__ = ["MCTSBuilder", "make_builder", "make_program"]


def make_builder(config: MCTSConfig, *, simulator: dm_env.Environment | models.Simulator | None = None) -> MCTSBuilder:
  """Makes the builder; `simulator` as in `acme_mcts.MCTS`."""
  return MCTSBuilder(config, simulator)
