"""Every number and switch of MPO, and what it learns from."""

import dataclasses
from typing import Any, Literal

from acme import configs, experience
from acme.configs import Fraction, Positive, PositiveInt


@dataclasses.dataclass(frozen=True, kw_only=True)
class MPOConfig(configs.ReplayConfig, configs.ObservationConfig):
  """MPO's hyper-parameters (Abdolmaleki et al. 2018, 1806.06920 and 1812.02256).

  The defaults are a recipe that learns small tasks on a laptop; `published()` has the networks, batches, rates and
  targets that are published for the control suite. Bounds and multipliers are the published ones in both. An SGD step
  is one gradient step of critic, policy and multipliers on one batch.
  """

  # Targets of the critic.
  n_step: PositiveInt = 1
  """n, environment steps before a target bootstraps; without `retrace`. Beyond 1 the steps between are the behaviour's,
  uncorrected: it hears sooner of a far reward, and is biased where rewards are many. 5 in `published()`."""
  retrace: bool = False
  """Learns from sequences, by Retrace(λ), in place of n-step transitions. 1606.02647; 1806.06920 §4.2."""
  retrace_lambda: Fraction = 0.95
  """With `retrace`: λ, how far corrections reach."""
  sequence_length: PositiveInt = 6
  """With `retrace`: steps of a sequence, the one to bootstrap from included; 2 or more. An item is a sequence then."""
  sequence_period: PositiveInt = 5
  """With `retrace`: steps from one sequence's beginning to the next one's; 5 of 6 is each step once."""

  # The E-step.
  num_samples: PositiveInt = 20
  """N, actions sampled from the target policy in each state; of discrete actions all count. 1812.02256, appendix."""
  epsilon: Positive = 0.1
  """ε, nats: how far the weighted samples lie from the target policy. 1812.02256, appendix."""
  epsilon_penalty: Positive | None = 1e-3
  """The same for weights by the distance out of bounds, the penalty on actions; None for none. 2005.07513."""
  initial_log_temperature: float = 10.0
  """The temperature η, and that of the penalty, is softplus of this at first."""

  # The M-step.
  epsilon_mean: Positive = 2.5e-3
  """Nats that the mean may move the policy by between copies to the target. 1812.02256, appendix."""
  epsilon_stddev: Positive = 1e-6
  """The same of the standard deviation: small, so that the policy does not become certain too soon."""
  epsilon_policy: Positive = 1e-2
  """The same of a discrete policy."""
  per_dimension: bool = True
  """Whether the bounds are on each dimension of an action; False has them on the sum over dimensions, as 1812.02256."""
  initial_log_alpha_mean: float = 10.0
  """The multiplier of a mean's bound, and of a discrete policy's, is softplus of this at first."""
  initial_log_alpha_stddev: float = 1000.0
  """The same of a standard deviation's."""

  # Networks.
  policy_hidden_sizes: tuple[PositiveInt, ...] = (128, 128)
  """Units of the policy's LayerNormMLP; 256-256-256 in `published()`."""
  critic_hidden_sizes: tuple[PositiveInt, ...] = (128, 128)
  """Units of the critic's LayerNormMLP, over observation and action; 512-512-256 in `published()`."""
  initial_stddev: Positive = 0.7
  """Standard deviation of a Gaussian policy at first, about, in units of half an action's range."""
  min_stddev: Positive = 1e-6
  """What it never falls below, in the same units."""

  # Acting.
  noise: Literal["white", "pink"] = "white"
  """What a Gaussian policy is sampled by, a = μ + σ x_t: x_t anew in each step, or pink noise over an episode, which
  keeps a direction for long and is as likely at each step (Eberhard et al. 2023, "Pink noise is all you need")."""
  pink_window: PositiveInt = 200
  """With pink noise: steps of it made at once, about an episode's length."""

  # Optimisers and targets.
  policy_learning_rate: Positive = 3e-4
  """Adam's for the policy, per SGD step; 1e-4 in `published()`."""
  critic_learning_rate: Positive = 3e-4
  """Adam's for the critic, per SGD step; 1e-4 in `published()`."""
  dual_learning_rate: Positive = 1e-2
  """Adam's for all multipliers, per SGD step."""
  max_gradient_norm: Positive | None = 40.0
  """The gradients of policy and of critic, each together, are scaled down to this global norm; None leaves them."""
  target_policy_period: PositiveInt = 25
  """SGD steps between copies to the target policy, which the trust regions are around."""
  target_critic_period: PositiveInt = 100
  """SGD steps between copies to the target critic."""

  # Replay; the rest, and γ, are in `acme.configs.ReplayConfig`.
  batch_size: PositiveInt = 128
  """Items in an SGD step; 256 in `published()`."""
  samples_per_insert: Positive = 32.0
  """Items sampled for each one inserted, after the first `min_replay_size`: with batches of 128 an SGD step every
  fourth environment step."""

  def __post_init__(self) -> None:
    super().__post_init__()
    for name in ("policy_hidden_sizes", "critic_hidden_sizes"):
      if not getattr(self, name):
        raise ValueError(f"MPOConfig.{name}: expected one layer or more, got ().")
    if self.sequence_length < 2:
      raise ValueError(f"MPOConfig.sequence_length: expected 2 or more, got {self.sequence_length!r}.")

  @classmethod
  def mountain_car(cls) -> "MPOConfig":
    """For gym:MountainCarContinuous-v0, whose one reward is far away: pink noise swings the car as far as that."""
    return cls(noise="pink", min_replay_size=2_000, n_step=5)

  @classmethod
  def published(cls) -> "MPOConfig":
    """What is published for the control suite, 5-step targets among it: some 33 ms an SGD step on two cores."""
    return cls(
      n_step=5,
      policy_hidden_sizes=(256, 256, 256),
      critic_hidden_sizes=(512, 512, 256),
      policy_learning_rate=1e-4,
      critic_learning_rate=1e-4,
      batch_size=256,
    )


def make_experience(config: MPOConfig) -> experience.Transitions | experience.Sequences:
  """What MPO learns from."""
  shared: dict[str, Any] = {
    "batch_size": config.batch_size * config.num_sgd_steps_per_step,
    "max_size": config.max_replay_size,
    "min_size": config.min_replay_size,
    "samples_per_insert": config.samples_per_insert,
  }
  if config.retrace:
    return experience.Sequences(length=config.sequence_length, period=config.sequence_period, **shared)
  return experience.Transitions(n_step=config.n_step, discount=config.discount, **shared)


def check_continuous(config: MPOConfig, continuous: bool) -> None:
  """Raises ValueError where noise is asked for that only actions have which are all continuous."""
  if not continuous:
    raise ValueError(f"MPOConfig.noise: {config.noise!r} is for continuous actions, and some of these are discrete.")
