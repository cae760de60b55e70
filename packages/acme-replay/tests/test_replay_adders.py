"""What adders make of episodes, over one stream and over several."""

import dm_env
import numpy as np
import pytest
import tree

from acme import replay, specs, types
from acme_replay import EmbeddedStore, EpisodeAdder, NStepTransitionAdder, SequenceAdder
from acme_testing import golden

FIRST, MID, LAST = (int(step_type) for step_type in dm_env.StepType)


RECORDED_N_STEP, RECORDED_SEQUENCES = golden.read_cases()
CASES = [*golden.N_STEP, *golden.SEQUENCES, *RECORDED_N_STEP, *RECORDED_SEQUENCES]


def make_store(trajectory):
  tick = next(tick for tick in trajectory if tick.action is not None)
  scalar = specs.Array((), np.float32)
  like = lambda leaf: specs.Array(np.shape(leaf), np.float32)  # noqa: E731
  step = types.Step(
    like(tick.timestep.observation),
    specs.Array((), np.int32),
    like(tick.timestep.reward),
    scalar,
    specs.Array((), bool),
    tree.map_structure(like, tick.extras),
  )
  return EmbeddedStore([golden.fifo_table(max_size=1000)], step, seed=0)


def make_adder(writer, case):
  if isinstance(case, golden.NStepCase):
    return NStepTransitionAdder(writer, case.num_steps, case.discount)
  return SequenceAdder(writer, case.length, case.period, case.end)


def backwards(trajectory):
  """The same episodes, the last one first."""
  starts = [t for t, tick in enumerate(trajectory) if tick.action is None]
  episodes = [trajectory[start:stop] for start, stop in zip(starts, [*starts[1:], None], strict=True)]
  return [tick for episode in reversed(episodes) for tick in episode]


@pytest.mark.parametrize("num_streams", [None, 1, 3])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_golden_items(case, num_streams):
  """A stream makes the items of the case alone and beside others, stored and recorded."""
  trajectory = case.trajectory
  if num_streams is not None:
    trajectory = golden.stack([trajectory, backwards(trajectory), trajectory][:num_streams])
  store, writer = make_store(case.trajectory), golden.RecordingWriter(num_streams)
  for each in (writer, store.writer(num_streams)):
    golden.run_adder(make_adder(each, case), trajectory)
  for stream in (0, 2) if num_streams == 3 else (0,):
    golden.assert_items_equal(writer.items(stream=stream), case.items, rtol=1e-5)
  golden.assert_items_equal(golden.read_items(store), writer.items(), rtol=1e-6)


# --- Random trajectories against the definition. ---


def random_streams(rng, num_ticks, num_streams, mean_length):
  """Ticks of N environments: step types, rewards and discounts [T, N]; the observation is the tick's number."""
  step_types = np.full((num_ticks, num_streams), MID)
  step_types[0] = FIRST
  for t in range(1, num_ticks):
    fresh = step_types[t - 1] == LAST
    step_types[t] = np.where(fresh, FIRST, np.where(rng.random(num_streams) < 1 / mean_length, LAST, MID))
  rewards = rng.standard_normal((num_ticks, num_streams))
  discounts = np.where(step_types == LAST, rng.integers(0, 2, step_types.shape), rng.random(step_types.shape))
  return step_types, rewards, discounts


def brute_force(step_types, rewards, discounts, n, gamma):
  """The items of one stream, by the definition: {(t, t'): (R, D)}."""
  items = {}
  starts = np.flatnonzero(step_types == FIRST)
  for start, stop in zip(starts, [*starts[1:], len(step_types)], strict=True):
    ended = step_types[stop - 1] == LAST
    for first in range(start, stop):
      for last in range(first + 1, min(first + n, stop - 1) + 1):
        # n steps, or shorter at the episode's start, or at its end.
        if last - first == n or first == start or (ended and last == stop - 1):
          r, d = rewards[first + 1 : last + 1], discounts[first + 1 : last + 1]
          weights = [gamma**k * np.prod(d[:k]) for k in range(len(r))]
          items[(first, last)] = (np.dot(weights, r), gamma ** (len(r) - 1) * np.prod(d))
  return items


