"""D4PG's TensorFlow half as an agent: actions within their bounds, learning, and that each half stands alone."""

import dataclasses
import functools
import sys

import numpy as np
import pytest
import tree
from dm_env.specs import Array, BoundedArray

import acme
from acme import specs
from acme_d4pg import AGENT, D4PG, D4PGConfig
from acme_testing import fakes

SMALL = D4PGConfig(policy_hidden_sizes=(16,), critic_hidden_sizes=(16,), batch_size=8, min_replay_size=16, num_atoms=11,
                   max_replay_size=1000, samples_per_insert=4.0)  # fmt: skip
ACTIONS = {
  "scalar": BoundedArray((), np.float32, -2.0, 2.0),
  "vector": BoundedArray((3,), np.float32, [-1, 0, 2], [1, 10, 3]),
  "matrix": BoundedArray((2, 2), np.float64, -1, 1),
  "nested": {"arm": BoundedArray((2,), np.float32, -1, 1), "hand": (BoundedArray((1,), np.float32, 0, 5),)},
  "uneven": BoundedArray((1,), np.float32, -3.3, 0.7),
  "tenths": BoundedArray((1,), np.float64, -0.1, 0.1),
}
NAMES = ["policy", "critic", "target_policy", "target_critic"]


@pytest.fixture
def tf():
  return pytest.importorskip("sonnet", reason='needs pip install "acme-d4pg[tf]"')


def _spec(actions, dtype=np.float32):
  scalar = Array((), dtype)
  return specs.EnvironmentSpec(Array((4,), dtype), actions, scalar, BoundedArray((), dtype, 0, 1))


@pytest.mark.parametrize("num_envs", [None, 3])
@pytest.mark.parametrize("actions", ACTIONS.values(), ids=ACTIONS)
def test_actions_keep_their_spec(tf, actions, num_envs):
  agent = D4PG(_spec(actions), config=dataclasses.replace(SMALL, sigma=2.0), backend="tf", num_envs=num_envs)
  observation = np.ones((4,) if num_envs is None else (num_envs, 4), np.float32)
  for _ in range(5):
    chosen = agent.select_action(observation)
    for i in range(num_envs or 1):
      action = chosen if num_envs is None else tree.map_structure(lambda leaf, i=i: leaf[i], chosen)
      tree.map_structure(lambda spec, leaf: spec.validate(np.asarray(leaf)), actions, action)


@pytest.mark.parametrize(("prioritized", "dtype"), [(False, np.float32), (True, np.float64)])
def test_every_parameter_learns(tf, prioritized, dtype):
  environment = fakes.FakeEnvironment(_spec(ACTIONS["nested"], dtype), episode_length=5)
  config = dataclasses.replace(SMALL, prioritized=prioritized)
  agent = D4PG(acme.make_environment_spec(environment), config=config, backend="tf")
  before = agent.get_variables(NAMES)
  for online, target in ((0, 2), (1, 3)):
    tree.map_structure(np.testing.assert_array_equal, before[online], before[target])
  acme.EnvironmentLoop(environment, agent, logger=acme.loggers.NullLogger()).run(num_steps=60)
  for old, new in zip(before[:2], agent.get_variables(NAMES[:2]), strict=True):
    assert [name for name in old if np.array_equal(old[name], new[name])] == []
    assert {value.dtype for value in new.values()} == {np.dtype(np.float32)}


def test_evaluation_is_without_noise(tf):
  agent = D4PG(_spec(ACTIONS["vector"]), config=dataclasses.replace(SMALL, random_steps=0), backend="tf")
  evaluator, observation = agent.make_evaluator(), np.ones(4, np.float32)
  one, other = evaluator.select_action(observation), evaluator.select_action(observation)
  np.testing.assert_array_equal(one, other)
  assert not np.array_equal(agent.select_action(observation), one)


def test_own_networks(tf):
  from acme_tf import control

  spec = _spec(ACTIONS["vector"])
  mine = (
    functools.partial(control.DeterministicPolicy, spec.observations, 3, (4,), name="mine"),
    functools.partial(control.Critic, spec.observations, SMALL.num_atoms, (4,), name="mine"),
  )
  agent = D4PG(spec, config=SMALL, backend="tf", network=mine)
  assert all(name.startswith("mine/") for nest in agent.get_variables(NAMES) for name in nest)
  with pytest.raises(TypeError, match="a pair of functions that make Sonnet modules"):
    D4PG(spec, config=SMALL, backend="tf", network=mine[0])
  with pytest.raises(ValueError, match=r"outputs \[K\]"):
    D4PG(spec, config=dataclasses.replace(SMALL, num_atoms=7), backend="tf", network=mine)


def test_unknown_backend():
  with pytest.raises(ValueError, match="backend: expected one of 'jax', 'tf', got 'torch'"):
    AGENT.builder(backend="torch")


def test_missing_tensorflow_is_named(monkeypatch):
  for name in [name for name in sys.modules if name.partition(".")[0] == "acme_tf" or name.startswith("acme_d4pg.tf")]:
    monkeypatch.delitem(sys.modules, name)
  monkeypatch.setitem(sys.modules, "tensorflow", None)
  with pytest.raises(ImportError, match=r'pip install "acme-d4pg\[tf\]"'):
    D4PG(_spec(ACTIONS["vector"]), backend="tf")


def test_refuses_what_it_lacks():
  pytest.importorskip("sonnet", reason='needs pip install "acme-d4pg[tf]"')
  with pytest.raises(
    ValueError, match='D4PGConfig.normalize_observations: the TensorFlow backend lacks it.*backend="jax"'
  ):
    D4PG(fakes.make_spec("vector", "continuous"), config=D4PGConfig(normalize_observations=True), backend="tf")
