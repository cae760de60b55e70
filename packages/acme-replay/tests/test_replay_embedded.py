"""What the embedded store keeps, forgets, saves and refuses."""

import re

import dm_env
import numpy as np
import pytest
import tree

from acme import checkpointing, replay, specs, types
from acme_replay import EmbeddedStore, NStepTransitionAdder, SequenceAdder, size_in_bytes

FIRST, MID, LAST = (int(step_type) for step_type in dm_env.StepType)
SCALAR = specs.Array((), np.float32)


def step_spec(observation=specs.Array((2,), np.float32), action=specs.Array((), np.int64), extras=()):  # noqa: B008
  return types.Step(observation, action, SCALAR, SCALAR, specs.Array((), bool), extras)


def play(adder, rng, num_ticks, num_streams=None, mean_length=6.0, observe=None, state=None):
  """Plays episodes of random lengths; the observation of tick t is (stream, t), the reward that comes with it t."""
  n = num_streams or 1
  step_type = np.full(n, LAST) if state is None else state["step_type"]
  begin = 0 if state is None else state["t"]
  for t in range(begin, begin + num_ticks):
    fresh = step_type == LAST
    step_type = np.where(fresh, FIRST, np.where(rng.random(n) < 1 / mean_length, LAST, MID))
    observation = np.stack([np.arange(n), np.full(n, t)], axis=1).astype(np.float32)
    if observe is not None:
      observation = observe(step_type, t)
    values = (step_type, np.full(n, t, np.float32), np.where(step_type == LAST, 0, 1).astype(np.float32), observation)
    action = 1000 * np.arange(n) + t - 1
    if num_streams is None:
      values, action = [value[0] for value in values], action[0]
    if t == 0 or (num_streams is None and fresh[0]):
      adder.add_first(dm_env.TimeStep(*values))
    else:
      adder.add(action, dm_env.TimeStep(*values))
  return {"step_type": step_type, "t": begin + num_ticks}


def check_transitions(data, n_step):
  """Each transition says of itself where it came from: reward t for each tick t, and the action's own number."""
  (stream, first), (same, last) = data.observation.T, data.next_observation.T
  np.testing.assert_array_equal(stream, same)
  np.testing.assert_array_equal(data.action, 1000 * stream + first)
  assert np.all((first < last) & (last - first <= n_step))
  np.testing.assert_array_equal(data.reward, (last * (last + 1) - first * (first + 1)) / 2)


@pytest.mark.parametrize("num_streams", [None, 1, 3])
@pytest.mark.parametrize("max_steps", [None, 64])
def test_every_sample_is_authentic_as_the_ring_goes_round(num_streams, max_steps):
  rng = np.random.default_rng(0)
  store = EmbeddedStore([replay.Table(max_size=50)], step_spec(), max_steps=max_steps)
  adder = NStepTransitionAdder(store.writer(num_streams), 3, 1.0)
  dataset, state = store.dataset("replay", 64), None
  for _ in range(60):
    state = play(adder, rng, 10, num_streams, state=state)
    sample = next(dataset)
    check_transitions(sample.data, 3)
    assert sample.table_size == store.info()["replay"].size
  info = store.info()["replay"]
  assert info.size == 50 and info.inserts > 500 and info.samples == 60 * 64
  assert info.inserts - 50 <= sample.keys.min() and sample.keys.max() < info.inserts


@pytest.mark.filterwarnings("ignore:Table 'replay' holds")
@pytest.mark.parametrize("num_streams", [None, 4])
@pytest.mark.parametrize("end", ["zero_pad", "truncate", "write", "continue"])
def test_every_sequence_is_authentic_where_steps_push_items_out(num_streams, end):
  rng = np.random.default_rng(1)
  store = EmbeddedStore([replay.Table(max_size=1000)], step_spec(), max_steps=80)
  adder = SequenceAdder(store.writer(num_streams), 5, 2, end)
  dataset, state = store.dataset("replay", 32), None
  for _ in range(40):
    state = play(adder, rng, 10, num_streams, state=state)
    data = next(dataset).data
    real = data.mask.astype(bool)
    stream, t = data.observation[..., 0], data.observation[..., 1]
    np.testing.assert_array_equal(t, np.where(real, t[:, :1] + np.arange(t.shape[1]), 0))
    np.testing.assert_array_equal(stream, np.where(real, stream[:, :1], 0))
    acted = data.reward > 0
    np.testing.assert_array_equal(data.reward, np.where(acted, t + 1, 0))
    np.testing.assert_array_equal(data.action, np.where(acted, 1000 * stream + t, 0))
    # Without a reward: padding, and the final observation of an episode, before padding, a start or the item's end.
    following = np.concatenate([data.start_of_episode[:, 1:] | ~real[:, 1:], np.ones((32, 1), bool)], axis=1)
    assert np.all(following[~acted & real])
    assert end == "continue" or not data.start_of_episode[:, 1:].any()
  assert store.info()["replay"].size < 1000


