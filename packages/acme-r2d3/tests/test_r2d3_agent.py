"""The whole agent: what it keeps and draws, the states that demonstrations begin with, exact resume, refusals."""

import dataclasses

import jax
import numpy as np
import pytest
import tree

import acme
from acme import builders, configs, loggers, plugins, specs
from acme_jax import acting
from acme_r2d2 import R2D2, R2D2Config
from acme_r2d3 import AGENT, R2D3, R2D3Config
from acme_r2d3.config import make_experience
from acme_replay import EmbeddedReplay, datasets
from acme_testing import fakes, runs

SPEC = fakes.make_spec("vector", "discrete")
STEP = builders.step_spec(SPEC)
SMALL = {
  "burn_in_length": 1,
  "trace_length": 3,
  "sequence_period": 2,
  "hidden_sizes": (8,),
  "core_size": 4,
  "head_hidden_sizes": (8,),
  "batch_size": 4,
  "min_replay_size": 6,
  "max_replay_size": 20,
  "samples_per_insert": 4.0,
  "target_update_period": 5,
}


@pytest.fixture(scope="module")
def shown():
  return runs.dataset(SPEC)


def make(seed=0, **changes):
  agent = R2D3(SPEC, config=R2D3Config(**{**SMALL, **changes}), seed=seed)
  return agent, acme.EnvironmentLoop(fakes.FakeEnvironment(SPEC), agent, logger=loggers.NullLogger(), seed=0)


def shown_items(agent):
  """All demonstrated sequences of an agent, as they are when it has drawn one."""
  next(agent.replay._parts["demonstrations"].dataset(1))
  table = agent.replay._parts["demonstrations"].store.table("demonstrations")
  return table.items.take(np.arange(table.info.inserts))


def record(path, episodes, core=()):
  index = datasets.Index(spec=SPEC, core=tree.map_structure(lambda x: specs.Array(x.shape[1:], x.dtype), core))
  with datasets.Writer(path, index) as writer:
    for episode in episodes:
      writer.write(episode)
  return str(path)


@pytest.mark.parametrize("ratio", [1 / 256, 1 / 48, 1 / 32, 0.3, 0.5])
def test_the_ratio_is_exact_over_time(shown, ratio):
  config = R2D3Config(**SMALL, demonstrations=shown, demonstration_ratio=ratio)
  replay = EmbeddedReplay(make_experience(dataclasses.replace(config, samples_per_insert=1e6)), STEP)
  adder = replay.adder()
  for episode in datasets.read(shown, STEP):
    for action, timestep, _ in datasets.play(episode):
      adder.add_first(timestep) if timestep.first() else adder.add(action, timestep)
  for batches in range(1, 1_001):
    sample = next(replay.dataset())
    drawn = replay.info()["demonstrations"].samples
    assert abs(drawn - ratio * 4 * batches) < 1
    mine = sample.table == 0
    np.testing.assert_array_equal(sample.keys[:, 0] == 0, mine)
    if batches == 1:  # All have one priority.
      sizes = np.array([replay.info()[name].size for name in ("demonstrations", "own")])
      wanted = np.where(mine, ratio / sizes[0], (1 - ratio) / sizes[1])
      np.testing.assert_allclose(sample.probabilities, wanted, rtol=1e-5)


def test_a_demonstration_is_aligned(tmp_path):
  """Against an episode written by hand: a reward lies with the action that it came of, and before the next one."""
  observation = np.arange(6, dtype=np.float32)[:, None] * np.ones(5, np.float32)
  action, reward = np.array([1, 2, 0, 1, 2], np.int32), np.array([10, 20, 30, 40, 50], np.float32)
  discount = np.array([1, 0.5, 1, 1, 0], np.float32)
  path = record(tmp_path, [datasets.Episode(observation, action, reward, discount)])
  agent, _ = make(demonstrations=path, end_of_episode="zero_pad")
  items = shown_items(agent)
  expected = {  # Of two sequences of 5 steps, the second from o_2 on and padded by one.
    "action": [[1, 2, 0, 1, 2], [0, 1, 2, 0, 0]],
    "reward": [[10, 20, 30, 40, 50], [30, 40, 50, 0, 0]],
    "discount": [[1, 0.5, 1, 1, 0], [1, 1, 0, 0, 0]],
    "previous_action": [[0, 1, 2, 0, 1], [2, 0, 1, 2, 0]],
    "previous_reward": [[0, 10, 20, 30, 40], [20, 30, 40, 50, 0]],
    "start_of_episode": [[1, 0, 0, 0, 0], [0, 0, 0, 0, 0]],
    "acted": [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]],
    "mask": [[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]],
  }
  for name, values in expected.items():
    np.testing.assert_array_equal(getattr(items, name), values, err_msg=name)
  np.testing.assert_array_equal(items.observation[..., 0], [[0, 1, 2, 3, 4], [2, 3, 4, 5, 0]])


