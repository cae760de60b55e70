"""Every number and switch of DQfD, DQN's among them, and what it learns from."""

import dataclasses

from acme import experience
from acme.configs import Fraction, NonNegative, NonNegativeInt, PositiveInt
from acme_dqn import DQNConfig

DEMONSTRATIONS = 0
"""The number of the demonstrations among the parts of the experience, as `Sample.table` has it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DQfDConfig(DQNConfig):
  """DQfD's hyper-parameters: those of DQN, and what demonstrations add to it.

  `max_replay_size` is of what the agent does itself; demonstrations are all kept.
  """

  # Demonstrations.
  demonstrations: str | None = None
  """The path of recorded episodes (`acme_replay.datasets`); there must be some."""
  demonstration_share: Fraction | None = None
  """Their share of each batch, above 0 and below 1; None samples all by priority, wherever they are from."""
  pretraining_steps: NonNegativeInt = 1_000
  """SGD steps on demonstrations alone before the first action; 750,000 in `atari()`."""

  # What is learned.
  margin: NonNegative = 0.8
  """m, by which the demonstrated action's value is to be above the others', in units of return. 1704.03732."""
  margin_cost: NonNegative = 1.0
  """λ_E, of the large-margin loss. 1704.03732, appendix."""
  n_step_cost: NonNegative = 1.0
  """λ_n, of the n-step loss beside the 1-step one. 1704.03732, appendix."""
  l2_cost: NonNegative = 1e-5
  """λ_2, of the sum of all squared weights; biases are left out, unlike there. 1704.03732, appendix."""
  n_step: PositiveInt = 10
  """n, environment steps before the target of the n-step loss bootstraps. 1704.03732, appendix."""

  # Exploration: the demonstrations have done most of it.
  epsilon: Fraction = 0.01
  """Probability of a random action once the schedule has ended. 1704.03732, appendix."""
  epsilon_initial: Fraction = 0.1
  """The same at the first step, from where it falls in a straight line."""

  # Replay.
  priority_exponent: NonNegative = 0.4
  """With `prioritized`: α, of P(i) ∝ p_i^α. 1704.03732, appendix."""
  importance_sampling_exponent: NonNegative = 0.6
  """With `prioritized`: β, of the weights (1/P(i))^β, scaled to 1 at most in a batch. 1704.03732, appendix: there it
  is β_0, and rises to 1."""
  priority_bonus: NonNegative = 0.001
  """With `prioritized`: ε_a, added to the priorities of what the agent does itself. 1704.03732, appendix."""
  demonstration_priority_bonus: NonNegative = 1.0
  """With `prioritized`: ε_d, added to those of demonstrations. 1704.03732, appendix."""

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.demonstration_share is not None and not 0 < self.demonstration_share < 1:
      raise ValueError(
        "DQfDConfig.demonstration_share: expected a number above 0 and below 1, or None for shares by priority, got "
        f"{self.demonstration_share!r}."
      )

  @classmethod
  def atari(cls) -> "DQfDConfig":
    """Hester et al. 2017 (1704.03732), appendix, for Atari; rewards are clipped, where the paper takes their log.

    Adam's numbers, which are not there, are those of Hessel et al. 2017 (1710.02298), the batch and an SGD step every
    fourth environment step those of Mnih et al. 2015.
    """
    return cls(
      max_abs_reward=1.0,
      epsilon_initial=0.01,
      hidden_sizes=(512,),
      learning_rate=6.25e-5,
      adam_epsilon=1.5e-4,
      batch_size=32,
      target_update_period=10_000,
      samples_per_insert=8.0,
      pretraining_steps=750_000,
    )

  @classmethod
  def mountain_car(cls) -> "DQfDConfig":
    """For MountainCar, where a small λ_E leaves room to do better than demonstrations: −113 after 60,000 steps."""
    return cls(margin_cost=0.1, pretraining_steps=2_000, hidden_sizes=(64, 64), batch_size=64, samples_per_insert=16.0)


def make_experience(config: DQfDConfig) -> experience.Mixed:
  """What DQfD learns from: demonstrations, which stay, and what it does itself, both with their first step alone.

  Raises:
    ValueError: there are no demonstrations in the config.
  """
  if config.demonstrations is None:
    raise ValueError(
      "DQfDConfig.demonstrations: expected the path of episodes, as `acme record` and acme_replay.datasets write "
      "them, got None: `acme run dqfd ENV --config.demonstrations PATH`."
    )
  own = experience.Transitions.of(
    config, max_abs_reward=config.max_abs_reward, one_step=True, priority_bonus=config.priority_bonus
  )
  shown = dataclasses.replace(own, priority_bonus=config.demonstration_priority_bonus)
  share = config.demonstration_share
  return experience.Mixed(
    parts={"demonstrations": shown.from_dataset(config.demonstrations), "own": own},
    share="priority" if share is None else {"demonstrations": share, "own": float(1 - experience.exact(share))},
    batch_size=own.batch_size,
    samples_per_insert=config.samples_per_insert,
    pretraining_batches=-(-config.pretraining_steps // config.num_sgd_steps_per_step),
  )
