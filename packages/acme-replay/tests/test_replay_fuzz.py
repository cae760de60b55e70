"""Random scenarios: the store against a model of it in plain lists.

The model keeps every row for ever and knows by number which of them the ring has written over. After each operation the
store must hold the items that the model holds, with the contents that their rows had when they came.

ACME_FUZZ_SCENARIOS says how many scenarios of each kind of item there are; a failure names its scenario.
"""

import collections
import dataclasses
import math
import os
import random

import numpy as np
import pytest
import tree

from acme import replay, specs, types
from acme_replay import EmbeddedStore
from acme_replay.table import num_places

SCENARIOS = int(os.environ.get("ACME_FUZZ_SCENARIOS", "100"))
FLOAT, INT = specs.Array((), np.float64), specs.Array((), np.int64)


@dataclasses.dataclass
class Row:
  """A step of one stream."""

  number: int
  frames: list[int]  # The rows that its observation needs, the oldest first.
  step: types.Step
  follows: bool  # Whether the row before it in its stream was there when it came.


@dataclasses.dataclass
class Item:
  """The rows from `first` to `last` of a stream."""

  stream: list[Row]
  first: int
  last: int
  returns: tuple[float, float]  # R and D of a transition.
  padding: int  # Of a sequence.
  priority: float = 1.0
  key: int = -1
  samples: int = 0

  @property
  def rows(self):
    return self.stream[self.first : self.last + 1]

  @property
  def oldest(self):
    return self.stream[self.first].frames[0]

  def transition(self):
    first, second, last = (self.stream[i].step for i in (self.first, self.first + 1, self.last))
    return types.Transition(first.observation, second.action, *self.returns, last.observation, second.extras["number"])

  def sequence(self, index, batch):
    """Writes it into a batch [B, L] of zeros."""
    for k, row in enumerate(self.rows):
      batch.observation[index, k], batch.start_of_episode[index, k] = row.step.observation, row.step.start_of_episode
      batch.mask[index, k] = 1
      batch.previous_action[index, k], batch.previous_reward[index, k] = row.step.action, row.step.reward
      after = self.stream[self.first + k + 1] if self.first + k + 1 < len(self.stream) else None
      # What was done there came with the next row, unless the episode ended before it.
      if after is not None and after.follows and not after.step.start_of_episode:
        step = after.step
        batch.action[index, k], batch.reward[index, k], batch.discount[index, k] = (
          step.action,
          step.reward,
          step.discount,
        )
        batch.extras[index, k] = step.extras["number"]
        batch.acted[index, k] = 1


def transitions(items):
  """The batch that items of transitions are."""
  return types.Transition(*map(np.array, zip(*[item.transition() for item in items], strict=True)))


def sequences(items):
  """The batch that items of sequences are, padded to the longest."""
  shape = (len(items), max(len(item.rows) + item.padding for item in items))
  observation = np.zeros((*shape, *items[0].rows[0].step.observation.shape), int)
  batch = types.Sequence(observation, *[np.zeros(shape) for _ in types.Sequence._fields[1:]])
  for i, item in enumerate(items):
    item.sequence(i, batch)
  return batch


class ModelTable:
  """The items that a table holds, the oldest first."""

  def __init__(self, description):
    self.description = description
    self.items: list[Item] = []
    self.inserts = self.samples = 0
    self.largest = 1.0  # Of the priorities given since the table was last empty.
    self.fifo = isinstance(description.sampler, replay.Fifo)
    self.is_queue = self.fifo and description.max_times_sampled == 1

  def weight(self, item):
    sampler = self.description.sampler
    return item.priority**sampler.exponent if isinstance(sampler, replay.Prioritized) else 1.0

  def available(self):
    allowed, limit = (
      self.description.rate_limiter.allowed(self.inserts, self.samples),
      self.description.max_times_sampled,
    )
    if self.fifo:
      there = len(self.items)
    else:
      left = [math.inf if limit is None else limit - item.samples for item in self.items if self.weight(item) > 0]
      there = sum(left)
    return max(0, min(allowed, there))

  def evict(self, count):
    del self.items[:count]
    self._empty()

  def insert(self, items, priority):
    description = self.description
    self.evict(max(0, len(self.items) + len(items) - description.max_size))
    if description.max_times_sampled is not None and not self.fifo:
      while self.items and self.inserts + len(items) - self.items[0].key > 2 * description.max_size:
        self.evict(1)
    if priority is not None:
      self.largest = max(self.largest, priority) if self.items else priority
    for item in items:
      item.priority = self.largest if priority is None else priority
      item.key = self.inserts
      self.inserts += 1
      self.items.append(item)

  def set_priorities(self, keys, priorities):
    held = {item.key: item for item in self.items}
    for key, priority in zip(keys, priorities, strict=True):
      if key in held:
        held[key].priority = priority
        self.largest = max(self.largest, priority)

  def take(self, keys):
    """Counts samples; items leave with their last one."""
    held = {item.key: item for item in self.items}
    self.samples += len(keys)
    limit = self.description.max_times_sampled
    if limit is None:
      return
    for key in keys:
      held[key].samples += 1
      assert held[key].samples <= limit, "sampled too often"
    self.items = [item for item in self.items if item.samples < limit]
    self._empty()

  def _empty(self):
    if not self.items:
      self.largest = 1.0


