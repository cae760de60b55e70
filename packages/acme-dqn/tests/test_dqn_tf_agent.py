"""DQN's TensorFlow half as an agent: what it can do, what it refuses, and that each half stands alone."""

import dataclasses
import sys

import numpy as np
import pytest
import tree
from dm_env.specs import Array

import acme
from acme_dqn import AGENT, DQN, DQNConfig
from acme_testing import fakes

SMALL = DQNConfig(hidden_sizes=(16,), batch_size=8, min_replay_size=16, max_replay_size=1000, samples_per_insert=4.0,
                  num_atoms=5, num_quantiles=4)  # fmt: skip
SWITCHES = {
  "default": {},
  "categorical": {"categorical": True},
  "quantile": {"quantile": True},
  "plain": {"double_q": False, "dueling": False, "prioritized": False},
  "two SGD steps": {"num_sgd_steps_per_step": 2},
}


@pytest.fixture
def tf():
  return pytest.importorskip("sonnet", reason='needs pip install "acme-dqn[tf]"')


@pytest.mark.parametrize("changes", SWITCHES.values(), ids=SWITCHES)
def test_every_parameter_learns(tf, changes):
  environment = fakes.FakeEnvironment(fakes.make_spec("nested", "discrete"))
  config = dataclasses.replace(SMALL, **changes)
  agent = DQN(acme.make_environment_spec(environment), config=config, backend="tf", seed=0)
  tree.map_structure(np.testing.assert_array_equal, *agent.get_variables(["policy", "params"]))
  before, target = agent.get_variables(["policy", "target_policy"])
  tree.map_structure(np.testing.assert_array_equal, before, target)
  acme.EnvironmentLoop(environment, agent, logger=acme.loggers.NullLogger()).run(num_steps=60)
  (after,) = agent.get_variables(["policy"])
  assert [name for name in before if np.array_equal(before[name], after[name])] == []


def test_float64_throughout(tf):
  """As dm_env's default specs are, and many an environment's observations."""
  plain = fakes.make_spec("vector", "discrete")
  double = Array((), np.float64)
  spec = plain._replace(observations=Array((3,), np.float64), rewards=double, discounts=double)
  environment = fakes.FakeEnvironment(spec)
  agent = DQN(acme.make_environment_spec(environment), config=SMALL, backend="tf")
  acme.EnvironmentLoop(environment, agent, logger=acme.loggers.NullLogger()).run(num_steps=40)
  assert {value.dtype for value in agent.get_variables(["policy"])[0].values()} == {np.dtype(np.float32)}


def test_own_network(tf):
  import sonnet as snt

  spec = fakes.make_spec("vector", "discrete")
  agent = DQN(spec, config=SMALL, backend="tf", network=lambda: snt.Linear(spec.actions.num_values, name="mine"))
  assert set(agent.get_variables(["policy"])[0]) == {"mine/w", "mine/b"}
  DQN(
    spec,
    config=SMALL,
    backend="tf",
    network=lambda: snt.Sequential([snt.Flatten(), snt.Linear(spec.actions.num_values)]),
  )
  for network, error, message in (
    (lambda: snt.Linear(1), ValueError, r"Q-values \[A\]"),
    (lambda: lambda x: None, ValueError, "got None"),
    (snt.Linear(spec.actions.num_values), TypeError, "a function that makes a network"),
    ("mlp", TypeError, "a function that makes a Sonnet module"),
  ):
    with pytest.raises(error, match=message):
      DQN(spec, config=SMALL, backend="tf", network=network)


@pytest.mark.parametrize("switch", ["noisy", "munchausen"])
def test_refuses_what_it_lacks(tf, switch):
  config = dataclasses.replace(SMALL, **{switch: True})
  with pytest.raises(ValueError, match=f'DQNConfig.{switch}: the TensorFlow backend lacks it.*backend="jax"'):
    DQN(fakes.make_spec("vector", "discrete"), config=config, backend="tf")


def test_unknown_backend():
  with pytest.raises(ValueError, match="backend: expected one of 'jax', 'tf', got 'torch'"):
    AGENT.builder(backend="torch")


def test_missing_tensorflow_is_named(monkeypatch):
  for name in [name for name in sys.modules if name.partition(".")[0] == "acme_tf" or name.startswith("acme_dqn.tf")]:
    monkeypatch.delitem(sys.modules, name)
  monkeypatch.setitem(sys.modules, "tensorflow", None)
  with pytest.raises(ImportError, match=r'pip install "acme-dqn\[tf\]"'):
    DQN(fakes.make_spec("vector", "discrete"), backend="tf")
