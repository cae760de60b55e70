"""Gymnasium's vector environments: the same episodes as one at a time, and workers that die or hang."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import dm_env
import numpy as np
import pytest

import acme
from acme import loggers
from acme.wrappers import GymWrapper
from acme_envs.wrappers import GymVectorWrapper

gymnasium = pytest.importorskip("gymnasium")
spaces = gymnasium.spaces
F = np.float32
FIRST, LAST = int(dm_env.StepType.FIRST), int(dm_env.StepType.LAST)


class Scripted(acme.Actor):
  """The k-th action of every environment is the same; keeps what it sees of each."""

  def __init__(self, n):
    self.n, self.count, self.steps = n, 0, []

  def select_action(self, observation):
    self.count += 1
    action = np.int32(self.count * self.count % 3 % 2)
    return action if self.n is None else np.full(self.n, action)

  def observe_first(self, timestep):
    self.steps.append(timestep)

  def observe(self, action, next_timestep):
    self.steps.append(next_timestep)

  def update(self, wait=False):
    pass

  def of(self, i):
    """All that environment i gave: step types, rewards (0 at resets), discounts (1 at resets) and observations."""
    rows = [t if self.n is None else [field[i] for field in t] for t in self.steps]
    return [(int(k), float(r or 0), 1.0 if d is None else float(d), o.tolist()) for k, r, d, o in rows]


def cartpole():
  return gymnasium.make("CartPole-v1", max_episode_steps=15)


@pytest.mark.parametrize("kind", ["ours", "sync", "async"])
def test_cartpole_is_the_same_in_every_vectorisation(kind):
  """Environment i is first reset with seed + i, and goes on from there; the actions are those of a script."""
  n, num_steps = 2, 60
  make = {
    "ours": lambda: [seeded(i) for i in range(n)],
    "sync": lambda: GymVectorWrapper(gymnasium.vector.SyncVectorEnv([cartpole] * n), seed=3),
    "async": lambda: GymVectorWrapper(gymnasium.vector.AsyncVectorEnv([cartpole] * n), seed=3),
  }
  vector = Scripted(n)
  with acme.VectorEnvironmentLoop(make[kind](), vector, logger=loggers.NullLogger()) as loop:
    loop.run(num_steps=n * num_steps)
  for i in range(n):
    environment, count, alone = seeded(i), 0, Scripted(None)
    alone.observe_first(environment.reset())
    while len(alone.steps) < len(vector.steps):  # As dm_env has it: a step after the last one resets.
      count += 1
      alone.observe(None, environment.step(alone.select_action(None)))
    assert vector.of(i) == alone.of(0)
    assert {kind for kind, *_ in vector.of(i)} == {0, 1, 2}


def seeded(i):
  environment = GymWrapper(cartpole())
  environment.seed(3 + i)
  return environment


def test_cartpole_is_the_same_in_both_loops():
  single, vector = Scripted(None), Scripted(1)
  acme.EnvironmentLoop(GymWrapper(cartpole()), single, seed=3, logger=loggers.NullLogger()).run(num_episodes=1)
  acme.VectorEnvironmentLoop([GymWrapper(cartpole())], vector, seed=3, logger=loggers.NullLogger()).run(num_episodes=1)
  assert single.of(0) == vector.of(0) and len(single.steps) > 5


class SameStep(gymnasium.vector.VectorEnv):
  """Resets in the step that ends an episode, and does not say so."""

  num_envs, metadata = 2, {}
  single_observation_space, single_action_space = spaces.Box(-1, 1, (2,), F), spaces.Discrete(3)
  observation_space, action_space = spaces.Box(-1, 1, (2, 2), F), spaces.MultiDiscrete([3, 3])

  def __init__(self, info, reward):
    self.info, self.reward, self.count = info, reward, 0

  def reset(self, *, seed=None, options=None):
    return np.zeros((2, 2), F), {}

  def step(self, actions):
    self.count += 1
    end = np.full(2, self.count % 3 == 0)
    info = {self.info: np.zeros((2, 2), F)} if self.info and end.any() else {}
    return np.zeros((2, 2), F), np.full(2, self.reward), end, np.zeros(2, bool), info


@pytest.mark.parametrize("info, reward", [("final_obs", 0.0), ("final_observation", 0.0), (None, 1.0)])
def test_a_reset_in_the_same_step_is_an_error_though_nothing_says_so(info, reward):
  loop = acme.VectorEnvironmentLoop(GymVectorWrapper(SameStep(info, reward)), Scripted(2), logger=loggers.NullLogger())
  with pytest.raises(
    ValueError, match=r"reset in the step after.*autoreset_mode=gymnasium.vector.AutoresetMode.NEXT_STEP"
  ):
    loop.run(num_steps=40)


class Sick(gymnasium.Env):
  """Comes to grief in its third step."""

  observation_space, action_space = spaces.Box(-1, 1, (2,), F), spaces.Discrete(3)

  def __init__(self, kind):
    self.kind, self.count = kind, 0

  def reset(self, *, seed=None, options=None):
    return np.zeros(2, F), {}

  def step(self, action):
    self.count += 1
    if self.count == 3:
      {"dies": lambda: os.kill(os.getpid(), signal.SIGKILL), "hangs": lambda: time.sleep(100), "raises": lambda: 1 / 0,
       "well": lambda: None}[self.kind]()  # fmt: skip
    return np.zeros(2, F), 0.0, False, False, {}


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize(
  "kind, error, message",
  [
    ("dies", RuntimeError, r"process of environment {} \(exit code -9\) died"),
    ("hangs", RuntimeError, "did not answer within 0.5 seconds.*timeout="),
    ("raises", ZeroDivisionError, "division"),
  ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_workers_that_come_to_grief_are_an_error_within_seconds(kind, error, message, place):
  kinds = ["well", "well"]
  kinds[place] = kind
  vector = gymnasium.vector.AsyncVectorEnv([lambda k=k: Sick(k) for k in kinds])
  loop = acme.VectorEnvironmentLoop(GymVectorWrapper(vector, timeout=0.5), Scripted(2), logger=loggers.NullLogger())
  start = time.monotonic()
  with pytest.raises(error, match=message.format(place)):
    loop.run(num_steps=20)
  assert time.monotonic() - start < 8
  for process in vector.processes:
    process.join(5)
    assert not process.is_alive()


HANGING = """
import signal, sys, time
import gymnasium
import acme
from acme import loggers
sys.path.insert(0, {tests!r})
from acme_envs.wrappers import GymVectorWrapper
from test_envs_gym_vector import Scripted, Sick
signal.signal(signal.SIGINT, signal.default_int_handler)
vector = gymnasium.vector.AsyncVectorEnv([lambda: Sick("hangs"), lambda: Sick("well")])
print("begun", flush=True)
acme.VectorEnvironmentLoop(GymVectorWrapper(vector), Scripted(2), logger=loggers.NullLogger()).run()
"""


def test_ctrl_c_ends_a_loop_over_a_worker_that_hangs():
  code = HANGING.format(tests=os.path.dirname(__file__))
  process = subprocess.Popen(
    [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
  )
  try:
    assert process.stdout.readline() == b"begun\n"
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)  # To the loop alone: the worker sleeps on.
    assert process.wait(8) != 0
  finally:
    with contextlib.suppress(ProcessLookupError):
      os.killpg(process.pid, signal.SIGKILL)
    process.stdout.close()


def test_rewards_and_step_types_are_those_of_each_environment():
  actor, logger = Scripted(4), loggers.InMemoryLogger()
  vector = gymnasium.make_vec("CartPole-v1", num_envs=4, vectorization_mode="sync")
  with acme.VectorEnvironmentLoop(GymVectorWrapper(vector, seed=0), actor, logger=logger) as loop:
    assert not loop.reproducible
    loop.run(num_steps=200)
  assert logger.rows and all(row["episode_return"] == row["episode_length"] > 5 for row in logger.rows)
  kinds = np.stack([t.step_type for t in actor.steps])
  rewards = np.stack([t.reward for t in actor.steps])
  assert (kinds[0] == FIRST).all() and (rewards[kinds == FIRST] == 0).all() and (rewards[kinds != FIRST] == 1).all()
  np.testing.assert_array_equal(kinds[1:] == FIRST, kinds[:-1] == LAST)


def test_another_autoreset_mode_is_refused():
  mode = gymnasium.vector.AutoresetMode.SAME_STEP
  vector = gymnasium.make_vec(
    "CartPole-v1", num_envs=2, vectorization_mode="sync", vector_kwargs={"autoreset_mode": mode}
  )
  with pytest.raises(ValueError, match="NEXT_STEP, got SAME_STEP"):
    GymVectorWrapper(vector)


def test_arrays_that_it_uses_again_are_copied():
  actor = Scripted(2)
  vector = GymVectorWrapper(gymnasium.vector.SyncVectorEnv([cartpole] * 2, copy=False), seed=0)
  acme.VectorEnvironmentLoop(vector, actor, logger=loggers.NullLogger()).run(num_steps=6)
  assert len({t.observation.tobytes() for t in actor.steps}) == 4


def test_a_loop_says_which_wrapper_helps():
  with pytest.raises(TypeError, match=r"acme_envs.wrappers.GymVectorWrapper\(environments"):
    acme.VectorEnvironmentLoop(gymnasium.vector.SyncVectorEnv([cartpole]), Scripted(1))
