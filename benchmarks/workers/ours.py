"""What our workers share: a config in which nothing that costs time is left to a default."""

from typing import Any

from acme_dqn import DQNConfig


def plain_config(**changes: Any) -> DQNConfig:
  """DQN as Stable-Baselines3 has it: uniform 1-step replay, no double Q, one stream, gradients clipped to norm 10."""
  plain = {
    "n_step": 1,
    "double_q": False,
    "dueling": False,
    "categorical": False,
    "quantile": False,
    "noisy": False,
    "munchausen": False,
    "prioritized": False,
    "max_gradient_norm": 10.0,
    "discount": 0.99,
    "learning_rate": 1e-3,
    "target_update_period": 100,
    "num_sgd_steps_per_step": 1,
    "epsilon": 0.05,
    "epsilon_initial": 0.05,
    "hidden_sizes": (64, 64),
    "batch_size": 64,
    "samples_per_insert": 64.0,
    "min_replay_size": 64,
    "max_replay_size": 100_000,
  }
  return DQNConfig(**(plain | changes))
