"""The TensorFlow half as an agent: learning, exact resume, networks of one's own, and that it stands alone."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

import acme
from acme import loggers
from acme_bc import BC, BCConfig
from acme_testing import fakes, runs

SPEC = fakes.make_spec("vector", "discrete")
SMALL = BCConfig(hidden_sizes=(8,), core_size=4, sequence_length=4, batch_size=8, held_out=0.25, learning_rate=0.03)


@pytest.fixture(autouse=True)
def snt():
  return pytest.importorskip("sonnet", reason='needs pip install "acme-bc[tf]"')


def make(seed=0, network=None, **changes):
  config = dataclasses.replace(SMALL, dataset=runs.dataset(SPEC), **changes)
  agent = BC(SPEC, config=config, backend="tf", seed=seed, network=network)
  evaluate = agent.learner.evaluate
  return agent, acme.LearningLoop(agent.learner, logger=loggers.NullLogger(), evaluate=evaluate, evaluate_every=5)


@pytest.mark.parametrize("changes", [{}, {"core": "lstm", "class_balance": True}], ids=str)
def test_resumes_exactly_and_gives_the_best_parameters(changes):
  agent, loop = make(patience=2, **changes)
  before = agent.get_variables(["policy"])[0]
  loop.run(num_steps=12)
  again, other = make(seed=1, patience=2, **changes)
  again.restore(agent.save())
  other.restore(loop.save())
  taken = [each.run(num_steps=60) for each in (loop, other)]
  assert taken[0] == taken[1] < 60 and not runs.difference(agent.save(), again.save())
  given, newest = agent.get_variables(["policy"])[0], agent.learner.save()["state"]["network"]
  assert not all(np.array_equal(given[name], newest[name]) for name in given)  # It stopped after the best ones.
  assert not any(np.array_equal(given[name], before[name]) for name in given)


def test_own_network(snt):
  from acme_tf import networks

  class Mine(snt.Module):
    def __init__(self):
      super().__init__("mine")
      self._linear = snt.Linear(4)

    def __call__(self, x):
      return self._linear(x)

  agent, loop = make(network=lambda: (Mine(), None, networks.CategoricalHead(3)))
  loop.run(num_steps=5)
  assert any("mine/" in name for name in agent.get_variables(["policy"])[0])
  with pytest.raises(ValueError, match=r"Categorical with arrays \(1, 3\)"):
    make(network=lambda: (Mine(), None, networks.CategoricalHead(7)))
  with pytest.raises(ValueError, match="expected no core"):
    make(network=lambda: (Mine(), snt.GRU(4), networks.CategoricalHead(3)))


def test_what_it_lacks():
  with pytest.raises(ValueError, match=r"BCConfig.normalize: the TensorFlow backend lacks it"):
    make(normalize=True)


@pytest.mark.parametrize(("backend", "other"), [("jax", "tensorflow"), ("tf", "jax")])
def test_a_backend_does_without_the_other(backend, other):
  pytest.importorskip("haiku" if backend == "jax" else "sonnet", reason="this backend is not installed")
  code = f"import sys; sys.modules[{other!r}] = None; import acme_bc.{backend}"
  subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
