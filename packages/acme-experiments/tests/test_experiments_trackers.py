"""Where points go besides the files of a run: each once, whenever it is killed. Observers, and `--stop-at`."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from acme_experiments import Stopped, UsageError, progress, records, run, trackers


class Killed(BaseException):
  """What stands for kill -9: nothing is saved after it."""


class KillAt(progress.Progress):
  def __init__(self, step):
    self.step = step

  def update(self, steps, episodes):
    if steps >= self.step:
      raise Killed


def killed(directory, step):
  with pytest.raises(Killed):
    run(directory, KillAt(step))


def killed_when_told(directory, monkeypatch):
  """Runs up to the second checkpoint, whose points are told, and dies before that is written down."""
  write_json, calls = trackers.write_json, []

  def fail(path, content):
    calls.append(path)
    if len(calls) == 6:  # Two for the tracker's run, and two a checkpoint.
      raise Killed
    write_json(path, content)

  with monkeypatch.context() as patch, pytest.raises(Killed):
    patch.setattr(trackers, "write_json", fail)
    run(directory)


def told(directory):
  """What the fake tracker was told, but for the learner's, which go by the clock, and columns of time."""
  lines = [json.loads(line) for line in (directory.path / "told.jsonl").read_text().splitlines()]
  return [
    [stream, steps, {name: value for name, value in values.items() if not name.endswith(("seconds", "second"))}]
    for _, stream, steps, values, _, _ in lines
    if stream != "learner"
  ]


def test_a_tracker_is_told_each_point_once_whenever_a_run_is_killed(make_run):
  whole, directory = (make_run(name, log=("fake",), steps=400) for name in ("whole", "killed"))
  run(whole)
  for step in (150, 250):
    killed(directory, step)
  run(directory)
  assert told(directory) == told(whole)
  assert {point[0] for point in told(whole)} == {"train", "eval"} and told(whole)[-1][:2] == ["eval", 400]
  lines = [json.loads(line) for line in (directory.path / "told.jsonl").read_text().splitlines()]
  assert [line[0] for line in lines] == list(range(len(lines)))  # Numbered over all streams.
  assert len({line[-1] for line in lines}) == 1  # In one run of the tracker's.
  summary, parameters = json.loads((directory.path / "final.json").read_text())
  assert summary["eval_return_mean"] == directory.read_summary()["eval_return_mean"]
  assert parameters["learning_rate"] == 0.01 and parameters["agent"] == "fake"
  assert not (directory.path / "tensorboard").exists()


def test_what_was_told_when_it_was_killed_is_told_again_as_such(make_run, monkeypatch):
  directory = make_run(log=("fake",), steps=300)
  killed_when_told(directory, monkeypatch)
  run(directory)
  lines = [json.loads(line) for line in (directory.path / "told.jsonl").read_text().splitlines()]
  again = [line[:4] for line in lines if line[4]]
  assert again and all(point in [line[:4] for line in lines if not line[4]] for point in again)
  once = {line[0]: line for line in lines}
  assert sorted(once) == list(range(len(once)))  # None was left out.


def test_what_a_tool_lost_when_it_was_killed_is_told_again(make_run, monkeypatch):
  import fake_agents

  directory = make_run(log=("fake",), steps=300)
  killed(directory, 250)
  before = (directory.path / "told.jsonl").read_text().splitlines()
  assert len(before) > 3
  (directory.path / "told.jsonl").write_text("".join(f"{line}\n" for line in before[:3]))
  monkeypatch.setattr(fake_agents.FakeTracker, "held", 3)
  run(directory)
  numbers = [json.loads(line)[0] for line in (directory.path / "told.jsonl").read_text().splitlines()]
  assert numbers == list(range(len(numbers))) and len(numbers) > len(before)


def test_the_file_of_points_has_all_rows_of_the_csv_files(make_run):
  directory = make_run(log=("jsonl", "tensorboard"), steps=200)
  killed(directory, 150)
  run(directory)
  points = [json.loads(line) for line in (directory.path / "points.jsonl").read_text().splitlines()]
  for stream in ("train", "eval"):
    with (directory.path / f"{stream}.csv").open(newline="") as file:
      rows = list(csv.DictReader(file))
    mine = [point["values"] for point in points if point["stream"] == stream]
    for row, values in zip(rows, mine, strict=True):
      assert {name: values[name] for name in values if not name.endswith("second")} == {
        name: float(row[name] == "True" if row[name] in ("True", "False") else row[name])
        for name in values
        if not name.endswith("second")
      }
  assert any((directory.path / "tensorboard").iterdir())


