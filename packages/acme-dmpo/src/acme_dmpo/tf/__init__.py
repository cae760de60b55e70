"""DMPO in TensorFlow, Sonnet and trfl."""

import functools

from acme_dmpo.config import DMPOConfig, make_experience
from acme_dmpo.tf.learning import make_program
from acme_tf.builder import ProgramBuilder, refuse_switches
from acme_tf.control import Factories

__all__ = ["make_builder", "make_program"]


def make_builder(config: DMPOConfig, network: Factories | None = None) -> ProgramBuilder:
  """Makes the builder; `network` as in `acme_dmpo.DMPO`. Raises ValueError for a switch that this backend lacks."""
  refuse_switches(config, "normalize_observations")
  make = functools.partial(make_program, config=config, network=network)
  return ProgramBuilder(config, functools.partial(make_experience, config), make)
