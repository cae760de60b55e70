"""Runs, on a Ray that is in this process: what is counted in whichever order answers come, and whoever dies."""

import itertools
import os
import re
import signal
import socket
import sys
import types

import pytest

import acme_ray
from acme import checkpointing
from acme_ray import Stopped, supervision
from acme_testing import fakes, linear_q

SPEC = fakes.make_spec("vector", "discrete")
SMALL = {"batch_size": 8, "min_replay_size": 20, "max_replay_size": 400, "samples_per_insert": 4.0, "n_step": 3}
CONFIG = linear_q.LinearQConfig(**SMALL)


def environment(seed):
  return fakes.FakeEnvironment(SPEC, seed=seed)


class Log(acme_ray.Watcher):
  """Keeps what a run says."""

  def __init__(self):
    self.episodes, self.evaluations, self.messages, self.statuses, self.restored = [], [], [], [], None

  def episode(self, row):
    self.episodes.append(row)

  def evaluation(self, row, results):
    self.evaluations.append((row, results))

  def message(self, text):
    self.messages.append(text)

  def progress(self, status):
    self.statuses.append(status)

  def save(self):
    return {"episodes": len(self.episodes)}

  def restore(self, state):
    self.restored = state


def run(**options):
  return acme_ray.run(linear_q.AGENT, environment, config=CONFIG, **{"block_steps": 16, "final_episodes": 0} | options)


def stop_after(steps, log):
  return lambda: bool(log.statuses) and log.statuses[-1]["steps"] >= steps


@pytest.mark.parametrize("actors, shards, envs", [(1, 1, 1), (3, 1, 1), (4, 2, 1), (2, 1, 3)])
def test_steps_are_exact_and_the_ratio_holds_whatever_the_number_of_actors(fake_ray, actors, shards, envs):
  outcome = run(steps=400, num_actors=actors, num_shards=shards, num_envs=envs)
  assert 400 <= outcome.steps <= 400 + (envs - 1) * 2 * actors  # Several environments step at once.
  assert outcome.samples % 8 == 0
  owed = 4 * (outcome.inserts - 20) - outcome.samples
  assert 0 <= owed < 8
  assert outcome.learner_steps == outcome.samples // 8


def test_the_learner_is_never_far_behind_nor_ahead(fake_ray):
  log = Log()
  run(steps=600, num_actors=2, watcher=log)
  owed = [4 * (status["inserts"] - 20) - status["samples"] for status in log.statuses if status["inserts"] > 20]
  assert min(owed) >= 0
  # Two rounds of both actors, and two blocks of each that were asked for before; episodes of 7 steps make 9 items.
  assert max(owed) <= (2 + 2) * 2 * 16 * 4 * 9 / 7


def test_episodes_and_steps_of_all_actors_are_told(fake_ray):
  log = Log()
  outcome = run(steps=300, num_actors=2, watcher=log)
  assert [row["train_episodes"] for row in log.episodes] == list(range(1, outcome.episodes + 1))
  assert {row["actor"] for row in log.episodes} == {0, 1}
  assert {row["episode_length"] for row in log.episodes} == {7}
  assert sum(log.statuses[-1]["actor_steps"]) == 300


def test_evaluations_are_of_so_many_episodes_each(fake_ray):
  outcome = run(steps=400, eval_every=100, eval_episodes=3, final_episodes=5)
  numbers = [evaluation["number"] for evaluation in outcome.evaluations]
  assert numbers[-1] == 0
  assert numbers[:-1] == sorted(set(numbers[:-1]))
  assert [len(evaluation["returns"]) for evaluation in outcome.evaluations] == [3] * (len(numbers) - 1) + [5]


def test_a_run_that_was_stopped_goes_on_with_all_it_had(fake_ray, tmp_path):
  log = Log()
  with pytest.raises(Stopped, match="saved at step"):
    run(steps=400, num_actors=2, num_shards=2, checkpoints=tmp_path, watcher=log, stop=stop_after(150, log))
  saved = log.statuses[-1]
  again = Log()
  outcome = run(steps=400, num_actors=2, num_shards=2, checkpoints=tmp_path, watcher=again)
  first = next(status for status in again.statuses if status["learner_steps"])
  for name in ("steps", "episodes", "learner_steps", "inserts", "samples"):
    assert first[name] == saved[name], name
  assert again.restored == {"episodes": len(log.episodes)}
  assert outcome.steps == 400
  assert outcome.episodes == len(log.episodes) + len(again.episodes)
  assert 0 <= 4 * (outcome.inserts - 20) - outcome.samples < 8


