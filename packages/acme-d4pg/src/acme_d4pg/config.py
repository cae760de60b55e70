"""Every number and switch of D4PG, and what it learns from."""

import dataclasses

from acme import configs, experience, specs
from acme.configs import Positive, PositiveInt


@dataclasses.dataclass(frozen=True, kw_only=True)
class D4PGConfig(configs.NoiseConfig, configs.TransitionConfig, configs.CategoricalConfig, configs.ObservationConfig):
  """D4PG's hyper-parameters (Barth-Maron et al. 2018, 1804.08617).

  The defaults are a recipe for small control tasks; `paper()` has the networks and rates published for the control
  suite. An SGD step is one gradient step of critic and policy on one batch.
  """

  # What is learned; the critic's atoms are in `acme.configs.CategoricalConfig`.
  dqda_clipping: Positive | None = 1.0
  """The critic's gradient for the action, dq/da, is scaled down to this norm in each transition; None leaves it."""

  # Networks and optimisers.
  policy_hidden_sizes: tuple[PositiveInt, ...] = (256, 256, 256)
  """Units of the policy's LayerNormMLP."""
  critic_hidden_sizes: tuple[PositiveInt, ...] = (256, 256, 256)
  """Units of the critic's LayerNormMLP, over observation and action; 512-512-256 in `paper()`."""
  policy_learning_rate: Positive = 3e-4
  """Adam's for the policy, per SGD step; 1e-4 in `paper()`."""
  critic_learning_rate: Positive = 3e-4
  """Adam's for the critic, per SGD step; 1e-4 in `paper()`."""
  max_gradient_norm: Positive | None = 40.0
  """Each network's gradients are scaled down to this global norm; None leaves them."""
  target_update_period: PositiveInt = 100
  """SGD steps between copies of the online networks to the target networks. 1804.08617, appendix."""

  # Replay; the rest, and γ, n and the batch, are in `acme.configs.TransitionConfig`, exploration in its `NoiseConfig`.
  samples_per_insert: Positive = 128.0
  """Transitions sampled for each one inserted, after the first `min_replay_size`: with batches of 256 an SGD step every
  second environment step, which small tasks need to be solved in tens of thousands of them; 32 in `paper()`."""

  def __post_init__(self) -> None:
    super().__post_init__()
    for name in ("policy_hidden_sizes", "critic_hidden_sizes"):
      if not getattr(self, name):
        raise ValueError(f"D4PGConfig.{name}: expected one layer or more, got ().")

  @classmethod
  def paper(cls) -> "D4PGConfig":
    """The larger critic, lower rates, wider noise and fewer SGD steps that are published for the control suite."""
    return cls(
      critic_hidden_sizes=(512, 512, 256),
      policy_learning_rate=1e-4,
      critic_learning_rate=1e-4,
      sigma=0.3,
      random_steps=0,
      samples_per_insert=32.0,
    )

  @classmethod
  def mountain_car(cls) -> "D4PGConfig":
    """For gym:MountainCarContinuous-v0, whose one reward is far away: pink noise swings the car as far as that.

    What counts is that the critic hears of the reward before the policy saturates: learning begins when the random
    steps end, targets are of 10 steps and copied twice as often, and the policy is slow. An SGD step follows every
    fourth environment step.
    """
    return cls(
      vmin=-100.0,
      vmax=100.0,
      num_atoms=101,
      noise="pink",
      sigma=1.0,
      pink_window=200,
      random_steps=5_000,
      min_replay_size=5_000,
      n_step=10,
      policy_hidden_sizes=(256, 256),
      critic_hidden_sizes=(256, 256),
      policy_learning_rate=1e-4,
      critic_learning_rate=1e-3,
      target_update_period=50,
      batch_size=64,
      samples_per_insert=16.0,
    )

  @classmethod
  def pendulum(cls) -> "D4PGConfig":
    """For Pendulum-v1: returns of its range, and targets of one step, as those of five are the behaviour's in part.

    After 20,000 steps −155.5, the IQM of 5 seeds; of five steps −166.7, of 16.
    """
    return cls(vmin=-1500.0, vmax=0.0, n_step=1)

  @classmethod
  def cartpole(cls) -> "D4PGConfig":
    """For dm_control:cartpole: balance comes to 998 in 25,000 steps, swingup to 866 in 100,000, medians of 5 seeds."""
    return cls(vmin=-150.0, vmax=150.0)


def make_experience(config: D4PGConfig, spec: specs.EnvironmentSpec) -> experience.Transitions:
  """What D4PG learns from."""
  return experience.Transitions.of(config, value_range=config.value_range(spec))
