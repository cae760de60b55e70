"""The items of the jitted loop are those of the host's adders: of golden trajectories, and of random ones."""

import functools
import os

import dm_env
import jax
import numpy as np
import pytest
import tree

from acme import builders, experience, specs, types
from acme_anakin import adders, store
from acme_replay import EmbeddedReplay, datasets
from acme_replay import adders as host
from acme_testing import golden

EVERY = int(os.environ.get("ACME_GOLDEN_EVERY", "5"))  # Each case is compiled: all of them take minutes.
_READ = golden.read_cases()
N_STEP, SEQUENCES = [*golden.N_STEP, *_READ[0][::EVERY]], [*golden.SEQUENCES, *_READ[1][::EVERY]]


def to_ticks(trajectory, core=None):
  """Each step of a trajectory of whole episodes as a tick of one stream; `core` says what went into `act` at step t."""
  like = next(tick for tick in trajectory if tick.action is not None)
  zeros = tree.map_structure(np.zeros_like, (like.action, like.timestep.reward, like.extras))

  def first(timestep):
    ones = tree.map_structure(np.ones_like, like.timestep.discount)
    return types.Step(timestep.observation, zeros[0], zeros[1], ones, np.True_)

  ticks, step = [], None
  for t, tick in enumerate(trajectory):
    timestep = tick.timestep
    if tick.action is None:
      step = first(timestep)
      continue
    after = types.Step(timestep.observation, tick.action, timestep.reward, timestep.discount, np.False_)
    if timestep.last():
      after = first(trajectory[t + 1].timestep if t + 1 < len(trajectory) else trajectory[0].timestep)
    ticks.append(
      adders.Tick(
        step,
        tick.action,
        tick.extras,
        () if core is None else core(step),
        timestep.reward,
        timestep.discount,
        timestep.observation,
        np.bool_(timestep.last()),
        after,
      )  # fmt: skip
    )
    step = after
  return ticks


@functools.partial(jax.jit, static_argnums=0)
def scan(items, ticks):
  adder = adders.make(items)

  def add(state, tick):
    state, made, exists = adder.add(state, tick)
    return state, (made, exists)

  return jax.lax.scan(add, adder.init(jax.tree.map(lambda x: x[0], ticks)), ticks)[1]


def run(items, ticks):
  """The items that ticks [N, …] make, unbatched, in the order of insertion."""
  more = ticks + ticks[-1:] * (-len(ticks) % 32)  # Of few lengths, so that little is compiled; what these make is left.
  made, exists = jax.tree.map(np.asarray, scan(items, jax.tree.map(lambda *leaves: np.stack(leaves), *more)))
  where = np.argwhere(exists[: len(ticks)])  # [K, 2]
  return [jax.tree.map(lambda x, at=tuple(at): x[at], made) for at in where]


def one(tick):
  return jax.tree.map(lambda x: np.asarray(x)[None], tick)


def padded(item, length):
  """A sequence with zeros up to a length."""
  missing = length - len(item.mask)
  return item._replace(**{
    name: jax.tree.map(lambda x: np.concatenate([x, np.zeros((missing, *x.shape[1:]), x.dtype)]), getattr(item, name))
    for name in item._fields if name != "core"
  })  # fmt: skip


@pytest.mark.parametrize("case", N_STEP, ids=lambda case: case.name)
def test_transitions_are_the_golden_ones(case):
  if any(tree.is_nested(tick.timestep.reward) or np.ndim(tick.timestep.reward) for tick in case.trajectory):
    pytest.skip("The jitted loop takes rewards that are numbers.")
  items = experience.Transitions(n_step=case.num_steps, discount=case.discount)
  golden.assert_items_equal(run(items, list(map(one, to_ticks(case.trajectory)))), case.items, rtol=1e-5)


@pytest.mark.parametrize("case", SEQUENCES, ids=lambda case: case.name)
def test_sequences_are_the_golden_ones(case):
  items = experience.Sequences(length=case.length, period=case.period, end_of_episode=case.end)
  expected = [padded(item, case.length) for item in case.items]
  golden.assert_items_equal(run(items, list(map(one, to_ticks(case.trajectory)))), expected, rtol=1e-5)


def random_stream(rng, stream, steps):
  """Episodes of one stream, `steps` steps in all, the last of them whole; observations tell the stream."""
  trajectory, t = [], 0
  while t < steps:
    length = min(int(rng.integers(1, 9)), steps - t)
    rewards, discounts = rng.integers(-4, 5, length), rng.choice([0.5, 1.0], length)
    trajectory += golden.episode(rewards, discounts, first=1000 * stream + len(trajectory), extras=True)
    t += length
  return trajectory


