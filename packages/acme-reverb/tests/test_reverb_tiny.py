"""The tiny agents of acme-testing, each of its own kind of experience, learn from a Reverb server and go on there."""

import contextlib

import numpy as np
import pytest
import tree

pytest.importorskip("reverb")
pytest.importorskip("acme_jax")

import acme  # noqa: E402
from acme import agents, counting, loggers  # noqa: E402
from acme_reverb import ReverbReplay  # noqa: E402
from acme_testing import runs  # noqa: E402
from acme_testing.tiny import actor_critic, environments, mixed, recurrent  # noqa: E402


@pytest.fixture
def demonstrations(tmp_path):
  """A dataset of one episode that reaches the end of the chain."""
  chain = environments.Chain()
  return runs.record(tmp_path, chain, lambda o: np.int32(chain.right(int(o.argmax()))))


@pytest.fixture
def make():
  """Makes an agent whose experience is on a server of its own, which is closed in the end, and what it counts on."""
  with contextlib.ExitStack() as stack:

    def make_replay(*arguments, **options):
      return stack.enter_context(
        contextlib.closing(ReverbReplay(*arguments, **options, listen_everywhere=True, timeout=60))
      )

    def make_agent(module, environment, config):
      builder, counter = module.AGENT.builder(module.Config(**config)), counting.Counter()
      spec = acme.make_environment_spec(environment)
      return agents.Agent(builder, spec, seed=0, replay=make_replay, counter=counter), counter

    yield make_agent


def run(environment, agent, num_steps):
  acme.EnvironmentLoop(environment, agent, seed=0, logger=loggers.NullLogger()).run(num_steps=num_steps)


@pytest.mark.parametrize(
  "module, environment", [(recurrent, environments.Cue), (actor_critic, environments.Cue), (mixed, environments.Chain)]
)
def test_tiny_agents_learn_from_reverb_and_go_on(module, environment, make, demonstrations):
  few = {"demonstrations": demonstrations, "demonstration_share": 0.25, "min_replay_size": 50}
  config = few if module is mixed else {}
  agent, counter = make(module, environment(), config)
  run(environment(), agent, 400)
  assert counter.get_counts()["learner_steps"] > 0

  restored, counter = make(module, environment(), config)
  restored.restore(agent.save())
  tree.map_structure(np.testing.assert_array_equal, agent.get_variables(["params"]), restored.get_variables(["params"]))
  run(environment(), restored, 200)
  assert counter.get_counts()["learner_steps"] > 0
