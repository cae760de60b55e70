"""Evaluations: whole episodes of a greedy actor, in an environment and on seeds of their own."""

import dataclasses
import math
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dm_env
import numpy as np
import tree

import acme
import acme_envs
from acme import core, loggers, types
from acme.environment_loop import Result
from acme_experiments import stopping

FINAL = 0  # The number of the final evaluation; the others count from 1.
ENDLESS = 30_000  # Steps that an episode may take: a greedy policy may walk to and fro for ever. Atari's end at 27,000.


class Tally(core.Saveable):
  """What the evaluations of a run have come to.

  Attributes:
    done: how many were due so far, those that were left out included.
    steps: environment steps that they took.
    best: the best mean return of them, or less the lowest held-out loss; -inf before the first.
    highest: the highest mean return of them; -inf before the first.
    held_out: what the best one said of what is held out, by name; {} where nothing is.
  """

  def __init__(self) -> None:
    self.done = 0
    self.steps = 0
    self.best = self.highest = -math.inf
    self.held_out: dict[str, float] = {}

  def add(self, results: Sequence[Result], held_out: Mapping[str, float] | None = None) -> bool:
    """Counts an evaluation, which may have no episodes; returns whether it is the best so far.

    Where something is held out, its loss says so, and not the return.
    """
    self.done += 1
    self.steps += sum(result["episode_length"] for result in results)
    mean = float(np.mean([total_return(result) for result in results])) if results else -math.inf
    self.highest = max(self.highest, mean)
    if not held_out and not results:
      return False
    score = -held_out["held_out_loss"] if held_out else mean
    best = score > self.best
    if best:
      self.best, self.held_out = score, dict(held_out or {})
    return best

  def save(self) -> types.State:
    numbers = {name: getattr(self, name) for name in ("done", "steps", "best", "highest")}
    return numbers | {"held_out": dict(self.held_out)}

  def restore(self, state: types.State) -> None:
    self.done, self.steps, self.best = state["done"], state["steps"], state["best"]
    self.highest = state.get("highest", self.best)
    self.held_out = dict(state.get("held_out", {}))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluator:
  """Evaluates an actor; what comes out depends on nothing but the newest parameters and the evaluation's number.

  An episode that has not ended after 30,000 steps is cut short there.

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
    self,
    number: int,
    episodes: int,
    stop: stopping.StopRequest | None = None,
    video: pathlib.Path | None = None,
    max_steps: float = math.inf,
    told: Callable[[int, int], None] = lambda done, episodes: None,
  ) -> list[Result]:
    """Runs episodes.

    Args:
      number: of the evaluation, from which the seeds of its episodes derive.
      episodes: how many.
      stop: ends the evaluation at the step in progress.
      video: a file for a film of the first episode.
      max_steps: after so many steps no further episode begins.
      told: is called with the number of episodes that are over, and `episodes`; with 0 when the first one begins.
    """
    told(0, episodes)
    self.actor.restore(self.initial)
    self.actor.update(wait=True)
    seed = acme.episode_seed(self.seed, number)
    environment: dm_env.Environment = acme.wrappers.StepLimit(self.environment, ENDLESS)
    stop = stop if stop is not None else stopping.StopRequest()  # Which is false until a signal comes.
    results = loggers.InMemoryLogger()
    if video is not None:
      environment = acme_envs.wrappers.VideoWrapper(environment, video, num_episodes=1)
    loop = acme.EnvironmentLoop(
      environment, self.actor, logger=results, should_update=False, label="evaluation", seed=seed
    )
    while not stop and len(results.rows) < episodes and loop.counter.get("steps") < max_steps:
      ended = len(results.rows)
      while not stop and len(results.rows) == ended:
        loop.run(num_steps=1)  # So that a signal is seen after every step, wherever it comes.
      told(len(results.rows), episodes)
    return results.rows


def total_return(result: Result) -> float:
  """The return of an episode; where rewards are nested or arrays, the sum of them all."""
  return float(sum(np.sum(leaf) for leaf in tree.flatten(result["episode_return"])))


def summarize(results: Sequence[Result]) -> dict[str, float]:
  """Mean, standard deviation, least and greatest return, mean length and number of the episodes."""
  lengths = [result["episode_length"] for result in results]
  return of_returns([total_return(result) for result in results]) | {"eval_length_mean": float(np.mean(lengths))}


def of_returns(returns: Sequence[float]) -> dict[str, float]:
  """What `summarize` gives of returns alone."""
  return {
    "eval_return_mean": float(np.mean(returns)),
    "eval_return_std": float(np.std(returns)),
    "eval_return_min": float(np.min(returns)),
    "eval_return_max": float(np.max(returns)),
    "eval_episodes": len(returns),
  }


def of_seeds(results: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
  """Statistics of the episodes of all seeds together, from those of each, and `seeds`: the mean return of each."""
  if not all("eval_returns" in result for result in results.values()):
    losses = {str(seed): result["held_out_loss"] for seed, result in results.items() if "held_out_loss" in result}
    return {"seeds": losses} | ({"held_out_loss": float(np.mean(list(losses.values())))} if losses else {})
  returns = [value for result in results.values() for value in result["eval_returns"]]
  means = {str(seed): result["eval_return_mean"] for seed, result in results.items()}
  return of_returns(returns) | {"seeds": means}


def statistics(results: Sequence[Result]) -> dict[str, Any]:
  """What `summarize` gives, and the return of each episode."""
  return summarize(results) | {"eval_returns": [total_return(result) for result in results]}
