"""Stable-Baselines3's DQN on CartPole, set as rl-baselines3-zoo has it in dqn.yml: a line for each evaluation."""

import argparse
import json
import time

import gymnasium
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--steps", type=int, default=50_000)
options = parser.parse_args()

evaluation_environment = Monitor(gymnasium.make("CartPole-v1"))
evaluation_environment.reset(seed=1_000 + options.seed)


class Evaluate(BaseCallback):
  """Evaluates every 2,500 steps."""

  def _on_step(self):
    if self.num_timesteps % 2_500 == 0:
      mean, _ = evaluate_policy(self.model, evaluation_environment, n_eval_episodes=10, deterministic=True)
      print(json.dumps({"step": self.num_timesteps, "return": float(mean), "time": time.time()}), flush=True)
    return True


model = DQN(
  "MlpPolicy",
  "CartPole-v1",
  learning_rate=2.3e-3,
  batch_size=64,
  buffer_size=100_000,
  learning_starts=1_000,
  gamma=0.99,
  target_update_interval=10,
  train_freq=256,
  gradient_steps=128,
  exploration_fraction=0.16,
  exploration_final_eps=0.04,
  policy_kwargs={"net_arch": [256, 256]},
  device="cpu",
  seed=options.seed,
)
model.learn(options.steps, callback=Evaluate())