def test_the_whole_max_size_is_held_however_short_the_episodes():
  store = EmbeddedStore([replay.Table(max_size=3000)], step_spec())
  adder = NStepTransitionAdder(store.writer(), 1, 1.0)
  play(adder, np.random.default_rng(0), 30_000, mean_length=1)
  assert store.info()["replay"].size == 3000


def test_each_step_is_stored_once():
  tables = [replay.Table(name="a", max_size=500), replay.Table(name="b", max_size=500)]
  store = EmbeddedStore(tables, step_spec())
  writer = store.writer()
  adder = SequenceAdder(writer, 10, 1, "write", table="a")
  play(adder, np.random.default_rng(0), 100, mean_length=1e9)
  assert store.info()["a"].size == 90
  assert store.num_steps == 100
  writer.create_item("b", replay.TransitionItem(3, 1.0, 1.0))
  assert store.num_steps == 100


def test_two_writers_take_turns():
  rng = np.random.default_rng(0)
  store = EmbeddedStore([replay.Table(max_size=60)], step_spec(), max_steps=150)
  one, many = NStepTransitionAdder(store.writer(), 3, 1.0), NStepTransitionAdder(store.writer(3), 3, 1.0)
  dataset, states = store.dataset("replay", 64), [None, None]
  for _ in range(50):
    states = [play(one, rng, 3, None, state=states[0]), play(many, rng, 3, 3, state=states[1])]
    check_transitions(next(dataset).data, 3)


def test_samples_belong_to_the_caller():
  store = EmbeddedStore([replay.Table(max_size=10)], step_spec())
  adder, rng = NStepTransitionAdder(store.writer(), 1, 1.0), np.random.default_rng(0)
  state = play(adder, rng, 10)
  sample = next(store.dataset("replay", 8))
  kept = tree.map_structure(np.copy, sample)
  play(adder, rng, 50, state=state)
  next(store.dataset("replay", 8))
  tree.map_structure(np.testing.assert_array_equal, sample, kept)


NESTED = step_spec(
  observation={
    "position": specs.Array((2,), np.float32),
    "seen": (specs.Array((), np.int32), specs.Array((3,), np.uint8)),
  },
  action=[specs.Array((2,), np.float32)],
  extras={"logits": specs.Array((4,), np.float32)},
)


def nested_step(i):
  return types.Step(
    {"position": np.full(2, i, np.float32), "seen": (np.int32(i), np.full(3, i, np.uint8))},
    [np.full(2, i, np.float32)],
    float(i),
    1.0,
    i == 0,
    {"logits": np.full(4, i, np.float32)},
  )


def test_nested_steps():
  store = EmbeddedStore([replay.Table()], NESTED, available_memory=2**40)
  writer = store.writer()
  for i in range(4):
    writer.append(nested_step(i))
  writer.create_item("replay", replay.TransitionItem(2, 5.0, 1.0))
  data = next(store.dataset("replay", 2)).data
  np.testing.assert_array_equal(data.observation["seen"][1], np.full((2, 3), 1))
  np.testing.assert_array_equal(data.next_observation["position"], np.full((2, 2), 3))
  np.testing.assert_array_equal(data.action[0], np.full((2, 2), 2))
  np.testing.assert_array_equal(data.extras["logits"], np.full((2, 4), 2))


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"observation": {"position": np.zeros(2, np.float32)}}, "observation: expected the structure"),
    ({"action": [np.zeros(3, np.float32)]}, r"action\[0\]: expected shape \(2,\).*got \(3,\)"),
    ({"extras": {"logits": np.zeros(4, complex)}}, r"extras\['logits'\]: expected dtype float32.*complex"),
    ({"reward": np.zeros(1, np.float32)}, r"reward: expected shape \(\).*got \(1,\)"),
    ({"reward": None}, "reward: expected dtype float32"),
  ],
)
def test_steps_that_do_not_fit_are_refused_and_leave_nothing(change, message):
  store = EmbeddedStore([replay.Table(max_size=10)], NESTED)
  writer = store.writer()
  with pytest.raises(ValueError, match=message):
    writer.append(nested_step(0)._replace(**change))
  assert store.num_steps == 0


