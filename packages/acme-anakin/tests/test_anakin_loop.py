"""Whole agents in the jitted loop: every kind of experience, many seeds, exact ratios, exact resume."""

import dataclasses

import jax
import numpy as np
import pytest

import acme_dqn.jax
from acme import types
from acme_anakin import environments, loop, store
from acme_anakin.environments import host as host_environments
from acme_testing import runs
from acme_testing.tiny import actor_critic, mixed, offline, recurrent


def record(path, environment, episodes=12):
  """Episodes of random actions, and what the command line's own dataset would hold."""
  rng = np.random.default_rng(0)
  host = host_environments.HostEnvironment(environment)
  host.seed(0)
  return runs.record(path, host, lambda _: np.int32(rng.integers(environment.spec.actions.num_values)), episodes)


SMALL = {"batch_size": 4, "min_replay_size": 8, "samples_per_insert": 2.0, "max_replay_size": 64}


def dqn(**others):
  return acme_dqn.DQNConfig(**SMALL, hidden_sizes=(8,), **others)


CASES = {
  "steps": lambda path: (acme_dqn.jax, dqn(n_step=1, prioritized=False)),
  "transitions": lambda path: (acme_dqn.jax, dqn(n_step=3, prioritized=True, num_sgd_steps_per_step=2)),
  "sequences": lambda path: (recurrent, recurrent.Config(**SMALL, core_size=4)),
  "queue": lambda path: (actor_critic, actor_critic.Config()),
  "shares": lambda path: (mixed, mixed.Config(**SMALL, demonstrations=path, demonstration_share=0.3)),
  "by priority": lambda path: (mixed, mixed.Config(**SMALL, demonstrations=path)),
  "dataset": lambda path: (offline, offline.Config(dataset=path)),
}


@pytest.fixture(scope="module")
def catch():
  return environments.make("catch")


@pytest.fixture(scope="module")
def path(tmp_path_factory, catch):
  return record(tmp_path_factory.mktemp("dataset"), catch)


def make(kind, path, environment, **others):
  module, config = CASES[kind](path)
  return loop.Loop(module.make_builder(config), environment, steps=400, **{"num_envs": 2, "seeds": (0, 1)} | others)


# Each compiles two loops; with other versions of libraries two kinds are enough.
KINDS = [kind if kind in ("transitions", "sequences") else pytest.param(kind, marks=pytest.mark.slow) for kind in CASES]


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_was_saved_and_restored_goes_on_the_same(kind, path, catch):
  whole, again = make(kind, path, catch), make(kind, path, catch)
  report = whole.run(60)
  assert (report["learner_steps"] > 0).all() and np.isfinite(report["loss"]).all(), report
  assert (report["diverged"] == -1).all()
  again.restore(whole.save())
  assert whole.run(60).keys() == again.run(60).keys()
  for i, (one, other) in enumerate(zip(whole.save()["state"], again.save()["state"], strict=True)):
    np.testing.assert_array_equal(one, other, err_msg=f"leaf {i}")
  assert whole.evaluate(3).shape == (2, 3)
  np.testing.assert_array_equal(whole.evaluate(3), again.evaluate(3))


def test_evaluations_of_one_seed_have_the_same_starts_for_all(path, catch):
  made = make("transitions", path, catch)
  alike = jax.tree.map(lambda leaf: leaf[np.array([0, 0])], made._state.learning)  # One policy for both.
  made._state = made._state._replace(learning=alike)
  given, own = made.evaluate(20, seed=5), made.evaluate(20)
  np.testing.assert_array_equal(given[0], given[1])
  assert (own[0] != own[1]).any() and (made.evaluate(20, seed=6) != given).any()


@pytest.fixture
def x64():
  jax.config.update("jax_enable_x64", True)
  yield
  jax.config.update("jax_enable_x64", False)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("kind", ["transitions", "sequences", "queue"])
def test_it_learns_where_jax_has_double(kind, path, catch):
  made = make(kind, path, catch)
  report = made.run(60)
  assert (report["learner_steps"] > 0).all() and np.isfinite(report["loss"]).all()
  assert made.evaluate(2).dtype == np.float32
  if kind == "transitions":  # In metrics of the others it may have crept in.
    assert not any(leaf.dtype in (np.float64, np.int64) for leaf in made.save()["state"])


def test_each_of_many_seeds_is_what_it_would_be_alone(path, catch):
  together = make("sequences", path, catch, seeds=(3, 4, 5))
  alone = make("sequences", path, catch, seeds=(4,))
  reports = together.run(100), alone.run(100)
  for name in ("steps", "learner_steps", "episodes", "episode_return"):
    assert reports[0][name][1] == reports[1][name][0], name
  np.testing.assert_allclose(reports[0]["loss"][1], reports[1]["loss"][0], rtol=1e-3)


def test_seeds_are_spread_over_devices(path, catch):
  """With one device there is nothing to spread; that the number must divide them is checked anyhow."""
  devices = jax.devices()
  made = make("transitions", path, catch, devices=devices, seeds=range(len(devices)))
  assert made.run(20)["steps"].tolist() == [20] * len(devices)
  with pytest.raises(ValueError, match="divides 3 seeds"):
    make("transitions", path, catch, devices=devices * 2, seeds=range(3))


