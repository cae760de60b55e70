"""The replay on the device: the same samples as the embedded one, bit for bit, and nothing that a host holds."""

import dataclasses

import dm_env
import jax
import numpy as np
import pytest
import tree

import acme_dqn
from acme import builders, experience, specs
from acme.agents import Agent
from acme_anakin import replay
from acme_anakin.replay import DeviceReplay
from acme_replay import EmbeddedReplay

SCALAR = specs.Array((), np.float32)
VECTOR = {"position": specs.Array((3,), np.float32), "count": specs.Array((), np.int32)}
FRAMES = specs.Array((4, 4, 3), np.uint8)
TRANSITIONS = experience.Transitions(batch_size=8, max_size=60, n_step=3, discount=0.9)
SEQUENCES = experience.Sequences(batch_size=5, max_size=30, length=4, period=2)

CASES = {
  "transitions": (TRANSITIONS, None),
  "prioritised": (dataclasses.replace(TRANSITIONS, priority_exponent=0.7, one_step=True), None),
  "sequences": (SEQUENCES, None),
  "sequences that cross": (dataclasses.replace(SEQUENCES, end_of_episode="continue", priority_exponent=0.5), None),
  "frames": (TRANSITIONS, 3),
  "frames in sequences": (SEQUENCES, 3),
}


def make_spec(frame_stack):
  observations = VECTOR if frame_stack is None else FRAMES
  return builders.step_spec(specs.EnvironmentSpec(observations, specs.DiscreteArray(4), SCALAR, SCALAR))


class Stream:
  """Timesteps of N environments, episodes of 1 to 9 steps."""

  def __init__(self, num_streams, frame_stack, seed=0):
    self._n, self._stack, self._rng = num_streams, frame_stack, np.random.default_rng(seed)
    self._left = np.zeros(num_streams, int)
    self._frames = None

  def _observation(self, starts):
    n = self._n
    if self._stack is None:
      return {
        "position": self._rng.normal(size=(n, 3)).astype("f4"),
        "count": self._rng.integers(9, size=n, dtype="i4"),
      }
    frame = self._rng.integers(256, size=(n, 4, 4, 1), dtype=np.uint8)
    if self._frames is None:
      self._frames = np.zeros((n, 4, 4, 3), np.uint8)
    begun = np.concatenate([np.zeros((n, 4, 4, 2), np.uint8), frame], -1)
    going = np.concatenate([self._frames[..., 1:], frame], -1)
    self._frames = np.where(starts[:, None, None, None], begun, going)
    return self._frames.copy()

  def first(self):
    self._left = self._rng.integers(1, 10, size=self._n)
    starts = np.ones(self._n, bool)
    return dm_env.TimeStep(np.full(self._n, 0), None, None, self._observation(starts))

  def next(self):
    starts = self._left == 0
    self._left = np.where(starts, self._rng.integers(1, 10, size=self._n), self._left - 1)
    kind = np.where(starts, 0, np.where(self._left == 0, 2, 1))
    reward = self._rng.normal(size=self._n).astype("f4")
    action = self._rng.integers(4, size=self._n, dtype=np.int32)
    return action, dm_env.TimeStep(kind, reward, np.ones(self._n, np.float32), self._observation(starts))


def same(left, right):
  tree.assert_same_structure(left, right, check_types=False)
  for one, other in zip(tree.flatten(left), tree.flatten(right), strict=True):
    assert np.asarray(one).dtype == np.asarray(other).dtype
    np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


@pytest.mark.parametrize("name", CASES)
def test_gives_the_embedded_replays_samples_and_goes_on_from_what_was_saved(name):
  items, frame_stack = CASES[name]
  spec = make_spec(frame_stack)

  def make(kind):
    made = kind(items, spec, seed=5, frame_stack=frame_stack)
    return made, made.adder(3), made.dataset()

  (host, host_adder, host_data), (device, adder, data) = make(EmbeddedReplay), make(DeviceReplay)
  stream = Stream(3, frame_stack)
  timestep = stream.first()
  for each in (host_adder, adder):
    each.add_first(timestep)
  for i in range(120):
    action, timestep = stream.next()
    host_adder.add(action, timestep)
    adder.add(action.copy(), timestep)
    for leaf in tree.flatten((action, timestep.observation)):
      leaf[...] = 0  # What an environment changes in place is stored already.
    if i == 60:
      state, adder_state = device.save(), adder.save()
      same(tree.flatten(state["parts"]), tree.flatten(host.save()["parts"]))
      device, adder, data = make(DeviceReplay)
      device.restore(state)
      adder.restore(adder_state)
    if i > 20:
      left, right = next(host_data), next(data)
      same(left, right)
      assert all(isinstance(leaf, jax.Array) for leaf in tree.flatten(right.data.observation))
      if items.prioritized:
        priorities = np.random.default_rng(i).uniform(size=len(left.keys))
        for each in (host, device):
          each.update_priorities(left.keys, priorities)


