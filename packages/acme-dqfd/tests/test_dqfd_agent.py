"""The whole agent: pre-training, what it keeps and draws, exact resume, and what it refuses."""

import dataclasses
import itertools

import dm_env
import jax
import numpy as np
import pytest

import acme
from acme import configs, counting, loggers, plugins, specs
from acme_dqfd import AGENT, DQfD, DQfDConfig
from acme_replay import datasets

SCALAR = specs.Array((), np.float32)
SPEC = specs.EnvironmentSpec(specs.Array((3,), np.float32), specs.DiscreteArray(2, np.int32), SCALAR, SCALAR)
SMALL = {
  "hidden_sizes": (8,),
  "batch_size": 8,
  "n_step": 3,
  "samples_per_insert": 8.0,
  "min_replay_size": 10,
  "max_replay_size": 20,
  "pretraining_steps": 6,
  "epsilon": 0.3,
  "target_update_period": 5,
}
LENGTH, MARK = 7, 9.0  # Of episodes; and what the first number of a demonstration's observations is.
NUM_SHOWN = 4 * (LENGTH + 2)  # Of an episode the shorter transitions at its beginning, too.


class Episodes(dm_env.Environment):
  """Episodes of random observations; the reward is 1 where the action is the sign of the second number."""

  def __init__(self, mark=0.0):
    self._rng, self._mark = np.random.default_rng(0), mark

  def seed(self, seed):
    self._rng = np.random.default_rng(seed)

  def reset(self):
    self._left = LENGTH
    return dm_env.restart(self._observe())

  def step(self, action):
    reward = np.float32(action == (self._observation[1] > 0))
    self._left -= 1
    if self._left:
      return dm_env.transition(reward, self._observe(), np.float32(1))
    return dm_env.TimeStep(dm_env.StepType.LAST, reward, np.float32(0), self._observe())

  def _observe(self):
    self._observation = np.append(np.float32(self._mark), self._rng.normal(size=2)).astype(np.float32)
    return self._observation

  def observation_spec(self):
    return SPEC.observations

  def action_spec(self):
    return SPEC.actions

  def reward_spec(self):
    return SCALAR

  def discount_spec(self):
    return SCALAR


def record(path, environment, act, num_episodes=4):
  """Writes demonstrations of a policy, and gives their path."""
  path.mkdir(exist_ok=True)
  for i in range(num_episodes):
    timesteps, actions = [environment.reset()], []
    while not timesteps[-1].last():
      actions.append(np.int32(act(timesteps[-1].observation)))
      timesteps.append(environment.step(actions[-1]))
    columns = [[t.observation for t in timesteps], actions, *([t[k] for t in timesteps[1:]] for k in (1, 2))]
    datasets.write(path / f"{i:03}.npz", datasets.Episode(*map(np.stack, columns)))
  return str(path)


@pytest.fixture
def shown(tmp_path):
  return record(tmp_path / "shown", Episodes(MARK), lambda o: o[1] > 0)


def make(config, seed=0):
  agent = DQfD(SPEC, config=config, seed=seed)
  return agent, acme.EnvironmentLoop(Episodes(), agent, logger=loggers.NullLogger(), seed=seed)


def parameters(agent):
  return jax.tree.leaves(agent.get_variables(["policy", "target_policy"]))


def same(a, b):
  return all(map(np.array_equal, parameters(a), parameters(b)))


CONFIGS = {
  "by priority": {},
  "shares": {"demonstration_share": 0.3},
  "uniform": {"prioritized": False},
  "scan": {"num_sgd_steps_per_step": 4},
}


@pytest.mark.parametrize("stop", [0, 5, 20])
@pytest.mark.parametrize("name", CONFIGS)
def test_resume_goes_on_bit_for_bit(name, stop, shown, tmp_path):
  """Saved in pre-training, or in an episode: with priorities still to be handed back."""
  config = DQfDConfig(**SMALL, **CONFIGS[name], demonstrations=shown)
  agent, loop = make(config)
  if stop:
    loop.run(num_steps=stop)
  else:
    acme.LearningLoop(agent.learner, logger=loggers.NullLogger()).run(num_steps=1)
  acme.checkpointing.Checkpointer(tmp_path / "saved").save(stop, {"agent": agent.save(), "loop": loop.save()})
  loop.run(num_steps=30)
  other, other_loop = make(config)
  state = acme.checkpointing.Checkpointer(tmp_path / "saved").load().state
  other.restore(state["agent"])
  other_loop.restore(state["loop"])
  other_loop.run(num_steps=30)
  assert same(agent, other)
  assert str(agent.replay.save()) == str(other.replay.save())


