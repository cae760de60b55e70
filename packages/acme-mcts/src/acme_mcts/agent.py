"""The one line for the user: MCTS in one process."""

import dm_env

from acme import agents, core, counting, loggers, specs
from acme.agents import agent as acme_agent
from acme_mcts import builder, models
from acme_mcts import config as mcts_config


class MCTS(agents.Agent):
  """An agent that plans by Monte Carlo tree search, in copies of its environment or in a model that it learns."""

  def __init__(
    self,
    spec: specs.EnvironmentSpec,
    *,
    config: mcts_config.MCTSConfig | None = None,
    simulator: dm_env.Environment | models.Simulator | None = None,
    seed: int = 0,
    num_envs: int | None = None,
    replay: acme_agent.MakeReplay | None = None,
    logger: loggers.Logger | None = None,
    counter: counting.Counter | None = None,
  ) -> None:
    """Makes an agent.

    Args:
      spec: the environment's specs, from `acme.make_environment_spec`; the action must be one discrete one.
      config: every number; None for `MCTSConfig()`.
      simulator: the very environment that the agent will act in, to plan in copies of it (or an `acme_mcts.Simulator`
        of it, to say how); None to learn a model.
      seed: of everything random in the agent.
      num_envs: how many environments it acts in at once; None for one. With a simulator only one.
      replay: (tables, step spec, seed) -> store; None for `acme_replay.EmbeddedReplay`.
      logger: where the learner's metrics go; None for nowhere.
      counter: what the learner counts its steps on.

    Raises:
      ValueError: the action spec is not discrete, or a simulator is given for several environments or has other specs.
      TypeError: the simulator is no dm_env environment, or cannot be copied.
    """
    if replay is None:
      import acme_replay

      replay = acme_replay.EmbeddedReplay
    super().__init__(
      builder.MCTSBuilder(config, simulator=simulator),
      spec,
      make_replay=replay,
      seed=seed,
      num_envs=num_envs,
      logger=logger,
      counter=counter,
    )

  def make_evaluator(self, simulator: dm_env.Environment | models.Simulator | None = None) -> core.Actor:
    """Makes an actor that acts greedily with this agent's newest parameters and records nothing.

    Args:
      simulator: the very environment that the evaluator will act in, where the agent plans in a simulator.

    Raises:
      ValueError: a simulator is given to an agent that learns a model, or none to one that plans in a simulator; or it
        has other specs than the agent.
      TypeError: it is no dm_env environment, or cannot be copied.
    """
    own = self._builder.simulator  # type: ignore[attr-defined]
    if (own is None) != (simulator is None):
      expected = (
        "the environment that the evaluator will act in" if simulator is None else "none, as the agent learns a model"
      )
      raise ValueError(f"make_evaluator simulator: expected {expected}, got {simulator!r}.")
    if own is not None and not isinstance(simulator, models.Simulator):
      simulator = models.Simulator(simulator, rollout_steps=own.rollout_steps, rollout_weight=own.rollout_weight)
    maker = builder.MCTSBuilder(self._builder.config, simulator=simulator)
    return maker.make_actor(self._spec, self._networks, self.learner, seed=self._evaluator_seed, evaluation=True)
