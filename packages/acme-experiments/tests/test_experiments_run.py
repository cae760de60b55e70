import copy
import csv
import dataclasses
import errno
import json
import math
import os
import resource
import shutil
import signal
import sys
import warnings

import dm_env
import numpy as np
import pytest

import acme_envs
from acme import checkpointing, plugins, specs, wrappers
from acme_experiments import (
  Experiment,
  RunDirectory,
  Stopped,
  UsageError,
  components,
  evaluate,
  evaluation,
  progress,
  run,
  stores,
)  # fmt: skip
from acme_replay import datasets


def facts(path):
  import run_facts  # In fake_agents/, which a fixture puts on the path.

  return run_facts.facts(path)


class Spy(progress.Progress):
  """Calls a function when training reaches a step."""

  def __init__(self, step, function):
    self.step, self.function = step, function

  def update(self, steps, episodes):
    if steps >= self.step:
      self.step = math.inf
      self.function()


class Broken(wrappers.EnvironmentWrapper):
  """Gives a NaN after so many steps, and counts how often it is closed."""

  closed = 0

  def __init__(self, environment, good_steps):
    super().__init__(environment)
    self.left = good_steps

  def step(self, action):
    self.left -= 1
    timestep = super().step(action)
    return timestep if self.left else timestep._replace(observation=np.full_like(timestep.observation, np.nan))

  def close(self):
    Broken.closed += 1
    super().close()


class OneNumber(wrappers.EnvironmentWrapper):
  """Shows the first number of the observation only, [1]."""

  def observation_spec(self):
    return dm_env.specs.Array((1,), np.float32)

  def reset(self):
    return self._first(super().reset())

  def step(self, action):
    return self._first(super().step(action))

  def _first(self, timestep):
    return timestep._replace(observation=timestep.observation[:1])


class Unseeded(dm_env.Environment):
  """An environment without a method `seed`."""

  def __init__(self, environment):
    self.inner = environment
    for name in ("reset", "step", "observation_spec", "action_spec", "reward_spec", "discount_spec", "close"):
      setattr(self, name, getattr(environment, name))

  reset = step = observation_spec = action_spec = None


def wrap_environments(monkeypatch, wrap):
  make = acme_envs.make
  monkeypatch.setattr(acme_envs, "make", lambda *args, **kwargs: wrap(make(*args, **kwargs)))


def test_a_run_directory_holds_everything(make_run):
  directory = make_run()
  summary = run(directory)
  assert summary == directory.read_summary()
  assert summary["steps"] == 600 and summary["eval_episodes"] == 20 == len(summary["eval_returns"])
  assert summary["eval_return_mean"] == np.mean(summary["eval_returns"])
  assert summary["eval_return_std"] == np.std(summary["eval_returns"])
  assert summary["steps_per_second"] == pytest.approx(600 / summary["wall_seconds"])
  found = facts(directory.path)
  assert [row["steps"] for row in found["eval"]] == ["200", "400", "600"]
  assert sum(int(row["episode_length"]) for row in found["train"]) <= 600
  assert [path.name for path in sorted(directory.checkpoints.iterdir())] == ["step-000000000500", "step-000000000600"]
  assert list((directory.path / "tensorboard").glob("*tfevents*"))
  assert (directory.path / "learner.csv").read_text().startswith("loss,learner_steps\n")


def test_tensorboard_events_are_readable(make_run):
  from tensorboardX.proto import event_pb2

  directory = make_run()
  run(directory)
  (path,) = (directory.path / "tensorboard").iterdir()
  data, tags, position = path.read_bytes(), set(), 0
  while position < len(data):
    length = int.from_bytes(data[position : position + 8], "little")
    event = event_pb2.Event.FromString(data[position + 12 : position + 12 + length])
    tags |= {value.tag for value in event.summary.value}
    position += length + 16
  assert {"train/episode_return", "eval/eval_return_mean", "learner/loss"} <= tags