def test_one_stream_and_blocks(monkeypatch):
  monkeypatch.setattr(replay, "_BLOCK", 7)
  items, spec = dataclasses.replace(TRANSITIONS, max_size=1000), make_spec(None)
  host, device = EmbeddedReplay(items, spec, seed=1), DeviceReplay(items, spec, seed=1)
  stream = Stream(1, None)

  def one(timestep):
    first = tree.map_structure(lambda x: x[0].copy(), (timestep.reward, timestep.discount, timestep.observation))
    return dm_env.TimeStep(dm_env.StepType(int(timestep.step_type[0])), *first)

  adders = [each.adder() for each in (host, device)]
  timestep = one(stream.first()._replace(reward=np.zeros(1), discount=np.ones(1)))
  for each in adders:
    each.add_first(timestep)
  for _ in range(100):
    action, timestep = stream.next()
    for each in adders:
      if timestep.step_type[0] == 0:
        each.add_first(one(timestep)._replace(reward=None, discount=None))
      else:
        each.add(action[0], one(timestep))
  same(next(host.dataset()), next(device.dataset()))


def test_rows_are_read_wherever_they_are():
  column = replay.DeviceColumn("column", specs.Array((), np.float32), 8)
  column.write(slice(0, 2), np.array([1, 2], np.float32))
  column.take(np.array([0]))  # What waits goes to the device.
  column.write(2, np.float32(3))
  np.testing.assert_array_equal(column.read(np.array([1, 2])), [2, 3])


def test_an_agent_learns_the_same_from_it():
  spec = specs.EnvironmentSpec(specs.Array((3,), np.float32), specs.DiscreteArray(2), SCALAR, SCALAR)
  config = acme_dqn.DQNConfig(hidden_sizes=(8,), batch_size=4, min_replay_size=10, samples_per_insert=4.0)
  found = []
  for make in (EmbeddedReplay, DeviceReplay):
    agent, rng = acme_dqn.DQN(spec, config=config, replay=make, seed=3), np.random.default_rng(0)
    agent.observe_first(dm_env.restart(rng.normal(size=3).astype("f4")))
    for _ in range(30):
      action = agent.select_action(rng.normal(size=3).astype("f4"))
      agent.observe(action, dm_env.transition(np.float32(1), rng.normal(size=3).astype("f4"), np.float32(1)))
      agent.update()
    found.append(agent.learner.save()["state"])
  same(*found)


def test_what_does_not_fit_says_how_much_and_what_to_do(monkeypatch):
  monkeypatch.setattr(replay, "device_memory", lambda: 1000)
  with pytest.raises(MemoryError, match=r"steps would take .* GiB .* to spare: lower max_replay_size"):
    DeviceReplay(TRANSITIONS, make_spec(None))
  monkeypatch.setattr(replay, "device_memory", lambda: 100_000)
  small = dataclasses.replace(TRANSITIONS, max_size=8)
  DeviceReplay(small, make_spec(3), frame_stack=3, available_memory=200_000)  # Frames are not the host's.
  with pytest.raises(MemoryError):
    EmbeddedReplay(small, make_spec(3), frame_stack=3, available_memory=200_000)


def test_integers_that_a_device_would_change_are_refused():
  observations = specs.Array((2,), np.int64)
  spec = builders.step_spec(specs.EnvironmentSpec(observations, specs.DiscreteArray(2), SCALAR, SCALAR))
  with pytest.raises(ValueError, match="observation: a device keeps integers of 32 bits, and the spec says int64"):
    DeviceReplay(TRANSITIONS, spec)


def test_an_agent_with_another_backend_refuses_it():
  class Other:
    backend = "tf"

    def __init__(self):
      self._builder = acme_dqn.AGENT.builder(acme_dqn.DQNConfig())

    def __getattr__(self, name):
      return getattr(self._builder, name)

  spec = specs.EnvironmentSpec(specs.Array((3,), np.float32), specs.DiscreteArray(2), SCALAR, SCALAR)
  with pytest.raises(ValueError, match="DeviceReplay is for agents with the backend 'jax', and this one's is 'tf'"):
    Agent(Other(), spec, replay=DeviceReplay)
