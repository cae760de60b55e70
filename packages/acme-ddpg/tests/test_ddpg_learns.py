"""DDPG, with each noise and as TD3, learns to bring a point to the middle."""

import dataclasses

import dm_env
import numpy as np
import pytest

import acme
from acme import loggers, specs
from acme_ddpg import DDPG, DDPGConfig

SCALAR = specs.Array((), np.float32)


class Point(dm_env.Environment):
  """x ← x + a / 5 for 15 steps, with −|x| as reward: about −0.4 at best, −7.5 where the point is left alone."""

  def __init__(self):
    self._rng = np.random.default_rng(0)

  def seed(self, seed):
    self._rng = np.random.default_rng(seed)

  def reset(self):
    self._x, self._steps = np.float32(self._rng.uniform(-1, 1)), 0
    return dm_env.restart(self._observation())

  def step(self, action):
    self._x = np.clip(self._x + action[0] / 5, -1, 1).astype(np.float32)
    self._steps += 1
    kind = dm_env.StepType.LAST if self._steps == 15 else dm_env.StepType.MID
    return dm_env.TimeStep(kind, -np.abs(self._x), np.float32(1), self._observation())

  def _observation(self):
    return np.array([self._x, 1], np.float32)  # Layer normalisation leaves nothing of one number but its sign.

  def observation_spec(self):
    return specs.Array((2,), np.float32)

  def action_spec(self):
    return specs.BoundedArray((1,), np.float32, -1, 1)

  def reward_spec(self):
    return SCALAR

  def discount_spec(self):
    return SCALAR


CASES = {
  "gaussian": ("jax", {}),
  "ou": ("jax", {"noise": "ou"}),
  "pink": ("jax", {"noise": "pink", "pink_window": 15}),
  "td3": ("jax", {"twin_critic": True, "policy_period": 2, "target_noise": 0.2}),
  "tensorflow": ("tf", {}),
}


@pytest.mark.parametrize("name", CASES)
def test_brings_the_point_to_the_middle(name):
  backend, changes = CASES[name]
  pytest.importorskip("haiku" if backend == "jax" else "sonnet", reason="this backend is not installed")
  # A policy that learns faster follows the first critic to a bound, where tanh is flat, with one seed of ten.
  config = DDPGConfig(policy_hidden_sizes=(32, 32), critic_hidden_sizes=(32, 32), policy_learning_rate=1e-4,
                      critic_learning_rate=3e-3, target_update_period=10, n_step=1, discount=0.9, batch_size=64,
                      samples_per_insert=64.0, random_steps=200, min_replay_size=200)  # fmt: skip
  environment = Point()
  config = dataclasses.replace(config, **changes)
  agent = DDPG(acme.make_environment_spec(environment), config=config, backend=backend, seed=100)
  acme.EnvironmentLoop(environment, agent, logger=loggers.NullLogger(), seed=0).run(num_steps=800)
  results = acme.evaluate(Point(), agent.make_evaluator(), 20, seed=1)
  assert np.mean([result["episode_return"] for result in results]) >= -2.0
