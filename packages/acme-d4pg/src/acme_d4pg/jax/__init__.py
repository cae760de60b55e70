"""D4PG in JAX, Haiku and rlax."""

import functools

import haiku as hk

from acme_d4pg.config import D4PGConfig, make_experience
from acme_d4pg.jax.learning import make_program
from acme_jax.builder import ProgramBuilder

__all__ = ["make_builder", "make_program"]


def make_builder(config: D4PGConfig, network: tuple[hk.Transformed, hk.Transformed] | None = None) -> ProgramBuilder:
  """Makes the builder; `network` as in `acme_d4pg.D4PG`."""
  make = functools.partial(make_program, config=config, network=network)
  return ProgramBuilder(config, functools.partial(make_experience, config), make)
