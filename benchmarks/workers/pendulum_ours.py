"""Our D4PG or DDPG on Pendulum: environment steps a second, learning every 8th step; then its learner's SGD steps."""

import argparse
import importlib
import time

import common
import gymnasium

import acme
from acme import loggers

parser = argparse.ArgumentParser()
parser.add_argument("--agent", choices=["d4pg", "ddpg"], default="d4pg")
parser.add_argument("--backend", choices=["jax", "tf"], default="jax")
parser.add_argument("--warmup", type=int, default=800)
parser.add_argument("--steps", type=int, default=2000)
parser.add_argument("--sgd-steps", type=int, default=100)
options = parser.parse_args()
if options.backend == "jax":
  common.compute_at_once()

shared = {
  "n_step": 1,
  "random_steps": 0,
  "policy_hidden_sizes": (256, 256, 256),
  "critic_hidden_sizes": (256, 256, 256),
  "batch_size": 256,
  "samples_per_insert": 256 / 8,
  "min_replay_size": 256,
  "max_replay_size": 100_000,
}
own = {"d4pg": {"vmin": -1500.0, "vmax": 0.0}, "ddpg": {}}
package, name = importlib.import_module(f"acme_{options.agent}"), options.agent.upper()
config = getattr(package, f"{name}Config")(**shared, **own[options.agent])
environment = acme.wrappers.GymWrapper(gymnasium.make("Pendulum-v1"))
spec = acme.make_environment_spec(environment)
agent = getattr(package, name)(spec, config=config, backend=options.backend, seed=0)
loop = acme.EnvironmentLoop(environment, agent, logger=loggers.NullLogger())
loop.run(num_steps=options.warmup)
agent.get_variables(["policy"])
start = time.perf_counter()
loop.run(num_steps=options.steps)
agent.learner.save()  # Waits for what is under way.
steps_per_second = options.steps / (time.perf_counter() - start)

# As many batches as the learner wants: items are inserted without any update for each.
loop = acme.EnvironmentLoop(environment, agent, logger=loggers.NullLogger(), should_update=False)
loop.run(num_steps=8 * options.sgd_steps)
start = time.perf_counter()
for _ in range(options.sgd_steps):
  agent.learner.step()
agent.learner.save()
common.report(steps_per_second=steps_per_second, sgd_steps_per_second=options.sgd_steps / (time.perf_counter() - start))