def test_integer_and_float_kinds_are_told_apart_and_sizes_are_not():
  store = EmbeddedStore([replay.Table(max_size=10)], step_spec(action=specs.Array((), np.int32)))
  writer = store.writer()
  step = types.Step(np.zeros(2, np.float64), 3, 1, 1.0, True)
  writer.append(step)
  with pytest.raises(ValueError, match="action: expected dtype int32"):
    writer.append(step._replace(action=0.5))


FITTING = [  # dtype of the spec, values, what is kept
  (np.uint8, [0, 255, np.int64(255), True], [0, 255, 255, 1]),
  (np.int32, [-(2**31), np.int64(2**31 - 1), np.uint64(7)], [-(2**31), 2**31 - 1, 7]),
  (np.int64, [2**63 - 1, np.uint8(200)], [2**63 - 1, 200]),
  (np.float32, [0.1, np.float64(-3.4e38), 2**24, 2**25, np.inf, np.nan], [0.1, -3.4e38, 2**24, 2**25, np.inf, np.nan]),
]
CHANGED = [  # dtype of the spec, a value that it changes, what that would become
  (np.uint8, 300, 44),
  (np.uint8, -1, 255),
  (np.uint8, np.int8(-1), 255),
  (np.int32, 2**31, -(2**31)),
  (np.int64, 2**63, -(2**63)),
  (np.uint64, -1, 2**64 - 1),
  (np.float32, 1e300, np.inf),
  (np.float32, np.float64(-1e300), -np.inf),
  (np.float32, 2**24 + 1, "16777216"),
  (np.float16, np.float32(70000), np.inf),
]


def store_of_actions(dtype, shape=()):
  return EmbeddedStore([replay.Table(max_size=10)], step_spec(action=specs.Array(shape, dtype)))


@pytest.mark.parametrize(("dtype", "values", "kept"), FITTING)
def test_numbers_of_another_size_that_fit_are_kept(dtype, values, kept):
  store = store_of_actions(dtype)
  writer = store.writer()
  for _ in range(2):  # The second time by the quick way.
    for value, want in zip(values, kept, strict=True):
      writer.append(types.Step(np.zeros(2), value, 0.0, 1.0, False))
      np.testing.assert_array_equal(store.ring.action.array[store.num_steps - 1], dtype(want))


@pytest.mark.parametrize(("dtype", "value", "cast"), CHANGED)
def test_numbers_that_a_cast_would_change_are_refused(dtype, value, cast):
  store = store_of_actions(dtype)
  writer = store.writer()
  message = f"fit in {np.dtype(dtype)} as the spec says, got {value}, which would become {cast}"
  for num_steps in range(2):  # Of a type that has not been seen, and of one that has.
    with pytest.raises(ValueError, match="action: expected numbers that " + re.escape(message)):
      writer.append(types.Step(np.zeros(2), value, 0.0, 1.0, True))
    assert store.num_steps == num_steps
    writer.append(types.Step(np.zeros(2), type(value)(1), 0.0, 1.0, True))


@pytest.mark.parametrize(("dtype", "value", "cast"), CHANGED)
def test_the_first_of_several_numbers_that_a_cast_would_change_is_named(dtype, value, cast):
  store = store_of_actions(dtype, shape=(3,))
  writer = store.writer(2)
  ones = np.ones((2, 3), np.asarray(value).dtype)
  step = types.Step(np.zeros((2, 2)), ones, np.zeros(2), np.ones(2), np.zeros(2, bool))
  writer.append(step)
  bad = ones.copy()
  bad[1, 1:] = value
  with pytest.raises(ValueError, match=re.escape(f"got {value} at (1, 1), which would become {cast}")):
    writer.append(step._replace(action=bad))
  assert store.num_steps == 2


