"""Stable-Baselines3's `predict` loop on CartPole, MLP 256-256, ε-greedy: environment steps a second."""

import argparse

import common
import gymnasium
from stable_baselines3 import DQN
from stable_baselines3.common.env_util import make_vec_env

parser = argparse.ArgumentParser()
parser.add_argument(
  "--envs", type=int, default=0, help="0 for one Gymnasium environment, else so many in a DummyVecEnv"
)
options = parser.parse_args()

model = DQN("MlpPolicy", "CartPole-v1", policy_kwargs={"net_arch": [256, 256]}, buffer_size=1_000, device="cpu", seed=0)
model.exploration_rate = 0.05


def single():
  """200 steps of one environment."""
  global observation
  for _ in range(200):
    action, _ = model.predict(observation)
    observation, _, terminated, truncated, _ = environment.step(action)
    if terminated or truncated:
      observation, _ = environment.reset()


def vectorised():
  """50 steps of every environment."""
  global observation
  for _ in range(50):
    action, _ = model.predict(observation)
    observation, _, _, _ = environment.step(action)


if options.envs:
  environment = make_vec_env("CartPole-v1", options.envs, seed=0)
  observation = environment.reset()
  common.report(steps_per_second=common.rate(vectorised, 50 * options.envs, 2.0))
else:
  environment = gymnasium.make("CartPole-v1")
  observation, _ = environment.reset(seed=0)
  common.report(steps_per_second=common.rate(single, 200, 2.0))
