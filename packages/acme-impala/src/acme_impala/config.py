"""Every number and switch of IMPALA, and what it learns from."""

import dataclasses
from typing import Literal

from acme import configs, experience
from acme.configs import Fraction, NonNegative, Positive, PositiveInt


@dataclasses.dataclass(frozen=True, kw_only=True)
class IMPALAConfig(configs.Config):
  """IMPALA's hyper-parameters (Espeholt et al. 2018, 1802.01561).

  The defaults are a recipe for small control tasks; `atari()` has the numbers of the paper. An SGD step is one gradient
  step on one batch of sequences, each of which is learned from once.
  """

  # What is learned. Losses are means over steps, where the paper has sums.
  discount: Fraction = 0.99
  """γ, for each environment step. 1802.01561, table G.1."""
  max_abs_reward: Positive | None = None
  """Clips each environment step's reward to [−x, x] where it is learned from; None leaves it. 1 in `atari()`."""
  reward_scale: Positive = 1.0
  """What rewards are then multiplied by, so that values are of a size that a network is quick to learn, some 10."""
  baseline_cost: NonNegative = 0.5
  """The weight of the value's loss, the squared error of V-trace's target. 1802.01561, table G.1, has 0.5 for half of
  it: 0.25 in `atari()`."""
  entropy_cost: NonNegative = 0.01
  """The weight of the policy's entropy, in nats, which keeps it from settling early. 1802.01561, table G.1."""

  # Network.
  hidden_sizes: tuple[PositiveInt, ...] = ()
  """Units of the fully connected layers, with tanh, that policy and value share, after an image's convolutions."""
  core: Literal["lstm", "gru"] | None = None
  """What remembers earlier observations, after these layers; None for a policy of the newest observation alone."""
  core_size: PositiveInt = 64
  """With `core`: its units; 256 in 1802.01561, figure 3."""
  head_hidden_sizes: tuple[PositiveInt, ...] = (64, 64)
  """Units of the layers, with tanh, that policy and value each have of their own, last."""
  initial_stddev: Positive = 0.7
  """Of continuous actions: the policy's standard deviation at first, about, in units of half an action's range."""
  min_stddev: Positive = 0.05
  """What it never falls below, in the same units."""

  # Optimiser.
  optimizer: Literal["adam", "rmsprop"] = "adam"
  """Adam, or RMSProp without momentum, as the paper has it. 1802.01561, table G.1."""
  learning_rate: Positive = 3e-3
  """The optimiser's, per SGD step."""
  learning_rate_steps: PositiveInt | None = None
  """SGD steps in which it falls to 0 in a straight line, as in the paper; None leaves it as it is."""
  rmsprop_decay: Fraction = 0.99
  """With `optimizer` "rmsprop": the decay of the mean square. The paper's published code."""
  rmsprop_epsilon: Positive = 1e-6
  """With `optimizer` "rmsprop": added to the mean square, within the root. 1802.01561, table G.1, has 0.01 for
  sums: see `atari()`."""
  max_gradient_norm: Positive | None = 40.0
  """Gradients are scaled down to this global norm; None leaves them. 1802.01561, table G.1."""

  # Experience.
  sequence_length: PositiveInt = 6
  """L, steps of a sequence, the one to bootstrap from included; 2 or more. 1802.01561, table G.1, has 20 before that
  one: 21 in `atari()`."""
  batch_size: PositiveInt = 16
  """Sequences in an SGD step; 32 in 1802.01561, table G.1."""
  max_queue_size: PositiveInt = 1_000
  """Sequences that may wait to be learned from; at least a batch, and two of each environment."""

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.sequence_length < 2:
      raise ValueError(f"IMPALAConfig.sequence_length: expected 2 or more, got {self.sequence_length!r}.")
    if self.max_queue_size < self.batch_size:
      raise ValueError(
        f"IMPALAConfig.max_queue_size: expected room for a batch, {self.batch_size}, got {self.max_queue_size!r}."
      )

  @classmethod
  def recurrent(cls) -> "IMPALAConfig":
    """For small tasks in which something must be remembered: a GRU, small values, and small steps of all gradients.

    Without the latter one sudden failure makes a step of Adam, whose scale has become small, that ends all exploration.
    """
    return cls(
      reward_scale=0.1,
      entropy_cost=0.02,
      hidden_sizes=(64,),
      core="gru",
      learning_rate=1e-3,
      max_gradient_norm=0.5,
      sequence_length=10,
      batch_size=8,
    )

  @classmethod
  def control(cls) -> "IMPALAConfig":
    """For small continuous tasks with rewards at each step, such as gym:Pendulum-v1: a near horizon, and ten steps."""
    return cls(
      discount=0.9,
      reward_scale=0.03,
      entropy_cost=1e-3,
      initial_stddev=0.5,
      min_stddev=0.05,
      learning_rate=1.1e-3,
      sequence_length=11,
      batch_size=8,
    )

  @classmethod
  def atari(cls) -> "IMPALAConfig":
    """The paper's numbers for Atari (1802.01561, table G.1), feed-forward as there, with this package's convolutions.

    The paper sums its loss over the 20 · 32 steps of a batch, which is here a mean, and halves the value's: the
    gradients' norm, RMSProp's ε and the value's weight are those that come to the same steps. Its rate falls to 0 over
    the whole run: `learning_rate_steps`.
    """
    steps = 20 * 32
    return cls(
      max_abs_reward=1.0,
      baseline_cost=0.25,
      hidden_sizes=(256,),
      head_hidden_sizes=(),
      optimizer="rmsprop",
      learning_rate=6e-4,
      rmsprop_epsilon=0.01 / steps**2,
      max_gradient_norm=40.0 / steps,
      sequence_length=21,
      batch_size=32,
    )


def make_experience(config: IMPALAConfig) -> experience.Queue:
  """What IMPALA learns from."""
  return experience.Queue(
    length=config.sequence_length,
    stored_state=config.core is not None,
    batch_size=config.batch_size,
    max_size=config.max_queue_size,
  )
