"""Every number and switch of DQN, and what it learns from."""

import dataclasses

from acme import configs, experience
from acme.configs import Fraction, NonNegativeInt, Positive, PositiveInt


@dataclasses.dataclass(frozen=True, kw_only=True)
class DQNConfig(configs.TransitionConfig):
  """DQN's hyper-parameters.

  The defaults are for small problems with vector observations. An SGD step is one gradient step on one batch; an
  environment step is one action in one environment.
  """

  # What is learned.
  double_q: bool = True
  """The online network chooses the action that the target network values. 1509.06461. `munchausen` chooses none."""
  huber_delta: Positive = 1.0
  """δ of the Huber loss, in units of return; κ with `quantile`; no effect with `categorical`. Mnih et al. 2015."""
  max_abs_reward: Positive | None = None
  """Clips each environment step's reward to [−x, x]; None leaves it. 1 for Atari in Mnih et al. 2015."""

  # Extensions, each a switch.
  dueling: bool = True
  """Separate streams for the value and the advantages. 1511.06581."""
  categorical: bool = False
  """C51: learns the distribution of returns over fixed atoms. 1707.06887. Excludes `quantile`."""
  num_atoms: PositiveInt = 51
  """With `categorical`: number of atoms. 1707.06887."""
  vmin: float = -10.0
  """With `categorical`: the lowest return that an atom stands for. 1707.06887."""
  vmax: float = 10.0
  """With `categorical`: the highest. Returns outside [vmin, vmax] cannot be told apart: set them to your task's."""
  quantile: bool = False
  """QR-DQN: learns the quantiles of the distribution of returns. 1710.10044. Excludes `categorical`."""
  num_quantiles: PositiveInt = 200
  """With `quantile`: number of quantiles. 1710.10044."""
  noisy: bool = False
  """Noise on the weights of every fully connected layer, learned; evaluation uses the mean weights. 1706.10295."""
  noisy_sigma: Positive = 0.5
  """With `noisy`: σ_0, the initial noise, in units of 1/√(fan-in). 1706.10295."""
  munchausen: bool = False
  """Soft targets, and the scaled log-policy added to the reward. 2007.14430."""
  munchausen_alpha: Fraction = 0.9
  """With `munchausen`: α, the scale of the log-policy. 2007.14430."""
  munchausen_temperature: Positive = 0.03
  """With `munchausen`: τ, the temperature of the policy, in units of return. 2007.14430."""
  munchausen_clip: float = -1.0
  """With `munchausen`: l_0, the least value of τ log π, 0 or below. 2007.14430."""

  # Exploration.
  epsilon: Fraction = 0.05
  """Probability of a random action once the schedule has ended. 0.01 in Hessel et al. 2017, 0.1 in Mnih et al. 2015."""
  epsilon_initial: Fraction = 1.0
  """The same at the first step, from where it falls in a straight line. Mnih et al. 2015."""
  epsilon_decay_steps: NonNegativeInt = 1_000
  """Environment steps, of all actors, over which it falls; 0 for `epsilon` from the start."""
  eval_epsilon: Fraction = 0.0
  """The same at evaluation: 0 is greedy."""

  # Network and optimiser.
  hidden_sizes: tuple[PositiveInt, ...] = (256, 256)
  """Units of the fully connected layers, after an image's convolutions; with `dueling` the last is each stream's."""
  learning_rate: Positive = 1e-3
  """Adam's, per SGD step."""
  learning_rate_steps: PositiveInt | None = None
  """SGD steps in which it falls to 0 in a straight line; None leaves it as it is."""
  adam_epsilon: Positive = 1e-8
  """Adam's ε, added to the root of the second moment. 1.5e-4 in Hessel et al. 2017."""
  max_gradient_norm: Positive | None = None
  """Gradients are scaled down to this global norm; None leaves them. 10 in 1511.06581."""
  target_update_period: PositiveInt = 100
  """SGD steps between copies of the online network to the target network."""

  # Replay; the rest, and γ, n and the batch, are in `acme.configs.TransitionConfig`.
  prioritized: bool = True
  """Samples transitions by their TD error, new ones at the largest priority. 1511.05952. False samples uniformly."""

  def __post_init__(self) -> None:
    super().__post_init__()
    name = type(self).__name__
    if self.categorical and self.quantile:
      raise ValueError(f"{name}: categorical and quantile exclude each other, got both: set one to False.")
    if self.vmin >= self.vmax:
      raise ValueError(f"{name}: expected vmin below vmax, got vmin={self.vmin!r} and vmax={self.vmax!r}.")
    if self.num_atoms < 2:
      raise ValueError(f"{name}.num_atoms: expected 2 or more, got {self.num_atoms!r}.")
    if self.munchausen_clip > 0:
      raise ValueError(f"{name}.munchausen_clip: expected 0 or below, got {self.munchausen_clip!r}.")
    if self.dueling and not self.hidden_sizes:
      raise ValueError(f"{name}: dueling needs a layer in hidden_sizes for its streams, got ().")

  @classmethod
  def default(cls) -> "DQNConfig":
    """The defaults, which solve CartPole-v1 in 50,000 steps, on 10 of 10 seeds, and catch in 20,000, on 5 of 5."""
    return cls()

  @classmethod
  def acrobot(cls) -> "DQNConfig":
    """For Acrobot-v1: −81.5 after 50,000 steps, the mean of seeds 100 to 103; in longer runs raise learning_rate_steps.

    An SGD step after each environment step, at a rate that falls: targets of one step come further than those of
    several, −86, but at a rate that stays one seed of four failed.
    """
    return cls(
      dueling=False,
      prioritized=False,
      n_step=1,
      hidden_sizes=(64, 64),
      learning_rate=6e-4,
      learning_rate_steps=50_000,
      batch_size=64,
      samples_per_insert=64.0,
      target_update_period=250,
      epsilon=0.02,
      epsilon_decay_steps=6_000,
    )

  @classmethod
  def mountain_car(cls) -> "DQNConfig":
    """For MountainCar-v0: −105.6 after 120,000 steps, the mean of seeds 100 to 103; longer ones raise both schedules.

    Random actions find the first reward, so ε falls slowly. Eight SGD steps each 16 environment steps, as the zoo of
    Stable-Baselines3 has them, on all there is: of the newest 10,000 steps one seed of four was at −149. At a rate that
    does not fall seeds go up and down to the end, and targets of three steps are worse (−158).
    """
    return cls(
      dueling=False,
      prioritized=False,
      n_step=1,
      discount=0.98,
      hidden_sizes=(128, 128),
      learning_rate=2e-3,
      learning_rate_steps=60_000,
      max_gradient_norm=10.0,
      batch_size=128,
      samples_per_insert=64.0,
      target_update_period=300,
      epsilon=0.07,
      epsilon_decay_steps=24_000,
      max_replay_size=100_000,
    )

  @classmethod
  def lunar_lander(cls) -> "DQNConfig":
    """For LunarLander-v3: 175 after 100,000 steps, on seed 100, the one that was tried.

    An SGD step after each environment step, on transitions by their error: a landing is rare at first, and without
    them the lander learns to hover until time is up. Four SGD steps are one call.
    """
    return cls(
      dueling=False,
      hidden_sizes=(128, 128),
      learning_rate=6e-4,
      batch_size=64,
      samples_per_insert=64.0,
      num_sgd_steps_per_step=4,
      target_update_period=500,
      epsilon=0.02,
      epsilon_decay_steps=12_000,
      max_replay_size=100_000,
    )

  @classmethod
  def rainbow(cls) -> "DQNConfig":
    """Double + dueling + categorical + noisy + prioritised + n-step: the six of Hessel et al. 2017 (1710.02298).

    Off stay `quantile`, which excludes `categorical`, and `munchausen`, which came later and has no double target.
    The noise explores, so ε is 0. Sizes and rates stay those for small problems; for Atari use
    `dataclasses.replace(DQNConfig.atari(), …)`.
    """
    return cls(
      double_q=True,
      dueling=True,
      categorical=True,
      noisy=True,
      prioritized=True,
      n_step=3,
      priority_exponent=0.5,
      importance_sampling_exponent=0.4,
      epsilon=0.0,
      epsilon_initial=0.0,
    )

  @classmethod
  def atari(cls) -> "DQNConfig":
    """DQN for Atari: the rates of Hessel et al. 2017 (1710.02298), table 1, exploring by ε."""
    return cls(
      dueling=True,
      n_step=3,
      max_abs_reward=1.0,
      epsilon=0.01,
      epsilon_initial=1.0,
      epsilon_decay_steps=250_000,
      hidden_sizes=(512,),
      learning_rate=6.25e-5,
      adam_epsilon=1.5e-4,
      batch_size=32,
      target_update_period=2_000,
      samples_per_insert=8.0,
      min_replay_size=20_000,
      max_replay_size=1_000_000,
    )


def make_experience(config: DQNConfig) -> experience.Transitions:
  """What DQN learns from."""
  return experience.Transitions.of(config, max_abs_reward=config.max_abs_reward)
