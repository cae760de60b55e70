"""What a new user does on the first day, each in one documented command, timed: python tests/new_user.py.

It fails where a command does, or where all of them take more than two minutes. `nox -s docs` runs it.
"""

import contextlib
import importlib.util
import io
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import acme
import acme_experiments
from acme_experiments import cli

MINE = '''
import gymnasium
import numpy as np

class Corridor(gymnasium.Env):
  """Walks from the middle to one of the ends, of which the right one pays."""

  observation_space = gymnasium.spaces.Box(-9, 9, (1,))
  action_space = gymnasium.spaces.Discrete(2)
  metadata = {"render_modes": ["rgb_array"]}

  def __init__(self, size=5, render_mode=None):
    self.size, self.render_mode = size, render_mode

  def reset(self, *, seed=None, options=None):
    super().reset(seed=seed)
    self.place, self.steps = 0, 0
    return np.float32([self.place]), {}

  def step(self, action):
    self.place, self.steps = self.place + (1 if action else -1), self.steps + 1
    return np.float32([self.place]), float(self.place == self.size), abs(self.place) == self.size, self.steps == 100, {}

  def render(self):
    image = np.zeros((16, 16 * (2 * self.size + 1), 3), np.uint8)
    image[:, 16 * (self.place + self.size) :][:, :16] = 255
    return image

def brighter(environment, factor=2.0):
  return gymnasium.wrappers.TransformReward(environment, lambda reward: factor * reward)
'''
SMALL = "--config.hidden-sizes 16 --config.min-replay-size 50 --config.batch-size 16 --eval-every 200 --quiet"
RUN = f"run dqn mine.py:Corridor --env.size 3 --steps 4e2 {SMALL}"
SECONDS = 300  # For all of it, on a machine that others use, too.
START_SECONDS = 0.5  # What `acme --help` and `acme list` should take; a failure is what no machine's load explains.

# What is done, and by which commands.
DAY = {
  "check my environment": ["check-env mine.py:Corridor --env.size 3"],
  "train in it": [f"{RUN} --out first"],
  "wrap it": [f"{RUN} --wrap mine.py:brighter:3 --wrap frame_stack:2 --wrap flatten --out wrapped"],
  "a seed by chance": [f"{RUN} --steps 100 --seed random --out chance"],
  "three seeds": [f"{RUN} --seeds 0-2 --jobs 2 --out seeds"],
  "plot them": ["plot first wrapped seeds --out curves.png"],
  "report on them": ["report first wrapped seeds --out report"],
  "film the best": ["evaluate first --which best --episodes 1 --video best.gif"],
  "log to W&B, offline": [f"{RUN} --log wandb --out logged"],
  "see my runs": ["list --runs ."],
  "complete what I type": ["completion bash"],
}


EXTRAS = {"film the best": ("imageio", "acme-envs[video]"), "log to W&B, offline": ("wandb", "acme-experiments[wandb]")}


def main() -> int:
  """Does it all in a folder that is removed, and prints a line for each."""
  begun, failed = time.monotonic(), 0
  os.environ["WANDB_MODE"] = "offline"
  with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
    pathlib.Path("mine.py").write_text(MINE)
    chores: dict[str, Callable[[], None]] = {what: lambda lines=lines: call(*lines) for what, lines in DAY.items()}
    for line in ("--help", "list"):
      seconds = start(line)
      print(f"{seconds:6.2f} s  acme {line}, of {START_SECONDS} at the most", flush=True)
      failed += seconds > 6 * START_SECONDS
    chores["resume after kill -9"] = resume_after_a_kill
    chores["and from another folder"] = evaluate_from_elsewhere
    chores["act in Python"] = act_in_python
    for what, (library, extra) in EXTRAS.items():
      if importlib.util.find_spec(library) is None:
        del chores[what]
        print(f"     – s  {what}: left out, as there is no {library} (pip install '{extra}')", flush=True)
    for what, chore in chores.items():
      began, error = time.monotonic(), None
      try:
        chore()
      except RuntimeError as raised:
        failed, error = failed + 1, raised
      print(f"{time.monotonic() - began:6.1f} s  {what}{'' if error is None else f': {error}'}", flush=True)
  seconds = time.monotonic() - begun
  print(f"{seconds:6.1f} s  all, of {SECONDS} at the most")
  return int(failed > 0 or seconds > SECONDS)


def call(*lines: str) -> str:
  """Runs commands, and returns what the last one printed. Raises RuntimeError where one fails."""
  for line in lines:
    out, complaints = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(complaints):
      try:
        code = cli.main(line.split())
      except SystemExit as exit_:  # Help.
        code = exit_.code
    if code:
      raise RuntimeError(f"acme {line}: exit code {code}: {complaints.getvalue().strip()}")
  return out.getvalue()


def start(line: str) -> float:
  """Seconds that a command takes in a process of its own, the least of five."""

  def seconds() -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-m", "acme_experiments.cli", *line.split()], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun

  return min(seconds() for _ in range(5))


def resume_after_a_kill() -> None:
  """Kills a run as soon as it has saved, and goes on with it to its end."""
  line = f"{RUN} --checkpoint-every 50 --out killed"
  process = subprocess.Popen([sys.executable, "-m", "acme_experiments.cli", *line.split()])
  while not os.path.exists("killed/saved.json") and process.poll() is None:
    time.sleep(0.02)
  process.send_signal(signal.SIGKILL)
  if process.wait() == 0:
    raise RuntimeError("the run was over before it was killed")
  if "return" not in call("resume killed --quiet"):
    raise RuntimeError("acme resume said nothing of a return")


def act_in_python() -> None:
  """The agent of a run is a line of Python, and acting with it another."""
  agent = acme_experiments.load("first", which="best")
  (result,) = acme.evaluate(agent.make_environment(), agent.make_evaluator(), num_episodes=1, seed=0)
  if abs(result["episode_return"]) > 1:
    raise RuntimeError(f"expected a return of -1, 0 or 1, got {result['episode_return']}")


def evaluate_from_elsewhere() -> None:
  """The run knows where its environment lies."""
  os.mkdir("elsewhere")
  with contextlib.chdir("elsewhere"):
    call("evaluate ../first --episodes 2")


if __name__ == "__main__":
  sys.exit(main())
