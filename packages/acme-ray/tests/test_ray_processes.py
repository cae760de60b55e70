"""Runs on true Ray, whose processes are killed."""

import contextlib
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time

import pytest

import acme_ray
from acme_testing import fakes, linear_q

SPEC = fakes.make_spec("vector", "discrete")
CONFIG = linear_q.LinearQConfig(
  batch_size=8, min_replay_size=20, max_replay_size=2_000, samples_per_insert=4.0, n_step=3
)
DRIVER = """
import sys
import acme_ray
from acme_testing import fakes, linear_q
spec = fakes.make_spec("vector", "discrete")
config = linear_q.LinearQConfig(batch_size=8, min_replay_size=20, max_replay_size=2_000, samples_per_insert=4.0)

class Told(acme_ray.Watcher):
  def saved(self, steps, episodes):
    print("saved", steps, flush=True)

def environment(seed):
  return fakes.FakeEnvironment(spec, seed=seed)

outcome = acme_ray.run(linear_q.AGENT, environment, config=config, steps=int(sys.argv[1]), num_actors=2,
                       checkpoints=sys.argv[2], checkpoint_every=2_000, final_episodes=1, watcher=Told())
print("done", outcome.steps, outcome.samples, outcome.inserts, flush=True)
"""


def make_environment():
  """A function of a seed that goes by value: other processes cannot import this module."""
  return lambda seed: fakes.FakeEnvironment(SPEC, seed=seed)


class Killer(acme_ray.Watcher):
  """Kills nodes, one after the other, each once the last death has been noticed, all are ready and the run went on.

  Who is idle when it dies, as an evaluator mostly is, is missed when it is asked for something.
  """

  def __init__(self, names, every):
    self.names, self.every, self.killed, self.status = list(names), every, [], None

  def progress(self, status):
    self.status = status
    if self.names and self.whole() and status["steps"] >= (len(self.killed) + 1) * self.every:
      self.killed.append(self.names.pop(0))
      os.kill(status["places"][self.killed[-1]][1], signal.SIGKILL)

  def whole(self):
    """Whether all nodes are there, those that were killed too."""
    restarts = sum(self.status["restarts"].values())
    return restarts == len(self.killed) and self.status["ready"] == self.status["nodes"]


def check_counts(outcome, killer, steps):
  """What is counted is exact, whoever died."""
  assert outcome.steps == steps == sum(killer.status["actor_steps"])
  assert 0 <= 4 * (outcome.inserts - 20) - outcome.samples < 8
  assert outcome.restarts == {name: killer.killed.count(name) for name in killer.killed}


def test_every_kind_of_node_may_be_killed(cluster, tmp_path):
  killer = Killer(["actor 1", "shard 0", "learner 0", "evaluator 0"], every=1_000)
  outcome = acme_ray.run(
    linear_q.AGENT, make_environment(), config=CONFIG, steps=6_000, num_actors=2, watcher=killer,
    checkpoints=tmp_path, checkpoint_every=1_000, eval_every=1_000, eval_episodes=1, final_episodes=2,
  )  # fmt: skip
  assert not killer.names
  check_counts(outcome, killer, 6_000)
  assert len(outcome.evaluations[-1]["returns"]) == 2


@pytest.mark.long  # It waits, as one waits for what may only be slow.
def test_a_process_that_stands_still_is_ended(cluster):
  class Stopper(Killer):
    def progress(self, status):
      self.status = status
      if self.names and status["steps"] >= self.every and status["ready"] == status["nodes"]:
        self.killed.append(self.names.pop())
        os.kill(status["places"][self.killed[0]][1], signal.SIGSTOP)

  stopper = Stopper(["actor 0"], every=500)
  outcome = acme_ray.run(
    linear_q.AGENT, make_environment(), config=CONFIG, steps=2_000, num_actors=1, watcher=stopper, patience=20.0,
    final_episodes=0,
  )  # fmt: skip
  check_counts(outcome, stopper, 2_000)


def rays_processes():
  """The processes of the Rays that this package began, by their command lines."""
  found = []
  for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
    try:
      line = path.read_bytes()
    except OSError:
      continue
    if b"/acme-ray-" in line:
      found.append(int(path.parent.name))
  return set(found)


@pytest.mark.long  # It begins Ray twice.
def test_who_conducts_may_be_killed_and_nothing_is_left(tmp_path, monkeypatch):
  monkeypatch.setenv("RAY_ADDRESS", "elsewhere:6379")  # Ray begins here, where nobody gave an address to the run.
  before, token = rays_processes(), pathlib.Path.home() / ".ray" / "auth_token"
  had_token = token.exists()
  command = [sys.executable, "-c", DRIVER]
  with subprocess.Popen([*command, "10000000", str(tmp_path)], stdout=subprocess.PIPE, text=True) as first:
    try:
      steps = int(first.stdout.readline().split()[1])
    finally:
      first.kill()
  last = subprocess.run([*command, str(steps + 500), str(tmp_path)], stdout=subprocess.PIPE, text=True, check=True)
  done, total, samples, inserts = last.stdout.split()[-4:]
  assert (done, int(total)) == ("done", steps + 500)
  assert 0 <= 4 * (int(inserts) - 20) - int(samples) < 8
  end = time.monotonic() + 60  # Until Ray has noticed that the first one is gone.
  while rays_processes() - before and time.monotonic() < end:
    time.sleep(0.5)
  assert not rays_processes() - before
  assert token.exists() == had_token


