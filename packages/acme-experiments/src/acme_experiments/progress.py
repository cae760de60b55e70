"""How a run tells that it is getting on: a live display on a terminal, plain lines elsewhere, or nothing."""

import collections
import datetime
import math
import sys
import time
from typing import Any

import numpy as np

from acme import loggers
from acme_experiments.rundir import Experiment

_LIVE_SECONDS = 0.5  # Drawing takes about a millisecond: this keeps it far below 1 % of the time.
_PLAIN_SECONDS = 10.0
_RECENT = 10  # Episodes that the shown return is the mean of.


class Progress:
  """Shows nothing; the others override `show`."""

  _seconds = float("inf")  # Between two shows.
  detail = ""  # What else there is to say.

  def start(self, experiment: Experiment, steps: int, best: float = -math.inf) -> None:
    """Begins, with `steps` done already, and the highest mean return of an evaluation."""
    self._experiment, self._best = experiment, best
    self._begun: int | None = None  # Steps, or episodes, as the first of them were timed; …
    self._training = self._evaluating = 0.0  # … seconds since, …
    self._evaluations = 0  # … and the evaluations that the latter were of.
    self._returns: collections.deque[float] = collections.deque(maxlen=_RECENT)
    self._last, self._last_steps, self._rate = time.monotonic(), steps, 0.0

  def learns_from(self, experience: Any) -> None:
    """Takes the agent's experience, and says what range of returns its critic tells apart, where it has one."""
    if (returns := getattr(experience, "value_range", None)) is not None:
      self.message(f"The critic tells returns from {returns[0]:g} to {returns[1]:g} apart (vmin, vmax, reward_range).")

  def update(self, steps: int, episodes: int) -> None:
    """Takes the steps and episodes done so far; cheap enough to call ten times a second."""
    now = time.monotonic()
    if self._begun is None:
      self._begun = self._done(steps, episodes)
    if now - self._last < self._seconds:
      return
    self._training += now - self._last
    self._rate = (steps - self._last_steps) / (now - self._last)
    self._last, self._last_steps = now, steps
    self.show(steps, episodes)

  def evaluating(self, done: int, episodes: int) -> None:
    """Takes how many episodes of an evaluation are over, of how many; 0 when it begins."""
    now = time.monotonic()
    if not done:
      self._training += now - self._last
      self._last = self._evaluation_began = now
    elif done < episodes and now - self._last >= self._seconds:
      self._last = now
      left = _clock((episodes - done, (now - self._evaluation_began) / done))
      self.show_evaluation(", ".join(text for text in (f"evaluating: {done} of {episodes} episodes", left) if text))

  def episode(self, row: loggers.Row) -> None:
    """Takes the row of an episode."""
    if isinstance(row["episode_return"], float | int):
      self._returns.append(row["episode_return"])

  def evaluation(self, *rows: loggers.Row) -> None:
    """Takes the row of an evaluation, or those of many seeds."""
    row, parts = rows[0], []
    if "eval_return_mean" in row:
      mean, std, episodes = (row[f"eval_{name}"] for name in ("return_mean", "return_std", "episodes"))
      parts.append(f"evaluation {mean:,.2f} ± {std:,.2f} over {episodes} episodes")
    parts += [f"{name.replace('_', ' ')} {row[name]:,.4g}" for name in ("train_loss", "held_out_loss") if name in row]
    text = ", ".join(parts)
    if len(rows) > 1:
      low, median, high = np.percentile([row["eval_return_mean"] for row in rows], [0, 50, 100])
      text = f"evaluation, median {median:,.2f}, from {low:,.2f} to {high:,.2f}, over {len(rows)} seeds"
    if "eval_return_mean" in row:
      self._best = max(self._best, float(np.mean([row["eval_return_mean"] for row in rows])))
      text += f", best {self._best:,.2f}"
    self.message(f"step {rows[0]['steps']:,}: {text}")
    self._last, self._last_steps = time.monotonic(), rows[0]["steps"]  # Its time does not count as training.
    self._evaluating += self._last - getattr(self, "_evaluation_began", self._last)
    self._evaluations += 1

  def show(self, steps: int, episodes: int) -> None:
    """Shows how far the run is."""

  def show_evaluation(self, text: str) -> None:
    """Shows how far an evaluation is."""

  def message(self, text: str) -> None:
    """Shows a line that stays."""

  def close(self) -> None:
    """Ends the display."""

  def _done(self, steps: int, episodes: int) -> int:
    return steps if self._experiment.steps is not None else episodes

  def left(self, steps: int, episodes: int) -> str:
    """How long the run will still take, its evaluations with it, as far as can be told."""
    goal, done = self._experiment.steps or self._experiment.episodes or 0, self._done(steps, episodes)
    if self._begun is None or done <= self._begun:
      return ""
    due = 0
    if self._evaluations and self._experiment.steps and self._experiment.eval_every:
      due = goal // self._experiment.eval_every - steps // self._experiment.eval_every
    training = self._training / (done - self._begun)
    return _clock((goal - done, training), (due, self._evaluating / max(1, self._evaluations)))

  @property
  def best(self) -> str:
    """The highest mean return of an evaluation."""
    return f"best evaluation {self._best:,.1f}" if self._best > -math.inf else ""

  @property
  def recent_return(self) -> str:
    """The mean return of the newest episodes."""
    return f"{sum(self._returns) / len(self._returns):,.1f}" if self._returns else "–"


