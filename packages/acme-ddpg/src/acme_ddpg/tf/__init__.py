"""DDPG in TensorFlow and Sonnet."""

import functools

from acme_ddpg.config import DDPGConfig, make_experience
from acme_ddpg.tf.learning import make_program
from acme_tf.builder import ProgramBuilder, refuse_switches
from acme_tf.control import Factories

__all__ = ["make_builder", "make_program"]


def make_builder(config: DDPGConfig, network: Factories | None = None) -> ProgramBuilder:
  """Makes the builder; `network` as in `acme_ddpg.DDPG`. Raises ValueError for a switch that this backend lacks."""
  refuse_switches(config, "normalize_observations")
  make = functools.partial(make_program, config=config, network=network)
  return ProgramBuilder(config, make_experience(config), make)
