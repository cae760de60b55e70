"""A server in another process: the same answers, and clear errors within seconds where it is not what it should be."""

import socket
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

from acme import replay, specs, types
from acme_testing import golden

pytest.importorskip("reverb")
acme_replay = pytest.importorskip("acme_replay")

from acme_reverb import ReverbStore  # noqa: E402

SPEC = types.Step(
  observation=specs.Array((), np.float32),
  action=specs.Array((), np.int32),
  reward=specs.Array((), np.float32),
  discount=specs.Array((), np.float32),
  start_of_episode=specs.Array((), bool),
)
TABLES = [
  golden.fifo_table("queue", max_size=40),
  replay.Table(name="ratio", rate_limiter=replay.RateLimiter(min_size=2, samples_per_insert=4.0)),
  replay.Table(name="priority", sampler=replay.Prioritized(1.0)),
]
PATIENT = 30  # Seconds, where nothing should have to be waited for: a shared machine may stand still for a while.


class Server:
  """A server in a process of its own."""

  def __init__(self, checkpoint_dir):
    command = [sys.executable, __file__, str(checkpoint_dir)]
    self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    self.address = f"localhost:{int(self._process.stdout.readline())}"

  def kill(self):
    self._process.kill()
    self._process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
  server = Server(tmp_path_factory.mktemp("checkpoints"))
  yield server
  server.kill()


@pytest.fixture
def store(server):
  store = ReverbStore(TABLES, SPEC, address=server.address, timeout=PATIENT)
  yield store
  store.close()


def step(value, first=False):
  return types.Step(np.float32(value), np.int32(value), np.float32(value), np.float32(1), np.bool_(first))


def insert(store, table, count, priority=None):
  writer = store.writer()
  writer.append(step(0, first=True))
  for i in range(count):
    writer.append(step(i + 1))
    writer.create_item(table, replay.TransitionItem(1, np.float32(i), np.float32(1)), priority)
  return writer


def test_golden_vectors_at_an_address(store):
  case = golden.N_STEP[2]
  adder = acme_replay.NStepTransitionAdder(store.writer(), case.num_steps, case.discount, table="queue")
  golden.run_adder(adder, case.trajectory)
  golden.assert_items_equal(golden.read_items(store, "queue"), case.items)


def test_what_one_process_inserts_another_samples(server, store):
  other = ReverbStore(TABLES, SPEC, address=server.address, timeout=PATIENT)
  insert(other, "queue", 6)
  other.flush()
  assert store.available("queue") == 6
  assert next(store.dataset("queue", 6)).data.observation.tolist() == [0, 1, 2, 3, 4, 5]
  other.close()


def test_ratio_holds_with_batches_fetched_ahead(server):
  store = ReverbStore(TABLES, SPEC, address=server.address, timeout=3)
  dataset = store.dataset("ratio", 4)
  with pytest.raises(TimeoutError, match="min_size 2"):
    next(dataset)
  insert(store, "ratio", 5)
  assert store.available("ratio") == 12
  for left in (8, 4, 0):
    next(dataset)
    assert store.available("ratio") == left
  start = time.monotonic()
  with pytest.raises(TimeoutError, match="0 items may be sampled"):
    next(dataset)
  assert time.monotonic() - start < 15
  insert(store, "ratio", 1)
  assert next(dataset).data.observation.shape == (4,)
  store.close()


def test_an_overloaded_server_is_not_mistaken_for_an_empty_table(server, monkeypatch):
  store = ReverbStore(TABLES, SPEC, address=server.address, timeout=1)
  insert(store, "priority", 4).flush()
  monkeypatch.setattr(store, "open_pipeline", lambda *_: iter(lambda: time.sleep(PATIENT), None))  # No batch comes.
  with pytest.raises(TimeoutError, match="Waited 1 s for the overloaded server"):
    next(store.dataset("priority", 2))
  store.close()


def test_priorities_at_an_address(store):
  insert(store, "priority", 4, priority=1.0)
  store.flush()
  dataset = store.dataset("priority", 64)
  sample = next(dataset)
  store.update_priorities("priority", sample.keys, np.where(sample.data.observation == 2, 5.0, 0.0))
  for _ in range(4):  # Two were fetched ahead, and one was on its way.
    sample = next(dataset)
  assert set(sample.data.observation) == {2}


