"""The command as a shell runs it: closed and narrow outputs, paths that cannot be, and no traceback for any of them."""

import itertools
import os
import re
import subprocess
import sys

import pytest

import acme_envs
import acme_experiments
from acme_experiments import progress, records

ACME = [sys.executable, "-m", "acme_experiments.cli"]


def shell(line, **environment):
  """Runs a line of shell in which "$@" is the command."""
  return subprocess.run(
    ["bash", "-o", "pipefail", "-c", line, "bash", *ACME],
    env=os.environ | environment,
    capture_output=True,
    text=True,
    check=False,
    errors="replace",
  )


def test_version(acme_command):
  assert acme_command("--version") == (0, f"acme-experiments {acme_experiments.__version__}\n", "")


def test_the_range_of_a_critic_is_said_first(acme_command, tmp_path):
  line = f"run fake gym:CartPole-v1 --steps 20 --config.vmax 250.5 --out {tmp_path}/run"
  code, output, error = acme_command(line)
  assert code == 0, error
  assert output.startswith("The critic tells returns from 0 to 250.5 apart (vmin, vmax, reward_range).\n")


@pytest.mark.parametrize(("number", "left"), [(10**4, r", \d:\d\d:\d\d left"), (10**18, "")], ids=["hours", "aeons"])
def test_how_long_is_left_is_said_as_far_as_a_calendar_goes(capsys, monkeypatch, number, left):
  monkeypatch.setattr(progress.time, "monotonic", itertools.count().__next__)
  display = progress.Plain()
  display._seconds = 0.0
  display.start(acme_experiments.Experiment(agent="fake", environment="gym:CartPole-v1", steps=number), 0)
  for done in range(2):
    display.update(done, 0)
  for done in range(2):
    display.evaluating(done, number)
  trained, evaluated = capsys.readouterr().out.splitlines()[-2:]
  assert re.fullmatch(rf"step 1 of .* steps: 0 episodes, [\d,]+ steps/s, return –{left}", trained)
  assert re.fullmatch(rf"evaluating: 1 of \d+ episodes{left}", evaluated)


@pytest.mark.parametrize("line", ["--versoin", "--steps 3", "-x", "--out"])
def test_an_option_without_a_command_is_one_line(acme_command, line):
  code, _, error = acme_command(line)
  assert code == 2 and error.count("\n") == 1


def test_a_closed_pipe_is_silent():
  done = shell('"$@" list | true')
  assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("line", ['"$@" list >&-', '"$@" --help >&-', '"$@" --version >&-', '"$@" list >&- 2>&-'])
def test_a_closed_output_is_no_failure(line):
  done = shell(line)
  assert (done.returncode, done.stderr) == (0, "")


def test_an_output_of_ascii_is_no_failure(tmp_path):
  line = f'"$@" run fake gym:CartPole-v1 --steps 20 --out {tmp_path}/run && "$@" run --help'
  fakes = os.path.join(os.path.dirname(__file__), "fake_agents")
  path = os.pathsep.join([fakes, os.environ.get("PYTHONPATH", "")])
  done = shell(line, PYTHONIOENCODING="ascii", PYTHONPATH=path)
  assert done.returncode == 0 and done.stderr == "" and "evaluation return" in done.stdout


@pytest.mark.parametrize(
  "line",
  [
    "run fake gym:CartPole-v1 --steps 20 --out /proc/run",
    "run fake gym:CartPole-v1 --steps 20 --out file/run",
    "run fake gym:CartPole-v1 --steps 20 --out /dev/null/run",
    "resume /proc/self/mem",
    "resume file",
    "evaluate /dev/null",
    "plot file --out a.png",
    "plot run --out /proc/a.png",
    "plot run --out file/a.png",
    "new-agent my-agent --out /proc/here",
    "new-agent my-agent --out file/here",
  ],
)
def test_a_path_that_cannot_be_is_one_line(make_run, acme_command, tmp_path, line):
  (tmp_path / "file").write_text("")
  directory = make_run()
  (directory.path / "eval.csv").write_text("steps,eval_return_mean\n1,2\n")
  code, _, error = acme_command(line)
  assert code in (1, 2) and error.count("\n") == 1


def test_a_constructor_that_raises_leaves_no_folder(acme_command, monkeypatch, tmp_path):
  def make(*args, **kwargs):
    raise RuntimeError("no display")

  monkeypatch.setattr(acme_envs, "make", make)
  code, _, error = acme_command("run fake gym:CartPole-v1 --steps 20 --out run")
  assert code == 2 and "gym:CartPole-v1 cannot be made: RuntimeError: no display" in error and error.count("\n") == 1
  assert not (tmp_path / "run").exists()


def test_metrics_that_are_no_numbers_are_passed_over(make_run, tmp_path):
  with_all = {"loss": None, "loss_b": "x", "a": [1, [2]], "b": object(), "c": 10**400, "d": float("nan"), "e": 1}
  these = records.Records(tmp_path, make_run().read_experiment())
  these.learner.write(with_all)
  with pytest.raises(FloatingPointError):
    these.learner.write({"loss": [1.0, float("nan")]})
  these.close()
  assert (tmp_path / "learner.csv").read_text().count("\n") == 3
