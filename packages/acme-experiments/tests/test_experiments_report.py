"""`acme report`: statistics as rliable has them, tables, and a page of plots."""

import json
import pathlib

import numpy as np
import pytest

from acme_experiments import Experiment, RunDirectory, UsageError, report, rundir, statistics

GOLDEN = json.loads((pathlib.Path(__file__).parent / "golden" / "rliable.json").read_text())


@pytest.mark.parametrize("case", GOLDEN["cases"])
def test_statistics_are_those_of_rliable(case):
  golden, thresholds = GOLDEN["cases"][case], np.array(GOLDEN["thresholds"])
  scores = list(np.array(golden["scores"]).T)  # Of each task.
  for name, expected in golden["points"].items():
    assert getattr(statistics, name)(scores) == pytest.approx(expected, abs=1e-12)
  assert statistics.profile(scores, thresholds) == pytest.approx(np.array(golden["profile"]), abs=1e-12)


@pytest.mark.parametrize("case", GOLDEN["cases"])
def test_intervals_are_those_of_rliable_but_for_the_draws(case):
  golden, thresholds = GOLDEN["cases"][case], np.array(GOLDEN["thresholds"])
  scores = list(np.array(golden["scores"]).T)
  for name, (low, high) in golden["intervals"].items():
    mine = statistics.bootstrap(scores, getattr(statistics, name), repetitions=20_000)
    assert mine == pytest.approx((low, high), abs=0.03 * (high - low))
  bands = statistics.bootstrap(scores, lambda drawn: statistics.profile(drawn, thresholds), repetitions=5_000)
  np.testing.assert_allclose(bands, golden["bands"], atol=1 / min(len(task) for task in scores) / len(scores) + 1e-9)


def test_tasks_may_have_different_numbers_of_runs():
  scores = [np.array([0.0, 1.0]), np.array([2.0, 3.0, 4.0, 5.0, 6.0, 7.0])]
  assert statistics.iqm(scores) == np.mean([2, 3, 4, 5])
  assert statistics.mean(scores) == 2.5 and statistics.median(scores) == 2.5
  low, high = statistics.bootstrap(scores, statistics.iqm)
  assert low < statistics.iqm(scores) < high
  assert statistics.interval(np.full(5, 3.0)) == (3.0, 3.0, 3.0)


@pytest.fixture
def make_seed(tmp_path):
  """Makes directories of runs that are over; `final` None for one that is not."""

  def make(name, final, agent="dqn", environment="gym:CartPole-v1", curve=(10, 20, 30)):
    directory = RunDirectory.create(tmp_path / name, Experiment(agent=agent, environment=environment, steps=30))
    if curve:
      rows = [f"{10 * (i + 1)},{value}\n" for i, value in enumerate(curve)]
      (directory.path / "eval.csv").write_text("".join(["steps,eval_return_mean\n", *rows]))
    if final is not None:
      rundir.write_json(
        directory.summary,
        {"steps": 30, "episodes": 3, "eval_return_mean": final, "eval_return_std": 1.0, "eval_episodes": 20},
      )
    return directory

  return make


def test_a_report_has_tables_and_a_page(make_seed, acme_command, tmp_path):
  for seed, final in enumerate((0, 100, 200, 300)):
    make_seed(f"dqn-{seed}", final)
    make_seed(f"r2d2-{seed}", 300 - final / 2, agent="r2d2")
    make_seed(f"catch-{seed}", final / 100 - 1, environment="bsuite:catch/0", curve=())
  make_seed("going", None)
  (tmp_path / "nothing").mkdir()
  (tmp_path / "ranges.toml").write_text('"gym:CartPole-v1" = [0, 500]\n')
  names = [path.name for path in sorted(tmp_path.iterdir()) if path.is_dir()]
  code, text, error = acme_command(f"report {' '.join(names)} --ranges ranges.toml --out here")
  assert (code, text) == (0, "wrote here/report.md\n") and "Left out: nothing holds no run" in error
  assert "No range is given for bsuite:catch/0: " in error
  lines = (tmp_path / "here" / "report.md").read_text().splitlines()
  (row,) = [line for line in lines if line.startswith("| gym:CartPole-v1 | dqn ")]
  assert [cell.strip() for cell in row.split("|")[3:]] == [
    "4", "150.00", "0.00 to 300.00", "150.00", "0.00", "300.00", "1", "",
  ]  # fmt: skip
  (row,) = [line for line in lines if line.startswith("| dqn ")]
  assert row.startswith("| dqn | 2 of 2 | 8 | ") and "0.400 | 0.400" in row  # 0.3 of CartPole and 0.5 of catch.
  assert any("bsuite:catch/0 -1 to 2, gym:CartPole-v1 0 to 500." in line for line in lines)
  assert all((tmp_path / "here" / f"report.{kind}").stat().st_size > 5_000 for kind in ("png", "pdf"))
  code, _, error = acme_command("report dqn-0 --out here")
  assert code == 2 and "here exists" in error and error.count("\n") == 1


def test_what_cannot_be_reported_is_one_line(make_seed, tmp_path, acme_command):
  make_seed("going", None)
  code, _, error = acme_command("report going --out here")
  assert code == 2 and "none of the runs is over" in error
  (tmp_path / "ranges.toml").write_text('"gym:CartPole-v1" = [5, 5]\n')
  code, _, error = acme_command("report going --ranges ranges.toml --out here")
  assert code == 2 and "[LOW, HIGH], LOW below HIGH, got [5, 5]" in error
  for ends in ("[0, inf]", "[-inf, 0]", "[nan, 1]", f"[0, {10**400}]"):
    (tmp_path / "ranges.toml").write_text(f'"gym:CartPole-v1" = {ends}\n')
    code, _, error = acme_command("report going --ranges ranges.toml --out here")
    assert code == 2 and "[LOW, HIGH], LOW below HIGH" in error and error.count("\n") == 1
  assert not (tmp_path / "here").exists()
  with pytest.raises(UsageError, match="nothing to report"):
    report.read([])
