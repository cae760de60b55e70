import csv

import numpy as np
import pytest

from acme_experiments import Experiment, RunDirectory, UsageError, plotting


@pytest.fixture
def make_curve(tmp_path):
  def make(name, returns, steps=(10, 20, 30), agent="dqn", environment="gym:CartPole-v1", **config):
    experiment = Experiment(agent=agent, environment=environment, config=config, steps=30)
    directory = RunDirectory.create(tmp_path / name, experiment)
    with (directory.path / "eval.csv").open("w", newline="") as file:
      writer = csv.writer(file)
      writer.writerow(["steps", "eval_return_mean"])
      writer.writerows(zip(steps, returns, strict=False))
      file.write("40,9")  # What a run that is going on has written by halves.
    return directory

  return make


def test_quartiles(make_curve):
  curves = [plotting.read_curves(make_curve(str(i), [i, 10 * i, 100 * i]))[0] for i in range(5)]
  steps, band = plotting.quartiles(curves)
  assert steps.tolist() == [10, 20, 30]
  assert band.tolist() == [[1, 10, 100], [2, 20, 200], [3, 30, 300]]


def test_runs_evaluated_at_different_steps_are_interpolated_where_all_have_values(make_curve):
  a = plotting.read_curves(make_curve("a", [0, 20], steps=(10, 30)))[0]
  b = plotting.read_curves(make_curve("b", [0, 20, 40], steps=(20, 30, 40)))[0]
  steps, band = plotting.quartiles([a, b])
  assert steps.tolist() == [20, 30]
  assert band[1].tolist() == [5, 20]


def test_labels_name_what_differs(make_curve):
  curves = [
    plotting.read_curves(make_curve("a", [1], agent="dqn", rate=1, size=3))[0],
    plotting.read_curves(make_curve("b", [1], agent="dqn", rate=2, size=3))[0],
    plotting.read_curves(make_curve("c", [1], agent="d4pg", rate=7))[0],
  ]
  assert plotting.labels(curves) == ["dqn rate=1", "dqn rate=2", "d4pg"]


@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_picture(make_curve, tmp_path, ending):
  rng = np.random.default_rng(0)
  directories = [
    make_curve(f"{environment[:3]}{rate}{seed}", rng.normal(size=3), environment=environment, rate=rate)
    for environment in ("gym:CartPole-v1", "bsuite:catch/0")
    for rate in (1, 2)
    for seed in range(3)
  ]
  path = tmp_path / "pictures" / f"curves.{ending}"
  plotting.plot(directories, path)
  assert path.stat().st_size > 5_000


def test_what_cannot_be_drawn(make_curve, tmp_path):
  with pytest.warns(UserWarning, match="no evaluations yet"), pytest.raises(UsageError, match="nothing to draw"):
    plotting.plot([make_curve("empty", [])], tmp_path / "a.png")
  with pytest.raises(UsageError, match="expected a name that ends in"):
    plotting.plot([make_curve("good", [1])], tmp_path / "a.xyz")
  with pytest.raises(UsageError, match="one run directory or more"):
    plotting.plot([], tmp_path / "a.png")


def test_a_run_that_cannot_be_drawn_is_named_and_the_others_are_drawn(make_curve, acme_command, tmp_path):
  make_curve("good", [1, 2])
  make_curve("empty", [])
  (make_curve("gone", []).path / "eval.csv").unlink()
  (make_curve("torn", [1]).path / "eval.csv").write_text("steps,eval_return_mean\n10,much\n")
  (make_curve("short", [1]).path / "eval.csv").write_text("steps,eval_return_mean\n10\n")
  (make_curve("bytes", [1]).path / "eval.csv").write_bytes(b"steps,eval_return_mean\n\xff,1\n")
  (tmp_path / "nothing").mkdir()
  code, text, error = acme_command("plot good empty gone torn short bytes nothing --out a.png")
  assert code == 0 and text == "wrote a.png\n" and (tmp_path / "a.png").exists()
  assert error.count("Left out") == error.count("\n") == 6
  assert acme_command("plot good ./good --out a.png")[::2] == (
    0,
    "acme: Left out: 1 of the runs, which are given twice.\n",
  )
  code, _, error = acme_command("plot good --columns nope --out a.png")
  assert code == 2 and "eval.csv has no column 'nope', but steps, " in error


def test_a_picture_that_cannot_be_written_whole_leaves_the_old_one(make_curve, tmp_path, monkeypatch):
  out, figure = tmp_path / "curves.png", pytest.importorskip("matplotlib.figure").Figure
  out.write_text("the old one")

  def full(self, path, **options):
    path.write_text("half of ")
    raise OSError("No space left on device")

  with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
    patch.setattr(figure, "savefig", full)
    plotting.plot([make_curve("run", [1, 2, 3])], out)
  assert out.read_text() == "the old one" and {path.name for path in tmp_path.iterdir()} == {"curves.png", "run"}
  plotting.plot([make_curve("other", [1, 2, 3])], out)
  assert out.read_bytes().startswith(b"\x89PNG")
