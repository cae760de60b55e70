"""What a run has is not lost: by a disk that is away, a file that is damaged, or a wish that cannot be met."""

import math
import os

import pytest

import acme_replay
from acme import agents
from acme_experiments import evaluate, run


def rows(directory):
  return {name: (directory.path / f"{name}.csv").read_text() for name in ("train", "eval")}


def dangle(directory):
  directory.checkpoints.rename(directory.path / "away")
  directory.checkpoints.symlink_to(directory.path / "not-mounted")


def unmount(directory):
  directory.checkpoints.rename(directory.path / "away")
  directory.checkpoints.mkdir()


def remove(directory):
  directory.checkpoints.rename(directory.path / "away")


def replace(directory):
  remove(directory)
  directory.checkpoints.write_text("")


@pytest.mark.parametrize("over", [True, False], ids=["over", "killed"])
@pytest.mark.parametrize("hide", [dangle, unmount, remove, replace])
def test_checkpoints_that_cannot_be_seen_are_not_taken_for_none(make_run, acme_command, hide, over):
  directory = make_run(steps=300)
  run(directory)
  if not over:
    directory.summary.unlink()
  before, config = rows(directory), directory.config.read_text()
  hide(directory)
  code, _, error = acme_command(f"resume {directory.path} --steps 500")
  assert code == 1 and error.count("\n") == 1 and str(directory.checkpoints) in error and "disk" in error
  assert rows(directory) == before and directory.config.read_text() == config


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_checkpoints_without_permission_are_not_taken_for_none(make_run, acme_command):
  directory = make_run(steps=300)
  run(directory)
  directory.checkpoints.chmod(0)
  code, _, error = acme_command(f"resume {directory.path} --steps 500")
  directory.checkpoints.chmod(0o755)
  assert code == 1 and "Permission denied" in error