def test_the_same_seed_gives_the_same_run_and_another_another(make_run):
  directories = [make_run(name, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))]
  for directory in directories:
    run(directory)
  a, b, c = (facts(directory.path) for directory in directories)
  assert a == b
  assert a["train"] != c["train"] and a["summary"] != c["summary"]


def test_evaluations_and_checkpoints_change_nothing_in_training(make_run):
  many, few = make_run("many", eval_every=50, checkpoint_every=37, eval_share=0), make_run("few", eval_every=0)
  run(many)
  run(few)
  a, b = facts(many.path), facts(few.path)
  assert a["train"] == b["train"] and a["summary"] == b["summary"]
  assert len(a["eval"]) == 12 and b["eval"] == []


def test_training_and_evaluation_seeds_are_disjoint(make_run, monkeypatch):
  seeds = []
  real = wrappers.GymWrapper.seed
  monkeypatch.setattr(wrappers.GymWrapper, "seed", lambda self, seed: (seeds.append(seed), real(self, seed))[1])
  run(make_run())
  twice = [seed for seed in seeds if seeds.count(seed) > 1]
  assert len(twice) == 2  # Whether the environment repeats an episode is tried before the first.
  assert len(seeds) == len(set(seeds)) + 1 > 30


def test_episodes(make_run):
  directory = make_run(steps=None, episodes=7, eval_every=0)
  assert run(directory)["episodes"] == 7
  assert len(facts(directory.path)["train"]) == 7


def test_evaluate_repeats_the_final_evaluation(make_run):
  directory = make_run()
  summary = run(directory)
  before = sorted(path.stat().st_mtime_ns for path in directory.path.rglob("*"))
  assert evaluate(directory, 20)["eval_returns"] == summary["eval_returns"]
  assert sorted(path.stat().st_mtime_ns for path in directory.path.rglob("*")) == before


def test_evaluations_of_one_seed_have_the_same_starts_in_every_run(make_run, monkeypatch):
  starts = set()
  real = wrappers.GymWrapper.seed
  directories = [make_run(f"run-{seed}", seed=seed, steps=100) for seed in (0, 1)]
  for directory in directories:
    run(directory)
  monkeypatch.setattr(wrappers.GymWrapper, "seed", lambda self, seed: (starts.add(seed), real(self, seed))[1])

  def starts_of(directory, seed):
    starts.clear()
    evaluate(directory, 3, seed=seed)
    return set(starts)  # With those that the environments of a run are made with.

  one, other, own = starts_of(directories[0], 5), starts_of(directories[1], 5), starts_of(directories[0], None)
  assert len(one & other) == 3 and not one & other & own


def test_evaluating_leaves_a_checkpoint_that_is_being_written_alone(make_run):
  directory = make_run()
  run(directory)
  torn = directory.checkpoints / "step-000000000700.tmp"
  torn.mkdir()
  evaluate(directory, 1)
  assert torn.exists()


@pytest.mark.parametrize("envs", [1, 2])
def test_of_stacked_frames_each_is_stored_once(make_run, monkeypatch, envs):
  pytest.importorskip("acme_dqn")
  wrap_environments(monkeypatch, lambda environment: acme_envs.wrappers.FrameStacking(OneNumber(environment), 4))
  config = {"hidden_sizes": [8], "min_replay_size": 50, "batch_size": 16}
  directory = make_run(agent="dqn", config=config, steps=120, eval_every=0, envs=envs)
  run(directory)
  assert directory.load_checkpoint().state["agent"]["replay"]["parts"]["replay"]["signature"]["frame_stack"] == 4
  assert evaluate(directory, 1)["steps"] >= 120


def test_two_processes_cannot_run_in_one_directory(make_run):
  directory = make_run()

  def again():
    with pytest.raises(UsageError, match="is in use: process"):
      run(RunDirectory(directory.path))

  run(directory, Spy(100, again))
  assert directory.read_summary() is not None


# What may go wrong.


