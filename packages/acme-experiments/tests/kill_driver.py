"""Kills runs at random moments, resumes them to the end, and compares them with a run that was never stopped.

python kill_driver.py AGENT ENVIRONMENT --kills 50 --folder DIR

A child process dies by the kernel's hand, at a random time (SIGALRM, which nobody handles) or right before a random
file operation in its run directory (SIGKILL). Exits 0 and prints a JSON object if every run came out the same.
"""

import argparse
import json
import os
import pathlib
import random
import signal
import sys
import time

import run_facts

from acme import plugins
from acme_experiments import Experiment, RunDirectory, progress, run

FILE_EVENTS = ("open", "os.rename", "os.mkdir", "os.rmdir", "os.remove")


class Alarm(progress.Progress):
  """Sets the alarm when training begins: importing and compiling are not worth a kill."""

  def __init__(self, seconds):
    self.seconds = seconds

  def start(self, *arguments):
    super().start(*arguments)
    signal.setitimer(signal.ITIMER_REAL, self.seconds)


def die_before_file_operation(number, folder):
  """Has this process killed right before its `number`-th file operation in `folder`."""
  left = [number]

  def hook(event, arguments):
    if event in FILE_EVENTS and str(folder) in str(arguments[0]):
      left[0] -= 1
      if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)

  sys.addaudithook(hook)


def run_child(path, rng, arguments, kill):
  """Runs or resumes in a child, which with `kill` is to be killed; returns whether it was."""
  child = os.fork()
  if child == 0:
    code = 70
    try:
      display = None
      if kill and rng.random() < 0.5:
        die_before_file_operation(rng.randrange(1, arguments.operations), path)
      elif kill and arguments.lazy:
        display = Alarm(rng.uniform(0, arguments.seconds))
      elif kill:
        signal.setitimer(signal.ITIMER_REAL, rng.uniform(0.001, arguments.seconds))
      run(RunDirectory(path), display)
      code = 0
    finally:
      os._exit(code)
  rng.random()  # So that the next child draws other numbers.
  _, status = os.waitpid(child, 0)
  if os.WIFSIGNALED(status):
    return True
  if os.WEXITSTATUS(status) != 0:
    sys.exit(f"A child failed, see above and {path}/error.txt.")
  return False


def main():
  parser = argparse.ArgumentParser()
  parser.add_argument("agent")
  parser.add_argument("environment")
  parser.add_argument("--kills", type=int, default=50)
  parser.add_argument("--folder", type=pathlib.Path, required=True)
  parser.add_argument("--seed", type=int, default=0)
  parser.add_argument("--config", default="{}", help="fields of the agent's config that are not the default, as JSON")
  parser.add_argument("--steps", type=int, default=1500)
  parser.add_argument("--envs", type=int, default=1)
  parser.add_argument("--backend", help="the agent's first unless given")
  parser.add_argument("--simulator", action="store_true")
  parser.add_argument("--seconds", type=float, default=0.3, help="the longest that a child lives")
  parser.add_argument("--operations", type=int, default=400, help="the most file operations that a child does")
  parser.add_argument("--lazy", action="store_true", help="children import what they need: JAX does not survive a fork")
  arguments = parser.parse_args()
  rng = random.Random(arguments.seed)
  if not arguments.lazy:
    plugins.load_agent(arguments.agent)  # Once, here, and not in each child.
  experiment = Experiment(
    agent=arguments.agent,
    environment=arguments.environment,
    config=json.loads(arguments.config),
    envs=arguments.envs,
    backend=arguments.backend,
    simulator=arguments.simulator,
    steps=arguments.steps,
    eval_every=arguments.steps // 6,
    eval_episodes=2,
    checkpoint_every=max(1, arguments.steps // 30),
  )
  whole = RunDirectory.create(arguments.folder / "never-stopped", experiment)
  if os.fork() == 0:  # In a child too, so that this process stays without JAX.
    code = 70
    try:
      run(whole)
      code = 0
    finally:
      os._exit(code)
  if os.wait()[1] != 0:
    sys.exit("The run that is not to be killed failed.")
  expected = run_facts.facts(whole.path)
  start, kills, runs = time.monotonic(), 0, 0
  while kills < arguments.kills:
    path = RunDirectory.create(arguments.folder / f"killed-{runs}", experiment).path
    while run_child(path, rng, arguments, kill=kills < arguments.kills):
      kills += 1
    runs += 1
    found = run_facts.facts(path)
    for name, value in expected.items():
      if found[name] != value:
        sys.exit(f"After {kills} kills, {path} differs in {name} from {whole.path}.")
  print(json.dumps({"kills": kills, "runs": runs, "seconds": round(time.monotonic() - start, 1)}))


if __name__ == "__main__":
  main()
