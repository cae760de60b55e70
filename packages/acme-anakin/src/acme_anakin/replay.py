"""A replay whose observations live on the device, for the loop on the host.

Which steps there are, which items they make and which of these are chosen is the embedded store's business: so the same
seed gives the same samples as `acme_replay.EmbeddedReplay`, bit for bit. But what an observation holds goes to the
device once, in blocks, and no batch of them ever crosses the bus: a sample's are gathered there, stacks of frames of
single ones, from the few bytes that say which.

Shapes: C rows held, K rows of a block, B batch, S frames in a stack.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from acme import specs
from acme_anakin.adders import zero_unless
from acme_replay import EmbeddedReplay
from acme_replay.columns import LeafColumn, Rows
from acme_replay.embedded import free_memory

_BLOCK = 1024  # Rows that wait on the host at most.


class DeviceColumn(LeafColumn):
  """An array [C, …] on JAX's default device; rows wait on the host until one is read, or there is a block of them."""

  elsewhere = True

  def __init__(self, name: str, spec: specs.Array, capacity: int) -> None:
    """Makes it. Raises ValueError where JAX would keep other integers than the spec's, without `jax_enable_x64`."""
    kept = jax.dtypes.canonicalize_dtype(spec.dtype)
    if kept != spec.dtype and np.dtype(spec.dtype).kind in "iu":
      raise ValueError(
        f"{name}: a device keeps integers of 32 bits, and the spec says {np.dtype(spec.dtype)}: give it a spec of "
        f"{np.dtype(kept)}, or use --replay embedded."
      )
    super().__init__(name, spec, capacity)

  def allocate(self, capacity: int) -> None:
    """Makes room for `capacity` rows. Raises MemoryError where the device has none to spare."""
    needed, free = capacity * int(np.prod(self._shape)) * self._dtype.itemsize, device_memory()
    if needed > free:
      raise MemoryError(
        f"{self.name}: {capacity:,} steps would take {needed / 2**30:.2f} GiB on {jax.devices()[0]}, which has "
        f"{free / 2**30:.2f} GiB to spare: lower max_replay_size to {free / needed:.0%} of what it is or less; for "
        "stacks of frames, pass frame_stack, which stores each frame once; or use --replay embedded."
      )
    self._capacity = capacity
    self._device_array = jnp.zeros((capacity, *self._shape), self._dtype)
    self._waiting: dict[int, np.ndarray] = {}  # By row.

  def write(self, rows: Rows, value: Any) -> None:
    rows = range(rows.start, rows.stop) if isinstance(rows, slice) else np.ravel(rows)
    block = np.array(value, self._dtype).reshape(-1, *self._shape)  # Nothing that the environment may change in place.
    self._waiting.update(zip(map(int, rows), block, strict=True))
    if len(self._waiting) >= _BLOCK:
      self._flush()

  def read(self, rows: np.ndarray) -> np.ndarray:
    waiting = [self._waiting.get(int(row)) for row in rows]
    if any(row is None for row in waiting):
      return np.asarray(self.take(rows))
    return np.stack(waiting)  # type: ignore[arg-type]

  def take(self, rows: np.ndarray, where: np.ndarray | None = None) -> jax.Array:
    self._flush()
    return _gather(self._device_array, rows.astype(np.int32), where)

  def take_stacks(self, rows: np.ndarray, where: np.ndarray | None = None) -> jax.Array:
    self._flush()
    return _gather_stacks(self._device_array, rows.astype(np.int32), where)

  def save(self, used: int) -> np.ndarray:
    self._flush()
    return np.asarray(self._device_array[:used])

  def restore(self, state: np.ndarray) -> None:
    self._waiting.clear()
    self._device_array = self._device_array.at[: len(state)].set(state)

  def _flush(self) -> None:
    """Writes the rows that wait. Their number is rounded up, so that few shapes are compiled."""
    if not self._waiting:
      return
    count = len(self._waiting)
    size = 1 << (count - 1).bit_length()
    rows = np.full(size, self._capacity, np.int32)  # Those beyond the last are passed over.
    rows[:count] = list(self._waiting)
    block = np.zeros((size, *self._shape), self._dtype)
    block[:count] = list(self._waiting.values())
    self._device_array = _write(self._device_array, rows, block)
    self._waiting = {}


@functools.partial(jax.jit, donate_argnums=0)
def _write(array: jax.Array, rows: jax.Array, block: jax.Array) -> jax.Array:
  """Writes a block [K, …] to rows [K] of [C, …]."""
  return array.at[rows].set(block, mode="drop")


@jax.jit
def _gather(array: jax.Array, rows: jax.Array, where: jax.Array | None = None) -> jax.Array:
  """Rows of [C, …], zeros where not `where`."""
  return array[rows] if where is None else zero_unless(where, array[rows])


@jax.jit
def _gather_stacks(array: jax.Array, rows: jax.Array, where: jax.Array | None = None) -> jax.Array:
  """Stacks [*where.shape, …, S] of rows [*where.shape, S]."""
  return jnp.moveaxis(_gather(array, rows, where), rows.ndim - 1, -1)


def device_memory() -> int:
  """Bytes that the device has to spare; of a CPU those of the machine."""
  found = jax.devices()[0].memory_stats()
  if not found or "bytes_limit" not in found:
    return free_memory()
  return int(found["bytes_limit"] - found["bytes_in_use"])


class DeviceReplay(EmbeddedReplay):
  """An experience whose observations lie on JAX's default device, for agents in JAX; deterministic by seed.

  `available_memory` is the host's, for all but the observations. Besides the errors of `EmbeddedReplay` it raises
  MemoryError where the device has no room, and ValueError where observations have integers of 64 bits.
  """

  backend = "jax"
  observation_column = DeviceColumn
