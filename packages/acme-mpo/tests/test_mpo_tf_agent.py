"""MPO's TensorFlow half as an agent: actions within their bounds, learning, and that it stands alone."""

import dataclasses

import numpy as np
import pytest
import tree
from dm_env.specs import Array, BoundedArray, DiscreteArray

import acme
from acme import loggers, specs
from acme_mpo import MPO, MPOConfig
from acme_testing import fakes

SMALL = MPOConfig(policy_hidden_sizes=(16,), critic_hidden_sizes=(16,), batch_size=8, num_samples=4,
                   min_replay_size=16, max_replay_size=1000, samples_per_insert=4.0)  # fmt: skip
ACTIONS = {
  "nested": {"arm": BoundedArray((2,), np.float32, -1, 1), "hand": (BoundedArray((1,), np.float64, 0, 5),)},
  "discrete": DiscreteArray(3, np.int64),
  "mixed": {"arm": BoundedArray((2,), np.float32, 0, 5), "gears": (DiscreteArray(3, np.int64), DiscreteArray(2))},
}
NAMES = ["policy", "critic", "duals", "target_policy", "target_critic"]


@pytest.fixture(autouse=True)
def tf():
  return pytest.importorskip("sonnet", reason='needs pip install "acme-mpo[tf]"')


def _spec(actions):
  scalar = Array((), np.float32)
  return specs.EnvironmentSpec(Array((4,), np.float32), actions, scalar, scalar)


@pytest.mark.parametrize("retrace", [False, True])
@pytest.mark.parametrize("actions", ACTIONS.values(), ids=ACTIONS)
def test_every_parameter_learns(actions, retrace):
  environment = fakes.FakeEnvironment(_spec(actions), episode_length=5)
  config = dataclasses.replace(SMALL, initial_stddev=2.0, retrace=retrace, sequence_length=4, sequence_period=2)
  agent = MPO(acme.make_environment_spec(environment), config=config, backend="tf")
  seen = set()
  for _ in range(20):
    action = agent.select_action(np.ones(4, np.float32))
    tree.map_structure(lambda spec, leaf: spec.validate(np.asarray(leaf)), actions, action)
    seen.add(str(action))
  assert len(seen) > 1
  before = agent.get_variables(NAMES)
  for online, target in ((0, 3), (1, 4)):
    tree.map_structure(np.testing.assert_array_equal, before[online], before[target])
  acme.EnvironmentLoop(environment, agent, logger=loggers.NullLogger()).run(num_steps=60)
  for old, new in zip(before[:3], agent.get_variables(NAMES[:3]), strict=True):
    assert [name for name in old if np.array_equal(old[name], new[name])] == []
    assert {value.dtype for value in new.values()} == {np.dtype(np.float32)}


def test_evaluation_takes_the_mode():
  agent = MPO(_spec(ACTIONS["nested"]), config=SMALL, backend="tf")
  evaluator, observation = agent.make_evaluator(), np.ones(4, np.float32)
  one, other = (evaluator.select_action(observation)["arm"] for _ in range(2))
  np.testing.assert_array_equal(one, other)
  assert not np.array_equal(agent.select_action(observation)["arm"], one)


def test_own_networks():
  from acme_tf import control, networks

  class Mine(networks.GaussianHead):
    pass

  spec = _spec(BoundedArray((), np.float32, -1, 1))
  critic = lambda: control.Critic(spec.observations, 1, (4,), name="mine")  # noqa: E731
  agent = MPO(spec, config=SMALL, backend="tf", network=(lambda: Mine(1), critic))
  assert all(name.startswith("mine/") for nest in agent.get_variables(NAMES[:2]) for name in nest)
  with pytest.raises(ValueError, match="acme_tf.networks.Gaussian"):
    MPO(spec, config=SMALL, backend="tf", network=(lambda: networks.CategoricalHead(1), critic))


def test_refuses_what_it_lacks():
  with pytest.raises(
    ValueError, match='MPOConfig.normalize_observations: the TensorFlow backend lacks it.*backend="jax"'
  ):
    MPO(fakes.make_spec("vector", "continuous"), config=MPOConfig(normalize_observations=True), backend="tf")
