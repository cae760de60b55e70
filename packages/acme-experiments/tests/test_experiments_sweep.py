"""Sweeps: the trials that a file asks for, their runs, their ranking."""

import csv
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import tomllib

import pytest

from acme_experiments import RunDirectory, processes, rundir, sweep
from acme_experiments.experiment import UsageError

FOLDER = pathlib.Path(__file__).parent
HEAD = 'agent = "fake"\nenv = "gym:CartPole-v1"\nsteps = 60\neval-every = 0\n'
GRID = (
  HEAD + 'seeds = "1-2"\n[config]\ndouble = false\n[sweep]\nlearning_rate = [0.25, 0.5]\nhidden_sizes = [[3], [4, 5]]\n'
)


@pytest.fixture(autouse=True)
def processes_know_the_fake(monkeypatch):
  monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(FOLDER / "fake_agents"), os.environ.get("PYTHONPATH", "")]))


@pytest.fixture
def write(tmp_path):
  def write_file(content):
    (tmp_path / "try.toml").write_text(content)
    return str(tmp_path / "try.toml")

  return write_file


def test_every_combination_is_tried_and_ranked(acme_command, write, tmp_path):
  write(GRID)
  code, text, error = acme_command("sweep try.toml --out tried --jobs 2")
  assert code == 0, error
  assert "all 4 trials: tried/results.csv" in text and "learning_rate 0.5, hidden_sizes [4, 5]" in text
  with (tmp_path / "tried" / "results.csv").open() as file:
    rows = list(csv.DictReader(file))
  returns = [float(row["return"]) for row in rows]
  assert returns == sorted(returns, reverse=True)
  tried = {(row["learning_rate"], row["hidden_sizes"]) for row in rows}
  assert tried == {("0.25", "[3]"), ("0.25", "[4, 5]"), ("0.5", "[3]"), ("0.5", "[4, 5]")}
  for row in rows:
    directory = RunDirectory(tmp_path / "tried" / row["trial"])
    config = directory.read_experiment().config
    assert str(config["learning_rate"]) == row["learning_rate"] and config["double"] is False
    assert directory.read_summary()["seeds"] == {seed: float(row[f"seed {seed}"]) for seed in "12"}
    assert float(row["return"]) == pytest.approx(sum(float(row[f"seed {seed}"]) for seed in "12") / 2)
  assert acme_command("run fake gym:CartPole-v1 --config-file tried/best.toml --seed 9 --out again")[0] == 0
  again = RunDirectory(tmp_path / "again").read_experiment()
  assert str(again.config["learning_rate"]) == rows[0]["learning_rate"] and again.steps == 60
  before = (tmp_path / "tried" / "results.csv").read_bytes()
  assert acme_command("resume tried")[0] == 0
  assert (tmp_path / "tried" / "results.csv").read_bytes() == before


def test_values_are_drawn_alike_from_the_same_file(write):
  path = write(
    HEAD + "trials = 50\nrandom_seed = 3\n[sweep]\nlearning_rate = {low = 1e-5, high = 1e-1, log = true}\n"
    "n_step = {low = 1, high = 10}\ndouble = [true, false]\n"
  )
  trials = sweep.read_plan(path).trials
  assert trials == sweep.read_plan(path).trials and len(trials) == 50
  assert all(1e-5 <= trial["learning_rate"] <= 1e-1 and 1 <= trial["n_step"] <= 10 for trial in trials)
  assert sum(trial["learning_rate"] < 1e-3 for trial in trials) in range(15, 36)  # Half of them, in the mean.
  assert {type(trial["n_step"]) for trial in trials} == {int} and {trial["double"] for trial in trials} == {True, False}