FLOATS = types.Step(
  specs.Array((2,), np.float32),
  specs.Array((), np.int64),
  specs.Array((), np.float64),
  specs.Array((), np.float64),
  specs.Array((), bool),
  {"id": specs.Array((), np.int64)},
)


def read_transitions(store):
  """{(stream, t, t'): (R, D)} of a queue, having checked that action and extras are those of step t."""
  items = {}
  for item in golden.read_items(store):
    (stream, first), (same, last) = item.observation.astype(int), item.next_observation.astype(int)
    assert stream == same
    assert item.action == 1000 * stream + first and item.extras["id"] == -item.action
    assert (stream, first, last) not in items
    items[stream, first, last] = (item.reward, item.discount)
  return items


@pytest.mark.parametrize("num_streams", [None, 1, 5])
@pytest.mark.parametrize("n_step", [1, 2, 5])
def test_n_step_against_the_definition(num_streams, n_step):
  rng = np.random.default_rng(n_step)
  n = num_streams or 1
  step_types, rewards, discounts = random_streams(rng, 120, n, mean_length=8)
  store = EmbeddedStore([golden.fifo_table(max_size=5000)], FLOATS)
  adder = NStepTransitionAdder(store.writer(num_streams), n_step, 0.9)
  for t in range(len(step_types)):
    observation = np.stack([np.arange(n), np.full(n, t)], axis=1).astype(np.float32)
    action = 1000 * np.arange(n) + t - 1
    values = (step_types[t], rewards[t], discounts[t], observation)
    if num_streams is None:
      values, action = [value[0] for value in values], int(action[0])
    timestep = dm_env.TimeStep(*values)
    if t == 0 or (num_streams is None and timestep.first()):
      adder.add_first(timestep)
    else:
      adder.add(action, timestep, {"id": -action})
  expected = {
    (i, *key): value
    for i in range(n)
    for key, value in brute_force(step_types[:, i], rewards[:, i], discounts[:, i], n_step, 0.9).items()
  }
  actual = read_transitions(store)
  assert actual.keys() == expected.keys()
  for key, value in expected.items():
    np.testing.assert_allclose(actual[key], value, rtol=1e-12)


# --- Episodes, errors, state. ---


def test_episodes_are_padded_to_one_length():
  trajectory = golden.episode([1, 2], [1, 0])
  writer = golden.RecordingWriter()
  trajectory += golden.episode([1, 2, 3, 4], [1, 1, 1, 0], first=10)
  golden.run_adder(EpisodeAdder(writer, max_length=5), trajectory)
  short, full = writer.items()
  np.testing.assert_array_equal(short.mask, [1, 1, 1, 0, 0])
  np.testing.assert_array_equal(short.reward, [1, 2, 0, 0, 0])
  np.testing.assert_array_equal(full.observation, [10, 11, 12, 13, 14])
  np.testing.assert_array_equal(full.mask, np.ones(5))


def test_an_episode_that_is_too_long_is_an_error():
  adder = EpisodeAdder(golden.RecordingWriter(), max_length=3)
  with pytest.raises(ValueError, match="max_length = 3"):
    golden.run_adder(adder, golden.episode([1, 2, 3], [1, 1, 0]))


def test_a_period_longer_than_the_length_leaves_gaps():
  writer = golden.RecordingWriter()
  golden.run_adder(SequenceAdder(writer, 2, 4, "zero_pad"), golden.episode([1] * 6, [1] * 6))  # Seven steps.
  assert [list(item.observation) for item in writer.items()] == [[0, 1], [4, 5]]


