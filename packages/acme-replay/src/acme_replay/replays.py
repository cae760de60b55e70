"""An agent's experience in stores of tables: adders by its description, one dataset of all its parts.

Shapes: B batch.
"""

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, Protocol

import dm_env
import numpy as np
import tree

from acme import core, experience, replay, types
from acme.experience import exact
from acme_replay import datasets, split
from acme_replay.adders import make_adder, num_crossing
from acme_replay.columns import LeafColumn, MappedColumn
from acme_replay.embedded import EmbeddedStore, is_small

TABLE = "replay"  # What the table of an experience without parts is called.


class MakeStore(Protocol):
  """Makes the store of one part of an experience."""

  def __call__(
    self,
    items: experience.Items,
    table: replay.Table,
    step_spec: types.Step,
    seed: int,
    max_steps: int | None = None,
    others: Sequence[replay.Table] = (),
  ) -> replay.Store:
    """Makes it for the steps that the items need, or for `max_steps`, with `others` over the same steps."""


class StoreReplay(replay.Replay):
  """An experience in a store that `make_store` makes; what comes from datasets lies in embedded stores beside it.

  Of a dataset a saved state has the path, the checksum, the priorities, and the recurrent states that were not
  recorded in it; not the steps, which are read again.
  """

  def __init__(
    self,
    description: experience.Experience,
    step_spec: types.Step,
    seed: int,
    make_store: MakeStore,
    make_embedded: MakeStore,
  ) -> None:
    """Makes the stores, and reads the datasets.

    Args:
      description: the experience.
      step_spec: the spec of one step (acme.builders.step_spec).
      seed: of all that is drawn.
      make_store: makes the store that actors add to.
      make_embedded: makes the embedded store of a dataset.
    """
    mixed = isinstance(description, experience.Mixed)
    parts = description.parts if isinstance(description, experience.Mixed) else {TABLE: description}
    self._description = description
    self._step_spec = step_spec
    seeds = [seed] if not mixed else [int(s) for s in np.random.SeedSequence(seed).generate_state(len(parts) + 1)]
    seed_of = dict(zip(parts, seeds, strict=False))
    made = {  # First, so that the memory they take is taken before more is asked for.
      name: _read(name, items, step_spec, seed_of[name], make_embedded)
      for name, items in parts.items()
      if items.dataset is not None
    }
    for name, items in parts.items():
      if items.dataset is None:
        made[name] = _Part(name, items, make_store(*of_actors(description), step_spec, seed_of[name]))
    self._parts = {name: made[name] for name in parts}
    self._online = next((part for part in self._parts.values() if part.checksum is None), None)
    self._mixture = _Mixture(description, self._parts, seeds[-1]) if isinstance(description, experience.Mixed) else None

  def adder(self, num_streams: int | None = None) -> replay.Adder:
    if self._online is None:
      return NoAdder()
    return make_adder(self._online.items, self._online.store.writer(num_streams), self._online.name)

  def dataset(self) -> Iterator[replay.Sample]:
    """An endless iterator of batches; what it gives belongs to the caller.

    In one process `next` raises RuntimeError where fewer items may be sampled: nobody else would come and insert more.
    """
    if self._mixture is not None:
      return self._mixture
    (part,) = self._parts.values()
    return part.dataset(self._description.batch_size)

  def once(self, held_out: bool = False) -> Iterator[replay.Sample]:
    for part in self._parts.values():
      if isinstance(part.store, EmbeddedStore) and part.checksum is not None:
        yield from part.store.once(_held_out(part.name) if held_out else part.name, self._description.batch_size)

  def update_priorities(self, keys: np.ndarray, priorities: np.ndarray) -> None:
    keys, priorities = np.asarray(keys), np.asarray(priorities)
    if self._mixture is None:
      (part,) = self._parts.values()
      part.update_priorities(keys, priorities)
      return
    if keys.shape != (*priorities.shape, 2):
      raise ValueError(
        f"Expected keys [B, 2], the part's number first, and priorities [B], got {keys.shape} and {priorities.shape}."
      )
    for i, part in enumerate(self._parts.values()):
      mine = keys[:, 0] == i
      if mine.any():
        part.update_priorities(keys[mine, 1], priorities[mine])

  def info(self) -> Mapping[str, replay.TableInfo]:
    return {name: part.store.info()[name] for name, part in self._parts.items()}

  def available(self) -> float:
    if self._mixture is not None:
      return self._mixture.available()
    (part,) = self._parts.values()
    return part.store.available(part.name)

  def pretraining(self) -> int:
    return 0 if self._mixture is None else self._mixture.pretraining

  def remember(self, make_actor: Callable[[replay.Adder], core.Actor]) -> None:
    for part in self._parts.values():
      if part.forgot:
        part.recall = functools.partial(_cores, part, self._step_spec, make_actor)

  @property
  def store(self) -> replay.Store:
    """The store that actors add to. Raises ValueError where there is none."""
    if self._online is None:
      raise ValueError("Everything here comes from datasets: there is no store that actors add to.")
    return self._online.store

  def close(self) -> None:
    for part in self._parts.values():
      part.store.close()

  def save(self) -> types.State:
    mixture = None if self._mixture is None else self._mixture.save()
    return {"parts": {name: part.save() for name, part in self._parts.items()}, "mixture": mixture}

  def restore(self, state: types.State) -> None:
    """Puts back what `save` returned.

    Raises:
      ValueError: it is of another experience, or a dataset has changed since.
    """
    if state["parts"].keys() != self._parts.keys():
      raise ValueError(
        f"The saved replay has the parts {', '.join(state['parts'])}, expected {', '.join(self._parts)}: it is of "
        "another agent or config."
      )
    for name, part in self._parts.items():
      part.restore(state["parts"][name])
    if self._mixture is not None:
      self._mixture.restore(state["mixture"])