@pytest.mark.parametrize(
  ("content", "complaint"),
  [
    ("agent = 3", "expected an agent and an env"),
    (HEAD, "expected a table [sweep]"),
    (HEAD + "[sweep]\nlearning_rate = 3", "learning_rate: expected a list of values, got 3"),
    (HEAD + "[sweep]\nlearning_rate = {low = 1, high = 2}", "a range needs trials = N"),
    (HEAD + "trials = 0\n[sweep]\nlearning_rate = [1]", "trials: expected a whole number of 1 or more, got 0"),
    (HEAD + "trials = 2\n[sweep]\nlearning_rate = {low = 2, high = 1}", "expected low < high"),
    (HEAD + "trials = 2\n[sweep]\nlearning_rate = {low = 0, high = 1, log = true}", "above 0 where log = true"),
    (HEAD + 'out = "x"\n[sweep]\nlearning_rate = [1]', "out is an option of `acme sweep` itself"),
    (HEAD + "stepz = 3\n[sweep]\nlearning_rate = [1]", "No option is called --stepz. Did you mean --steps?"),
    (HEAD + "[sweep]\nlerning_rate = [1]", "Did you mean --config.learning-rate?"),
    (HEAD + "[sweep]\nlearning_rate = [0.1, -1]", "learning_rate"),
    (HEAD + "config = 3\n[sweep]\nlearning_rate = [0.1]", "expected a table [config], got 3"),
    (HEAD + "trials = 2\n[sweep]\nlearning_rate = {low = 1, high = inf}", "expected low < high"),
    (HEAD + "trials = 2\n[sweep]\nlearning_rate = {low = nan, high = 1}", "expected low < high"),
    (HEAD + f"trials = 2\n[sweep]\nlearning_rate = {{low = 1, high = {10**400}}}", "expected low < high"),
    (HEAD + 'trials = 2\n[sweep]\nlearning_rate = {low = 1, high = 2, log = "no"}', "expected low < high"),
    (HEAD + "[sweep]\nlearning_rate = [0.1]\nlearning-rate = [0.2]", "learning_rate and learning-rate are one option"),
    (HEAD + 'config-file = "other.toml"\n[sweep]\nlearning_rate = [0.1]', "config-file is for the command line"),
    ('agent = "--help"\nenv = "x"\n[sweep]\nlearning_rate = [0.1]', "expected an agent and an env"),
    ('agent = "fake"\nenv = "--help"\n[sweep]\nlearning_rate = [0.1]', "expected an agent and an env"),
    ("a = " + "[" * 100_000, "cannot be read"),
    (HEAD + "[sweep]\n" + "\n".join(f"x{i} = [1, 2, 3, 4]" for i in range(9)), "more than 10,000"),
    ("agent = ", "cannot be read"),
  ],
)
def test_a_file_that_cannot_be_is_one_clear_line_and_nothing_is_made(acme_command, write, tmp_path, content, complaint):
  write(content)
  code, _, error = acme_command("sweep try.toml --out tried")
  assert code == 2 and complaint in error and error.count("\n") == 1
  assert not (tmp_path / "tried").exists()


def test_no_jobs_are_refused_before_anything_is_made(acme_command, write, tmp_path):
  write(HEAD + "[sweep]\nlearning_rate = [0.1]")
  code, _, error = acme_command("sweep try.toml --out tried --jobs 0")
  assert code == 2 and "--jobs: expected 1 or more" in error and not (tmp_path / "tried").exists()


def test_what_is_drawn_lies_between_the_ends(write):
  path = write(HEAD + "trials = 50\n[sweep]\nlearning_rate = {low = 0.99991, high = 0.99996}\n")
  assert all(0.99991 <= trial["learning_rate"] <= 0.99996 for trial in sweep.read_plan(path).trials)


def test_a_trial_that_fails_is_named_and_ranked_last(acme_command, write, tmp_path):
  write(HEAD.replace("60", "300") + "[sweep]\nnan_at = [50, 100000]\n")
  code, text, error = acme_command("sweep try.toml --out tried")
  assert code == 1 and "Of 2 trials 1 failed: trial-000" in error and "Traceback" not in error
  lines = text.splitlines()
  assert [line for line in lines if line.startswith("trial-001: ")] and "trial-000: no result FAILED" in lines[-2]
  assert "nan_at = 100000" in (tmp_path / "tried" / "best.toml").read_text()


def test_a_signal_ends_it_saved_and_resuming_goes_on(write, tmp_path, acme_command):
  write(HEAD.replace("60", "10000000") + "checkpoint-every = 200\n[sweep]\nlearning_rate = [0.1, 0.2]\n")
  command = [sys.executable, "-m", "acme_experiments.cli", "sweep", "try.toml", "--out", "tried"]
  process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
  deadline = time.monotonic() + 60
  while not (tmp_path / "tried" / "trial-000" / "saved.json").exists():
    assert time.monotonic() < deadline and process.poll() is None
    time.sleep(0.05)
  code, _, error = acme_command("resume tried")
  assert code == 2 and "tried is in use" in error
  process.send_signal(signal.SIGTERM)
  text, _ = process.communicate(timeout=60)
  assert process.returncode == 143 and "Go on with: acme resume tried" in text
  for trial in ("trial-000", "trial-001"):
    config = tmp_path / "tried" / trial / "config.json"
    content = json.loads(config.read_text())
    steps, _ = RunDirectory(config.parent).read_progress()
    content["experiment"]["steps"] = steps + 50
    config.write_text(json.dumps(content))
  code, text, error = acme_command("resume tried")
  assert code == 0 and "all 2 trials" in text, error
  assert "cannot be made longer" in acme_command("resume tried --steps 1000")[2]
  assert "tried exists" in acme_command("sweep try.toml --out tried")[2]