@pytest.mark.parametrize("num_streams", [None, 2])
def test_returns_that_overflow_are_refused(num_streams):
  store = EmbeddedStore([replay.Table(max_size=10)], step_spec())
  adder = NStepTransitionAdder(store.writer(num_streams), 2, 1.0)
  lead = (lambda x: x) if num_streams is None else (lambda x: np.stack([x] * num_streams))
  observation, reward, discount = (lead(np.asarray(x, np.float32)) for x in (np.zeros(2), 3e38, 1))
  adder.add_first(dm_env.TimeStep(lead(FIRST), reward, discount, observation))
  adder.add(lead(0), dm_env.TimeStep(lead(MID), reward, discount, observation))
  with pytest.raises(ValueError, match="item reward: expected numbers that fit in float32"):
    adder.add(lead(0), dm_env.TimeStep(lead(MID), reward, discount, observation))


@pytest.mark.parametrize(
  ("item", "error", "message"),
  [
    (replay.TransitionItem(0, 1.0, 1.0), ValueError, "expected 1 or more"),
    (replay.TransitionItem(3, 1.0, 1.0), ValueError, "there are 3 steps"),
    (replay.SequenceItem(4), ValueError, "there are 3 steps"),
    (replay.TransitionItem(1, np.zeros(2), 1.0), ValueError, "item reward: expected shape"),
  ],
)
def test_items_that_do_not_fit_are_refused(item, error, message):
  store = EmbeddedStore([replay.Table(max_size=10)], step_spec())
  writer = store.writer()
  for i in range(3):
    writer.append(types.Step(np.zeros(2, np.float32), 0, 0.0, 1.0, i == 0))
  with pytest.raises(error, match=message):
    writer.create_item("replay", item)
  assert store.info()["replay"].inserts == 0


def test_an_item_that_was_refused_decides_no_kind():
  store = EmbeddedStore([replay.Table(max_size=10)], step_spec())
  writer = store.writer()
  with pytest.raises(ValueError, match="there are 0 steps"):
    writer.create_item("replay", replay.SequenceItem(2))
  play(NStepTransitionAdder(writer, 1, 1.0), np.random.default_rng(0), 3)
  assert store.info()["replay"].inserts == 2


def test_a_table_holds_one_kind_of_items():
  store = EmbeddedStore([replay.Table(max_size=10)], step_spec())
  play(NStepTransitionAdder(store.writer(), 1, 1.0), np.random.default_rng(0), 3)
  with pytest.raises(ValueError, match="holds transition items, got a sequence"):
    play(SequenceAdder(store.writer(), 2, 1), np.random.default_rng(0), 5)


def test_an_unknown_table_is_named():
  store = EmbeddedStore([replay.Table(name="a"), replay.Table(name="b")], step_spec(), available_memory=2**40)
  with pytest.raises(KeyError, match="'c'; there are: a, b"):
    store.dataset("c", 1)


def test_sequences_that_outgrow_the_ring_warn_once_and_queues_refuse():
  sequences = EmbeddedStore([replay.Table(max_size=100)], step_spec(), max_steps=100)
  with pytest.warns(UserWarning, match="max_steps"):
    play(SequenceAdder(sequences.writer(), 10, 10), np.random.default_rng(0), 150)
  queue = replay.Table(max_size=100, sampler=replay.Fifo(), max_times_sampled=1)
  store = EmbeddedStore([queue], step_spec(), max_steps=100)
  with pytest.raises(RuntimeError, match="may not be lost"):
    play(SequenceAdder(store.writer(), 10, 10), np.random.default_rng(0), 150)


def test_an_item_longer_than_the_ring_is_an_error():
  store = EmbeddedStore([replay.Table(max_size=10)], step_spec(), max_steps=20)
  with pytest.raises(RuntimeError, match="max_steps"):
    play(SequenceAdder(store.writer(), 30, 10), np.random.default_rng(0), 50, mean_length=1e9)


# --- Memory. ---


def image_spec():
  return step_spec(specs.Array((84, 84, 4), np.uint8), specs.Array((), np.int64))


def test_a_store_that_would_not_fit_says_by_how_much():
  message = r"28\.\d\d GiB .* 20\.00 GiB .* max_size of table 'replay' from 1,000,000 to 7\d\d,\d\d\d"
  with pytest.raises(MemoryError, match=message):
    EmbeddedStore([replay.Table()], image_spec(), available_memory=20 * 2**30)


@pytest.mark.parametrize("sampler", [replay.Uniform(), replay.Prioritized()])
def test_frames_are_stored_once(sampler):
  size = size_in_bytes([replay.Table(sampler=sampler)], image_spec(), frame_stack=4)
  assert size / 1_000_000 < 1.1 * 84 * 84