def test_nan_ends_the_run_with_earlier_data_whole_and_environments_closed(make_run, monkeypatch, acme_command):
  Broken.closed = 0
  wrap_environments(monkeypatch, lambda environment: Broken(environment, good_steps=250))
  directory = make_run(eval_every=0)
  code, _, error = acme_command(f"resume {directory.path}")
  assert code == 1
  assert "observation: expected finite numbers" in error and "step-000000000200" in error and error.count("\n") == 1
  assert "Traceback" in directory.error.read_text()
  assert Broken.closed >= 2
  assert directory.load_checkpoint().step == 200


def test_a_diverged_loss_ends_the_run(make_run, acme_command):
  directory = make_run(config={"nan_at": 150})
  code, _, error = acme_command(f"resume {directory.path}")
  assert code == 1 and "loss is nan" in error and "step-000000000100" in error


def test_a_full_disk_while_saving_leaves_the_earlier_checkpoint(make_run, monkeypatch, acme_command):
  directory, whole = make_run(), make_run("whole")
  run(whole)
  write, calls = checkpointing.write, []

  def full(folder, *args):
    calls.append(1)
    if len(calls) == 3:
      (folder / "arrays.npz").write_bytes(b"half")
      raise OSError(errno.ENOSPC, "No space left on device")
    return write(folder, *args)

  with monkeypatch.context() as patch:
    patch.setattr(checkpointing, "write", full)
    code, _, error = acme_command(f"resume {directory.path}")
  assert code == 1
  assert "No space left on device" in error and "step-000000000200" in error
  assert acme_command(f"resume {directory.path}")[0] == 0
  assert facts(directory.path) == facts(whole.path)


def test_a_full_disk_while_logging_loses_no_earlier_row(make_run, acme_command):
  directory, whole = make_run(eval_every=0), make_run("whole", eval_every=0)
  run(whole)
  limit = resource.getrlimit(resource.RLIMIT_FSIZE)
  size = (whole.path / "train.csv").stat().st_size
  resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, limit[1]))
  try:
    code, _, error = acme_command(f"resume {directory.path}")
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, limit)
  assert code == 1 and "File too large" in error
  assert acme_command(f"resume {directory.path}")[0] == 0
  assert facts(directory.path) == facts(whole.path)


@pytest.mark.parametrize(
  ("changes", "named"),
  [
    ({"agent": "continuous-fake"}, "'fake', this run has 'continuous-fake'"),
    ({"environment": "gym:MountainCar-v0"}, "'gym:CartPole-v1', this run has 'gym:MountainCar-v0'"),
  ],
)
def test_a_checkpoint_of_something_else_is_refused(make_run, acme_command, changes, named):
  directory = make_run()
  run(directory)
  before = (directory.path / "train.csv").read_bytes()
  directory.write_experiment(dataclasses.replace(directory.read_experiment(), steps=900, **changes))
  for command in ("resume", "evaluate"):
    code, _, error = acme_command(f"{command} {directory.path}")
    assert code == 1 and named in error
  assert (directory.path / "train.csv").read_bytes() == before
  assert directory.load_checkpoint().step == 600


def test_a_checkpoint_of_another_version_is_refused(make_run, monkeypatch):
  directory = make_run()
  run(directory)
  directory.write_experiment(dataclasses.replace(directory.read_experiment(), steps=900))
  monkeypatch.setattr("acme_experiments.components.agent_version", lambda name: "fake-agents 0.2.0")
  with pytest.raises(checkpointing.CheckpointError, match=r"'fake-agents 0.1.0', this run has 'fake-agents 0.2.0'"):
    run(directory)


def test_a_corrupt_checkpoint_is_passed_over(make_run):
  directory = make_run()
  summary = run(directory)
  (directory.checkpoints / "step-000000000600" / "arrays.npz").write_bytes(b"torn")
  directory.summary.unlink()
  with pytest.warns(UserWarning, match="does not match its checksum"):
    assert run(directory)["eval_returns"] == summary["eval_returns"]


def test_a_damaged_config_is_named(make_run, acme_command):
  directory = make_run()
  directory.config.write_text('{"format": 1, "experiment": {')
  code, _, error = acme_command(f"resume {directory.path}")
  assert code == 2 and "config.json cannot be read" in error
  directory.config.write_text(json.dumps({"format": 9}))
  assert "format 9" in acme_command(f"resume {directory.path}")[2]


