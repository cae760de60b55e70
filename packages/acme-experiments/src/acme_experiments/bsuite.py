"""An agent through bsuite: a run for each id, and the suite's own scores of what came of them.

Of a bsuite directory:

- bsuite.json: the agent, and the ids
- catch-0/ and so on: a run each, whose train.csv says what the suite's statistics gained in each episode
- logs/: the suite's own logs, made of those
- scores.json, scores.md, radar.png: the scores by experiment, and their means by what they test
"""

import csv
import dataclasses
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

import acme_envs
from acme_experiments import processes, progress, rundir, stopping
from acme_experiments.experiment import Experiment, UsageError
from acme_experiments.rundir import RunDirectory, read_object, read_text, write_json, write_text

OBSERVER = "acme_envs.bsuite:EpisodeInfo"

_FILE = "bsuite.json"
_TAGS = ("basic", "noise", "scale", "exploration", "credit_assignment", "memory", "generalization")  # As the suite has.
_HEAD = """# bsuite: {agent}

Scores as [bsuite](https://arxiv.org/abs/1908.03568) defines them: from 0, as good as chance, to 1. Where ids of an
experiment are missing, or episodes, its score is of what there is.

| experiment | score | ids | all their episodes | tests |
| --- | ---: | ---: | --- | --- |"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scores:
  """What an agent came to.

  Attributes:
    agent: its name.
    experiments: the suite's scores, by experiment.
    failed: the ids whose runs failed now, with their last words.
  """

  agent: str
  experiments: Mapping[str, acme_envs.bsuite.Score]
  failed: Mapping[str, str] = dataclasses.field(default_factory=dict)

  @property
  def tags(self) -> dict[str, float]:
    """The mean score of the experiments with each tag; NaN where there is none."""
    values = {tag: [each.score for each in self.experiments.values() if tag in each.tags] for tag in _TAGS}
    return {tag: float(np.mean(found)) if found else float("nan") for tag, found in values.items()}


def create(path: str | os.PathLike[str], experiments: Mapping[str, Experiment]) -> pathlib.Path:
  """Makes the directory, with a run directory for each id, at one stroke; UsageError where something is there."""
  path = pathlib.Path(path)
  taken = f"{path} exists: give another --out, or go on with what is in it by `acme resume`."
  with rundir.at_one_stroke(path, taken) as folder:
    for name, experiment in experiments.items():
      RunDirectory.create(folder / _folder(name), experiment)
    agents = {experiment.agent for experiment in experiments.values()}
    write_json(folder / _FILE, {"agent": agents.pop(), "ids": list(experiments)})
  return path


def is_bsuite(path: str | os.PathLike[str]) -> bool:
  """Whether a directory holds runs of bsuite."""
  return os.path.lexists(pathlib.Path(path) / _FILE)


def run(path: pathlib.Path, display: progress.Progress, jobs: int = 1) -> Scores:
  """Runs all ids that are not over, `jobs` at once, each in a process, and scores them.

  Raises:
    Stopped: SIGINT or SIGTERM came; every run is saved, and what there is has been scored.
    UsageError: the directory is damaged; or no run could begin, as where the agent takes no discrete actions.
  """
  with rundir.lock(path):
    runs = {name: RunDirectory(path / _folder(name)) for name in _read(path / _FILE)[1]}
    stop = stopping.StopRequest()
    with stop.installed():
      pool = processes.Pool(runs, jobs, display.message)
      pool.run(stop, lambda: None)
    if len(pool.failed) == len(runs) and all(code == 2 for code, _ in pool.failed.values()):
      raise UsageError(next(iter(pool.failed.values()))[1].removeprefix("acme: "))
    scores = dataclasses.replace(score(path), failed={name: words for name, (_, words) in pool.failed.items()})
    _write(path, scores)
    if stop.signal is not None:
      raise stopping.Stopped(stop.signal, sum(each.read_summary() is not None for each in runs.values()))
    return scores


def score(path: pathlib.Path) -> Scores:
  """Writes the suite's logs of what the runs have come to so far, and scores them.

  Raises:
    UsageError: the directory is damaged.
  """
  agent, ids = _read(path / _FILE)
  logs = path / "logs"
  if logs.is_symlink():  # There may be logs of others where it leads to.
    raise UsageError(f"{logs} is a link: put the folder itself in its place.")
  logs.mkdir(exist_ok=True)
  for name in ids:
    file = path / _folder(name) / "train.csv"
    try:
      lines = read_text(file).splitlines(keepends=True) if file.exists() else []
      whole = [line for line in lines if line.endswith("\n")]  # A run that was killed may have written half of one.
      acme_envs.bsuite.write_log(logs, name, csv.DictReader(whole))
    except (KeyError, ValueError, TypeError, csv.Error) as error:
      raise UsageError(f"{file} cannot be read: {error!r}. Put it back from a copy.") from error
  return Scores(agent=agent, experiments=acme_envs.bsuite.score(logs) if any(logs.iterdir()) else {})


def describe(scores: Scores) -> Iterator[str]:
  """A line for each experiment, and for each tag."""
  for name, score in scores.experiments.items():
    yield f"{name}: {score.score:.2f}{'' if score.finished else ' so far'}"
  yield ", ".join(f"{_readable(tag)} {value:.2f}" for tag, value in scores.tags.items() if not np.isnan(value))


def draw(path: pathlib.Path, agents: Sequence[Scores]) -> None:
  """Draws the radar plot of agents: the mean score of each tag, at .05 at the least, as the suite does."""
  import matplotlib
  from matplotlib.backends import backend_agg
  from matplotlib.figure import Figure

  from acme_experiments import plotting

  angles = np.linspace(0, 2 * np.pi, len(_TAGS), endpoint=False)
  values = np.array([list(scores.tags.values()) for scores in agents])  # [agent, tag]
  missing = np.isnan(values).all(axis=0)
  names = [tag.replace("_", "\n") + ("\n(none)" if none else "") for tag, none in zip(_TAGS, missing, strict=True)]
  with matplotlib.rc_context(plotting.STYLE):
    figure = Figure(figsize=(5.6, 5.0), layout="constrained")
    backend_agg.FigureCanvasAgg(figure)
    panel: Any = figure.add_subplot(projection="polar")  # PolarAxes, of which the types know nothing.
    for i, (scores, each) in enumerate(zip(agents, np.maximum(np.nan_to_num(values), 0.05), strict=True)):
      colour, dashes = plotting.look(i)
      panel.plot([*angles, angles[0]], [*each, each[0]], dashes, color=colour, linewidth=1.6, label=scores.agent)
      panel.fill(angles, each, color=colour, alpha=0.2 / len(agents))
    panel.set_thetagrids(np.degrees(angles), names)
    panel.tick_params(axis="x", pad=12)
    panel.set_ylim(0, 1)
    panel.set_yticks([0.25, 0.5, 0.75, 1])
    figure.legend(loc="outside lower center", ncols=4)
    plotting.save(figure, path)


def _folder(name: str) -> str:
  return name.replace("/", "-")


def _read(path: pathlib.Path) -> tuple[str, list[str]]:
  """The agent and the ids, as `create` wrote them; UsageError where they are none of the suite's."""
  content = read_object(path, ())
  agent, ids, known = content.get("agent"), content.get("ids"), acme_envs.bsuite.names()
  if not isinstance(agent, str) or not isinstance(ids, list) or not ids or not all(name in known for name in ids):
    raise UsageError(f"{path} cannot be read: expected an agent, and ids of bsuite. Put it back from a copy.")
  return agent, ids


def _write(path: pathlib.Path, scores: Scores) -> None:
  write_json(path / "scores.json", {name: score._asdict() for name, score in scores.experiments.items()})
  lines = [_HEAD.format(agent=scores.agent)]
  for name, score in scores.experiments.items():
    of = sum(each.partition("/")[0] == name for each in acme_envs.bsuite.names())
    tests = ", ".join(map(_readable, score.tags))
    lines.append(
      f"| {name} | {score.score:.3f} | {score.ids} of {of} | {'yes' if score.finished else 'no'} | {tests} |"
    )
  lines += ["", "| tests | mean score |", "| --- | ---: |"]
  lines += [f"| {_readable(tag)} | {value:.3f} |" for tag, value in scores.tags.items() if not np.isnan(value)]
  lines += ["", *(f"- {name} failed: {words}" for name, words in scores.failed.items())]
  write_text(path / "scores.md", "\n".join(lines).rstrip() + "\n")
  draw(path / "radar.png", [scores])


def _readable(tag: str) -> str:
  return tag.replace("_", " ")
