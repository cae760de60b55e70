"""R2D2 in JAX and Haiku."""

import functools

from acme_jax.builder import ProgramBuilder
from acme_r2d2.config import R2D2Config, make_experience
from acme_r2d2.jax.learning import make_program
from acme_r2d2.jax.networks import MakeNetwork

__all__ = ["make_builder", "make_program"]


def make_builder(config: R2D2Config, network: MakeNetwork | None = None) -> ProgramBuilder:
  """Makes the builder; `network` as in `acme_r2d2.R2D2`."""
  make = functools.partial(make_program, config=config, network=network)
  return ProgramBuilder(config, make_experience(config), make)
