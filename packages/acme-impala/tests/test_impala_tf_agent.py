"""IMPALA's TensorFlow half as an agent: learning, what it stores of its actions, and that it stands alone."""

import dataclasses

import numpy as np
import pytest
import tree
from dm_env.specs import Array, BoundedArray, DiscreteArray

import acme
from acme import loggers, specs
from acme_impala import IMPALA, IMPALAConfig
from acme_testing import fakes

SMALL = IMPALAConfig(hidden_sizes=(8,), head_hidden_sizes=(8,), core_size=4, sequence_length=4, batch_size=4)
ACTIONS = {
  "nested": {"arm": BoundedArray((2,), np.float32, -1, 1), "hand": (BoundedArray((1,), np.float64, 0, 5),)},
  "discrete": DiscreteArray(3, np.int64),
}
CASES = [
  ("discrete", None, "adam"),
  ("discrete", "lstm", "rmsprop"),
  ("nested", None, "adam"),
  ("nested", "gru", "adam"),
]


@pytest.fixture(autouse=True)
def tf():
  return pytest.importorskip("sonnet", reason='needs pip install "acme-impala[tf]"')


def _spec(actions):
  scalar = Array((), np.float32)
  return specs.EnvironmentSpec(Array((4,), np.float32), actions, scalar, scalar)


@pytest.mark.parametrize(("actions", "core", "optimizer"), CASES)
def test_every_parameter_learns_and_what_acted_is_stored(actions, core, optimizer):
  from acme_impala.tf import networks
  from acme_tf import variables

  spec = _spec(ACTIONS[actions])
  environments = [fakes.FakeEnvironment(spec, episode_length=5 + i) for i in range(3)]
  config = dataclasses.replace(SMALL, core=core, optimizer=optimizer, initial_stddev=2.0)
  agent = IMPALA(acme.make_environment_spec(environments[0]), config=config, backend="tf", num_envs=3)
  loop = acme.VectorEnvironmentLoop(environments, agent, logger=loggers.NullLogger(), should_update=False)
  loop.run(num_steps=60)
  data = next(agent.replay.dataset()).data
  (before,) = agent.get_variables(["policy"])
  nets = networks.make_networks(spec, config)
  network = variables.create(nets.make, *nets.inputs())
  variables.assign(network.variables, before)
  policy, _, _ = network(data.observation, data.start_of_episode, data.core)
  if actions == "discrete":
    stored, expected = data.extras["logits"], data.acted[..., None] * policy.logits.numpy()
  else:
    stored, expected = data.extras["log_prob"], data.acted * policy.log_prob(data.extras["draw"]).numpy()
    tree.map_structure(lambda s, leaf: s.validate(leaf[0, 0]), ACTIONS[actions], data.action)
  np.testing.assert_allclose(stored, expected, rtol=1e-4, atol=1e-4)
  agent.update()
  (after,) = agent.get_variables(["policy"])
  assert [name for name in before if np.array_equal(before[name], after[name])] == []


def test_evaluation_takes_the_mode():
  agent = IMPALA(_spec(ACTIONS["nested"]), config=SMALL, backend="tf")
  evaluator, observation = agent.make_evaluator(), np.ones(4, np.float32)
  one, other = (evaluator.select_action(observation)["arm"] for _ in range(2))
  np.testing.assert_array_equal(one, other)
  assert not np.array_equal(agent.select_action(observation)["arm"], one)
