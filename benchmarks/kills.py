"""Runs on Ray whose nodes are killed with signal 9: what that takes from their speed, and what is lost.

  python benchmarks/kills.py actor                # CartPole, 64-64, an SGD step every 4th step, 4 actors, 10 minutes
  python benchmarks/kills.py learner --seeds 0 1  # DQN's default config, 2 actors, 60,000 steps, five kills
  python benchmarks/kills.py shard --seeds 0 1

Of actors, one a minute: the lost share is the time for which they were down; the loss, how much slower the run was than
its own moments with everybody there; and what of that the share does not explain. What is counted is compared with what
the shard holds: a step is an item here. To compare with a run whose actors live: --every 1000000.

Of the learner and the shard: the return in the end, and what was lost at each kill: steps since the newest checkpoint.
"""

import argparse
import contextlib
import os
import pathlib
import random
import signal
import tempfile
import time

import acme_ray
from acme import checkpointing
from acme_dqn import DQNConfig

ENVIRONMENT = "gym:CartPole-v1"
SMALL = DQNConfig(
  hidden_sizes=(64, 64),
  dueling=False,
  prioritized=False,
  n_step=1,
  batch_size=64,
  samples_per_insert=16.0,
  min_replay_size=64,
)
NEVER = float("inf")


class Killer(acme_ray.Watcher):
  """Kills nodes of one kind, each when it is time and all are there, and keeps how the run went.

  Attributes:
    status: as it was told last.
    downs: of each kill, seconds until all nodes were there again.
    lost: of each kill, the steps since the newest checkpoint.
    sgd_lost: of each time that the learner went back, by how many of its steps.
    seconds, steps: measured once all is compiled; True: with all nodes there, False: with one down.
  """

  def __init__(self, kind: str, times: list[float], of_steps: bool) -> None:
    """Makes it; the times of kills are steps of the run, or seconds measured."""
    self._kind, self._times, self._of_steps, self._random = kind, [*times, NEVER], of_steps, random.Random(0)
    self.status, self._saved, self._killed_at, self._last = {}, 0, None, None
    self.downs, self.lost, self.sgd_lost = [], [], []
    self.seconds, self.steps = {True: 0.0, False: 0.0}, {True: 0, False: 0}

  @property
  def all_there(self) -> bool:
    """Whether all nodes are, and those that were killed have been missed."""
    restarts = sum(self.status["restarts"].values())
    return self.status["ready"] == self.status["nodes"] and restarts >= len(self.lost)

  def progress(self, status):
    if self.status and status["learner_steps"] < self.status["learner_steps"]:
      self.sgd_lost.append(self.status["learner_steps"] - status["learner_steps"])
    now, steps, self.status = time.perf_counter(), status["steps"], status
    if self._last is not None:
      up = self._killed_at is None
      self.seconds[up] += now - self._last[0]
      self.steps[up] += steps - self._last[1]
    if steps >= 2_000:
      self._last = now, steps
    if self._killed_at is not None and self.all_there:
      self.downs.append(now - self._killed_at)
      self._killed_at = None
    at = steps if self._of_steps else sum(self.seconds.values())
    if self._killed_at is None and self.all_there and at >= self._times[len(self.lost)]:
      names = [name for name in status["places"] if name.startswith(self._kind)]
      self._killed_at = now
      self.lost.append(steps - self._saved)
      os.kill(status["places"][self._random.choice(names)][1], signal.SIGKILL)

  def saved(self, steps, episodes):
    self._saved = steps


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("kind", choices=("actor", "learner", "shard"))
  parser.add_argument("--seconds", type=float, default=600.0, help="of a run whose actors are killed")
  parser.add_argument("--every", type=float, default=60.0, help="seconds in which one is, at a random moment of them")
  parser.add_argument("--steps", type=int, default=60_000, help="of a run whose learner or shard is killed")
  parser.add_argument("--kills", type=int, default=5, help="in it, at random steps")
  parser.add_argument("--checkpoint-every", type=int, default=5_000, help="of its steps")
  parser.add_argument("--seeds", type=int, nargs="+", default=[0])
  asked = parser.parse_args()
  if asked.kind == "actor":
    of_actors(asked)
  else:
    of_state(asked)