def of_actors(description: experience.Experience) -> tuple[experience.Items, replay.Table]:
  """What actors add, and the table that holds it: without a ratio in a mixture, which keeps its own.

  Raises:
    ValueError: everything comes from datasets.
  """
  if isinstance(description, experience.Items):
    if description.dataset is None:
      if not description.acting:
        raise ValueError(
          "This agent learns from recorded episodes alone, and has none: give it a dataset, in its config, or by "
          "--dataset PATH."
        )
      return description, description.table(TABLE)
  elif description.online is not None:
    items = description.parts[description.online]
    table = items.table(description.online)
    return items, replay.Table(name=table.name, max_size=table.max_size, sampler=table.sampler)
  raise ValueError("Everything here comes from datasets: there is no table that actors add to.")


class EmbeddedReplay(StoreReplay):
  """An experience in this process: NumPy only, deterministic by seed.

  Attributes:
    observation_column: what keeps each leaf of the observations; a subclass may keep them elsewhere.
  """

  observation_column: type[LeafColumn] = LeafColumn

  def __init__(
    self,
    description: experience.Experience,
    step_spec: types.Step,
    seed: int = 0,
    *,
    frame_stack: int | None = None,
    available_memory: int | None = None,
  ) -> None:
    """Makes an empty one, but for what datasets hold.

    Args:
      description: the experience, from which its size follows.
      step_spec: the spec of one step (acme.builders.step_spec).
      seed: of all that is drawn.
      frame_stack: how many consecutive frames lie on the last axis of the observation; each frame is then stored once.
        None stores observations as they come.
      available_memory: bytes that may be taken; None for what the machine has to spare.

    Raises:
      MemoryError: it would not fit.
      ValueError: the observation is no stack of `frame_stack` frames, or a dataset does not fit the specs.
      FileNotFoundError: there is no such dataset.
    """
    make = embedded(frame_stack, available_memory, self.observation_column)
    super().__init__(description, step_spec, seed, make, make)

  @property
  def nbytes(self) -> int:
    """Bytes that it takes when it is full; the system hands them out as they are first written."""
    return sum(part.store.nbytes for part in self._parts.values())  # type: ignore[attr-defined]

  @property
  def max_steps(self) -> int:
    """Steps that it holds."""
    return sum(part.store.max_steps for part in self._parts.values())  # type: ignore[attr-defined]


class MappedReplay(EmbeddedReplay):
  """The same samples, with the observations in a file that is mapped into memory: for more than memory holds.

  The file lies in the folder for temporary files (TMPDIR), without a name, so that it goes when the process does.
  """

  observation_column = MappedColumn