@pytest.mark.parametrize(
  "make", [lambda w: NStepTransitionAdder(w, 2, 0.9), lambda w: SequenceAdder(w, 3, 2), lambda w: EpisodeAdder(w, 5)]
)
def test_add_needs_an_episode(make):
  adder = make(golden.RecordingWriter())
  with pytest.raises(RuntimeError, match="add_first"):
    adder.add(0, dm_env.transition(1.0, np.float32(0)))
  golden.run_adder(adder, golden.episode([1], [0]))
  with pytest.raises(RuntimeError, match="add_first"):
    adder.add(0, dm_env.transition(1.0, np.float32(0)))


def test_reset_drops_the_episode_in_progress():
  writer = golden.RecordingWriter()
  adder = NStepTransitionAdder(writer, 3, 1.0)
  golden.run_adder(adder, golden.episode([1, 1], [1, 1], open_end=True))
  adder.reset()
  golden.run_adder(adder, golden.episode([4], [0], first=20))
  assert [(i.observation, i.next_observation) for i in writer.items()] == [(0, 1), (0, 2), (20, 21)]


@pytest.mark.parametrize("arguments", [{"n_step": 0}, {"n_step": 1.5}, {"discount": 1.1}, {"discount": float("nan")}])
def test_bad_n_step_arguments(arguments):
  with pytest.raises(ValueError, match=next(iter(arguments))):
    NStepTransitionAdder(golden.RecordingWriter(), **arguments)


@pytest.mark.parametrize("arguments", [(0, 1), (1, 0), (2, 1, "pad")])
def test_bad_sequence_arguments(arguments):
  with pytest.raises(ValueError, match="expected"):
    SequenceAdder(golden.RecordingWriter(), *arguments)


@pytest.mark.parametrize("num_streams", [None, 2])
@pytest.mark.parametrize(
  "make", [lambda w: NStepTransitionAdder(w, 3, 0.5), lambda w: SequenceAdder(w, 3, 2)], ids=["n-step", "sequence"]
)
def test_saved_mid_episode_at_any_tick_it_continues_the_same(make, num_streams):
  trajectory = golden.episode([1, 2, 4, 8], [1, 0.5, 1, 0]) + golden.episode([1, 2, 4], [1, 1, 1], first=40)
  if num_streams:
    trajectory = golden.stack([trajectory, golden.episode([8] * 8, [1] * 8, first=70)])
  whole = golden.RecordingWriter(num_streams)
  golden.run_adder(make(whole), trajectory)
  for stop in range(len(trajectory)):
    before, after = golden.RecordingWriter(num_streams), golden.RecordingWriter(num_streams)
    adder, other = make(before), make(after)
    golden.run_adder(adder, trajectory[:stop])
    other.restore(adder.save())
    golden.run_adder(other, trajectory[stop:])
    golden.assert_items_equal(after.items(), whole.items())


def test_observations_are_copied():
  observation = np.zeros((), np.float32)
  store = make_store(golden.episode([1], [0]))
  adder = NStepTransitionAdder(store.writer(), 1, 1.0)
  adder.add_first(dm_env.restart(observation))
  observation[...] = 1  # The environment uses its array again.
  adder.add(np.int32(0), dm_env.termination(1.0, observation))
  (item,) = golden.read_items(store)
  assert (item.observation, item.next_observation) == (0, 1)


def test_a_full_queue_says_so():
  store = EmbeddedStore([golden.fifo_table(max_size=2)], FLOATS)
  adder = NStepTransitionAdder(store.writer(), 1, 1.0)
  observation = np.zeros(2, np.float32)
  adder.add_first(dm_env.restart(observation))
  for _ in range(2):
    adder.add(0, dm_env.transition(1.0, observation), {"id": 0})
  with pytest.raises(RuntimeError, match="Sample first, or raise max_size"):
    adder.add(0, dm_env.transition(1.0, observation), {"id": 0})
  assert store.info()["replay"] == replay.TableInfo(size=2, inserts=2, samples=0)
