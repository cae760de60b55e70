"""How JAX computes in a run's process: what a whole process has one setting of, made before JAX begins.

Measured on a CPU of two cores (docs/performance.md): handing work to another thread costs small networks half their
speed, and so does XLA's concurrent scheduler, of which large ones gain.
"""

import contextlib
import importlib
import itertools
import os
from collections.abc import Mapping
from importlib import metadata
from typing import Any

SCHEDULER = "--xla_cpu_enable_concurrency_optimized_scheduler"
_KNOWN = ((0, 4, 34), (0, 11))  # The jaxlib whose XLA knows the flag, and the first that was not tried; others abort.
_SMALL = 10_000  # Weights between two hidden layers: 64-64 has 4,096, and gains; 256-256 has 65,536, and loses.


def choose(backend: str, config: Mapping[str, Any]) -> str | None:
  """XLA's flag for an agent with such a config, by field: what is set, else None for what XLA does by itself."""
  sizes = [value for name, value in config.items() if name.endswith("hidden_sizes")]
  if backend != "jax":
    return None
  if given := [flag for flag in os.environ.get("XLA_FLAGS", "").split() if flag.startswith(SCHEDULER)]:
    return given[-1]  # By the user, or by the run before in this process.
  if not sizes:
    return None
  largest = max((a * b for each in sizes for a, b in itertools.pairwise(each)), default=max(map(sum, sizes)))
  with contextlib.suppress(metadata.PackageNotFoundError, ValueError):
    version = tuple(int(part) for part in metadata.version("jaxlib").split(".")[:3])
    if largest <= _SMALL and _KNOWN[0] <= version < _KNOWN[1]:
      return f"{SCHEDULER}=false"
  return None


def prepare(backend: str, flag: str | None) -> None:
  """Makes the settings; without effect on a JAX that computes already."""
  if backend != "jax":
    return
  if flag is not None and flag not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}".strip()
  with contextlib.suppress(ImportError):  # The agent says what to install.
    importlib.import_module("jax").config.update("jax_cpu_enable_async_dispatch", False)
