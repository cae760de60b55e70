"""The loop in which a learner learns without anyone acting: from a dataset, or before acting begins."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from acme import core, counting, loggers, types


class LearningLoop(core.Saveable):
  """Steps a learner, which takes its samples from a dataset, and counts and logs.

  acme.LearningLoop(agent.learner, evaluate=agent.learner.evaluate).run(num_steps=10_000)

  Its state is a count: the learner, and what it learns from, are saved by whoever holds them. Between two steps it may
  be stopped, saved and restored, and going on is then the same as not having stopped.
  """

  def __init__(
    self,
    learner: core.Learner,
    *,
    counter: counting.Counter | None = None,
    logger: loggers.Logger | None = None,
    evaluate: Callable[[], Mapping[str, Any]] | None = None,
    evaluate_every: int = 1_000,
    label: str = "learning",
  ) -> None:
    """Makes a loop.

    Args:
      learner: who learns.
      counter: counts `{label}_steps`, for whoever shares it; a step is one `Learner.step()`.
      logger: takes what `evaluate` gives, with the counts; None for a line on the terminal now and then.
      evaluate: called now and then; None for never.
      evaluate_every: steps between two calls of it.
      label: the name under which steps are counted.

    Raises:
      ValueError: evaluate_every is below 1.
    """
    if evaluate_every < 1:
      raise ValueError(f"evaluate_every: expected 1 or more steps, got {evaluate_every!r}.")
    self._learner = learner
    self._counter = counting.Counter(counter, prefix=label)
    self._logger = logger if logger is not None else loggers.TimeFilter(loggers.TerminalLogger(label), seconds=1.0)
    self._evaluate = evaluate
    self._evaluate_every = evaluate_every
    self._stop = False

  reproducible = True  # It can be saved between any two steps.

  @property
  def counter(self) -> counting.Counter:
    """What this loop counts on: its `steps`."""
    return self._counter

  @property
  def steps(self) -> int:
    """Learner steps taken."""
    return int(self._counter.get("steps"))

  def run(self, num_steps: int | None = None) -> int:
    """Takes so many learner steps, or steps until the learner is finished; returns the number taken.

    A learner that is finished takes none.

    Raises:
      ValueError: `num_steps` is negative.
    """
    if num_steps is not None and num_steps < 0:
      raise ValueError(f"num_steps: expected 0 or more, got {num_steps}.")
    self._stop = False
    done = 0
    while not (self._stop or self._learner.finished) and (num_steps is None or done < num_steps):
      self._learner.step()
      done += 1
      counts = self._counter.increment(steps=1)
      if self._evaluate is not None and self.steps % self._evaluate_every == 0:
        self._logger.write({**self._evaluate(), **counts})
    return done

  def stop(self) -> None:
    """Makes `run` return after the step in progress; a signal handler may call it."""
    self._stop = True

  def close(self) -> None:
    """Closes the logger."""
    self._logger.close()

  def save(self) -> types.State:
    return {"counts": self._counter.save()}

  def restore(self, state: types.State) -> None:
    self._counter.restore(state["counts"])


def mean_of(batches: Iterable[tuple[Mapping[str, Any], Any]]) -> dict[str, float]:
  """Means over several batches of metrics, each with the number that it is a mean of; {} where that is 0 in all."""
  sums: dict[str, float] = {}
  total = 0.0
  for metrics, number in batches:
    total += float(number)
    for name, value in metrics.items():
      sums[name] = sums.get(name, 0.0) + float(value) * float(number)
  return {name: value / total for name, value in sums.items()} if total else {}