def test_a_full_queue_is_an_error_not_a_hang(server):
  store = ReverbStore(TABLES, SPEC, address=server.address, timeout=2)
  insert(store, "queue", 45)
  start = time.monotonic()
  with pytest.raises(TimeoutError, match="queue is full"):
    store.flush()
  assert time.monotonic() - start < 15
  dataset = store.dataset("queue", 5)
  for _ in range(9):
    next(dataset)
  store.flush()
  store.close()


def test_tensors(store):
  tf = pytest.importorskip("tensorflow")
  insert(store, "priority", 2)
  store.flush()
  sample = next(store.tf_dataset("priority", 3))
  assert isinstance(sample.data.observation, tf.Tensor) and sample.data.observation.shape == (3,)


@pytest.mark.parametrize(
  ("tables", "spec", "error", "message"),
  [
    ([replay.Table(name="nowhere")], SPEC, KeyError, "no table 'nowhere'.*queue"),
    (
      TABLES[:1],
      SPEC._replace(observation=specs.Array((3,), np.float32)),
      ValueError,
      r"observation is float32\[None, 3\]",
    ),
    (TABLES[:1], SPEC._replace(action=specs.Array((), np.int64)), ValueError, "action is int64.*int32"),
    (TABLES[:1], SPEC._replace(extras={"core": specs.Array((), np.float32)}), ValueError, "extras/core"),
    ([golden.fifo_table("queue", max_size=41)], SPEC, ValueError, "max_size: expected 41, got 40"),
    ([replay.Table(name="queue", max_size=40)], SPEC, ValueError, "max_times_sampled"),
    ([replay.Table(name="priority", sampler=replay.Prioritized(0.5))], SPEC, ValueError, "sampler"),
    ([replay.Table(name="ratio")], SPEC, ValueError, "samples_per_insert"),
  ],
)
def test_a_server_of_something_else(server, tables, spec, error, message):
  with pytest.raises(error, match=message):
    ReverbStore(tables, spec, address=server.address, timeout=3)


def test_a_wrong_address():
  start = time.monotonic()
  with pytest.raises(ConnectionError, match="localhost:1 "):
    ReverbStore(TABLES, SPEC, address="localhost:1", timeout=2)
  assert time.monotonic() - start < 5


def test_a_port_in_use_and_arguments_that_exclude_each_other(server):
  with pytest.raises(OSError, match="port"):
    ReverbStore(TABLES, SPEC, port=int(server.address.split(":")[1]), listen_everywhere=True)
  with pytest.raises(ValueError, match="address"):
    ReverbStore(TABLES, SPEC, port=1234, address=server.address)
  with pytest.raises(ValueError, match="timeout"):
    ReverbStore(TABLES, SPEC, timeout=0, listen_everywhere=True)


def test_a_server_that_dies_and_comes_back_from_its_checkpoint(tmp_path):
  server = Server(tmp_path)
  store = ReverbStore(TABLES, SPEC, address=server.address, timeout=1)
  writer = insert(store, "priority", 4, priority=2.0)
  store.flush()
  dataset, waiting = store.dataset("priority", 2), store.dataset("ratio", 2)
  keys = next(dataset).keys
  state = store.save()
  assert str(tmp_path) in state["path"]
  server.kill()

  def use_up(dataset):
    for _ in range(10):  # Some batches were fetched ahead.
      next(dataset)

  def write():
    writer.append(step(9))
    writer.create_item("priority", replay.TransitionItem(1, np.float32(0), np.float32(1)))
    store.flush()

  calls = [
    lambda: use_up(dataset),
    lambda: use_up(waiting),
    write,
    store.info,
    lambda: store.available("ratio"),
    lambda: store.update_priorities("priority", keys, np.ones(2)),
    store.save,
    store.writer,
  ]
  for call in calls:
    start = time.monotonic()
    with pytest.raises(ConnectionError, match="is not there"):
      call()
    assert time.monotonic() - start < 15
  start = time.monotonic()
  store.close()
  assert time.monotonic() - start < 15

  again = Server(tmp_path)
  store = ReverbStore(TABLES, SPEC, address=again.address, timeout=PATIENT)
  store.restore(state)
  assert store.info()["priority"].size == 4
  store.close()
  again.kill()


