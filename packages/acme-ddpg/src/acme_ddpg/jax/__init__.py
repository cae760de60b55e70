"""DDPG in JAX and Haiku."""

import functools

import haiku as hk

from acme_ddpg.config import DDPGConfig, make_experience
from acme_ddpg.jax.learning import make_program
from acme_jax.builder import ProgramBuilder

__all__ = ["make_builder", "make_program"]


def make_builder(config: DDPGConfig, network: tuple[hk.Transformed, hk.Transformed] | None = None) -> ProgramBuilder:
  """Makes the builder; `network` as in `acme_ddpg.DDPG`."""
  make = functools.partial(make_program, config=config, network=network)
  return ProgramBuilder(config, make_experience(config), make)
