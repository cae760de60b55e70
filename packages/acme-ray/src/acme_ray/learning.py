"""What is sampled and learned from when: batches on their way from shards to the learner, two groups at the most."""

import functools
import math
from typing import Any

import numpy as np

from acme_ray import learners
from acme_ray.state import RunState
from acme_ray.supervision import ShardHandle

_GROUP = 8  # Batches that are sampled and learned from in one call, at the most, …
_GROUP_BYTES = 64 * 2**20  # … and of so many bytes, …
_GROUP_SECONDS = 0.02  # … but of no more than keep the learner busy so long: their priorities are late by two groups.


class Learning:
  """Asks shards for batches, hands them on to the learner, and its priorities back.

  Attributes:
    pretraining: batches still to be learned from before anyone acts.
    owed: steps that nothing was learned for: where they take turns without a ratio, a batch for each turn.
  """

  def __init__(self, run: RunState, seed: int) -> None:
    self._run = run
    self._random = np.random.default_rng([seed, 1])  # Chooses shards.
    self.pretraining = self.owed = 0
    self._learning: list[int] = []  # Batches of each group that the learner has.
    self._unsettled = False  # Whether the learner may have priorities that it did not give.
    self._group = self._most = 1  # Batches in a group, and how many it may have by their size.

  @property
  def unlearned(self) -> int:
    """Batches that were asked for, and are not learned from yet."""
    return sum(self._learning) + sum(sum(shard.sampling) for shard in self._run.shards)

  @property
  def due(self) -> int:
    """Batches that may be sampled now; of queues, from one of them."""
    ratio, shards = self._run.ratio, self._run.shards
    if self.pretraining:
      return self.pretraining
    if ratio.queue:
      return max(shard.size for shard in shards) // ratio.batch
    if ratio.due < 1 or self._run.refilling:
      return 0
    if ratio.free:
      return min(1, self.owed) if self._run.schedule.turns else _GROUP
    return int(ratio.due)

  def ask(self) -> None:
    """Asks for batches that are due, two groups at once; in turns, one batch, once all else is done."""
    run, turns = self._run, self._run.schedule.turns
    while (count := min(self.due, 1 if turns else self._group)) and run.learner.ready:
      groups = len(self._learning) + sum(len(shard.sampling) for shard in run.shards)
      if groups >= (1 if turns else 2) or (turns and not run.quiet):
        return
      shard, share = self._choose()
      if shard is None:
        return
      if turns and self._unsettled:  # When one process would have its priorities, before it samples.
        self._unsettled = False
        run.supervisor.call(run.learner, "settle", then=functools.partial(self._settled, shard, shard.deaths))
        return
      self._claim(shard, count)
      then = functools.partial(self._sampled, shard, shard.deaths)
      run.supervisor.call(shard, "sample", count, share, then=then, outputs=2)

  def _choose(self) -> tuple[ShardHandle | None, float]:
    """A shard to sample from, in proportion to its priorities, and its share of them; of queues the fullest."""
    ready = [shard for shard in self._run.shards if shard.ready]
    if self._run.ratio.queue or len(self._run.shards) == 1:
      return max(ready, key=lambda shard: shard.size, default=None), 1.0
    total = sum(shard.mass for shard in ready)
    if not total > 0:
      return None, 1.0
    shares = [shard.mass / total for shard in ready]
    chosen = int(self._random.choice(len(ready), p=shares))
    return ready[chosen], shares[chosen]

  def _claim(self, shard: ShardHandle, count: int) -> None:
    """Counts batches as sampled, but those of pre-training."""
    ratio = self._run.ratio
    shard.sampling.append(count)
    self.owed = 0
    if self.pretraining:
      self.pretraining -= count
      return
    ratio.samples += count * ratio.batch
    if ratio.queue:
      shard.size -= count * ratio.batch

  def _sampled(self, shard: ShardHandle, life: int, samples: Any, nbytes: int) -> None:
    """Hands batches on to the learner; without one, they are lost."""
    run, count = self._run, shard.sampling.pop(0)
    self._most = max(1, min(_GROUP, _GROUP_BYTES // max(1, nbytes)))
    run.batch_bytes += nbytes * count
    if run.learner.ready:
      self._learning.append(count)
      then = functools.partial(self._learned, shard, life)
      settle = not run.schedule.turns
      run.supervisor.call(run.learner, "learn", samples, settle, then=then, outputs=2, weight=count)

  def _learned(self, shard: ShardHandle, life: int, params: Any, done: learners.Learned) -> None:
    """Takes new parameters, and hands priorities back."""
    count = self._learning.pop(0)
    self._group = min(self._most, math.ceil(_GROUP_SECONDS * count / max(done.seconds, 1e-6)))
    self._run.take_params(params, done.steps)
    for row in done.rows:
      self._run.watch.learner(row)
    self._unsettled = True
    self._settled(shard, life, done.priorities)

  def _settled(self, shard: ShardHandle, life: int, priorities: list[Any]) -> None:
    """Hands priorities back, unless their items are of a shard that is no more."""
    if priorities and shard.ready and shard.deaths == life:
      self._run.supervisor.call(shard, "update_priorities", priorities, then=lambda _: None)

  def learner_died(self) -> None:
    """Forgets the batches that the learner had."""
    self._learning.clear()

  def shard_died(self, shard: ShardHandle) -> None:
    """Forgets the batches that a shard was asked for: they are sampled from what comes back."""
    if not self.pretraining:
      self._run.ratio.samples -= sum(shard.sampling) * self._run.ratio.batch
    shard.sampling.clear()
