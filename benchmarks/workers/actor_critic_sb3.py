"""Stable-Baselines3's A2C or PPO on CartPole, set as `impala_ours.py` is: environment steps a second.

Both see each transition once: A2C 80 an SGD step, of 5 steps in 16 environments; PPO as many, of 20 steps.
"""

import argparse
import time

import common
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.env_util import make_vec_env

ENVS = 16

parser = argparse.ArgumentParser()
parser.add_argument("--agent", choices=["a2c", "ppo"], default="a2c")
parser.add_argument("--warmup", type=int, default=3200)
parser.add_argument("--steps", type=int, default=16_000)
options = parser.parse_args()

environments = make_vec_env("CartPole-v1", ENVS, seed=0)
shared = {"policy_kwargs": {"net_arch": [64, 64]}, "device": "cpu", "seed": 0}
if options.agent == "a2c":
  model = A2C("MlpPolicy", environments, n_steps=5, **shared)
else:
  model = PPO("MlpPolicy", environments, n_steps=20, batch_size=80, n_epochs=1, **shared)
model.learn(options.warmup)
start = time.perf_counter()
model.learn(options.steps, reset_num_timesteps=False)
common.report(steps_per_second=options.steps / (time.perf_counter() - start))
