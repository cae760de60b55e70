"""MCTS's builder: its actor searches, where other agents' actors call a policy."""

import functools

import dm_env

from acme import builders, core, specs, types
from acme_mcts import acting, models
from acme_mcts.config import MCTSConfig, make_experience
from acme_mcts.tf import networks, search
from acme_mcts.tf.learning import MCTSProgram, TrainingState, make_program
from acme_tf import builder, variables
from acme_tf.program import PARAMS


class MCTSBuilder(builder.ProgramBuilder[MCTSConfig, TrainingState, networks.Networks, tuple[()]]):
  """Makes MCTS's components."""

  def __init__(self, config: MCTSConfig, simulator: dm_env.Environment | models.Simulator | None = None) -> None:
    """Makes a builder; `simulator` as in `acme_mcts.MCTS`."""
    self.simulator = None if simulator is None else models.as_simulator(simulator)
    make = functools.partial(make_program, config=config, learned_model=simulator is None)
    super().__init__(config, make_experience(config), make)

  def with_simulator(self, simulator: dm_env.Environment | models.Simulator) -> "MCTSBuilder":
    return MCTSBuilder(self.config, models.as_simulator(simulator, like=self.simulator))

  def extras_spec(self, spec: specs.EnvironmentSpec, program: MCTSProgram) -> types.NestedSpec:
    return acting.extras_spec(spec)

  def make_actor(self, spec: specs.EnvironmentSpec, program: MCTSProgram, inputs: builders.ActorInputs) -> core.Actor:
    """Makes an actor. Raises ValueError where there is one simulator for several environments, or of another kind."""
    if self.simulator is not None:
      self.simulator.check_fits(spec, inputs.num_envs)
    nets = program.make_params()
    client = variables.VariableClient(inputs.variables, PARAMS, variables.of(nets))
    model = search.make_model(nets, spec, self.config, self.simulator)
    return acting.MCTSActor(model, client, spec.actions, self.config, inputs)
