"""The conductor: one loop that asks nodes for what may be done now, and takes the answers that have come.

  actors ──blocks──▶ shards ──batches──▶ learner ──parameters──▶ actors, evaluator
                        ▲──priorities──────┘

It runs in the process that called `run`. Nodes answer it alone, and it handles references: blocks, batches, priorities
and parameters go from node to node through Ray's object store. Every count is made here, when an answer comes, once.

`acting`, `learning` and `evaluating` ask for what is theirs; here nodes begin, begin again and are saved.
"""

import functools
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import ray

from acme import checkpointing, experience, types
from acme_ray import nodes, supervision, watching
from acme_ray.acting import Acting
from acme_ray.evaluating import FINAL, Evaluating
from acme_ray.learning import Learning
from acme_ray.state import RunState, Schedule

_POLL_SECONDS = 0.1
_CLOSE_SECONDS = 5.0


class Stopped(Exception):  # noqa: N818 - no error.
  """Somebody asked the run to stop; everything is saved."""


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
    self._run = RunState(recipe, schedule, watcher, self._supervisor, learner_gpus)
    self._learning = Learning(self._run, recipe.seed)
    self._acting = Acting(self._run, self._learning)
    self._evaluating = Evaluating(self._run)
    self._saved_at, self._saved_time = -1, time.monotonic()

  # The run.

  def run(self) -> dict[str, Any]:
    """Trains to the end, evaluates, and returns what `status` says, with `evaluations` and the parameters.

    Raises:
      Stopped: `stop` said so; everything is saved.
      NodeFailed: a node fails again and again.
      CheckpointError: the checkpoints are of another run, or the disk is full.
    """
    run = self._run
    self._begin()
    while not self._over:
      self._advance()
    self._save()
    if self._schedule.final_episodes:
      self._evaluating.ask(FINAL, self._schedule.final_episodes)
      while self._evaluating.going_on:
        self._poll()
    return run.status() | {"evaluations": self._evaluating.results, "params": ray.get(run.version.ref[0])}

  def close(self) -> None:
    """Ends all nodes, once shards have freed what they hold outside their processes."""
    freeing = [shard.actor.close.options().remote() for shard in self._run.shards if shard.ready]
    if freeing:
      ray.wait(freeing, num_returns=len(freeing), timeout=_CLOSE_SECONDS)
    for node in self._run.everyone:
      node.end()

  def _advance(self) -> None:
    """Asks for what may be done now, and takes the answers that have come."""
    run = self._run
    if self._stop():
      self._save()
      raise Stopped(f"Stopped and saved at step {run.steps:,}.")
    if self._save_due:
      self._save()
    self._evaluating.ask_where_due()
    self._learning.ask()
    self._acting.ask()
    if not self._supervisor.pending() and not self._over:
      raise RuntimeError(f"A fault of acme-ray: nobody is asked for anything, and the run is not over. {run.status()}")
    self._poll()

  def _poll(self) -> None:
    self._supervisor.poll(_POLL_SECONDS)
    self._watch.progress(self._run.status())

  @property
  def _over(self) -> bool:
    """Whether all steps are taken, and all is learned that they make due."""
    done = self._run.steps >= self._schedule.steps and self._run.quiet
    return done and (not self._learning.due or (self._run.ratio.free and not self._schedule.turns))

  # Beginning nodes, and beginning them again.

  def _begin(self) -> None:
    """Starts all nodes, from the newest checkpoint where there is one."""
    run, state = self._run, self._newest()
    if state is not None:
      self._restore(state)
    for shard in run.shards:
      self._start_shard(shard, state)
    self._start_learner(state)
    readers = (*run.actors, run.evaluator)
    for node in readers:
      node.begin()  # Beginning takes longest, and needs no parameters.
    while run.version.number < 0 or not all(shard.ready for shard in run.shards):
      self._poll()
    for node in readers:
      self._start_reader(node)
    run.start_clock()
    self._saved_time = time.monotonic()

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
    if self._run.experience is None:
      self._run.describe(described)
      self._learning.pretraining = pretraining
    shard.ready = shard.ever = True
    self._tell_shards()
    self._acting.insert_again(shard)

  def _start_learner(self, state: types.State) -> None:
    saved = None if state is None else state["learner"]
    self._start(self._run.learner, saved, then=self._learner_ready, outputs=2)

  def _learner_ready(self, params: Any, steps: int) -> None:
    self._run.take_params(params, steps)
    self._run.learner.ready = self._run.learner.ever = True
    self._tell_shards()

  def _tell_shards(self) -> None:
    """Gives shards with datasets the first parameters, which recurrent states are wanted of that were not recorded."""
    run = self._run
    if isinstance(run.experience, experience.Mixed) and run.version.number >= 0:
      for shard in run.shards:
        if shard.ready:
          self._supervisor.call(shard, "remember", run.version.ref[0], then=lambda _: None)

  def _start_reader(self, node: supervision.Handle) -> None:
    """Starts an actor or the evaluator."""
    self._start(node, self._run.version, then=functools.partial(self._reader_ready, node))

  def _reader_ready(self, node: supervision.Handle, _: None) -> None:
    node.ready = node.ever = True
    if node is self._run.evaluator:
      self._evaluating.ask_again()

  def _on_death(self, node: supervision.Handle, why: str) -> None:
    """Begins a node anew: actors where the run is, a learner and shards where the newest checkpoint is."""
    self._watch.message(f"The {node.name} begins anew: {why}")
    if isinstance(node, supervision.ActorHandle):
      self._acting.actor_died(node)
      self._start_reader(node)
    elif isinstance(node, supervision.ShardHandle):
      self._learning.shard_died(node)
      self._acting.shard_died(node)
      # Of a queue nothing is learned from twice, so it begins empty.
      self._start_shard(node, None if self._run.ratio.queue else self._newest())
    elif node is self._run.learner:
      self._learning.learner_died()
      self._start_learner(self._newest())
    else:
      self._start_reader(node)

  # Saving.

  @property
  def _save_due(self) -> bool:
    every = self._schedule.checkpoint_every
    if every is not None:
      return self._run.steps // every > max(0, self._saved_at) // every
    return time.monotonic() - self._saved_time > self._schedule.checkpoint_seconds

  def _newest(self) -> types.State:
    """The newest checkpoint's state; None where there is none yet."""
    return checkpointing.load(self._checkpoints).state if checkpointing.find(self._checkpoints) else None

  def _save(self) -> None:
    """Writes a checkpoint when nothing is on its way, so that all its parts are of one moment."""
    run = self._run
    parts = self._saved_nodes()
    while parts is None:  # Of what came back.
      parts = self._saved_nodes()
    counts = run.save() | {"pretraining": self._learning.pretraining, "results": self._evaluating.results}
    state = {"learner": parts[run.learner], "shards": [parts[shard] for shard in run.shards], "counts": counts}
    self._checkpointer.save(run.steps, state | {"watcher": self._watch.save()}, self._metadata)
    self._watch.saved(run.steps, run.counts["episodes"])
    self._saved_at, self._saved_time = run.steps, time.monotonic()

  def _saved_nodes(self) -> dict[supervision.Handle, Any] | None:
    """What the learner and the shards save, once nothing is on its way; None where a node died meanwhile."""
    run = self._run
    while not run.quiet:
      self._poll()
    deaths = run.deaths
    saved: dict[supervision.Handle, Any] = {}
    for node in (run.learner, *run.shards):
      self._supervisor.call(node, "save", then=functools.partial(saved.__setitem__, node), weight=3)
    while len(saved) < 1 + len(run.shards):
      self._poll()
      if run.deaths != deaths:
        return None
    return saved

  def _restore(self, state: types.State) -> None:
    """Goes on from a checkpoint. Raises CheckpointError where that is of a run of other nodes."""
    run, counts = self._run, state["counts"]
    if len(counts["deaths"]) != len(run.everyone) or len(counts["incarnations"]) != len(run.actors):
      raise checkpointing.CheckpointError(
        f"The checkpoint in {self._checkpoints} is of {len(counts['incarnations'])} actors and "
        f"{len(state['shards'])} shards, this run has {len(run.actors)} and {len(run.shards)}: go on with as many."
      )
    run.restore(counts)
    self._saved_at, self._evaluating.results = run.steps, list(counts["results"])
    self._watch.restore(state["watcher"])