@pytest.mark.parametrize("scanned", [1, 4])
def test_pretraining_comes_before_the_first_action_and_is_counted(shown, scanned):
  """In pieces it is the same as at once; of SGD steps that do not fill a learner step there are some more."""
  config = DQfDConfig(**SMALL, demonstrations=shown, num_sgd_steps_per_step=scanned)
  steps = {1: 6, 4: 2}[scanned]
  counter = counting.Counter()
  agent, loop = make(config)
  other = DQfD(SPEC, config=config, counter=counter)
  learning = acme.LearningLoop(other.learner, counter=counter, label="pretraining", logger=loggers.NullLogger())
  assert agent.replay.pretraining() == other.replay.pretraining() == steps
  before = parameters(agent)
  while other.replay.pretraining():
    learning.run(num_steps=1)
  assert counter.get_counts() == {"learner_steps": steps * scanned, "pretraining_steps": steps}
  loop.run(num_steps=1)
  assert same(agent, other) and not all(map(np.array_equal, before, parameters(agent)))
  info = agent.replay.info()
  assert (info["demonstrations"].samples, info["own"].samples) == (steps * scanned * 8, 0)
  loop.run(num_steps=5)  # Too little for the table to be sampled.
  assert agent.replay.info()["demonstrations"].samples == steps * scanned * 8


def test_demonstrations_stay_however_often_the_replay_is_filled(shown):
  config = DQfDConfig(**SMALL, demonstrations=shown)
  agent, loop = make(dataclasses.replace(config, samples_per_insert=0.5))
  loop.run(num_steps=400)
  info = agent.replay.info()
  assert info["own"].inserts > 20 * info["own"].size and info["own"].size == 20
  assert info["demonstrations"].size == NUM_SHOWN
  seen, loop = set(), itertools.islice(agent.replay.dataset(), 60)
  agent.replay.available = lambda: np.inf
  agent.replay._mixture.available = agent.replay.available
  for sample in loop:
    np.testing.assert_array_equal(sample.table == 0, sample.data.observation[:, 0] == MARK)
    seen |= {tuple(o) for o in sample.data.observation if o[0] == MARK}
  episodes = list(datasets.read(shown, acme.builders.step_spec(SPEC)))
  assert seen == {tuple(o) for episode in episodes for o in episode.observation[:-1]}


def test_priorities_have_their_bonus_and_probabilities_are_of_both_tables(shown):
  config = DQfDConfig(**SMALL, demonstrations=shown, priority_exponent=0.5, demonstration_priority_bonus=3.0)
  agent, loop = make(config)
  loop.run(num_steps=40)
  replay, size = agent.replay, agent.replay.info()["own"].inserts
  keys = np.array([[0, k] for k in range(NUM_SHOWN)] + [[1, k] for k in range(size - 20, size)])
  replay.update_priorities(keys, np.ones(len(keys)))
  masses = {0: 4**0.5, 1: (1 + config.priority_bonus) ** 0.5}
  whole = NUM_SHOWN * masses[0] + 20 * masses[1]
  replay._mixture.available = lambda: np.inf
  for sample in itertools.islice(replay.dataset(), 5):
    np.testing.assert_allclose(sample.probabilities, [masses[part] / whole for part in sample.table], rtol=1e-5)


@pytest.mark.parametrize("share", [0.3, 0.7, 1 / 3])
def test_a_fixed_share_is_exact(shown, share):
  agent, loop = make(DQfDConfig(**SMALL, demonstrations=shown, demonstration_share=share))
  loop.run(num_steps=9)
  agent.replay._mixture.available = lambda: np.inf
  loop.run(num_steps=10)
  before = agent.replay.info()["demonstrations"].samples
  for _ in itertools.islice(agent.replay.dataset(), 30):
    pass
  assert agent.replay.info()["demonstrations"].samples - before == pytest.approx(share * 240, abs=1)