def test_a_damaged_sweep_is_a_clear_line(acme_command, write, tmp_path):
  write(HEAD + "[sweep]\nlearning_rate = [0.1]\n")
  assert acme_command("sweep try.toml --out tried")[0] == 0
  whole = json.loads((tmp_path / "tried" / "sweep.json").read_text())
  wrong = [
    {"trials": []},
    {"trials": [3]},
    {"trials": {"a": 1}},
    {"options": []},
    {"options": {"config": 3}},
    {"agent": 3},
  ]
  for damage in ("{", "{}", '{"trials": 3}', *(json.dumps(whole | change) for change in wrong)):
    (tmp_path / "tried" / "sweep.json").write_text(damage)
    code, _, error = acme_command("resume tried")
    assert code == 2 and "sweep.json cannot be read" in error
  with pytest.raises(UsageError, match="cannot be read"):
    sweep.read_plan(str(tmp_path / "nowhere.toml"))


def test_the_best_options_are_read_back_whatever_their_letters(tmp_path):
  row, options = (
    {"trial": "trial-000", "failed": False, "return": 1.0},
    {"agent": "fake", "env": "e", "preset": "é😀\n"},
  )
  sweep._write(tmp_path, [row], options, {"learning_rate": 0.1})
  content = tomllib.loads((tmp_path / "best.toml").read_text(encoding="utf-8"))
  assert content == {"preset": "é😀\n", "config": {"learning_rate": 0.1}}


def test_nothing_is_written_through_a_link(acme_command, write, tmp_path):
  write(HEAD + "[sweep]\nlearning_rate = [0.1]\n")
  assert acme_command("sweep try.toml --out tried")[0] == 0
  (tmp_path / "precious").write_text("text")
  for name, expected in (("best.toml", 0), ("results.csv", 0), ("trial-000/output.txt", 1)):
    path = tmp_path / "tried" / name
    path.unlink()
    path.symlink_to(tmp_path / "precious")
    if expected:
      path.with_name("summary.json").unlink()
    code, _, error = acme_command("resume tried")
    assert (tmp_path / "precious").read_text() == "text"
    assert code == error.count("\n") == expected


# Steered by Optuna.


STUDY = (
  HEAD + "trials = 4\n[study]\nstartup = 1\nwarmup = 0\n[sweep]\nlearning_rate = {low = 1e-4, high = 1.0, log = true}\n"
)


@pytest.mark.parametrize(
  ("content", "complaint"),
  [
    (STUDY.replace("trials = 4\n", ""), "[study]: expected trials = N"),
    (STUDY.replace("startup = 1", "startup = -1"), "startup and warmup of 0 or more"),
    (STUDY.replace("startup", "stratup"), "expected a table [study] with startup, warmup, prune at most"),
    (STUDY.replace("1e-4", "-1").replace(", log = true", ""), "learning_rate"),  # An end that the config refuses.
  ],
)
def test_a_study_that_cannot_be_is_one_clear_line(acme_command, write, tmp_path, content, complaint):
  write(content)
  code, _, error = acme_command("sweep try.toml --out tried")
  assert code == 2 and complaint in error and error.count("\n") == 1
  assert not (tmp_path / "tried").exists()


@pytest.fixture
def study(acme_command, write, tmp_path, monkeypatch):
  """A study whose runs are not processes: each is over at once, or goes on until it is stopped."""
  pytest.importorskip("optuna")
  return _Faked(acme_command, write, tmp_path, monkeypatch)


class _Faked:
  def __init__(self, acme_command, write, tmp_path, monkeypatch):
    self.path, self.command, self.write = tmp_path / "tried", acme_command, write
    self.returns, self.stopped = {}, []
    monkeypatch.setattr(processes.Pool, "_start", lambda pool, name: self.start(pool, name))

  def start(self, pool, name):
    """Evaluations at 10 times the number of the trial; the second and later ones are still going on."""
    directory = pool._runs[name]
    value = self.returns[name]
    (directory.path / "eval.csv").write_text(f"steps,eval_return_mean\n30,{value}\n")
    pool._running[name] = _Process(self, name, over=value >= self.returns["trial-000"])
    if value >= self.returns["trial-000"]:
      numbers = {"steps": 60, "episodes": 2, "eval_return_mean": value, "eval_return_std": 0.0, "eval_episodes": 2}
      rundir.write_json(directory.summary, numbers)
      (directory.path / "output.txt").write_text(f"evaluation return {value}\nrun: here\n")
    else:
      (directory.path / "output.txt").write_text("")


