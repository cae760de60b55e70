"""Records the demonstrations that tasks learn from, by experts written by hand.

  python benchmarks/demonstrations.py                      # all, into runs/demonstrations/NAME
  python benchmarks/demonstrations.py deep_sea --episodes 10 --out elsewhere

The same every time: episodes begin from the seeds 0, 1, …
"""

import argparse
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import dm_env
import numpy as np
import tree

import acme_envs
from acme_replay import datasets

Expert = Callable[[dm_env.TimeStep], int]  # Acts in one episode, from its first timestep on.


class Task(NamedTuple):
  """Where, and who acts."""

  environment: str  # as `acme run` takes it
  expert: Callable[[dm_env.Environment], Expert]
  episodes: int = 10


def deep_sea(environment: dm_env.Environment) -> Expert:
  """Always goes right; which action that is in each cell the environment alone knows."""
  while not hasattr(environment, "_action_mapping"):
    environment = environment.environment
  right = environment._action_mapping
  return lambda timestep: int(right[np.unravel_index(np.argmax(timestep.observation), right.shape)])


def mountain_car(environment: dm_env.Environment) -> Expert:
  """Pushes the way that the car goes."""
  del environment
  return lambda timestep: 2 if timestep.observation[1] >= 0 else 0


def tmaze(environment: dm_env.Environment) -> Expert:
  """Goes to the junction, and turns as it was shown at the start."""
  del environment
  cues = []

  def act(timestep: dm_env.TimeStep) -> int:
    cue, at_junction, _ = timestep.observation
    cues.append(cue)
    forward, turn = 2, int(cues[0] > 0)
    return turn if at_junction else forward

  return act


TASKS = {
  "deep_sea": Task("bsuite:deep_sea/5", deep_sea),  # Of size 20.
  "mountain_car": Task("jax:MountainCar-v0", mountain_car),
  "tmaze": Task("jax:tmaze/40", tmaze, episodes=20),
}


def record(task: Task, path: pathlib.Path, num_episodes: int) -> list[float]:
  """Writes episodes as `acme_replay.datasets` reads them, and gives their returns."""
  path.mkdir(parents=True, exist_ok=True)
  returns = []
  for i in range(num_episodes):
    environment = acme_envs.make(task.environment, seed=i)
    timesteps, actions, expert = [environment.reset()], [], task.expert(environment)
    while not timesteps[-1].last():
      actions.append(np.asarray(expert(timesteps[-1]), environment.action_spec().dtype))
      timesteps.append(environment.step(actions[-1]))
    columns = [[t.observation for t in timesteps], actions, *([t[k] for t in timesteps[1:]] for k in (1, 2))]
    episode = datasets.Episode(*(tree.map_structure(lambda *leaves: np.stack(leaves), *column) for column in columns))
    datasets.write(path / f"{i:04}.npz", episode)
    returns.append(float(np.sum(episode.reward)))
    environment.close()
  return returns


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("tasks", nargs="*", metavar="NAME", help=f"of {', '.join(TASKS)}; all where none is given")
  parser.add_argument("--episodes", type=int, help="in place of the task's own number")
  parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs", "demonstrations"))
  arguments = parser.parse_args()
  for name in arguments.tasks or TASKS:
    path = arguments.out / name
    if path.exists():
      print(f"{path} is there already.")
      continue
    returns = record(TASKS[name], path, arguments.episodes or TASKS[name].episodes)
    print(
      f"{path}: {len(returns)} episodes, return {np.mean(returns):.4g} (from {min(returns):.4g} to {max(returns):.4g})"
    )


if __name__ == "__main__":
  main()
