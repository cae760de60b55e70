"""Learning curves: for each agent and config, the median over seeds and the band between the quartiles."""

import csv
import dataclasses
import pathlib
import warnings
from collections.abc import Sequence
from typing import Any

import matplotlib
import matplotlib.ticker
import numpy as np

from acme_experiments.experiment import UsageError
from acme_experiments.rundir import RunDirectory, read_text

# Okabe and Ito's palette, told apart by the colour-blind; each with its own dashes, told apart in print too.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES = ("-", "--", "-.", ":")
RETURN = "eval_return_mean"
_LOSSES = ("train_loss", "held_out_loss")
STYLE: Any = {
  "font.size": 10,
  "axes.spines.top": False,
  "axes.spines.right": False,
  "axes.grid": True,
  "grid.alpha": 0.25,
  "legend.frameon": False,
  "savefig.dpi": 200,
}


@dataclasses.dataclass(frozen=True)
class Curve:
  """One column of the evaluations of one run.

  Attributes:
    agent: its name.
    environment: its name, or that of the dataset where there is none.
    config: the agent's config by field.
    steps: [E] environment steps of the evaluations, or learner steps on a dataset.
    returns: [E] mean returns, or what else the column has.
    column: its name.
    unit: what the steps are.
  """

  agent: str
  environment: str
  config: dict[str, Any]
  steps: np.ndarray
  returns: np.ndarray
  column: str = RETURN
  unit: str = "environment steps"


def plot(directories: Sequence[RunDirectory], path: pathlib.Path, columns: Sequence[str] = ()) -> None:
  """Draws the curves of runs into a picture, one panel an environment.

  Args:
    directories: of runs; those that differ in nothing but the seed make one curve.
    path: of the picture; its ending says the kind.
    columns: of eval.csv, to be drawn; none for the return, or for the losses of a run that has none.

  Raises:
    UsageError: no run has such evaluations, or an ending of no known kind. Those without any are named and left out.
  """
  from matplotlib.backends import backend_agg
  from matplotlib.figure import Figure

  if not directories:
    raise UsageError("Expected one run directory or more, got none.")
  curves = [curve for directory in directories for curve in _read_or_warn(directory, columns)]
  if not curves:
    raise UsageError("There is nothing to draw: none of the runs has evaluations.")
  environments = list(dict.fromkeys(curve.environment for curve in curves))
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(5.2 * len(environments), 3.6), layout="constrained")
    canvas = backend_agg.FigureCanvasAgg(figure)
    supported = canvas.get_supported_filetypes()
    if path.suffix.removeprefix(".") not in supported:
      raise UsageError(f"--out: expected a name that ends in .{', .'.join(sorted(supported))}, got {path.name!r}.")
    panels = figure.subplots(1, len(environments), squeeze=False)[0]
    named = labels(curves)
    for panel, environment in zip(panels, environments, strict=True):
      draw_panel(panel, environment, named, curves)
    path.parent.mkdir(parents=True, exist_ok=True)
    save(figure, path)


def save(figure: Any, path: pathlib.Path) -> None:
  """Writes a figure under a temporary name and renames it: the file is the old one or the new one, and no link's."""
  temporary = path.with_name(f".{path.stem}.tmp{path.suffix}")
  temporary.unlink(missing_ok=True)
  try:
    figure.savefig(temporary)
    temporary.replace(path)
  finally:
    temporary.unlink(missing_ok=True)