def host_items(items, trajectory, core):
  writer = golden.RecordingWriter()
  adder = host.make_adder(items, writer, "replay")
  step = None
  for tick in trajectory:
    if tick.action is None:
      adder.add_first(tick.timestep)
    else:
      adder.add(tick.action, tick.timestep, tick.extras, one(core(step)))
    step = types.Step(tick.timestep.observation, (), (), (), ())
  return writer.items("replay")


@pytest.mark.parametrize(
  "items",
  [
    experience.Transitions(n_step=1, one_step=True),
    experience.Transitions(n_step=3, discount=0.5, max_abs_reward=2.0, one_step=True),
    experience.Sequences(length=4, period=2),
    experience.Sequences(length=1, period=1),
    experience.Sequences(length=3, period=5, end_of_episode="zero_pad"),
    experience.Sequences(length=4, period=3, end_of_episode="write"),
    experience.Sequences(length=5, period=2, end_of_episode="continue"),
    experience.Queue(length=4, batch_size=1),
  ],
  ids=str,
)
def test_many_streams_make_what_each_would_make_alone_on_the_host(items):
  rng = np.random.default_rng(0)
  streams = [random_stream(rng, stream, 60) for stream in range(3)]
  core = lambda step: np.float32(step.observation) + np.float32(0.5)  # noqa: E731
  columns = zip(*(to_ticks(stream, core) for stream in streams), strict=True)
  ticks = [jax.tree.map(lambda *x: np.stack(x), *column) for column in columns]
  made = run(items, ticks)
  for number, stream in enumerate(streams):
    mine = [item for item in made if np.max(item.observation) // 1000 == number]
    expected = host_items(items, stream, core)
    # What the recorder does not record has tests of its own.
    other = {"one_step": ()} if isinstance(items, experience.Transitions) else {"core": ()}
    mine, expected = [[item._replace(**other) for item in some] for some in (mine, expected)]
    golden.assert_items_equal(mine, expected, rtol=1e-6)


@pytest.mark.parametrize(("length", "period"), [(5, 3), (12, 1)])
def test_sequences_of_a_dataset_that_cross_are_the_hosts(tmp_path, length, period):
  """With the recorded states; the last ones go on at the beginning, also where a dataset is shorter than they are."""
  core, scalar = {"h": specs.Array((2,), np.float32)}, specs.Array((), np.float32)
  spec = specs.EnvironmentSpec(scalar, specs.DiscreteArray(4), scalar, scalar)
  rng = np.random.default_rng(3)
  with datasets.Writer(tmp_path, datasets.Index(spec=spec, core=core)) as writer:
    for steps in (3, 1, 4):
      actions, numbers = (
        rng.integers(4, size=steps).astype(np.int32),
        rng.normal(size=(5, steps + 1)).astype(np.float32),
      )
      states = {"h": numbers[3:, :steps].T.copy()}
      writer.write(datasets.Episode(numbers[0], actions, numbers[1, 1:], np.ones(steps, np.float32), core=states))
  items = experience.Sequences(
    length=length, period=period, end_of_episode="continue", stored_state=True, dataset=str(tmp_path)
  ).with_core(core)
  step_spec = builders.step_spec(spec)
  table = EmbeddedReplay(items, step_spec)._parts["replay"].store.table("replay")
  found, passes = store.read_datasets(items, step_spec)
  assert not passes
  jax.tree.map(np.testing.assert_array_equal, found["replay"], table.items.take(np.arange(table.info.inserts)))


def test_a_sequence_keeps_the_recurrent_state_of_its_first_step():
  items = experience.Sequences(length=4, period=3, stored_state=True)
  core = lambda step: np.float32(step.observation) + np.float32(0.5)  # noqa: E731
  stream = random_stream(np.random.default_rng(1), 0, 60)
  made = run(items, list(map(one, to_ticks(stream, core))))
  assert made
  for item in made:
    if item.acted[0]:  # A final observation alone has none of its own.
      np.testing.assert_array_equal(item.core, item.observation[0] + 0.5)


def test_a_transition_may_say_what_its_first_step_led_to():
  ticks = list(map(one, to_ticks(random_stream(np.random.default_rng(2), 0, 40))))
  many, single = (run(experience.Transitions(n_step=n, one_step=True), ticks) for n in (3, 1))
  by_start = {float(item.observation): item for item in single}
  assert many
  for item in many:
    golden.assert_items_equal([item.one_step], [by_start[float(item.observation)].one_step])


def test_a_transition_of_a_truncated_episode_keeps_its_discount():
  trajectory = [
    golden.Tick(None, dm_env.restart(np.float32(0))),
    golden.Tick(np.int32(1), dm_env.truncation(np.float32(1), np.float32(7), np.float32(1))),
  ]
  (item,) = run(experience.Transitions(), list(map(one, to_ticks(trajectory))))
  assert (item.discount, item.next_observation) == (1, 7)
