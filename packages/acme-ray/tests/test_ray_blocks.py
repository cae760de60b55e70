"""Blocks and shards: what crosses between processes is what one process would have written, once."""

import dm_env
import numpy as np
import pytest
import tree

from acme import builders, experience, specs
from acme_ray import blocks, nodes, prioritizing, shards
from acme_replay import EmbeddedStore, make_adder
from acme_testing import fakes, linear_q, runs

SPEC = fakes.make_spec("vector", "discrete")
KINDS = {
  "transitions": experience.Transitions(n_step=3, discount=0.9, max_size=100),
  "sequences": experience.Sequences(length=4, period=2, max_size=100),
  "stored states": experience.Sequences(
    length=4, period=2, max_size=100, stored_state=True, core_spec=specs.Array((2,), np.float32)
  ),
  "a queue": experience.Queue(length=4, max_size=100, batch_size=4),
}


def play(adder, num_streams, first, steps):
  """The same steps whenever they are asked for: episodes of 5, whose steps are numbered."""
  for t in range(first, first + steps):
    if num_streams is None:
      step_type = [dm_env.StepType.FIRST, *[dm_env.StepType.MID] * 4, dm_env.StepType.LAST][t % 6]
      timestep = dm_env.TimeStep(step_type, float(t), 0.0 if t % 6 == 5 else 1.0, observation(t))
      if t % 6 == 0:
        adder.add_first(timestep)
        continue
      adder.add(np.int32(t % 2), timestep, (), np.full((1, 2), t, np.float32))
    else:
      streams = np.arange(num_streams)
      step_type = (
        np.array([0, 1, 1, 1, 1, 2], np.int32)[(t + 2 * streams * (t > 0)) % 6]
        if t
        else np.zeros(num_streams, np.int32)
      )
      values = np.stack([observation(t + 100 * i) for i in streams])
      timestep = dm_env.TimeStep(step_type, t + 0.1 * streams, np.where(step_type == 2, 0.0, 1.0), values)
      if t == 0:
        adder.add_first(timestep)
        continue
      adder.add((t + streams).astype(np.int32) % 2, timestep, (), np.full((num_streams, 2), t, np.float32))


def observation(t):
  return np.asarray(tree.flatten(fakes.random_value(SPEC.observations, np.random.default_rng(t)))[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_streams", [None, 3])
def test_a_store_holds_what_an_adder_would_have_written_itself(kind, num_streams):
  items = KINDS[kind]

  def store():
    return EmbeddedStore([items.table("t")], builders.step_spec(SPEC), core_spec=getattr(items, "core_spec", ()))

  direct, played = store(), store()
  play(make_adder(items, direct.writer(num_streams), "t"), num_streams, 0, 40)
  recording = blocks.RecordingWriter(num_streams)
  adder, writer = make_adder(items, recording, "t"), played.writer(num_streams)
  for number, (first, steps) in enumerate([(0, 7), (7, 1), (8, 20), (28, 12)]):
    play(adder, num_streams, first, steps)
    blocks.write(recording.take(0, 0, number), writer, "t")
  assert direct.info()["t"].inserts > 5
  assert runs.difference(direct.save(), played.save()) == ""


def weighted_rewards(params, items):
  """Priorities that tell sequences from each other."""
  return params + np.abs(items.reward).sum(axis=1) + 1_000.0 * items.core[:, 0]


@pytest.mark.parametrize("num_streams", [None, 3])
def test_new_items_have_the_priorities_that_their_actor_found(num_streams):
  items = experience.Sequences(
    length=4, period=2, max_size=100, stored_state=True, core_spec=specs.Array((2,), np.float32), priority_exponent=1.0
  )

  def store():
    return EmbeddedStore([items.table("t")], builders.step_spec(SPEC), core_spec=items.core_spec)

  direct, recording = store(), blocks.RecordingWriter(num_streams)
  prioritizer = prioritizing.Prioritizer(weighted_rewards, items, builders.step_spec(SPEC), num_streams, block_steps=60)
  adder, writer = make_adder(items, recording, "t"), direct.writer(num_streams)
  found = []
  for number, (first, steps) in enumerate([(0, 7), (7, 1), (8, 20), (28, 12)]):
    play(adder, num_streams, first, steps)
    block = recording.take(0, 0, number)
    blocks.write(block, writer, "t")
    found.append(prioritizer.priorities(1.0, block))
  everything = next(direct.once("t", 100)).data
  assert len(np.unique(everything.core)) > 5
  np.testing.assert_array_equal(np.concatenate(found), weighted_rewards(1.0, everything))


def test_a_shard_takes_first_priorities():
  made, (block,) = shard(), some_blocks(1)
  priorities = np.arange(len(block.items), dtype=float)
  done = made.insert(block._replace(priorities=priorities))
  described = made.start()[0]
  assert done.mass == pytest.approx(((priorities + described.priority_bonus) ** described.priority_exponent).sum())


def shard():
  config = linear_q.LinearQConfig(batch_size=8, min_replay_size=8, max_replay_size=100)
  made = shards.Shard(nodes.Recipe(agent=linear_q.AGENT, config=config, environment="", spec=SPEC))
  made.start()
  return made


def some_blocks(count, incarnation=0):
  recording = blocks.RecordingWriter()
  adder = make_adder(experience.Transitions(), recording, "replay")
  made = []
  for number in range(count):
    play(adder, None, 10 * number, 10)
    made.append(recording.take(0, incarnation, number))
  return made


def test_a_block_is_inserted_once_however_often_it_comes():
  replay, (first, second, third) = shard(), some_blocks(3)
  done = [replay.insert(block) for block in (first, first, second, first, second, third, third)]
  assert [bool(each.items) for each in done] == [True, False, True, False, False, True, False]
  assert not any(each.lost for each in done)
  assert done[-1].size == sum(each.items for each in done)


def test_a_block_without_those_before_it_is_passed_over():
  replay, (first, _, third) = shard(), some_blocks(3)
  assert not replay.insert(first).lost
  assert replay.insert(third) == replay.insert(third)
  assert replay.insert(third).lost
  other = some_blocks(1, incarnation=1)[0]
  assert replay.insert(other).items > 0
  assert replay.insert(third).items == 0


def test_a_shard_made_anew_has_what_it_had():
  replay, (first, second, third) = shard(), some_blocks(3)
  for block in (first, second):
    replay.insert(block)
  replay.update_priorities([(replay.sample(1, 1.0)[0][0].keys, np.arange(8.0))])
  other = shard()
  other.start(replay.save())
  assert other.insert(second).items == 0
  assert other.insert(third) == replay.insert(third)
  assert runs.difference(other.save(), replay.save()) == ""
  samples = [one.sample(2, 0.5)[0] for one in (replay, other)]
  assert runs.difference(*samples) == ""
