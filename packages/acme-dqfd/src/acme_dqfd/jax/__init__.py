"""DQfD in JAX, on DQN's networks, losses and policy."""

import functools

import haiku as hk

from acme_dqfd.config import DQfDConfig, make_experience
from acme_dqfd.jax.learning import make_program
from acme_jax.builder import ProgramBuilder

__all__ = ["make_builder", "make_program"]


def make_builder(config: DQfDConfig, network: hk.Transformed | None = None) -> ProgramBuilder:
  """Makes the builder; `network` as in `acme_dqn.DQN`. Raises ValueError where the config has no demonstrations."""
  return ProgramBuilder(
    config, make_experience(config), functools.partial(make_program, config=config, network=network)
  )
