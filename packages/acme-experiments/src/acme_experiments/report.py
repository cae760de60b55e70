"""`acme report`: what runs came to, as tables in Markdown and a page of plots.

Per task and agent: the final evaluations of all seeds, their interquartile mean (IQM) and its interval; over tasks the
same of normalised scores, which are 0 and 1 at the ends of each task's range. `acme_experiments.statistics` has the
equations.
"""

import dataclasses
import pathlib
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np

from acme_experiments import parsing, plotting, statistics
from acme_experiments.experiment import UsageError
from acme_experiments.plotting import Curve
from acme_experiments.rundir import RunDirectory, at_one_stroke, write_text

Ranges = Mapping[str, tuple[float, float]]
"""By task the returns that stand for the scores 0 and 1."""

_POINTS = 50  # Of curves over tasks, and of profiles.
_FEW = 1_000  # Repetitions of the bootstrap for each of them.


@dataclasses.dataclass(frozen=True)
class Run:
  """A seed of an agent on a task.

  Attributes:
    curve: its evaluations.
    final: the mean return of the final one; None where the run is not over, or failed.
  """

  curve: Curve
  final: float | None


@dataclasses.dataclass(frozen=True)
class Report:
  """Runs, by the labels of their agents and configs, and by task.

  Attributes:
    runs: in each, a list for each label and task, in the order in which they came.
    ranges: the scores of each task.
  """

  runs: dict[str, dict[str, list[Run]]]
  ranges: Ranges

  @property
  def tasks(self) -> list[str]:
    """All tasks."""
    return list(self.ranges)

  def finals(self, label: str, task: str) -> np.ndarray:
    """[R] the final returns of those that are over."""
    return np.array([run.final for run in self.runs[label].get(task, []) if run.final is not None])

  def scores(self, label: str) -> list[np.ndarray]:
    """The normalised scores of a label, of each task on which it has any."""
    return [self.score(task, values) for task in self.tasks if len(values := self.finals(label, task))]

  def score(self, task: str, returns: np.ndarray) -> np.ndarray:
    """Returns as normalised scores."""
    low, high = self.ranges[task]
    return (returns - low) / (high - low)


def read(directories: Sequence[RunDirectory], ranges: Ranges | None = None) -> Report:
  """Reads runs.

  Args:
    directories: of runs of one seed each.
    ranges: of tasks, in place of the lowest and the highest final return on each.

  Raises:
    UsageError: none can be read; those that cannot are named and left out.
  """
  found = [run for directory in directories if (run := _read_or_warn(directory)) is not None]
  if not any(run.final is not None for run in found):
    raise UsageError("There is nothing to report: none of the runs is over.")
  labels = plotting.labels([run.curve for run in found])
  runs: dict[str, dict[str, list[Run]]] = {}
  for label, run in zip(labels, found, strict=True):
    runs.setdefault(label, {}).setdefault(run.curve.environment, []).append(run)
  tasks = dict.fromkeys(run.curve.environment for run in found)
  if ranges and (others := [task for task in tasks if task not in ranges]):
    warnings.warn(f"No range is given for {', '.join(others)}: from its lowest to its highest return.", stacklevel=2)
  return Report(runs, {task: _range(task, found, ranges or {}) for task in tasks})


def write(report: Report, out: pathlib.Path) -> None:
  """Writes a folder, at one stroke: report.md, and the page of plots as report.png and report.pdf.

  Raises:
    UsageError: something is there already.
  """
  with at_one_stroke(out, f"{out} exists: give another --out.") as folder:
    if out.exists():
      raise FileExistsError(out)
    write_text(folder / "report.md", markdown(report))
    draw(report, folder / "report.png", folder / "report.pdf")


