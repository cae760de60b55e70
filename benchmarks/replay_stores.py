"""The embedded replay against a Reverb server in the same process, on the same items: prints a table in Markdown.

All sides get the same float32[8] steps and make the same one-step transitions of them, one after another; samples are
batches of 256 from a full uniform table. The two stores do it through the same protocol; "Reverb, bare" is Reverb's own
client with nothing of ours around it, its chunk lengths tuned by itself and its batches fetched ahead by two workers.
Sides take turns, and each figure is a median.

    python benchmarks/replay_stores.py [--repeats 5] [--inserts 5000] [--batches 40]

Needs acme-core, acme-replay and acme-reverb.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np

from acme import replay, specs, types
from acme_replay import EmbeddedStore
from acme_reverb import ReverbStore

BATCH_SIZE = 256
BARS = {"inserts": 10, "samples": 5}

SPEC = types.Step(
  observation=specs.Array((8,), np.float32),
  action=specs.Array((), np.int32),
  reward=specs.Array((), np.float32),
  discount=specs.Array((), np.float32),
  start_of_episode=specs.Array((), bool),
)


def measure_inserts(store: replay.Store, count: int) -> float:
  """Transitions inserted a second, the last one confirmed."""
  writer = store.writer()
  rng = np.random.default_rng(0)
  observations = rng.standard_normal((count + 1, 8)).astype(np.float32)
  action, reward, discount, mid = np.int32(1), np.float32(1), np.float32(0.99), np.bool_(False)
  item = replay.TransitionItem(1, reward, discount)
  writer.append(types.Step(observations[0], action, reward, discount, np.bool_(True)))
  start = time.perf_counter()
  for i in range(count):
    writer.append(types.Step(observations[i + 1], action, reward, discount, mid))
    writer.create_item("replay", item)
  store.info()
  return count / (time.perf_counter() - start)


def measure_samples(store: replay.Store, batches: int) -> float:
  """Items sampled a second."""
  dataset = store.dataset("replay", BATCH_SIZE)
  next(dataset)
  start = time.perf_counter()
  for _ in range(batches):
    next(dataset)
  return batches * BATCH_SIZE / (time.perf_counter() - start)


def run_store(make: Callable[[], replay.Store], inserts: int, batches: int) -> tuple[float, float]:
  """Inserts a second and samples a second of a new store."""
  store = make()
  try:
    return measure_inserts(store, inserts), measure_samples(store, batches)
  finally:
    store.close()


def run_bare(inserts: int, batches: int) -> tuple[float, float]:
  """The same of a new Reverb server, through Reverb's own client."""
  import reverb
  import tensorflow as tf

  spec = {"o": ((2, 8), tf.float32), "a": ((), tf.int32), "r": ((), tf.float32), "d": ((), tf.float32)}
  limiter = reverb.rate_limiters.MinSize(1)
  table = reverb.Table("replay", reverb.selectors.Uniform(), reverb.selectors.Fifo(), inserts, limiter)
  server = reverb.Server([table])
  client = server.localhost_client()
  observations = np.random.default_rng(0).standard_normal((inserts + 1, 8)).astype(np.float32)
  rest = {"a": np.int32(1), "r": np.float32(1), "d": np.float32(0.99)}
  start = time.perf_counter()
  with client.trajectory_writer(num_keep_alive_refs=2) as writer:
    writer.append({"o": observations[0], **rest})
    for i in range(inserts):
      writer.append({"o": observations[i + 1], **rest})
      history = writer.history
      item = {"o": history["o"][-2:], "a": history["a"][-1], "r": history["r"][-1], "d": history["d"][-1]}
      writer.create_item("replay", 1.0, item)
      if i % 64 == 0:
        writer.flush(64)
    writer.flush()
    inserted = inserts / (time.perf_counter() - start)
  dataset = reverb.TrajectoryDataset(
    f"localhost:{server.port}",
    "replay",
    {name: dtype for name, (_, dtype) in spec.items()},
    {name: tf.TensorShape(shape) for name, (shape, _) in spec.items()},
    max_in_flight_samples_per_worker=2 * BATCH_SIZE,
    num_workers_per_iterator=2,
  )
  iterator = dataset.batch(BATCH_SIZE).prefetch(2).as_numpy_iterator()
  for _ in range(4):
    next(iterator)  # What has been fetched ahead.
  start = time.perf_counter()
  for _ in range(batches):
    next(iterator)
  sampled = batches * BATCH_SIZE / (time.perf_counter() - start)
  server.stop()
  return inserted, sampled


def main() -> None:
  """Measures all sides by turns, and prints the medians."""
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--repeats", type=int, default=5, help="turns of each side")
  parser.add_argument("--inserts", type=int, default=5_000, help="transitions inserted in a turn")
  parser.add_argument("--batches", type=int, default=40, help=f"batches of {BATCH_SIZE} sampled in a turn")
  arguments = parser.parse_args()
  tables = [replay.Table(max_size=arguments.inserts)]
  sides: dict[str, Callable[[int, int], tuple[float, float]]] = {
    "embedded": lambda *counts: run_store(lambda: EmbeddedStore(tables, SPEC, 0), *counts),
    "acme-reverb": lambda *counts: run_store(lambda: ReverbStore(tables, SPEC, listen_everywhere=True), *counts),
    "Reverb, bare": run_bare,
  }
  results: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
  for measure in sides.values():
    measure(100, 1)  # Warm up.
  for _ in range(arguments.repeats):
    for name, measure in sides.items():
      results[name].append(measure(arguments.inserts, arguments.batches))
  print(f"float32[8], in one process, medians of {arguments.repeats} turns\n")
  print("| a second | embedded | acme-reverb | ratio | Reverb, bare | ratio | bar |")
  print("| --- | --- | --- | --- | --- | --- | --- |")
  for i, (what, bar) in enumerate(BARS.items()):
    embedded, ours, bare = (statistics.median(turn[i] for turn in results[name]) for name in sides)
    print(
      f"| {what} | {embedded:,.0f} | {ours:,.0f} | {embedded / ours:.1f} | {bare:,.0f} | {embedded / bare:.1f} "
      f"| ≥ {bar} |"
    )


if __name__ == "__main__":
  main()
