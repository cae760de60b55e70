"""The golden vectors against the definitions, written out slowly: a slip of the hand in them would show here."""

import numpy as np
import pytest
import tree

from acme import replay, types
from acme_testing import golden


def ids(case):
  return case.name


def split(trajectory):
  """The episodes of a trajectory."""
  episodes = []
  for tick in trajectory:
    if tick.action is None:
      episodes.append([])
    episodes[-1].append(tick)
  return episodes


def n_step_by_definition(episode, n, gamma):
  """R = Σ_{k<n} γ^k (Π_{j<k} d_{t+j+1}) r_{t+k+1}, D = γ^(n-1) Π_{k<n} d_{t+k+1}."""
  found = []
  last = len(episode) - 1
  for newest in range(1, last + 1):
    ended = episode[newest].timestep.last()
    starts = [max(0, newest - n)]
    if ended:
      starts = list(range(starts[0], newest))
    for start in starts:
      rewards = [episode[t].timestep.reward for t in range(start + 1, newest + 1)]
      discounts = [episode[t].timestep.discount for t in range(start + 1, newest + 1)]
      total = sum(gamma**k * np.prod(discounts[:k]) * np.float64(r) for k, r in enumerate(rewards))
      found.append(
        types.Transition(
          episode[start].timestep.observation,
          episode[start + 1].action,
          np.asarray(total, np.float32),
          np.float32(gamma ** (len(rewards) - 1) * np.prod(discounts)),
          episode[newest].timestep.observation,
          episode[start + 1].extras,
        )
      )
  return found


@pytest.mark.parametrize("case", golden.N_STEP, ids=ids)
def test_n_step_items_follow_the_definition(case):
  expected = [t for e in split(case.trajectory) for t in n_step_by_definition(e, case.num_steps, case.discount)]
  golden.assert_items_equal(case.items, expected)


class PlainAdder(replay.Adder):
  """A sequence adder as ALGORITHMS.md has it, with nothing done for speed."""

  def __init__(self, writer, length, period, end):
    self.writer, self.length, self.period, self.end = writer, length, period, end
    self.count = 0

  def add_first(self, timestep):
    if self.end != "continue":
      self.count = 0
    self._append(timestep, np.int32(0), np.float32(0), np.float32(1), True, self.extras)

  extras = ()

  def add(self, action, timestep, extras=()):
    self._append(timestep, action, timestep.reward, timestep.discount, False, extras)
    missing = (self.length - self.count) if self.count < self.length else (self.length - self.count) % self.period
    if not timestep.last() or not missing or self.end == "continue":
      return
    if self.end == "zero_pad":
      self.writer.create_item("replay", replay.SequenceItem(self.length - missing, missing))
    elif self.end == "truncate":
      self.writer.create_item("replay", replay.SequenceItem(self.length - missing))
    elif self.count >= self.length:
      self.writer.create_item("replay", replay.SequenceItem(self.length))

  def _append(self, timestep, action, reward, discount, start, extras):
    self.writer.append(types.Step(timestep.observation, action, reward, discount, start, extras))
    self.count += 1
    if self.count >= self.length and (self.count - self.length) % self.period == 0:
      self.writer.create_item("replay", replay.SequenceItem(self.length))

  def reset(self):
    self.count = 0

  def save(self):
    return {}

  def restore(self, state):
    pass


def plain_adder(case, writer):
  adder = PlainAdder(writer, case.length, case.period, case.end)
  adder.extras = tree.map_structure(np.zeros_like, case.trajectory[1].extras)
  return adder


@pytest.mark.parametrize("case", golden.SEQUENCES, ids=ids)
def test_sequences_follow_the_rules(case):
  writer = golden.RecordingWriter()
  golden.run_adder(plain_adder(case, writer), case.trajectory)
  golden.assert_items_equal(writer.items(), case.items)


@pytest.mark.parametrize("case", golden.SEQUENCES, ids=ids)
def test_sequences_mask_padding_only(case):
  for item in case.items:
    padding = item.mask == 0
    assert not item.observation[padding].any() and not item.reward[padding].any() and not item.discount[padding].any()
    assert item.mask[0] == 1 and np.all(np.diff(item.mask) <= 0)


def test_cases_cover_terminations_truncations_and_every_end():
  ends = {bool(e[-1].timestep.discount) for case in golden.N_STEP for e in split(case.trajectory)}
  assert ends == {True, False}
  assert {case.end for case in golden.SEQUENCES} == {"zero_pad", "truncate", "write", "continue"}
  assert any(case.discount < 1 for case in golden.N_STEP)


@pytest.mark.parametrize(
  "change, message",
  [
    (lambda items: items[:-1], "Expected 4 items:(.|\n)*got 3"),
    (lambda items: items[::-1], "item 0"),
    (lambda items: [items[0]._replace(reward=np.float32(9)), *items[1:]], "item 0, reward"),
  ],
)
def test_assert_items_equal_sees(change, message):
  items = golden.N_STEP[0].items
  golden.assert_items_equal(items, items)
  with pytest.raises(AssertionError, match=message):
    golden.assert_items_equal(change(items), items)


def test_stack_puts_environments_side_by_side():
  one = golden.episode([1, 2], [1, 0], extras=True) + golden.episode([4], [1], first=100, extras=True)
  other = golden.episode([8, 16, 32, 64], [1, 1, 1, 1], extras=True)
  ticks = golden.stack([one, other])
  assert [list(t.timestep.step_type) for t in ticks] == [[0, 0], [1, 1], [2, 1], [0, 1], [2, 2]]
  assert list(ticks[3].action) == [99, 12] and list(ticks[3].timestep.reward) == [0, 32]
  np.testing.assert_array_equal(ticks[3].extras["core"], [[0], [-2]])
  assert ticks[0].action is None and ticks[1].timestep.observation.shape == (2,)


def test_recording_writer_of_two_streams():
  writer = golden.RecordingWriter(2)
  for t in range(3):
    two = np.array([t, 10 + t], np.float32)
    writer.append(types.Step(two, two.astype(np.int32), two, two, np.array([t == 0, t == 0])))
  ones = np.ones(2, np.float32)
  writer.create_item("replay", replay.TransitionItem(np.array([1, 2]), ones, ones), streams=np.array([0, 1]))
  first, second = writer.items()
  assert (first.observation, first.action, first.next_observation) == (1, 2, 2)
  assert (second.observation, second.action, second.next_observation) == (10, 11, 12)
  assert writer.items(stream=1)[0].next_observation == 12 and writer.priorities == [None, None]
