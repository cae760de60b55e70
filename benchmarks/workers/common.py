"""What the workers share. Each runs in its contender's environment, so this imports only NumPy at once."""

import json
import os
import time
from collections.abc import Callable

import numpy as np


def report(**metrics: float) -> None:
  """Prints the worker's one line: metrics by name, and the cores it may use."""
  print(json.dumps(metrics | {"cores": len(os.sched_getaffinity(0))}), flush=True)


def compute_at_once() -> None:
  """Has JAX compute in the thread that asks, as `acme run` does; to be called before JAX is used."""
  import jax

  jax.config.update("jax_cpu_enable_async_dispatch", False)


def rate(run: Callable[[], None], count: int, seconds: float = 1.0) -> float:
  """How many things a second, where each `run()` does `count` of them; the first run is for warming up."""
  run()
  runs = 0
  start = time.perf_counter()
  while time.perf_counter() - start < seconds:
    run()
    runs += 1
  return runs * count / (time.perf_counter() - start)


def transitions(kind: str, size: int, seed: int = 0) -> np.ndarray:
  """Observations [size + 1, …] to make transitions of: `vector` float32 [8], or `image` uint8 [84, 84, 4].

  The images are stacks of 4 frames, each the newest of the one before with one more: as from an environment.
  """
  random = np.random.default_rng(seed)
  if kind == "vector":
    return random.normal(size=(size + 1, 8)).astype(np.float32)
  frames = random.integers(256, size=(size + 4, 84, 84), dtype=np.uint8)
  return np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(frames, 4, axis=0))