def embedded(
  frame_stack: int | None = None, available_memory: int | None = None, observation_column: type[LeafColumn] = LeafColumn
) -> MakeStore:
  """What makes embedded stores; arguments as in `EmbeddedReplay` and `EmbeddedStore`."""
  taken = 0  # Bytes of those made so far.

  def make(
    items: experience.Items,
    table: replay.Table,
    step_spec: types.Step,
    seed: int,
    max_steps: int | None = None,
    others: Sequence[replay.Table] = (),
  ) -> EmbeddedStore:
    nonlocal taken
    store = EmbeddedStore(
      [table, *others],
      step_spec,
      seed,
      max_steps=_num_steps(items, table.max_size, step_spec, frame_stack) if max_steps is None else max_steps,
      frame_stack=frame_stack,
      core_spec=getattr(items, "core_spec", ()),
      one_step=getattr(items, "one_step", False),
      available_memory=None if available_memory is None else available_memory - taken,
      observation_column=observation_column,
    )
    taken += store.nbytes
    return store

  return make


def _num_steps(items: experience.Items, size: int, step_spec: types.Step, frame_stack: int | None) -> int:
  """Steps that `size` items need: small ones, and those of a queue, at the most; large ones as they usually do.

  A stream of N has made no item of its newest steps yet, and its oldest item goes back as far as an item is long. N is
  no more than `size`, as N streams insert at once, but not known before there is a writer.
  """
  period, length, most = 1, 1, 2  # An episode has one observation more than it has transitions.
  if isinstance(items, experience.Transitions):
    length = items.n_step
  else:
    queue = isinstance(items, experience.Queue)
    sequences = items.sequences if isinstance(items, experience.Queue) else items
    assert isinstance(sequences, experience.Sequences)
    period, length = sequences.period, sequences.length
    # An episode no longer than a sequence makes one of them.
    most = period if sequences.end_of_episode == "continue" else max(period, length)
    if queue:
      return size * (most + period + length) + 512
  if is_small(step_spec, frame_stack):
    return size * most + min(size, 256) * (period + length) + 4096
  return size * period * 17 // 16 + min(size, 16) * (period + length) + 512


class _Part:
  """One table of an experience."""

  def __init__(
    self, name: str, items: experience.Items, store: replay.Store, checksum: str | None = None, forgot: bool = False
  ) -> None:
    """Makes a part.

    Args:
      name: of the table.
      items: what it holds.
      store: where.
      checksum: of its dataset; None where actors add to it.
      forgot: whether its sequences have zeros for the recurrent states that its dataset lacks.
    """
    self.name, self.items, self.store, self.checksum, self.forgot = name, items, store, checksum, forgot
    self.recall: Callable[[], types.NestedArray] | None = None  # Gives those, [C, …], before the first sample.
    self._cores: list[np.ndarray] | None = None  # The leaves that it gave.

  def dataset(self, batch_size: int) -> Iterator[replay.Sample]:
    """An endless iterator of batches."""
    samples = self.store.dataset(self.name, batch_size)
    return self._with_cores(samples) if self.forgot else samples

  def _with_cores(self, samples: Iterator[replay.Sample]) -> Iterator[replay.Sample]:
    while True:
      if self._cores is None and self.recall is not None:
        self._set_cores(self.recall())
      yield next(samples)

  def update_priorities(self, keys: np.ndarray, priorities: np.ndarray) -> None:
    self.store.update_priorities(self.name, keys, priorities + self.items.priority_bonus)

  def _set_cores(self, cores: types.NestedArray) -> None:
    """Sets the recurrent states [C, …] of its sequences, which come from a dataset, in their order."""
    assert isinstance(self.store, EmbeddedStore)
    self.store.set_cores(self.name, cores)
    self._cores = tree.flatten(cores)

  def save(self) -> types.State:
    if self.checksum is None:
      return self.store.save()
    assert isinstance(self.store, EmbeddedStore)
    saved = {"path": self.items.dataset, "checksum": self.checksum, "store": self.store.save(contents=False)}
    return saved if self._cores is None else saved | {"cores": self._cores}

  def restore(self, state: types.State) -> None:
    if ("checksum" in state) != (self.checksum is not None):
      what = ["what actors add", "a dataset"]
      raise ValueError(
        f"The saved part {self.name!r} is of {what['checksum' in state]}, expected one of "
        f"{what[self.checksum is not None]}: it is of another run."
      )
    if self.checksum is None:
      self.store.restore(state)
      return
    if state["checksum"] != self.checksum:
      raise ValueError(
        f"The dataset {self.items.dataset} is not what {state['path']} was when this was saved: its checksum is "
        f"{self.checksum[:12]}…, expected {state['checksum'][:12]}…. Put the files back."
      )
    self.store.restore(state["store"])
    self._cores = None
    if "cores" in state:
      self._set_cores(tree.unflatten_as(getattr(self.items, "core_spec", ()), state["cores"]))


