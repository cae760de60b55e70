"""MPO in JAX, Haiku and rlax."""

import functools

from acme_jax import mpo
from acme_jax.builder import ProgramBuilder
from acme_mpo.config import MPOConfig, make_experience
from acme_mpo.jax.learning import make_program

__all__ = ["make_builder", "make_program"]


def make_builder(config: MPOConfig, network: mpo.Pair | None = None) -> ProgramBuilder:
  """Makes the builder; `network` as in `acme_mpo.MPO`."""
  make = functools.partial(make_program, config=config, network=network)
  return ProgramBuilder(config, make_experience(config), make)
