"""Where one environment step's microseconds go, in DQN on CartPole: python benchmarks/profile_step.py [--prioritized].

The parts are timed from outside: their methods are replaced by ones that look at the clock. Times are exclusive: what a
part calls, and is itself timed, is not counted for the caller. For each part the median over the steps is given, which
a busy machine disturbs least. JAX computes in the thread that asks, as `acme run` has it; with --default-dispatch
in the background, so the learner is also made to wait for its results, which shows what they cost.
"""

# ruff: noqa: E402, I001 - threads are set before NumPy and JAX are imported.

import argparse
import os
import pathlib
import sys
import time
from collections import defaultdict

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
  os.environ.setdefault(variable, "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
sys.path.insert(0, str(pathlib.Path(__file__).parent / "workers"))

import gymnasium
import jax
import numpy as np

import acme
import common
import ours
from acme import loggers
from acme_dqn import DQN


class Clock:
  """Exclusive times of nested calls, summed by part over a step."""

  def __init__(self):
    self.steps = []  # For each step, microseconds by part.
    self._now = defaultdict(float)
    self._inner = [0.0]

  def timed(self, part, function):
    """The function, its time counted for `part`."""

    def call(*args, **kwargs):
      self._inner.append(0.0)
      start = time.perf_counter()
      try:
        return function(*args, **kwargs)
      finally:
        taken = time.perf_counter() - start
        self._now[part] += taken - self._inner.pop()
        self._inner[-1] += taken

    return call

  def patch(self, owner, method, part):
    """Replaces a method of one object, where it has it."""
    setattr(owner, method, self.timed(part, getattr(owner, method)))

  def next_step(self):
    """Closes a step."""
    self.steps.append({part: 1e6 * seconds for part, seconds in self._now.items()})
    self._now.clear()


class TimedIterator:
  """An iterator that is timed."""

  def __init__(self, iterator, clock, part):
    self._next = clock.timed(part, iterator.__next__)

  def __iter__(self):
    return self

  def __next__(self):
    return self._next()


def instrument(clock, loop, agent, wait):
  """Puts the clock into every part."""
  learner, actor = agent.learner, agent.actor
  clock.patch(loop._episodes, "step", "environment")
  for check in ("_check_observation", "_check_reward", "_check_discount"):
    clock.patch(agent, check, "validation")
  clock.patch(actor, "select_action", "policy, on the host")
  clock.patch(actor, "_act_plainly" if actor._plain else "_call", "policy, jitted call")
  clock.patch(actor, "update", "actor takes parameters")
  clock.patch(actor._adder, "add", "adder")
  clock.patch(actor._adder._writer, "append", "replay: step")
  clock.patch(actor._adder._writer, "create_item", "replay: item")
  clock.patch(agent.replay, "update_priorities", "replay: priorities")
  clock.patch(agent.replay, "available", "schedule")
  learner._dataset = TimedIterator(learner._dataset, clock, "replay: sample")
  clock.patch(learner, "step", "learner, on the host")
  clock.patch(learner, "_settle", "learner: results of the step before")
  update = learner._update

  def waiting(*args):
    return jax.block_until_ready(update(*args))

  learner._update = clock.timed(
    "learner: jitted call" + (" and its results" if wait else ""), waiting if wait else update
  )
  step = clock.timed("loop and agent", loop._step)

  def whole():
    result = step()
    clock.next_step()
    return result

  loop._step = whole


def profile(config, steps, warmup, wait):
  """Microseconds by part, [steps] each, of a fresh agent."""
  environment = acme.wrappers.GymWrapper(gymnasium.make("CartPole-v1"))
  agent = DQN(acme.make_environment_spec(environment), config=config, seed=0)
  loop = acme.EnvironmentLoop(environment, agent, logger=loggers.NullLogger())
  loop.run(num_steps=warmup)
  clock = Clock()
  instrument(clock, loop, agent, wait)
  loop.run(num_steps=steps)
  parts = dict.fromkeys(part for step in clock.steps for part in step)
  return {part: np.array([step.get(part, 0.0) for step in clock.steps]) for part in parts}


def main():
  """Reads the command line and prints a table."""
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--prioritized", action="store_true", help="prioritised, double and 5-step, as by default")
  parser.add_argument("--every", type=int, default=1, help="environment steps for each SGD step")
  parser.add_argument("--hidden", type=int, default=64)
  parser.add_argument("--batch", type=int, default=64)
  parser.add_argument("--steps", type=int, default=2000)
  parser.add_argument("--default-dispatch", action="store_true", help="JAX as it comes, not as `acme run` sets it")
  arguments = parser.parse_args()
  if not arguments.default_dispatch:
    common.compute_at_once()
  config = ours.plain_config(
    hidden_sizes=(arguments.hidden, arguments.hidden),
    batch_size=arguments.batch,
    samples_per_insert=arguments.batch / arguments.every,
    prioritized=arguments.prioritized,
    double_q=arguments.prioritized,
    n_step=5 if arguments.prioritized else 1,
  )
  left_alone = profile(config, arguments.steps, 300, wait=False)
  waiting = profile(config, arguments.steps, 300, wait=True)
  # A part that is at work in one step of several has its share of a step.
  figure = np.median if arguments.every == 1 else lambda x: np.mean(np.minimum(x, np.quantile(x, 0.99)))
  print("| part | µs | made to wait, µs |\n| --- | ---: | ---: |")
  for part in dict.fromkeys([*left_alone, *waiting]):
    cells = [f"{figure(times[part]):.1f}" if part in times else "" for times in (left_alone, waiting)]
    print(f"| {part} | {cells[0]} | {cells[1]} |")
  totals = [figure(np.sum(list(times.values()), axis=0)) for times in (left_alone, waiting)]
  print(f"| a step | {totals[0]:.1f} | {totals[1]:.1f} |")


if __name__ == "__main__":
  main()