@pytest.mark.parametrize("frame_stack", [None, 4])
def test_the_size_is_what_the_arrays_take(frame_stack):
  tables = [
    replay.Table(name="a", max_size=3000, sampler=replay.Prioritized()),
    replay.Table(name="b", max_size=100, max_times_sampled=3),
  ]
  store = EmbeddedStore(tables, step_spec(specs.Array((6, 4), np.uint8)), frame_stack=frame_stack)
  for name in ("a", "b"):
    play(
      NStepTransitionAdder(store.writer(), 1, 1.0, table=name),
      np.random.default_rng(0),
      3,
      observe=lambda step_type, t: np.full((len(step_type), 6, 4), 0, np.uint8),
    )
  arrays = {}
  pending = [store]
  seen = set()
  while pending:
    value = pending.pop()
    if id(value) in seen:
      continue
    seen.add(id(value))
    if isinstance(value, np.ndarray):
      owner = value if value.base is None else value.base
      arrays[id(owner)] = owner.nbytes
    elif isinstance(value, dict | list | tuple):
      pending.extend(value.values() if isinstance(value, dict) else value)
    elif type(value).__module__.startswith("acme_replay"):
      pending.extend(vars(value).values())
  assert store.nbytes == pytest.approx(sum(arrays.values()), rel=0.01)


# --- Frame stacks. ---


class Stacker:
  """Stacks of 3 frames [2, 2] that say stream and tick; the first stack repeats its frame, or is made another way."""

  def __init__(self, first):
    self._first = first
    self._frames = {}

  def __call__(self, step_type, t):
    for i in range(len(step_type)):
      frame = np.full((2, 2), 40 * i + t % 40, np.uint8)
      if step_type[i] == FIRST:
        self._frames[i] = self._first(frame)
      self._frames[i] = [*self._frames[i], frame][-3:]
    return np.stack([np.stack(frames, axis=-1) for _, frames in sorted(self._frames.items())])


FIRST_STACKS = {
  "repeated": lambda frame: [frame, frame],
  "zeros": lambda frame: [np.zeros_like(frame), np.zeros_like(frame)],
  "anything": lambda frame: [frame + 100, frame + 50],
}
STACKED = step_spec(specs.Array((2, 2, 3), np.uint8))


@pytest.mark.filterwarnings("ignore:Table 'replay' holds")
@pytest.mark.parametrize("first", FIRST_STACKS)
@pytest.mark.parametrize("num_streams", [None, 3])
@pytest.mark.parametrize("make", [lambda w: NStepTransitionAdder(w, 2, 1.0), lambda w: SequenceAdder(w, 4, 2)])
def test_frame_stacks_come_out_as_they_went_in(first, num_streams, make):
  stores, samples = [], []
  for frame_stack in (None, 3):
    rng = np.random.default_rng(0)
    store = EmbeddedStore([replay.Table(max_size=30)], STACKED, seed=0, max_steps=400, frame_stack=frame_stack)
    adder, state, stacker = make(store.writer(num_streams)), None, Stacker(FIRST_STACKS[first])
    samples.append([])
    for _ in range(40):
      state = play(adder, rng, 10, num_streams, observe=stacker, state=state)
      samples[-1].append(next(store.dataset("replay", 16)))
    stores.append(store)
  tree.map_structure(np.testing.assert_array_equal, *samples)
  assert stores[1].info()["replay"].size == 30


def test_repeated_first_frames_need_no_rows_of_their_own():
  store = EmbeddedStore([replay.Table(max_size=300)], STACKED, frame_stack=3)
  stacker = Stacker(FIRST_STACKS["repeated"])
  play(NStepTransitionAdder(store.writer(), 1, 1.0), np.random.default_rng(0), 100, observe=stacker)
  assert store.num_steps == 100


@pytest.mark.filterwarnings("ignore:Table 'replay' holds")
def test_frames_pushed_out_take_their_items_along():
  rng = np.random.default_rng(0)
  store = EmbeddedStore([replay.Table(max_size=1000)], STACKED, max_steps=60, frame_stack=3)
  adder, state, stacker = NStepTransitionAdder(store.writer(), 2, 1.0), None, Stacker(FIRST_STACKS["zeros"])
  for _ in range(40):
    state = play(adder, rng, 10, observe=stacker, state=state, mean_length=20)
    data = next(store.dataset("replay", 64)).data
    frames = data.next_observation[:, 0, 0].astype(int)  # [B, 3]
    steps = (frames[:, 1:] - frames[:, :-1]) % 40
    assert np.all((steps == 1) | (frames[:, :-1] == 0))


