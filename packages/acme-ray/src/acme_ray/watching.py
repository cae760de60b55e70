"""Who watches a run, and what they are told."""

from collections.abc import Mapping, Sequence
from typing import Any

from acme import core, types

Row = Mapping[str, Any]


class Watcher(core.Saveable):
  """Is told what happens, in the process that called `run`; this one does nothing with it."""

  def episode(self, row: Row) -> None:
    """Takes the result of an episode of an actor, with the counts of the whole run."""

  def learner(self, row: Row) -> None:
    """Takes what the learner logs."""

  def evaluation(self, row: Row, results: Sequence[Row]) -> None:
    """Takes an evaluation: the counts when its parameters were taken, and the results of its episodes."""

  def progress(self, status: Mapping[str, Any]) -> None:
    """Takes how the run is, many times a second: `Conductor.status`."""

  def message(self, text: str) -> None:
    """Takes a line, such as which node died and came back."""

  def saved(self, steps: int, episodes: int) -> None:
    """Is told that there is a checkpoint, with what `save` gave in it."""

  def save(self) -> types.State:
    return None

  def restore(self, state: types.State) -> None:
    """Takes what `save` gave, where the run goes on from a checkpoint."""