class Model:
  """Rows by number, and tables."""

  def __init__(self, tables, capacity, stack):
    self.tables = {table.name: ModelTable(table) for table in tables}
    self.capacity = capacity
    self.stack = stack
    self.head = 0

  @property
  def tail(self):
    """The oldest row that is not written over."""
    return max(0, self.head - self.capacity)

  def begins_anew(self, streams):
    """Whether the rows before have been written over by the time these streams go on."""
    return not streams[0] or streams[0][-1].number < self.head + len(streams) - self.capacity

  def append(self, streams, steps):
    """Appends a step to each stream; returns the error that there must be instead, or None."""
    anew, count, size = self.begins_anew(streams), len(streams), self.stack or 1
    fresh = [anew or bool(step.start_of_episode) for step in steps]
    # The older frames of these get rows of their own, unless they repeat the newest.
    own = [i for i in range(count) if size > 1 and fresh[i] and np.ptp(steps[i].observation, axis=-1).any()]
    num_rows = count + len(own) * (size - 1)
    if self.head + num_rows > self.capacity:
      if num_rows > self.capacity // 2:
        return ValueError
      if not self._make_room(self.head + num_rows - self.capacity):
        return RuntimeError
    older = {i: [self.head + k * len(own) + n for k in range(size - 1)] for n, i in enumerate(own)}
    first = self.head + num_rows - count
    self.head += num_rows
    follows = not anew and streams[0][-1].number >= self.tail
    for i, (stream, step) in enumerate(zip(streams, steps, strict=True)):
      before = older.get(i, [first + i] * (size - 1)) if fresh[i] else stream[-1].frames[1:]
      stream.append(Row(first + i, [*before, first + i], step, follows))
    return None

  def _make_room(self, end):
    """Evicts what needs rows below `end`, the oldest items first; False where a queue would lose one."""
    while (row := min((item.oldest for table in self.tables.values() for item in table.items), default=end)) < end:
      filled = [table for table in self.tables.values() if table.items]
      for table in [table for table in filled if table.items[0].oldest <= row] or filled:
        if table.is_queue:
          return False
        table.evict(1)
    return True

  def holds(self, item):
    """Whether the rows of a new item are all there, and linked."""
    return item.oldest >= self.tail and all(row.follows for row in item.rows[1:])


