"""Evaluations: whole episodes of a greedy actor, in an environment and on seeds of their own."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import dm_env
import numpy as np
import tree

import acme
import acme_envs
from acme import core, loggers
from acme.environment_loop import Result
from acme_experiments import stopping

FINAL = 0  # The number of the final evaluation; the others count from 1.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluator:
  """Evaluates an actor; what comes out depends on nothing but the newest parameters and the evaluation's number.

  Attributes:
    environment: used by evaluations alone.
    actor: acts greedily; it is put back to how it was made before each evaluation.
    seed: what the seeds of all episodes derive from.
    initial: the state of `actor` as it was made.
  """

  environment: dm_env.Environment
  actor: core.Actor
  seed: int
  initial: Any

  def run(
    self, number: int, episodes: int, stop: stopping.StopRequest | None = None, video: pathlib.Path | None = None
  ) -> list[Result]:
    """Runs `episodes` episodes, or fewer where `stop` is asked for meanwhile; the first is filmed to `video`."""
    self.actor.restore(self.initial)
    self.actor.update(wait=True)
    seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
    environment = self.environment
    stop = stop or stopping.StopRequest()
    results = loggers.InMemoryLogger()
    if video is not None:
      environment = acme_envs.wrappers.VideoWrapper(environment, video, num_episodes=1)
    loop = acme.EnvironmentLoop(
      environment, self.actor, logger=results, should_update=False, label="evaluation", seed=seed
    )
    with stop.watching(loop):
      while not stop and len(results.rows) < episodes:
        loop.run(num_episodes=1)
    return results.rows


def total_return(result: Result) -> float:
  """The return of an episode; where rewards are nested or arrays, the sum of them all."""
  return float(sum(np.sum(leaf) for leaf in tree.flatten(result["episode_return"])))


def summarize(results: Sequence[Result]) -> dict[str, float]:
  """Mean, standard deviation, least and greatest return, mean length and number of the episodes."""
  returns = np.array([total_return(result) for result in results])
  return {
    "eval_return_mean": float(np.mean(returns)),
    "eval_return_std": float(np.std(returns)),
    "eval_return_min": float(np.min(returns)),
    "eval_return_max": float(np.max(returns)),
    "eval_length_mean": float(np.mean([result["episode_length"] for result in results])),
    "eval_episodes": len(results),
  }
