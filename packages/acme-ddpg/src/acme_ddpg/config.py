"""Every number and switch of DDPG, and what it learns from."""

import dataclasses

from acme import configs, experience
from acme.configs import Fraction, NonNegative, Positive, PositiveInt


@dataclasses.dataclass(frozen=True, kw_only=True)
class DDPGConfig(configs.NoiseConfig, configs.TransitionConfig, configs.ObservationConfig):
  """DDPG's hyper-parameters (Lillicrap et al. 2015, 1509.02971).

  The defaults are a recipe for small control tasks; `paper()` has the numbers of the paper, `control_suite()` those
  published for that. An SGD step is one gradient step of the critic on one batch.
  """

  # What is learned.
  dqda_clipping: Positive | None = 1.0
  """The critic's gradient for the action, dq/da, is scaled down to this norm in each transition; None leaves it."""

  # TD3 (Fujimoto et al. 2018, 1802.09477), each change by itself.
  twin_critic: bool = False
  """Two critics, trained on the lower of the values of two target critics; the policy follows the first. §4.2."""
  policy_period: PositiveInt = 1
  """SGD steps from one update of the policy to the next; 2 in TD3. §5.2."""
  target_noise: NonNegative = 0.0
  """Standard deviation of Gaussian noise on the target policy's actions in the critic's target, in units of half an
  action's range; 0.2 in TD3. §5.3."""
  target_noise_clip: NonNegative = 0.5
  """With `target_noise`: its largest size, in the same unit. §5.3."""

  # Exploration; the rest is in `acme.configs.NoiseConfig`.
  sigma: NonNegative = 0.1
  """σ of the noise, in units of half an action's range; 0.2 in `paper()`, 0.3 in `control_suite()`."""

  # Networks and optimisers.
  policy_hidden_sizes: tuple[PositiveInt, ...] = (256, 256)
  """Units of the policy's LayerNormMLP."""
  critic_hidden_sizes: tuple[PositiveInt, ...] = (256, 256)
  """Units of each critic's LayerNormMLP, over observation and action."""
  policy_learning_rate: Positive = 3e-4
  """Adam's for the policy, per SGD step; 1e-4 in `paper()`."""
  critic_learning_rate: Positive = 1e-3
  """Adam's for the critic, per SGD step. 1509.02971, §7; it must be ahead of the policy, which else saturates first."""
  max_gradient_norm: Positive | None = 40.0
  """Each network's gradients are scaled down to this global norm, both critics' together; None leaves them."""
  target_update_period: PositiveInt = 1
  """SGD steps from one move of the target networks to the next; 100 in `control_suite()`."""
  target_update_rate: Fraction = 0.01
  """τ, the share of the way to the online networks by which the target networks then move; 1 copies them. 0.001 in
  `paper()`."""

  # Replay; the rest, and γ, are in `acme.configs.TransitionConfig`.
  n_step: PositiveInt = 1
  """n, environment steps before a target bootstraps; 5 in `control_suite()`."""
  batch_size: PositiveInt = 64
  """Transitions in an SGD step. 1509.02971, §7."""
  samples_per_insert: Positive = 32.0
  """Transitions sampled for each one inserted, after the first `min_replay_size`: with batches of 64 an SGD step every
  second environment step."""

  def __post_init__(self) -> None:
    super().__post_init__()
    for name in ("policy_hidden_sizes", "critic_hidden_sizes"):
      if not getattr(self, name):
        raise ValueError(f"DDPGConfig.{name}: expected one layer or more, got ().")

  @classmethod
  def paper(cls) -> "DDPGConfig":
    """Lillicrap et al. 2015, §7: OU noise, slowly moved targets, an SGD step after each environment step."""
    return cls(
      noise="ou",
      sigma=0.2,
      random_steps=0,
      dqda_clipping=None,
      policy_hidden_sizes=(400, 300),
      critic_hidden_sizes=(400, 300),
      policy_learning_rate=1e-4,
      max_gradient_norm=None,
      target_update_rate=0.001,
      samples_per_insert=64.0,
    )

  @classmethod
  def control_suite(cls) -> "DDPGConfig":
    """5-step targets, copied networks, one low rate, wider noise, large batches and few SGD steps."""
    return cls(
      n_step=5,
      sigma=0.3,
      random_steps=0,
      policy_hidden_sizes=(256, 256, 256),
      critic_hidden_sizes=(512, 512, 256),
      policy_learning_rate=1e-4,
      critic_learning_rate=1e-4,
      target_update_period=100,
      target_update_rate=1.0,
      batch_size=256,
    )

  @classmethod
  def td3(cls) -> "DDPGConfig":
    """TD3 (Fujimoto et al. 2018, 1802.09477, §6.1): all three changes, an SGD step after each environment step."""
    return cls(
      twin_critic=True,
      policy_period=2,
      target_noise=0.2,
      target_noise_clip=0.5,
      dqda_clipping=None,
      policy_hidden_sizes=(400, 300),
      critic_hidden_sizes=(400, 300),
      policy_learning_rate=1e-3,
      max_gradient_norm=None,
      target_update_period=2,
      target_update_rate=0.005,
      batch_size=100,
      samples_per_insert=100.0,
    )

  @classmethod
  def mountain_car(cls) -> "DDPGConfig":
    """For gym:MountainCarContinuous-v0, whose one reward is far away: pink noise swings the car as far as that.

    Learning begins when the random steps end: with a critic that has never seen the reward a policy saturates.
    """
    return cls(
      noise="pink",
      sigma=1.0,
      pink_window=200,
      random_steps=5_000,
      min_replay_size=5_000,
      n_step=5,
      policy_learning_rate=1e-4,
      samples_per_insert=16.0,
    )


def make_experience(config: DDPGConfig) -> experience.Transitions:
  """What DDPG learns from."""
  return experience.Transitions.of(config)
