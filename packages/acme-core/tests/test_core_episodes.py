"""Episodes are played again from seed and actions, where the environment repeats them, at a few bytes a step."""

import tracemalloc

import dm_env
import numpy as np
import pytest
import tree

from acme import episodes, wrappers
from acme.episodes import Episodes
from acme_testing import fakes

SPEC = fakes.make_spec()


class IgnoresItsSeed(wrappers.EnvironmentWrapper):
  def seed(self, seed):
    pass


class KeepsStatistics(wrappers.EnvironmentWrapper):
  """Adds the number of steps so far, in all episodes, to every observation after the first `good` of an episode."""

  def __init__(self, environment, good=0):
    super().__init__(environment)
    self.good, self.total = good, 0

  def reset(self):
    self.left = self.good
    return self._shift(super().reset())

  def step(self, action):
    return self._shift(super().step(action))

  def _shift(self, timestep):
    self.left -= 1
    self.total += 1
    shift = self.total if self.left < 0 else 0
    return timestep._replace(
      observation=tree.map_structure(lambda o: (o + shift).astype(o.dtype), timestep.observation)
    )


class Unseeded(wrappers.EnvironmentWrapper):
  def __getattr__(self, name):
    if name == "seed":
      raise AttributeError(name)
    return super().__getattr__(name)


def test_an_episode_that_is_not_repeated_is_given_up():
  one = Episodes(KeepsStatistics(fakes.FakeEnvironment(SPEC, episode_length=100), good=10), seed=1)
  one.reset()
  for _ in range(20):
    one.step(np.int32(0))
  with pytest.warns(UserWarning, match="Episode 0.*20 actions.*A new episode begins"):
    assert one.restore(one.save()) is None
  assert one.save() == {"next": 1, "observation": None}


class Endless(dm_env.Environment):
  """Never ends, and does nothing."""

  def __init__(self, action):
    self.action, self.taken = action, 0

  def seed(self, seed):
    pass

  def action_spec(self):
    return tree.map_structure(lambda a: dm_env.specs.Array(np.shape(a), a.dtype), self.action)

  def observation_spec(self):
    return dm_env.specs.Array((), np.float32)

  def reset(self):
    self.taken = 0
    return dm_env.restart(np.float32(0))

  def step(self, action):
    self.taken += 1
    return dm_env.transition(0.0, np.float32(self.taken))


@pytest.mark.parametrize(
  "action",
  [np.int32(3), np.array([0.5, 2], np.float32), {"a": np.int64(1), "b": [np.zeros((2, 2))]}, [np.int32(1)]],
  ids=repr,
)
def test_actions_come_back_as_they_were(action):
  one, taken = Episodes(Endless(action), seed=1), []
  one.environment.step = lambda a, step=one.environment.step: (taken.append(a), step(a))[1]
  one.reset()
  for i in range(200):  # Beyond what is held at first.
    one.step(tree.map_structure(lambda a, i=i: np.asarray(a + i, a.dtype)[()], action))
  before, state = list(taken), one.save()
  taken.clear()
  assert one.restore(state).observation == 200
  for a, b in zip(before, taken, strict=True):
    tree.map_structure(np.testing.assert_array_equal, a, b)
    assert [leaf.dtype for leaf in tree.flatten(a)] == [leaf.dtype for leaf in tree.flatten(b)]


def test_an_actor_may_use_its_array_again():
  action = np.zeros(2, np.float32)
  one = Episodes(Endless(action), seed=1)
  one.reset()
  for i in range(3):
    action[:] = i
    one.step(action)
  assert one.save()["actions"].tolist() == [[0, 0], [1, 1], [2, 2]]


def test_an_endless_episode_takes_a_few_bytes_a_step():
  one = Episodes(Endless(np.int32(0)), seed=1)
  one.reset()
  tracemalloc.start()
  for _ in range(20_000):
    one.step(np.int32(1))
  size, _ = tracemalloc.get_traced_memory()
  tracemalloc.stop()
  assert size < 200_000


def test_beyond_its_limit_an_episode_is_given_up(monkeypatch):
  monkeypatch.setattr(episodes, "MAX_LENGTH", 100)
  one = Episodes(Endless(np.int32(0)), seed=1)
  for steps, played in ((100, True), (101, False), (500, False)):
    one.reset()
    for _ in range(steps):
      one.step(np.int32(1))
    state = one.save()
    if played:
      assert one.restore(state).observation == 100
      continue
    with pytest.warns(UserWarning, match="more than 100 steps.*a new one begins"):
      assert one.restore(state) is None
