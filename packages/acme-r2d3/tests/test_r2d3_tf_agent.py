"""R2D3's TensorFlow half: a whole agent, whose demonstrations begin with the states of its own network."""

import numpy as np
import pytest
import tree

pytest.importorskip("tensorflow", reason='needs pip install "acme-r2d3[tf]"')

import acme
from acme import loggers
from acme_r2d3 import R2D3, R2D3Config
from acme_testing import fakes, runs

SPEC = fakes.make_spec("vector", "discrete")


def make(seed):
  config = R2D3Config(burn_in_length=1, trace_length=3, sequence_period=2, hidden_sizes=(8,), core_size=4,
                      head_hidden_sizes=(8,), batch_size=4, min_replay_size=6, samples_per_insert=4.0,
                      demonstrations=runs.dataset(SPEC))  # fmt: skip
  agent = R2D3(SPEC, config=config, backend="tf", seed=seed)
  return agent, acme.EnvironmentLoop(fakes.FakeEnvironment(SPEC), agent, logger=loggers.NullLogger(), seed=0)


def test_resumes_bit_for_bit_into_another_seed():
  (agent, loop), (other, other_loop) = make(0), make(1)
  (first,) = agent.get_variables(["policy"])
  for each in (agent, other):
    next(each.replay._parts["demonstrations"].dataset(1))
  cores = [each.replay.save()["parts"]["demonstrations"]["cores"] for each in (agent, other)]
  assert all(np.any(leaf) for leaf in cores[0]) and not np.array_equal(cores[0][0], cores[1][0])
  loop.run(num_steps=32)
  other.restore(agent.save())
  other_loop.restore(loop.save())
  for each in (loop, other_loop):
    each.run(num_steps=25)
  assert not runs.difference(agent.save(), other.save())
  (last,) = agent.get_variables(["policy"])
  assert all(not np.array_equal(one, two) for one, two in zip(tree.flatten(first), tree.flatten(last), strict=True))
