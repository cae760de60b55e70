"""The store protocol on a Reverb server."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import shutil
import tempfile
import threading
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import reverb

from acme import replay, specs, types
from acme_replay.table import largest_priority
from acme_reverb import calls, datasets
from acme_reverb.layout import Layout, kind_name
from acme_reverb.server import ReplayServer, require_permission
from acme_reverb.tables import check_tables, is_queue, make_tables
from acme_reverb.writer import ReverbWriter

_FILES = {"DONE", "chunks.tfrecord", "items.tfrecord", "tables.tfrecord"}  # Of a checkpoint of Reverb.


@dataclasses.dataclass
class _Counts:
  """What this process knows of a table."""

  table: replay.Table
  inserts: int = 0  # In one process: items made, whether the server has them yet or not.
  samples: int = 0  # Items handed out, after those that the server had given when this process came.
  max_priority: float = 1.0  # Of those that this process gave since the table was last empty.
  kind: str | None = None  # Of its items.


@dataclasses.dataclass
class _Resources:
  """What must be closed, in this order."""

  stop: threading.Event
  writers: list[ReverbWriter]
  server: ReplayServer | None = None

  def close(self) -> None:
    self.stop.set()
    with contextlib.ExitStack() as stack:  # One that fails keeps no other from being closed.
      if self.server is not None:
        stack.callback(self.server.close)
      for writer in self.writers:
        stack.callback(writer.close)
    self.writers.clear()


class ReverbStore(replay.Store):
  """Tables on a Reverb server: one in this process, or one at an address.

  In this process it behaves as `acme_replay.EmbeddedStore`: `next` samples at that moment, and raises RuntimeError
  where the rate limiter forbids it, for nobody else would come and insert more. At an address the server's own rate
  limiters rule, `next` waits up to `timeout` seconds, and batches are fetched ahead by a thread.
  """

  def __init__(
    self,
    tables: Sequence[replay.Table],
    step_spec: types.Step,
    seed: int = 0,
    *,
    address: str | None = None,
    port: int | None = None,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    timeout: float = 10.0,
    prefetch: int = 2,
    max_item_steps: int = 256,
    core_spec: types.NestedSpec = (),
    one_step: bool = False,
    listen_everywhere: bool = False,
  ) -> None:
    """Starts a server, or connects to one.

    Args:
      tables: descriptions; those of a server at an address must be the same.
      step_spec: the spec of one step (acme.builders.step_spec).
      seed: unused, for Reverb seeds its samplers itself: what a table samples differs from run to run.
      address: "host:port" of a server that `serve` started; None for one in this process.
      port: where the server in this process listens; None for any free port.
      checkpoint_dir: where the server in this process has its temporary files, as large as its contents while `save`
        runs; None for the system's place.
      timeout: seconds to wait for an answer, and at an address for items that may be sampled.
      prefetch: batches that each dataset fetches ahead from an address.
      max_item_steps: the longest item, in steps; writers keep so many steps of each stream.
      core_spec: the spec of the recurrent state that sequences keep; () for none.
      one_step: whether transitions say what their first step led to.
      listen_everywhere: whether the server in this process may listen on every network interface, as it does.

    Raises:
      ConnectionError: no server answers at the address.
      KeyError: it lacks a table.
      ValueError: it has other tables or another signature; or it would listen everywhere, and may not.
    """
    replay.check_unique(tables)
    for name, value in (("timeout", timeout), ("prefetch", prefetch), ("max_item_steps", max_item_steps)):
      if value <= 0:
        raise ValueError(f"{name}: expected a number above 0, got {value!r}.")
    if address is not None and (port is not None or checkpoint_dir is not None):
      raise ValueError("port and checkpoint_dir are for a server in this process: give neither with an address.")
    del seed
    if address is None:
      require_permission(listen_everywhere)
    self.layout = Layout(step_spec, core_spec, one_step)
    self.timeout = timeout
    self._tables = {table.name: _Counts(table) for table in tables}
    self._descriptions = list(tables)
    self._signature = {"tables": [repr(table) for table in tables], "step spec": specs.describe(step_spec._asdict())}
    self._signature["core spec"] = specs.describe(core_spec)
    self._prefetch = prefetch
    self._max_item_steps = max_item_steps
    self._port = port
    self._checkpoint_dir = checkpoint_dir
    self._resources = _Resources(threading.Event(), [])
    # At the interpreter's exit too, before the modules go.
    self._finalizer = weakref.finalize(self, self._resources.close)
    self._local = address is None
    if address is None:
      self._start(None)
    else:
      self._connect(address)

  def writer(self, num_streams: int | None = None) -> ReverbWriter:
    if num_streams is not None and num_streams < 1:
      raise ValueError(f"num_streams: expected 1 or more, got {num_streams}.")
    self.require_open()
    if not self._local:
      self._server_info(flush=False)  # Opening a writer asks the server nothing.
    writer = ReverbWriter(self, num_streams, self._max_item_steps)
    self._resources.writers.append(writer)
    return writer

  def dataset(self, table: str, batch_size: int) -> Iterator[replay.Sample]:
    """An endless iterator of NumPy batches; items of unequal lengths are padded to the longest.

    In one process `next` raises RuntimeError where fewer than `batch_size` items may be sampled. At an address it
    raises TimeoutError after `timeout` seconds without them, and ConnectionError where the server is gone.
    """
    self._counts(table)
    if batch_size < 1:
      raise ValueError(f"batch_size: expected 1 or more, got {batch_size}.")
    if self._local:
      return datasets.LocalDataset(self, table, batch_size)
    return datasets.RemoteDataset(self, table, batch_size, self._prefetch, self._resources.stop)

  def tf_dataset(self, table: str, batch_size: int) -> Iterator[replay.Sample]:
    """As `dataset`, with TensorFlow's tensors for the leaves of `data`."""
    return datasets.TensorDataset(self.dataset(table, batch_size))

  def update_priorities(self, table: str, keys: np.ndarray, priorities: np.ndarray) -> None:
    """Sets priorities [B] of the items `keys` [B]; those gone are passed over, of equal keys the last one counts.

    Raises:
      ConnectionError: the server does not answer.
      ValueError: a priority is negative, so large that the sum of powers might overflow, or NaN, or the shapes differ.
    """
    counts = self._counts(table)
    keys, priorities = np.asarray(keys), np.asarray(priorities, np.float64)
    if keys.shape != priorities.shape or keys.ndim != 1 or keys.dtype != np.int64:
      raise ValueError(
        f"Table {table!r}: expected int64 keys [B] and priorities [B], got {keys.dtype} {keys.shape} and "
        f"{priorities.shape}."
      )
    _check_priorities(priorities, counts.table)
    if not isinstance(counts.table.sampler, replay.Prioritized) or not len(keys):
      return
    updates = dict(zip(keys.view(np.uint64).tolist(), priorities.tolist(), strict=True))
    self._call("update_priorities", lambda: self._client.mutate_priorities(table, updates))
    counts.max_priority = max(counts.max_priority, float(priorities.max()))

  def info(self) -> Mapping[str, replay.TableInfo]:
    """Sizes, inserts and samples; at an address those of all processes, batches fetched ahead included."""
    found = self._server_info()
    if not self._local:
      return {name: _table_info(found[name]) for name in self._tables}
    return {
      name: replay.TableInfo(self._size(counts, found[name].current_size), counts.inserts, counts.samples)
      for name, counts in self._tables.items()
    }

  def available(self, table: str) -> float:
    """How many items may be sampled now; at an address, those fetched ahead and not handed out count as not sampled."""
    counts = self._counts(table)
    if not self._local:
      found = _table_info(self._server_info()[table])
      return _available(counts.table, found.inserts, counts.samples, found.size)
    return _available(counts.table, counts.inserts, counts.samples, self._size(counts))

  def flush(self) -> None:
    """Sends what writers hold back, and waits until the server has it."""
    for writer in self._resources.writers:
      writer.flush()

  def close(self) -> None:
    """Ends connections, and the server where it is in this process; one at an address is first sent what is left.

    It warns where a server does not take that within `timeout` seconds.
    """
    for writer in self._resources.writers if self._finalizer.alive and not self._local else ():
      try:
        writer.flush()
      except (ConnectionError, TimeoutError) as error:
        warnings.warn(f"The items made last may not have reached the server: {error}", stacklevel=2)
    self._finalizer()

  def save(self) -> types.State:
    """Returns the contents, as the bytes of a Reverb checkpoint; at an address the path of one the server wrote."""
    self.flush()
    state: dict[str, Any] = {
      "signature": dict(self._signature),
      "tables": {
        name: [counts.inserts, counts.samples, counts.max_priority, counts.kind]
        for name, counts in self._tables.items()
      },
    }
    path = pathlib.Path(self._call("save", self._client.checkpoint))
    if not self._local:
      return {**state, "path": str(path)}
    contents = {file.name: np.fromfile(file, np.uint8) for file in sorted(path.iterdir())}
    _check_files(contents)
    shutil.rmtree(path, ignore_errors=True)
    return {**state, "files": contents}

  def restore(self, state: types.State) -> None:
    """Puts back what `save` returned; writers begin anew, and are restored by whoever saved them.

    A server at an address keeps what it has: it reads its own checkpoint when it starts.

    Raises:
      ValueError: the state is of a store of other tables, or of one that lay elsewhere, or it has files that no
        checkpoint of Reverb has; nothing has been written.
    """
    if ("files" in state) != self._local:
      raise ValueError(f"The saved replay lay {_place('files' in state)}: expected one {_place(self._local)}.")
    for key, value in self._signature.items():
      if (got := state["signature"].get(key)) != value:
        raise ValueError(
          f"The saved replay has another {key}: expected {value}, got {got}. Make the store as it was made when it was "
          "saved."
        )
    _check_files(state.get("files", ()))
    for name, (inserts, samples, max_priority, kind) in state["tables"].items():
      self._tables[name] = _Counts(self._tables[name].table, inserts, samples, max_priority, kind)
    if not self._local:
      self._connect(self.address)
      return
    for writer in self._resources.writers:
      writer.close()
    assert self._resources.server is not None
    self._resources.server.close()
    try:
      self._start(state["files"])
    except BaseException:
      self.close()  # There is no server to ask any more.
      raise
    for writer in self._resources.writers:
      writer.open()

  # What writers and datasets ask of the store.

  def require_open(self) -> None:
    """Raises RuntimeError after `close`: Reverb would wait for a server that is gone."""
    if not self._finalizer.alive:
      raise RuntimeError("This replay on a Reverb server is closed: nothing can be asked of it any more.")

  @property
  def address(self) -> str:
    """Where the server listens, "host:port"."""
    return self._address

  def open_trajectory_writer(self, num_rows: int) -> reverb.TrajectoryWriter:
    """A connection that remembers the newest `num_rows` rows."""
    return self._call("writer", lambda: self._client.trajectory_writer(num_rows, validate_items=False))

  def flush_trajectory_writer(self, writer: reverb.TrajectoryWriter, in_flight: int = 0) -> None:
    """Waits until the server has every item but `in_flight`."""
    try:
      writer.flush(in_flight, timeout_ms=int(self.timeout * 1000))
    except (reverb.errors.DeadlineExceededError, RuntimeError) as error:
      self._server_info(flush=False)  # Raises ConnectionError where the server is gone.
      raise TimeoutError(
        f"The Reverb server at {self.address} took no item for {self.timeout:g} s: a queue is full and nobody samples "
        f"it, or the server is overloaded ({error})."
      ) from error

  def claim(self, table: str, item: Any, count: int, priority: float | None) -> float:
    """Counts items that are about to be made, and returns their priority."""
    counts = self._counts(table)
    kind = kind_name(item)
    if counts.kind not in (None, kind):
      raise ValueError(
        f"Table {table!r} holds {counts.kind} items, got a {kind} item: give each kind a table of its own."
      )
    if priority is not None:
      priority = float(priority)
      _check_priorities(np.array(priority), counts.table)
    if self._local:
      self._require_room(counts, count)
    empty = self._local and self._size(counts) == 0
    if empty:
      counts.max_priority = 1.0 if priority is None else priority
    counts.max_priority = max(counts.max_priority, priority or 0.0)
    counts.kind = kind
    counts.inserts += count
    return counts.max_priority if priority is None else priority

  def open_pipeline(self, table: str, batch_size: int) -> Iterator[datasets.Batch]:
    """A new iterator of batches."""
    return datasets.pipeline(self.address, table, self.layout, batch_size, self.timeout)

  def prepare_sampling(self, table: str, batch_size: int) -> None:
    """Sees to it that the server has what may be sampled. Raises RuntimeError where that is less than a batch."""
    if self.available(table) < batch_size:
      raise RuntimeError(
        self.refusal(table, batch_size) + " Waiting would not help in one process: insert more items first."
      )
    self.flush()

  def make_allowance(self, table: str, batch_size: int) -> Callable[[], bool]:
    """A function that says whether the server would let a batch go; it does not keep the store alive."""
    client, description, address, timeout = self._client, self._counts(table).table, self.address, self.timeout

    def allowed() -> bool:
      try:
        info = _table_info(client.server_info(timeout=max(1, round(timeout)))[table])
      except (reverb.errors.DeadlineExceededError, RuntimeError) as error:
        raise calls.gone("dataset", address, str(error)) from error
      return _available(description, *info[1:], info.size) >= batch_size

    return allowed

  def hand_out(self, table: str, batch: datasets.Batch) -> replay.Sample:
    """Counts a batch, and makes of it what learners take."""
    self._counts(table).samples += len(batch.keys)
    return replay.Sample(
      self.layout.decode(batch.columns), batch.keys.view(np.int64), batch.probabilities, batch.table_size
    )

  def refusal(self, table: str, batch_size: int) -> str:
    """What an error says where a batch may not be sampled."""
    description, info = self._counts(table).table, self.info()[table]
    limiter = description.rate_limiter
    ratio = "" if limiter.samples_per_insert is None else f", samples_per_insert {limiter.samples_per_insert}"
    return (
      f"Table {table!r}: a batch of {batch_size} was asked for, and {self.available(table):g} items may be sampled now "
      f"({info.size} items, {info.inserts} inserts, {info.samples} samples, min_size {limiter.min_size}{ratio})."
    )

  def _start(self, files: Mapping[str, np.ndarray] | None) -> None:
    tables = make_tables(self._descriptions, self.layout, limited=False)
    directory = tempfile.mkdtemp(prefix="acme_reverb_", dir=self._checkpoint_dir)
    if files is not None:
      # Reverb keeps the checkpoint whose name comes last, and names its own by their time.
      _write(pathlib.Path(directory) / "0-restored", files)
    self._resources.server = ReplayServer(tables, self._port, directory, temporary=True)
    self._address = f"localhost:{self._resources.server.port}"
    self._client = reverb.Client(self._address)
    self._server_info()

  def _connect(self, address: str) -> None:
    self._address = address
    self._client = reverb.Client(address)
    found = self._server_info()
    check_tables(make_tables(self._descriptions, self.layout, limited=True), found, address)
    for name, counts in self._tables.items():
      counts.samples = _table_info(found[name]).samples

  def _counts(self, table: str) -> _Counts:
    self.require_open()
    try:
      return self._tables[table]
    except KeyError:
      raise KeyError(f"No table is called {table!r}; there are: {', '.join(self._tables)}.") from None

  def _size(self, counts: _Counts, on_server: int | None = None) -> int:
    """Items in a table, in one process: those on their way included."""
    table = counts.table
    if table.max_times_sampled is None:
      return min(counts.inserts, table.max_size)
    if is_queue(table):
      return counts.inserts - counts.samples
    return self._server_info()[table.name].current_size if on_server is None else on_server

  def _require_room(self, counts: _Counts, count: int) -> None:
    table = counts.table
    if is_queue(table) and self._size(counts) + count > table.max_size:
      raise RuntimeError(
        f"The queue {table.name!r} is full: it holds {self._size(counts)} of {table.max_size} items and was to take "
        f"{count} more, and no item may be lost. Sample first, or raise max_size."
      )

  def _server_info(self, flush: bool = True) -> Mapping[str, Any]:
    self.require_open()
    if flush:
      self.flush()
    try:
      return self._client.server_info(timeout=max(1, round(self.timeout)))
    except (reverb.errors.DeadlineExceededError, RuntimeError) as error:
      raise calls.gone("info", self.address, str(error)) from error

  def _call(self, what: str, call: Callable[[], Any]) -> Any:
    self.require_open()
    return call() if self._local else calls.within(self.timeout, what, self.address, call)


