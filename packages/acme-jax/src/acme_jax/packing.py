"""A training state with most of its arrays in one: for speed alone.

A compiled function takes microseconds for each array that it is given or gives, and a small network's optimizer has
dozens: in one vector they made DQN's update on a CPU a quarter faster (docs/performance.md).
"""

import math
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

S = TypeVar("S")

_SMALL = 8192  # Elements of an array that costs more to pass than to copy.


class Packed(NamedTuple):
  """A state, most of it in one vector."""

  vector: jax.Array  # [P] float32
  rest: Any  # the state, None where its leaf is in the vector


class Packing(Generic[S]):
  """Keeps a state's small float32 leaves in one vector, but for some."""

  def __init__(self, state: S, apart: Callable[[S], Any]) -> None:
    """Makes a packing for states like `state`; `apart` picks the leaves that stay as they are."""
    leaves, self._structure = jax.tree.flatten(state)
    kept = set(jax.tree.leaves(apart(jax.tree.unflatten(self._structure, range(len(leaves))))))
    packed = [leaf.dtype == jnp.float32 and leaf.size <= _SMALL and i not in kept for i, leaf in enumerate(leaves)]
    self._packed = packed
    self._shapes = [leaf.shape for leaf, inside in zip(leaves, packed, strict=True) if inside]
    self._ends = np.cumsum([math.prod(shape) for shape in self._shapes], dtype=int)[:-1]
    self.pack, self.unpack = jax.jit(self._pack), jax.jit(self._unpack)

  def wrap(self, update: Callable[..., Any]) -> Callable[..., Any]:
    """The update `(state, …) -> (state, …)` of a packed state."""

    def wrapped(state: Packed, *inputs: Any) -> Any:
      unpacked, *outputs = update(self._unpack(state), *inputs)
      return self._pack(unpacked), *outputs

    return wrapped

  def _pack(self, state: S) -> Packed:
    leaves = jax.tree.leaves(state)
    inside = [jnp.ravel(leaf) for leaf, packed in zip(leaves, self._packed, strict=True) if packed]
    vector = jnp.concatenate([*inside, jnp.zeros(0, jnp.float32)])
    rest = [None if packed else leaf for leaf, packed in zip(leaves, self._packed, strict=True)]
    return Packed(vector, jax.tree.unflatten(self._structure, rest))

  def _unpack(self, state: Packed) -> S:
    parts = jnp.split(state.vector, self._ends) if self._shapes else []
    inside = iter([jnp.reshape(part, shape) for part, shape in zip(parts, self._shapes, strict=True)])
    rest = iter(jax.tree.leaves(state.rest))
    leaves = [next(inside if packed else rest) for packed in self._packed]
    unpacked: S = jax.tree.unflatten(self._structure, leaves)
    return unpacked
