"""The one line for the user: DQN in one process."""

from typing import Any

from acme import agents, counting, loggers, specs
from acme.agents import agent as acme_agent
from acme_dqn import builder
from acme_dqn import config as dqn_config


class DQN(agents.Agent):
  """A DQN agent: acts, stores what it sees, and learns from it (Mnih et al. 2015 and the papers in `DQNConfig`)."""

  def __init__(
    self,
    spec: specs.EnvironmentSpec,
    *,
    config: dqn_config.DQNConfig | None = None,
    backend: str = "jax",
    network: Any = None,
    seed: int = 0,
    num_envs: int | None = None,
    replay: acme_agent.MakeReplay | None = None,
    logger: loggers.Logger | None = None,
    counter: counting.Counter | None = None,
  ) -> None:
    """Makes an agent.

    Args:
      spec: the environment's specs, from `acme.make_environment_spec`; the action must be one discrete one.
      config: every number and switch; None for `DQNConfig()`.
      backend: "jax" for JAX and Haiku, "tf" for TensorFlow and Sonnet, which `pip install "acme-dqn[tf]"` brings.
      network: from observations [B, …] to Q-values [B, A], or to logits or quantiles [B, A, K]: a `haiku.Transformed`,
        or with "tf" a function that makes a Sonnet module; None for the one that the config and the specs ask for.
      seed: of everything random in the agent.
      num_envs: how many environments it acts in at once; None for one.
      replay: (tables, step spec, seed) -> store; None for `acme_replay.EmbeddedReplay`.
      logger: where the learner's metrics go; None for nowhere.
      counter: what the learner counts its steps on.

    Raises:
      ValueError: the action spec is not discrete, or the network's output does not fit the config; or there is no
        such backend, or it lacks a switch of the config.
      ImportError: the backend is not installed.
    """
    if replay is None:
      import acme_replay

      replay = acme_replay.EmbeddedReplay
    super().__init__(
      builder.DQNBuilder(config, backend=backend, network=network),
      spec,
      make_replay=replay,
      seed=seed,
      num_envs=num_envs,
      logger=logger,
      counter=counter,
    )
