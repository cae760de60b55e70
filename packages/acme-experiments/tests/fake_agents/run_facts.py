"""What must be the same in two run directories: everything but the time that things took."""

import csv
import json

import tree

from acme_experiments import RunDirectory


def facts(path):
  """The facts of a finished run as plain comparable values."""
  directory = RunDirectory(path)
  checkpoint = directory.load_checkpoint()
  state = dict(checkpoint.state)
  state["records"] = {
    name: rows for name, rows in state["records"].items() if name != "learner"
  }  # Logged by the clock.
  summary = {name: value for name, value in directory.read_summary().items() if not is_time(name)}
  return {
    "state": json.dumps(tree.map_structure(_plain, state), sort_keys=True),
    "step": checkpoint.step,
    "train": rows(directory.path / "train.csv"),
    "eval": rows(directory.path / "eval.csv"),
    "summary": summary,
  }


def rows(path):
  """The rows of a CSV file, without the columns of time."""
  with path.open(newline="") as file:
    return [{name: value for name, value in row.items() if not is_time(name)} for row in csv.DictReader(file)]


def is_time(name):
  return name.endswith(("seconds", "second"))


def _plain(value):
  return [str(value.dtype), value.shape, value.tobytes().hex()] if hasattr(value, "tobytes") else value
