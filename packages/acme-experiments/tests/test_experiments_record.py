"""`acme record` and `acme dataset`: the policy of a run becomes a dataset, whole at every moment."""

import dataclasses
import functools
import json
import os
import pathlib
import random
import resource
import shutil
import signal
import sys
import tempfile

import numpy as np
import pytest

import acme_envs
from acme import make_environment_spec, specs
from acme_experiments import UsageError, cli, recording, run
from acme_replay import datasets

KILLS = int(os.environ.get("ACME_KILLS", "50"))


@pytest.fixture
def trained(make_run):
  """A short run that is over."""
  directory = make_run("trained", steps=200, eval_every=100)
  run(directory)
  return directory


@pytest.fixture
def record(acme_command, trained):
  """Runs `acme record` on it; returns the exit code, what it printed, and its complaints."""
  return lambda options: acme_command(f"record {trained.path} {options}")


def test_whole_episodes_are_recorded(record, trained, tmp_path):
  code, text, error = record("--episodes 4 --out data")
  assert (code, error) == (0, "") and "4 episodes" in text and "dataset: data" in text
  index = datasets.read_index(tmp_path / "data")
  spec = make_environment_spec(acme_envs.make("gym:CartPole-v1"))
  assert repr(index.spec) == repr(spec) and index.environment == "gym:CartPole-v1"
  (origin,) = index.origin
  assert origin["run"] == str(trained.path) and (origin["agent"], origin["checkpoint"]) == ("fake", 200)
  episodes = list(datasets.read(tmp_path / "data"))
  assert len(episodes) == 4 and datasets.check(tmp_path / "data") == []
  assert all(datasets.total_return(episode) == datasets.num_steps(episode) for episode in episodes)  # CartPole's.
  assert f"{sum(map(datasets.num_steps, episodes))} steps" in text


def test_the_episodes_are_those_of_the_environment(record, tmp_path):
  assert record("--episodes 3 --epsilon 0.5 --out data")[0] == 0
  environment = acme_envs.make("gym:CartPole-v1").environment
  for episode in datasets.read(tmp_path / "data"):
    environment.reset()
    environment.unwrapped.state = np.float64(episode.observation[0])
    for t, action in enumerate(episode.action):
      observation, reward, terminated, *_ = environment.step(int(action))
      np.testing.assert_allclose(observation, episode.observation[t + 1], rtol=1e-4, atol=1e-5)
      assert (reward, not terminated) == (episode.reward[t], bool(episode.discount[t]))


def test_steps_go_to_the_end_of_an_episode_and_episodes_are_appended(record, tmp_path):
  for seed in (0, 1):
    code, _, error = record(f"--steps 50 --seed {seed} --out data")
    assert code == 0, error
  index = datasets.read_index(tmp_path / "data")
  assert [entry["seed"] for entry in index.origin] == [0, 1]
  lengths = datasets.summarize(tmp_path / "data").lengths
  assert sum(part.steps for part in index.parts) == lengths.sum() >= 100
  code, _, error = record("--episodes 2 --out data")
  assert code == 2 and "has these very episodes: give another --seed" in error and error.count("\n") == 1
  assert datasets.read_index(tmp_path / "data") == index


def test_the_same_seed_gives_the_same_episodes(record, tmp_path):
  for name in ("one", "other"):
    assert record(f"--episodes 3 --epsilon 0.3 --seed 5 --out {name}")[0] == 0
  assert record("--episodes 3 --epsilon 0.3 --seed 6 --out third")[0] == 0
  one, other, third = (datasets.read_index(tmp_path / name).parts for name in ("one", "other", "third"))
  assert one[0].steps == other[0].steps and one[0].sha256 != third[0].sha256
  for a, b in zip(datasets.read(tmp_path / "one"), datasets.read(tmp_path / "other"), strict=True):
    np.testing.assert_array_equal(a.observation, b.observation)