def test_the_interpreter_ends_with_everything_left_open(server):
  """Local and remote stores, writers with items on their way, datasets that wait: none keeps the process alive."""
  program = f"""
    import numpy as np
    from acme import replay, specs, types
    from acme_reverb import ReverbStore
    float32 = specs.Array((), np.float32)
    spec = types.Step(float32, specs.Array((), np.int32), float32, float32, specs.Array((), bool))
    for address in (None, {server.address!r}):
      tables = [replay.Table(name="priority", sampler=replay.Prioritized(1.0))]
      store = ReverbStore(tables, spec, address=address, timeout=2, listen_everywhere=True)
      writer = store.writer()
      for i in range(30):
        writer.append(types.Step(np.float32(i), np.int32(i), np.float32(i), np.float32(1), np.bool_(i == 0)))
        if i:
          writer.create_item("priority", replay.TransitionItem(1, np.float32(i), np.float32(1)))
      store.flush()
      dataset = store.dataset("priority", 4)
      next(dataset)
      writer.append(types.Step(np.float32(i), np.int32(i), np.float32(i), np.float32(1), np.bool_(False)))
      writer.create_item("priority", replay.TransitionItem(1, np.float32(i), np.float32(1)))
      keep = [store, writer, dataset] if address is None else keep + [store, writer, dataset]
    print("reached the end")
  """
  done = subprocess.run(
    [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=90, check=False
  )
  assert "reached the end" in done.stdout and done.returncode == 0, done.stderr[-2000:]


def test_importing_the_package_loads_neither_tensorflow_nor_reverb():
  program = "import sys, acme_reverb; assert not {'tensorflow', 'reverb'} & set(sys.modules)"
  subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_close_sends_what_is_left(server):
  reader = ReverbStore(TABLES, SPEC, address=server.address, timeout=PATIENT)
  before = reader.info()["priority"].inserts
  for _ in range(4):
    store = ReverbStore(TABLES, SPEC, address=server.address, timeout=PATIENT)
    insert(store, "priority", 5)
    store.close()
  assert reader.info()["priority"].inserts == before + 20
  reader.close()


def test_a_dataset_that_goes_takes_its_thread_along(store):
  insert(store, "priority", 4).flush()
  before = set(threading.enumerate())
  datasets = [store.dataset("priority", 2) for _ in range(2)]
  for dataset in datasets:
    next(dataset)
  fetchers = set(threading.enumerate()) - before
  assert {thread.name for thread in fetchers} >= {"acme_reverb priority"}
  del dataset, datasets
  deadline = time.monotonic() + 20
  while any(thread.name == "acme_reverb priority" and thread.is_alive() for thread in fetchers):
    assert time.monotonic() < deadline
    time.sleep(0.05)


@pytest.mark.parametrize("local", [True, False])
def test_a_closed_store_says_so(server, local):
  store = ReverbStore(TABLES, SPEC, address=None if local else server.address, timeout=PATIENT, listen_everywhere=True)
  insert(store, "priority", 2)
  dataset = store.dataset("priority", 1)
  keys = next(dataset).keys
  store.close()
  for ask in (
    store.info,
    store.writer,
    store.save,
    lambda: next(dataset),
    lambda: store.dataset("priority", 1),
    lambda: store.update_priorities("priority", keys, np.ones(1)),
  ):
    with pytest.raises(RuntimeError, match="is closed"):
      ask()


def test_a_store_with_a_port_of_its_own_is_restored():
  store = ReverbStore(TABLES, SPEC, port=_free_port(), listen_everywhere=True)
  insert(store, "priority", 3)
  next(store.dataset("priority", 1))
  state = store.save()
  store.restore(state)
  assert store.info()["priority"].size == 3
  store.close()


def test_exponent_0_is_uniform_though_priorities_are_0():
  table = replay.Table(name="priority", sampler=replay.Prioritized(0.0))
  store = ReverbStore([table], SPEC, listen_everywhere=True)
  insert(store, "priority", 2)
  dataset = store.dataset("priority", 50)
  keys = np.unique(next(dataset).keys)
  store.update_priorities("priority", keys, np.array([0.0, 1.0]))
  assert len(np.unique(next(dataset).keys)) == 2
  store.close()


def _free_port():
  with socket.socket() as probe:
    probe.bind(("", 0))
    return probe.getsockname()[1]


if __name__ == "__main__":  # The process of `Server`.
  from acme_reverb import layout, server, tables

  columns = layout.Layout(SPEC)
  running = server.ReplayServer(tables.make_tables(TABLES, columns, limited=True), None, sys.argv[1])
  print(running.port, flush=True)
  running.wait()
