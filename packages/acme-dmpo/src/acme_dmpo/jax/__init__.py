"""DMPO in JAX, Haiku and rlax."""

import functools

from acme_dmpo.config import DMPOConfig, make_experience
from acme_dmpo.jax.learning import make_program
from acme_jax import mpo
from acme_jax.builder import ProgramBuilder

__all__ = ["make_builder", "make_program"]


def make_builder(config: DMPOConfig, network: mpo.Pair | None = None) -> ProgramBuilder:
  """Makes the builder; `network` as in `acme_dmpo.DMPO`."""
  make = functools.partial(make_program, config=config, network=network)
  return ProgramBuilder(config, functools.partial(make_experience, config), make)
