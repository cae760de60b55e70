"""What a dataset gives a second, and what it takes of memory: prints a table in Markdown.

Transitions have float32[8] observations. They are written in parts, read one after the other, loaded into the embedded
replay, and sampled from it in batches of 256. Memory is what one process has at its peak beyond what it had before,
after reading a dataset once whose files were dropped from the page cache; two sizes show whether it grows.

    python benchmarks/datasets.py [--transitions 1000000] [--length 200] [--gigabytes 2] [--repeats 3]

Needs acme-core and acme-replay.
"""

import argparse
import os
import pathlib
import resource
import statistics
import tempfile
import time
from collections.abc import Callable

import numpy as np

from acme import experience, specs
from acme_replay import EmbeddedReplay, MappedReplay, datasets

BATCH_SIZE = 256
BARS = {"read": 1_000_000, "sampled": 300_000}
SPEC = specs.EnvironmentSpec(
  observations=specs.Array((8,), np.float32),
  actions=specs.DiscreteArray(4),
  rewards=specs.Array((), np.float32),
  discounts=specs.BoundedArray((), np.float32, 0, 1),
)


def write(path: pathlib.Path, transitions: int, length: int, spec: specs.EnvironmentSpec = SPEC) -> None:
  """Writes episodes of `length` steps."""
  rng, size = np.random.default_rng(0), spec.observations.shape[0]
  observation = rng.standard_normal((length + 1, size)).astype(np.float32)
  action, reward = rng.integers(0, 4, length).astype(np.int32), rng.standard_normal(length).astype(np.float32)
  episode = datasets.Episode(observation, action, reward, np.ones(length, np.float32))
  with datasets.Writer(path, datasets.Index(spec=spec)) as writer:
    for _ in range(transitions // length):
      writer.write(episode)


def read(path: pathlib.Path) -> int:
  """Reads all there is; returns how many transitions."""
  return sum(len(episode.reward) for episode in datasets.read(path))


def rate(function: Callable[[], object], count: int, repeats: int) -> float:
  """`count` by the median of the seconds that a call takes."""
  seconds = []
  for _ in range(repeats):
    start = time.perf_counter()
    function()
    seconds.append(time.perf_counter() - start)
  return count / statistics.median(seconds)


def sample(replay: EmbeddedReplay, batches: int) -> None:
  """Samples from a replay."""
  dataset = replay.dataset()
  for _ in range(batches):
    next(dataset)


def peak_memory(function: Callable[[], object]) -> float:
  """Bytes that a process of its own has at its peak in a call, beyond those it had before."""
  read_end, write_end = os.pipe()
  if os.fork() == 0:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    function()
    os.write(write_end, str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before).encode())
    os._exit(0)
  os.close(write_end)
  with os.fdopen(read_end) as pipe:
    return 1024 * float(pipe.read())


def drop_from_cache(path: pathlib.Path) -> None:
  """Has the system forget the files."""
  os.sync()
  for file in path.iterdir():
    descriptor = os.open(file, os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def main() -> None:
  """Measures, and prints."""
  parser = argparse.ArgumentParser()
  parser.add_argument("--transitions", type=int, default=1_000_000)
  parser.add_argument("--length", type=int, default=200, help="steps of an episode")
  parser.add_argument("--gigabytes", type=float, default=2.0, help="of the larger dataset that memory is measured on")
  parser.add_argument("--repeats", type=int, default=3)
  parser.add_argument(
    "--folder", type=pathlib.Path, default=None, help="where the datasets lie while they are measured"
  )
  arguments = parser.parse_args()
  count, length, repeats = (
    arguments.transitions // arguments.length * arguments.length,
    arguments.length,
    arguments.repeats,
  )
  with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
    path = pathlib.Path(folder) / "small"
    start = time.perf_counter()
    write(path, count, length)
    print(f"| transitions of float32[8], episodes of {length} | a second | bar |\n| --- | ---: | ---: |")
    print(f"| written | {count / (time.perf_counter() - start):,.0f} | |")
    print(f"| read | {rate(lambda: read(path), count, repeats):,.0f} | {BARS['read']:,} |")
    part = count // 10 // length * length
    write(pathlib.Path(folder) / "tenth", part, length)
    items = experience.Transitions(batch_size=BATCH_SIZE, dataset=str(pathlib.Path(folder) / "tenth"))
    step_spec = datasets.read_index(path).step_spec
    for name, make in (("embedded replay", EmbeddedReplay), ("mapped replay", MappedReplay)):
      print(f"| loaded into the {name} | {rate(lambda make=make: make(items, step_spec), part, 1):,.0f} | |")
      replay = make(items, step_spec)
      sample(replay, 10)
      sampled = rate(lambda replay=replay: sample(replay, 1000), 1000 * BATCH_SIZE, repeats)
      print(f"| sampled from it, batches of {BATCH_SIZE} | {sampled:,.0f} | {BARS['sampled']:,} |")
    wide = SPEC._replace(observations=specs.Array((1000,), np.float32))
    print("\n| dataset, read once from disk | memory at the peak |\n| ---: | ---: |")
    for gigabytes in (arguments.gigabytes / 8, arguments.gigabytes):
      large = pathlib.Path(folder) / f"large-{gigabytes}"
      write(large, int(gigabytes * 1e9 / 4012), length, wide)
      drop_from_cache(large)
      print(f"| {gigabytes:,.2f} GB | {peak_memory(lambda large=large: read(large)) / 1e6:,.0f} MB |")


if __name__ == "__main__":
  main()
