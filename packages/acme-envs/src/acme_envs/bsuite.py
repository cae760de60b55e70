"""The Behaviour Suite (Osband et al. 2020, 1908.03568): its environments, its logs and its scores."""

import csv
import difflib
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import dm_env
import numpy as np

import acme
from acme_envs import errors


def names() -> list[str]:
  """Returns the suite's ids, such as "catch/0"."""
  return sorted(_import("sweep").SETTINGS)


def choose(wanted: Sequence[str]) -> list[str]:
  """The ids that words stand for: "testing", the suite's sweep of one id for each environment; "all", its whole sweep;
  an experiment, such as "catch"; or an id, such as "catch/0".

  Raises:
    ValueError: a word is none of them; the message has near ones.
  """
  sweep = _import("sweep")
  words = {"testing": sweep.TESTING, "all": sweep.SWEEP} | {name: (name,) for name in sweep.SWEEP}
  for name in sweep.SWEEP:
    words.setdefault(_experiment(name), ())
    words[_experiment(name)] += (name,)
  for word in wanted:
    if word not in words:
      near = difflib.get_close_matches(word, words)
      hint = f"did you mean {' or '.join(near)}?" if near else "`acme_envs.bsuite.names()` has all ids."
      raise ValueError(
        f"Expected testing, all, an experiment such as catch, or an id such as catch/0, got {word!r}: {hint}"
      )
  return list(dict.fromkeys(name for word in wanted for name in words[word]))


def num_episodes(name: str) -> int:
  """The episodes that the suite prescribes for an id."""
  return int(_import("sweep").EPISODES[name])


def make(
  name: str, *, seed: int | None = None, bsuite_dir: str | None = None, overwrite: bool = False
) -> dm_env.Environment:
  """Makes an environment of the suite. mnist and its kin download their data at first use.

  Args:
    name: the suite's id for it.
    seed: of the episodes; None takes the one that the suite prescribes for the id.
    bsuite_dir: where to write the suite's own log of episodes, which `score` reads; None for nowhere.
    overwrite: whether a log of the same id there may be replaced.

  Raises:
    ValueError: a log of the same id is there.
  """
  raw = _import("bsuite").load(_experiment(name), _import("sweep").SETTINGS[name])
  environment = raw
  if bsuite_dir is not None:
    environment = _import("logging.csv_logging").wrap_environment(raw, name, str(bsuite_dir), overwrite)
  seedable = _Seedable(environment, raw)
  if seed is not None:
    seedable.seed(seed)
  return acme.wrappers.SinglePrecision(seedable)


class _Seedable(acme.wrappers.EnvironmentWrapper):
  """Adds `seed`, `render` and `episode_info`."""

  def __init__(self, environment: dm_env.Environment, raw: Any) -> None:
    super().__init__(environment)
    self._layers = [raw]  # bsuite's noise wrappers hold the environment inside as `_env`.
    while "_env" in vars(self._layers[-1]):
      self._layers.append(vars(self._layers[-1])["_env"])
    self._shown = np.zeros((1, 1))
    self._info_before = raw.bsuite_info()

  def seed(self, seed: int) -> None:
    """Makes the next reset, and the episode after it, depend on `seed` alone; what was drawn when it was made stays."""
    for i, layer in enumerate(self._layers):
      if "_rng" in vars(layer):
        vars(layer)["_rng"].seed([seed, i])

  def reset(self) -> dm_env.TimeStep:
    return self._show(self._environment.reset())

  def step(self, action: Any) -> dm_env.TimeStep:
    return self._show(self._environment.step(action))

  def render(self) -> np.ndarray:
    """The newest observation as grey squares, 16 pixels each: uint8 [height, width, 3]."""
    squares = np.repeat(np.repeat(self._shown, 16, axis=0), 16, axis=1)
    grey = (np.clip(squares, 0, 1) * 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)

  def episode_info(self) -> dict[str, float]:
    """What the suite's statistics (`bsuite_info`) have gained in this episode; not its maximum over episodes."""
    gained = {name: value - self._info_before[name] for name, value in self._layers[0].bsuite_info().items()}
    return {name: gain for name, gain in gained.items() if name != _BEST}

  def _show(self, timestep: dm_env.TimeStep) -> dm_env.TimeStep:
    if timestep.first():
      self._info_before = self._layers[0].bsuite_info()
    self._shown = timestep.observation
    return timestep


class EpisodeInfo:
  """Has a loop's result of each episode say what the suite's statistics gained in it; an observer of loops.

  `write_log` makes the suite's log of such results. Since each says what happened in its own episode, a run that is
  stopped and resumed comes to the same log.
  """

  def observe_first(self, environment: dm_env.Environment, timestep: dm_env.TimeStep) -> None:
    """Sees the first timestep of an episode."""

  def observe(self, environment: Any, timestep: dm_env.TimeStep, action: Any) -> None:
    """Sees the timestep that `action` led to."""
    self._environment = environment

  def get_metrics(self) -> dict[str, float]:
    """Returns the gains of the episode that ended, such as `bsuite_total_regret`."""
    return {f"{_PREFIX}{name}": gain for name, gain in self._environment.episode_info().items()}


