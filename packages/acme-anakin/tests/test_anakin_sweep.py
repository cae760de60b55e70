"""`acme sweep` on the device: trials that differ in numbers are one program, each as if it were alone."""

import copy
import csv
import dataclasses
import functools
import json
import shutil

import jax
import numpy as np
import pytest

import acme_dqn
import acme_dqn.jax
import acme_experiments
from acme_anakin import environments, loop, runner
from acme_experiments import RunDirectory, cli, commands, saving, sweep, together
from acme_experiments.experiment import Experiment

SMALL = {"hidden_sizes": (4,), "batch_size": 4, "min_replay_size": 20, "max_replay_size": 64, "samples_per_insert": 2.0}
SWEEP = """
agent = "dqn"
env = "jax:CartPole-v1"
seeds = "3,5"
steps = 240
eval-every = 80
eval-episodes = 2
checkpoint-every = 80
[config]
hidden_sizes = [4]
batch_size = 4
min_replay_size = 20
max_replay_size = 64
samples_per_insert = 2.0
[sweep]
"""
make_builder = functools.partial(acme_dqn.AGENT.builder, backend="jax")


@pytest.fixture(scope="module")
def cartpole():
  return environments.make("CartPole-v1")


@pytest.fixture(scope="module")
def configs():
  base = acme_dqn.DQNConfig(**SMALL, epsilon_decay_steps=20)
  changes = ({"learning_rate": 1e-2}, {"epsilon": 0.5}, {"huber_delta": 0.1}, {"importance_sampling_exponent": 1.0})
  return [base, *(dataclasses.replace(base, **change) for change in changes)]


@pytest.fixture(scope="module")
def lanes(configs, cartpole):
  """The configs, two seeds each, in one program."""
  fields = ("learning_rate", "epsilon", "huber_delta", "importance_sampling_exponent")
  values = {name: [getattr(config, name) for config in configs for _ in "35"] for name in fields}
  made = loop.Loop(
    make_builder(configs[0]), cartpole, steps=400, num_envs=2, seeds=(3, 5) * len(configs),
    variants=loop.Variants(values, make_builder),
  )  # fmt: skip
  return made, made.run(60)


@pytest.mark.parametrize("number", [1, 2, *(pytest.param(i, marks=pytest.mark.slow) for i in (0, 3, 4))])
def test_each_config_is_what_it_would_be_alone(lanes, configs, cartpole, number):
  made, report = lanes
  alone = loop.Loop(make_builder(configs[number]), cartpole, steps=400, num_envs=2, seeds=(3, 5))
  expected, rows = alone.run(60), slice(2 * number, 2 * number + 2)
  assert expected["learner_steps"].min() > 10 and expected.keys() == report.keys()
  for name, value in expected.items():
    np.testing.assert_allclose(report[name][rows], value, rtol=1e-3, err_msg=name)
  saved = [leaf[rows] for leaf in made.save()["state"]]
  own = alone.save()["state"]
  for i, (one, other) in enumerate(zip(saved, own, strict=True)):
    np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5, err_msg=f"leaf {i}")
  if number:  # What is its own has had an effect.
    assert any((one != leaf[:2]).any() for one, leaf in zip(own, made.save()["state"], strict=True))
  alone.restore({"seeds": [3, 5], "state": saved})
  np.testing.assert_array_equal(alone.evaluate(3), made.evaluate(3)[rows])
  np.testing.assert_array_equal(
    jax.tree.leaves(alone.get_variables(["params"]))[0], jax.tree.leaves(made.get_variables(["params"]))[0][rows]
  )


@pytest.mark.parametrize(
  ("field", "others"),
  [
    ("discount", {}),  # Items have it.
    ("samples_per_insert", {}),
    ("priority_exponent", {"prioritized": True}),
    ("vmax", {"categorical": True}),  # NumPy makes atoms of it.
  ],
)
def test_a_field_that_cannot_be_traced_is_found(cartpole, field, others):
  config = acme_dqn.DQNConfig(**SMALL | others)
  assert runner.room(make_builder, config, "CartPole-v1", [field], steps=400, num_envs=2) == 0
  assert runner.room(make_builder, config, "CartPole-v1", ["learning_rate"], steps=400, num_envs=2) > 0
  variants = loop.Variants({field: [getattr(config, field)] * 2}, make_builder)
  with pytest.raises((TypeError, ValueError)):
    loop.Loop(make_builder(config), cartpole, steps=400, seeds=(0, 1), variants=variants)