# Environments that cannot be seeded.


def test_without_seeds_a_run_is_saved_between_episodes(make_run, monkeypatch):
  wrap_environments(monkeypatch, Unseeded)
  directory = make_run(steps=500, checkpoint_every=30)
  with pytest.warns(UserWarning, match="cannot be seeded, ignores the seed"):
    summary = run(directory)
  assert 500 <= summary["steps"] < 1100
  assert directory.load_checkpoint().step == summary["steps"]


def test_without_seeds_a_signal_waits_for_the_end_of_the_episode(make_run, monkeypatch):
  wrap_environments(monkeypatch, Unseeded)
  directory = make_run(steps=5000, checkpoint_every=5000, eval_every=0)
  with pytest.warns(UserWarning), pytest.raises(Stopped):
    run(directory, Spy(50, lambda: signal.raise_signal(signal.SIGINT)))
  assert sum(int(row["episode_length"]) for row in __import__("run_facts").rows(directory.path / "train.csv")) == (
    directory.load_checkpoint().step
  )


class IgnoresItsSeed(wrappers.EnvironmentWrapper):
  def seed(self, seed):
    pass


class Normalized(wrappers.EnvironmentWrapper):
  """Divides observations by a norm that grows from episode to episode; the first `good` of an episode stay."""

  def __init__(self, environment, good=0):
    super().__init__(environment)
    self.good, self.norm = good, 1.0

  def reset(self):
    self.seen = 0
    return self._divide(super().reset())

  def step(self, action):
    return self._divide(super().step(action))

  def _divide(self, timestep):
    self.seen += 1
    self.norm += 1e-3
    divisor = np.float32(self.norm if self.seen > self.good else 1)
    return timestep._replace(observation=timestep.observation / divisor)


@pytest.mark.parametrize("wrap", [IgnoresItsSeed, Normalized])
def test_without_repeats_a_run_is_saved_between_episodes_and_can_be_made_longer(
  make_run, monkeypatch, acme_command, wrap
):
  wrap_environments(monkeypatch, wrap)
  directory = make_run(steps=300, checkpoint_every=30)
  code, _, error = acme_command(f"resume {directory.path}")
  assert code == 0 and "does not repeat an episode from its seed" in error and error.count("\n") == 1
  step = directory.load_checkpoint().step
  assert directory.load_checkpoint().state["loop"]["episodes"]["observation"] is None
  code, _, error = acme_command(f"resume {directory.path} --steps {step + 200}")
  assert code == 0 and "another observation" not in error
  assert directory.load_checkpoint().step >= step + 200


def test_an_episode_that_comes_elsewhere_is_given_up(make_run, monkeypatch, acme_command):
  wrap_environments(monkeypatch, lambda environment: Normalized(environment, good=6))
  directory = make_run(steps=311)
  assert acme_command(f"resume {directory.path}")[0] == 0
  checkpoint = directory.load_checkpoint()
  assert checkpoint.step == 311 and checkpoint.state["loop"]["episodes"]["length"] > 6
  code, _, error = acme_command(f"resume {directory.path} --steps 500")
  assert code == 0 and "came to another observation" in error and error.count("\n") == 1
  assert directory.load_checkpoint().step == 500


# Learning from a dataset.


@pytest.fixture
def dataset(tmp_path):
  """Twelve random episodes of CartPole's shapes."""
  rng, folder = np.random.default_rng(0), tmp_path / "episodes"
  folder.mkdir()
  for i in range(12):
    length = 5 + i
    episode = datasets.Episode(
      observation=rng.normal(size=(length + 1, 4)).astype(np.float32),
      action=rng.integers(2, size=length),
      reward=np.ones(length),
      discount=np.append(np.ones(length - 1), 0.0),
    )
    datasets.write(folder / f"{i:03d}.npz", episode)
  return folder