@contextlib.contextmanager
def somebodys_cluster(folder):
  """A cluster that asks for a token, its port, and what connecting to it takes; its owner ends it."""
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
  home = folder / "home"
  home.mkdir()
  token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "5" * 64, "HOME": str(home), "RAY_USAGE_STATS_ENABLED": "0"}
  options = ("--num-cpus=5", "--object-store-memory=100000000", "--include-dashboard=false", "--block")
  with tempfile.TemporaryDirectory(prefix="owner-") as short:  # Of sockets' paths.
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", f"--port={port}", f"--temp-dir={short}"]
    environment = os.environ | token | {"RAY_worker_niceness": "0"}
    log = folder / "owner.log"
    with (
      log.open("w") as file,
      subprocess.Popen([*command, *options], stdout=file, stderr=file, env=environment) as owner,
    ):
      try:
        wait_for(lambda: "Ray runtime started" in log.read_text(), 120)
        yield port, token, owner
      finally:
        owner.terminate()


def wait_for(what, seconds):
  """Waits until it is so; it says whether it was."""
  end = time.monotonic() + seconds
  while not what() and time.monotonic() < end:
    time.sleep(0.1)
  return what()


def descendants(pid):
  """The processes below one, by their command lines."""
  found = {}
  for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
    for child in map(int, task.read_text().split()):
      with contextlib.suppress(OSError):
        found[child] = pathlib.Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        found |= descendants(child)
  return found


def test_a_cluster_of_somebody_else_is_left_as_it_was(tmp_path):
  """Stopped by Ctrl-C, gone on with and ended, a run leaves no process in it and no token anywhere."""
  out = tmp_path / "run"
  with somebodys_cluster(tmp_path) as (port, token, owner):
    before = descendants(owner.pid)

    def acme(*arguments):
      command = [sys.executable, "-c", "import sys; from acme_experiments import cli; sys.exit(cli.main())", *arguments]
      output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
      return subprocess.Popen(command, env=os.environ | token, text=True, **output)

    def left():
      """What is in the cluster that was not; Ray ends processes in a moment, and keeps some for whoever comes next."""
      return [name for pid, name in descendants(owner.pid).items() if pid not in before and "IDLE" not in name]

    first = acme("run", "dqn", "gym:CartPole-v1", "--actors", "2", "--steps", "1000000", "--quiet", "--out", str(out),
                 "--ray-address", f"127.0.0.1:{port}", "--config.hidden-sizes", "8")  # fmt: skip
    status = out / "status.json"
    assert wait_for(lambda: status.exists() and json.loads(status.read_text())["steps"] > 200, 120), first.communicate()
    assert {"ray::Actor", "ray::Learner", "ray::Shard"} <= {name.split(".")[0] for name in left()}
    first.send_signal(signal.SIGINT)
    assert "Stopped and saved at step" in first.communicate(timeout=60)[0]
    assert first.returncode == 128 + signal.SIGINT
    assert wait_for(lambda: not left(), 30), left()
    steps = json.loads((out / "saved.json").read_text())["steps"] + 200
    last = acme("resume", str(out), "--steps", str(steps), "--ray-address", f"localhost:{port}", "--quiet")
    said = last.communicate(timeout=120)[0]
    assert last.returncode == 0, said
    assert json.loads((out / "summary.json").read_text())["steps"] == steps
    assert wait_for(lambda: not left(), 30), left()
    assert owner.poll() is None
    servers = [pid for pid, name in before.items() if "/gcs_server " in name or "/raylet " in name]
    assert len(servers) == 2
    assert set(servers) <= descendants(owner.pid).keys()
    assert not list((tmp_path / "home").rglob("*token*"))


@pytest.mark.long
def test_two_hundred_kills_lose_nothing(cluster, tmp_path):
  """ACME_KILLS has another number of them: 200 take 20 minutes or more."""
  chooser = random.Random(0)
  names = ["actor 0", "actor 1", "actor 2", "shard 0", "shard 1", "learner 0", "evaluator 0"]
  killer = Killer([chooser.choice(names) for _ in range(int(os.environ.get("ACME_KILLS", "200")))], every=1_000)
  options = {
    "config": CONFIG, "num_actors": 3, "num_shards": 2, "watcher": killer, "checkpoints": tmp_path,
    "checkpoint_every": 5_000, "eval_every": 200, "eval_episodes": 1, "final_episodes": 1,
  }  # fmt: skip
  environment = make_environment()
  with pytest.raises(acme_ray.Stopped):  # However many steps it takes.
    acme_ray.run(linear_q.AGENT, environment, steps=10**9, stop=lambda: not killer.names and killer.whole(), **options)
  steps = killer.status["steps"] + 1_000
  check_counts(acme_ray.run(linear_q.AGENT, environment, steps=steps, **options), killer, steps)
