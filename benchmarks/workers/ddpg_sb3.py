"""Stable-Baselines3's DDPG on Pendulum, set as `pendulum_ours.py` is: environment steps a second."""

import argparse
import time

import common
import numpy as np
from stable_baselines3 import DDPG
from stable_baselines3.common.noise import NormalActionNoise

parser = argparse.ArgumentParser()
parser.add_argument("--warmup", type=int, default=800)
parser.add_argument("--steps", type=int, default=2000)
options = parser.parse_args()

model = DDPG(
  "MlpPolicy",
  "Pendulum-v1",
  policy_kwargs={"net_arch": [256, 256, 256]},
  action_noise=NormalActionNoise(np.zeros(1), 0.2 * np.ones(1)),
  batch_size=256,
  train_freq=8,
  gradient_steps=1,
  learning_starts=256,
  learning_rate=3e-4,
  buffer_size=100_000,
  device="cpu",
  seed=0,
)
model.learn(options.warmup)
start = time.perf_counter()
model.learn(options.steps, reset_num_timesteps=False)
common.report(steps_per_second=options.steps / (time.perf_counter() - start))
