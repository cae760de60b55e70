"""`acme run --replay reverb`, in the process with TensorFlow and at an address with JAX; on the Reverb stack only."""

import json
import os
import signal
import subprocess
import sys

import pytest

pytest.importorskip("reverb")

SIZES = {"batch-size": 8, "min-replay-size": 16, "hidden-sizes": 16, "max-replay-size": 1000}
SMALL = [word for name, size in SIZES.items() for word in (f"--config.{name}", str(size))]
AGENT = ["dqn", "bsuite:catch/0"]
SERVER = ["--port", "8765", "--listen-everywhere"]
RUN = [*AGENT, "--steps", "120", "--eval-every", "60", "--eval-episodes", "2", "--quiet"]


def acme(*arguments, **options):
  command = [sys.executable, "-m", "acme_experiments.cli", *arguments]
  return subprocess.run(command, capture_output=True, text=True, timeout=240, **options)


@pytest.mark.parametrize(
  "line", [["run", *RUN, "--replay", "reverb"], ["replay-server", *AGENT]], ids=lambda line: line[0]
)
def test_a_server_must_be_allowed_to_listen_everywhere(tmp_path, line):
  done = acme(*line, *SMALL, cwd=tmp_path)
  assert done.returncode == 2 and "--listen-everywhere" in done.stderr


def test_a_server_in_the_process(tmp_path):
  run = acme(
    "run", *RUN, *SMALL, "--backend", "tf", "--replay", "reverb", "--listen-everywhere", "--out", str(tmp_path / "run")
  )
  assert run.returncode == 0, run.stderr
  experiment = json.loads((tmp_path / "run" / "config.json").read_text())["experiment"]
  assert (experiment["backend"], experiment["replay"]) == ("tf", "reverb")
  more = acme("resume", str(tmp_path / "run"), "--steps", "180", "--quiet")
  assert more.returncode == 0, more.stderr
  assert json.loads((tmp_path / "run" / "summary.json").read_text())["steps"] == 180
  assert acme("evaluate", str(tmp_path / "run"), "--episodes", "2").returncode == 0


def test_a_server_at_an_address(tmp_path):
  command = [sys.executable, "-m", "acme_experiments.cli", "replay-server", *AGENT, *SMALL, *SERVER]
  with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as server:
    try:
      assert "--replay reverb://localhost:8765" in server.stdout.readline()
      address = ["--replay", "reverb://localhost:8765"]
      run = acme("run", *RUN, *SMALL, *address, "--out", str(tmp_path / "run"))
      assert run.returncode == 0, run.stderr
      other = acme("run", *RUN, *SMALL, "--config.n-step", "3", "--config.batch-size", "4", *address,
                   "--config.max-replay-size", "999", "--out", str(tmp_path / "other"))  # fmt: skip
      assert other.returncode == 2 and "max_size: expected 999, got 1000" in other.stderr
      second = acme("replay-server", *AGENT, *SMALL, *SERVER)
      assert second.returncode == 2 and "cannot listen at port 8765" in second.stderr
      os.kill(server.pid, signal.SIGTERM)
      assert "saved: " in server.stdout.read()
      assert server.wait(30) == 0
    finally:
      server.kill()