@pytest.mark.parametrize(
  ("line", "expected"),
  [
    ("--log nothing", "no logger is called 'nothing'. Known: fake, jsonl, mlflow, tensorboard, wandb"),
    ("--observe nothing", "expected MODULE:CLASS, or a name that a package offers (counter), got 'nothing'"),
    ("--observe nothing:Here", "--observe nothing:Here: ImportError"),
    ("--observe math:floor", "--observe math:floor: TypeError"),
    ("--observe random:Random", "expected an observer of a loop"),
    ("--observe counter --envs 2", "observers watch one environment"),
    ("--stop-at 4 --eval-every 0", "a return that an evaluation may reach"),
    ("--stop-at nan", "stop_at"),
  ],
)
def test_what_cannot_be_is_one_line_and_leaves_no_folder(acme_command, tmp_path, line, expected):
  code, _, error = acme_command(f"run fake gym:CartPole-v1 --steps 20 --out run {line}")
  assert (code, error.count("\n")) == (2, 1) and expected in error
  assert not (tmp_path / "run").exists()


def test_what_a_tool_lacks_is_named(make_run, monkeypatch):
  monkeypatch.setitem(sys.modules, "wandb", None)
  with pytest.raises(UsageError, match=r'--log wandb needs wandb: pip install "acme-experiments\[wandb\]"'):
    run(make_run(log=("wandb",)))


def test_damaged_files_are_named(make_run):
  directory = make_run(log=("fake",), steps=200)
  run(directory)
  for name, text in (("points.jsonl", "{}\n"), ("loggers.json", '{"fake": {}}')):
    kept = (directory.path / name).read_text()
    (directory.path / name).write_text(text)
    directory.summary.unlink(missing_ok=True)
    with pytest.raises(UsageError, match=f"{name}.* from a copy"):
      run(directory)
    (directory.path / name).write_text(kept)


def test_tensorboard_has_the_hyper_parameters_and_how_to_open_it_is_said(acme_command, tmp_path):
  code, text, error = acme_command("run fake gym:CartPole-v1 --steps 60 --eval-every 30 --out run")
  assert code == 0 and "curves: tensorboard --logdir run" in text, error
  event_file_loader = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader")
  (path,) = (tmp_path / "run" / "tensorboard").iterdir()
  tags = {value.tag for event in event_file_loader.RawEventFileLoader(str(path)).Load() for value in _values(event)}
  assert {"_hparams_/experiment", "_hparams_/session_start_info", "final/eval_return_mean"} <= tags


def _values(event):
  from tensorboardX.proto import event_pb2

  return event_pb2.Event.FromString(event).summary.value


# Real tools, without a network.


def killed_for_real(directory, step):
  """A process of its own, tools and all, dies by SIGKILL."""
  script = f"""
import os, signal, sys
from acme_experiments import RunDirectory, progress, run

class Kill(progress.Progress):
  def update(self, steps, episodes):
    if steps >= {step}:
      os.kill(os.getpid(), signal.SIGKILL)

run(RunDirectory(sys.argv[1]), Kill())
"""
  path = os.pathsep.join(filter(None, sys.path))  # With the fake agents.
  process = subprocess.run([sys.executable, "-c", script, directory.path], env={**os.environ, "PYTHONPATH": path})
  assert process.returncode == -signal.SIGKILL


def test_what_wandb_had_written_when_it_was_killed_is_told_apart(tmp_path):
  def piece(kind, data):
    return b"\0\0\0\0" + len(data).to_bytes(2, "little") + bytes([kind]) + data

  long = b"x" * 40_000  # Over the end of a block.
  first = 2**15 - 7 - len(piece(1, b"one")) - 7
  data = b"0123456" + piece(1, b"one") + piece(2, long[:first]) + piece(4, long[first:]) + piece(1, b"two")
  assert list(trackers.wandb_records(data)) == [b"one", long, b"two"]
  assert list(trackers.wandb_records(data[:-1])) == [b"one", long]
  assert list(trackers.wandb_records(data + bytes(99))) == [b"one", long, b"two"]


def test_wandb_offline(make_run, monkeypatch):
  wandb = pytest.importorskip("wandb")
  from wandb.proto import wandb_internal_pb2

  monkeypatch.setenv("WANDB_MODE", "offline")
  directory = make_run(log=("wandb",), steps=500)
  for step in (150, 350):
    killed_for_real(directory, step)
  run(directory)
  wandb.teardown()  # As at the end of a process: everything is on disk.
  names = lambda items: {"/".join(item.nested_key) or item.key: item.value_json for item in items}  # noqa: E731
  rows, config, final, ids = [], {}, {}, set()
  for path in sorted(directory.path.glob("wandb/offline-run-*/*.wandb")):
    ids.add(path.stem)
    for data in trackers.wandb_records(path.read_bytes()):
      record = wandb_internal_pb2.Record.FromString(data)
      rows += [names(record.history.item)] if record.HasField("history") else []
      config |= names(record.run.config.update) if record.HasField("run") else {}
      final |= names(record.summary.update) if record.HasField("summary") else {}
  assert len(ids) == 1  # Three processes, one run.
  steps = [int(row["_step"]) for row in rows]
  points = (directory.path / "points.jsonl").read_text().splitlines()
  assert steps == list(range(len(points)))  # Each point once, and none left out.
  with (directory.path / "eval.csv").open(newline="") as file:
    expected = [float(row["eval_return_mean"]) for row in csv.DictReader(file)]
  mine = [float(row["eval/eval_return_mean"]) for row in rows if "eval/eval_return_mean" in row]
  assert mine == expected
  assert json.loads(config["learning_rate"]) == 0.01 and "final/eval_return_mean" in final