def test_a_stack_that_does_not_continue_is_refused():
  store = EmbeddedStore([replay.Table(max_size=100)], STACKED, frame_stack=3)
  writer = store.writer()
  writer.append(types.Step(np.full((2, 2, 3), 1, np.uint8), 0, 0.0, 1.0, True))
  with pytest.raises(ValueError, match="second newest frame"):
    writer.append(types.Step(np.full((2, 2, 3), 5, np.uint8), 0, 0.0, 1.0, False))


@pytest.mark.parametrize("num_streams", [None, 4])
@pytest.mark.parametrize("frame_stack", [None, 3])
def test_an_item_over_rows_that_were_written_over_is_refused(num_streams, frame_stack):
  store = EmbeddedStore([replay.Table(max_size=100)], STACKED, max_steps=40, frame_stack=frame_stack)
  adder = SequenceAdder(store.writer(num_streams), 50, 1)
  with pytest.raises(RuntimeError, match="written over"):
    play(adder, np.random.default_rng(0), 60, num_streams, 1e9, Stacker(FIRST_STACKS["repeated"]))
  assert store.info()["replay"].inserts == 0


def test_an_item_whose_own_rows_are_there_is_taken_where_another_streams_are_gone():
  store = EmbeddedStore([replay.Table(max_size=100)], step_spec(), max_steps=18)
  four, other = store.writer(4), store.writer()
  for t in range(4):
    observation = np.stack([np.arange(4), np.full(4, t)], axis=1)
    four.append(types.Step(observation, np.zeros(4, int), np.zeros(4), np.ones(4), np.full(4, t == 0)))
  for _ in range(3):  # Over row 0, which is the first stream's.
    other.append(types.Step(np.zeros(2), 0, 0.0, 1.0, False))
  item = replay.TransitionItem(np.array([3]), np.zeros(1), np.ones(1))
  with pytest.raises(RuntimeError, match="written over"):
    four.create_item("replay", item, streams=np.array([0]))
  four.create_item("replay", item, streams=np.array([3]))
  np.testing.assert_array_equal(next(store.dataset("replay", 1)).data.observation, [[3, 0]])


def test_frames_that_were_written_over_are_not_part_of_a_stack():
  store = EmbeddedStore([replay.Table(max_size=100)], STACKED, max_steps=8, frame_stack=3)
  one, other = store.writer(), store.writer()
  frames = [np.full((2, 2), i, np.uint8) for i in range(5)]
  for i in range(3):  # Rows 0 to 4, the last of which goes on from rows 2 and 3.
    one.append(types.Step(np.stack(frames[i : i + 3], -1), 0, 0.0, 1.0, i == 0))
  for i in range(7):  # Over rows 0 to 3.
    other.append(types.Step(np.full((2, 2, 3), 9, np.uint8), 0, 0.0, 1.0, i == 0))
  with pytest.raises(RuntimeError, match="written over"):
    one.create_item("replay", replay.SequenceItem(1))


def test_a_row_at_the_place_of_the_one_before_it_links_to_nothing():
  store = EmbeddedStore([replay.Table(max_size=100)], STACKED, max_steps=16, frame_stack=3)
  three, other = store.writer(3), store.writer()
  same = np.full((3, 2, 2, 3), 1, np.uint8)
  three.append(types.Step(same, np.zeros(3, int), np.zeros(3), np.ones(3), np.ones(3, bool)))  # Rows 0 to 2.
  for i in range(10):
    other.append(types.Step(same[0], 0, 0.0, 1.0, i == 0))
  fresh = same.copy()
  fresh[1, ..., :2] = 0  # The second stream begins anew, with two older frames: rows 13 and 14. Rows 16 and 17 lie at
  start = np.array([False, True, False])  # places 0 and 1, those of the rows before.
  three.append(types.Step(fresh, np.array([6, 7, 8]), np.ones(3), np.ones(3), start))
  three.create_item("replay", replay.SequenceItem(np.ones(1, int), np.zeros(1, int)), streams=np.array([1]))
  data = next(store.dataset("replay", 1)).data
  assert (data.action, data.reward, data.discount) == (0, 0, 0)  # No step came after it.


