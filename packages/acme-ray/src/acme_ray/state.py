"""What is known of a run, in the one process that knows all of it: its nodes, its counts, the newest parameters."""

import dataclasses
import time
from typing import Any

from acme import experience
from acme_ray import actors, learners, nodes, shards, supervision, watching
from acme_ray.ratio import Ratio, check

COUNTS = ("steps", "episodes", "learner_steps", "blocks", "lost_blocks", "evaluations")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Schedule:
  """When what is to happen.

  Attributes:
    steps: environment steps of all actors, at which it ends, exactly.
    block_steps: steps of an actor between two messages.
    turns: whether actors and learner take turns, as in one process; else all work at once.
    eval_every: steps between evaluations, 0 for the final one alone.
    eval_episodes, final_episodes: episodes of an evaluation and of the final one; 0 for none of them.
    checkpoint_every: steps between checkpoints; None for `checkpoint_seconds` between them.
    checkpoint_seconds: see there.
    patience: seconds without an answer after which a node counts as hung.
  """

  steps: int
  block_steps: int = 64
  turns: bool = False
  eval_every: int = 0
  eval_episodes: int = 10
  final_episodes: int = 20
  checkpoint_every: int | None = None
  checkpoint_seconds: float = 60.0
  patience: float = 120.0


class RunState:
  """One distributed run, as far as it has come.

  Attributes:
    schedule: when what happens.
    watch: is told.
    supervisor: by whom nodes are called.
    learner, evaluator, shards, actors: the nodes.
    num_envs: environments of each actor.
    counts: of what `COUNTS` names, each counted once, when its answer comes.
    ratio: items in and out of all shards.
    experience: what the agent learns from; None until a shard has said it.
    version: the newest parameters; number -1 until the learner has given some.
    batch_bytes: of all batches sampled.
  """

  def __init__(
    self,
    recipe: nodes.Recipe,
    schedule: Schedule,
    watch: watching.Watcher,
    supervisor: supervision.Supervisor,
    learner_gpus: float,
  ) -> None:
    self.schedule, self.watch, self.supervisor = schedule, watch, supervisor
    cpu = {"num_cpus": 1}
    self.learner = supervision.Handle(learners.Learner, recipe, 0, cpu | {"num_gpus": learner_gpus})
    self.evaluator = supervision.Handle(actors.Evaluator, recipe, 0, cpu)
    self.shards = [supervision.ShardHandle(shards.Shard, recipe, i, cpu) for i in range(recipe.num_shards)]
    self.actors = [supervision.ActorHandle(actors.Actor, recipe, i, cpu) for i in range(recipe.num_actors)]
    self.num_envs = recipe.num_envs
    self.counts = dict.fromkeys(COUNTS, 0)
    self.ratio = Ratio()
    self.experience: experience.Experience | None = None
    self.version = nodes.Version(-1, [])
    self.batch_bytes = 0
    self._earlier_seconds = 0.0
    self._started = time.monotonic()

  @property
  def everyone(self) -> list[supervision.Handle]:
    """All nodes."""
    return [*self.shards, self.learner, *self.actors, self.evaluator]

  @property
  def steps(self) -> int:
    """Environment steps of all actors."""
    return self.counts["steps"]

  @property
  def deaths(self) -> int:
    """Of all nodes."""
    return sum(node.deaths for node in self.everyone)

  @property
  def refilling(self) -> bool:
    """Whether shards have too little to sample from, as one that lost all; once all steps are taken an item will do."""
    least = self.ratio.min_size if self.steps < self.schedule.steps else 1
    return sum(shard.size for shard in self.shards) < least

  @property
  def quiet(self) -> bool:
    """Whether nothing is on its way but an evaluation; an actor that is beginning has nothing on its way."""
    ready = all(node.ready for node in (*self.shards, self.learner))
    return ready and not any(actor.asked for actor in self.actors) and not self.supervisor.pending("shard", "learner")

  def shard_of(self, actor: supervision.ActorHandle) -> supervision.ShardHandle:
    """Where an actor's blocks go."""
    return self.shards[actor.index % len(self.shards)]

  def actors_of(self, shard: supervision.ShardHandle) -> list[supervision.ActorHandle]:
    """Whose blocks come to a shard."""
    return self.actors[shard.index :: len(self.shards)]

  def describe(self, described: experience.Experience) -> None:
    """Takes what the agent learns from. Raises ValueError where that is nothing to distribute."""
    check(described, len(self.shards))
    self.experience = described
    self.ratio.follow(described, len(self.actors) * self.schedule.block_steps)

  def take_params(self, params: Any, learner_steps: int) -> None:
    """Takes parameters of the learner: a reference to them."""
    self.counts["learner_steps"] = learner_steps
    self.version = nodes.Version(self.version.number + 1, [params])

  def start_clock(self) -> None:
    """Counts seconds from now on, the earlier ones apart."""
    self._started = time.monotonic()

  @property
  def seconds(self) -> float:
    """Of the whole run, what came before it was resumed included."""
    return self._earlier_seconds + time.monotonic() - self._started

  def status(self) -> dict[str, Any]:
    """All counts, and how the nodes are."""
    return self.counts | {
      "inserts": self.ratio.inserts,
      "samples": self.ratio.samples,
      "batch_bytes": self.batch_bytes,
      "actor_steps": [actor.steps for actor in self.actors],
      "restarts": {node.name: node.deaths for node in self.everyone if node.deaths},
      "places": {node.name: list(node.place) for node in self.everyone if node.place is not None},
      "ready": sum(node.ready for node in self.everyone),
      "nodes": len(self.everyone),
      "seconds": self.seconds,
    }

  def save(self) -> dict[str, Any]:
    """The counts; not what is on its way."""
    return self.counts | {
      "inserts": self.ratio.inserts,
      "samples": self.ratio.samples,
      "incarnations": [actor.incarnation for actor in self.actors],
      "actor_steps": [actor.steps for actor in self.actors],
      "deaths": [node.deaths for node in self.everyone],
      "seconds": self.seconds,
    }

  def restore(self, counts: dict[str, Any]) -> None:
    """Puts back what `save` gave in a run of as many nodes."""
    self.counts = {name: counts[name] for name in COUNTS}
    self.ratio.inserts, self.ratio.samples = counts["inserts"], counts["samples"]
    for actor, incarnation, steps in zip(self.actors, counts["incarnations"], counts["actor_steps"], strict=True):
      actor.incarnation, actor.steps = incarnation + 1, steps  # Episodes in progress are not played on.
    for node, deaths in zip(self.everyone, counts["deaths"], strict=True):
      node.deaths = deaths
    self._earlier_seconds = counts["seconds"]