def test_mlflow_offline(make_run, monkeypatch, tmp_path):
  mlflow = pytest.importorskip("mlflow")
  monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
  directory = make_run(log=("mlflow",), steps=500)
  killed_when_told(directory, monkeypatch)
  killed_for_real(directory, 350)
  run(directory)
  client = mlflow.MlflowClient()
  (found,) = client.search_runs([client.get_experiment_by_name("acme").experiment_id])
  history = client.get_metric_history(found.info.run_id, "train/episode_return")
  with (directory.path / "train.csv").open(newline="") as file:
    expected = [float(row["episode_return"]) for row in csv.DictReader(file)]
  assert [metric.value for metric in sorted(history, key=lambda metric: metric.step)] == expected
  assert found.data.params["learning_rate"] == "0.01" and found.info.status == "FINISHED"
  assert found.data.metrics["final/eval_return_mean"] == directory.read_summary()["eval_return_mean"]


# Observers, `--stop-at`, progress.


def test_observers_by_entry_point_and_by_module(acme_command, tmp_path):
  (tmp_path / "my_watch.py").write_text(
    "class Watch:\n"
    "  def observe_first(self, environment, timestep): self.rewards = []\n"
    "  def observe(self, environment, timestep, action): self.rewards.append(timestep.reward)\n"
    "  def get_metrics(self): return {'sum': sum(self.rewards)}\n"
  )
  code, _, error = acme_command("run fake gym:CartPole-v1 --steps 80 --observe counter my_watch:Watch --out run")
  assert code == 0, error
  with (tmp_path / "run" / "train.csv").open(newline="") as file:
    for row in csv.DictReader(file):
      assert float(row["seen"]) == float(row["episode_length"]) and float(row["sum"]) == float(row["episode_return"])


def test_what_an_observer_keeps_is_saved_with_the_run(make_run):
  directory = make_run(observe=("counter",), steps=300)
  killed(directory, 150)
  run(directory)
  with (directory.path / "train.csv").open(newline="") as file:
    rows = list(csv.DictReader(file))
  assert [float(row["seen"]) for row in rows] == [float(row["episode_length"]) for row in rows]
  lengths = [float(row["episode_length"]) for row in rows]
  assert [float(row["seen_in_all"]) for row in rows] == [sum(lengths[: i + 1]) for i in range(len(rows))]


def test_a_run_stops_when_an_evaluation_reaches_a_return(make_run, acme_command, monkeypatch):
  directory = make_run("stops", stop_at=1.0, steps=600)  # CartPole's least.
  with monkeypatch.context() as patch:
    patch.setattr(records.Records, "evaluation", lambda self, row: (_ for _ in ()).throw(Killed()))
    with pytest.raises(Killed):
      run(directory)
  code, text, error = acme_command(f"resume {directory.path}")
  assert code == 0 and "stopped: an evaluation reached 1 (--stop-at)" in text, error
  summary = directory.read_summary()
  assert (summary["steps"], summary["finished"]) == (200, True) and directory.load_checkpoint().step == 200
  code, text, _ = acme_command(f"resume {directory.path}")
  assert code == 0 and "is over" in text and "An evaluation reached 1 (--stop-at)" in text
  never = make_run("goes on", stop_at=1e6, steps=200)
  run(never)
  assert never.read_summary()["steps"] == 200


def test_progress_has_the_best_evaluation_and_the_time_left(make_run, monkeypatch):
  now = [0.0]
  monkeypatch.setattr(time, "monotonic", lambda: now[0])
  lines = []
  display = progress.Plain()
  display.message = lines.append
  display.start(make_run(steps=1000, eval_every=200).read_experiment(), 0)
  for seconds, steps in ((0.0, 0), (20.0, 200)):
    now[0] = seconds
    display.update(steps, 1)
  assert lines[-1].endswith("0:01:20 left")  # 800 steps at 10 a second.
  display.evaluating(0, 4)
  now[0] += 15
  display.evaluating(1, 4)
  assert lines[-1] == "evaluating: 1 of 4 episodes, 0:00:45 left"
  now[0] += 5
  row = {"steps": 200, "eval_return_mean": 7.5, "eval_return_std": 1.0, "eval_episodes": 4}
  display.evaluation(row)
  display.evaluation(row | {"eval_return_mean": 5.0})
  assert lines[-1].endswith("best 7.50")
  now[0] += 20
  display.update(400, 2)
  assert "best evaluation 7.5" in lines[-1] and lines[-1].endswith("0:02:00 left")  # 600 steps and 3 evaluations.


def test_a_signal_and_a_tracker(make_run):
  class StopAt(progress.Progress):
    def update(self, steps, episodes):
      if steps >= 150:
        signal.raise_signal(signal.SIGTERM)

  directory = make_run(log=("fake",), steps=200)
  with pytest.raises(Stopped):
    run(directory, StopAt())
  assert told(directory) and not (directory.path / "final.json").exists()