@pytest.mark.parametrize(("options", "share"), [("", 0), ("--epsilon 0.5", 0.25), ("--epsilon 1", 0.5)])
def test_epsilon(record, tmp_path, trained, options, share):
  """Half of the actions drawn are those that the policy would have taken."""
  assert record(f"--steps 600 {options} --out data")[0] == 0
  weights = trained.load_checkpoint().state["agent"]["learner"]["weights"]
  wrong = total = 0
  for episode in datasets.read(tmp_path / "data"):
    values = episode.observation[:-1] @ weights
    sure = np.abs(values[:, 0] - values[:, 1]) > 0.5  # The fake evaluator has noise of its own.
    wrong += np.sum(sure & (episode.action != np.argmax(values, axis=1)))
    total += np.sum(sure)
  assert total > 20 and wrong / total == pytest.approx(share, abs=0.15)


def test_the_best_parameters_and_exploration_of_its_own(record, tmp_path):
  assert record("--episodes 2 --which best --out best")[0] == 0
  assert record("--episodes 2 --explore --out data")[0] == 0
  assert datasets.read_index(tmp_path / "best").origin[0]["policy"] == "best"
  assert datasets.read_index(tmp_path / "data").origin[0]["explore"] is True


def test_what_is_recorded_is_learned_from(record, acme_command):
  assert record("--episodes 5 --out data")[0] == 0
  code, text, error = acme_command("run fake gym:CartPole-v1 --dataset data --steps 20 --out offline")
  assert code == 0 and "evaluation return" in text, error


@pytest.mark.parametrize("option", ["--dataset", "--config.demonstrations"])
def test_a_run_is_resumed_on_its_dataset_from_any_folder(record, acme_command, tmp_path, monkeypatch, option):
  assert record("--episodes 5 --out data")[0] == 0
  line = f"run fake gym:CartPole-v1 {option} data --steps 20 --eval-every 0 --eval-episodes 1 --out learned"
  assert acme_command(line)[0] == 0
  (tmp_path / "elsewhere").mkdir()
  monkeypatch.chdir(tmp_path / "elsewhere")
  assert cli.main(["resume", "../learned", "--steps", "30"]) == 0


def test_noise_is_in_halves_of_the_range_and_clipped():
  low, high = np.array([-1, 0], np.float32), np.array([1, 10], np.float32)
  action = specs.BoundedArray((2,), np.float32, low, high)
  spec = make_environment_spec(acme_envs.make("gym:CartPole-v1"))._replace(actions={"arm": action})
  options = {name: None for name in ("directory", "out", "episodes", "steps", "which", "seed")}
  asked = recording.Recording(**options, epsilon=0.0, noise=0.1, explore=False, core=False)
  disturb, rng = recording._make_noise(asked, spec), np.random.default_rng(0)
  middle, end = np.array([0, 5], np.float32), high
  moved = np.array([disturb({"arm": middle}, rng)["arm"] for _ in range(2000)])
  assert moved.dtype == np.float32
  np.testing.assert_allclose(moved.std(axis=0), [0.1, 0.5], rtol=0.1)
  clipped = np.array([disturb({"arm": end}, rng)["arm"] for _ in range(200)])
  assert (clipped <= high).all() and 50 < np.sum(clipped[:, 1] == 10) < 150
  with pytest.raises(UsageError, match="--epsilon is for discrete actions"):
    recording._make_noise(dataclasses.replace(asked, noise=0.0, epsilon=0.1), spec)


REFUSED = {
  "--out minari:walk/it-v0 --episodes 1": "minari:walk/it-v0: expected the path of a folder",
  "--out data": "Expected either --episodes or --steps",
  "--out data --episodes 1 --steps 1": "Expected either --episodes or --steps",
  "--out data --episodes 0": "of 1 or more",
  "--out data --episodes 1 --epsilon 1.5": "expected numbers in [0, 1]",
  "--out data --episodes 1 --noise 0.1": "--noise is for continuous actions",
  "--out data --episodes 1 --explore --epsilon 0.1": "leave --epsilon and --noise out",
  "--out data --episodes 1 --core": "the policy of fake has no recurrent state",
  "--out taken --episodes 1": "taken is there already, and is no dataset",
  "--out other --episodes 1": "other is of another kind: its observations are",
}