def test_what_is_learned_from_may_not_depend_on_a_traced_field(cartpole):
  """Of an agent that takes it without a word: nothing of a field is left out in silence."""

  def make(config):
    builder = make_builder(dataclasses.replace(config, learning_rate=1e-3))
    clips = 1.0 if type(config.learning_rate) is float else 2.0
    describe = builder._describe
    builder._describe = lambda spec: dataclasses.replace(describe(spec), max_abs_reward=clips)
    return builder

  config = acme_dqn.DQNConfig(**SMALL)
  variants = loop.Variants({"learning_rate": [1e-3, 1e-2]}, make)
  with pytest.raises((TypeError, ValueError)):
    loop.Loop(make(config), cartpole, steps=400, seeds=(0, 1), variants=variants)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Derived(acme_dqn.DQNConfig):
  """With a number that follows from others, once it was asked for."""

  @functools.cached_property
  def rate(self):
    return 2 * self.learning_rate


def _with_rate(config):
  """A builder whose optimizer has that rate."""
  builder = make_builder(config)
  rated = copy.copy(config)
  object.__setattr__(rated, "learning_rate", config.rate)
  builder._make_program = functools.partial(acme_dqn.jax.make_program, config=rated, network=None)
  return builder


def test_what_a_config_has_computed_once_is_computed_for_each(cartpole):
  config = Derived(**SMALL)
  assert config.rate == 2e-3  # The first one's, now in its __dict__.
  variants = loop.Variants({"learning_rate": [1e-3, 1e-2]}, _with_rate)
  made = loop.Loop(_with_rate(config), cartpole, steps=400, seeds=(3, 3), variants=variants)
  made.run(60)
  (params,) = made.get_variables(["params"])
  assert all((leaf[0] != leaf[1]).any() for leaf in jax.tree.leaves(params) if leaf.any())


def experiments(*changes, **others):
  given = {"agent": "dqn", "environment": "jax:CartPole-v1", "steps": 400, "loop": "device", "seeds": (0, 1)} | others
  base = acme_experiments.components.to_json(acme_dqn.DQNConfig(**SMALL)) | {"hidden_sizes": [4]}
  return [Experiment(**given, config=base | change) for change in changes]


def test_trials_are_together_where_their_numbers_may_be_traced(monkeypatch):
  grid = [{"learning_rate": rate, "discount": x} for x in (0.9, 0.99) for rate in (1e-3, 1e-2)]
  assert together.programs(experiments(*grid), jobs=1) == [[0, 1], [2, 3]]
  three = [{"learning_rate": rate} for rate in (1e-3, 1e-2, 1e-1)]
  assert together.programs(experiments(*three), jobs=1) == [[0, 1, 2]]
  assert together.programs(experiments(*three), jobs=2) == [[0], [1, 2]]  # So that both have work.
  sizes = [{"hidden_sizes": [4]}, {"hidden_sizes": [8]}, {"hidden_sizes": [4], "learning_rate": 0.1}]
  assert together.programs(experiments(*sizes), jobs=1) == [[0, 2], [1]]
  nones = [{"max_gradient_norm": norm} for norm in (None, 1.0, 2.0)]
  assert together.programs(experiments(*nones), jobs=1) == [[0], [1, 2]]
  assert together.programs(experiments(*three, loop="host", seeds=None), jobs=1) == [[0], [1], [2]]
  assert together.programs(experiments(*three, stop_at=5.0, eval_every=10), jobs=1) == [[0], [1], [2]]
  twins = [{}, {}]
  assert together.programs(experiments(*twins), jobs=1) == [[0, 1]]
  monkeypatch.setattr(runner, "device_memory", lambda: 3 * 40_000)  # For four seeds or so.
  assert max(map(len, together.programs(experiments(*({"learning_rate": 0.1 * i} for i in range(1, 9))), jobs=1))) < 8
  monkeypatch.setattr(runner, "device_memory", lambda: 0)
  assert together.programs(experiments(*three, *three), jobs=1) == [[i] for i in range(6)]


def call(line, capsys=None):
  code = cli.main(line.split())
  return (code, *capsys.readouterr()) if capsys is not None else code


@pytest.fixture
def here(tmp_path, monkeypatch):
  """Where sweeps are made whose programs run in this process."""
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(sweep.processes, "Pool", _Here)
  return tmp_path


class _Here:
  """In place of a pool of processes."""

  def __init__(self, runs, jobs, say):
    self._runs, self.failed = runs, {}

  def run(self, stop, look):
    for directory in self._runs.values():
      if directory.read_summary() is None:
        call(f"resume {directory.path} --quiet")


def facts(path):
  """What must be the same of two sweeps: files of the seeds, summaries, and the leaves of the last checkpoints."""
  trials, leaves = {}, []
  for trial in sorted(path.glob("trial-*")):
    directory = RunDirectory(trial)
    checkpoint = directory.load_checkpoint()
    summary = {k: v for k, v in (directory.read_summary() or {}).items() if "second" not in k}
    trials[trial.name] = summary, checkpoint.step
    leaves += checkpoint.state["loop"]["state"]
    for file in sorted(trial.glob("seed-*/*.csv")):
      with file.open(newline="") as rows:
        rows = [{k: v for k, v in row.items() if not k.endswith("seconds")} for row in csv.DictReader(rows)]
      trials[str(file.relative_to(path))] = rows
  return trials, leaves


