"""RLlib's IMPALA on CartPole, 64-64, batches of 10 fragments of 50 transitions: transitions learned a second."""

import argparse
import time

import common
import rllib

LENGTH, BATCH = 50, 10

parser = argparse.ArgumentParser()
parser.add_argument("--actors", type=int, default=2)
parser.add_argument("--envs", type=int, default=5)
parser.add_argument("--learners", type=int, default=1, help="processes that learn; 0 for this one")
parser.add_argument("--warmup", type=float, default=5.0, help="seconds")
parser.add_argument("--seconds", type=float, default=20.0)
options = parser.parse_args()

with rllib.on_ray(options.actors + options.learners + 1):
  from ray.rllib.algorithms.impala import IMPALAConfig

  config = (
    IMPALAConfig()
    .environment("CartPole-v1")
    .env_runners(
      num_env_runners=options.actors, num_envs_per_env_runner=options.envs, rollout_fragment_length=LENGTH,
      max_requests_in_flight_per_env_runner=2,
    )
    .learners(num_learners=options.learners)
    .training(train_batch_size_per_learner=LENGTH * BATCH, lr=3e-3, grad_clip=40.0, entropy_coeff=0.01)
    .rl_module(model_config=rllib.network())
    .reporting(min_time_s_per_iteration=0.5)
  )  # fmt: skip
  algorithm = config.build_algo()

  def counts():
    """When, transitions learned from, steps taken."""
    while True:
      result = algorithm.train()
      learned = result.get("learners", {}).get("__all_modules__", {}).get("num_env_steps_trained_lifetime", 0)
      if learned:
        return time.perf_counter(), learned, result["env_runners"]["num_env_steps_sampled_lifetime"]

  began = counts()[0]
  while (first := counts())[0] < began + options.warmup:
    pass
  while (last := counts())[0] < first[0] + options.seconds:
    pass
  algorithm.stop()
seconds = last[0] - first[0]
common.report(transitions_per_second=(last[1] - first[1]) / seconds, steps_per_second=(last[2] - first[2]) / seconds)