def test_a_dataset_is_learned_from_and_a_run_on_it_resumes_exactly(make_run, dataset):
  directories = [make_run(name, dataset=str(dataset), steps=300, eval_every=100) for name in ("whole", "stopped")]
  summary = run(directories[0])
  with pytest.raises(Stopped):
    run(directories[1], Spy(150, lambda: signal.raise_signal(signal.SIGTERM)))
  assert 150 <= directories[1].load_checkpoint().step < 300
  run(directories[1])
  whole, stopped = (facts(directory.path) for directory in directories)
  assert whole == stopped
  assert (summary["steps"], summary["episodes"]) == (300, 0)
  assert directories[0].load_checkpoint().state["agent"]["learner"]["steps"] == 300
  assert [row["steps"] for row in whole["eval"]] == ["100", "200", "300"] and not whole["train"]
  shutil.rmtree(dataset)
  assert evaluate(directories[0], 20)["eval_returns"] == summary["eval_returns"]  # It needs the parameters only.


def test_pretraining_is_interrupted_saved_and_resumed_exactly(make_run, dataset, monkeypatch):
  import fake_agents  # On the path by a fixture.

  config = {"learning_rate": 0.01, "demonstrations": str(dataset)}
  directories = [make_run(name, config=config, steps=100, eval_every=50) for name in ("whole", "stopped")]
  run(directories[0])
  step = fake_agents.FakeLearner.step

  def step_and_stop(self):
    step(self)
    if self.steps == 123:
      signal.raise_signal(signal.SIGTERM)

  monkeypatch.setattr(fake_agents.FakeLearner, "step", step_and_stop)
  with pytest.raises(Stopped, match="saved at step 0"):
    run(directories[1])
  saved = directories[1].load_checkpoint()
  assert (saved.step, saved.state["agent"]["learner"]["steps"]) == (0, 123)
  assert saved.state["loop"]["counts"]["pretraining_steps"] == 123
  run(directories[1])
  whole, stopped = (facts(directory.path) for directory in directories)
  assert whole == stopped
  assert {row["pretraining_steps"] for row in whole["train"]} == {"300"}


def test_a_save_of_a_run_on_a_dataset_needs_no_memory_for_its_steps(make_run, dataset, monkeypatch):
  monkeypatch.setattr("acme_experiments.saving.available_memory", lambda: 0)
  run(make_run("offline", dataset=str(dataset), steps=20, eval_every=0))
  with pytest.raises(UsageError, match="as much again while it is saved"):
    run(make_run("online", steps=20, eval_every=0))


@pytest.fixture
def bare_dataset(dataset):
  """The same with an index, so that no environment is needed."""
  scalar = specs.Array((), np.float32)
  spec = specs.EnvironmentSpec(specs.Array((4,), np.float32), specs.DiscreteArray(2), scalar, scalar)
  datasets.write_index(dataset, datasets.Index(spec=spec))
  return dataset


def read_losses(directory):
  with (directory.path / "eval.csv").open() as file:
    return [(int(row["steps"]), float(row["held_out_loss"])) for row in csv.DictReader(file)]


def test_a_dataset_alone_is_enough(acme_command, bare_dataset, tmp_path):
  code, text, error = acme_command("run fake --dataset episodes --steps 40 --out here --config.stops-after 3")
  assert code == 0 and "held-out loss 1" in text and "evaluation return" not in text, error
  directory = RunDirectory(tmp_path / "here")
  assert (
    read_losses(directory) == [(2, 2), (4, 1), (6, 2)] and "train_loss" in (directory.path / "eval.csv").read_text()
  )
  summary = directory.read_summary()
  assert (summary["steps"], summary["held_out_loss"], summary["finished"]) == (6, 1, True)
  assert directory.load_checkpoint("best").step == 4
  code, text, _ = acme_command("resume here --steps 50")
  assert code == 0 and "is over: it has trained for 6 steps" in text
  assert acme_command("plot here --out losses.png")[0] == 0 and (tmp_path / "losses.png").exists()
  for command in ("evaluate here", "record here --episodes 1 --out more"):
    code, _, error = acme_command(command)
    assert code == 2 and "without an environment to act in: `acme run fake ENV --dataset" in error, error


