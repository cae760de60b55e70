"""What is damaged, unreadable or of another kind is one clear line, and nothing is written where it should not be."""

import json
import math
import os
import signal
import sys

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
  [
    {"seeds": ["x"]},
    {"seeds": {"0": "x"}},
    {"seeds": {"0": math.nan}},
    {"diverged": 3},
    {"steps": math.inf},
    {"held_out_loss": "x"},
    {"held_out_loss": None},
    {"held_out_loss": 10**400},
  ],
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


@pytest.mark.parametrize(
  "name, line",
  [
    ("config.json", "status"),
    ("config.json", "resume"),
    ("config.json", "plot --out a.png"),
    ("summary.json", "list --runs"),
    ("saved.json", "status"),
    ("status.json", "status"),
    ("lock", "list --runs"),
    ("lock", "resume"),
    ("eval.csv", "plot --out a.png"),
    ("eval.csv", "resume"),
    ("train.csv.cut", "resume"),
    ("points.jsonl", "resume"),
  ],
)
def test_nobody_waits_at_a_pipe(make_run, acme_command, name, line):
  directory = make_run(steps=200, eval_every=100, eval_episodes=1, log=("jsonl",))
  if line != "resume":
    run(directory)
  path = directory.path / name
  path.unlink(missing_ok=True)
  os.mkfifo(path)
  old = signal.signal(signal.SIGALRM, lambda *_: pytest.fail("it waits"))
  signal.alarm(20)
  try:
    code, text, error = acme_command(f"{line} {directory.path}")
  finally:
    signal.alarm(0)
    signal.signal(signal.SIGALRM, old)
  if line == "list --runs":  # One that is damaged hides no others.
    assert code == 0 and ("damaged" in text) == (name != "lock")
  else:
    assert code in (1, 2) and name in error and "plain file" in error


STATUS = {
  "steps": 7, "episodes": 1, "learner_steps": 3, "inserts": 2, "samples": 4, "ready": 2, "nodes": 3,
  "actor_steps": [3, 4], "actor_rates": [1.0, 2.0], "batch_bytes_rate": 5.0, "restarts": {"actor 1": 2},
}  # fmt: skip


@pytest.mark.parametrize(
  "changes",
  [
    {"steps": "many"},
    {"steps": None},
    {"actor_steps": ["x", "y"]},
    {"actor_steps": 3},
    {"actor_rates": [1.0]},
    {"restarts": []},
    {"actor_rates": [10**400, 1]},
    "[" * 100_000,
    "\xff" * 100_000,
  ],
  ids=lambda changes: str(changes)[:30],
)
def test_a_damaged_status_is_named(make_run, acme_command, changes):
  directory = make_run(steps=200)
  path = directory.path / "status.json"
  path.write_text(json.dumps(STATUS))
  code, text, _ = acme_command(f"status {directory.path}")
  assert code == 0 and "step 7" in text and "actor 1: 4 steps, 2 a second" in text and "began anew 2 times" in text
  path.write_bytes(changes.encode("latin-1") if isinstance(changes, str) else json.dumps(STATUS | changes).encode())
  code, _, error = acme_command(f"status {directory.path}")
  assert code == 2 and "status.json cannot be read" in error and error.count("\n") == 1 and len(error) < 1_000


def test_sys_exit_in_a_run_is_an_error(make_run, acme_command, monkeypatch):
  import fake_agents  # Which a fixture puts on the path.

  monkeypatch.setattr(fake_agents.FakeLearner, "step", lambda self: sys.exit())
  directory = make_run(steps=200)
  code, _, error = acme_command(f"resume {directory.path}")
  assert code == 1 and "called sys.exit(None)" in error and error.count("\n") == 1
  assert "SystemExit" in directory.error.read_text()