class Plain(Progress):
  """Prints a line now and then."""

  _seconds = _PLAIN_SECONDS

  def show(self, steps: int, episodes: int) -> None:
    acted = f"{episodes:,} episodes, " if self._experiment.dataset is None else ""
    returns = f", return {self.recent_return}" if acted else ""
    more = "".join(f", {text}" for text in (self.best, self.left(steps, episodes), self.detail) if text)
    self.message(f"step {steps:,} of {self._experiment.goal}: {acted}{self._rate:,.0f} steps/s{returns}{more}")

  def show_evaluation(self, text: str) -> None:
    self.message(text)

  def message(self, text: str) -> None:
    print(text, flush=True)


class Live(Progress):
  """A bar on the terminal, drawn between pieces of training and never in a thread of its own."""

  _seconds = _LIVE_SECONDS

  def start(self, experiment: Experiment, steps: int, best: float = -math.inf) -> None:
    from rich import progress  # Half of what this module would cost to import.

    super().start(experiment, steps, best)
    columns: list[Any] = [
      progress.TextColumn("[bold]{task.description}"),
      progress.BarColumn(bar_width=24),
      progress.TextColumn("{task.percentage:>3.0f}% {task.fields[text]}"),
    ]
    self._bar = progress.Progress(*columns, auto_refresh=False)
    goal = experiment.steps if experiment.steps is not None else experiment.episodes
    done = steps if experiment.steps is not None else 0
    name = f"{experiment.agent} {experiment.place}"
    self._task = self._bar.add_task(name, total=goal, completed=done, text="starting")
    self._bar.start()
    self._bar.refresh()

  def show(self, steps: int, episodes: int) -> None:
    parts = (f"{steps:,} steps", f"{self._rate:,.0f}/s", f"return {self.recent_return}", self.best)
    text = "  ".join(part for part in (*parts, self.left(steps, episodes), self.detail) if part)
    self._bar.update(self._task, completed=self._done(steps, episodes), text=text)
    self._bar.refresh()

  def show_evaluation(self, text: str) -> None:
    self._bar.update(self._task, text=text)
    self._bar.refresh()

  def message(self, text: str) -> None:
    self._bar.console.print(text, highlight=False, markup=False)

  def close(self) -> None:
    if hasattr(self, "_bar"):
      self._bar.stop()


def _clock(*parts: tuple[int, float]) -> str:
  """How long so many, at so many seconds each, take together, such as "1:02:03 left"; "" beyond all calendars."""
  try:
    return f"{datetime.timedelta(seconds=round(sum(number * seconds for number, seconds in parts)))} left"
  except OverflowError:
    return ""


def choose(quiet: bool) -> Progress:
  """The display that fits where the output goes."""
  if quiet:
    return Progress()
  return Live() if sys.stdout.isatty() else Plain()