RATES = SWEEP + "learning_rate = [1e-3, 1e-2, 3e-2]\n"


def test_trials_are_looked_at_on_the_cpu(here, monkeypatch):
  """Or the sweep would keep most of a GPU's memory from them, as long as they run."""
  where = []
  for name, answer in (("fits", None), ("room", 8)):
    monkeypatch.setattr(
      runner, name, lambda *given, answer=answer, **others: where.append(jax.config.jax_default_device) or answer
    )
  monkeypatch.setattr(commands, "_try_all", lambda *given: None)
  (here / "try.toml").write_text(RATES)
  assert call("sweep try.toml --out tried") == 0
  assert where == [jax.local_devices(backend="cpu")[0]] * 4 and jax.config.jax_default_device is None


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  path = tmp_path_factory.mktemp("sweeps")
  (path / "try.toml").write_text(RATES)
  assert call(f"sweep {path}/try.toml --out {path}/tried --quiet") == 0
  return path / "tried"


def test_trials_of_one_program_are_runs_like_others(whole, capsys, tmp_path):
  with (whole / "results.csv").open(newline="") as file:
    assert {row["trial"] for row in csv.DictReader(file)} == {"trial-000", "trial-001", "trial-002"}
  assert [each.path.name for each in RunDirectory(whole / "trial-001").together()] == [f"trial-00{i}" for i in range(3)]
  directory = RunDirectory(whole / "trial-001")
  assert directory.read_experiment().config["learning_rate"] == 1e-2
  assert len(directory.read_summary()["seeds"]) == 2 and "together" not in directory.seed(3).read_config()
  mean = directory.read_summary()["eval_return_mean"]
  code, text, _ = call(f"evaluate {whole}/trial-001", capsys)
  assert code == 0 and f"return {mean:,.2f}" in text and "over 40 episodes of 2 seeds" in text
  code, text, _ = call(f"evaluate {whole}/trial-001/seed-5 --episodes 20", capsys)
  assert code == 0 and f"{directory.read_summary()['seeds']['5']:,.2f}" in text
  assert call(f"plot {whole}/trial-000 {whole}/trial-001 --out {tmp_path}/curves.png") == 0
  assert "trial-001 is over" in call(f"resume {whole}/trial-001", capsys)[1]
  before = (whole / "results.csv").read_bytes()
  assert call(f"resume {whole} --quiet") == 0 and (whole / "results.csv").read_bytes() == before


def test_the_sweep_says_how_many_programs_there_are(here, capsys):
  (here / "try.toml").write_text(SWEEP + "learning_rate = [1e-3, 1e-2]\ndiscount = [0.9, 0.99]\n")
  code, text, error = call("sweep try.toml --out tried", capsys)
  assert code == 0, error
  assert "4 trials in 2 programs on the device, of 2 trials at most" in text and "all 4 trials" in text
  for trial in ("trial-000", "trial-001"):
    assert len(RunDirectory(here / "tried" / trial).together()) == 2


