"""Every number and switch of D4PG."""

import dataclasses

from acme import configs
from acme.configs import Fraction, NonNegative, NonNegativeInt, Positive, PositiveInt


@dataclasses.dataclass(frozen=True, kw_only=True)
class D4PGConfig:
  """D4PG's hyper-parameters (Barth-Maron et al. 2018, 1804.08617).

  The defaults are a recipe for small control tasks; `paper()` has the networks and rates of the paper's control tasks.
  An SGD step is one gradient step of critic and policy on one batch.
  """

  # What is learned.
  discount: Fraction = 0.99
  """γ, for each environment step. 1804.08617, appendix."""
  n_step: PositiveInt = 5
  """n, environment steps that a target looks ahead before it bootstraps. 1804.08617 §3."""
  num_atoms: PositiveInt = 51
  """Atoms of the critic's distribution of returns. 1804.08617, appendix; Bellemare et al. 2017 (1707.06887)."""
  vmin: float = -150.0
  """The lowest discounted return that an atom stands for. A warning comes when returns fall outside."""
  vmax: float = 150.0
  """The highest. 150 holds control-suite tasks: rewards in [0, 1] and γ 0.99 come to 100 at most."""
  dqda_clipping: Positive | None = 1.0
  """The critic's gradient for the action, dq/da, is scaled down to this norm in each transition; None leaves it."""

  # Exploration.
  sigma: NonNegative = 0.2
  """Standard deviation of the Gaussian noise on actions, in units of half an action's range."""
  random_steps: NonNegativeInt = 1_000
  """An actor's first environment steps, whose actions are drawn uniformly: without them a policy may saturate before
  the critic has seen anything else. A habit of later work (TD3, 1802.09477, §6.1); 0 in `paper()`."""

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
  batch_size: PositiveInt = 256
  """Transitions in an SGD step. 1804.08617, appendix."""
  target_update_period: PositiveInt = 100
  """SGD steps between copies of the online networks to the target networks. 1804.08617, appendix."""
  num_sgd_steps_per_step: PositiveInt = 1
  """SGD steps in one learner step, each on its own batch, all in one compiled call."""

  # Replay.
  samples_per_insert: Positive = 128.0
  """Transitions sampled for each one inserted, after the first `min_replay_size`: with batches of 256 an SGD step every
  second environment step, which small tasks need to be solved in tens of thousands of them; 32 in `paper()`."""
  min_replay_size: PositiveInt = 1_000
  """Transitions inserted before the first SGD step."""
  max_replay_size: PositiveInt = 1_000_000
  """Transitions held; then the oldest goes."""
  prioritized: bool = False
  """Samples transitions by the critic's loss, new ones at the largest priority. 1804.08617 §3, 1511.05952."""
  priority_exponent: NonNegative = 0.6
  """With `prioritized`: α, of P(i) ∝ p_i^α. 1511.05952 §3.3."""
  importance_sampling_exponent: NonNegative = 0.2
  """With `prioritized`: β, of the weights (1/P(i))^β, scaled to 1 at most in a batch. 1511.05952 §3.4."""

  def __post_init__(self) -> None:
    configs.validate(self)
    if self.vmin >= self.vmax:
      raise ValueError(f"D4PGConfig: expected vmin below vmax, got vmin={self.vmin!r} and vmax={self.vmax!r}.")
    if self.num_atoms < 2:
      raise ValueError(f"D4PGConfig.num_atoms: expected 2 or more, got {self.num_atoms!r}.")
    for name in ("policy_hidden_sizes", "critic_hidden_sizes"):
      if not getattr(self, name):
        raise ValueError(f"D4PGConfig.{name}: expected one layer or more, got ().")
    if self.min_replay_size > self.max_replay_size:
      raise ValueError(
        f"D4PGConfig: expected min_replay_size of at most max_replay_size, got {self.min_replay_size!r} and "
        f"{self.max_replay_size!r}."
      )

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
