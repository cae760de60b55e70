"""IMPALA in TensorFlow and Sonnet."""

import functools

from acme_impala.config import IMPALAConfig, make_experience
from acme_impala.tf.learning import make_program
from acme_impala.tf.networks import Pair
from acme_tf.builder import ProgramBuilder

__all__ = ["make_builder", "make_program"]


def make_builder(config: IMPALAConfig, network: Pair | None = None) -> ProgramBuilder:
  """Makes the builder; `network` as in `acme_impala.IMPALA`."""
  make = functools.partial(make_program, config=config, network=network)
  return ProgramBuilder(config, make_experience(config), make)
