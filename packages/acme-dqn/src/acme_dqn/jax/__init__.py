"""DQN in JAX, Haiku and rlax."""

import functools

import haiku as hk

from acme_dqn.config import DQNConfig, make_experience
from acme_dqn.jax.learning import make_program
from acme_jax.builder import ProgramBuilder

__all__ = ["make_builder", "make_program"]


def make_builder(config: DQNConfig, network: hk.Transformed | None = None) -> ProgramBuilder:
  """Makes the builder; `network` as in `acme_dqn.DQN`."""
  make = functools.partial(make_program, config=config, network=network)
  return ProgramBuilder(config, make_experience(config), make)