@pytest.mark.parametrize("options", REFUSED)
def test_what_cannot_be_is_one_line_and_writes_nothing(record, tmp_path, options):
  (tmp_path / "taken").mkdir()
  (tmp_path / "taken" / "file").touch()
  spec = make_environment_spec(acme_envs.make("gym:CartPole-v1"))
  with datasets.Writer(tmp_path / "other", datasets.Index(spec=spec._replace(observations=spec.rewards))):
    pass
  code, _, error = record(options)
  assert code == 2 and REFUSED[options] in error and error.count("\n") == 1
  assert not (tmp_path / "data").exists()


def test_a_run_of_many_seeds_is_told_to_give_one(make_run, acme_command):
  directory = make_run(seeds=[3, 4], steps=20, eval_every=0)
  code, _, error = acme_command(f"record {directory.path} --episodes 1 --out data")
  assert code == 2 and "give the directory of one, such as" in error and "seed-3" in error


def test_a_full_disk_is_one_line_and_what_was_there_stays(record, tmp_path):
  assert record("--episodes 2 --out data")[0] == 0
  soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
  handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
  resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
  try:
    code, _, error = record("--episodes 2 --seed 1 --out data")
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, handler)
  assert code == 1 and "2 episodes are lost; what was there before is whole" in error and error.count("\n") == 1
  assert datasets.check(tmp_path / "data") == [] and len(list(datasets.read(tmp_path / "data"))) == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_keeps_the_whole_episodes_that_there_are(record, tmp_path, monkeypatch, number):
  write = datasets.Writer.write

  def write_and_stop(writer, episode):
    write(writer, episode)
    if write_and_stop.count == 2:
      os.kill(os.getpid(), number)
    write_and_stop.count += 1

  write_and_stop.count = 0
  monkeypatch.setattr(datasets.Writer, "write", write_and_stop)
  code, text, _ = record("--episodes 100000 --out data")
  assert code == 128 + number and "3 episodes" in text
  assert datasets.check(tmp_path / "data") == [] and len(list(datasets.read(tmp_path / "data"))) == 3


FILE_EVENTS = ("open", "os.rename", "os.mkdir", "os.rmdir", "os.remove")


def record_until_killed(directory, out, rng, seed):
  """Records in a child that dies at a random moment of it, or before a random file operation."""
  child = os.fork()
  if child:
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "the child ended by itself"
    return
  try:
    recording.datasets.Writer = functools.partial(datasets.Writer, part_bytes=2000)
    left = [rng.randrange(1, 80)]

    def hook(event, arguments):
      if event in FILE_EVENTS and out.name in str(arguments[0]):
        left[0] -= 1
        if left[0] == 0:
          os.kill(os.getpid(), signal.SIGKILL)
        if seed % 2:
          left[0] = 1000  # At a random moment instead, once there is something to write.
          signal.setitimer(signal.ITIMER_REAL, rng.uniform(0.001, 0.03))

    sys.addaudithook(hook)
    asked = recording.Recording(
      directory=directory, out=str(out), episodes=100_000, steps=None, which="newest", seed=seed, epsilon=0.2,
      noise=0.0, explore=False, core=False,
    )  # fmt: skip
    recording.record(asked)
  finally:
    os._exit(70)


def test_kills_leave_whole_episodes_only(trained):
  memory = pathlib.Path("/dev/shm")  # Where flushing to disk takes no time.
  rng, total = random.Random(0), 0
  with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
    for kill in range(KILLS):
      out = pathlib.Path(folder) / f"data-{kill // 10}"  # Appended to after a kill, too.
      record_until_killed(trained, out, rng, kill)
      rng.random()  # So that the next child draws other numbers.
      if out.exists():
        assert not any(finding.severity == "error" for finding in datasets.check(out))
        parts = datasets.read_index(out).parts
        total += len(parts)
        assert not parts or sum(part.episodes for part in parts) == len(list(datasets.read(out)))
  assert total > KILLS


# acme dataset.


@pytest.fixture
def dataset(record, tmp_path):
  """Five episodes."""
  assert record("--episodes 5 --out data")[0] == 0
  return tmp_path / "data"