def test_seeds_without_an_environment(acme_command, bare_dataset, tmp_path, monkeypatch):
  monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
  code, _, error = acme_command("run fake --dataset episodes --steps 4 --seeds 0-1 --out many --config.stops-after 3")
  assert code == 0, error
  summary = RunDirectory(tmp_path / "many").read_summary()
  assert summary["seeds"] == {"0": 1, "1": 1} and summary["held_out_loss"] == 1


def test_with_an_environment_the_held_out_loss_says_which_parameters_are_best(make_run, dataset):
  directory = make_run(dataset=str(dataset), steps=10, eval_every=2, config={"stops_after": 10})
  summary = run(directory)
  assert directory.load_checkpoint("best").step == 4 and summary["held_out_loss"] == 1
  assert "eval_return_mean" in summary


def test_a_signal_within_an_evaluation_undoes_that_of_what_is_held_out(make_run, dataset, monkeypatch):
  directory = make_run(dataset=str(dataset), steps=4, eval_every=2, config={"stops_after": 10})
  run_ = evaluation.Evaluator.run

  def interrupted(self, *arguments):
    signal.raise_signal(signal.SIGTERM)
    return run_(self, *arguments)

  with monkeypatch.context() as patch:
    patch.setattr(evaluation.Evaluator, "run", interrupted)
    with pytest.raises(Stopped):
      run(directory)
  run(directory)
  assert read_losses(directory) == [(2, 2), (4, 1)]


def test_a_dataset_that_has_changed_is_named(make_run, dataset, acme_command):
  directory = make_run(dataset=str(dataset), steps=100, eval_every=0)
  run(directory)
  (dataset / "000.npz").unlink()
  code, _, error = acme_command(f"resume {directory.path} --steps 200")
  assert code == 1 and str(dataset) in error and "Put the files back" in error and error.count("\n") == 1


def test_the_command_keeps_the_whole_path_of_a_dataset(acme_command, dataset, tmp_path):
  code, text, error = acme_command("run fake gym:CartPole-v1 --dataset episodes --steps 40 --out here")
  assert code == 0, error
  experiment = json.loads((tmp_path / "here" / "config.json").read_text())["experiment"]
  assert (experiment["dataset"], experiment["replay"]) == (str(dataset), "auto")
  assert "40 of 40 learner steps" in text or "evaluation return" in text


def test_a_run_of_core_0_1_is_refused(make_run, acme_command):
  directory = make_run()
  content = directory.read_config() | {"format": 1}
  content["experiment"]["replay"] = "local"
  directory.config.write_text(json.dumps(content))
  for command in ("resume", "evaluate"):
    code, _, error = acme_command(f"{command} {directory.path}")
    assert code == 2 and "holds a run of acme-core 0.1" in error and error.count("\n") == 1


def test_a_saved_config_is_read_as_it_was(make_run):
  pytest.importorskip("acme_dqn")
  directory = make_run(agent="dqn", config={"hidden_sizes": [8, 8], "min_replay_size": 50}, steps=60, eval_every=0)
  run(directory)
  assert directory.read_summary()["steps"] == 60


@pytest.mark.parametrize(
  ("device", "room", "chosen"),
  [
    ("cpu", True, "embedded"),
    ("auto", True, "embedded"),
    ("split", True, "device"),
    ("gpu", True, "device"),
    ("gpu", False, "embedded"),
  ],
)
def test_observations_go_to_an_accelerator_where_they_fit(monkeypatch, make_run, device, room, chosen):
  def on_device(*arguments, frame_stack=None):
    if not room:
      raise MemoryError("No room.")
    return "device"

  made = {"device": on_device, "embedded": lambda *arguments, frame_stack=None: "embedded"}
  monkeypatch.setattr(plugins, "list_replays", lambda: made)
  monkeypatch.setattr(plugins, "load_replay", lambda name="embedded": made[name])
  make = stores.make_replay(make_run().read_experiment(), object(), device)
  with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    assert make(None, None, 0) == chosen
  assert [str(each.message) for each in caught] == ([] if room else ["No room. Here it is --replay embedded."])