def test_pretraining_leaves_the_environment_alone(path, catch):
  made = make("by priority", path, catch)
  assert made.pretrain(25)["learner_steps"].tolist() == [25, 25]
  assert made.steps == 0
  assert (made.run(40)["learner_steps"] > 25).all()
  with pytest.raises(ValueError, match="no dataset"):
    make("transitions", path, catch).pretrain(1)


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_pretraining_that_the_agent_asks_for_comes_before_acting_and_may_be_interrupted(
  path, catch, seeds, monkeypatch
):
  make_experience = mixed.make_experience
  monkeypatch.setattr(
    mixed, "make_experience", lambda config: dataclasses.replace(make_experience(config), pretraining_batches=7)
  )
  whole, parted, other = (make("by priority", path, catch, seeds=seeds) for _ in range(3))
  parted.pretrain(3)
  assert (whole.pretraining, parted.pretraining) == (7, 4)
  other.restore(parted.save())
  for each in (whole, other):
    each.run(4)  # Too few to be learned from.
    assert each.pretraining == 0 and (each.report()["learner_steps"] == 7).all()
    each.run(20)
  jax.tree.map(np.testing.assert_array_equal, whole.save(), other.save())


def test_a_share_is_exact_over_time(path, catch):
  """Of batches of 4 three tenths are demonstrations: 1.2 in each, 12 in ten."""
  made = make("shares", path, catch, seeds=(0,))
  made.run(40)
  store, state, data = made._store, made._state, made._datasets
  draw = jax.jit(lambda sampling, key: store.sample(state.store, sampling, data, key))
  sampling, counts = state.learning.sampling._replace(owed=state.learning.sampling.owed * 0), []
  for i in range(50):
    sampling, batch = draw(sampling, jax.random.PRNGKey(i))
    counts.append(int(np.sum(np.asarray(batch.part) == 0)))
    assert 0 <= sum(counts) - 1.2 * len(counts) + 1 < 1 + 1e-6
    np.testing.assert_array_equal(batch.sample.table, batch.part)


def test_seeds_learn_together_and_each_as_often_as_its_own_items_ask_for():
  """Of 3-step transitions ends of episodes make more: what comes due waits for the tick in which all look."""
  config = acme_dqn.DQNConfig(
    hidden_sizes=(4,), batch_size=8, n_step=3, samples_per_insert=2.0, min_replay_size=10, prioritized=False
  )
  builder = acme_dqn.jax.make_builder(config)
  pole = environments.make("CartPole-v1")
  every, alone = 4, loop.Loop(builder, pole, steps=200, seeds=(1,))
  made = loop.Loop(builder, pole, steps=200, seeds=(0, 1, 2))
  assert made._store.learns_every == every
  for tick in range(1, 100):
    learned = made.run(1)["learner_steps"]
    due = np.maximum(np.asarray(made._state.store.ring.inserts) - 10, 0) * 2 // 8
    assert (learned == due).all() if tick % every == 0 else (learned <= due).all(), tick
  assert alone.run(99)["learner_steps"].tolist() == [learned[1]]
  assert len(set(np.asarray(made._state.store.ring.inserts).tolist())) > 1 and (learned > 20).all()


def test_shares_are_the_fractions_that_they_are_roundings_of():
  for k in range(2, 1000):
    unit, whole = store._shares({"some": 1 / k, "others": 1 - 1 / k}, "others", 64)
    assert whole["some"] * k == whole["some"] + whole["others"] and unit < 1000 * k, k
  with pytest.raises(ValueError, match="give fewer digits"):
    store._shares({"some": 0.123457, "others": 1 - 0.123457}, "others", 64)


def test_a_loss_that_is_not_finite_is_found_and_the_other_seeds_go_on(path, catch):
  """One seed's first layer is NaN from the 20th step on: its greedy actions are still actions, its loss is none."""
  made = make("transitions", path, catch)
  assert (made.run(20)["diverged"] == -1).all()
  learned = made._state.learning
  spoilt = jax.tree.map(lambda x: x.at[1].set(np.nan), learned.state.params)
  made._state = made._state._replace(learning=learned._replace(state=learned.state._replace(params=spoilt)))
  before = int(learned.steps[1])
  report = made.run(20)
  assert report["diverged"].tolist() == [-1, before]
  assert np.isfinite(report["loss"][0]) and report["learner_steps"][0] > before


def test_what_cannot_run_here_is_refused_in_a_line(path, catch):
  module, config = CASES["transitions"](path)
  builder = module.make_builder(config)
  program = builder.make_program(catch.spec)
  builder.make_program = lambda spec: dataclasses.replace(program, behaviour=None)
  with pytest.raises(ValueError, match="no pure function"):
    loop.Loop(builder, catch, steps=10)
  builder.make_program = lambda spec: object()
  with pytest.raises(ValueError, match="no program in JAX"):
    loop.Loop(builder, catch, steps=10)
  for wrong in ({"seeds": (1, 1)}, {"num_envs": 0}, {"steps": 0}, {"steps": 2**31}):
    with pytest.raises(ValueError):
      loop.Loop(module.make_builder(config), catch, **{"steps": 10} | wrong)


def test_the_first_step_of_an_episode_says_so(path, catch):
  made = make("sequences", path, catch, seeds=(0,))
  made.run(400)
  data = jax.tree.map(np.asarray, made._state.store.ring.data)
  assert isinstance(data, types.Sequence)
  written = int(made._state.store.ring.inserts)
  start, previous = data.start_of_episode[:written], data.previous_action[:written]
  assert start.any() and (previous[start] == 0).all()