def test_info(dataset, acme_command):
  code, text, error = acme_command("dataset info data")
  assert (code, error) == (0, "")
  summary = datasets.summarize(dataset)
  for part in (
    "environment: gym:CartPole-v1", "observations: BoundedArray(shape=(4,), dtype=float32)", "num_values=2",
    "extras: none", "from: run ", "episodes: 5,", f"steps: {summary.lengths.sum():,}",
    f"returns: mean {summary.returns.mean():,.2f}", "█",
  ):  # fmt: skip
    assert part in text


def test_check(dataset, acme_command):
  assert acme_command("dataset check data")[:2] == (0, "data is fine.\n")
  (dataset / "000001.npz").write_bytes(b"left by one that was killed")
  code, text, _ = acme_command("dataset check data")
  assert code == 0 and "warning: data/000001.npz is not in dataset.json" in text and "data can be used." in text
  (dataset / "000000.npz").write_bytes(b"damaged")
  code, text, error = acme_command("dataset check data")
  assert code == 1 and "error: data/000000.npz" in text and "Put it back from a copy" in text
  assert error == "acme: data cannot be read as it is: see the 1 error above.\n"
  code, _, error = acme_command("dataset info data")
  assert code == 1 and "000000.npz" in error and error.count("\n") == 1


def test_convert_and_merge(dataset, record, acme_command, tmp_path):
  pytest.importorskip("h5py")
  assert acme_command("dataset convert data --out theirs") == (0, "wrote theirs\n", "")
  assert acme_command("dataset convert theirs --out ours") == (0, "wrote ours\n", "")
  assert acme_command("dataset info theirs")[0] == acme_command("dataset check ours")[0] == 0
  assert record("--episodes 2 --seed 1 --out more")[0] == 0
  code, text, _ = acme_command("dataset merge data more --out all")
  assert code == 0 and text == "wrote all: 7 episodes in 1 part\n"
  code, _, error = acme_command("dataset merge data ours --out twice")
  assert code == 1 and "episode 0 of ours is episode 0 of data, too" in error and not (tmp_path / "twice").exists()
  code, _, error = acme_command("dataset merge more more --out twice")
  assert code == 1 and "episode 0 of more is episode 0 of more, too" in error and not (tmp_path / "twice").exists()
  code, text, error = acme_command("run fake gym:CartPole-v1 --dataset theirs --steps 20 --out offline")
  assert code == 0, error


@pytest.mark.parametrize(
  ("line", "message"),
  [
    ("info nowhere", "expected a dataset, and nothing is there"),
    ("info minari:nowhere/it-v0", "expected a dataset, and nothing is there"),
    ("info", "expected one PATH, got 0"),
    ("info data data", "expected one PATH, got 2"),
    ("info data --out x", "leave --out out"),
    ("merge data", "--out says where to: give it"),
    ("convert data --out data", "data is there already: give another path"),
    ("look data", "look"),
  ],
)
def test_what_no_dataset_command_is(dataset, acme_command, line, message):
  code, _, error = acme_command(f"dataset {line}")
  assert code in (1, 2) and message in error and error.count("\n") == 1


def test_a_dataset_of_another_environment_is_told_of(dataset, acme_command, tmp_path):
  content = json.loads((dataset / "dataset.json").read_text())
  (dataset / "dataset.json").write_text(json.dumps(content | {"environment": "gym:CartPole-v0"}))
  code, _, error = acme_command("run fake gym:CartPole-v1 --dataset data --steps 20 --out offline")
  assert code == 0 and "data was recorded in gym:CartPole-v0, and this run is in gym:CartPole-v1" in error, error


def test_a_dataset_of_minari_keeps_its_name(dataset, acme_command, tmp_path, monkeypatch):
  pytest.importorskip("h5py")
  monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "root"))
  assert acme_command("dataset convert data --out minari:cartpole/made-v0")[0] == 0
  shutil.rmtree(dataset)
  code, _, error = acme_command("run fake gym:CartPole-v1 --dataset minari:cartpole/made-v0 --steps 20 --out offline")
  assert code == 0, error
  assert acme_command("dataset check minari:cartpole/made-v0")[0] == 0
