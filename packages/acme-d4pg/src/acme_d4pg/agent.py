"""The one line for the user: D4PG in one process."""

from acme import agents, counting, loggers, specs
from acme.agents import agent as acme_agent
from acme_d4pg import builder
from acme_d4pg import config as d4pg_config


class D4PG(agents.Agent):
  """A D4PG agent: acts with noise, stores what it sees, and learns from it (Barth-Maron et al. 2018, 1804.08617)."""

  def __init__(
    self,
    spec: specs.EnvironmentSpec,
    *,
    config: d4pg_config.D4PGConfig | None = None,
    backend: str = "jax",
    seed: int = 0,
    num_envs: int | None = None,
    replay: acme_agent.MakeReplay | None = None,
    logger: loggers.Logger | None = None,
    counter: counting.Counter | None = None,
  ) -> None:
    """Makes an agent.

    Args:
      spec: the environment's specs, from `acme.make_environment_spec`; actions are any nest of bounded floats.
      config: every number and switch; None for `D4PGConfig()`.
      backend: "jax" for JAX and Haiku, "tf" for TensorFlow and Sonnet, which `pip install "acme-d4pg[tf]"` brings.
      seed: of everything random in the agent.
      num_envs: how many environments it acts in at once; None for one.
      replay: (tables, step spec, seed) -> store; None for `acme_replay.EmbeddedReplay`.
      logger: where the learner's metrics go; None for nowhere.
      counter: what the learner counts its steps on.

    Raises:
      ValueError: an action is not a float, or has no finite bounds; or there is no such backend.
      ImportError: the backend is not installed.
    """
    if replay is None:
      import acme_replay

      replay = acme_replay.EmbeddedReplay
    super().__init__(
      builder.D4PGBuilder(config, backend=backend),
      spec,
      make_replay=replay,
      seed=seed,
      num_envs=num_envs,
      logger=logger,
      counter=counter,
    )
