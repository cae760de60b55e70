"""The Behaviour Suite (Osband et al. 2020, 1908.03568): its environments, its logs and its scores."""

import pathlib
from typing import Any, NamedTuple

import dm_env
import numpy as np

import acme
from acme_envs import errors


def names() -> list[str]:
  """Returns the suite's ids, such as "catch/0"."""
  return sorted(_import("sweep").SETTINGS)


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
  experiment, _ = name.split("/")
  raw = _import("bsuite").load(experiment, _import("sweep").SETTINGS[name])
  environment = raw
  if bsuite_dir is not None:
    environment = _import("logging.csv_logging").wrap_environment(raw, name, str(bsuite_dir), overwrite)
  seedable = _Seedable(environment, raw)
  if seed is not None:
    seedable.seed(seed)
  return acme.wrappers.SinglePrecision(seedable)


class _Seedable(acme.wrappers.EnvironmentWrapper):
  """Adds `seed` and `render`."""

  def __init__(self, environment: dm_env.Environment, raw: Any) -> None:
    super().__init__(environment)
    self._layers = [raw]  # bsuite's noise wrappers hold the environment inside as `_env`.
    while "_env" in vars(self._layers[-1]):
      self._layers.append(vars(self._layers[-1])["_env"])
    self._shown = np.zeros((1, 1))

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

  def _show(self, timestep: dm_env.TimeStep) -> dm_env.TimeStep:
    self._shown = timestep.observation
    return timestep


class Score(NamedTuple):
  """How well an experiment went."""

  score: float  # From 0, as good as chance, to 1.
  finished: bool  # Whether every id in the logs has all the episodes that the suite asks for.
  ids: int  # How many of the experiment's ids the logs hold.


def score(results_dir: str | pathlib.Path) -> dict[str, Score]:
  """Scores logs as the suite's own analysis does, by experiment, such as {"catch": Score(0.9, True, 20)}.

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
    scores[experiment] = Score(float(value), bool(episodes.min() >= summary.episode), len(episodes))
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
