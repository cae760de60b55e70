"""`acme bsuite`: a run for each id, the suite's scores, its radar plot."""

import json
import os
import pathlib
import signal

import pytest

import acme_envs
from acme_experiments import Experiment, RunDirectory, bsuite, parsing, progress, run, stopping
from acme_experiments.experiment import UsageError

pytest.importorskip("bsuite")
FOLDER = pathlib.Path(__file__).parent


@pytest.fixture(autouse=True)
def processes_know_the_fake(monkeypatch):
  monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(FOLDER / "fake_agents"), os.environ.get("PYTHONPATH", "")]))


def test_ids_are_runs_that_the_suite_scores_and_resume_goes_on(acme_command, tmp_path):
  code, text, error = acme_command("bsuite fake --ids catch/2 memory_len/0 --episodes 12 --seed 5 --out b --jobs 2")
  assert code == 0, error
  assert "catch: " in text and "so far" in text and "scores: b/scores.md" in text
  experiment = RunDirectory(tmp_path / "b" / "catch-2").read_experiment()
  assert (experiment.environment, experiment.episodes, experiment.seed) == ("bsuite:catch/2", 12, 7)
  assert sorted(path.name for path in (tmp_path / "b" / "logs").iterdir()) == [
    "bsuite_id_-_catch-2.csv", "bsuite_id_-_memory_len-0.csv"
  ]  # fmt: skip
  scores = json.loads((tmp_path / "b" / "scores.json").read_text())
  theirs = acme_envs.bsuite.score(tmp_path / "b" / "logs")
  assert {name: score["score"] for name, score in scores.items()} == {name: s.score for name, s in theirs.items()}
  table = (tmp_path / "b" / "scores.md").read_text()
  assert f"| catch | {theirs['catch'].score:.3f} | 1 of 20 | no | basic, credit assignment |" in table
  assert (tmp_path / "b" / "radar.png").read_bytes().startswith(b"\x89PNG")
  (tmp_path / "b" / "memory_len-0" / "summary.json").unlink()
  (tmp_path / "b" / "scores.md").unlink()
  code, text, error = acme_command("resume b")
  assert code == 0, error
  assert "memory_len/0: evaluation return" in text and "catch/2" not in text
  assert (tmp_path / "b" / "scores.md").read_text() == table
  assert "cannot be made longer" in acme_command("resume b --episodes 20")[2]


def test_a_run_that_failed_is_named_and_the_others_are_scored(tmp_path):
  experiments = {name: experiment(name) for name in ("catch/0", "bandit/0")}
  path = bsuite.create(tmp_path / "b", experiments)
  run(RunDirectory(path / "catch-0"))
  (path / "bandit-0" / "config.json").write_text("{}")
  scores = bsuite.run(path, progress.Progress())
  assert list(scores.experiments) == ["catch"] and list(scores.failed) == ["bandit/0"]
  assert scores.tags["basic"] == scores.experiments["catch"].score
  text = (path / "scores.md").read_text()
  assert "- bandit/0 failed: acme: " in text and "| memory |" not in text


def experiment(name):
  return Experiment(
    agent="fake", environment=f"bsuite:{name}", episodes=2, log=(), observe=(bsuite.OBSERVER,), config={}
  )


def test_by_default_ids_have_the_episodes_that_the_suite_prescribes(monkeypatch, tmp_path, acme_command):
  monkeypatch.setattr("acme_experiments.commands._run_bsuite", lambda *_: None)
  assert acme_command("bsuite fake --ids cartpole/0 cartpole/3 memory_len/0 --config.learning-rate 0.5 --out b")[0] == 0
  experiments = [RunDirectory(path).read_experiment() for path in sorted((tmp_path / "b").glob("*-*"))]
  assert len(experiments) == 3
  assert {each.episodes for each in experiments} == {1000, 10_000}
  assert {each.config["learning_rate"] for each in experiments} == {0.5} and {each.envs for each in experiments} == {1}
  assert sorted(each.seed for each in experiments if "cartpole" in each.environment) == [0, 3]
  assert {each.folder for each in experiments} == {None}  # Nothing is looked for in this one.


