"""Every number and switch of DMPO, and what it learns from."""

import dataclasses

from acme import configs, experience, specs
from acme.configs import Positive, PositiveInt


@dataclasses.dataclass(frozen=True, kw_only=True)
class DMPOConfig(configs.CategoricalConfig, configs.ObservationConfig):
  """DMPO's hyper-parameters: those of MPO (Abdolmaleki et al. 2018, 1812.02256) and of a categorical critic.

  The defaults are a recipe that learns small tasks on a laptop; `published()` has the networks, batches and rates that
  are published for the control suite. An SGD step is one gradient step on one batch.
  """

  # The critic; its atoms are in `acme.configs.CategoricalConfig`.
  critic_hidden_sizes: tuple[PositiveInt, ...] = (128, 128)
  """Units of the critic's LayerNormMLP, over observation and action; 512-512-256 in `published()`."""
  critic_learning_rate: Positive = 3e-4
  """Adam's for the critic, per SGD step; 1e-4 in `published()`."""
  target_critic_period: PositiveInt = 100
  """SGD steps between copies of the critic to its target."""
  n_step: PositiveInt = 5
  """n, environment steps before a target bootstraps."""

  # The policy.
  policy_hidden_sizes: tuple[PositiveInt, ...] = (128, 128)
  """Units of the policy's LayerNormMLP; 256-256-256 in `published()`."""
  policy_learning_rate: Positive = 3e-4
  """Adam's for the policy, per SGD step; 1e-4 in `published()`."""
  target_policy_period: PositiveInt = 25
  """SGD steps between copies of the policy to its target, which is sampled, and which trust regions are around."""
  initial_stddev: Positive = 0.7
  """Standard deviation of a Gaussian policy at first, about; 1 is half an action's range."""
  min_stddev: Positive = 1e-6
  """The least standard deviation of a Gaussian policy, in the same units."""
  num_samples: PositiveInt = 20
  """N, actions sampled in each state; of discrete actions all count. 1812.02256, appendix."""

  # How far the policy is moved; bounds are in nats, from 1812.02256's appendix where nothing else is said.
  epsilon: Positive = 0.1
  """Of the samples, weighted by their values, from the target policy."""
  epsilon_mean: Positive = 2.5e-3
  """Of a policy with a new mean from the target policy."""
  epsilon_stddev: Positive = 1e-6
  """Of one with a new standard deviation: small, so that the policy does not become certain too soon."""
  epsilon_policy: Positive = 1e-2
  """Of a new discrete policy."""
  epsilon_penalty: Positive | None = 1e-3
  """Of the samples weighted by how far they are out of bounds; None weighs them by values alone. 2005.07513."""
  per_dimension: bool = True
  """Whether a Gaussian policy's bounds hold in each dimension of an action; False has them hold for the sum."""

  # Multipliers, which are softplus of what is learned.
  initial_log_temperature: float = 10.0
  """Of the bounds on weighted samples, at first."""
  initial_log_alpha_mean: float = 10.0
  """Of the bound on a mean, and of that on a discrete policy, at first."""
  initial_log_alpha_stddev: float = 1000.0
  """Of the bound on a standard deviation, at first."""
  dual_learning_rate: Positive = 1e-2
  """Adam's for all multipliers, per SGD step."""

  max_gradient_norm: Positive | None = 40.0
  """The gradients of policy and of critic, each together, are scaled down to this global norm; None leaves them."""

  # Replay; the rest, and γ, are in `acme.configs.ReplayConfig`.
  batch_size: PositiveInt = 128
  """Transitions in an SGD step; 256 in `published()`."""
  samples_per_insert: Positive = 32.0
  """Transitions sampled for each one inserted, after the first `min_replay_size`."""

  def __post_init__(self) -> None:
    super().__post_init__()
    if not self.policy_hidden_sizes or not self.critic_hidden_sizes:
      raise ValueError("DMPOConfig: expected one layer or more in policy_hidden_sizes and critic_hidden_sizes, got ().")

  @classmethod
  def published(cls) -> "DMPOConfig":
    """The networks, batches and rates that are published for the control suite."""
    return cls(
      critic_hidden_sizes=(512, 512, 256),
      critic_learning_rate=1e-4,
      policy_hidden_sizes=(256, 256, 256),
      policy_learning_rate=1e-4,
      batch_size=256,
    )


def make_experience(config: DMPOConfig, spec: specs.EnvironmentSpec) -> experience.Transitions:
  """What DMPO learns from."""
  return experience.Transitions(
    n_step=config.n_step,
    discount=config.discount,
    value_range=config.value_range(spec),
    batch_size=config.batch_size * config.num_sgd_steps_per_step,
    samples_per_insert=config.samples_per_insert,
    min_size=config.min_replay_size,
    max_size=config.max_replay_size,
  )
