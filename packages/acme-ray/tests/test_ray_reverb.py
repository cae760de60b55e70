"""Shards on Reverb servers; on the Reverb stack only."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("reverb")

from test_ray_blocks import some_blocks
from test_ray_processes import CONFIG, SPEC, Killer, make_environment

import acme_ray
from acme import checkpointing, plugins
from acme_ray import nodes, shards
from acme_testing import linear_q

REVERB = {"replay": "reverb", "replay_options": {"listen_everywhere": True}}
SLOWLY = dataclasses.replace(CONFIG, samples_per_insert=0.5)  # A batch takes milliseconds of a server.


def check_ratio(outcome):
  """As `SLOWLY` has it."""
  assert 0 <= 0.5 * (outcome.inserts - 20) - outcome.samples < 8


def test_a_shard_that_is_killed_comes_back_with_what_its_server_held(cluster, tmp_path):
  killer = Killer(["shard 0"], every=600)
  outcome = acme_ray.run(
    linear_q.AGENT, make_environment(), config=SLOWLY, steps=1_000, num_actors=2, watcher=killer, **REVERB,
    checkpoints=tmp_path, checkpoint_every=400, final_episodes=0,
  )  # fmt: skip
  assert outcome.restarts == {"shard 0": 1}
  assert outcome.steps == 1_000 == sum(killer.status["actor_steps"])
  check_ratio(outcome)
  held = checkpointing.load(tmp_path).state["shards"][0]["replay"]["parts"]["replay"]["tables"]["replay"][0]
  assert 700 < held <= outcome.inserts  # 9 for 7 steps, of more steps than came after it died.


def test_a_run_goes_on_with_what_its_servers_held(fake_ray, tmp_path):
  told = acme_ray.Watcher()
  told.progress = lambda status: setattr(told, "status", status)
  options = {"config": dataclasses.replace(SLOWLY, prioritized=False), "num_actors": 2, "num_shards": 2, **REVERB}
  options |= {"checkpoints": tmp_path, "block_steps": 16, "final_episodes": 0, "watcher": told}
  with pytest.raises(acme_ray.Stopped):
    acme_ray.run(linear_q.AGENT, make_environment(), steps=10**6, stop=lambda: told.status["steps"] >= 200, **options)
  outcome = acme_ray.run(linear_q.AGENT, make_environment(), steps=400, **options)
  assert outcome.steps == 400
  check_ratio(outcome)


def shard(**options):
  config = linear_q.LinearQConfig(batch_size=8, min_replay_size=8, max_replay_size=100)
  return shards.Shard(nodes.Recipe(agent=linear_q.AGENT, config=config, environment="", spec=SPEC, **options))


def test_it_holds_what_an_embedded_shard_holds_with_the_priorities_that_actors_found():
  made = [shard(), shard(**REVERB)]
  for each in made:
    each.start()
  for block in some_blocks(3):
    inserted = [each.insert(block._replace(priorities=1.0 + np.arange(len(block.items)))) for each in made]
    assert inserted[0].items == inserted[1].items > 5
    assert inserted[0].size == inserted[1].size
  assert [each.insert(block).items for each in made] == [0, 0]  # The last one again.
  seen = [chances(each.sample(200, 1.0)[0]) for each in made]
  assert seen[0].keys() == seen[1].keys()
  np.testing.assert_allclose(*([each[key] for key in sorted(each)] for each in seen), rtol=1e-5)
  (anew,) = some_blocks(1, incarnation=1)
  other = shard(**REVERB)
  assert other.start(made[1].save())[1] == inserted[1].size
  assert made[1].insert(anew).size == other.insert(anew).size == made[0].insert(anew).size
  for each in (*made, other):
    each.close()


def chances(samples):
  """With which each item is sampled, by its observation."""
  data = np.concatenate([sample.data.observation for sample in samples])
  return dict(zip(map(bytes, data), np.concatenate([sample.probabilities for sample in samples]), strict=True))


def test_one_of_several_shards_is_not_chosen_by_priorities_that_nobody_can_sum():
  with pytest.raises(ValueError, match="'reverb' cannot say the sum of its priorities"):
    shard(num_actors=2, num_shards=2, **REVERB).start()


def test_a_server_must_be_allowed_to_listen_everywhere(fake_ray):
  with pytest.raises(acme_ray.NodeFailed, match="listen_everywhere") as failed:
    acme_ray.run(linear_q.AGENT, make_environment(), steps=9, replay="reverb")
  assert isinstance(failed.value.cause, ValueError)
  with pytest.raises(acme_ray.NodeFailed, match="No replay is called") as failed:
    acme_ray.run(linear_q.AGENT, make_environment(), steps=9, replay="elsewhere")
  assert isinstance(failed.value.cause, plugins.PluginError)