@pytest.mark.parametrize("frame_stack", [1, 4])
def test_an_observation_that_is_no_stack_is_refused(frame_stack):
  with pytest.raises(ValueError, match=r"whose last axis is . frames"):
    EmbeddedStore([replay.Table(max_size=100)], STACKED, frame_stack=frame_stack)


# --- State. ---

SAMPLERS = {
  "uniform": replay.Table(max_size=40),
  "prioritized": replay.Table(max_size=40, sampler=replay.Prioritized(0.7)),
  "tree with levels": replay.Table(max_size=5000, sampler=replay.Prioritized(0.7)),
  "fifo": replay.Table(max_size=40, sampler=replay.Fifo(), max_times_sampled=4),
  "limited": replay.Table(max_size=40, max_times_sampled=3),
}


def run(store, adder, rng, state, num_rounds, num_streams, observe):
  samples = []
  for _ in range(num_rounds):
    state = play(adder, rng, 12, num_streams, state=state, observe=observe)
    while store.available("replay") >= 8 and len(samples) % 5 != 4:
      samples.append(next(store.dataset("replay", 8)))
      store.update_priorities("replay", samples[-1].keys, rng.random(8))
    samples.append(store.info()["replay"])
  return samples, state


@pytest.mark.filterwarnings("ignore:Table 'replay' holds")
@pytest.mark.parametrize("table", SAMPLERS)
@pytest.mark.parametrize("num_streams", [None, 3])
@pytest.mark.parametrize("stacked", [False, True])
def test_saved_mid_episode_it_continues_bit_for_bit(table, num_streams, stacked, tmp_path):
  spec, arguments = (STACKED, {"frame_stack": 3, "max_steps": 300}) if stacked else (step_spec(), {})
  observe = Stacker(FIRST_STACKS["zeros"]) if stacked else None

  def make(seed):
    store = EmbeddedStore([SAMPLERS[table]], spec, seed, **arguments)
    return store, NStepTransitionAdder(store.writer(num_streams), 3, 0.9)

  rng = np.random.default_rng(0)
  store, adder = make(seed=0)
  _, state = run(store, adder, rng, None, 12, num_streams, observe)
  (tmp_path / "state").mkdir()
  checkpointing.write(tmp_path / "state", {"store": store.save(), "adder": adder.save()}, {})
  generator, frames = rng.bit_generator.state, None if observe is None else dict(observe._frames)
  expected, _ = run(store, adder, rng, state, 12, num_streams, observe)

  other, other_adder = make(seed=1)
  else_observe = Stacker(FIRST_STACKS["zeros"]) if stacked else None
  run(other, other_adder, np.random.default_rng(5), None, 30, num_streams, else_observe)
  saved, _ = checkpointing.read(tmp_path / "state")
  other.restore(saved["store"])
  other_adder.restore(saved["adder"])
  rng.bit_generator.state = generator
  if observe is not None:
    observe._frames = frames
  actual, _ = run(other, other_adder, rng, state, 12, num_streams, observe)
  tree.map_structure(np.testing.assert_array_equal, actual, expected)


def test_what_is_saved_is_a_copy():
  store = EmbeddedStore([replay.Table(max_size=30, sampler=replay.Prioritized())], step_spec())
  adder, rng = NStepTransitionAdder(store.writer(), 2, 1.0), np.random.default_rng(0)
  state = play(adder, rng, 20)
  saved = store.save()
  kept = tree.map_structure(np.copy, tree.flatten(saved))
  play(adder, rng, 200, state=state)
  for a, b in zip(tree.flatten(saved), kept, strict=True):
    np.testing.assert_array_equal(a, b)
  assert len(saved["ring"]["columns"]["observation"]) == 20  # Only what was written.


def test_another_stores_state_is_refused():
  state = EmbeddedStore([replay.Table(max_size=30)], step_spec()).save()
  for other, named in [
    (EmbeddedStore([replay.Table(max_size=31)], step_spec()), "tables"),
    (EmbeddedStore([replay.Table(max_size=30)], STACKED), "step spec"),
    (EmbeddedStore([replay.Table(max_size=30)], step_spec(), max_steps=100), "max_steps"),
  ]:
    with pytest.raises(ValueError, match=f"another {named}"):
      other.restore(state)