class Scenario:
  """A store and its model, side by side."""

  def __init__(self, kind, seed):
    self.rng = rng = random.Random(seed)
    self.kind = kind
    self.seed = seed
    self.events = collections.Counter()
    self.stack = rng.choice([None, None, 2, 3, 4])
    self.capacity = rng.randrange(8, 70)
    self.tables = [self._random_table(name) for name in ("a", "b")[: rng.randrange(1, 3)]]
    observation = specs.Array((2,) if self.stack is None else (2, self.stack), np.int64)
    self.spec = types.Step(observation, INT, FLOAT, FLOAT, specs.Array((), bool), {"number": INT})
    self.model = Model(self.tables, self.capacity, self.stack)
    self.store = self._make_store(seed)
    self.number = 0  # Of steps made, which makes each of them another.
    self.sizes = [rng.choice([None, rng.randint(1, self.capacity // 4)]) for _ in range(rng.randrange(1, 4))]
    self.writers = [self.store.writer(size) for size in self.sizes]
    self.streams: list[list[list[Row]]] = [[[] for _ in range(size or 1)] for size in self.sizes]

  def run(self):
    operations = [self.append, self.insert, self.sample, self.set_priorities, self.restore, self.check]
    for operation in self.rng.choices(operations, [45, 30, 12, 8, 2, 3], k=self.rng.randrange(20, 250)):
      if operation() == "end":
        break
    self.check()
    return self.events

  def append(self):
    which = self.rng.randrange(len(self.writers))
    streams, size = self.streams[which], self.sizes[which]
    steps = [self._random_step(stream) for stream in streams]
    expected = self.model.append(streams, steps)
    step = tree.map_structure(lambda *leaves: np.stack(leaves), *steps) if size is not None else steps[0]
    self._expect(expected, "append", lambda: self.writers[which].append(step))
    return "end" if expected is RuntimeError else None  # Other tables have lost items by then.

  def insert(self):
    rng, which, table = self.rng, self.rng.randrange(len(self.writers)), self._random_model()
    streams, size = self.streams[which], self.sizes[which]
    count = rng.randint(1, min(len(streams), table.description.max_size))
    chosen = np.array(sorted(rng.sample(range(len(streams)), count)))
    back = np.array([rng.randrange(self.kind == "transition", 7) for _ in chosen])
    padding = np.array([rng.randrange(4) for _ in chosen])
    returns = np.array([[rng.random(), rng.random()] for _ in chosen]).T
    priority = rng.choice([None, None, None, None, 0.0, 1e-9, 0.3, 5.0, 1e6])
    if self.kind == "transition":
      trajectory = replay.TransitionItem(back, *returns)
    else:
      trajectory = replay.SequenceItem(back + 1, padding)
    if size is None:
      trajectory = type(trajectory)(*[leaf[0] if len(leaf) else leaf for leaf in trajectory])

    def call():
      self.writers[which].create_item(
        table.description.name, trajectory, priority, chosen if size is not None else None
      )

    if back.max() >= len(streams[0]):
      return self._expect(ValueError, "too few steps", call)
    last = len(streams[0]) - 1
    items = [
      Item(streams[i], last - b, last, tuple(pair), pad)
      for i, b, pair, pad in zip(chosen, back, returns.T, padding, strict=True)
    ]
    full = table.is_queue and len(table.items) + len(items) > table.description.max_size
    if full or not all(map(self.model.holds, items)):
      return self._expect(RuntimeError, "item", call)
    self._expect(None, "item", call)
    return table.insert(items, priority)

  def sample(self):
    table = self._random_model()
    name, available, size = table.description.name, table.available(), self.rng.randrange(1, 6)
    assert self.store.available(name) == available
    if available >= 1 and self.rng.random() < 0.9:
      size = int(min(size, available))
    if size > available:
      return self._expect(RuntimeError, "sample", lambda: next(self.store.dataset(name, size)))
    sample = next(self.store.dataset(name, size))
    self.events["sample"] += 1
    self._compare(sample.data, self._items(table, sample.keys))
    assert sample.table_size == len(table.items)
    self._check_choice(table, sample)
    return table.take(sample.keys.tolist())

  def set_priorities(self):
    rng, table = self.rng, self._random_model()
    keys = rng.choices(range(table.inserts + 3), k=rng.randrange(9))  # Some of them gone, or yet to come.
    priorities = rng.choices([0.0, 1e-12, 1e-3, 1.0, 7.0, 1e8], k=len(keys))
    self.store.update_priorities(table.description.name, np.array(keys, int), np.array(priorities))
    table.set_priorities(keys, priorities)

  def restore(self):
    """Goes on with another store, which must do what this one would have done."""
    other = self._make_store(self.seed + 1)
    other.restore(self.store.save())
    for name, table in self.model.tables.items():
      if table.available() >= 3:
        old, new = (next(store.dataset(name, 3)) for store in (self.store, other))
        tree.map_structure(np.testing.assert_array_equal, old, new)
        table.take(new.keys.tolist())
    writers = [other.writer(size) for size in self.sizes]
    for old_writer, new_writer in zip(self.writers, writers, strict=True):
      new_writer.restore(old_writer.save())
    self.store, self.writers = other, writers
    self.events["restore"] += 1

  def check(self):
    """The store holds what the model holds."""
    info = self.store.info()
    for name, model in self.model.tables.items():
      assert info[name] == replay.TableInfo(len(model.items), model.inserts, model.samples)
      if model.items:
        keys = np.array([item.key for item in model.items])
        self._compare(self.store.table(name).items.take(keys % num_places(model.description)), model.items)
    self.events["check"] += 1

  def _random_table(self, name):
    rng = self.rng
    size = rng.randrange(1, 40)
    limiter = replay.RateLimiter(min_size=min(size, 5), samples_per_insert=1.5)
    return replay.Table(
      name=name,
      max_size=size,
      sampler=rng.choice([replay.Uniform(), replay.Prioritized(rng.choice([0.0, 0.5, 1.0])), replay.Fifo()]),
      max_times_sampled=rng.choice([None, None, None, 1, 2, 3]),
      rate_limiter=rng.choice([replay.RateLimiter(), replay.RateLimiter(), replay.RateLimiter(), limiter]),
    )

  def _random_model(self):
    return self.rng.choice(list(self.model.tables.values()))

  def _random_step(self, stream):
    rng, number = self.rng, self.number
    self.number += 1
    start = not stream or rng.random() < 0.15
    observation = np.array([number, -number])
    if self.stack is not None:
      older = stream[-1].step.observation[:, 1:] if not start else self._first_frames(observation)
      observation = np.concatenate([older, observation[:, None]], axis=1)
    return types.Step(
      observation, np.int64(7 * number), rng.random(), rng.random(), np.bool_(start), {"number": np.int64(11 * number)}
    )

  def _first_frames(self, frame):
    """The older frames of an episode's first stack: the newest one repeated, zeros, or any."""
    shape = (2, self.stack - 1)
    return self.rng.choice(
      [np.full(shape, frame[:, None]), np.zeros(shape, int), np.arange(2, 2 * self.stack).reshape(shape)]
    )

  def _make_store(self, seed):
    return EmbeddedStore(self.tables, self.spec, seed, max_steps=self.capacity, frame_stack=self.stack)

  def _expect(self, error, event, call):
    self.events[f"{event} {error.__name__}" if error is not None else event] += 1
    if error is None:
      call()
      return
    with pytest.raises(error):
      call()

  def _items(self, table, keys):
    held = {item.key: item for item in table.items}
    assert set(keys.tolist()) <= held.keys(), "an item was sampled that is not there"
    return [held[key] for key in keys.tolist()]

  def _compare(self, data, items):
    """A batch has the contents of these items."""
    want = (transitions if self.kind == "transition" else sequences)(items)
    for name, got, wanted in zip(want._fields, data._replace(extras=data.extras["number"]), want, strict=True):
      if isinstance(got, tuple):  # Nobody asked for it.
        assert got == (), name
        continue
      np.testing.assert_array_equal(got, wanted, name)

  def _check_choice(self, table, sample):
    """Items are chosen in order, or with the probabilities that priorities give them."""
    if table.fifo:
      assert sample.keys.tolist() == [item.key for item in table.items[: len(sample.keys)]]
      return
    weights = {item.key: table.weight(item) for item in table.items}
    assert all(weights[key] > 0 for key in sample.keys.tolist())
    # Where items leave as they are sampled, the first one's is known.
    count = len(sample.keys) if table.description.max_times_sampled is None else 1
    expected = [weights[key] / sum(weights.values()) for key in sample.keys[:count].tolist()]
    np.testing.assert_allclose(sample.probabilities[:count], expected, rtol=1e-9)


@pytest.mark.filterwarnings("ignore:Table '.' holds")
@pytest.mark.parametrize("kind", ["transition", "sequence"])
def test_the_store_does_what_its_model_does(kind):
  events = collections.Counter()
  for seed in range(SCENARIOS):
    try:
      events += Scenario(kind, seed).run()
    except BaseException as error:
      error.add_note(f"In Scenario({kind!r}, {seed}).")
      raise
  wanted = "append, append ValueError, append RuntimeError, item, item RuntimeError, too few steps ValueError, sample, "
  wanted += "sample RuntimeError, restore, check"
  assert SCENARIOS < 100 or events.keys() == set(wanted.split(", "))
