"""Evaluations, one at a time, each of the parameters that were the newest when it was asked for."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from acme_ray import nodes
from acme_ray.state import RunState

FINAL = 0  # The number of the final evaluation; the others count from 1.


class Evaluating:
  """Asks the evaluator, and keeps the results.

  Attributes:
    results: of each evaluation its counts, its number and the returns of its episodes.
  """

  def __init__(self, run: RunState) -> None:
    self._run = run
    self.results: list[dict[str, Any]] = []
    self._asked: tuple[int, int, dict[str, Any], nodes.Version] | None = None  # The one going on.

  @property
  def going_on(self) -> bool:
    """Whether there is one now."""
    return self._asked is not None

  def ask_where_due(self) -> None:
    """Begins one when the schedule has it; where several have become due meanwhile, one for all of them."""
    run, every = self._run, self._run.schedule.eval_every
    if every and not self.going_on and run.steps >= (run.counts["evaluations"] + 1) * every:
      run.counts["evaluations"] = run.steps // every
      self.ask(run.counts["evaluations"], run.schedule.eval_episodes)

  def ask(self, number: int, episodes: int) -> None:
    """Begins an evaluation of the newest parameters."""
    run = self._run
    row = {name: run.counts[name] for name in ("steps", "episodes", "learner_steps")} | {"seconds": run.seconds}
    self._asked = number, episodes, row, run.version
    self.ask_again()

  def ask_again(self) -> None:
    """Asks an evaluator that has become ready for what is going on."""
    run = self._run
    if self._asked is not None and run.evaluator.ready:
      number, episodes, _, version = self._asked
      call = run.supervisor.call
      call(run.evaluator, "evaluate", version, number, episodes, then=self._evaluated, weight=episodes)

  def _evaluated(self, results: Sequence[Mapping[str, Any]]) -> None:
    assert self._asked is not None
    number, _, row, _ = self._asked
    self._asked = None
    returns = [float(np.sum(result["episode_return"])) for result in results]
    self.results.append(row | {"number": number, "returns": returns})
    self._run.watch.evaluation(row | {"number": number}, results)