def _held_out(name: str) -> str:
  """What the table is called that has what is held out from the one called `name`."""
  return f"{name}, held out"


def _read(name: str, items: experience.Items, step_spec: types.Step, seed: int, make: MakeStore) -> _Part:
  """Plays a dataset's episodes into a table that has room for all of them, or into another that is held out."""
  assert items.dataset is not None
  rows, episodes = datasets.num_rows(items.dataset, step_spec)
  checksum = datasets.checksum(items.dataset)  # First: what is appended while it is read is not among what is read.
  apart = split.held_out(episodes, items.held_out)
  # An item for each row at the most, and at the end of an episode the shorter transitions.
  size = rows + (episodes * items.n_step if isinstance(items, experience.Transitions) else 1)
  table = replay.Table(name=name, max_size=size, sampler=items.table(name).sampler)
  tables = [table, replay.Table(name=_held_out(name), max_size=size)] if apart else [table]
  again = 0 if num_crossing(items, rows) is None else len(tables) * (items.length + 2)  # type: ignore[attr-defined]
  # A stack of frames, of 16 at the most, may take rows of its own where an episode begins.
  begun = 1 + episodes + min(again, episodes * -(-again // max(rows, 1)))
  store = make(items, table, step_spec, seed, rows + again + 16 * begun, tables[1:])
  core_spec = getattr(items, "core_spec", ())
  recorded = core_spec if datasets.has_core(items.dataset, core_spec) else ()
  read = enumerate(datasets.read(items.dataset, step_spec, recorded))
  taken = _fill(store, items, tables, ((int(i in apart), episode) for i, episode in read))
  if taken != rows:
    raise ValueError(
      f"{items.dataset}: expected {rows} observations, got {taken}: it changed while it was read. Begin again."
    )
  if not all(store.info()[each.name].size for each in tables):
    raise ValueError(f"{items.dataset}: its {episodes} episodes are too short for one item of {items!r}.")
  forgot = bool(tree.flatten(core_spec)) and not recorded
  return _Part(name, items, store, checksum, forgot)


def _fill(
  store: replay.Store,
  items: experience.Items,
  tables: Sequence[replay.Table],
  episodes: Iterator[tuple[int, datasets.Episode]],
) -> int:
  """Makes items of episodes, for the tables of these numbers; returns how many rows they had.

  Sequences cross from the last one into the first.
  """
  adders = [make_adder(items, store.writer(), each.name) for each in tables]
  zeros = tree.map_structure(lambda leaf: np.zeros((1, *leaf.shape), leaf.dtype), getattr(items, "core_spec", ()))
  first: list[list[datasets.Episode]] = [[] for _ in tables]  # As many as hold more than L rows.
  rows = [0] * len(tables)
  for i, episode in episodes:
    if rows[i] <= getattr(items, "length", -1):
      first[i].append(episode)
    rows[i] += 1 + datasets.num_steps(episode)
    for _ in _add(adders[i], episode, zeros):
      pass
  for i, table in enumerate(tables):
    steps = itertools.chain.from_iterable(_add(adders[i], episode, zeros) for episode in itertools.cycle(first[i]))
    while store.info()[table.name].inserts < (num_crossing(items, rows[i]) or 0):
      next(steps)
  return sum(rows)


def _add(adder: replay.Adder, episode: datasets.Episode, zeros: types.NestedArray) -> Iterator[None]:
  """Adds an episode, a step at each `next`; without recorded states with `zeros` for them."""
  recorded = bool(tree.flatten(episode.core))
  for t, (action, timestep, extras) in enumerate(datasets.play(episode), start=-1):
    if t < 0:
      adder.add_first(timestep)
    else:
      core = tree.map_structure(lambda leaf, t=t: leaf[t : t + 1], episode.core) if recorded else zeros
      adder.add(action, timestep, extras, core)
    yield


def _cores(part: _Part, step_spec: types.Step, make_actor: Callable[[replay.Adder], core.Actor]) -> types.NestedArray:
  """The recurrent states [C, …] of a dataset's sequences: those of an actor that sees its episodes pass."""
  assert part.items.dataset is not None
  writer, number = _Cores(), part.store.info()[part.name].inserts
  actor = make_actor(make_adder(part.items, writer, part.name))
  passes = (datasets.read(part.items.dataset, step_spec) for _ in itertools.count())  # The last sequences go on anew.
  for episode in itertools.chain.from_iterable(passes):
    if len(writer.cores) >= number:
      break
    observation = None
    for action, timestep, _ in datasets.play(episode):
      if timestep.first():
        actor.observe_first(timestep)
      else:
        actor.select_action(observation)  # Whatever it would have done.
        actor.observe(action, timestep)
      observation = timestep.observation
  return tree.map_structure(lambda *leaves: np.stack(leaves), *writer.cores[:number])


class _Cores(replay.Writer):
  """Keeps the recurrent states of sequences, and nothing else."""

  def __init__(self) -> None:
    self.num_streams = None
    self.cores: list[types.NestedArray] = []

  def append(self, step: types.Step) -> None:
    pass

  def create_item(
    self,
    table: str,
    trajectory: replay.TransitionItem | replay.SequenceItem,
    priority: float | None = None,
    streams: np.ndarray | None = None,
  ) -> None:
    assert isinstance(trajectory, replay.SequenceItem)
    self.cores.append(trajectory.core)

  def save(self) -> types.State:
    return None

  def restore(self, state: types.State) -> None:
    pass


class NoAdder(replay.Adder):
  """Takes nothing."""

  def add_first(self, timestep: dm_env.TimeStep) -> None:
    raise RuntimeError(
      "This agent learns from a dataset, and has no place for what it does: run acme.LearningLoop(agent.learner), and "
      "act with agent.make_evaluator()."
    )

  def add(
    self,
    action: types.NestedArray,
    next_timestep: dm_env.TimeStep,
    extras: types.NestedArray = (),
    core: types.NestedArray = (),
  ) -> None:
    self.add_first(next_timestep)

  def reset(self) -> None:
    pass

  def save(self) -> types.State:
    return None

  def restore(self, state: types.State) -> None:
    pass


class _Mixture(Iterator[replay.Sample]):
  """Batches from several tables, and when they may be taken."""

  def __init__(self, mixed: experience.Mixed, parts: Mapping[str, _Part], seed: int) -> None:
    self._mixed = mixed
    self._parts = parts
    self._random = np.random.default_rng(seed)
    self._shares = None if isinstance(mixed.share, str) else {name: exact(s) for name, s in mixed.share.items()}
    self._owed = {name: Fraction(0) for name in parts}  # What each part still has to give, below 1.
    self._online_samples = 0  # Those that count against what actors inserted.
    self.pretraining = mixed.pretraining_batches  # Batches to come before that.
    self._limiter = None
    self._iterators: dict[tuple[str, int], Iterator[replay.Sample]] = {}
    if mixed.online is not None:
      min_size = mixed.parts[mixed.online].min_size
      self._limiter = replay.RateLimiter(min_size=min_size, samples_per_insert=mixed.samples_per_insert)
    if self._shares is None and not all(hasattr(part.store, "mass") for part in parts.values()):
      raise ValueError(
        'Mixed.share "priority" needs a store that tells the sum of its priorities, which this one does not: give '
        "fixed shares, or use the embedded replay."
      )

  def available(self) -> float:
    """How many items may be sampled, by the ratio to what actors inserted; before that none but for pre-training."""
    return float("inf") if self._limiter is None else self._limiter.allowed(self._inserts(), self._online_samples)

  def _inserts(self) -> int:
    online = self._mixed.online
    return 0 if online is None else self._parts[online].store.info()[online].inserts

  def __next__(self) -> replay.Sample:
    acting = self._limiter is None or self._inserts() >= self._limiter.min_size
    names = [name for name in self._parts if acting or name != self._mixed.online]
    if not names:
      raise RuntimeError("Nothing can be sampled yet, and there is no dataset to learn from before acting.")
    counted = self._limiter is not None and acting
    if counted and self.available() < self._mixed.batch_size:
      raise RuntimeError(
        f"A batch of {self._mixed.batch_size} was asked for, and {self.available():g} items may be sampled now: "
        "insert more first (see Replay.available)."
      )
    counts, chances = self._by_mass(names) if self._shares is None else self._by_share(names, self._shares)
    drawn = [(name, self._draw(name, n)) for name, n in zip(names, counts, strict=True) if n]
    self._online_samples += self._mixed.batch_size if counted else 0
    self.pretraining = max(0, self.pretraining - 1)
    return self._join(drawn, dict(zip(names, chances, strict=True)))

  def _by_mass(self, names: Sequence[str]) -> tuple[list[int], list[float]]:
    """How many items of each part, and with which probability each came from there, in proportion to its priorities."""
    masses = np.array([self._parts[name].store.mass(name) for name in names])  # type: ignore[attr-defined]
    if not masses.sum() > 0:
      raise RuntimeError(f"Every item of {' and '.join(names)} has priority 0: none can be sampled.")
    chances = masses / masses.sum()
    return self._random.multinomial(self._mixed.batch_size, chances).tolist(), chances.tolist()

  def _by_share(self, names: Sequence[str], shares: Mapping[str, Fraction]) -> tuple[list[int], list[float]]:
    """The same by fixed shares: what is over a whole number is owed; the last part gives what is left of the batch."""
    total = sum(shares[name] for name in names)
    counts, left = [], self._mixed.batch_size
    for name in names[:-1]:
      self._owed[name] += self._mixed.batch_size * shares[name] / total
      counts.append(min(left, int(self._owed[name])))
      self._owed[name] -= counts[-1]
      left -= counts[-1]
    return [*counts, left], [float(shares[name] / total) for name in names]

  def _draw(self, name: str, count: int) -> replay.Sample:
    key = (name, count)
    if key not in self._iterators:
      self._iterators[key] = self._parts[name].dataset(count)
    return next(self._iterators[key])

  def _join(self, drawn: Sequence[tuple[str, replay.Sample]], chances: Mapping[str, float]) -> replay.Sample:
    """One batch, of which every stretch has its share of each part: it is cut into the batches of a step."""
    numbers = {name: i for i, name in enumerate(self._parts)}
    order = np.argsort(
      np.concatenate([(np.arange(n) + 0.5) / n for n in (len(s.keys) for _, s in drawn)]), kind="stable"
    )
    data = _concatenate([sample.data for _, sample in drawn], order)
    table = np.concatenate([np.full(len(sample.keys), numbers[name], np.int32) for name, sample in drawn])
    keys = np.concatenate([sample.keys for _, sample in drawn])
    probabilities = np.concatenate([chances[name] * sample.probabilities for name, sample in drawn])
    size = sum(sample.table_size for _, sample in drawn)
    keys = np.stack([table.astype(np.int64), keys], axis=1)[order]
    return replay.Sample(data, keys, probabilities[order], size, table[order])

  def save(self) -> types.State:
    return {
      "random": self._random.bit_generator.state,
      "owed": {name: [owed.numerator, owed.denominator] for name, owed in self._owed.items()},
      "online_samples": self._online_samples,
      "pretraining": self.pretraining,
    }

  def restore(self, state: types.State) -> None:
    self._random.bit_generator.state = state["random"]
    self._owed = {name: Fraction(*owed) for name, owed in state["owed"].items()}
    self._online_samples = state["online_samples"]
    self.pretraining = state["pretraining"]


def _concatenate(parts: Sequence[Any], order: np.ndarray) -> Any:
  """Batches [b, …] as one [B, …]; sequences of unequal lengths are padded with zeros to the longest."""

  def join(*leaves: Any) -> Any:
    xp = leaves[0].__array_namespace__() if hasattr(leaves[0], "__array_namespace__") else np  # NumPy 1 has none.
    if len({leaf.shape[1:] for leaf in leaves}) > 1:
      longest = max(leaf.shape[1] for leaf in leaves)
      leaves = tuple(
        xp.concatenate([x, xp.zeros((len(x), longest - x.shape[1], *x.shape[2:]), x.dtype)], axis=1) for x in leaves
      )
    return xp.concatenate(leaves)[order]

  return tree.map_structure(join, *parts)