def _table_info(info: Any) -> replay.TableInfo:
  limiter = info.rate_limiter_info
  return replay.TableInfo(info.current_size, limiter.insert_stats.completed, limiter.sample_stats.completed)


def _available(table: replay.Table, inserts: int, samples: int, size: int) -> float:
  """How many items of a table may be sampled."""
  allowed = table.rate_limiter.allowed(inserts, samples)
  if allowed <= 0 or size <= 0:
    return 0
  if isinstance(table.sampler, replay.Fifo):
    return min(allowed, size)
  if table.max_times_sampled is None:
    return allowed
  # Where items have been dropped unsampled, Reverb does not say how many samples the others have left: one at least.
  left = table.max_times_sampled * inserts - samples if inserts <= table.max_size else size
  return min(allowed, left)


def _check_priorities(priorities: np.ndarray, table: replay.Table) -> None:
  limit = largest_priority(table)
  fits = (priorities >= 0) & (priorities <= limit)
  if not fits.all():
    raise ValueError(
      f"Priorities of table {table.name!r}: expected numbers from 0 to {limit:.3g}, above which the sum of their "
      f"powers may overflow, got {priorities[~fits].flat[0]!r}."
    )


def _check_files(names: Iterable[str]) -> None:
  """Raises ValueError where a state has other files than `save` takes: a name may lead anywhere, as `../` does."""
  others = sorted(set(names) - _FILES)
  if others:
    raise ValueError(
      f"The saved replay has files that no checkpoint of Reverb has: {', '.join(map(repr, others))}. It was changed, "
      "or is of another version of Reverb: do not trust it."
    )


def _write(directory: pathlib.Path, files: Mapping[str, np.ndarray]) -> None:
  directory.mkdir()
  for name, content in files.items():
    np.asarray(content, np.uint8).tofile(directory / name)


def _place(local: bool) -> str:
  return "in one process" if local else "at an address"