def of_actors(asked: argparse.Namespace) -> None:
  """What kills of actors take from the speed, and whether anything is counted wrong."""
  killer = Killer("actor", moments(asked.seconds, int(asked.seconds // asked.every), seed=0), of_steps=False)

  def over():
    return sum(killer.seconds.values()) >= asked.seconds and killer.all_there

  options = {"config": SMALL, "num_actors": 4, "watcher": killer, "stop": over}
  with tempfile.TemporaryDirectory() as folder:
    with contextlib.suppress(acme_ray.Stopped):
      acme_ray.run("dqn", ENVIRONMENT, steps=10**9, checkpoints=folder, **options)
    held = inserts_of(folder)
  status, seconds = killer.status, sum(killer.seconds.values())
  share = sum(killer.downs) / (4 * seconds)
  there, rate = killer.steps[True] / killer.seconds[True], sum(killer.steps.values()) / seconds
  exact = status["steps"] == sum(status["actor_steps"]) == status["inserts"] == held
  print("| seconds | kills | seconds down | lost share | steps/s, all there | steps/s | loss | beyond the share |")
  print("| ---: " * 8 + "|")
  print(
    f"| {seconds:.0f} | {len(killer.lost)} | {sum(killer.downs):.0f} | {share:.2%} | {there:,.1f} | {rate:,.1f} | "
    f"{1 - rate / there:.1%} | {1 - rate / there / (1 - share):.1%} |\n\n"
    f"Down {', '.join(f'{down:.1f}' for down in killer.downs)} s. Restarts: {status['restarts']}. "
    f"Counts {'exact' if exact else 'WRONG'}: {status['steps']:,} steps, {sum(status['actor_steps']):,} of actors, "
    f"{status['inserts']:,} inserts, {held:,} in the shard."
  )


def of_state(asked: argparse.Namespace) -> None:
  """What is lost where the learner or the shard is killed, and the return in the end."""
  print("| seed | return | SGD steps | steps/s | lost at each kill, steps | SGD steps | items | counts |")
  print("| ---: " * 8 + "|")
  config = DQNConfig()
  for seed in asked.seeds:
    killer = Killer(asked.kind, moments(asked.steps, asked.kills, seed), of_steps=True)
    options = {"num_actors": 2, "watcher": killer, "checkpoint_every": asked.checkpoint_every}
    with tempfile.TemporaryDirectory() as folder:
      outcome = acme_ray.run("dqn", ENVIRONMENT, steps=asked.steps, seed=seed, checkpoints=folder, **options)
      held = inserts_of(folder)
    returns = outcome.evaluations[-1]["returns"]
    owed = config.samples_per_insert * (outcome.inserts - config.min_replay_size) - outcome.samples
    exact = outcome.steps == asked.steps == sum(killer.status["actor_steps"]) and 0 <= owed < config.batch_size
    print(
      f"| {seed} | {sum(returns) / len(returns):.1f} | {outcome.learner_steps:,} | "
      f"{outcome.steps / killer.status['seconds']:,.0f} | {', '.join(f'{lost:,}' for lost in killer.lost)} | "
      f"{', '.join(f'{lost:,}' for lost in killer.sgd_lost)} | {outcome.inserts - held:,} | "
      f"{'exact' if exact else 'WRONG'}, {outcome.restarts} |",
      flush=True,
    )


def moments(end: float, count: int, seed: int) -> list[float]:
  """So many of them, each at random in its part of the time."""
  chooser = random.Random(seed)
  return [end / count * (i + chooser.random()) for i in range(count)]


def inserts_of(folder: str) -> int:
  """The items that were ever inserted into the one shard of a run, as its newest checkpoint has it."""
  (shard,) = checkpointing.load(pathlib.Path(folder)).state["shards"]
  (table,) = shard["replay"]["parts"]["replay"]["tables"].values()
  return int(table["counts"][0])


if __name__ == "__main__":
  main()