@pytest.mark.parametrize("name", ["train", "eval", "learner"])
@pytest.mark.parametrize("damage", [lambda p: p.unlink(), lambda p: os.truncate(p, p.stat().st_size // 2)])
def test_rows_that_are_missing_are_not_passed_over(make_run, acme_command, name, damage):
  directory = make_run(steps=300)
  run(directory)
  damage(directory.path / f"{name}.csv")
  code, _, error = acme_command(f"resume {directory.path} --steps 500")
  assert code == 2 and error.count("\n") == 1
  assert f"{name}.csv: expected" in error and "Put the file back" in error


def test_rows_that_are_cut_are_kept_beside(make_run):
  directory = make_run(steps=600, checkpoint_every=500)
  run(directory)
  for path in (directory.checkpoints / "step-000000000600" / "manifest.json", directory.summary):
    path.unlink()
  before = rows(directory)
  with pytest.warns(UserWarning, match="Passing over"):
    run(directory)
  cut = (directory.path / "eval.csv.cut").read_text()
  assert cut.splitlines() == [before["eval"].splitlines()[i] for i in (0, -1)]


@pytest.mark.parametrize(
  ("goal", "done"), [("--steps 299", "300 steps"), ("--steps 1", "300 steps"), ("--episodes 2", "episodes")]
)
@pytest.mark.parametrize("over", [True, False], ids=["over", "killed"])
def test_a_run_is_not_made_shorter_than_it_is(make_run, acme_command, goal, done, over):
  directory = make_run(steps=300)
  run(directory)
  if not over:
    directory.summary.unlink()
  before = directory.config.read_bytes()
  code, text, error = acme_command(f"resume {directory.path} {goal}")
  assert code == 2 and done in error and "Nothing was changed" in error and text == ""
  assert directory.config.read_bytes() == before


def test_a_run_that_is_over_says_what_it_did(make_run, acme_command):
  directory = make_run(steps=300)
  run(directory)
  before = directory.config.read_bytes()
  code, text, _ = acme_command(f"resume {directory.path} --steps 300")
  assert code == 0 and "is over: it has trained for 300 steps" in text
  assert directory.config.read_bytes() == before


# TensorBoard.


def tensorboard_steps(directory):
  """The steps of the evaluations as TensorBoard itself reads them."""
  reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
  events = reader.EventAccumulator(str(directory.path / "tensorboard"), size_guidance={"scalars": 0}).Reload()
  return [(event.step, pytest.approx(event.value)) for event in events.Scalars("eval/eval_return_mean")]


def evaluations(directory):
  import run_facts  # In fake_agents/, which a fixture puts on the path.

  rows = run_facts.rows(directory.path / "eval.csv")
  return [(int(row["steps"]), float(row["eval_return_mean"])) for row in rows]


def test_tensorboard_has_every_evaluation_however_often_a_run_is_made_longer(make_run, acme_command):
  directory = make_run(steps=200)
  run(directory)
  for steps in (400, 500, 800):
    assert acme_command(f"resume {directory.path} --steps {steps}")[0] == 0
  assert [step for step, _ in evaluations(directory)] == [200, 400, 600, 800]
  assert tensorboard_steps(directory) == evaluations(directory)


def test_tensorboard_forgets_what_a_checkpoint_does_not_count(make_run):
  directory = make_run(steps=600, checkpoint_every=300)
  run(directory)
  for path in (directory.checkpoints / "step-000000000600" / "manifest.json", directory.summary):
    path.unlink()
  with pytest.warns(UserWarning, match="Passing over"):
    run(directory)
  assert tensorboard_steps(directory) == evaluations(directory)


# The best parameters.


def test_the_best_parameters_are_kept(make_run, acme_command):
  directory, whole = (
    make_run(steps=250, eval_every=50, eval_episodes=4),
    make_run("whole", eval_every=50, eval_episodes=4),
  )
  run(directory)
  assert acme_command(f"resume {directory.path} --steps 600")[0] == 0
  run(whole)
  best, _ = max(evaluations(directory), key=lambda evaluation: evaluation[1])  # The first of equal ones.
  assert evaluations(whole) == evaluations(directory) and 0 < best < 600
  for it in (directory, whole):
    assert [path.name for path in it.best.iterdir()] == [f"step-{best:012d}"]
  assert evaluate(directory, 3, which="best")["steps"] == best
  code, text, _ = acme_command(f"evaluate {directory.path} --which best")
  assert code == 0 and f"with the parameters of step {best}" in text
  code, text, _ = acme_command(f"evaluate {directory.path}")
  assert code == 0 and "with the parameters of step 600" in text


def test_without_evaluations_there_is_no_best(make_run, acme_command):
  directory = make_run(steps=50, eval_every=0)
  run(directory)
  code, _, error = acme_command(f"evaluate {directory.path} --which best")
  assert code == 1 and "No whole checkpoint" in error and error.count("\n") == 1


# The cost of evaluations.


@pytest.mark.parametrize(("share", "most"), [(0.5, 0.5), (2.0, 2.0), (0, math.inf)])
def test_evaluations_take_no_more_than_their_share(make_run, share, most):
  directory = make_run(steps=600, eval_every=10, eval_episodes=10, eval_share=share)
  run(directory)
  tally = directory.load_checkpoint().state["evaluations"]
  episodes = [(row["steps"], int(row["eval_episodes"])) for row in facts_rows(directory)]
  assert tally["done"] == 60 and tally["steps"] <= most * 600 + 500
  assert (len(episodes) == 60 and {n for _, n in episodes} == {10}) is (share == 0)
  assert len(episodes) > 1


def test_the_share_of_evaluations_is_the_same_after_a_stop(make_run, acme_command):
  settings = {"eval_every": 20, "eval_episodes": 5, "eval_share": 0.5}
  directory, whole = make_run(steps=130, **settings), make_run("whole", steps=600, **settings)
  run(directory)
  assert acme_command(f"resume {directory.path} --steps 600")[0] == 0
  run(whole)
  assert facts_rows(directory) == facts_rows(whole)


def facts_rows(directory):
  import run_facts

  return run_facts.rows(directory.path / "eval.csv")


# What is said where a run fails or stops.


@pytest.mark.parametrize(
  ("raised", "cured"),
  [
    (OSError(28, "No space left on device"), True),
    (MemoryError(), True),
    (ValueError("bad"), False),
    (KeyError("x"), False),
  ],
)
def test_resuming_is_advised_where_it_can_help(make_run, acme_command, monkeypatch, raised, cured):
  def update(self, wait=False):
    raise raised

  monkeypatch.setattr(agents.Agent, "update", update)
  code, _, error = acme_command(f"resume {make_run().path}")
  assert code == 1 and error.count("\n") == 1
  assert ("Go on with: acme resume" in error) is cured and ("fails again" in error) is not cured


# Memory.


@pytest.mark.parametrize(("available", "steps", "fits"), [(2.1, 10**6, True), (1.9, 10**6, False), (0.3, 200, True)])
def test_the_memory_that_saving_takes_is_checked_at_the_start(
  make_run, acme_command, monkeypatch, available, steps, fits
):
  from acme_experiments import runner, saving

  monkeypatch.setattr(acme_replay.EmbeddedReplay, "nbytes", 2**30)
  monkeypatch.setattr(acme_replay.EmbeddedReplay, "max_steps", 2_000)
  monkeypatch.setattr(saving, "available_memory", lambda: available * 2**30)
  monkeypatch.setattr(
    runner._Run, "run", lambda self: {"eval_return_mean": 0, "eval_return_std": 0, "eval_episodes": 1}
  )
  code, _, error = acme_command(f"resume {make_run(steps=steps).path}")
  assert code == (0 if fits else 2)
  assert fits or "takes 1.00 GiB in this run, and as much again while it is saved" in error