def test_ctrl_c_saves_and_is_raised(fake_ray, tmp_path):
  def press():
    if fake_ray.steps == 100:
      os.kill(os.getpid(), signal.SIGINT)

  fake_ray.before_step = press
  before = signal.signal(signal.SIGINT, signal.default_int_handler)  # Begun in the background, a process has none.
  try:
    with pytest.raises(KeyboardInterrupt, match="saved at step"):
      run(steps=1_000, checkpoints=tmp_path)
  finally:
    signal.signal(signal.SIGINT, before)
  assert checkpointing.load(tmp_path).step > 0


def test_checkpoints_of_other_nodes_are_refused(fake_ray, tmp_path):
  run(steps=100, num_actors=2, checkpoints=tmp_path)
  with pytest.raises(checkpointing.CheckpointError, match="of 2 actors and 1 shards, this run has 1 and 1"):
    run(steps=200, num_actors=1, checkpoints=tmp_path)


@pytest.mark.parametrize(
  "options, complaint",
  [
    ({"steps": 0}, "steps: expected 1 or more, got 0"),
    ({"num_actors": 0}, "num_actors: expected 1 or more"),
    ({"num_shards": 2}, "num_shards: expected as many as actors at the most, 1, got 2"),
  ],
)
def test_numbers_that_cannot_be_are_refused(options, complaint):
  with pytest.raises(ValueError, match=re.escape(complaint)):
    run(**{"steps": 10} | options)


@pytest.mark.parametrize("address", ["nonsense", ":6379", "localhost:", "localhost:99999", "ray://localhost:10001"])
def test_what_is_no_address_is_refused(address):
  with pytest.raises(ValueError, match=r"HOST:PORT, auto or local, got "):
    sys.modules["acme_ray.run"]._connect(address)  # What a process does that is connected to no Ray yet.


def test_where_no_ray_is_one_is_told_so_at_once_and_how_a_token_is_given():
  with socket.socket() as silent:
    silent.bind(("127.0.0.1", 0))  # Nobody listens.
    address = f"127.0.0.1:{silent.getsockname()[1]}"
    with pytest.raises(ConnectionError, match=rf"{address}: .*refused\. .*RAY_AUTH_TOKEN"):
      sys.modules["acme_ray.run"]._connect(address)


class Broken(fakes.FakeEnvironment):
  """Raises at its tenth step."""

  def step(self, action):
    self.count = getattr(self, "count", 0) + 1
    if self.count == 10:
      raise OSError("the emulator is gone")
    return super().step(action)


def test_a_node_that_raises_again_and_again_ends_the_run_with_its_own_traceback(fake_ray):
  log = Log()
  with pytest.raises(acme_ray.NodeFailed, match=r"actor 0 fails again and again, .*the emulator is gone"):
    acme_ray.run(linear_q.AGENT, lambda seed: Broken(SPEC, seed=seed), config=CONFIG, steps=100, watcher=log)
  assert len(log.messages) == 2


def test_what_cannot_even_start_is_said_at_once(fake_ray):
  with pytest.raises(acme_ray.NodeFailed, match="cannot start") as failed:
    acme_ray.run(
      linear_q.AGENT, lambda seed: fakes.FakeEnvironment(fakes.make_spec("vector", "continuous"), seed=seed), steps=9
    )
  assert isinstance(failed.value.cause, ValueError)


def test_nodes_that_die_again_and_again_end_the_run(fake_ray):
  def kill():
    for learner in fake_ray.alive("learner"):
      fake_ray.kill(learner)

  fake_ray.before_step = kill
  with pytest.raises(acme_ray.NodeFailed, match="learner 0 fails again and again"):
    run(steps=100)


def test_a_node_that_hangs_is_found_and_begun_anew(fake_ray, monkeypatch):
  ticks = itertools.count()  # A clock that a busy machine does not slow down: each look at it is a second.
  monkeypatch.setattr(supervision, "time", types.SimpleNamespace(monotonic=lambda: next(ticks)))
  hung = []

  def hang():
    if fake_ray.steps == 40:
      hung.extend(fake_ray.alive("actor")[:1])
      hung[0].hangs = True

  fake_ray.before_step = hang
  log = Log()
  outcome = run(steps=400, num_actors=2, patience=1_000.0, watcher=log)
  assert hung
  assert not hung[0].alive
  assert outcome.steps == 400
  assert outcome.restarts == {"actor 0": 1}
  assert "no answer in 1000 seconds" in log.messages[0]


