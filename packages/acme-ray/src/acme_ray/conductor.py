"""The conductor: who acts, what is sampled and learned when, what is counted, evaluated and saved.

  actors ──blocks──▶ shards ──batches──▶ learner ──parameters──▶ actors, evaluator
                        ▲──priorities──────┘

It runs in the process that called `run`. Nodes answer it alone, and it handles references: blocks, batches, priorities
and parameters go from node to node through Ray's object store. Every count is made here, when an answer comes, once.

What is on its way is bounded: two blocks an actor, two groups of batches, one evaluation.
"""

import dataclasses
import functools
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import ray

from acme import checkpointing, experience, types
from acme_ray import nodes, supervision, watching
from acme_ray.ratio import Ratio, check

FINAL = 0  # The number of the final evaluation; the others count from 1.
_GROUP = 8  # Batches that are sampled and learned from in one call, at the most, …
_GROUP_BYTES = 64 * 2**20  # … and of so many bytes.
_POLL_SECONDS = 0.1
_COUNTS = ("steps", "episodes", "learner_steps", "blocks", "lost_blocks", "evaluations")


class Stopped(Exception):  # noqa: N818 - no error.
  """Somebody asked the run to stop; everything is saved."""


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


class Conductor:
  """One distributed run."""

  def __init__(
    self,
    recipe: nodes.Recipe,
    schedule: Schedule,
    checkpoints: pathlib.Path,
    metadata: Mapping[str, Any],
    watcher: watching.Watcher,
    stop: Callable[[], bool],
    learner_gpus: float = 0,
  ) -> None:
    """Makes the nodes, none of which has begun.

    Args:
      recipe: what they are made from.
      schedule: when what happens.
      checkpoints: the directory of the checkpoints, from the newest of which it goes on.
      metadata: what is kept beside each of them.
      watcher: is told.
      stop: whether somebody has asked it to stop.
      learner_gpus: of the learner; the others have none.
    """
    self._schedule, self._watch, self._stop = schedule, watcher, stop
    self._checkpointer, self._checkpoints = checkpointing.Checkpointer(checkpoints), checkpoints
    self._metadata = dict(metadata)
    self._supervisor = supervision.Supervisor(schedule.patience, self._on_death)
    cpu = {"num_cpus": 1}
    self._learner = supervision.Handle(nodes.Learner, recipe, 0, cpu | {"num_gpus": learner_gpus})
    self._evaluator = supervision.Handle(nodes.Evaluator, recipe, 0, cpu)
    self._shards = [supervision.ShardHandle(nodes.Shard, recipe, i, cpu) for i in range(recipe.num_shards)]
    self._actors = [supervision.ActorHandle(nodes.Actor, recipe, i, cpu) for i in range(recipe.num_actors)]
    self._random = np.random.default_rng([recipe.seed, 1])  # Chooses shards.
    self._num_envs = recipe.num_envs
    self._version = nodes.Version(-1, [])
    self._experience: experience.Experience | None = None  # None until a shard has said what it is, …
    self._ratio = Ratio()  # … which this then counts by.
    self._counts = dict.fromkeys(_COUNTS, 0)
    self._learning: list[int] = []  # Batches of each group that the learner has.
    self._unsettled = False  # Whether the learner may have priorities that it did not give.
    self._owed = 0  # Steps that nothing was learned for: where they take turns without a ratio, a batch for each turn.
    self._pretraining = 0  # Batches still to be learned from before anyone acts.
    self._group = 1  # Batches in a group.
    self._batch_bytes = 0  # Of all batches sampled.
    self._evaluation: tuple[int, int, dict[str, Any], nodes.Version] | None = None  # The one going on.
    self._results: list[dict[str, Any]] = []
    self._saved_at, self._saved_time = -1, time.monotonic()
    self._started = time.monotonic()
    self._earlier_seconds = 0.0

  # What there is to see.

  @property
  def everyone(self) -> list[supervision.Handle]:
    """All nodes."""
    return [*self._shards, self._learner, *self._actors, self._evaluator]

  @property
  def steps(self) -> int:
    """Environment steps of all actors."""
    return self._counts["steps"]

  @property
  def seconds(self) -> float:
    """Of the whole run, what came before it was resumed included."""
    return self._earlier_seconds + time.monotonic() - self._started

  def status(self) -> dict[str, Any]:
    """All counts, and how the nodes are."""
    return self._counts | {
      "inserts": self._ratio.inserts,
      "samples": self._ratio.samples,
      "batch_bytes": self._batch_bytes,
      "actor_steps": [actor.steps for actor in self._actors],
      "restarts": {node.name: node.deaths for node in self.everyone if node.deaths},
      "places": {node.name: list(node.place) for node in self.everyone if node.place is not None},
      "ready": sum(node.ready for node in self.everyone),
      "nodes": len(self.everyone),
      "seconds": self.seconds,
    }

  # The run.

  def run(self) -> dict[str, Any]:
    """Trains to the end, evaluates, and returns what `status` says, with `evaluations` and the parameters.

    Raises:
      Stopped: `stop` said so; everything is saved.
      NodeFailed: a node fails again and again.
      CheckpointError: the checkpoints are of another run, or the disk is full.
    """
    self._begin()
    while not self._over:
      self._advance()
    self._save()
    if self._schedule.final_episodes:
      self._evaluate(FINAL, self._schedule.final_episodes)
      while self._evaluation is not None:
        self._poll()
    return self.status() | {"evaluations": self._results, "params": ray.get(self._version.ref[0])}

  def close(self) -> None:
    """Ends all nodes."""
    for node in self.everyone:
      node.end()

  def _begin(self) -> None:
    """Starts all nodes, from the newest checkpoint where there is one."""
    state = self._newest()
    if state is not None:
      self._restore(state)
    for shard in self._shards:
      self._start_shard(shard, state)
    self._start_learner(state)
    readers = (*self._actors, self._evaluator)
    for node in readers:
      node.begin()  # Beginning takes longest, and needs no parameters.
    while self._version.number < 0 or not all(shard.ready for shard in self._shards):
      self._poll()
    for node in readers:
      self._start_reader(node)
    self._started, self._saved_time = time.monotonic(), time.monotonic()

  def _advance(self) -> None:
    """Asks for what may be done now, and takes the answers that have come."""
    if self._stop():
      self._save()
      raise Stopped(f"Stopped and saved at step {self.steps:,}.")
    if self._save_due:
      self._save()
    due = self._schedule.eval_every and self.steps >= (self._counts["evaluations"] + 1) * self._schedule.eval_every
    if due and self._evaluation is None:
      self._counts["evaluations"] = self.steps // self._schedule.eval_every
      self._evaluate(self._counts["evaluations"], self._schedule.eval_episodes)
    self._sample()
    self._act()
    self._poll()

  def _poll(self) -> None:
    self._supervisor.poll(_POLL_SECONDS)
    self._watch.progress(self.status())

  @property
  def _quiet(self) -> bool:
    """Whether nothing is on its way but an evaluation."""
    ready = all(node.ready for node in (*self._shards, self._learner, *self._actors))
    return ready and not self._supervisor.pending("actor", "shard", "learner")

  @property
  def _over(self) -> bool:
    """Whether all steps are taken, and all is learned that they make due."""
    done = self.steps >= self._schedule.steps and self._quiet
    return done and (not self._batches_due() or (self._ratio.free and not self._schedule.turns))

  @property
  def _unlearned(self) -> int:
    """Batches that were asked for, and are not learned from yet."""
    return sum(self._learning) + sum(sum(shard.sampling) for shard in self._shards)

  # Acting.

  def _act(self) -> None:
    """Asks actors for blocks, where neither the ratio nor a full queue holds them."""
    schedule, turns = self._schedule, self._schedule.turns
    if self._pretraining or (turns and not (self._quiet and not self._batches_due())):
      return
    for actor in sorted(self._actors, key=lambda actor: actor.steps + sum(actor.asked)):
      shard = self._shard_of(actor)
      left = schedule.steps - self.steps - sum(sum(each.asked) for each in self._actors)
      if left <= 0 or self._ratio.holds_actors(self._unlearned):
        return
      if not (actor.ready and shard.ready) or actor.coming >= (1 if turns else 2) or not self._has_room(shard):
        continue
      turn = nodes.Turn(min(schedule.block_steps, left), self._version, actor.incarnation, self.steps)
      actor.asked.append(turn.steps)
      actor.coming += 1
      shard.coming += 1
      self._supervisor.call(actor, "act", turn, then=functools.partial(self._acted, actor), outputs=2)
      if turns:
        return

  def _shard_of(self, actor: supervision.ActorHandle) -> supervision.ShardHandle:
    return self._shards[actor.index % len(self._shards)]

  def _has_room(self, shard: supervision.ShardHandle) -> bool:
    """Whether a shard takes another block beside those that are coming: for a full queue actors wait."""
    described = self._experience
    if not isinstance(described, experience.Queue):
      return True
    most = 2 * self._schedule.block_steps // (described.length - 1) + self._num_envs  # An episode has a row more.
    size = -(-described.max_size // len(self._shards))
    if most > size:
      raise ValueError(
        f"A block of {self._schedule.block_steps} steps may make {most} sequences, and a queue holds {size}: ask for "
        "smaller blocks (block_steps), or make max_size of the queue larger."
      )
    return shard.size + (shard.coming + 1) * most <= size

  def _acted(self, actor: supervision.ActorHandle, block: Any, done: nodes.Acted) -> None:
    """Counts a block, and hands it on."""
    actor.asked.pop(0)
    actor.steps += done.steps
    self._owed += done.steps
    self._counts["steps"] += done.steps
    self._counts["blocks"] += 1
    for row in done.rows:
      self._counts["episodes"] += 1
      names = {"train_steps": "steps", "train_episodes": "episodes", "learner_steps": "learner_steps"}
      counts = {name: self._counts[count] for name, count in names.items()}
      self._watch.episode({**row, "actor": actor.index, **counts})
    shard = self._shard_of(actor)
    shard.unanswered.append((actor, block))
    if shard.ready:
      self._insert(shard, actor, block)

  def _insert(self, shard: supervision.ShardHandle, actor: supervision.ActorHandle, block: Any) -> None:
    self._supervisor.call(shard, "insert", block, then=functools.partial(self._inserted, shard, actor, block))

  def _inserted(
    self, shard: supervision.ShardHandle, actor: supervision.ActorHandle, block: Any, done: nodes.Inserted
  ) -> None:
    shard.unanswered.remove((actor, block))
    shard.coming -= 1
    actor.coming -= 1
    self._ratio.inserts += done.items
    self._counts["lost_blocks"] += done.lost
    shard.size = shard.size + done.items if self._ratio.queue else done.size
    shard.mass = done.mass

  # Learning.

  def _batches_due(self) -> int:
    """Batches that may be sampled now; of queues, from one of them."""
    if self._pretraining:
      return self._pretraining
    if self._ratio.queue:
      return max(shard.size for shard in self._shards) // self._ratio.batch
    if self._ratio.due < 1 or not any(shard.size for shard in self._shards):
      return 0
    if self._ratio.free:
      return min(1, self._owed) if self._schedule.turns else _GROUP
    return int(self._ratio.due)

  def _sample(self) -> None:
    """Asks for batches that are due, two groups at once; in turns, one batch, once all else is done."""
    turns = self._schedule.turns
    while (count := min(self._batches_due(), 1 if turns else self._group)) and self._learner.ready:
      groups = len(self._learning) + sum(len(shard.sampling) for shard in self._shards)
      if groups >= (1 if turns else 2) or (turns and not self._quiet):
        return
      shard, share = self._choose()
      if shard is None:
        return
      if turns and self._unsettled:  # When one process would have its priorities, before it samples.
        self._unsettled = False
        self._supervisor.call(self._learner, "settle", then=functools.partial(self._settled, shard, shard.deaths))
        return
      self._claim(shard, count)
      then = functools.partial(self._sampled, shard, shard.deaths)
      self._supervisor.call(shard, "sample", count, share, then=then, outputs=2)

  def _choose(self) -> tuple[supervision.ShardHandle | None, float]:
    """A shard to sample from, in proportion to its priorities, and its share of them; of queues the fullest."""
    ready = [shard for shard in self._shards if shard.ready]
    if self._ratio.queue or len(self._shards) == 1:
      return max(ready, key=lambda shard: shard.size, default=None), 1.0
    total = sum(shard.mass for shard in ready)
    if not total > 0:
      return None, 1.0
    shares = [shard.mass / total for shard in ready]
    chosen = int(self._random.choice(len(ready), p=shares))
    return ready[chosen], shares[chosen]

  def _claim(self, shard: supervision.ShardHandle, count: int) -> None:
    """Counts batches as sampled, but those of pre-training."""
    shard.sampling.append(count)
    self._owed = 0
    if self._pretraining:
      self._pretraining -= count
      return
    self._ratio.samples += count * self._ratio.batch
    if self._ratio.queue:
      shard.size -= count * self._ratio.batch

  def _sampled(self, shard: supervision.ShardHandle, life: int, samples: Any, nbytes: int) -> None:
    """Hands batches on to the learner; without one, they are lost."""
    count = shard.sampling.pop(0)
    self._group = max(1, min(_GROUP, _GROUP_BYTES // max(1, nbytes)))
    self._batch_bytes += nbytes * count
    if self._learner.ready:
      self._learning.append(count)
      then = functools.partial(self._learned, shard, life)
      self._supervisor.call(
        self._learner, "learn", samples, not self._schedule.turns, then=then, outputs=2, weight=count
      )

  def _learned(self, shard: supervision.ShardHandle, life: int, params: Any, done: nodes.Learned) -> None:
    """Takes new parameters, and hands priorities back."""
    self._learning.pop(0)
    self._counts["learner_steps"] = done.steps
    self._version = nodes.Version(self._version.number + 1, [params])
    for row in done.rows:
      self._watch.learner(row)
    self._unsettled = True
    self._settled(shard, life, done.priorities)

  def _settled(self, shard: supervision.ShardHandle, life: int, priorities: list[Any]) -> None:
    """Hands priorities back, unless their items are of a shard that is no more."""
    if priorities and shard.ready and shard.deaths == life:
      self._supervisor.call(shard, "update_priorities", priorities, then=lambda _: None)

  # Evaluating.

  def _evaluate(self, number: int, episodes: int) -> None:
    """Asks for an evaluation of the newest parameters."""
    row = {name: self._counts[name] for name in ("steps", "episodes", "learner_steps")} | {"seconds": self.seconds}
    self._evaluation = number, episodes, row, self._version
    self._ask_evaluator()

  def _ask_evaluator(self) -> None:
    if self._evaluation is not None and self._evaluator.ready:
      number, episodes, _, version = self._evaluation
      call = self._supervisor.call
      call(self._evaluator, "evaluate", version, number, episodes, then=self._evaluated, weight=episodes)

  def _evaluated(self, results: Sequence[Mapping[str, Any]]) -> None:
    assert self._evaluation is not None
    number, _, row, _ = self._evaluation
    self._evaluation = None
    returns = [float(np.sum(result["episode_return"])) for result in results]
    self._results.append(row | {"number": number, "returns": returns})
    self._watch.evaluation(row | {"number": number}, results)

  # Beginning nodes, and beginning them again.

  def _start(self, node: supervision.Handle, *arguments: Any, then: Callable[..., None], outputs: int = 1) -> None:
    """Begins a process for a node, unless it has one, and starts it: before that it answers nothing else."""
    if node.actor is None:
      node.begin()
    self._supervisor.call(node, "where", then=functools.partial(setattr, node, "place"), weight=3)
    self._supervisor.call(node, "start", *arguments, then=then, outputs=outputs, weight=3)

  def _start_shard(self, shard: supervision.ShardHandle, state: types.State) -> None:
    saved = None if state is None else state["shards"][shard.index]
    self._start(shard, saved, then=functools.partial(self._shard_ready, shard))

  def _shard_ready(self, shard: supervision.ShardHandle, answer: tuple[experience.Experience, int, float, int]) -> None:
    described, shard.size, shard.mass, pretraining = answer
    if self._experience is None:
      check(described, len(self._shards))
      self._experience, self._pretraining = described, pretraining
      self._ratio.follow(described, len(self._actors) * self._schedule.block_steps)
    shard.ready = shard.ever = True
    self._tell_shards()
    for actor, block in shard.unanswered:
      self._insert(shard, actor, block)

  def _start_learner(self, state: types.State) -> None:
    self._start(self._learner, None if state is None else state["learner"], then=self._learner_ready, outputs=2)

  def _learner_ready(self, params: Any, steps: int) -> None:
    self._counts["learner_steps"] = steps
    self._version = nodes.Version(self._version.number + 1, [params])
    self._learner.ready = self._learner.ever = True
    self._tell_shards()

  def _tell_shards(self) -> None:
    """Gives shards with datasets the first parameters, which recurrent states are wanted of that were not recorded."""
    if isinstance(self._experience, experience.Mixed) and self._version.number >= 0:
      for shard in self._shards:
        if shard.ready:
          self._supervisor.call(shard, "remember", self._version.ref[0], then=lambda _: None)

  def _start_reader(self, node: supervision.Handle) -> None:
    """Starts an actor or the evaluator."""
    self._start(node, self._version, then=functools.partial(self._reader_ready, node))

  def _reader_ready(self, node: supervision.Handle, _: None) -> None:
    node.ready = node.ever = True
    if node is self._evaluator:
      self._ask_evaluator()

  def _on_death(self, node: supervision.Handle, why: str) -> None:
    """Begins a node anew: actors where the run is, a learner and shards where the newest checkpoint is."""
    self._watch.message(f"The {node.name} begins anew: {why}")
    if isinstance(node, supervision.ActorHandle):
      node.coming -= len(node.asked)
      self._shard_of(node).coming -= len(node.asked)
      node.asked.clear()
      node.incarnation += 1
    elif isinstance(node, supervision.ShardHandle):
      self._shard_died(node)
      return
    elif node is self._learner:
      self._learning.clear()
      self._start_learner(self._newest())
      return
    self._start_reader(node)

  def _shard_died(self, shard: supervision.ShardHandle) -> None:
    """Gives a shard what the newest checkpoint has of it; a queue begins empty: nothing is learned from twice."""
    if not self._pretraining:
      self._ratio.samples -= sum(shard.sampling) * self._ratio.batch
    shard.sampling.clear()
    for actor in self._actors[shard.index :: len(self._shards)]:
      actor.incarnation += 1  # Its next steps follow none that the shard has.
    self._start_shard(shard, None if self._ratio.queue else self._newest())

  # Saving.

  @property
  def _save_due(self) -> bool:
    every = self._schedule.checkpoint_every
    if every is not None:
      return self.steps // every > max(0, self._saved_at) // every
    return time.monotonic() - self._saved_time > self._schedule.checkpoint_seconds

  def _newest(self) -> types.State:
    """The newest checkpoint's state; None where there is none yet."""
    return checkpointing.load(self._checkpoints).state if checkpointing.find(self._checkpoints) else None

  def _save(self) -> None:
    """Writes a checkpoint when nothing is on its way, so that all its parts are of one moment."""
    while not self._quiet:
      self._poll()
    deaths = sum(node.deaths for node in self.everyone)
    saved: dict[supervision.Handle, Any] = {}
    for node in (self._learner, *self._shards):
      self._supervisor.call(node, "save", then=functools.partial(saved.__setitem__, node), weight=3)
    while len(saved) < 1 + len(self._shards):
      self._poll()
      if sum(node.deaths for node in self.everyone) != deaths:
        self._save()  # Of what came back.
        return
    counts = self._counts | {
      "inserts": self._ratio.inserts,
      "samples": self._ratio.samples,
      "pretraining": self._pretraining,
      "incarnations": [actor.incarnation for actor in self._actors],
      "actor_steps": [actor.steps for actor in self._actors],
      "deaths": [node.deaths for node in self.everyone],
      "seconds": self.seconds,
      "results": self._results,
    }
    state = {"learner": saved[self._learner], "shards": [saved[shard] for shard in self._shards], "counts": counts}
    self._checkpointer.save(self.steps, state | {"watcher": self._watch.save()}, self._metadata)
    self._watch.saved(self.steps, self._counts["episodes"])
    self._saved_at, self._saved_time = self.steps, time.monotonic()

  def _restore(self, state: types.State) -> None:
    """Goes on from a checkpoint. Raises CheckpointError where that is of a run of other nodes."""
    counts = state["counts"]
    if len(counts["deaths"]) != len(self.everyone) or len(counts["incarnations"]) != len(self._actors):
      raise checkpointing.CheckpointError(
        f"The checkpoint in {self._checkpoints} is of {len(counts['incarnations'])} actors and "
        f"{len(state['shards'])} shards, this run has {len(self._actors)} and {len(self._shards)}: go on with as many."
      )
    self._counts = {name: counts[name] for name in _COUNTS}
    self._ratio.inserts, self._ratio.samples = counts["inserts"], counts["samples"]
    for actor, incarnation, steps in zip(self._actors, counts["incarnations"], counts["actor_steps"], strict=True):
      actor.incarnation, actor.steps = incarnation + 1, steps  # Episodes in progress are not played on.
    for node, deaths in zip(self.everyone, counts["deaths"], strict=True):
      node.deaths = deaths
    self._saved_at, self._earlier_seconds, self._results = self.steps, counts["seconds"], list(counts["results"])
    self._watch.restore(state["watcher"])
