"""Every number and switch of behavioural cloning, and what it learns from."""

import dataclasses
from typing import Literal

from acme import configs, experience
from acme.configs import Fraction, Positive, PositiveInt


@dataclasses.dataclass(frozen=True, kw_only=True)
class BCConfig(configs.Config):
  """Behavioural cloning's hyper-parameters.

  The defaults are for small problems with vector observations. An SGD step is one gradient step on one batch.
  """

  # What is learned from.
  dataset: str | None = None
  """The path of recorded episodes (`acme_replay.datasets`); None where they come otherwise, as by --dataset."""
  held_out: Fraction = 0.1
  """The share of the episodes that is never learned from: the loss on them chooses the parameters; 0 for none."""
  patience: PositiveInt | None = None
  """Evaluations in a row that may bring no lower held-out loss; then learning stops. None for any number."""
  batch_size: PositiveInt = 256
  """Transitions in an SGD step; with `core` sequences."""

  # What is learned.
  continuous_loss: Literal["mse", "gaussian", "tanh_gaussian"] = "mse"
  """Of continuous actions: the squared error of a deterministic policy, or the negative log-probability of a Gaussian
  one, or of a Gaussian one squashed by tanh, whose mode is then acted by. Discrete ones have the cross-entropy."""
  label_smoothing: Fraction = 0.0
  """Of discrete actions: the probability that the targets spread evenly over all. 1512.00567, §7."""
  class_balance: bool = False
  """Of discrete actions: weighs each by one over its share in the episodes that are learned from, so that rare ones
  count as much as frequent ones."""

  # Network and optimiser.
  hidden_sizes: tuple[PositiveInt, ...] = (256, 256)
  """Units of the fully connected layers after an image's convolutions, and before the core where there is one."""
  core: Literal["lstm", "gru"] | None = None
  """What remembers earlier observations; None for a policy of the newest observation alone."""
  core_size: PositiveInt = 64
  """With `core`: its units."""
  sequence_length: PositiveInt = 32
  """With `core`: steps of a sequence, which begins with nothing remembered; the last one of an episode is padded."""
  initial_stddev: Positive = 0.5
  """With `continuous_loss`: a Gaussian policy's first standard deviation, in units of half an action's range."""
  min_stddev: Positive = 0.01
  """With `continuous_loss`: what it never falls below; of a squashed one before tanh."""
  normalize: bool = False
  """Scales observations by their running mean and standard deviation, as far as they have been learned from."""
  learning_rate: Positive = 1e-3
  """Adam's, per SGD step."""
  max_gradient_norm: Positive | None = None
  """Gradients are scaled down to this global norm; None leaves them."""

  @classmethod
  def recurrent(cls) -> "BCConfig":
    """For tasks in which something must be remembered: an LSTM."""
    return cls(hidden_sizes=(64,), core="lstm", batch_size=32, max_gradient_norm=10.0)


def make_experience(config: BCConfig) -> experience.Transitions | experience.Sequences:
  """What it learns from: single steps, or sequences of them, of recorded episodes alone."""
  if config.core is None:
    return experience.Transitions(
      batch_size=config.batch_size, dataset=config.dataset, acting=False, held_out=config.held_out
    )
  return experience.Sequences(
    length=config.sequence_length,
    period=config.sequence_length,
    batch_size=config.batch_size,
    dataset=config.dataset,
    acting=False,
    held_out=config.held_out,
  )
