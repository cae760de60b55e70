"""Many seeds: in processes, or on a device by a runner that another package offers."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from acme import plugins
from acme_experiments import RunDirectory, parsing, runs
from acme_experiments.experiment import UsageError

FOLDER = pathlib.Path(__file__).parent
SMALL = "--steps 300 --eval-every 100 --eval-episodes 2"


@pytest.fixture(autouse=True)
def processes_know_the_fake(monkeypatch):
  monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(FOLDER / "fake_agents"), os.environ.get("PYTHONPATH", "")]))


@pytest.mark.parametrize(
  ("text", "seeds"), [("0-3", (0, 1, 2, 3)), ("7", (7,)), ("0-1,5,8-9", (0, 1, 5, 8, 9)), ("2, 1", (2, 1))]
)
def test_seeds_are_numbers_and_ranges(text, seeds):
  assert parsing.seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "1-", "-1", "3-1", "0-999999999", "9" * 5000])
def test_what_are_no_seeds_is_refused(text):
  with pytest.raises(UsageError, match="such as 0-15"):
    parsing.seeds(text)


def test_seeds_in_processes_are_the_runs_that_they_are_alone(acme_command, tmp_path):
  import run_facts

  code, text, error = acme_command(f"run fake gym:CartPole-v1 --seeds 0,4 --jobs 2 --out many {SMALL}")
  assert code == 0, error
  assert "seed 4: evaluation return" in text and "over 40 episodes of 2 seeds" in text
  assert acme_command(f"run fake gym:CartPole-v1 --seed 4 --out alone {SMALL}")[0] == 0
  assert run_facts.facts(tmp_path / "many" / "seed-4") == run_facts.facts(tmp_path / "alone")
  assert RunDirectory(tmp_path / "many").read_experiment().seeds == (0, 4)
  code, text, _ = acme_command("resume many")
  assert code == 0 and "many is over" in text
  code, text, _ = acme_command("evaluate many --episodes 3")
  assert code == 0 and "over 6 episodes of 2 seeds" in text
  assert acme_command("plot many --out curves.png")[0] == 0
  steps = RunDirectory(tmp_path / "many" / "seed-4").read_progress()[0]
  assert steps > 0 and f"seed 4: newest checkpoint: step {steps:,}, " in acme_command("status many")[1]
  assert "cannot be made longer" in acme_command("resume many --steps 1000")[2]


def test_a_seed_that_fails_is_named_and_the_others_go_on(acme_command, tmp_path):
  assert acme_command(f"run fake gym:CartPole-v1 --seeds 0-1 --out many {SMALL}")[0] == 0
  (tmp_path / "many" / "summary.json").unlink()
  (tmp_path / "many" / "seed-1" / "summary.json").unlink()
  config = tmp_path / "many" / "seed-1" / "config.json"
  whole = config.read_text()
  config.write_text("{")
  code, _, error = acme_command("resume many")
  assert code != 0 and "seed-1/config.json cannot be read" in error
  config.write_text(whole.replace('"nan_at": null', '"nan_at": 10'))
  for path in (tmp_path / "many" / "seed-1" / "checkpoints").iterdir():
    (path / "manifest.json").write_text("")
  code, _, error = acme_command("resume many")
  assert code == 1 and "Seed 1 failed (exit code 1)" in error and "Of 2 seeds 1 failed: 1." in error
  assert "acme resume many" in error and "Traceback" not in error


@pytest.mark.parametrize(
  ("line", "complaint"),
  [
    ("--seeds 0-1 --jobs 0", "--jobs: expected 1 or more"),
    ("--seeds 1,1", "seeds: expected numbers of 0 or more that differ"),
    ("--loop device", "--loop device: Nothing installed runs gym:CartPole-v1 there"),
    ("--seeds 0-1 --config-file nowhere.toml", "--config-file: nowhere.toml cannot be read"),
    ("--seeds 0 --dataset nowhere", "nowhere: expected a folder with episodes"),
  ],
)
def test_what_cannot_be_is_one_clear_line(acme_command, tmp_path, line, complaint):
  code, _, error = acme_command(f"run fake gym:CartPole-v1 {line}")
  assert code == 2 and complaint in error
  assert not list(tmp_path.rglob("config.json"))


def test_a_signal_ends_all_seeds_saved_and_resuming_goes_on(tmp_path, acme_command):
  command = [sys.executable, "-m", "acme_experiments.cli", "run", "fake", "gym:CartPole-v1", "--seeds", "0-2"]
  options = ["--jobs", "2", "--episodes", "100000", "--eval-every", "0", "--out", "many", "--checkpoint-every", "500"]
  process = subprocess.Popen(command + options, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
  deadline = time.monotonic() + 60
  while not all((tmp_path / "many" / f"seed-{seed}" / "saved.json").exists() for seed in (0, 1)):
    assert time.monotonic() < deadline and process.poll() is None
    time.sleep(0.05)
  process.send_signal(signal.SIGTERM)
  text, _ = process.communicate(timeout=60)
  assert process.returncode == 143 and "Go on with: acme resume many" in text
  directory = RunDirectory(tmp_path / "many")
  done = [directory.seed(seed).read_progress()[1] for seed in range(3)]
  assert done[0] > 0 and done[1] > 0 and done[2] == 0
  for path in [directory, *map(directory.seed, range(3))]:
    content = json.loads(path.config.read_text())
    content["experiment"]["episodes"] = max(done) + 1
    path.config.write_text(json.dumps(content))
  code, _, error = acme_command("resume many --jobs 3 --quiet")
  assert code == 0, error
  assert [directory.seed(seed).read_summary()["episodes"] for seed in range(3)] == [max(done) + 1] * 3


def test_killed_it_leaves_no_seed_running_and_all_saved(tmp_path, acme_command):
  command = [sys.executable, "-m", "acme_experiments.cli", "run", "fake", "gym:CartPole-v1", "--seeds", "0-1"]
  options = ["--jobs", "2", "--episodes", "100000", "--eval-every", "0", "--out", "many", "--checkpoint-every", "500"]
  process = subprocess.Popen(command + options, cwd=tmp_path, stdout=subprocess.DEVNULL)
  directory, deadline = tmp_path / "many", time.monotonic() + 60
  while not all((directory / f"seed-{seed}" / "saved.json").exists() for seed in (0, 1)):
    assert time.monotonic() < deadline and process.poll() is None
    time.sleep(0.05)
  process.kill()
  process.wait()
  said = [directory / f"seed-{seed}" / "output.txt" for seed in (0, 1)]
  while not all("Stopped and saved" in path.read_text() for path in said):
    assert time.monotonic() < deadline, [path.read_text() for path in said]
    time.sleep(0.05)


class FakeRunner:
  """Runs what is called fake:NAME; a step is counted, and nothing else happens."""

  def __init__(self, reason=None):
    self.reason = reason

  def fits(self, builder, name):
    return self.reason

  def make(self, builder, name, *, steps, num_envs, seeds):
    return FakeLoop(seeds)


class FakeLoop:
  pretraining = 0

  def __init__(self, seeds):
    self.seeds, self.steps, self.since = seeds, 0, 0

  def pretrain(self, steps):
    self.pretraining -= steps

  def advance(self, steps):
    assert not self.pretraining
    self.steps += steps
    self.since += steps

  def report(self):
    ones, since, self.since = np.ones(len(self.seeds)), self.since, 0
    return {
      "steps": ones * self.steps,
      "learner_steps": ones * self.steps,
      "episodes": ones * since,
      "episode_return": np.array(self.seeds) * 1.0,
      "episode_length": ones,
      "loss": ones,
      "diverged": -ones,
    }

  def evaluate(self, episodes, seed=None):
    means = [own if seed is None else 100 * seed for own in self.seeds]
    return np.full((len(means), episodes), np.array(means)[:, None] * 1.0)

  def save(self):
    state = [np.full(len(self.seeds), value) for value in (self.steps, self.since, self.pretraining)]
    return {"seeds": list(self.seeds), "state": state}

  def restore(self, state):
    self.steps, self.since, self.pretraining = (int(leaf[0]) for leaf in state["state"])


def test_a_runner_of_another_package_runs_all_seeds(acme_command, monkeypatch, tmp_path):
  monkeypatch.setattr(plugins, "load_runner", lambda suite: FakeRunner() if suite == "fake" else None)
  code, text, error = acme_command("run fake fake:any --seeds 1-3 --steps 100 --eval-every 40 --out many")
  assert code == 0, error
  assert "step 80: evaluation, median 2.00, from 1.00 to 3.00, over 3 seeds" in text
  assert "evaluation return 2.00" in text and "over 60 episodes of 3 seeds" in text
  lines = (tmp_path / "many" / "seed-3" / "train.csv").read_text().splitlines()
  assert [line.split(",")[0] for line in lines] == ["steps", "40.0", "80.0", "100.0"]
  code, text, _ = acme_command("evaluate many/seed-2 --episodes 3")
  assert code == 0 and "evaluation return 2.00 ± 0.00 over 3 episodes, with the parameters of step 100" in text
  assert "evaluation return 700.00" in acme_command("evaluate many --episodes 3 --seed 7")[1]
  config = tmp_path / "many" / "seed-2" / "config.json"
  config.write_text(config.read_text().replace('"seed": 2', '"seed": 9'))
  code, _, error = acme_command("evaluate many/seed-2 --episodes 3")
  assert code == 1 and "is of the seeds [1, 2, 3], and not of [9]" in error


def test_pretraining_on_a_device_is_saved_when_a_signal_comes(acme_command, monkeypatch, tmp_path):
  class Pretrained(FakeLoop):
    pretraining = 100

    def pretrain(self, steps):
      super().pretrain(steps)
      if self.pretraining == 92:  # After the first piece.
        signal.raise_signal(signal.SIGTERM)

  runner = FakeRunner()
  runner.make = lambda builder, name, *, steps, num_envs, seeds: Pretrained(seeds)
  monkeypatch.setattr(plugins, "load_runner", lambda suite: runner)
  code, text, _ = acme_command("run fake fake:any --seeds 1-2 --steps 100 --out many")
  assert code == 143 and "pre-training: 100 SGD steps" in text and "Stopped and saved at step 0" in text
  code, text, _ = acme_command("resume many")
  assert code == 0 and "pre-training: 92 SGD steps" in text


def test_a_seed_that_diverges_is_noted_in_no_file_that_a_link_leads_to(acme_command, monkeypatch, tmp_path):
  class Diverging(FakeLoop):
    def report(self):
      return super().report() | {"diverged": np.array([-1.0, 7.0])}

  runner = FakeRunner()
  runner.make = lambda builder, name, *, steps, num_envs, seeds: Diverging(seeds)
  monkeypatch.setattr(plugins, "load_runner", lambda suite: runner)
  (tmp_path / "precious").write_text("text")
  seed = RunDirectory.seed_path

  def with_a_link(self, number):
    path = seed(self, number)
    if number == 2 and path.exists() and not os.path.lexists(path / "error.txt"):
      (path / "error.txt").symlink_to(tmp_path / "precious")
    return path

  monkeypatch.setattr(RunDirectory, "seed_path", with_a_link)
  code, _, error = acme_command("run fake fake:any --seeds 1-2 --steps 100 --eval-every 40 --out many")
  assert code == 1 and "Of 2 seeds 1 diverged: 2" in error
  assert (tmp_path / "precious").read_text() == "text"


def test_what_does_not_fit_a_device_runs_on_the_host_unless_it_is_asked_for(acme_command, monkeypatch, tmp_path):
  monkeypatch.setattr(plugins, "load_runner", lambda suite: FakeRunner("It is too large."))
  code, _, error = acme_command("run fake gym:CartPole-v1 --loop device")
  assert (code, error) == (2, "acme: --loop device: It is too large.\n")
  assert acme_command("run fake gym:CartPole-v1 --steps 20 --out host")[0] == 0
  assert RunDirectory(tmp_path / "host").read_experiment().loop == "host"


def test_a_file_gives_options_and_the_command_line_wins(acme_command, tmp_path):
  (tmp_path / "run.toml").write_text(
    'steps = 40\neval-every = 20\nquiet = true\nout = "here"\npreset = "fast"\n'
    "[config]\nhidden_sizes = [1, 2, 3]\ndouble = false\nlearning-rate = 0.25\n"
  )
  code, text, error = acme_command(
    "run fake gym:CartPole-v1 --config-file run.toml --steps 30 --config.learning-rate 0.125"
  )
  assert code == 0, error
  assert text.count("\n") == 2
  experiment = RunDirectory(tmp_path / "here").read_experiment()
  assert (experiment.steps, experiment.eval_every, experiment.preset) == (30, 20, "fast")
  assert experiment.config["hidden_sizes"] == [1, 2, 3] and experiment.config["double"] is False
  assert experiment.config["learning_rate"] == 0.125


@pytest.mark.parametrize(
  ("content", "complaint"),
  [
    ("stepz = 3", "No option is called --stepz. Did you mean --steps?"),
    ("[config]\nlerning-rate = 3", "--config.lerning-rate. Did you mean --config.learning-rate?"),
    ("steps = ", "run.toml cannot be read"),
    ("config = 3", "expected a table [config], got 3"),
    ("[steps]\na = 3", "expected a number, text or a list of them at steps"),
    ('config-file = "other.toml"', "config-file is for the command line of `acme run`"),
    ('agent = "dqn"', "agent is for the command line"),
    ("help = true", "help is for the command line"),
    ("eval-every = 5\neval_every = 7", "eval-every and eval_every are one option"),
    ("quiet = []", "quiet: expected true or false, got []"),
    ('preset = ["fast", "--seed", "7"]', "expected text that is no option at preset"),
    ('preset = "-h"', "expected text that is no option at preset"),
    ('out = "a\\u0000b"', "expected text that is no option at out"),
    ("a = " + "[" * 100_000, "run.toml cannot be read"),
  ],
)
def test_a_file_that_cannot_be_is_one_clear_line(acme_command, tmp_path, content, complaint):
  (tmp_path / "run.toml").write_text(content)
  code, _, error = acme_command("run fake gym:CartPole-v1 --config-file run.toml")
  assert code == 2 and complaint in error and error.count("\n") == 1
  assert not list(tmp_path.rglob("config.json"))


def test_what_only_reads_makes_no_directory_of_a_seed(make_run, acme_command):
  many = make_run("many", seeds=(0, 1))
  (many.make_seed(0).path / "eval.csv").write_text("steps,eval_return_mean\n1,2\n")
  code, _, error = acme_command("plot many --out curves.png")
  assert code == 0 and "Left out: many/seed-1 holds no run" in error
  assert acme_command("evaluate many --episodes 1")[0] != 0
  assert not many.seed_path(1).exists()


@pytest.mark.parametrize("saved", [True, False])
def test_a_run_that_was_saved_is_not_taken_for_one_that_never_began(acme_command, monkeypatch, tmp_path, saved):
  def fail(directory, display, jobs):
    if saved:
      directory.make_seed(0).write_saved(10, 1)
    raise UsageError("no such thing")

  monkeypatch.setattr(runs, "run", fail)
  code, _, error = acme_command(f"run fake gym:CartPole-v1 --seeds 0 --out many {SMALL}")
  assert code == 2 and "no such thing" in error and (tmp_path / "many").exists() is saved
