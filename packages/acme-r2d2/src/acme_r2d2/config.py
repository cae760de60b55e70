"""Every number and switch of R2D2, and what it learns from."""

import dataclasses
from typing import Literal, Self

from acme import configs, experience
from acme.configs import Fraction, NonNegative, NonNegativeInt, Positive, PositiveInt


@dataclasses.dataclass(frozen=True, kw_only=True)
class R2D2Config(configs.ReplayConfig):
  """R2D2's hyper-parameters (Kapturowski et al. 2019).

  The defaults are a recipe that learns small tasks on a laptop; `published()` has the numbers of the paper. An item is
  a sequence, so `batch_size`, `samples_per_insert` and the sizes of replay count sequences; an SGD step is one gradient
  step on one batch of them.
  """

  # What is learned.
  n_step: PositiveInt = 5
  """n, environment steps before a target bootstraps; fewer at a sequence's end. Kapturowski et al. 2019, §2.3."""
  transform_epsilon: Positive = 1e-3
  """ε of the values' transform h(x) = sgn(x)(√(|x| + 1) − 1) + ε x. Pohlen et al. 2018, prop. A.2."""

  # Sequences.
  burn_in_length: NonNegativeInt = 4
  """Steps at a sequence's beginning that only bring the recurrent state up to date; 40 in `published()`."""
  trace_length: PositiveInt = 16
  """Steps after them that are learned from, before the one to bootstrap from; 80 in `published()`."""
  sequence_period: PositiveInt = 8
  """Steps from one sequence's beginning to the next one's, half of the trace as in the paper; 40 in `published()`."""
  end_of_episode: Literal["continue", "zero_pad"] = "continue"
  """Whether sequences go on into the next episode, with a new state there, or are padded at the end of each, as in the
  paper: then the first `burn_in_length` steps of an episode are never learned from."""

  # Exploration.
  epsilon: Fraction = 0.05
  """Probability of a random action once the schedule has ended."""
  epsilon_initial: Fraction = 1.0
  """The same at the first step, from where it falls in a straight line."""
  epsilon_decay_steps: NonNegativeInt = 2_000
  """Environment steps, of all actors, over which it falls; 0 for `epsilon` from the start."""
  ladder: bool = False
  """Each environment of all actors has an ε of its own, for ever, in place of the schedule: of i of N it is
  `ladder_base`^(1 + `ladder_exponent` · i / (N − 1)), of one alone `ladder_base`. 1803.00933, §4.1."""
  ladder_base: Fraction = 0.4
  """With `ladder`: the ε of the first environment. 1803.00933, §4.1."""
  ladder_exponent: NonNegative = 7.0
  """With `ladder`: how much smaller the last one's is, as a power. 1803.00933, §4.1."""
  eval_epsilon: Fraction = 0.0
  """Probability of a random action at evaluation: 0 is greedy."""

  # Network and optimiser.
  hidden_sizes: tuple[PositiveInt, ...] = (64,)
  """Units of the fully connected layers between the observation, after an image's convolutions, and the core."""
  core: Literal["lstm", "gru"] = "lstm"
  """The recurrent core."""
  core_size: PositiveInt = 64
  """H, its units; 512 in `published()`."""
  head_hidden_sizes: tuple[PositiveInt, ...] = (64,)
  """Units of the fully connected layers after the core; with `dueling` of each stream."""
  dueling: bool = True
  """Separate streams for the value and the advantages. 1511.06581."""
  learning_rate: Positive = 1e-3
  """Adam's, per SGD step; 1e-4 in `published()`."""
  adam_epsilon: Positive = 1e-8
  """Adam's ε, added to the root of the second moment; 1e-3 in `published()`."""
  max_gradient_norm: Positive | None = 40.0
  """Gradients are scaled down to this global norm; None leaves them."""
  target_update_period: PositiveInt = 100
  """SGD steps between copies of the online network to the target network; 2,500 in `published()`."""

  # Replay; the rest, and γ, are in `acme.configs.ReplayConfig`.
  batch_size: PositiveInt = 32
  """Sequences in an SGD step; 64 in `published()`."""
  samples_per_insert: Positive = 64.0
  """Sequences sampled for each one inserted, after the first `min_replay_size`: with batches of 32 and a period of 8 an
  SGD step every fourth environment step."""
  min_replay_size: PositiveInt = 100
  """Sequences inserted before the first SGD step."""
  max_replay_size: PositiveInt = 10_000
  """Sequences held; then the oldest goes; 100,000 in `published()`."""
  priority_exponent: NonNegative = 0.9
  """α, of P(i) ∝ p_i^α; 0 samples uniformly. Kapturowski et al. 2019, §2.3."""
  importance_sampling_exponent: NonNegative = 0.6
  """β, of the weights (1/P(i))^β, scaled to 1 at most in a batch. Kapturowski et al. 2019, appendix."""
  max_priority_weight: Fraction = 0.9
  """η, of a sequence's priority η max_t |δ_t| + (1 − η) mean_t |δ_t|. Kapturowski et al. 2019, §2.3."""

  @classmethod
  def memory(cls) -> Self:
    """For what is to be remembered over some 40 steps, in 8 environments or so: sequences that hold whole episodes."""
    return cls(
      burn_in_length=0,
      trace_length=80,
      sequence_period=40,
      ladder=True,
      batch_size=16,
      samples_per_insert=80.0,
      min_replay_size=20,
    )

  @classmethod
  def published(cls) -> Self:
    """Kapturowski et al. 2019, table 2, for Atari in many environments at once.

    Each step is learned from 0.8 times on average, half of it in each of the two traces that it lies in.
    """
    return cls(
      discount=0.997,
      burn_in_length=40,
      trace_length=80,
      sequence_period=40,
      end_of_episode="zero_pad",
      ladder=True,
      hidden_sizes=(),
      core_size=512,
      head_hidden_sizes=(512,),
      learning_rate=1e-4,
      adam_epsilon=1e-3,
      target_update_period=2_500,
      batch_size=64,
      samples_per_insert=0.4,
      min_replay_size=1_000,
      max_replay_size=100_000,
    )


def make_experience(config: R2D2Config) -> experience.Sequences:
  """What R2D2 learns from: overlapping sequences, each with the recurrent state in which it was begun."""
  return experience.Sequences(
    length=config.burn_in_length + config.trace_length + 1,
    period=config.sequence_period,
    end_of_episode=config.end_of_episode,
    stored_state=True,
    batch_size=config.batch_size * config.num_sgd_steps_per_step,
    max_size=config.max_replay_size,
    min_size=config.min_replay_size,
    samples_per_insert=config.samples_per_insert,
    priority_exponent=config.priority_exponent,
  )
