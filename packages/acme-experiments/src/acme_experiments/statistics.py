"""What a few seeds say of an agent, with how sure they are (Agarwal et al. 2021, 2108.13264).

Scores are of T tasks, an array of each: [R_t] of its R_t runs, which may differ from task to task.
"""

from collections.abc import Callable, Sequence

import numpy as np

Scores = Sequence[np.ndarray]
Statistic = Callable[[Sequence[np.ndarray]], np.ndarray]
"""Of scores, each [..., R_t], a number [...]."""

REPETITIONS = 10_000


def iqm(scores: Scores) -> np.ndarray:
  """The interquartile mean: that of the middle half of all runs of all tasks."""
  values = np.sort(np.concatenate(scores, axis=-1), axis=-1)  # [..., ΣR_t]
  cut = values.shape[-1] // 4
  return np.mean(values[..., cut : values.shape[-1] - cut], axis=-1)


def mean(scores: Scores) -> np.ndarray:
  """The mean over tasks of the mean over their runs."""
  return np.mean([np.mean(task, axis=-1) for task in scores], axis=0)


def median(scores: Scores) -> np.ndarray:
  """The median over tasks of the mean over their runs."""
  return np.median([np.mean(task, axis=-1) for task in scores], axis=0)


def optimality_gap(scores: Scores) -> np.ndarray:
  """How far below 1 the runs stay: 1 less the mean of min(score, 1)."""
  return 1 - mean([np.minimum(task, 1) for task in scores])


def bootstrap(
  scores: Scores, statistic: Statistic, *, repetitions: int = REPETITIONS, confidence: float = 0.95, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
  """The stratified bootstrap's interval of a statistic: the runs of each task are drawn again, with replacement.

  Args:
    scores: of T tasks.
    statistic: one of those above, or a function as they are.
    repetitions: how often all are drawn.
    confidence: the interval's share of what then comes out, as much being left out at either end.
    seed: of the draws.

  Returns:
    The interval's ends.
  """
  rng = np.random.default_rng(seed)
  drawn = [rng.choice(np.asarray(task), (repetitions, len(task))) for task in scores]
  low, high = np.quantile(statistic(drawn), [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
  return low, high


def profile(scores: Scores, thresholds: np.ndarray) -> np.ndarray:
  """The performance profile: the share of runs above each of H thresholds, [..., H]; tasks count alike."""
  return np.mean([np.mean(task[..., None] > thresholds, axis=-2) for task in scores], axis=0)


def interval(values: np.ndarray) -> tuple[float, float, float]:
  """Of one task's runs the IQM, and the ends of its interval of 95 %."""
  low, high = bootstrap([values], iqm)
  return float(iqm([values])), float(low), float(high)
