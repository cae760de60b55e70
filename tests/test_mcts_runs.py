"""Runs of MCTS by the command: `--simulator`; and such as are killed, `nox -s kills`."""

import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest

pytest.importorskip("acme_mcts")

import acme_envs
from acme import wrappers
from acme_experiments import RunDirectory, cli, progress

TESTS = pathlib.Path(__file__).parents[1] / "packages" / "acme-experiments" / "tests"
SMALL = {"num_simulations": 2, "min_replay_size": 20, "batch_size": 8, "hidden_sizes": [8], "max_replay_size": 500}
OPTIONS = "--config.num-simulations 4 --config.min-replay-size 20 --config.batch-size 8 --config.hidden-sizes 8"


@pytest.fixture
def acme_command(tmp_path, monkeypatch, capsys):
  """Runs the command within tmp_path; returns its exit code and its complaints."""
  monkeypatch.chdir(tmp_path)
  monkeypatch.syspath_prepend(str(TESTS / "fake_agents"))

  def call(line):
    code = cli.main(line.split())
    return code, capsys.readouterr().err

  return call


class StopAt(progress.Progress):
  def __init__(self, step):
    self.step = step

  def update(self, steps, episodes):
    if steps >= self.step:
      signal.raise_signal(signal.SIGTERM)


def test_a_run_with_a_simulator_resumes_exactly(acme_command, tmp_path, monkeypatch):
  pytest.importorskip("bsuite")
  import run_facts

  line = f"run mcts bsuite:catch/0 --simulator --steps 60 --eval-every 30 --eval-episodes 1 --quiet {OPTIONS} --out"
  code, error = acme_command(f"{line} whole")
  assert code == 0, error
  assert json.loads((tmp_path / "whole" / "config.json").read_text())["experiment"]["simulator"] is True
  learner = RunDirectory(tmp_path / "whole").load_checkpoint().state["agent"]["learner"]
  assert learner["steps"] > 0
  with monkeypatch.context() as patch:
    patch.setattr("acme_experiments.progress.choose", lambda quiet: StopAt(35))
    assert acme_command(f"{line} stopped")[0] == 143
  assert acme_command("resume stopped --quiet")[0] == 0
  assert run_facts.facts(tmp_path / "stopped") == run_facts.facts(tmp_path / "whole")


class Socket(wrappers.EnvironmentWrapper):
  def __deepcopy__(self, memo):
    raise RuntimeError("holds a socket")


@pytest.mark.parametrize(
  ("line", "complaint"),
  [
    ("run dqn bsuite:catch/0 --simulator", "This agent does not plan in copies of its environment"),
    ("run mcts bsuite:catch/0 --simulator --envs 2", "MCTS with a simulator acts in one environment, got num_envs=2"),
    ("run mcts gym:CartPole-v1 --wrap socket --simulator", "Socket cannot be copied: RuntimeError('holds a socket')"),
    ("run mcts jax:catch --simulator --loop device", "--loop device: --simulator is for the loop on the host"),
  ],
)
def test_what_cannot_be_simulated_is_one_clear_line(acme_command, tmp_path, monkeypatch, line, complaint):
  pytest.importorskip(f"acme_{line.split()[1]}")
  pytest.importorskip("bsuite")
  monkeypatch.setitem(acme_envs.wrappers.BY_NAME, "socket", lambda environment, name: Socket(environment))
  code, error = acme_command(line)
  assert code == 2 and "Traceback" not in error
  assert complaint in error.splitlines()[-1]  # Before it, libraries may warn.
  assert not list(tmp_path.rglob("config.json"))


@pytest.mark.long
@pytest.mark.parametrize("options", [[], ["--simulator"], ["--backend", "tf", "--simulator"]], ids=" ".join)
def test_kills_lose_nothing(tmp_path, options):
  if "tf" in options:
    pytest.importorskip("sonnet")
  command = [sys.executable, str(TESTS / "kill_driver.py"), "mcts", "gym:CartPole-v1", "--folder", str(tmp_path)]
  command += ["--lazy", "--kills", "2", "--steps", "60", "--seconds", "3", "--operations", "60"]
  command += ["--config", json.dumps(SMALL), *options]
  path = os.pathsep.join([str(TESTS / "fake_agents"), os.environ.get("PYTHONPATH", "")])
  environment = {**os.environ, "PYTHONPATH": path}
  done = subprocess.run(command, capture_output=True, text=True, timeout=900, env=environment)
  assert done.returncode == 0, done.stdout + done.stderr
