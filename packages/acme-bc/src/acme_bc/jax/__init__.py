"""Behavioural cloning in JAX and Haiku."""

import functools
from typing import Any

from acme import builders, core, specs
from acme_bc import balance
from acme_bc.config import BCConfig, make_experience
from acme_bc.jax.learning import TrainingState, make_program
from acme_bc.jax.networks import MakeNetwork
from acme_jax.builder import ProgramBuilder
from acme_jax.program import Program

__all__ = ["make_builder", "make_program"]


def make_builder(config: BCConfig, network: MakeNetwork | None = None) -> ProgramBuilder:
  """Makes the builder; `network` as in `acme_bc.BC`."""
  make = functools.partial(make_program, config=config, network=network)
  return (BalancedBuilder if config.class_balance else ProgramBuilder)(config, make_experience(config), make)


class BalancedBuilder(ProgramBuilder[BCConfig, TrainingState, Any, Any]):
  """One whose learner weighs actions by how rare they are in what it learns from."""

  def make_learner(
    self, spec: specs.EnvironmentSpec, program: Program[TrainingState, Any, Any], inputs: builders.LearnerInputs
  ) -> core.Learner:
    weights = balance.of_inputs(spec, inputs)
    return super().make_learner(spec, self._make_program(spec, class_weights=weights), inputs)  # type: ignore[call-arg]
