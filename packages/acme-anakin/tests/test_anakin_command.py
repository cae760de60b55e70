"""`acme run AGENT jax:NAME`: all seeds on the device, in run directories that resume bit for bit."""

import csv
import json

import numpy as np
import pytest

import acme_experiments
from acme_anakin import loop
from acme_experiments import RunDirectory, UsageError, cli

SMALL = (
  "--steps 240 --eval-every 80 --eval-episodes 2 --checkpoint-every 100 --quiet --config.hidden-sizes 4 "
  "--config.batch-size 4 --config.min-replay-size 20 --config.max-replay-size 64 --config.samples-per-insert 2"
)
RUN = f"run dqn jax:CartPole-v1 --seeds 3,5 --envs 2 {SMALL}"


def call(line, capsys=None):
  code = cli.main(line.split())
  return (code, *capsys.readouterr()) if capsys is not None else code


def rows(path):
  """The rows of a CSV file, but for the columns of time."""
  with path.open(newline="") as file:
    return [{k: v for k, v in row.items() if not k.endswith("seconds")} for row in csv.DictReader(file)]


def facts(path):
  """What must be the same of two runs: files of the seeds, and the leaves of the last checkpoint."""
  directory = RunDirectory(path)
  summary = {k: v for k, v in directory.read_summary().items() if "second" not in k}
  checkpoint = directory.load_checkpoint()
  files = {str(file.relative_to(path)): rows(file) for file in sorted(path.glob("seed-*/*.csv"))}
  return (summary, files, checkpoint.step), checkpoint.state["loop"]["state"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  path = tmp_path_factory.mktemp("runs") / "whole"
  assert call(f"{RUN} --out {path}") == 0
  return path


def test_the_agent_of_a_run_is_loaded(whole):
  agent = acme_experiments.load(whole / "seed-3")
  means = RunDirectory(whole).read_summary()["seeds"]
  assert acme_experiments.load(whole).path.name == f"seed-{max(means, key=means.get)}"
  assert agent.step == RunDirectory(whole).load_checkpoint().step and agent.experiment.seed == 3
  environment, actor = agent.make_environment(), agent.make_evaluator()
  timestep = environment.reset()
  actor.observe_first(timestep)
  assert actor.select_action(timestep.observation) in (0, 1)
  with pytest.raises(UsageError, match="keeps its newest parameters only"):
    acme_experiments.load(whole, which="best")


def test_a_run_has_a_directory_for_each_seed(whole):
  experiment = RunDirectory(whole).read_experiment()
  assert (experiment.loop, experiment.seeds) == ("device", (3, 5))
  for seed in (3, 5):
    directory = RunDirectory(whole / f"seed-{seed}")
    assert directory.read_experiment().seed == seed and directory.read_experiment().seeds is None
    train, evaluations = rows(directory.path / "train.csv"), rows(directory.path / "eval.csv")
    assert [row["steps"] for row in train] == [row["steps"] for row in evaluations] == ["80", "160", "240"]
    assert int(train[-1]["episodes"]) > 0 and float(train[-1]["loss"]) >= 0 and float(train[-1]["episode_return"]) > 0
    assert directory.read_summary()["eval_episodes"] == 20
    assert list((directory.path / "tensorboard").iterdir())
  summary = RunDirectory(whole).read_summary()
  assert list(summary["seeds"]) == ["3", "5"] and summary["eval_episodes"] == 40


def test_the_policy_of_a_seed_is_recorded(whole, tmp_path, capsys):
  from acme_replay import datasets

  code, text, error = call(f"record {whole / 'seed-5'} --episodes 2 --out {tmp_path / 'data'}", capsys)
  assert code == 0 and "2 episodes" in text, error
  (origin,) = datasets.read_index(tmp_path / "data").origin
  assert origin["checkpoint"] >= 240 and datasets.check(tmp_path / "data") == []
  code, _, error = call(f"record {whole} --episodes 2 --out {tmp_path / 'data'}", capsys)
  assert code == 2 and "give the directory of one, such as" in error


@pytest.mark.parametrize("step", [80, 170])  # Just where rows are due, and within what the next ones tell of.
def test_a_run_that_was_stopped_goes_on_bit_for_bit(whole, tmp_path, sigterm_at, capsys, step):
  path = tmp_path / "run"
  with sigterm_at(step):
    code, text, _ = call(f"{RUN} --out {path}", capsys)
  assert code == 143 and "Stopped and saved at step" in text and f"acme resume {path}" in text
  assert step <= RunDirectory(path).load_checkpoint().step < 240
  if step > 80:
    with (path / "seed-3" / "train.csv").open("a") as file:
      file.write("999,9,9,9.0,9.0,9.0,9.0,9.0,9.0\n")  # As if written after the checkpoint.
  assert call(f"resume {path} --quiet") == 0
  (expected, leaves), (found, others) = facts(whole), facts(path)
  assert found == expected
  for i, (one, other) in enumerate(zip(leaves, others, strict=True)):
    np.testing.assert_array_equal(one, other, err_msg=f"leaf {i}")


def test_a_run_and_a_seed_of_it_can_be_evaluated_and_plotted(whole, tmp_path, capsys):
  summaries = [RunDirectory(path).read_summary() for path in (whole, whole / "seed-5")]
  code, text, _ = call(f"evaluate {whole}", capsys)
  assert code == 0 and f"{summaries[0]['eval_return_mean']:,.2f}" in text and "over 40 episodes of 2 seeds" in text
  code, text, _ = call(f"evaluate {whole}/seed-5 --episodes 20", capsys)
  assert code == 0 and "over 20 episodes, with the parameters of step 240" in text
  assert f"return {summaries[1]['eval_return_mean']:,.2f}" in text
  assert call(f"plot {whole} --out {tmp_path}/curves.png") == 0 and (tmp_path / "curves.png").stat().st_size > 1000
  assert f"{whole} is over" in call(f"resume {whole}", capsys)[1]


def test_a_seed_that_diverges_is_named_and_the_others_go_on(tmp_path, monkeypatch, capsys):
  report, path = loop.Loop.report, tmp_path / "run"

  def diverge(self):
    found = report(self)
    return found | {"diverged": np.array([-1, 7 if self.steps >= 160 else -1])}

  monkeypatch.setattr(loop.Loop, "report", diverge)
  code, _, error = call(f"{RUN} --out {path}", capsys)
  assert code == 1
  assert "Seed 5: the loss after SGD step 7 is not finite" in error and "Of 2 seeds 1 diverged: 5." in error
  assert "not finite" in (path / "seed-5" / "error.txt").read_text()
  assert [len(rows(path / name / "train.csv")) for name in ("seed-3", "seed-5")] == [3, 1]
  assert json.loads((path / "summary.json").read_text())["diverged"] == {"5": 7}
  assert call(f"resume {path}", capsys)[0] == 1


@pytest.mark.parametrize(
  ("line", "complaint"),
  [
    ("run dqn gym:CartPole-v1 --loop device", "--loop device: Nothing installed runs gym:CartPole-v1 there"),
    ("run dqn jax:CartPole-v1 --loop device --replay reverb", "--loop device: --replay is for the loop on the host."),
    ("run dqn jax:CartPole-v1 --loop device --dataset d", "--loop device: --dataset is for the loop on the host."),
    ("run dqn jax:CartPole-v1 --loop device --episodes 5", "--loop device: --episodes is for the loop on the host."),
    ("run dqn jax:CartPole-v1 --loop device --backend tf", "This agent is no program in JAX"),
    ("run dqn jax:CartPole-v1 --loop device --env.size 5", "--loop device: --env.NAME is for the loop on the host."),
    ("run dqn jax:CartPole-v1 --env.size 5", "Suite jax has no option 'size'"),
    ("run dqn jax:CartPole-v1 --loop device --wrap flatten", "No wrapper in JAX is called 'flatten'; there are mask"),
    ("run dqn jax:CartPool-v1", "Did you mean"),
    ("run dqn jax:Pendulum-v1", "discrete"),
    ("run dqn jax:CartPole-v1 --seeds 3-1", "such as 0-15 or 0-3,8, got '3-1'"),
    ("resume WHOLE --steps 1000", "cannot be made longer"),
    ("resume WHOLE/seed-3", "is a seed of the run in"),
    ("evaluate WHOLE --which best", "keeps its newest parameters only"),
    ("evaluate WHOLE --video a.mp4", "can be filmed"),
  ],
)
def test_what_cannot_be_is_one_clear_line(whole, tmp_path, monkeypatch, capsys, line, complaint):
  if "--backend tf" in line:
    pytest.importorskip("acme_tf")
    pytest.importorskip("tensorflow")
  monkeypatch.chdir(tmp_path)
  code, _, error = call(line.replace("WHOLE", str(whole)), capsys)
  assert code == 2 and complaint in error
  assert error.count("\n") == 1 and "Traceback" not in error
  assert not list(tmp_path.rglob("config.json"))


def test_the_host_is_still_there(tmp_path):
  line = f"run dqn jax:CartPole-v1 --loop host --out {tmp_path}/run {SMALL}"
  assert call(line) == 0
  assert RunDirectory(tmp_path / "run").read_experiment().loop == "host"
