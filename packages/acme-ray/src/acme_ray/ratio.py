"""How much may be sampled and how far actors may go ahead, whatever the number of either: exact over the whole run."""

import math

from acme import experience, replay


class Ratio:
  """Counts items in and out of all shards together.

  The learner takes what is due by the experience's samples per insert; actors wait where more than two rounds of theirs
  are due. So both are held to the ratio, and how far they are apart does not grow with time.

  Attributes:
    inserts, samples: items so far.
    batch: items in a batch.
    min_size: items to have before anything is sampled.
    queue: whether each item is sampled once.
    free: whether there is no ratio to keep.
  """

  def __init__(self) -> None:
    self.inserts = self.samples = self.batch = self.min_size = 0
    self.queue, self.free = False, True
    self._limiter = replay.RateLimiter()
    self._most_due = math.inf

  def follow(self, described: experience.Experience, ahead: int) -> None:
    """Counts by an experience; `ahead` is the items that a round of all actors makes, or about."""
    online = described.parts[described.online or ""] if isinstance(described, experience.Mixed) else described
    per_insert = described.samples_per_insert
    self.batch, self.queue, self.free = (
      described.batch_size,
      isinstance(described, experience.Queue),
      per_insert is None,
    )
    self.min_size = online.min_size
    self._limiter = replay.RateLimiter(min_size=self.min_size, samples_per_insert=per_insert)
    self._most_due = math.inf if per_insert is None else max(self.batch, 2 * per_insert * ahead)

  @property
  def due(self) -> float:
    """Batches that may be sampled now; may be infinity."""
    return self._limiter.allowed(self.inserts, self.samples) / self.batch

  def holds_actors(self, unlearned: int) -> bool:
    """Whether actors wait, while so many batches that were sampled are not learned from yet."""
    due = self._limiter.allowed(self.inserts, self.samples)
    return due + unlearned * self.batch > self._most_due


def check(described: experience.Experience, num_shards: int) -> None:
  """Raises ValueError where an experience is nothing to distribute."""
  mixed = isinstance(described, experience.Mixed)
  if (described.online is None) if isinstance(described, experience.Mixed) else described.dataset is not None:
    raise ValueError("This agent learns from recorded episodes alone: nobody acts, so run it in one process.")
  if mixed and num_shards > 1:
    raise ValueError(f"Batches of several tables, as with demonstrations, come from one shard, got {num_shards}.")