def markdown(report: Report) -> str:
  """The tables."""
  lines = ["# Report", "", "## Each task", ""]
  lines += ["| task | agent | seeds | IQM | interval of 95 % | mean | lowest | highest | not over |"]
  lines += ["| --- | --- | ---: | ---: | --- | ---: | ---: | ---: | ---: |"]
  for task in report.tasks:
    for label, runs in report.runs.items():
      if task in runs:
        lines.append(f"| {task} | {label} {_cells(report.finals(label, task), len(runs[task]))}")
  lines += ["", "## All tasks", ""]
  lines += ["| agent | tasks | seeds | IQM | interval of 95 % | median | mean | optimality gap |"]
  lines += ["| --- | ---: | ---: | ---: | --- | ---: | ---: | ---: |"]
  for label in report.runs:
    scores = report.scores(label)
    if scores:
      low, high = statistics.bootstrap(scores, statistics.iqm)
      numbers = [f"{each(scores):.3f}" for each in (statistics.median, statistics.mean, statistics.optimality_gap)]
      lines.append(
        f"| {label} | {len(scores)} of {len(report.tasks)} | {sum(map(len, scores))} | {statistics.iqm(scores):.3f} | "
        f"{low:.3f} to {high:.3f} | {' | '.join(numbers)} |"
      )
  ranges = ", ".join(f"{task} {low:g} to {high:g}" for task, (low, high) in report.ranges.items())
  notes = (
    "A return is the mean of a seed's final evaluation. IQM is the mean of the middle half of all seeds, its interval "
    f"the stratified bootstrap's with {statistics.REPETITIONS:,} repetitions (Agarwal et al. 2021, arXiv 2108.13264). "
    f"Of all tasks scores are normalised, from 0 to 1: {ranges}."
  )
  return "\n".join([*lines, "", notes, "", "![Curves, intervals and profiles](report.png)", ""])


def draw(report: Report, *paths: pathlib.Path) -> None:
  """Draws the page: the curves of each task; and over all tasks the curve, the IQM and the profile of each agent."""
  from matplotlib.backends import backend_agg
  from matplotlib.figure import Figure

  columns = max(3, min(4, len(report.tasks)))
  rows = -(-len(report.tasks) // columns) + 1
  curves = [run.curve for runs in report.runs.values() for several in runs.values() for run in several]
  labels = [label for label, runs in report.runs.items() for several in runs.values() for _ in several]
  with matplotlib.rc_context(plotting.STYLE):
    figure = Figure(figsize=(5.2 * columns, 3.6 * rows), layout="constrained")
    backend_agg.FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False)
    for panel, task in zip(panels.flat, report.tasks, strict=False):
      plotting.draw_panel(panel, task, labels, curves)
    for panel in panels.flat[len(report.tasks) : (rows - 1) * columns]:
      panel.axis("off")
    for panel in panels[-1, 3:]:
      panel.axis("off")
    _draw_curves(panels[-1, 0], report)
    _draw_intervals(panels[-1, 1], report)
    _draw_profiles(panels[-1, 2], report)
    for path in paths:
      figure.savefig(path)


def read_ranges(path: str) -> dict[str, tuple[float, float]]:
  """Ranges from TOML, such as "gym:CartPole-v1" = [0, 500]. Raises UsageError where it has something else."""
  content = parsing.read_toml(path, f"--ranges {path}")
  for task, ends in content.items():
    numbers = isinstance(ends, list) and len(ends) == 2 and all(type(end) in (int, float) for end in ends)
    if not numbers or not -sys.float_info.max <= ends[0] < ends[1] <= sys.float_info.max:
      raise UsageError(f'--ranges {path}: expected "{task}" = [LOW, HIGH], LOW below HIGH, got {ends!r}.')
  return {task: (float(low), float(high)) for task, (low, high) in content.items()}


def _read_or_warn(directory: RunDirectory) -> Run | None:
  try:
    experiment, summary = directory.read_experiment(), directory.read_summary()
    final = None if summary is None else summary.get("eval_return_mean")
    try:
      (curve,) = plotting.read_curves(directory, (plotting.RETURN,))
    except UsageError:
      if final is None:
        raise
      curve = plotting.Curve(
        agent=experiment.agent, environment=" ".join(experiment.place_and_options), config=dict(experiment.config),
        steps=np.array([float(summary["steps"])]), returns=np.array([final]),  # type: ignore[index]
      )  # fmt: skip
    return Run(curve, final)
  except (UsageError, ValueError) as error:
    warnings.warn(f"Left out: {error}", stacklevel=2)
    return None