def read_curves(directory: RunDirectory, columns: Sequence[str] = ()) -> list[Curve]:
  """Reads columns of the evaluations of a run; UsageError where there are none, or they cannot be read."""
  experiment = directory.read_experiment()
  file = directory.path / "eval.csv"
  try:
    lines = read_text(file).splitlines(keepends=True) if file.exists() else []
    rows = list(csv.DictReader(line for line in lines if line.endswith("\n")))  # The run may be writing another.
    if not columns:
      columns = [RETURN] if not rows or RETURN in rows[0] else [name for name in _LOSSES if name in rows[0]]
    # An evaluation may lack a column, as where it had no episodes.
    found = {
      column: [(float(row["steps"]), float(row[column])) for row in rows if row[column] != ""] for column in columns
    }
  except KeyError as error:
    raise UsageError(f"{file} has no column {error}, but {', '.join(rows[0])}.") from error
  except (OSError, ValueError, TypeError, csv.Error) as error:
    raise UsageError(f"{file} cannot be read: {error!r}. Put it back from a copy.") from error
  if not rows:
    raise UsageError(f"{directory.path} has no evaluations yet: nothing to draw. (--eval-every 0 makes none.)")
  return [
    Curve(
      agent=experiment.agent,
      environment=" ".join(experiment.place_and_options),
      config=dict(experiment.config),
      steps=np.array([step for step, _ in points]),
      returns=np.array([value for _, value in points]),
      column=column,
      unit="environment steps" if experiment.dataset is None else "learner steps",
    )
    for column, points in found.items()
    if points
  ]


def look(i: int) -> tuple[str, str]:
  """The colour and dashes of the curve of that number."""
  return _COLOURS[i % len(_COLOURS)], _DASHES[i % len(_DASHES)]


def _read_or_warn(directory: RunDirectory, columns: Sequence[str]) -> list[Curve]:
  try:
    return read_curves(directory, columns)
  except UsageError as error:
    warnings.warn(f"Left out: {error}", stacklevel=2)
    return []


def quartiles(curves: Sequence[Curve]) -> tuple[np.ndarray, np.ndarray]:
  """The quartiles over several runs.

  Args:
    curves: of R runs.

  Returns:
    steps [E], at which any run was evaluated, up to where the shortest one ends; and the lower quartile, median and
    upper quartile there, [3, E], between evaluations on a straight line.
  """
  first, last = max(curve.steps[0] for curve in curves), min(curve.steps[-1] for curve in curves)
  steps = np.unique(np.concatenate([curve.steps for curve in curves]))
  steps = steps[(steps >= first) & (steps <= last)]
  returns = np.stack([np.interp(steps, curve.steps, curve.returns) for curve in curves])  # [R, E]
  return steps, np.percentile(returns, [25, 50, 75], axis=0)


def draw_panel(panel: Any, environment: str, labels: Sequence[str], curves: Sequence[Curve]) -> None:
  """Draws the curves of one environment; runs with one label are one curve, of one colour in every panel."""
  for i, label in enumerate(dict.fromkeys(labels)):
    pairs = zip(labels, curves, strict=True)
    group = [curve for its_label, curve in pairs if its_label == label and curve.environment == environment]
    if not group:
      continue
    steps, (low, median, high) = quartiles(group)
    colour, dashes = look(i)
    seeds = f"{len(group)} seed{'s' if len(group) > 1 else ''}"
    marker = "o" if len(steps) == 1 else None
    panel.plot(steps, median, dashes, color=colour, marker=marker, linewidth=1.6, label=f"{label} ({seeds})")
    if len(group) > 1:
      panel.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
  panel.set_title(environment)
  here = [curve for curve in curves if curve.environment == environment]
  panel.set_xlabel(" or ".join(dict.fromkeys(curve.unit for curve in here)))
  what = ", ".join(dict.fromkeys("evaluation return" if c.column == RETURN else c.column for c in here))
  panel.set_ylabel(f"{what.replace('_', ' ')} (median, quartiles)")
  panel.set_xlim(left=0)
  panel.margins(x=0.02)
  panel.xaxis.set_major_formatter(matplotlib.ticker.EngFormatter(sep=""))
  panel.legend(loc="best", fontsize=9)


def labels(curves: Sequence[Curve]) -> list[str]:
  """For each run the agent's name, and the fields in which its config differs from another of that agent."""
  found = []
  for curve in curves:
    others = [other.config for other in curves if other.agent == curve.agent]
    fields = [name for name, value in curve.config.items() if any(other.get(name) != value for other in others)]
    column = [curve.column.replace("_", " ")] if len({each.column for each in curves}) > 1 else []
    found.append(" ".join([curve.agent, *(f"{name}={curve.config[name]}" for name in fields), *column]))
  return found
