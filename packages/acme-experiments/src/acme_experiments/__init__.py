"""Experiments: one agent in one environment, kept in a run directory that can be resumed, evaluated and plotted.

The `acme` command is the usual way in; from Python:

    experiment = acme_experiments.Experiment(agent="dqn", environment="gym:CartPole-v1", steps=50_000)
    directory = acme_experiments.RunDirectory.create("runs/mine", experiment)
    summary = acme_experiments.run(directory)
"""

from acme_experiments.rundir import Experiment, RunDirectory, UsageError
from acme_experiments.runs import evaluate, run
from acme_experiments.stopping import Stopped

__version__ = "0.2.0"

__all__ = ["Experiment", "RunDirectory", "Stopped", "UsageError", "evaluate", "run"]
