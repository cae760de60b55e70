"""Each switch alone, and Rainbow, learn a small game of catch: the slow tests."""

import dataclasses

import dm_env
import numpy as np
import pytest

import acme
from acme import loggers, specs
from acme_dqn import DQN, DQNConfig

SCALAR = specs.Array((), np.float32)


class Catch(dm_env.Environment):
  """bsuite's catch: a ball falls through 10 rows of 5 columns, the paddle in the last goes left, stays or goes right.

  The reward is 1 for a ball caught and −1 for one missed.
  """

  def __init__(self):
    self._rng = np.random.default_rng(0)

  def seed(self, seed):
    self._rng = np.random.default_rng(seed)

  def reset(self):
    self._ball, self._row, self._paddle = int(self._rng.integers(5)), 0, 2
    return dm_env.restart(self._board())

  def step(self, action):
    self._row += 1
    self._paddle = min(max(self._paddle + int(action) - 1, 0), 4)
    if self._row < 9:
      return dm_env.transition(np.float32(0), self._board(), np.float32(1))
    reward = np.float32(1 if self._paddle == self._ball else -1)
    return dm_env.TimeStep(dm_env.StepType.LAST, reward, np.float32(0), self._board())

  def _board(self):
    board = np.zeros((10, 5), np.float32)
    board[self._row, self._ball] = board[9, self._paddle] = 1
    return board

  def observation_spec(self):
    return specs.BoundedArray((10, 5), np.float32, 0, 1)

  def action_spec(self):
    return specs.DiscreteArray(3, np.int32)

  def reward_spec(self):
    return SCALAR

  def discount_spec(self):
    return SCALAR


SWITCHES = {
  "default": DQNConfig(),
  "single_q": DQNConfig(double_q=False),
  "one_step": DQNConfig(n_step=1),
  "uniform": DQNConfig(prioritized=False),
  "dueling": DQNConfig(dueling=True),
  "categorical": DQNConfig(categorical=True),
  "quantile": DQNConfig(quantile=True, num_quantiles=32),
  "noisy": DQNConfig(noisy=True, epsilon=0.0, epsilon_initial=0.0),
  "munchausen": DQNConfig(munchausen=True),
  "rainbow": DQNConfig.rainbow(),
}


# Each switch trains every parameter in other tests.
NAMES = [pytest.param(n, marks=pytest.mark.slow if n == "default" else pytest.mark.long) for n in SWITCHES]


@pytest.mark.parametrize("name", NAMES)
def test_learns_catch(name):
  config = dataclasses.replace(SWITCHES[name], hidden_sizes=(64, 64), batch_size=64, min_replay_size=200)
  environment = Catch()
  agent = DQN(acme.make_environment_spec(environment), config=config, seed=100)
  acme.EnvironmentLoop(environment, agent, logger=loggers.NullLogger(), seed=0).run(num_steps=6_000)
  results = acme.evaluate(Catch(), agent.make_evaluator(), 50, seed=1)
  assert np.mean([result["episode_return"] for result in results]) >= 0.9