class Noted(acting.Actor):
  """Notes the episodes in which it acts."""

  episodes: list = []  # noqa: RUF012 - there is one.

  def observe_first(self, timestep):
    super().observe_first(timestep)
    self.episodes.append([[timestep.observation], [], [], []])

  def observe(self, action, next_timestep):
    super().observe(action, next_timestep)
    fields = (next_timestep.observation, action, next_timestep.reward, next_timestep.discount)
    for column, value in zip(self.episodes[-1], fields, strict=True):
      column.append(np.asarray(value))


@pytest.mark.parametrize("changes", [{}, {"end_of_episode": "zero_pad", "core": "gru"}], ids=["default", "other"])
def test_states_of_a_pass_are_those_of_acting(tmp_path, changes):
  """R2D2 acts; R2D3, whose parameters are the same at first, is shown the episodes without their states."""
  agent = R2D2(SPEC, config=R2D2Config(**{**SMALL, **changes}), seed=3)
  agent.actor.__class__, Noted.episodes = Noted, []
  loop = acme.EnvironmentLoop(fakes.FakeEnvironment(SPEC), agent, logger=loggers.NullLogger(), should_update=False)
  loop.run(num_episodes=4)
  path = record(tmp_path, [datasets.Episode(*map(np.stack, columns)) for columns in Noted.episodes])
  other, _ = make(seed=3, demonstrations=path, **changes)
  table = agent.replay.store.table("replay")
  acted, found = table.items.take(np.arange(table.info.inserts)), shown_items(other)
  number, rows = len(acted.reward), sum(1 + len(actions) for _, actions, *_ in Noted.episodes)
  assert np.any(tree.flatten(acted.core)[0]) and number > 4
  assert len(found.reward) == (number if changes else -(-rows // 2))  # The default's last go on at the beginning.
  tree.map_structure(lambda x, y: np.testing.assert_array_equal(x, y[:number]), acted, found)


@pytest.mark.parametrize("steps", [2, 9])
def test_the_end_of_the_only_demonstration_is_learned_from(tmp_path, steps):
  """However long it is: the reward that exploration does not find may lie there."""
  reward, discount = np.zeros((2, steps), np.float32)
  reward[-1], discount[:-1] = 7, 1
  episode = datasets.Episode(np.ones((steps + 1, 5), np.float32), np.zeros(steps, np.int32), reward, discount)
  agent, _ = make(demonstrations=record(tmp_path, [episode]))
  items = shown_items(agent)
  learned = slice(SMALL["burn_in_length"], -1)  # From the last step it bootstraps.
  assert 7 in items.reward[:, learned]


def test_recorded_states_are_used_as_they_are(shown, tmp_path):
  agent, _ = make(demonstrations=shown)
  assert np.any(tree.flatten(shown_items(agent).core)[0])
  core = tree.map_structure(lambda x: np.full((7, *x.shape[1:]), 0.5, x.dtype), shown_items(agent).core)
  episodes = [episode._replace(core=core) for episode in datasets.read(shown, STEP)]
  other, _ = make(demonstrations=record(tmp_path, episodes, core))
  for leaf in tree.flatten(shown_items(other).core):
    np.testing.assert_array_equal(leaf, 0.5)
  assert "cores" not in other.replay.save()["parts"]["demonstrations"]


def test_demonstrations_stay_and_each_table_has_its_own_priorities(shown):
  agent, loop = make(demonstrations=shown)
  size = agent.replay.info()["demonstrations"].size
  loop.run(num_steps=150)
  info = agent.replay.info()
  assert info["own"].inserts > 3 * info["own"].size and info["own"].size == 20
  assert info["demonstrations"] == (size, size, info["demonstrations"].samples)
  stores = {name: part.store.table(name) for name, part in agent.replay._parts.items()}
  before = {name: table._tree.leaves.copy() for name, table in stores.items()}
  agent.replay.update_priorities(np.array([[0, 2], [1, info["own"].inserts - 1]]), np.array([3.0, 5.0]))
  changed = {name: np.flatnonzero(table._tree.leaves != before[name]) for name, table in stores.items()}
  assert list(changed["demonstrations"]) == [2] and len(changed["own"]) == 1
  assert stores["demonstrations"]._tree.leaves[2] == pytest.approx(3**0.9, rel=1e-5)
  assert stores["own"]._tree.leaves[changed["own"][0]] == pytest.approx(5**0.9, rel=1e-5)


@pytest.mark.parametrize(
  "changes", [{}, {"num_sgd_steps_per_step": 2, "demonstration_ratio": 0.3}], ids=["one", "scan"]
)
def test_resumes_bit_for_bit(shown, tmp_path, changes):
  """Into an agent of another seed, whose own states of demonstrations were others."""
  (agent, loop), (other, other_loop) = (make(seed, demonstrations=shown, **changes) for seed in (0, 1))
  loop.run(num_steps=32)
  checkpoints = acme.checkpointing.Checkpointer(tmp_path)
  checkpoints.save(32, {"agent": agent.save(), "loop": loop.save()})
  state = checkpoints.load().state
  other.restore(state["agent"])
  other_loop.restore(state["loop"])
  for each in (loop, other_loop):
    each.run(num_steps=25)
  assert not runs.difference(agent.save(), other.save())


def test_on_the_device_it_is_the_same_and_resumes_exactly(shown):
  environments = pytest.importorskip("acme_anakin.environments", reason="needs acme-anakin")
  from acme_anakin import loop as device

  environment = environments.make("tmaze/3")
  path = runs.dataset(environment.spec)
  config = R2D3Config(**SMALL, demonstrations=path, demonstration_ratio=0.25)
  whole, other = (device.Loop(AGENT.builder(config), environment, steps=60, num_envs=2, seeds=(0, 1)) for _ in range(2))
  for seed in whole.seeds:  # Each has its own states, of its own parameters.
    host = shown_items(R2D3(environment.spec, config=config, seed=seed))
    found = jax.tree.map(lambda x, s=seed: x[s], whole._state.store.cores["demonstrations"])
    for one, two in zip(jax.tree.leaves(found), tree.flatten(host.core), strict=True):
      np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)
  other.restore((whole.advance(40), whole.save())[1])
  reports = [each.run(20) for each in (whole, other)]
  jax.tree.map(np.testing.assert_array_equal, whole.save(), other.save())
  assert (reports[0]["learner_steps"] > 10).all() and (reports[0]["demonstrations"] == 0.25).all()


def damage(path):
  (path / "000000.npz").write_bytes(b"PK\x03\x04 and no more")


def empty(path):
  for file in path.iterdir():
    file.unlink()


def other_shape(path):
  (path / "dataset.json").unlink()
  datasets.write(path / "zzz.npz", datasets.Episode(np.zeros((3, 4), np.float32), *np.zeros((3, 2), np.int32)))


@pytest.mark.parametrize(
  ("attack", "error", "message"),
  [
    (damage, ValueError, r"000000\.npz is no episode that fits"),
    (empty, FileNotFoundError, "found none"),
    (other_shape, ValueError, r"zzz\.npz.*observation: expected shape"),
  ],
)
def test_bad_demonstrations_are_named(shown, tmp_path, attack, error, message):
  path = record(tmp_path / "data", datasets.read(shown, STEP))
  attack(tmp_path / "data")
  with pytest.raises(error, match=message):
    make(demonstrations=path)


def test_what_is_missing_or_out_of_range_is_named(shown):
  with pytest.raises(ValueError, match=r"R2D3Config\.demonstrations: expected the path .* got None"):
    R2D3(SPEC)
  with pytest.raises(FileNotFoundError, match="nowhere"):
    R2D3(SPEC, config=R2D3Config(demonstrations="nowhere"))
  for ratio in (0.0, 1.0):
    with pytest.raises(ValueError, match=r"R2D3Config\.demonstration_ratio: expected a number above 0 and below 1"):
      R2D3Config(demonstration_ratio=ratio)
  with pytest.raises(ValueError, match="R2D3"):
    R2D3(fakes.make_spec("vector", "continuous"), config=R2D3Config(demonstrations=shown))


def test_published_numbers():
  config = R2D3Config.published()
  numbers = (config.n_step, config.burn_in_length, config.trace_length, config.sequence_period)
  assert numbers == (5, 40, 40, 40) and config.end_of_episode == "zero_pad" and config.demonstration_ratio == 1 / 256
  assert config.samples_per_insert * config.trace_length / config.sequence_period == pytest.approx(0.8)  # Of a step.


def test_plugin_is_found_and_its_presets_read_back():
  assert plugins.load_agent("r2d3") is AGENT
  for preset in AGENT.presets.values():
    assert configs.from_dict(R2D3Config, dataclasses.asdict(preset())) == preset()
