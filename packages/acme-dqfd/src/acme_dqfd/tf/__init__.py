"""DQfD in TensorFlow, on DQN's networks, losses and policy."""

import functools

from acme_dqfd.config import DQfDConfig, make_experience
from acme_dqfd.tf.learning import make_program
from acme_dqn import tf as dqn
from acme_tf.builder import ProgramBuilder
from acme_tf.variables import Factory

__all__ = ["make_builder", "make_program"]


def make_builder(config: DQfDConfig, network: Factory | None = None) -> ProgramBuilder:
  """Makes the builder; `network` as in `acme_dqn.DQN`.

  Raises:
    ValueError: the config has no demonstrations, or a switch that this backend lacks.
  """
  dqn.check_switches(config)
  return ProgramBuilder(
    config, make_experience(config), functools.partial(make_program, config=config, network=network)
  )