@pytest.mark.parametrize(
  ("line", "complaint"),
  [
    ("bsuite fake --ids catsh/0", "--ids: Expected testing, all, an experiment such as catch"),
    ("bsuite fake --ids catch/0 --episodes 0", "episodes: expected 1 or more, got 0"),
    ("bsuite fake --jobs 0", "--jobs: expected 1 or more"),
    ("bsuite fake --stepz 1", "No option is called --stepz"),
    ("bsuite fakes", "fakes"),
  ],
)
def test_what_cannot_be_is_one_clear_line_and_nothing_is_made(acme_command, tmp_path, line, complaint):
  code, _, error = acme_command(f"{line} --out b")
  assert code == 2 and complaint in error and error.count("\n") == 1
  assert not (tmp_path / "b").exists()


def test_what_is_stopped_says_how_to_go_on(acme_command, monkeypatch):
  def stop(*_):
    raise stopping.Stopped(signal.SIGTERM, 0)

  monkeypatch.setattr(bsuite, "run", stop)
  code, text, _ = acme_command("bsuite fake --ids catch/0 --out b")
  assert code == 143 and text == "Stopped; every run is saved. Go on with: acme resume b\n"


def test_where_no_run_can_begin_the_first_says_why_and_nothing_is_left(acme_command, tmp_path):
  code, _, error = acme_command("bsuite fake --ids catch/0 --config.demonstrations nowhere --out b")
  assert code == 2 and "nowhere" in error.splitlines()[-1]
  assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
  "content",
  [
    "{",
    "[]",
    '{"agent": "fake", "ids": ["../../x"]}',
    '{"agent": "fake", "ids": []}',
    '{"agent": "fake", "ids": [["catch/0"]]}',
  ],
)
def test_a_damaged_list_of_ids_is_named_and_leads_nowhere(tmp_path, content):
  path = bsuite.create(tmp_path / "b", {"catch/0": experiment("catch/0")})
  (path / "bsuite.json").write_text(content)
  with pytest.raises(UsageError, match="bsuite.json cannot be read"):
    bsuite.run(path, progress.Progress())


def test_help_has_the_agents_options(acme_command):
  code, text, _ = acme_command("bsuite fake --help")
  assert code == 0 and "--config.learning-rate" in text and "testing|all|NAME" in text
  assert parsing.COMMANDS["bsuite"] is parsing.Bsuite


def test_no_log_is_written_through_a_link(tmp_path):
  path = bsuite.create(tmp_path / "b", {"catch/0": experiment("catch/0")})
  run(RunDirectory(path / "catch-0"))
  (tmp_path / "precious").write_text("text")
  (path / "logs").mkdir()
  (path / "logs" / "bsuite_id_-_catch-0.csv").symlink_to(tmp_path / "precious")
  assert list(bsuite.score(path).experiments) == ["catch"]
  assert (tmp_path / "precious").read_text() == "text"
  (path / "logs").rename(tmp_path / "elsewhere")
  (path / "logs").symlink_to(tmp_path / "elsewhere")
  with pytest.raises(UsageError, match="logs is a link"):
    bsuite.score(path)


def test_damaged_rows_are_one_line(tmp_path, acme_command):
  path = bsuite.create(tmp_path / "b", {"catch/0": experiment("catch/0")})
  run(RunDirectory(path / "catch-0"))
  rows = (path / "catch-0" / "train.csv").read_text()
  (path / "catch-0" / "train.csv").write_text(rows.replace("bsuite_total_regret", "bsuite_nothing"))
  code, _, error = acme_command("resume b")
  assert code == 1 and "b cannot go on: " in error and error.count("\n") == 1
