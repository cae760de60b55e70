"""What is damaged, unreadable or of another kind is one clear line, and nothing is written where it should not be."""

import json
import math

import numpy as np
import pytest

from acme_experiments import Experiment, UsageError, run


@pytest.fixture
def finished(make_run):
  """A short run that is over."""
  directory = make_run(steps=200)
  run(directory)
  return directory


def change_experiment(directory, **changes):
  content = json.loads(directory.config.read_text())
  content["experiment"] |= changes
  directory.config.write_text(json.dumps(content))


@pytest.mark.parametrize(
  "changes",
  [
    {"steps": 320.5},
    {"steps": "320"},
    {"steps": True},
    {"steps": 0},
    {"steps": 10**400},
    {"episodes": 3},
    {"eval_every": 0.5},
    {"eval_episodes": [1]},
    {"checkpoint_every": 1e9},
    {"seed": -1},
    {"seed": None},
    {"envs": 1.5},
    {"agent": 7},
    {"agent": None},
    {"environment": ["gym:CartPole-v1"]},
    {"config": []},
    {"config": {"learning_rate": "fast"}},
    {"config": {"learning_rate": -1}},
    {"config": {"hidden_sizes": [1.5]}},
    {"config": {"learning": 1}},
    {"preset": 1},
    {"backend": 1},
    {"replay": None},
    {"video": "yes"},
    {"stepz": 1},
  ],
  ids=lambda changes: str(changes)[:40],
)
def test_config_json_is_held_to_the_types_of_the_command_line(make_run, acme_command, changes):
  directory = make_run(steps=200)
  change_experiment(directory, **changes)
  code, _, error = acme_command(f"resume {directory.path}")
  assert code == 2 and error.count("\n") == 1


DAMAGE = {
  "half": lambda path: path.write_bytes(path.read_bytes()[:20]),
  "empty": lambda path: path.write_bytes(b""),
  "not UTF-8": lambda path: path.write_bytes(b"\xff\xfe{"),
  "a list": lambda path: path.write_bytes(b"[1]"),
  "a number": lambda path: path.write_bytes(b"1"),
  "an empty object": lambda path: path.write_bytes(b"{}"),
  "deep": lambda path: path.write_bytes(b"[" * 100_000),
  "a directory": lambda path: (path.unlink(), path.mkdir()),
  "a link to nothing": lambda path: (path.unlink(), path.symlink_to("nothing")),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("name", ["config.json", "summary.json", "saved.json"])
def test_a_damaged_file_is_named(finished, acme_command, name, damage):
  damage(finished.path / name)
  code, _, error = acme_command(f"resume {finished.path} --steps 300")
  assert code == 2 and error.count("\n") == 1 and f"{name} cannot be read" in error


def test_numbers_of_numpy_are_written(make_run):
  directory = make_run(steps=np.int64(50), seed=np.uint8(3), video=False, config={"learning_rate": np.float32(0.5)})
  assert directory.read_experiment() == Experiment(**json.loads(directory.config.read_text())["experiment"])
  assert run(directory)["steps"] == 50
  with pytest.raises(UsageError, match="Experiment.steps: expected an integer"):
    make_run("other", steps=np.float64(50))


@pytest.mark.parametrize(
  "changes",
  [{"seeds": ["x"]}, {"seeds": {"0": "x"}}, {"seeds": {"0": math.nan}}, {"diverged": 3}, {"steps": math.inf}],
  ids=str,
)
def test_a_summary_of_other_kinds_is_named(finished, acme_command, changes):
  finished.write_summary(finished.read_summary() | changes)
  code, _, error = acme_command(f"resume {finished.path}")
  assert code == 2 and error.count("\n") == 1 and "summary.json cannot be read" in error


def test_what_fails_in_an_evaluation_is_one_line(finished, acme_command, monkeypatch):
  def restore(self, state):
    raise ValueError("expected float32[8]")

  import fake_agents  # Which a fixture puts on the path.

  monkeypatch.setattr(fake_agents.FakeLearner, "restore", restore)
  code, _, error = acme_command(f"evaluate {finished.path}")
  assert code == 1 and "cannot be evaluated: expected float32[8]" in error and error.count("\n") == 1


@pytest.mark.parametrize("name", ["lock", "config.json.tmp", "summary.json.tmp", "saved.json.tmp", "train.csv.tmp"])
def test_nothing_is_written_through_a_link(make_run, acme_command, tmp_path, name):
  directory = make_run(steps=200)
  (tmp_path / "precious").write_text("text")
  (directory.path / name).symlink_to(tmp_path / "precious")
  code, _, error = acme_command(f"resume {directory.path} --steps 300")
  assert (tmp_path / "precious").read_text() == "text"
  assert code == (0 if name != "lock" else 1) and error.count("\n") == (name == "lock")


@pytest.mark.parametrize("name", ["train.csv.cut", "eval.csv", "points.jsonl"])
def test_no_row_is_written_through_a_link(make_run, acme_command, tmp_path, name):
  directory = make_run(steps=200, log=("jsonl",))
  (directory.path / "train.csv").write_text("steps\n1\n")  # No checkpoint counts it, so it would be cut.
  if name != "eval.csv":  # Which leads to nothing yet.
    (tmp_path / "precious").write_text("text")
  (directory.path / name).symlink_to(tmp_path / "precious")
  code, _, error = acme_command(f"resume {directory.path}")
  assert code in (1, 2) and error.count("\n") == 1 and name in error
  assert not (tmp_path / "precious").exists() or (tmp_path / "precious").read_text() == "text"


@pytest.mark.parametrize(
  "old, new", [("steps", "stops"), ("200", "many"), ("200,", "200,1,2,3,4,5,6,7,8,9,"), ("20", "\xff")]
)
def test_damaged_rows_are_named(finished, acme_command, old, new):
  path = finished.path / "eval.csv"
  path.write_bytes(path.read_text().replace(old, new, 1).encode("latin-1"))
  code, _, error = acme_command(f"resume {finished.path} --steps 300")
  assert code == 2 and error.count("\n") == 1 and "eval.csv cannot be read" in error
