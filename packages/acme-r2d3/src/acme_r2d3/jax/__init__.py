"""R2D3 in JAX: R2D2's program on other experience."""

import functools

from acme_jax.builder import ProgramBuilder
from acme_r2d2.jax.networks import MakeNetwork
from acme_r2d3.config import R2D3Config, make_experience
from acme_r2d3.jax.learning import make_program

__all__ = ["make_builder", "make_program"]


def make_builder(config: R2D3Config, network: MakeNetwork | None = None) -> ProgramBuilder:
  """Makes the builder; `network` as in `acme_r2d2.R2D2`. Raises ValueError where the config has no demonstrations."""
  return ProgramBuilder(
    config, make_experience(config), functools.partial(make_program, config=config, network=network)
  )