def write_log(path: str | pathlib.Path, name: str, episodes: Iterable[Mapping[str, Any]]) -> int:
  """Writes the log of an id that the suite's own logging would have written of these episodes, where it would have.

  Args:
    path: the folder that `score` is to read.
    name: the id.
    episodes: from the first one on, the results of a loop that `EpisodeInfo` observed; numbers may be text, as in CSV.

  Returns:
    The number of episodes.
  """
  rows: list[dict[str, float]] = []
  number, steps, total, best, sums = 0, 0, 0.0, 0.0, dict[str, float]()
  for number, episode in enumerate(episodes, 1):
    length, gained = int(episode["episode_length"]), float(episode["episode_return"])
    steps, total = steps + length, total + gained
    for key in episode:
      if key.startswith(_PREFIX):
        sums[key] = sums.get(key, 0.0) + float(episode[key])
    best = max(best, float(episode.get(f"{_PREFIX}raw_return", 0.0)))
    if _is_logged(number):
      row = {"steps": steps, "episode": number, "total_return": total, "episode_len": length, "episode_return": gained}
      row |= {key.removeprefix(_PREFIX): value for key, value in sums.items()}
      rows.append(row | ({_BEST: best} if _experiment(name).startswith("cartpole") else {}))
  logging = _import("logging.csv_logging")
  file = f"{logging.BSUITE_PREFIX}{name.replace(_import('sweep').SEPARATOR, logging.SAFE_SEPARATOR)}.csv"
  if rows:
    log = pathlib.Path(path, file)
    log.unlink(missing_ok=True)  # What a link leads to is left alone.
    with log.open("x", newline="") as opened:
      writer = csv.DictWriter(opened, list(rows[0]))
      writer.writeheader()
      writer.writerows(rows)
  return number


_PREFIX = "bsuite_"
_BEST = "best_episode"  # Of cartpole's statistics the only one that is no sum.


def _is_logged(episode: int) -> bool:
  """Whether the suite logs that episode: 1, 1.2, 1.4, 1.7, 2, 2.5, 3, 4, … 9 times a power of ten."""
  power = 10 ** (len(str(episode)) - 1)
  return 10 * episode in [power * tenths for tenths in (10, 12, 14, 17, 20, 25, 30, 40, 50, 60, 70, 80, 90)]


def _experiment(name: str) -> str:
  return name.partition("/")[0]


class Score(NamedTuple):
  """How well an experiment went."""

  score: float  # From 0, as good as chance, to 1.
  finished: bool  # Whether every id in the logs has all the episodes that the suite asks for.
  ids: int  # How many of the experiment's ids the logs hold.
  tags: tuple[str, ...]  # What of an agent it tests, such as "memory".


def score(results_dir: str | pathlib.Path) -> dict[str, Score]:
  """Scores logs as the suite's own analysis does, by experiment, such as {"catch": Score(0.9, True, 20, ("basic",))}.

  Raises:
    FileNotFoundError: the directory holds no bsuite log.
  """
  csv_logging = _import("logging.csv_logging")
  if not any(pathlib.Path(results_dir).glob(f"{csv_logging.BSUITE_PREFIX}*.csv")):
    raise FileNotFoundError(
      f"{results_dir}: expected bsuite logs ({csv_logging.BSUITE_PREFIX}*.csv), found none. "
      "Write some: make('bsuite:catch/0', bsuite_dir=…)."
    )
  frame = _import("logging.csv_load").load_one_result_set(str(results_dir))
  with errors.import_extra("matplotlib", "bsuite").rc_context():  # bsuite's plotting changes matplotlib's style.
    info = _import("experiments.summary_analysis").BSUITE_INFO
  scores = {}
  for experiment, rows in frame.groupby("bsuite_env"):
    summary = info[experiment]
    value = _score_deep_sea(rows, experiment) if experiment.startswith("deep_sea") else summary.score(rows)
    episodes = rows.groupby("bsuite_id")["episode"].max()
    scores[experiment] = Score(
      float(value), bool(episodes.min() >= summary.episode), len(episodes), tuple(summary.tags)
    )
  return scores


def _score_deep_sea(rows: Any, experiment: str) -> float:
  """The share of sizes N learned by episode 2^N + 100, where too few of the episodes so far were bad ones.

  bsuite's own function for this uses pandas' Series.append, which is no more.
  """
  first, threshold = (100, 0.8) if experiment == "deep_sea_stochastic" else (0, 0.9)
  rows = rows[(rows.episode >= first) & (rows.episode <= _import("sweep").EPISODES[f"{experiment}/0"])]
  learned = rows[rows.total_bad_episodes < threshold * rows.episode].groupby("size")["episode"].min()
  return float(np.mean([learned.get(size, np.inf) < 2.0**size + 100 for size in rows["size"].unique()]))


def _import(module: str) -> Any:
  return errors.import_extra(f"bsuite.{module}", "bsuite")
