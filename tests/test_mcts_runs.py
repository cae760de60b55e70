"""Runs of MCTS that are killed, where TensorFlow and acme-experiments are together: `nox -s kills`."""

import os
import pathlib
import subprocess
import sys

import pytest

pytest.importorskip("acme_mcts")
pytest.importorskip("sonnet")

TESTS = pathlib.Path(__file__).parents[1] / "packages" / "acme-experiments" / "tests"
CONFIG = '{"num_simulations": 2, "min_replay_size": 20, "batch_size": 8, "hidden_sizes": [8], "max_replay_size": 500}'


@pytest.mark.long
def test_kills_lose_nothing(tmp_path):
  command = [
    sys.executable,
    str(TESTS / "kill_driver.py"),
    "mcts",
    "gym:CartPole-v1",
    "--folder",
    str(tmp_path),
    "--lazy",
  ]
  options = [
    "--folder",
    str(tmp_path),
    "--kills",
    "2",
    "--steps",
    "60",
    "--seconds",
    "3",
    "--operations",
    "60",
    "--config",
    CONFIG,
  ]
  path = os.pathsep.join([str(TESTS / "fake_agents"), os.environ.get("PYTHONPATH", "")])
  environment = {**os.environ, "PYTHONPATH": path}
  done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=900, env=environment)
  assert done.returncode == 0, done.stdout + done.stderr
