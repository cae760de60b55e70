"""Experiments: one agent in one environment, kept in a run directory that can be resumed, evaluated and plotted.

The `acme` command is the usual way in; from Python:

    experiment = acme_experiments.Experiment(agent="dqn", environment="gym:CartPole-v1", steps=50_000)
    directory = acme_experiments.RunDirectory.create("runs/mine", experiment)
    summary = acme_experiments.run(directory)
    agent = acme_experiments.load("runs/mine")
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from acme_experiments.loading import LoadedAgent, load
  from acme_experiments.rundir import Experiment, RunDirectory
  from acme_experiments.runs import evaluate, run
  from acme_experiments.stopping import Stopped
  from acme_experiments.usage import UsageError

__version__ = "0.2.0"

__all__ = ["Experiment", "LoadedAgent", "RunDirectory", "Stopped", "UsageError", "evaluate", "load", "run"]

# Imported when they are asked for, so that `acme --help` need not wait for them.
_MODULES = {
  "Experiment": "rundir",
  "LoadedAgent": "loading",
  "RunDirectory": "rundir",
  "Stopped": "stopping",
  "UsageError": "usage",
  "evaluate": "runs",
  "load": "loading",
  "run": "runs",
}


def __getattr__(name: str) -> Any:
  if name not in _MODULES:
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
  return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
