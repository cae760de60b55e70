"""What JAX is told before it begins."""

import json
import os
import subprocess
import sys
from importlib import metadata

import pytest

from acme_experiments import placement

PLAIN = "--xla_cpu_enable_concurrency_optimized_scheduler=false"


@pytest.fixture(autouse=True)
def no_flags(monkeypatch):
  monkeypatch.setenv("XLA_FLAGS", "")
  monkeypatch.setattr(metadata, "version", lambda name: "0.10.2")


@pytest.mark.parametrize(
  ("backend", "config", "flag"),
  [
    ("jax", {"hidden_sizes": [64, 64]}, PLAIN),
    ("jax", {"hidden_sizes": (8,), "batch_size": 4}, PLAIN),
    ("jax", {"hidden_sizes": [256, 256]}, None),
    ("jax", {"policy_hidden_sizes": [64, 64], "critic_hidden_sizes": [64, 256]}, None),
    ("jax", {"learning_rate": 0.1}, None),
    ("tf", {"hidden_sizes": [64, 64]}, None),
  ],
)
def test_small_networks_take_the_plain_scheduler(backend, config, flag):
  assert placement.choose(backend, config) == flag


@pytest.mark.parametrize("version", ["0.4.33", "0.11.0", "1.0", "unknown"])
def test_a_library_that_may_not_know_the_flag_is_left_alone(monkeypatch, version):
  monkeypatch.setattr(metadata, "version", lambda name: version)
  assert placement.choose("jax", {"hidden_sizes": [64, 64]}) is None


def test_what_the_user_or_an_earlier_run_set_holds_and_is_said(monkeypatch):
  monkeypatch.setenv("XLA_FLAGS", given := PLAIN.replace("false", "true"))
  assert placement.choose("jax", {"hidden_sizes": [64, 64]}) == given


def test_other_flags_stay(monkeypatch):
  monkeypatch.setenv("XLA_FLAGS", "--one=1")
  placement.prepare("jax", PLAIN)
  placement.prepare("jax", PLAIN)
  assert os.environ["XLA_FLAGS"] == f"--one=1 {PLAIN}"


def test_a_run_says_what_it_was(tmp_path):
  pytest.importorskip("acme_dqn")
  pytest.importorskip("jax")
  command = [sys.executable, "-m", "acme_experiments.cli", "run", "dqn", "gym:CartPole-v1", "--steps", "40"]
  sizes = ["--config.hidden-sizes", "8", "--config.min-replay-size", "10", "--eval-every", "0"]
  subprocess.run([*command, *sizes, "--out", "run", "--quiet"], cwd=tmp_path, check=True, timeout=300)
  assert json.loads((tmp_path / "run" / "config.json").read_text())["xla_flag"] == PLAIN


def test_what_libraries_write_is_left_out_where_it_is_noise():
  script = """
import os
from acme_experiments import placement
with placement.hushed():
  os.write(2, b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\\n")
  os.write(2, b"I0000 cudart_stub.cc:31] Could not find cuda drivers on your machine\\nsomething else\\n")
os.write(2, b"after\\n")
"""
  done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
  assert done.stderr == "something else\nafter\n"


# The command, where the second of two devices of the CPU stands for an accelerator.
ON_TWO_DEVICES = """
import sys
import jax
from acme_experiments import cli
from acme_jax import placement

available = placement.available
placement.available = lambda devices=None: available(jax.local_devices()[1:])
sys.exit(cli.main(sys.argv[1:]))
"""


def on_two_devices(line, folder):
  flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"
  command = [sys.executable, "-c", ON_TWO_DEVICES, *line.split()]
  return subprocess.run(
    command, cwd=folder, env=os.environ | {"XLA_FLAGS": flags}, capture_output=True, text=True, timeout=300
  )


RUN = "run dqn gym:CartPole-v1 --eval-every 0 --config.hidden-sizes 8 --config.min-replay-size 10"


def read(path):
  return json.loads((path / "config.json").read_text())["experiment"]


def test_a_run_goes_on_where_it_was_placed(tmp_path):
  pytest.importorskip("acme_dqn")
  done = on_two_devices(f"{RUN} --steps 40 --out auto", tmp_path)
  assert done.returncode == 0, done.stderr
  chosen = read(tmp_path / "auto")["device"]
  assert f"device: {chosen}, where a step takes least (cpu " in done.stdout, done.stdout
  returns = {}
  for device in ("cpu", "split"):
    done = on_two_devices(f"{RUN} --device {device} --steps 40 --out {device} --quiet", tmp_path)
    assert done.returncode == 0, done.stderr
    assert on_two_devices(f"resume {device} --steps 80 --quiet", tmp_path).returncode == 0
    assert read(tmp_path / device)["device"] == device
    returns[device] = json.loads((tmp_path / device / "summary.json").read_text())["eval_returns"]
  assert returns["cpu"] == returns["split"]


@pytest.mark.parametrize(
  ("line", "words"),
  [
    (f"{RUN} --device gpu --steps 40", "--device gpu: JAX sees no accelerator here"),
    ("run dqn jax:CartPole-v1 --device gpu --steps 40", "--device gpu: JAX sees no accelerator here"),
    ("run dqn jax:CartPole-v1 --device split --steps 40", "--device split: a run that is one program is in one place"),
    (f"{RUN} --device split --actors 2 --steps 40", "a run on Ray has no --device"),
    ("run fake gym:CartPole-v1 --device cpu --steps 40", "--device cpu: only agents in JAX are placed"),
  ],
)
def test_devices_that_are_not_there_are_refused(acme_command, tmp_path, line, words):
  pytest.importorskip("acme_dqn")
  pytest.importorskip("acme_anakin")
  code, _, error = acme_command(f"{line} --out here")
  assert code == 2 and words in error.splitlines()[-1], error
  assert not (tmp_path / "here").exists()
