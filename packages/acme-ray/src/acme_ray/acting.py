"""Who acts when: blocks on their way from actors to shards, two an actor at the most."""

import functools
from typing import Any

from acme import experience
from acme_ray import actors, shards
from acme_ray.learning import Learning
from acme_ray.state import RunState
from acme_ray.supervision import ActorHandle, ShardHandle


class Acting:
  """Asks actors for blocks, counts them, and hands them on to shards."""

  def __init__(self, run: RunState, learning: Learning) -> None:
    self._run, self._learning = run, learning

  def ask(self) -> None:
    """Asks for blocks, where neither the ratio nor a full queue holds actors; in turns for one, once all is learned."""
    run, turns = self._run, self._run.schedule.turns
    if self._learning.pretraining or (run.ratio.holds_actors(self._learning.unlearned) and not run.refilling):
      return
    if turns and not (run.quiet and not self._learning.due):
      return
    left = run.schedule.steps - run.steps - sum(sum(actor.asked) for actor in run.actors)
    free = [actor for actor in run.actors if actor.ready and actor.coming < (1 if turns else 2)]
    for actor in sorted(free, key=lambda actor: actor.steps + sum(actor.asked)):
      shard = run.shard_of(actor)
      if left > 0 and shard.ready and self._has_room(shard):
        steps = min(run.schedule.block_steps, left)
        self._ask(actor, shard, steps)
        left -= steps
        if turns:
          return

  def _ask(self, actor: ActorHandle, shard: ShardHandle, steps: int) -> None:
    run = self._run
    actor.asked.append(steps)
    actor.coming += 1
    shard.coming += 1
    turn = actors.Turn(steps, run.version, actor.incarnation, run.steps)
    run.supervisor.call(actor, "act", turn, then=functools.partial(self._acted, actor), outputs=2)

  def _has_room(self, shard: ShardHandle) -> bool:
    """Whether a shard takes another block beside those that are coming: for a full queue actors wait."""
    described, block_steps = self._run.experience, self._run.schedule.block_steps
    if not isinstance(described, experience.Queue):
      return True
    most = 2 * block_steps // (described.length - 1) + self._run.num_envs  # An episode has a row more.
    size = -(-described.max_size // len(self._run.shards))
    if most > size:
      raise ValueError(
        f"A block of {block_steps} steps may make {most} sequences, and a queue holds {size}: ask for smaller blocks "
        "(block_steps), or make max_size of the queue larger."
      )
    return shard.size + (shard.coming + 1) * most <= size

  def _acted(self, actor: ActorHandle, block: Any, done: actors.Acted) -> None:
    """Counts a block, and hands it on."""
    counts = self._run.counts
    actor.asked.pop(0)
    actor.steps += done.steps
    self._learning.owed += done.steps
    counts["steps"] += done.steps
    counts["blocks"] += 1
    for row in done.rows:
      counts["episodes"] += 1
      names = {"train_steps": "steps", "train_episodes": "episodes", "learner_steps": "learner_steps"}
      totals = {name: counts[count] for name, count in names.items()}
      self._run.watch.episode({**row, "actor": actor.index, **totals})
    shard = self._run.shard_of(actor)
    shard.unanswered.append((actor, block))
    if shard.ready:
      self._insert(shard, actor, block)

  def insert_again(self, shard: ShardHandle) -> None:
    """Gives a shard that began anew the blocks that it has not answered for."""
    for actor, block in shard.unanswered:
      self._insert(shard, actor, block)

  def _insert(self, shard: ShardHandle, actor: ActorHandle, block: Any) -> None:
    then = functools.partial(self._inserted, shard, actor, block)
    self._run.supervisor.call(shard, "insert", block, then=then)

  def _inserted(self, shard: ShardHandle, actor: ActorHandle, block: Any, done: shards.Inserted) -> None:
    shard.unanswered.remove((actor, block))
    shard.coming -= 1
    actor.coming -= 1
    self._run.ratio.inserts += done.items
    self._run.counts["lost_blocks"] += done.lost
    shard.size = shard.size + done.items if self._run.ratio.queue else done.size
    shard.mass = done.mass

  def actor_died(self, actor: ActorHandle) -> None:
    """Forgets the blocks that an actor was asked for; it begins new episodes."""
    actor.coming -= len(actor.asked)
    self._run.shard_of(actor).coming -= len(actor.asked)
    actor.asked.clear()
    actor.incarnation += 1

  def shard_died(self, shard: ShardHandle) -> None:
    """Lets its actors begin new episodes: their next steps follow none that the shard has."""
    for actor in self._run.actors_of(shard):
      actor.incarnation += 1
