"""R2D2 in TensorFlow and Sonnet."""

import functools

from acme_r2d2.config import R2D2Config, make_experience
from acme_r2d2.tf.learning import make_program
from acme_r2d2.tf.networks import MakeNetwork
from acme_tf.builder import ProgramBuilder

__all__ = ["make_builder", "make_program"]


def make_builder(config: R2D2Config, network: MakeNetwork | None = None) -> ProgramBuilder:
  """Makes the builder; `network` as in `acme_r2d2.R2D2`."""
  make = functools.partial(make_program, config=config, network=network)
  return ProgramBuilder(config, make_experience(config), make)
