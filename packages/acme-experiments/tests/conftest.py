import pathlib

import pytest

from acme_experiments import Experiment, RunDirectory, cli

FOLDER = pathlib.Path(__file__).parent


@pytest.fixture(autouse=True)
def fake_agents(monkeypatch):
  """Installs the agents of fake_agents/ for a test."""
  monkeypatch.syspath_prepend(str(FOLDER / "fake_agents"))


@pytest.fixture
def acme_command(tmp_path, monkeypatch, capsys):
  """Runs the command within tmp_path; returns its exit code, what it printed, and its complaints."""
  monkeypatch.chdir(tmp_path)

  def call(line):
    try:
      code = cli.main(line.split())
    except SystemExit as exit_:  # Help.
      code = exit_.code
    printed = capsys.readouterr()
    return code, printed.out, printed.err

  return call


@pytest.fixture
def make_run(tmp_path):
  """Makes run directories of the fake agent on CartPole."""

  def make(name="run", **changes):
    settings = {
      "agent": "fake",
      "environment": "gym:CartPole-v1",
      "config": {"learning_rate": 0.01},
      "steps": 600,
      "eval_every": 200,
      "eval_episodes": 2,
      "checkpoint_every": 100,
    }
    return RunDirectory.create(tmp_path / name, Experiment(**(settings | changes)))

  return make
