"""D4PG in TensorFlow, Sonnet and trfl."""

import functools

from acme_d4pg.config import D4PGConfig, make_experience
from acme_d4pg.tf.learning import make_program
from acme_tf.builder import ProgramBuilder, refuse_switches
from acme_tf.control import Factories

__all__ = ["make_builder", "make_program"]


def make_builder(config: D4PGConfig, network: Factories | None = None) -> ProgramBuilder:
  """Makes the builder; `network` as in `acme_d4pg.D4PG`. Raises ValueError for a switch that this backend lacks."""
  refuse_switches(config, "normalize_observations")
  make = functools.partial(make_program, config=config, network=network)
  return ProgramBuilder(config, functools.partial(make_experience, config), make)