# Killed before or while the first, the second, or the last checkpoints are written; each case compiles two programs.
@pytest.mark.parametrize("saves", [4, *(pytest.param(i, marks=pytest.mark.slow) for i in (0, 1, 5, 8))])
def test_a_program_that_was_killed_while_it_saved_goes_on_bit_for_bit(whole, here, monkeypatch, saves):
  (here / "try.toml").write_text(RATES)
  save, left = saving.Saver.save, [saves]

  def killed(self, *args):
    if not left[0]:
      raise KeyboardInterrupt
    left[0] -= 1
    save(self, *args)

  with monkeypatch.context() as patch:
    patch.setattr(saving.Saver, "save", killed)
    call("sweep try.toml --out tried --quiet")
  steps = [RunDirectory(here / "tried" / f"trial-00{i}").read_progress()[0] for i in range(3)]
  assert steps == [80 * ((saves + 2 - i) // 3) for i in range(3)]
  assert call("resume tried --quiet") == 0
  compare(whole, here / "tried")


@pytest.mark.parametrize("step", [30, pytest.param(80, marks=pytest.mark.slow)])
def test_a_program_that_was_stopped_goes_on_bit_for_bit(whole, here, sigterm_at, step):
  (here / "try.toml").write_text(RATES)
  with sigterm_at(step):
    call("sweep try.toml --out tried --quiet")
  newest = {RunDirectory(here / "tried" / f"trial-00{i}").read_progress()[0] for i in range(3)}
  assert len(newest) == 1 and step <= newest.pop() < 240
  assert call("resume tried/trial-002 --quiet") == 0  # With all of its program.
  assert call("resume tried --quiet") == 0
  compare(whole, here / "tried")


def compare(one, other):
  (expected, leaves), (found, others) = facts(one), facts(other)
  assert found == expected
  for i, (mine, its) in enumerate(zip(leaves, others, strict=True)):
    np.testing.assert_array_equal(mine, its, err_msg=f"leaf {i}")


def test_a_trial_that_diverges_fails_alone(whole, here, monkeypatch, capsys):
  (here / "try.toml").write_text(RATES)
  report = loop.Loop.report

  def diverge(self):
    found = report(self)
    return found | {"diverged": np.array([-1, -1, 7, 7, -1, 8]) if self.steps >= 160 else np.full(6, -1)}

  monkeypatch.setattr(loop.Loop, "report", diverge)
  code, text, error = call("sweep try.toml --out tried", capsys)
  assert code == 1 and "Of 3 trials 2 failed: " in error
  assert "trial-001: seed 3: the loss after SGD step 7 is not finite" in error
  assert "trial-001: no result FAILED" in text
  assert "not finite" in (here / "tried" / "trial-001" / "error.txt").read_text()
  assert "step 8" in (here / "tried" / "trial-002" / "seed-5" / "error.txt").read_text()
  assert not (here / "tried" / "trial-000" / "error.txt").exists()
  with (here / "tried" / "results.csv").open(newline="") as file:
    rows = {row["trial"]: row for row in csv.DictReader(file)}
  assert [rows[f"trial-00{i}"]["failed"] for i in range(3)] == ["False", "True", "True"]
  with (whole / "results.csv").open(newline="") as file:
    sound = {row["trial"]: row for row in csv.DictReader(file)}["trial-000"]
  assert rows["trial-000"] == sound  # The others are what they would be.
  code, text, error = call("resume tried/trial-001", capsys)
  assert code == 1 and "Of 3 runs 2 diverged, or a seed of theirs: trial-001, trial-002." in error
  assert "trial-001: no result" in text and "trial-000: evaluation return" in text


def test_a_program_that_fails_says_so_in_each_trial(here, monkeypatch, capsys):
  (here / "try.toml").write_text(RATES)
  monkeypatch.setattr(loop.Loop, "advance", lambda self, steps: 1 / 0)
  assert call("sweep try.toml --out tried", capsys)[0] == 1
  assert all("ZeroDivisionError" in (here / "tried" / f"trial-00{i}" / "error.txt").read_text() for i in range(3))


def test_no_checkpoint_goes_where_those_of_one_trial_are_lost(whole, here, capsys):
  tried = shutil.copytree(whole, here / "tried")
  for i in range(3):
    (tried / f"trial-00{i}" / "summary.json").unlink()
  shutil.rmtree(tried / "trial-001" / "checkpoints")
  (tried / "trial-001" / "saved.json").unlink()
  code, _, error = call("resume tried/trial-000", capsys)
  assert code == 1 and "no whole checkpoints of one step" in error
  assert len(list(tried.glob("trial-00[02]/checkpoints/step-*"))) == 4


def test_damage_is_a_clear_line(here, capsys):
  (here / "try.toml").write_text(RATES)
  plan = sweep.read_plan("try.toml")
  made = sweep.create("tried", plan, experiments(*plan.trials), [[0, 1, 2]])
  config = made / "trial-000" / "config.json"
  content = json.loads(config.read_text())
  for wrong in (3, [], ["trial-001"], ["trial-000", "../trial-001"], ["trial-000", 3], ["trial-000", "trial-000"]):
    config.write_text(json.dumps(content | {"together": wrong}))
    code, _, error = call("resume tried", capsys)
    assert code == 2 and error.count("\n") == 1 and "expected names of runs at 'together'" in error
  config.write_text(json.dumps(content))
  other = made / "trial-001" / "config.json"
  whole = other.read_text()
  other.write_text(whole.replace('"discount": 0.99', '"discount": 0.5'))  # Which is no number that may be traced.
  code, _, error = call("resume tried/trial-001", capsys)
  assert code == 2 and error.count("\n") == 1 and "of one program differ in " in error and "discount" in error
  other.write_text(whole.replace('"seeds": [', '"seeds": [\n   7,'))  # Or rows of one would be another's.
  code, _, error = call("resume tried/trial-001", capsys)
  assert code == 2 and error.count("\n") == 1 and "trial-001/config.json" in error and "one program" in error
  (made / "trial-002" / "config.json").unlink()
  code, _, error = call("resume tried", capsys)
  assert code == 2 and "trial-002 holds no run" in error
