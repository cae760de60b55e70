"""Episodes that are held out are in no sample, and can be gone through; so can batches from somebody's iterator."""

import dataclasses
import functools
import itertools

import numpy as np
import pytest

from acme import experience, specs, types
from acme_replay import EmbeddedReplay, StreamReplay, datasets, split

SCALAR = specs.Array((), np.float32)
SPEC = types.Step(SCALAR, specs.DiscreteArray(3), SCALAR, SCALAR, specs.Array((), bool))
LENGTHS = (4, 1, 7, 3, 5, 6, 2, 9)


@pytest.fixture
def folder(tmp_path):
  """Eight episodes; each observation is 100 times the episode's number, and the time."""
  for i, length in enumerate(LENGTHS):
    observation = np.arange(length + 1, dtype=np.float32) + 100 * i
    columns = (np.zeros(length, np.int32), *np.ones((2, length), np.float32))
    datasets.write(tmp_path / f"{i}.npz", datasets.Episode(observation, *columns))
  return str(tmp_path)


@pytest.mark.parametrize(
  ("number", "share", "expected"),
  [
    (8, 0.0, []),
    (8, 0.25, [2, 6]),
    (20, 0.1, [5, 15]),
    (3, 0.01, [1]),  # one at least
    (10, 0.3, [1, 5, 8]),
    (2, 0.5, [1]),
  ],
)
def test_which_episodes(number, share, expected):
  assert sorted(split.held_out(number, share)) == expected


@pytest.mark.parametrize(("number", "share"), [(1, 0.1), (4, 1.0), (2, 0.8)])
def test_something_is_left_to_learn_from(number, share):
  with pytest.raises(ValueError, match="none left to learn from"):
    split.held_out(number, share)


KINDS = {
  "transitions": experience.Transitions(batch_size=5, n_step=2, held_out=0.25),
  "prioritized": experience.Transitions(batch_size=5, priority_exponent=0.6, held_out=0.25),
  "sequences": experience.Sequences(batch_size=5, length=4, period=3, held_out=0.25),
}


def episodes_in(samples):
  return {int(x) // 100 for sample in samples for x in np.ravel(sample.data.observation) if x}


@pytest.mark.parametrize("items", KINDS.values(), ids=KINDS)
def test_what_is_held_out_is_in_no_sample(folder, items):
  made = EmbeddedReplay(items.from_dataset(folder), SPEC, seed=3)
  sampled = itertools.islice(made.dataset(), 300)
  assert episodes_in(sampled) == {0, 1, 3, 4, 5, 7} == episodes_in(made.once())
  assert episodes_in(made.once(held_out=True)) == {2, 6}
  assert made.info()["replay"].samples == 1500  # Going through counts as none.


@pytest.mark.parametrize("items", KINDS.values(), ids=KINDS)
def test_each_item_comes_once_and_as_an_adder_made_it(folder, items, tmp_path):
  made = EmbeddedReplay(items.from_dataset(folder), SPEC)
  batches = [list(made.once(held_out)) for held_out in (False, True)]
  assert [len(batch.keys) for batch in batches[0][:-1]] == [5] * (len(batches[0]) - 1)
  alone = tmp_path / "alone"
  alone.mkdir()
  for i, episode in enumerate(datasets.read(folder, SPEC)):
    if i in (2, 6):
      datasets.write(alone / f"{i}.npz", episode)
  other = EmbeddedReplay(dataclasses.replace(items, held_out=0.0).from_dataset(str(alone)), SPEC)
  for one, two in zip(batches[1], other.once(), strict=True):
    np.testing.assert_array_equal(one.data.observation, two.data.observation)
    np.testing.assert_array_equal(one.data.reward, two.data.reward)


def test_a_saved_replay_goes_on_with_the_same_samples(folder):
  items = KINDS["transitions"].from_dataset(folder)
  made, other = EmbeddedReplay(items, SPEC, seed=1), EmbeddedReplay(items, SPEC, seed=2)
  next(made.dataset())
  list(made.once(held_out=True))
  other.restore(made.save())
  np.testing.assert_array_equal(next(made.dataset()).keys, next(other.dataset()).keys)
  with pytest.raises(ValueError, match="tables"):  # Another split.
    EmbeddedReplay(dataclasses.replace(items, held_out=0.0), SPEC).restore(made.save())


def test_without_a_dataset():
  assert not list(EmbeddedReplay(experience.Transitions(max_size=10), SPEC).once(held_out=True))
  with pytest.raises(ValueError, match="learns from recorded episodes alone"):
    EmbeddedReplay(experience.Transitions(acting=False), SPEC)


def make_batches():
  for i in range(6):
    size = 3 if i < 5 else 1
    x = np.full(size, i, np.float32)
    yield types.Transition(x, np.zeros(size, np.int32), x, x, x)


def test_a_stream_gives_what_it_is_given_and_goes_on_where_it_was():
  make = functools.partial(StreamReplay, held_out=lambda: itertools.islice(make_batches(), 2))
  made, other = (make(make_batches(), experience.Transitions(), SPEC, 0) for _ in range(2))
  first = next(made.dataset())
  assert first.data.observation.tolist() == [0, 0, 0] and first.keys.tolist() == [0, 1, 2] and first.table_size == 3
  next(made.dataset())
  other.restore(made.save())
  one, two = next(made.dataset()), next(other.dataset())
  assert one.data.observation.tolist() == two.data.observation.tolist() == [2, 2, 2] and two.keys.tolist() == [6, 7, 8]
  assert [batch.data.observation[0] for batch in made.once(held_out=True)] == [0, 1]
  assert made.available() == float("inf") and made.info()["stream"].samples == 9
  assert len(list(made.dataset())) == 3  # It ends where the iterator does.


def test_a_stream_says_what_it_cannot_do():
  made = StreamReplay(iter([{"observation": 1}]), experience.Transitions(), SPEC)
  with pytest.raises(TypeError, match=r"Transition or Sequence, or acme.replay.Sample, got dict"):
    next(made.dataset())
  with pytest.raises(ValueError, match="cannot be had twice"):
    made.once()
  made = StreamReplay(make_batches(), experience.Transitions(), SPEC)
  next(made.dataset())
  with pytest.raises(ValueError, match="cannot go back"):
    made.restore({"taken": 0, "items": 0})
  made = StreamReplay(make_batches(), experience.Transitions(), SPEC)
  with pytest.raises(ValueError, match="ended after 6 batches, and 7 had been taken"):
    made.restore({"taken": 7, "items": 21})
  with pytest.raises(RuntimeError, match="learns from a dataset"):
    made.adder().add_first(None)
