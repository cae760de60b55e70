"""DQN in TensorFlow, Sonnet and trfl."""

import functools

from acme_dqn.config import DQNConfig, make_experience
from acme_dqn.tf.learning import make_program
from acme_tf.builder import ProgramBuilder
from acme_tf.variables import Factory

__all__ = ["check_switches", "make_builder", "make_program"]


def make_builder(config: DQNConfig, network: Factory | None = None) -> ProgramBuilder:
  """Makes the builder; `network` as in `acme_dqn.DQN`. Raises ValueError for a switch that this backend lacks."""
  check_switches(config)
  make = functools.partial(make_program, config=config, network=network)
  return ProgramBuilder(config, make_experience(config), make)


def check_switches(config: DQNConfig) -> None:
  """Raises ValueError for a switch that this backend lacks."""
  for switch in ("noisy", "munchausen"):
    if getattr(config, switch):
      name = f"{type(config).__name__}.{switch}"
      raise ValueError(f'{name}: the TensorFlow backend lacks it. Set it to False, or use backend="jax".')
