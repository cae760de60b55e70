"""Items on the device: a ring of them, and a tree of sums to choose among them by priority.

Shapes: C places, K items, B batch, F children of a node.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

Array = jax.Array

_FAN_OUT = 16
_TOP = 256  # The top level is no longer than this.
NOWHERE = 2**30  # A place outside every ring.


class Ring(NamedTuple):
  """Items, the oldest written over."""

  data: Any  # [C, …]
  inserts: Array  # [] int32, ever; the next one goes to `inserts` mod C


def make_ring(capacity: int, example: Any) -> Ring:
  """An empty ring for items like those of `example` [K, …]."""
  return Ring(jax.tree.map(lambda x: jnp.zeros((capacity, *x.shape[1:]), x.dtype), example), jnp.int32(0))


def size(ring: Ring) -> Array:
  """[] int32, how many items there are."""
  return jnp.minimum(ring.inserts, length(ring.data))


def length(items: Any) -> int:
  """K of items [K, …], or C of those in a ring."""
  return int(jax.tree.leaves(items)[0].shape[0])


def insert(ring: Ring, items: Any, exists: Array, always: bool) -> tuple[Ring, Array]:
  """Writes those of the items [K, …] that exist [K]; returns their places [K], NOWHERE for none.

  Args:
    ring: with C of K or more.
    items: in order.
    exists: which of them there are.
    always: whether all of them always exist.
  """
  if always:
    count: int | Array = exists.shape[0]
    place = (ring.inserts + jnp.arange(exists.shape[0])) % length(ring.data)
  else:
    number = jnp.cumsum(exists, dtype=jnp.int32)
    count = number[-1]
    place = jnp.where(exists, (ring.inserts + number - 1) % length(ring.data), NOWHERE)
  data = jax.tree.map(lambda kept, x: kept.at[place].set(x, mode="drop"), ring.data, items)
  return Ring(data, ring.inserts + count), place


class Tree(NamedTuple):
  """Numbers of 0 or more, chosen with probability x_i / Σ_j x_j: each node is the sum of its F children.

  A node is computed anew from its children when one changes, so that no rounding error stays.
  """

  levels: tuple[Array, ...]  # leaves first
  largest: Array  # [] the largest priority so far, at first 1


def make_tree(capacity: int, ones: int = 0) -> Tree:
  """A tree of zeros, but for so many ones at its beginning."""
  levels = [(jnp.arange(_whole(capacity)) < ones).astype(jnp.float32)]
  while len(levels[-1]) > _TOP:
    sums = jnp.sum(jnp.reshape(levels[-1], (-1, _FAN_OUT)), axis=-1)
    levels.append(jnp.pad(sums, (0, _whole(len(sums)) - len(sums))))
  return Tree(tuple(levels), jnp.float32(1))


def _whole(number: int) -> int:
  return -(-number // _FAN_OUT) * _FAN_OUT


def put(levels: tuple[Array, ...], place: Array, value: Array) -> tuple[Array, ...]:
  """Sets leaves [K]: those outside are passed over, and of equal places the last counts."""
  k = place.shape[0]
  repeated = jnp.any(jnp.triu(place[:, None] == place[None], 1), axis=1) if k > 1 else jnp.zeros(1, bool)
  place = jnp.where(repeated, NOWHERE, place)
  result = [levels[0].at[place].set(value, mode="drop")]
  for level in levels[1:]:
    parent = place // _FAN_OUT
    children = parent[:, None] * _FAN_OUT + jnp.arange(_FAN_OUT)  # [K, F]
    sums = jnp.sum(result[-1].at[children].get(mode="fill", fill_value=0), axis=-1)
    place = jnp.where(place == NOWHERE, NOWHERE, parent)
    result.append(level.at[place].set(sums, mode="drop"))
  return tuple(result)


def total(levels: tuple[Array, ...]) -> Array:
  """Σ_i x_i."""
  return jnp.sum(levels[-1])


def choose(levels: tuple[Array, ...], key: Array, batch_size: int) -> tuple[Array, Array]:
  """Chooses leaves [B], never one that is 0, and returns them with the probabilities [B] with which each was chosen.

  At least one must be above 0.
  """
  top = jnp.broadcast_to(levels[-1], (batch_size, levels[-1].shape[0]))
  target = jax.random.uniform(key, (batch_size,), jnp.float32) * total(levels)
  node, target = _child(top, target)
  for level in levels[-2::-1]:
    child, target = _child(level[node[:, None] * _FAN_OUT + jnp.arange(_FAN_OUT)], target)
    node = node * _FAN_OUT + child
  return node, levels[0][node] / total(levels)


def _child(children: Array, target: Array) -> tuple[Array, Array]:
  """The child [B] in which a target [B] falls where those of [B, F] lie end to end, and the target within it.

  Sums are rounded, each in its own way: so none that is 0 is looked at, and beyond the last stands for the last.
  """
  sums = jnp.cumsum(children, axis=-1)
  above = (children > 0) & (sums > target[:, None])
  last = children.shape[-1] - 1 - jnp.argmax(jnp.flip(children > 0, axis=-1), axis=-1)
  child = jnp.where(jnp.any(above, axis=-1), jnp.argmax(above, axis=-1), last)
  before = jnp.take_along_axis(sums - children, child[:, None], -1)[:, 0]
  return child, jnp.maximum(target - before, 0)
