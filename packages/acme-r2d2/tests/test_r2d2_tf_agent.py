"""R2D2's TensorFlow half as an agent: learning, exact resume, networks of one's own, and that it stands alone."""

import dataclasses

import numpy as np
import pytest

import acme
from acme import loggers
from acme_r2d2 import R2D2, R2D2Config
from acme_testing import fakes, runs

SMALL = R2D2Config(burn_in_length=2, trace_length=4, sequence_period=2, hidden_sizes=(8,), core_size=4,
                   head_hidden_sizes=(8,), batch_size=4, min_replay_size=10, max_replay_size=1000,
                   samples_per_insert=4.0)  # fmt: skip
SPEC = fakes.make_spec("nested", "discrete")


@pytest.fixture(autouse=True)
def snt():
  return pytest.importorskip("sonnet", reason='needs pip install "acme-r2d2[tf]"')


def make(seed=0, **changes):
  agent = R2D2(SPEC, config=dataclasses.replace(SMALL, **changes), backend="tf", seed=seed)
  environment = fakes.FakeEnvironment(SPEC, episode_length=7)
  return agent, acme.EnvironmentLoop(environment, agent, logger=loggers.NullLogger(), seed=0)


@pytest.mark.parametrize("changes", [{}, {"core": "gru", "dueling": False, "end_of_episode": "zero_pad"}], ids=str)
def test_every_parameter_learns(changes):
  agent, loop = make(**changes)
  before, target = agent.get_variables(["policy", "target_policy"])
  assert all(np.array_equal(before[name], target[name]) for name in before)
  loop.run(num_steps=60)
  (after,) = agent.get_variables(["policy"])
  assert [name for name in before if np.array_equal(before[name], after[name])] == []
  assert {value.dtype for value in after.values()} == {np.dtype(np.float32)}


def test_resumes_exactly_within_an_episode():
  (agent, loop), (again, other) = make(), make(seed=1)
  loop.run(num_steps=66)
  again.restore(agent.save())
  other.restore(loop.save())
  for each in (loop, other):
    each.run(num_steps=20)
  assert not runs.difference(agent.save(), again.save())


def test_own_network(snt):
  import tensorflow as tf

  spec = fakes.make_spec("vector", "discrete")

  class Torso(snt.Module):
    def __init__(self):
      super().__init__("mine")
      self._linear = snt.Linear(4)

    def __call__(self, observation, action, reward):
      return self._linear(tf.concat([observation, action], axis=-1))

  agent = R2D2(spec, config=SMALL, backend="tf", network=lambda: (Torso(), snt.VanillaRNN(4), snt.Linear(3)))
  assert any(name.startswith("r2d2/mine/") for name in agent.get_variables(["policy"])[0])
  with pytest.raises(ValueError, match=r"Q-values \[A\], shape \(1, 3\)"):
    R2D2(spec, config=SMALL, backend="tf", network=lambda: (Torso(), snt.GRU(4), snt.Linear(7)))
  with pytest.raises(TypeError, match="a function that makes torso, core and head"):
    R2D2(spec, config=SMALL, backend="tf", network="lstm")
