"""Stable-Baselines3's or SBX's DQN on CartPole, set as `dqn_ours.py` is: environment steps a second."""

import argparse
import importlib
import time

import common

parser = argparse.ArgumentParser()
parser.add_argument("--library", choices=["stable_baselines3", "sbx"], default="stable_baselines3")
parser.add_argument("--every", type=int, default=1, help="environment steps for each SGD step")
parser.add_argument("--warmup", type=int, default=500)
parser.add_argument("--steps", type=int, default=1500)
options = parser.parse_args()

model = importlib.import_module(options.library).DQN(
  "MlpPolicy",
  "CartPole-v1",
  policy_kwargs={"net_arch": [64, 64]},
  batch_size=64,
  train_freq=options.every,
  gradient_steps=1,
  learning_starts=64,
  learning_rate=1e-3,
  buffer_size=100_000,
  target_update_interval=100 * options.every,
  exploration_initial_eps=0.05,
  exploration_final_eps=0.05,
  device="cpu",
  seed=0,
)
model.learn(options.warmup)
start = time.perf_counter()
model.learn(options.steps, reset_num_timesteps=False)
common.report(steps_per_second=options.steps / (time.perf_counter() - start))
