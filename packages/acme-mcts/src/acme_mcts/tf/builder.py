"""MCTS's builder: its actor searches, where other agents' actors call a policy."""

import functools

import dm_env
import numpy as np

from acme import builders, core, specs, types
from acme_mcts import acting, models
from acme_mcts.config import MCTSConfig, make_experience
from acme_mcts.tf import search
from acme_mcts.tf.learning import MCTSProgram, make_program
from acme_tf import builder, variables
from acme_tf.program import PARAMS


class MCTSBuilder(builder.ProgramBuilder):
  """Makes MCTS's components."""

  def __init__(self, config: MCTSConfig, simulator: dm_env.Environment | models.Simulator | None = None) -> None:
    """Makes a builder; `simulator` as in `acme_mcts.MCTS`."""
    is_environment = simulator is not None and not isinstance(simulator, models.Simulator)
    self.simulator = models.Simulator(simulator) if is_environment else simulator
    make = functools.partial(make_program, config=config, learned_model=simulator is None)
    super().__init__(config, make_experience(config), make)

  def extras_spec(self, spec: specs.EnvironmentSpec, program: MCTSProgram) -> types.NestedSpec:
    return {"policy": specs.BoundedArray((spec.actions.num_values,), np.float32, 0, 1, name="policy")}

  def make_actor(self, spec: specs.EnvironmentSpec, program: MCTSProgram, inputs: builders.ActorInputs) -> core.Actor:
    """Makes an actor. Raises ValueError where there is one simulator for several environments, or of another kind."""
    if self.simulator is not None:
      if inputs.num_envs is not None:
        raise ValueError(
          f"MCTS with a simulator acts in one environment, got num_envs={inputs.num_envs}: leave simulator= out, so "
          "that it learns a model, or run one environment."
        )
      _check_specs(self.simulator.environment, spec)
    nets = program.make_params()
    client = variables.VariableClient(inputs.variables, PARAMS, variables.of(nets))
    model = search.make_model(nets, spec, self.config, self.simulator)
    return acting.MCTSActor(model, client, spec.actions, self.config, inputs)


def _check_specs(environment: dm_env.Environment, spec: specs.EnvironmentSpec) -> None:
  theirs = specs.make_environment_spec(environment)
  for name in ("observations", "actions"):
    wanted, got = (specs.describe(getattr(each, name)) for each in (spec, theirs))
    if got != wanted:
      raise ValueError(
        f"MCTS simulator: expected {name} {wanted}, as the agent has them, got {got}: give it the very environment "
        "that the agent acts in."
      )