class _Process:
  def __init__(self, faked, name, over):
    self.faked, self.name, self.returncode = faked, name, 0 if over else None

  def poll(self):
    return self.returncode

  def send_signal(self, number):
    if self.returncode is None:
      self.faked.stopped.append(self.name)
      self.returncode = 128 + number

  def wait(self):
    pass


def test_a_study_prunes_ranks_and_is_resumed(study):
  study.write(STUDY)
  study.returns = {"trial-000": 5.0, "trial-001": 1.0, "trial-002": 9.0, "trial-003": 6.0}
  code, text, error = study.command("sweep try.toml --out tried")
  assert code == 0, error
  assert study.stopped == ["trial-001"] and "trial-001: pruned after evaluation 1, at 1.00" in text
  with (study.path / "results.csv").open(newline="") as file:
    rows = list(csv.DictReader(file))
  assert [row["trial"] for row in rows] == ["trial-002", "trial-003", "trial-000", "trial-001"]
  assert [row["pruned"] for row in rows] == ["", "", "", "True"] and not any(row["failed"] == "True" for row in rows)
  rates = {row["trial"]: float(row["learning_rate"]) for row in rows}
  assert len(set(rates.values())) == 4 and all(1e-4 <= rate <= 1 for rate in rates.values())
  for name, rate in rates.items():
    assert RunDirectory(study.path / name).read_experiment().config["learning_rate"] == rate
  before = (study.path / "results.csv").read_bytes()
  assert study.command("resume tried")[0] == 0 and (study.path / "results.csv").read_bytes() == before
  (study.path / "study.db").rename(study.path / "away")
  (study.path / "study.db").symlink_to("away")
  code, _, error = study.command("resume tried")
  assert code == 2 and error.count("\n") == 1 and "study.db is a link" in error
  (study.path / "study.db").unlink()
  (study.path / "study.db").write_text("no database" * 100)
  code, _, error = study.command("resume tried")
  assert code == 2 and error.count("\n") == 1 and "study.db cannot be opened" in error
  (study.path / "away").replace(study.path / "study.db")
  plan = json.loads((study.path / "sweep.json").read_text())
  for wrong in (
    {"study": 3},
    {"study": {}},
    {"study": plan["study"] | {"trials": "x"}},
    {"fields": 3},
    {"template": 3},
  ):
    (study.path / "sweep.json").write_text(json.dumps(plan | wrong))
    code, _, error = study.command("resume tried")
    assert code == 2 and error.count("\n") == 1 and "sweep.json cannot be read" in error
  (study.path / "sweep.json").write_text(json.dumps(plan))


def test_a_study_that_was_killed_goes_on_with_the_trial_that_it_was_at(study, monkeypatch):
  study.write(STUDY)
  study.returns = {f"trial-{i:03}": 5.0 + i for i in range(4)}

  def kill(pool, name):
    if name == "trial-002":
      raise KeyboardInterrupt
    study.start(pool, name)

  with monkeypatch.context() as patch:
    patch.setattr(processes.Pool, "_start", kill)
    assert study.command("sweep try.toml --out tried")[0] == 130
  config = (study.path / "trial-002" / "config.json").read_bytes()
  assert study.command("resume tried")[0] == 0
  assert (study.path / "trial-002" / "config.json").read_bytes() == config
  with (study.path / "results.csv").open(newline="") as file:
    assert [row["trial"] for row in csv.DictReader(file)] == [f"trial-{i:03}" for i in (3, 2, 1, 0)]


def test_evaluations_of_seeds_count_where_all_have_had_them(make_run):
  study = pytest.importorskip("acme_experiments.study", exc_type=ImportError)
  directory = make_run("many", seeds=(1, 2))
  for seed, values in ((1, (1.0, 2.0, 3.0)), (2, (5.0, 6.0))):
    rows = "".join(f"{10 * i},{value}\n" for i, value in enumerate(values))
    (directory.make_seed(seed).path / "eval.csv").write_text(f"steps,eval_return_mean\n{rows}99,7")  # Half a line.
  assert study.evaluations(directory) == [3.0, 4.0]
