import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

import pytest

from acme_experiments import Stopped, progress, run

FOLDER = pathlib.Path(__file__).parent
KILLS = int(os.environ.get("ACME_KILLS", "20"))


def facts(path):
  import run_facts  # In fake_agents/, which a fixture puts on the path.

  return run_facts.facts(path)


class SignalAt(progress.Progress):
  """Sends this process signals when training reaches a step."""

  def __init__(self, step, number, times=1):
    self.step, self.number, self.times = step, number, times

  def update(self, steps, episodes):
    if steps >= self.step and self.times:
      self.times -= 1
      signal.raise_signal(self.number)
      if self.times:
        self.update(steps, episodes)


@pytest.fixture
def without_nohup():
  """Under `nohup` SIGHUP is ignored, which runs heed."""
  before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
  yield
  signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("without_nohup")
@pytest.mark.parametrize("envs", [1, 3])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signals_save_and_stop_and_resuming_is_exact(make_run, acme_command, monkeypatch, number, code, envs):
  directory, whole = (make_run(name, checkpoint_every=None, envs=envs) for name in ("run", "whole"))
  run(whole)
  with monkeypatch.context() as patch:
    patch.setattr("acme_experiments.progress.choose", lambda quiet: SignalAt(333, number))
    found, text, _ = acme_command(f"resume {directory.path}")
  assert found == code
  assert "Stopped and saved at step" in text and f"acme resume {directory.path}" in text
  assert 333 <= directory.load_checkpoint().step < 600
  run(directory)
  assert facts(directory.path) == facts(whole.path)


def test_a_signal_during_an_evaluation_is_as_if_it_had_not_begun(make_run, monkeypatch):
  import fake_agents

  directory, whole = make_run(checkpoint_every=None), make_run("whole", checkpoint_every=None)
  run(whole)
  act, calls = fake_agents.FakeEvaluator.select_action, []
  for call in (3, 30, 80):  # In the first evaluation, in another one, in the final one.
    calls.clear()

    def select_action(self, observation, call=call):
      calls.append(1)
      if len(calls) == call:
        signal.raise_signal(signal.SIGTERM)
      return act(self, observation)

    monkeypatch.setattr(fake_agents.FakeEvaluator, "select_action", select_action)
    with pytest.raises(Stopped):
      run(directory)
  monkeypatch.setattr(fake_agents.FakeEvaluator, "select_action", act)
  run(directory)
  assert facts(directory.path) == facts(whole.path)


def test_a_signal_in_an_evaluation_is_answered_at_once(make_run, monkeypatch, capfd):
  import fake_agents

  directory, act, seen = make_run(eval_episodes=100, eval_share=0.0), fake_agents.FakeEvaluator.select_action, []

  def select_action(self, observation):
    seen.append(1)
    if len(seen) == 7:
      signal.raise_signal(signal.SIGINT)
      assert "Stopping after this step" in capfd.readouterr().err
    return act(self, observation)

  monkeypatch.setattr(fake_agents.FakeEvaluator, "select_action", select_action)
  with pytest.raises(Stopped):
    run(directory)
  assert len(seen) == 7


def test_a_second_ctrl_c_forces(make_run, acme_command, monkeypatch):
  directory = make_run()
  monkeypatch.setattr("acme_experiments.progress.choose", lambda quiet: SignalAt(250, signal.SIGINT, times=2))
  code, text, error = acme_command(f"resume {directory.path}")
  assert code == 130 and "step-000000000200" in text and "Traceback" not in error


def test_sigterm_for_each_thread_of_a_parent_that_was_killed_is_one(make_run, acme_command, monkeypatch):
  directory = make_run()
  monkeypatch.setattr("acme_experiments.progress.choose", lambda quiet: SignalAt(250, signal.SIGTERM, times=2))
  code, text, _ = acme_command(f"resume {directory.path}")
  assert code == 143 and "Stopped and saved" in text and "step-000000000200" not in text


def test_handlers_are_put_back(make_run):
  before = signal.getsignal(signal.SIGINT)
  run(make_run(steps=10))
  assert signal.getsignal(signal.SIGINT) is before


def test_a_run_made_longer_equals_one_that_was_that_long(make_run, acme_command):
  short, long = make_run("short", steps=450), make_run("long", steps=900)
  run(short)
  run(long)
  assert acme_command(f"resume {short.path} --steps 900")[0] == 0
  assert facts(short.path) == facts(long.path)


@pytest.mark.parametrize("seed", [0, 1])  # Two halves, for two cores.
def test_kills_lose_nothing(seed):
  """At random times and before random file operations; ACME_KILLS=1000 for the long session."""
  memory = pathlib.Path("/dev/shm")  # Where flushing to disk takes no time.
  with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
    report = drive("fake", folder, "--kills", str(KILLS // 2), "--seed", str(seed))
  print(report)
  assert report["kills"] >= KILLS // 2


def test_kills_of_several_environments_lose_nothing(tmp_path):
  report = drive("fake", tmp_path, "--kills", str(KILLS // 5), "--envs", "4", "--seconds", "0.6")
  print(report)
  assert report["kills"] >= KILLS // 5


@pytest.mark.parametrize("environment", ["gym:CartPole-v1"])
def test_kills_of_dqn_lose_nothing(environment, tmp_path):
  pytest.importorskip("acme_dqn")
  kills = max(2, KILLS // 25)
  config = '{"min_replay_size": 200, "batch_size": 32, "hidden_sizes": [32]}'
  options = ("--lazy", "--config", config, "--steps", "900", "--seconds", "4", "--operations", "150")
  report = drive("dqn", tmp_path, "--kills", str(kills), *options)
  print(report)
  assert report["kills"] >= kills


@pytest.mark.parametrize("envs", [1, 4])
def test_signals_to_the_command_lose_nothing(make_run, envs):
  """TERM, INT and HUP, some while it starts and some while it trains."""
  settings = {"steps": 6000, "eval_every": 1500, "checkpoint_every": 300, "envs": envs}
  directory, whole = make_run("run", **settings), make_run("whole", **settings)
  run(whole)
  rng, kills, code = random.Random(envs), 0, None
  expected = {number: (128 + number, -number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
  expected[signal.SIGINT] += (1,)  # Of Python itself, where an import takes it for an error.
  while code != 0:
    child = subprocess.Popen(
      [sys.executable, "-m", "acme_experiments.cli", "resume", str(directory.path), "--quiet"],
      env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
      stdout=subprocess.DEVNULL,
      stderr=subprocess.DEVNULL,
    )
    number = None
    if kills < max(3, KILLS // 15):
      number = rng.choice([signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
      kills += 1
      before = directory.read_progress()
      while rng.random() < 0.97 and child.poll() is None and directory.read_progress() == before:
        time.sleep(0.05)
      time.sleep(rng.uniform(0, 0.1))
      child.send_signal(number)
    code = child.wait()
    assert code == 0 or code in expected[number], (code, number)
  print(f"{kills} kills")
  assert facts(directory.path) == facts(whole.path)


def drive(agent, folder, *options):
  """Runs kill_driver.py, in a process that has not imported what does not survive a fork."""
  path = os.pathsep.join([str(FOLDER / "fake_agents"), os.environ.get("PYTHONPATH", "")])
  command = [
    sys.executable,
    str(FOLDER / "kill_driver.py"),
    agent,
    "gym:CartPole-v1",
    "--folder",
    str(folder),
    *options,
  ]
  done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False)
  assert done.returncode == 0, done.stderr
  return json.loads(done.stdout.splitlines()[-1])