@pytest.mark.parametrize(("options", "envs"), [("", 3), ("--envs 2", 2), ("--dataset episodes", 1)])
def test_an_agent_says_in_how_many_environments_it_acts(acme_command, dataset, tmp_path, monkeypatch, options, envs):
  load = plugins.load_agent
  monkeypatch.setattr(plugins, "load_agent", lambda name: dataclasses.replace(load(name), num_envs=3))
  code, _, error = acme_command(f"run fake gym:CartPole-v1 {options} --steps 40 --eval-every 0 --quiet --out here")
  assert code == 0, error
  assert json.loads((tmp_path / "here" / "config.json").read_text())["experiment"]["envs"] == envs


def test_wrappers_are_part_of_the_run(acme_command, tmp_path):
  line = "run fake gym:CartPole-v1 --wrap mask_velocity --steps 40 --eval-every 0 --quiet --out here"
  assert acme_command(line)[0] == 0
  directory = RunDirectory(tmp_path / "here")
  assert directory.read_experiment().wrap == ("mask_velocity",)
  assert directory.load_checkpoint().state["agent"]["learner"]["weights"].shape == (2, 2)  # Of four numbers two.
  assert acme_command("resume here --steps 60 --quiet")[0] == 0


@pytest.fixture
def planning(monkeypatch):
  """Has the fake agent plan: it does what a copy of its environment gives most for; returns what it plans in."""
  import fake_agents

  simulators = []

  class Planning(fake_agents.FakeBuilder):
    def __init__(self, config, environment):
      super().__init__(config)
      self.environment = environment

    def make_actor(self, spec, program, inputs):
      actor = super().make_actor(spec, program, inputs)
      simulators.append(self.environment)

      def select_action(observation):
        pole = [abs(copy.deepcopy(self.environment).step(np.int32(a)).observation[2]) for a in range(2)]
        return np.int32(np.argmin(pole))

      actor.select_action = select_action
      return actor

  monkeypatch.setattr(
    fake_agents.FakeBuilder, "with_simulator", lambda self, environment: Planning(self.config, environment)
  )
  return simulators


def test_an_agent_plans_in_copies_of_the_environment_that_it_acts_in(make_run, planning):
  parts = components.Components(make_run(simulator=True).read_experiment())
  assert planning == [parts.environments[0], parts.evaluator.environment]


def test_a_run_that_plans_resumes_exactly(acme_command, planning, tmp_path, monkeypatch):
  line = "run fake gym:CartPole-v1 --simulator --steps 300 --eval-every 100 --eval-episodes 1 --quiet --out"
  assert acme_command(f"{line} whole")[0] == 0
  assert RunDirectory(tmp_path / "whole").read_experiment().simulator
  with monkeypatch.context() as patch:
    spy = Spy(130, lambda: signal.raise_signal(signal.SIGTERM))
    patch.setattr("acme_experiments.progress.choose", lambda quiet: spy)
    assert acme_command(f"{line} stopped")[0] == 143
  assert acme_command("resume stopped --quiet")[0] == 0
  assert facts(tmp_path / "stopped") == facts(tmp_path / "whole")
  code, text, _ = acme_command("evaluate stopped --episodes 2")
  assert code == 0 and "over 2 episodes" in text


def test_what_plans_is_not_filmed_nor_on_a_device(acme_command, planning):
  pytest.importorskip("imageio_ffmpeg")
  code, _, error = acme_command("run fake gym:CartPole-v1 --simulator --video --steps 20")
  assert code == 2 and "A run with --simulator cannot be filmed" in error
  with pytest.raises(UsageError, match="--loop device: --simulator is for the loop on the host"):
    Experiment(agent="fake", environment="jax:catch", steps=20, simulator=True, loop="device", seeds=(0,))
