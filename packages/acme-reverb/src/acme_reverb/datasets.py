"""Batches from a Reverb server: a tf.data pipeline that samples as it is asked to, and what iterates over it."""

from __future__ import annotations

import queue
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import reverb
import tensorflow as tf

from acme import replay
from acme_reverb import calls
from acme_reverb.layout import Layout

if TYPE_CHECKING:
  from acme_reverb.store import ReverbStore

_POLL_SECONDS = 0.002


class Batch(NamedTuple):
  """A batch as it comes from Reverb."""

  keys: np.ndarray  # [B] uint64
  probabilities: np.ndarray  # [B] float64
  table_size: int
  columns: list[np.ndarray]  # [B, …] each


def pipeline(address: str, table: str, layout: Layout, batch_size: int, timeout: float) -> Iterator[Batch]:
  """An endless iterator of batches; each takes exactly `batch_size` samples, when it is asked for.

  A batch is shorter, perhaps empty, where the table's rate limiter let no more through for `timeout` seconds.
  """
  signature = layout.signature()

  def one_batch(_: tf.Tensor) -> tf.data.Dataset:
    samples = reverb.TrajectoryDataset(
      address,
      table,
      dtypes=[spec.dtype for spec in signature],
      shapes=[spec.shape for spec in signature],
      max_in_flight_samples_per_worker=batch_size,
      num_workers_per_iterator=1,  # More would change the order.
      rate_limiter_timeout_ms=int(timeout * 1000),
      max_samples=batch_size,
    )
    batches = samples.padded_batch(batch_size)
    empty = tf.nest.map_structure(
      lambda spec: tf.zeros([size or 0 for size in spec.shape.as_list()], spec.dtype), batches.element_spec
    )
    return batches.concatenate(tf.data.Dataset.from_tensors(empty)).take(1)

  options = tf.data.Options()
  options.experimental_optimization.inject_prefetch = False  # It would sample ahead of time.
  options.threading.private_threadpool_size = 1
  for sample in tf.data.Dataset.range(np.iinfo(np.int64).max).flat_map(one_batch).with_options(options):
    info = sample.info
    size = int(info.table_size[-1]) if len(info.table_size) else 0
    yield Batch(info.key.numpy(), info.probability.numpy(), size, [column.numpy() for column in sample.data])


class LocalDataset(Iterator[replay.Sample]):
  """Batches from the server in this process, sampled when they are asked for."""

  def __init__(self, store: ReverbStore, table: str, batch_size: int) -> None:
    self._store = store
    self._table = table
    self._batch_size = batch_size
    self._batches: Iterator[Batch] | None = None
    self._address = ""

  def __next__(self) -> replay.Sample:
    self._store.prepare_sampling(self._table, self._batch_size)
    if self._batches is None or self._address != self._store.address:
      self._address = self._store.address
      self._batches = self._store.open_pipeline(self._table, self._batch_size)
    try:
      batch = next(self._batches)
    except Exception:
      self._batches = None  # A tf.data iterator that failed gives nothing more.
      raise
    if len(batch.keys) < self._batch_size:
      raise RuntimeError(self._store.refusal(self._table, self._batch_size))
    return self._store.hand_out(self._table, batch)


class RemoteDataset(Iterator[replay.Sample]):
  """Batches from a server at an address, fetched ahead of time by a thread."""

  def __init__(self, store: ReverbStore, table: str, batch_size: int, prefetch: int, stop: threading.Event) -> None:
    self._store = store
    self._table = table
    self._batch_size = batch_size
    self._batches: queue.Queue[Batch | Exception] = queue.Queue(prefetch)
    self._failed: Exception | None = None
    allowance, source = store.make_allowance(table, batch_size), store.open_pipeline(table, batch_size)
    gone = threading.Event()  # Once nobody has this dataset any more.
    weakref.finalize(self, gone.set)
    fetch = _Fetcher(allowance, source, self._batches, batch_size, store.address, (stop, gone))
    self._thread = threading.Thread(target=fetch, name=f"acme_reverb {table}", daemon=True)

  def __next__(self) -> replay.Sample:
    self._store.require_open()
    if self._failed is not None:
      raise self._failed
    if self._thread.ident is None:
      self._thread.start()
    timeout = self._store.timeout
    try:
      batch = self._batches.get(timeout=timeout)
    except queue.Empty:
      self._store.info()  # Raises ConnectionError where the server is gone.
      enough = self._store.available(self._table) >= self._batch_size
      missing = "the overloaded server to send them" if enough else "other processes to insert"
      raise TimeoutError(
        f"{self._store.refusal(self._table, self._batch_size)} Waited {timeout:g} s for {missing}; pass a longer "
        "timeout to ReverbReplay where that is normal."
      ) from None
    if isinstance(batch, Exception):
      self._failed = batch
      raise batch
    return self._store.hand_out(self._table, batch)


class _Fetcher:
  """What the thread runs. It knows nothing of the store, which may go while the thread waits."""

  def __init__(
    self,
    allowance: Callable[[], bool],
    source: Iterator[Batch],
    batches: queue.Queue[Batch | Exception],
    batch_size: int,
    address: str,
    stops: tuple[threading.Event, ...],
  ) -> None:
    self._allowance = allowance
    self._source = source
    self._batches = batches
    self._batch_size = batch_size
    self._address = address
    self._stops = stops

  def __call__(self) -> None:
    try:
      while not self._stopped():
        if not self._allowance():
          time.sleep(_POLL_SECONDS)
          continue
        batch = next(self._source)
        if len(batch.keys) == self._batch_size:  # Less only where several learners share what a ratio allows.
          self._put(batch)
    except tf.errors.OpError as error:
      self._put(calls.gone("dataset", self._address, error.message))
    except Exception as error:  # The learner's thread is to raise it.
      self._put(error)

  def _stopped(self) -> bool:
    return any(stop.is_set() for stop in self._stops)

  def _put(self, batch: Batch | Exception) -> None:
    while not self._stopped():
      try:
        return self._batches.put(batch, timeout=0.1)
      except queue.Full:
        continue


class TensorDataset(Iterator[replay.Sample]):
  """Batches whose leaves are TensorFlow's tensors."""

  def __init__(self, dataset: Iterator[replay.Sample]) -> None:
    self._dataset = dataset

  def __next__(self) -> replay.Sample:
    sample = next(self._dataset)
    return sample._replace(data=tf.nest.map_structure(tf.convert_to_tensor, sample.data))
