"""An agent's experience on the device: rings of items, when they may be sampled, and batches of all its parts.

All functions are pure, and are of one seed; whoever runs many maps them.

Shapes: K items, B batch.
"""

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from acme import experience, replay, types
from acme.experience import exact
from acme_anakin import adders, ring
from acme_replay import datasets, of_actors, split
from acme_replay.adders import num_crossing

Array = jax.Array


class State(NamedTuple):
  """What sampling leaves alone: the items that actors add, and what they are made of."""

  adder: Any
  ring: ring.Ring | None
  cores: Mapping[str, Any]  # [C, …], the recurrent states of sequences of datasets that were recorded without


class Sampling(NamedTuple):
  """What sampling changes."""

  trees: Mapping[str, ring.Tree]  # of the parts that are prioritised
  credit: Array  # [] int32, items that may be sampled, in units of one by the ratio's denominator
  taken: Array  # [] int32, of a queue
  owed: Array  # [parts] int32, what each has still to give of its share, in its unit


class Batch(NamedTuple):
  """A sample, and where it is from."""

  sample: replay.Sample
  part: Array  # [B] int32
  place: Array  # [B] int32


class Store:
  """The store of an experience: what its description becomes for a run of some length in N environments.

  The ratio of samples to inserts is kept exactly: a batch costs B times the ratio's denominator, each insert after the
  first `min_size` gives its numerator.
  """

  def __init__(self, description: experience.Experience, num_envs: int, steps: int) -> None:
    """Makes a store.

    Args:
      description: the experience.
      num_envs: N.
      steps: environment steps of the whole run: no more places are made than these fill.

    Raises:
      ValueError: a queue is too small, or too many may be sampled at once for an int32.
    """
    self._description = description
    self._parts = _parts(description)
    self._names = list(self._parts)
    self.online = next((name for name, items in self._parts.items() if items.dataset is None), None)
    self._batch_size = description.batch_size
    self._num_envs = num_envs
    self._queue = isinstance(description, experience.Queue)
    self._free = description.samples_per_insert is None
    ratio = Fraction(1) if description.samples_per_insert is None else exact(description.samples_per_insert)
    self._cost, self._per_insert = self._batch_size * ratio.denominator, ratio.numerator
    if self._cost + self._per_insert * 8 * num_envs >= 2**31:
      raise ValueError(
        f"samples_per_insert: expected a ratio that is exact in 32 bits, got {ratio} with batches of "
        f"{self._batch_size}: give fewer digits."
      )
    self._shares = None
    if isinstance(description, experience.Mixed) and not isinstance(description.share, str):
      self._shares = _shares(description.share, description.online, description.batch_size)
    self._items = items = None if self.online is None else self._parts[self.online]  # What actors add.
    self._one_each = isinstance(items, experience.Transitions) and items.n_step == 1  # Of each step an item.
    if items is not None:
      self._adder = adders.make(items)
      self._capacity = self._places(items, steps)
      self._min_size = 0 if self._queue else items.min_size

  def _places(self, items: experience.Items, steps: int) -> int:
    """C: as many as the description asks for, and no more than a run fills."""
    at_once = 2 * self._num_envs
    if isinstance(items, experience.Queue):
      needed = self._batch_size + at_once  # What is left of a batch, and what comes in one tick.
      if items.max_size < needed:
        raise ValueError(f"Queue.max_size: expected room for a batch and all streams, {needed}, got {items.max_size}.")
      return needed
    if isinstance(items, experience.Transitions):
      at_once, most = items.n_step * self._num_envs, steps * items.n_step
      if items.max_size < at_once:
        raise ValueError(f"max_size: expected {at_once} or more, that many items come at once, got {items.max_size}.")
      return min(items.max_size, most + at_once)
    return max(min(items.max_size, 2 * steps + at_once), at_once)

  @property
  def same_for_all(self) -> bool:
    """Whether all seeds learn at the same times, as one item comes of each step of each."""
    return self._one_each and self._items is not None and self._items.priority_bonus > 0

  @property
  def learns_every(self) -> int:
    """Ticks from one look at what is due to the next: as many as a batch takes to come due without ends of episodes.

    Seeds differ in when a batch is due, by the items that their episodes' ends make. Taken at once, each would have all
    seeds compute, and most of them discard; so what has come due waits, no longer than a batch takes.
    """
    if self._items is None or self._free or self._queue or self.same_for_all:
      return 1
    steps = self._items.period if isinstance(self._items, experience.Sequences) else 1  # For an item.
    return max(1, self._cost * steps // (self._per_insert * self._num_envs))

  # Adding.

  def init(self, example: adders.Tick, datasets: Mapping[str, Any], cores: Mapping[str, Any]) -> tuple[State, Sampling]:
    """The state before the first tick, of streams that look like `example`; `cores` as in `State`."""
    trees = {}
    for name, items in self._parts.items():
      if items.prioritized:
        places = 0 if name == self.online else ring.length(datasets[name])  # All at the largest priority.
        trees[name] = ring.make_tree(places or self._capacity, ones=places)
    zero = jnp.int32(0)
    sampling = Sampling(trees, zero, zero, jnp.zeros(len(self._parts), jnp.int32))
    if self.online is None:
      return State((), None, cores), sampling
    state = self._adder.init(example)
    _, items, _ = jax.eval_shape(self._adder.add, state, example)
    zeros = jax.tree.map(lambda x: jnp.zeros((1, *x.shape[1:]), x.dtype), items)
    return State(state, ring.make_ring(self._capacity, zeros), cores), sampling

  def add(self, state: State, sampling: Sampling, tick: adders.Tick) -> tuple[State, Sampling]:
    """Takes a tick, and counts what may be sampled for it."""
    assert state.ring is not None and self.online is not None
    adder, items, exists = self._adder.add(state.adder, tick)
    before = state.ring.inserts
    after, place = ring.insert(state.ring, items, exists, always=self._one_each)
    if self.online in sampling.trees:
      largest = sampling.trees[self.online].largest
      sampling = self._prioritize(sampling, self.online, place, jnp.broadcast_to(largest, place.shape), largest)
    if self._free and not self._queue:  # One batch a tick.
      credit = jnp.where(after.inserts >= self._min_size, self._cost, 0)
    else:
      new = jnp.maximum(after.inserts - self._min_size, 0) - jnp.maximum(before - self._min_size, 0)
      credit = sampling.credit + new * self._per_insert
    return State(adder, after, state.cores), sampling._replace(credit=credit)

  # Sampling.

  def due(self, sampling: Sampling) -> Array:
    """[] bool, whether a batch is to be sampled now."""
    due = sampling.credit >= self._cost
    if self._items is not None and self._items.prioritized and self._items.priority_bonus == 0:
      due &= ring.total(sampling.trees[self.online].levels) > 0  # type: ignore[index]
    return due

  def sample(
    self, state: State, sampling: Sampling, datasets: Mapping[str, Any], key: Array, *, acting: bool = True
  ) -> tuple[Sampling, Batch]:
    """A batch. Where not `acting` yet, it is of the datasets alone, and costs nothing."""
    names = [name for name in self._names if acting or name != self.online]
    chosen_key, *keys = jax.random.split(key, len(names) + 1)
    drawn = [self._draw(name, state, sampling, datasets, k) for name, k in zip(names, keys, strict=True)]
    if acting and self.online is not None:
      sampling = sampling._replace(credit=sampling.credit - self._cost)
    if self._queue:
      sampling = sampling._replace(taken=sampling.taken + self._batch_size)
    if not isinstance(self._description, experience.Mixed):
      ((data, place, probabilities, _),) = drawn
      zeros = jnp.zeros(self._batch_size, jnp.int32)
      return sampling, Batch(replay.Sample(data, (), probabilities, ()), zeros, place)  # type: ignore[arg-type]
    # Of each item of the batch one part is chosen, and what that one drew there is taken.
    numbers = jnp.asarray([self._names.index(name) for name in names], jnp.int32)
    which, chances, sampling = self._choose_parts(names, numbers, drawn, sampling, chosen_key)
    data, place, probabilities = jax.tree.map(
      lambda *leaves: jnp.stack(leaves)[which, jnp.arange(self._batch_size)],
      *[(data, place, chance * p) for (data, place, p, _), chance in zip(drawn, chances, strict=True)],
    )
    part = numbers[which]
    return sampling, Batch(replay.Sample(data, (), probabilities, (), part), part, place)  # type: ignore[arg-type]

  def _draw(
    self, name: str, state: State, sampling: Sampling, datasets: Mapping[str, Any], key: Array
  ) -> tuple[Any, Array, Array, Array]:
    """A batch of one part: data [B, …], places [B], probabilities [B], and the sum of its priorities' powers."""
    online = name == self.online
    data = state.ring.data if online else datasets[name]  # type: ignore[union-attr]
    if name in state.cores:
      data = data._replace(core=state.cores[name])
    if name in sampling.trees:
      levels = sampling.trees[name].levels
      place, probabilities = ring.choose(levels, key, self._batch_size)
      mass = ring.total(levels)
    else:
      size = ring.size(state.ring) if online else jnp.int32(ring.length(data))  # type: ignore[arg-type]
      if self._queue:
        place = (sampling.taken + jnp.arange(self._batch_size)) % self._capacity
      else:
        place = jax.random.randint(key, (self._batch_size,), 0, size)
      mass = size.astype(jnp.float32)
      probabilities = jnp.ones(self._batch_size, jnp.float32) / mass
    return jax.tree.map(lambda x: x[place], data), place, probabilities, mass

  def _choose_parts(
    self, names: list[str], numbers: Array, drawn: list[Any], sampling: Sampling, key: Array
  ) -> tuple[Array, Array, Sampling]:
    """Which part each item of the batch is from [B], and the probability of each part."""
    if self._shares is None:  # In proportion to all priorities together.
      mass = jnp.stack([mass for *_, mass in drawn])
      return jax.random.categorical(key, jnp.log(mass), shape=(self._batch_size,)), mass / jnp.sum(mass), sampling
    unit, shares = self._shares
    mine = [shares[name] for name in names]
    owed = sampling.owed[numbers] + self._batch_size * (unit // sum(mine)) * jnp.asarray(mine, jnp.int32)
    counts = owed[:-1] // unit
    counts = jnp.append(counts, self._batch_size - jnp.sum(counts, dtype=jnp.int32))
    left = jnp.append(owed[:-1] - counts[:-1] * unit, 0)
    sampling = sampling._replace(owed=sampling.owed.at[numbers].set(left))
    # Each stretch of the batch has its share of each part: the k-th of n lies at (k + ½) / n.
    ends = jnp.cumsum(counts)
    part = jnp.searchsorted(ends, jnp.arange(self._batch_size), side="right")
    nth = jnp.arange(self._batch_size) - (ends - counts)[part]
    order = jnp.argsort((nth + 0.5) / counts[part], stable=True)
    return part[order], jnp.asarray(mine, jnp.float32) / sum(mine), sampling

  def write_back(self, sampling: Sampling, batch: Batch, priorities: Array) -> Sampling:
    """Sets the priorities [B] of a batch."""
    for number, name in enumerate(self._names):
      if name not in sampling.trees:
        continue
      mine = batch.part == number
      priority = priorities.astype(jnp.float32) + self._parts[name].priority_bonus
      largest = jnp.maximum(sampling.trees[name].largest, jnp.max(jnp.where(mine, priority, 0)))
      place = jnp.where(mine, batch.place, ring.NOWHERE)
      sampling = self._prioritize(sampling, name, place, priority, largest)
    return sampling

  def _prioritize(self, sampling: Sampling, name: str, place: Array, priority: Array, largest: Array) -> Sampling:
    """Sets the priorities [K] of some places [K] of a part, and its largest one."""
    exponent = self._parts[name].priority_exponent
    assert exponent is not None
    tree = ring.Tree(ring.put(sampling.trees[name].levels, place, priority**exponent), largest)
    return sampling._replace(trees={**sampling.trees, name: tree})


def _parts(description: experience.Experience) -> dict[str, experience.Items]:
  """The parts of an experience by name; one that is no mixture is all of it."""
  return dict(description.parts) if isinstance(description, experience.Mixed) else {"replay": description}


def _shares(share: Mapping[str, float], online: str | None, batch_size: int) -> tuple[int, dict[str, int]]:
  """A unit, and each part's share as a whole number: shares of some parts alone divide the unit, too."""
  # 1/48 is written as a number of 18 digits, of which it is the fraction meant.
  shares = {name: exact(number).limit_denominator(1_000_000) for name, number in share.items()}
  denominator = math.lcm(*(number.denominator for number in shares.values()))
  whole = {name: int(number * denominator) for name, number in shares.items()}
  offline = sum(number for name, number in whole.items() if name != online) or 1
  unit = math.lcm(denominator, offline)
  if unit * (batch_size + 1) >= 2**31:
    raise ValueError(f"Mixed.share: expected shares that are exact in 32 bits, got {share}: give fewer digits.")
  return unit, whole


class Pass(NamedTuple):
  """What an actor sees that goes through the episodes of a dataset, for the recurrent states that were not recorded."""

  steps: types.Step  # [T, 1, …], for each of which an action is chosen
  first: Array  # [C] int32, at which of them each sequence begins


def read_datasets(description: experience.Experience, step_spec: types.Step) -> tuple[dict[str, Any], dict[str, Pass]]:
  """The items [C, …] of each part that comes from a dataset, by its name, and the passes for states that these lack.

  Raises:
    ValueError: a dataset is damaged, does not fit the specs, or is too short for one item; or none is given to an
      agent that needs one.
    FileNotFoundError: there is no such dataset.
  """
  if isinstance(description, experience.Items) and description.dataset is None:
    of_actors(description)
  found, passes = {}, {}
  for name, items in _parts(description).items():
    if items.dataset is None:
      continue
    core_spec = getattr(items, "core_spec", ())
    recorded = datasets.has_core(items.dataset, core_spec)
    episodes = list(datasets.read(items.dataset, step_spec, core_spec if recorded else ()))
    apart = split.held_out(len(episodes), items.held_out)
    episodes = [episode for i, episode in enumerate(episodes) if i not in apart]
    found[name], steps = _play(items, episodes)
    first = found[name].core if jax.tree.leaves(core_spec) else None  # [C], the number of a step.
    if recorded:
      cores = jax.tree.map(lambda *leaves: np.concatenate(leaves), *(episode.core for episode in episodes))  # [T, …]
      found[name] = found[name]._replace(core=jax.tree.map(lambda x, at=first: jnp.asarray(x)[at], cores))
    elif first is not None:
      found[name], passes[name] = found[name]._replace(core=()), Pass(steps, first)
  return found, passes


def _play(items: experience.Items, episodes: list[datasets.Episode]) -> tuple[Any, types.Step]:
  """What an adder makes of episodes, one after the other, and their steps [T, 1, …] but for the final ones.

  In place of a recurrent state a sequence has the number of the step that it begins with.
  """
  ticks = jax.tree.map(lambda *leaves: np.concatenate(leaves), *_ticks(episodes))  # [T, 1, …]
  ticks = ticks._replace(core=np.arange(len(ticks.last), dtype=np.int32)[:, None])
  steps = ticks.before
  number = num_crossing(items, len(steps.reward) + len(episodes))
  if number is not None:  # The last sequences go on at the beginning.
    around = np.arange(len(steps.reward) + items.length + 1) % len(steps.reward)  # type: ignore[attr-defined]
    ticks = jax.tree.map(lambda x: x[around], ticks)
  adder = adders.make(items)

  def add(state: Any, tick: adders.Tick) -> Any:
    state, made, exists = adder.add(state, tick)
    return state, (made, exists)

  first = jax.tree.map(lambda x: x[0], ticks)
  _, (made, exists) = jax.jit(lambda ticks: jax.lax.scan(add, adder.init(first), ticks))(ticks)  # [T, K, …]
  exists = np.asarray(exists)  # [T, K]
  if number is not None:
    exists = exists & (np.cumsum(exists.sum(axis=1)) - exists.sum(axis=1) < number)[:, None]
  chosen = exists.reshape(-1)
  if not chosen.any():
    raise ValueError(f"{items.dataset}: its episodes are too short for one item of {items!r}.")
  return jax.tree.map(lambda x: jnp.asarray(np.asarray(x).reshape(-1, *x.shape[2:])[chosen]), made), steps


def _ticks(episodes: list[datasets.Episode]) -> list[adders.Tick]:
  """The ticks [T, 1, …] of each episode, without the recurrent state."""
  steps = [_steps(episode) for episode in episodes]
  found = []
  for number, (episode, step) in enumerate(zip(episodes, steps, strict=True)):
    length = len(episode.reward)
    # After an episode's last step comes the first one of the next.
    begin = jax.tree.map(lambda x: x[:1], steps[(number + 1) % len(steps)])
    after = jax.tree.map(lambda x, y: np.concatenate([x[1:-1], y]), step, begin)
    tick = adders.Tick(
      before=jax.tree.map(lambda x: x[:-1], step),
      action=episode.action,
      extras=episode.extras,
      core=(),
      reward=episode.reward.astype(np.float32),
      discount=episode.discount.astype(np.float32),
      observation=jax.tree.map(lambda x: x[1:], episode.observation),
      last=np.arange(length) == length - 1,
      after=after,
    )
    found.append(jax.tree.map(lambda x: x[:, None], tick))
  return found


def _steps(episode: datasets.Episode) -> types.Step:
  """The steps [T + 1, …] of an episode."""
  length = len(episode.reward)
  reward, discount = episode.reward.astype(np.float32), episode.discount.astype(np.float32)
  action, reward = jax.tree.map(lambda x: np.concatenate([np.zeros_like(x[:1]), x]), (episode.action, reward))
  discount = np.concatenate([np.ones_like(discount[:1]), discount])
  return types.Step(episode.observation, action, reward, discount, np.arange(length + 1) == 0)