def test_a_run_on_the_device_pretrains_and_resumes_exactly(tmp_path):
  environments = pytest.importorskip("acme_anakin.environments", reason="needs acme-anakin")
  from acme_anakin import loop as device
  from acme_anakin.environments import host

  path = record(tmp_path / "shown", host.HostEnvironment(environments.make("catch")), lambda o: 1)
  for share in (None, 0.25):
    builder = AGENT.builder(DQfDConfig(**SMALL, demonstrations=path, demonstration_share=share))
    whole, other = (device.Loop(builder, environments.make("catch"), steps=60, seeds=(0, 1)) for _ in range(2))
    assert whole.pretraining == 6
    other.restore((whole.pretrain(2), whole.save())[1])
    reports = [each.run(40) for each in (whole, other)]
    jax.tree.map(np.testing.assert_array_equal, whole.save(), other.save())
    assert (reports[0]["learner_steps"] > 20).all() and (reports[0]["demonstrations"] > 0).all()


def damage(path):
  (path / "000.npz").write_bytes(b"PK\x03\x04 and no more")


def empty(path):
  for file in path.glob("*.npz"):
    file.unlink()


def other_shape(path):
  episode = datasets.Episode(np.zeros((3, 4), np.float32), np.zeros(2, np.int32), np.zeros(2), np.ones(2))
  datasets.write(path / "zzz.npz", episode)


def other_actions(path):
  episode = datasets.Episode(np.zeros((3, 3), np.float32), np.full(2, 2, np.int32), np.zeros(2), np.ones(2))
  datasets.write(path / "zzz.npz", episode)


def not_finite(path):
  episode = datasets.Episode(np.full((3, 3), np.nan, np.float32), np.zeros(2, np.int32), np.zeros(2), np.ones(2))
  datasets.write(path / "zzz.npz", episode)


@pytest.mark.parametrize(
  ("attack", "error", "message"),
  [
    (damage, ValueError, r"000\.npz is no episode that fits"),
    (empty, FileNotFoundError, "found none"),
    (other_shape, ValueError, r"zzz\.npz.*observation: expected shape"),
    (other_actions, ValueError, r"zzz\.npz.*action: expected numbers from 0 to 1"),
    (not_finite, ValueError, r"zzz\.npz.*observation: expected finite"),
  ],
)
def test_bad_demonstrations_are_named(shown, tmp_path, attack, error, message):
  attack(tmp_path / "shown")
  with pytest.raises(error, match=message):
    make(DQfDConfig(**SMALL, demonstrations=shown))


def test_demonstrations_that_changed_are_named(shown, tmp_path):
  config = DQfDConfig(**SMALL, demonstrations=shown)
  saved = make(config)[0].save()
  (tmp_path / "shown" / "003.npz").unlink()
  with pytest.raises(ValueError, match="Put the files back"):
    make(config)[0].restore(saved)


def test_what_is_missing_or_out_of_range_is_named():
  with pytest.raises(ValueError, match=r"DQfDConfig\.demonstrations: expected the path .* got None"):
    DQfD(SPEC)
  with pytest.raises(FileNotFoundError, match="nowhere"):
    DQfD(SPEC, config=DQfDConfig(demonstrations="nowhere"))
  for share in (0.0, 1.0):
    with pytest.raises(ValueError, match="above 0 and below 1"):
      DQfDConfig(demonstration_share=share)
  with pytest.raises(ValueError, match="DQfDConfig: categorical and quantile exclude each other"):
    DQfDConfig(categorical=True, quantile=True)


def test_wrong_action_spec(shown):
  continuous = SPEC._replace(actions=specs.BoundedArray((2,), np.float32, -1, 1))
  with pytest.raises(ValueError, match="DQfD"):
    DQfD(continuous, config=DQfDConfig(**SMALL, demonstrations=shown))


def test_plugin_is_found_and_its_presets_read_back():
  assert plugins.load_agent("dqfd") is AGENT
  for preset in AGENT.presets.values():
    assert configs.from_dict(DQfDConfig, dataclasses.asdict(preset())) == preset()
