"""Every number of MCTS, and what it learns from."""

import dataclasses

from acme import configs, experience
from acme.configs import Fraction, Positive, PositiveInt


@dataclasses.dataclass(frozen=True, kw_only=True)
class MCTSConfig(configs.ReplayConfig):
  """MCTS's hyper-parameters, for small problems.

  A simulation is one walk of the search from its root to a new node; an SGD step is one gradient step on one batch; an
  environment step is one action in one environment.
  """

  # Search.
  num_simulations: PositiveInt = 50
  """Simulations for each action. 800 in Silver et al. 2018 for board games, 50 in 1911.08265 for Atari."""
  evaluation_batch: PositiveInt = 8
  """Leaves that the network is asked about at once; 1 is the paper's search, more is faster and less exact: README."""
  puct_constant: Positive = 1.25
  """c, the weight of the prior against Q̄ in [0, 1]. Silver et al. 2018 and 1911.08265 (their c_init)."""
  min_return: float | None = None
  """Least return known beforehand: Q̄ is 0 there, or at a lower one that the tree sees; None for those of the tree
  alone, by which the smallest differences count in full: then a little cost hides a far reward. 1911.08265 (known
  bounds)."""
  max_return: float | None = None
  """Largest return known beforehand: Q̄ is 1 there, or at a higher one that the tree sees. 1911.08265."""
  dirichlet_alpha: Positive = 0.3
  """α of the noise on the root's prior: small is spiky. Silver et al. 2018 (chess)."""
  noise_fraction: Fraction = 0.25
  """Share of that noise in the root's prior while training; evaluation has none. Silver et al. 2018."""
  temperature: Positive = 1.0
  """While training an action is drawn with probability ∝ visits^(1/temperature); evaluation takes the most visited."""

  # Network and optimiser.
  hidden_sizes: tuple[PositiveInt, ...] = (128, 128)
  """Units of the fully connected layers: of policy and value, and again of a learned model."""
  learning_rate: Positive = 1e-3
  """Adam's, per SGD step."""
  max_gradient_norm: Positive = 40.0
  """Gradients are scaled down to this global norm."""
  target_update_period: PositiveInt = 50
  """SGD steps between copies of the value network to the target network."""

  # Replay; the rest, and γ, which counts in the search too, are in `acme.configs.ReplayConfig`.
  batch_size: PositiveInt = 128
  """Transitions in an SGD step: one in 4 environment steps."""
  min_replay_size: PositiveInt = 500
  """Transitions inserted before the first SGD step."""
  max_replay_size: PositiveInt = 100_000
  """Transitions held; then the oldest goes."""

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.min_return is not None and self.max_return is not None and self.min_return >= self.max_return:
      raise ValueError(
        f"MCTSConfig: expected min_return below max_return, got {self.min_return!r} and {self.max_return!r}."
      )


def make_experience(config: MCTSConfig) -> experience.Transitions:
  """What MCTS learns from: single steps, as they train a model, too."""
  return experience.Transitions(
    batch_size=config.batch_size * config.num_sgd_steps_per_step,
    max_size=config.max_replay_size,
    min_size=config.min_replay_size,
    samples_per_insert=config.samples_per_insert,
    n_step=1,
    discount=config.discount,
  )
