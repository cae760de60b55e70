"""Runs of the `acme` command on Ray."""

import contextlib
import csv
import json
import os
import signal
import sys
from importlib import metadata

import pytest

from acme import plugins
from acme_experiments import cli

RUN = ("run", "linear_q", "gym:CartPole-v1", "--actors", "2", "--quiet", "--eval-episodes", "2")
SMALL = ("--config.batch-size", "8", "--config.min-replay-size", "20", "--config.max-replay-size", "1000")


@pytest.fixture(autouse=True)
def linear_q(monkeypatch):
  """An agent in NumPy, as if it were installed."""
  entry_point = metadata.EntryPoint("linear_q", "acme_testing.linear_q:AGENT", plugins.AGENTS)
  monkeypatch.setattr(plugins, "list_agents", lambda: {"linear_q": entry_point})


def rows(path):
  with path.open() as file:
    return list(csv.DictReader(file))


def test_a_run_on_ray_has_a_run_directory_as_any_other(fake_ray, tmp_path, capsys):
  out = tmp_path / "run"
  steps = ("--steps", "300", "--eval-every", "100", "--checkpoint-every", "100")
  assert cli.main([*RUN, *SMALL, *steps, "--out", str(out)]) == 0
  summary = json.loads((out / "summary.json").read_text())
  assert summary["steps"] == 300
  assert summary["eval_episodes"] == 20
  train = rows(out / "train.csv")
  assert len(train) == summary["episodes"]
  assert {row["actor"] for row in train} == {"0", "1"}
  assert rows(out / "eval.csv")
  capsys.readouterr()
  assert cli.main(["status", str(out)]) == 0
  assert "the run is over" in (text := capsys.readouterr().out)
  assert "actor 1: " in text
  assert cli.main(["evaluate", str(out), "--episodes", "2"]) == 0
  assert "with the parameters of step 300" in capsys.readouterr().out
  assert cli.main(["resume", str(out), "--steps", "400", "--quiet"]) == 0
  assert json.loads((out / "summary.json").read_text())["steps"] == 400
  assert len(rows(out / "train.csv")) > len(train)


def test_a_signal_saves_and_the_run_goes_on(fake_ray, tmp_path, capsys):
  out = tmp_path / "run"

  def ask_to_stop():
    if fake_ray.steps == 100:
      os.kill(os.getpid(), signal.SIGTERM)

  fake_ray.before_step = ask_to_stop
  assert cli.main([*RUN, *SMALL, "--steps", "1000", "--out", str(out)]) == 128 + signal.SIGTERM
  assert "Stopped and saved at step" in capsys.readouterr().out
  saved = json.loads((out / "saved.json").read_text())
  assert 0 < saved["steps"] < 1_000
  assert len(rows(out / "train.csv")) == saved["episodes"]
  assert cli.main(["resume", str(out), "--steps", str(saved["steps"] + 50), "--quiet"]) == 0
  assert json.loads((out / "summary.json").read_text())["steps"] == saved["steps"] + 50


def test_a_run_goes_on_in_another_cluster(fake_ray, tmp_path, monkeypatch):
  asked = []
  monkeypatch.setattr(sys.modules["acme_ray.run"], "cluster", lambda address, **_: noted(asked, address))
  out = str(tmp_path / "run")
  assert cli.main([*RUN, *SMALL, "--steps", "100", "--ray-address", "one:6379", "--out", out]) == 0
  assert cli.main(["resume", out, "--steps", "150", "--ray-address", "two:6379", "--quiet"]) == 0
  assert cli.main(["resume", out, "--steps", "200", "--quiet"]) == 0
  assert asked == ["one:6379", "two:6379", "two:6379"]


@contextlib.contextmanager
def noted(asked, address):
  asked.append(address)
  yield


@pytest.mark.parametrize(
  "options, complaint",
  [
    (("--shards", "2"), "--shards is for runs on Ray: give --actors, too."),
    (("--ray-address", "auto"), "--ray-address is for runs on Ray"),
    (("--actors", "0"), "actors: expected 1 or more, got 0"),
    (("--actors", "1", "--shards", "2"), "--shards: expected as many as actors at the most, 1, got 2"),
    (("--actors", "1", "--seeds", "0-1"), "--actors: a run on Ray has no --seeds."),
    (("--actors", "1", "--video"), "--actors: a run on Ray has no --video."),
    (("--actors", "1", "--stop-at", "9"), "--actors: a run on Ray has no --stop-at."),
    (("--actors", "1", "--replay", "device"), "--actors: a run on Ray has no --replay device."),
    (("--actors", "1", "--replay", "reverb://a:1"), "--actors: a run on Ray has no --replay reverb://a:1."),
    (("--actors", "1", "--loop", "device"), "--actors: a run on Ray has no --loop device."),
  ],
)
def test_what_ray_has_not_is_refused_in_a_line(options, complaint, tmp_path, capsys):
  assert cli.main(["run", "linear_q", "gym:CartPole-v1", *options, "--out", str(tmp_path / "run")]) == 2
  error = capsys.readouterr().err
  assert complaint in error
  assert error.count("\n") == 1
  assert not (tmp_path / "run").exists()
