"""DQfD goes where demonstrations lead, which DQN by itself does not find, and beyond them where they are poor."""

import numpy as np
import pytest

import acme
from acme import loggers
from acme_dqfd import DQfD, DQfDConfig
from acme_dqn import DQN, DQNConfig
from acme_replay import datasets
from acme_testing.tiny.environments import Chain

LENGTH = 12
SMALL = {"hidden_sizes": (64,), "batch_size": 32, "min_replay_size": 50, "samples_per_insert": 16.0}


def record(path, num_episodes=2):
  """Episodes to the end of the chain."""
  environment = Chain(LENGTH)
  for i in range(num_episodes):
    timesteps = [environment.reset()]
    actions = [np.int32(environment.right(state)) for state in range(LENGTH)]
    timesteps += [environment.step(action) for action in actions]
    columns = [[t.observation for t in timesteps], actions, *([t[k] for t in timesteps[1:]] for k in (1, 2))]
    datasets.write(path / f"{i}.npz", datasets.Episode(*map(np.stack, columns)))
  return str(path)


def train(agent_class, config, num_steps):
  environment = Chain(LENGTH)
  agent = agent_class(acme.make_environment_spec(environment), config=config, seed=100)
  acme.EnvironmentLoop(environment, agent, logger=loggers.NullLogger(), seed=0).run(num_steps=num_steps)
  (result,) = acme.evaluate(Chain(LENGTH), agent.make_evaluator(), 1)
  return result["episode_return"]


@pytest.mark.slow
@pytest.mark.parametrize("share", [None, 0.25])
def test_goes_where_demonstrations_lead(tmp_path, share):
  config = DQfDConfig(**SMALL, demonstrations=record(tmp_path), demonstration_share=share, pretraining_steps=500)
  assert train(DQfD, config, 1) == 1, "pre-trained"
  assert train(DQfD, config, 1_000) == 1
  assert train(DQN, DQNConfig(**SMALL), 1_000) == 0.5