def _range(task: str, runs: Sequence[Run], given: Ranges) -> tuple[float, float]:
  if task in given:
    return given[task]
  finals = [run.final for run in runs if run.curve.environment == task and run.final is not None]
  low, high = (min(finals), max(finals)) if finals else (0.0, 1.0)
  return (low, high) if low < high else (low - 1, low)  # All alike: 1.


def _cells(finals: np.ndarray, number: int) -> str:
  missing = f"{number - len(finals)} |"
  if not len(finals):
    return f"| 0 | | | | | | {missing}"
  value, low, high = statistics.interval(finals)
  ends = f"{np.mean(finals):,.2f} | {finals.min():,.2f} | {finals.max():,.2f}"
  return f"| {len(finals)} | {value:,.2f} | {low:,.2f} to {high:,.2f} | {ends} | {missing}"


def _draw_curves(panel: Any, report: Report) -> None:
  """The IQM of normalised scores over the course of training, with its interval."""
  for i, (label, runs) in enumerate(report.runs.items()):
    begins = max(run.curve.steps[0] / run.curve.steps[-1] for several in runs.values() for run in several)
    shares = np.linspace(begins, 1, _POINTS)
    scores = [  # [T] of [H, R_t]
      np.stack([report.score(task, _at(run.curve, shares)) for run in several], axis=-1)
      for task, several in runs.items()
    ]
    low, high = np.transpose(
      [statistics.bootstrap([task[h] for task in scores], statistics.iqm, repetitions=_FEW) for h in range(_POINTS)]
    )
    colour, dashes = plotting.look(i)
    panel.plot(shares, statistics.iqm(scores), dashes, color=colour, linewidth=1.6, label=label)
    panel.fill_between(shares, low, high, color=colour, alpha=0.2, linewidth=0)
  panel.set(title="All tasks", xlabel="share of training", ylabel="normalised score (IQM, 95 %)")
  panel.legend(loc="best", fontsize=9)


def _at(curve: Curve, shares: np.ndarray) -> np.ndarray:
  """The returns at shares of all its steps, between evaluations on a straight line."""
  return np.interp(shares * curve.steps[-1], curve.steps, curve.returns)


def _draw_intervals(panel: Any, report: Report) -> None:
  """The IQM of each agent's final scores, with its interval."""
  labels = [label for label in report.runs if report.scores(label)]
  for i, label in enumerate(labels):
    scores = report.scores(label)
    low, high = statistics.bootstrap(scores, statistics.iqm)
    colour, _ = plotting.look(list(report.runs).index(label))
    panel.barh(i, high - low, left=low, color=colour, alpha=0.4, height=0.5)
    panel.vlines(statistics.iqm(scores), i - 0.25, i + 0.25, color=colour)
  panel.use_sticky_edges = False
  panel.set_yticks(range(len(labels)), labels)
  panel.invert_yaxis()
  panel.set(title="Final evaluations", xlabel="normalised score (IQM, 95 %)")


def _draw_profiles(panel: Any, report: Report) -> None:
  """The share of runs above each score, with its interval."""
  for i, label in enumerate(report.runs):
    if scores := report.scores(label):
      everything = np.concatenate(scores)
      thresholds = np.linspace(min(0, everything.min()), max(1, everything.max()), _POINTS)
      low, high = statistics.bootstrap(scores, lambda s: statistics.profile(s, thresholds), repetitions=_FEW)  # noqa: B023
      colour, dashes = plotting.look(i)
      panel.plot(thresholds, statistics.profile(scores, thresholds), dashes, color=colour, linewidth=1.6, label=label)
      panel.fill_between(thresholds, low, high, color=colour, alpha=0.2, linewidth=0)
  panel.set(title="Performance profiles", xlabel="normalised score τ", ylabel="share of runs above τ")
  panel.legend(loc="best", fontsize=9)