def test_who_begins_anew_keeps_nobody_from_saving_nor_from_acting(fake_ray, tmp_path, monkeypatch):
  ticks = itertools.count()  # As above: who waits for it longer than patience would be found out.
  monkeypatch.setattr(supervision, "time", types.SimpleNamespace(monotonic=lambda: next(ticks)))
  saved, dead = [], []
  log = Log()
  log.saved = lambda steps, episodes: saved.append(steps)

  def kill():
    if fake_ray.steps == 40:
      dead.append(fake_ray.alive("actor")[0])
      fake_ray.kill(dead[0])
    for actor in fake_ray.alive("actor") if dead else ():  # Who comes in its place begins after two checkpoints.
      actor.hangs = actor.node.index == dead[0].node.index and len(saved) < 2

  fake_ray.before_step = kill
  outcome = run(steps=400, num_actors=2, checkpoints=tmp_path, checkpoint_every=100, watcher=log, patience=1_000.0)
  assert outcome.steps == 400
  assert outcome.restarts == {"actor 0": 1}


def test_a_shard_that_lost_all_is_filled_again_before_anything_is_learned(fake_ray):
  state = types.SimpleNamespace(killed=False)
  log = Log()

  def kill():
    for learner in fake_ray.alive("learner"):  # It falls behind until actors wait for it; then the shard dies.
      learner.hangs = learner.ray.steps > 20 and not state.killed
    busy = any(node.queue for node in fake_ray.alive("actor") + fake_ray.alive("shard"))
    if fake_ray.steps > 20 and not state.killed and not busy:
      state.killed, state.before = True, log.statuses[-1]
      fake_ray.kill(fake_ray.alive("shard")[0])

  fake_ray.before_step = kill
  outcome = run(steps=400, num_actors=2, watcher=log)
  assert state.killed
  assert outcome.steps == 400
  assert 0 <= 4 * (outcome.inserts - 20) - outcome.samples < 8
  after = log.statuses[log.statuses.index(state.before) :]
  learned = next(status for status in after if status["samples"] > state.before["samples"])
  assert learned["inserts"] >= state.before["inserts"] + 20


@pytest.mark.parametrize("seed", range(2))
def test_whatever_dies_counts_are_exact_and_nothing_hangs(fake_ray, seed, tmp_path):
  """Kills anything, ten times in a run, and never who has hardly come back."""
  fake_ray.random.seed(seed)
  inserted = {}
  killed = []

  def kill():
    if fake_ray.steps >= 60 + 25 * len(killed) and len(killed) < 10:
      recent = [(type(actor.node), actor.node.index) for actor in killed[-3:]]
      killed.append(fake_ray.random.choice([a for a in fake_ray.alive() if (type(a.node), a.node.index) not in recent]))
      fake_ray.kill(killed[-1])
    for shard in fake_ray.alive("shard"):
      for actor, stream in getattr(shard.node, "_streams", {}).items():
        key = shard.node.index, id(shard), actor, stream.incarnation
        assert stream.expected >= inserted.get(key, 0)  # Never back, within a life.
        inserted[key] = stream.expected

  fake_ray.before_step = kill
  log = Log()
  outcome = run(
    steps=900, num_actors=3, num_shards=2, checkpoints=tmp_path, checkpoint_every=200, watcher=log, eval_every=300
  )
  assert len(killed) == 10
  assert outcome.steps == 900 == sum(log.statuses[-1]["actor_steps"])
  assert outcome.episodes == len(log.episodes)
  assert sum(outcome.restarts.values()) == 10
  assert 0 <= 4 * (outcome.inserts - 20) - outcome.samples < 8


def test_a_learner_that_dies_goes_on_from_the_newest_checkpoint_and_replay_does_not_go_back(fake_ray, tmp_path):
  state = types.SimpleNamespace(killed=False)
  log = Log()

  def kill():
    if not state.killed and log.statuses and log.statuses[-1]["steps"] >= 450:
      state.killed, state.before = True, log.statuses[-1]
      fake_ray.kill(fake_ray.alive("learner")[0])

  fake_ray.before_step = kill
  run(steps=600, checkpoints=tmp_path, checkpoint_every=200, watcher=log)
  after = log.statuses[log.statuses.index(state.before) + 1 :]
  steps = [status["learner_steps"] for status in after]
  assert min(steps) >= 4 * (400 - 20) // 8 - 4  # The checkpoint's at step 400.
  assert min(steps) < state.before["learner_steps"]
  for name in ("steps", "inserts", "samples"):
    assert all(status[name] >= state.before[name] for status in after), name
