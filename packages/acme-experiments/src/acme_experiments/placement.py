"""How and where JAX computes in a run's process.

What a whole process has one setting of is made before JAX begins. Measured on a CPU of two cores (docs/performance.md):
handing work to another thread costs small networks half their speed, and so does XLA's concurrent scheduler, of which
large ones gain. Beside an accelerator each agent's parts go where `acme_jax.placement` finds them cheapest.
"""

import contextlib
import importlib
import importlib.util
import itertools
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from importlib import metadata
from types import ModuleType
from typing import Any, cast

from acme import builders, specs
from acme_experiments.usage import AUTO, Device, UsageError

SCHEDULER = "--xla_cpu_enable_concurrency_optimized_scheduler"
_KNOWN = ((0, 4, 34), (0, 11))  # The jaxlib whose XLA knows the flag, and the first that was not tried; others abort.
_NOISE = re.compile(
  rb"absl::InitializeLog|[Cc]uda drivers|cuda_\w+\.cc|cudart|cuInit|cpu_feature_guard|rebuild TensorFlow|oneDNN|TF-TRT"
)
_SMALL = 10_000  # Weights between two hidden layers: 64-64 has 4,096, and gains; 256-256 has 65,536, and loses.


@contextlib.contextmanager
def hushed() -> Iterator[None]:
  """Leaves lines about CUDA that is not there, and the like, out of what libraries write to standard error meanwhile.

  TensorFlow writes them before it reads what it is told of its log.
  """
  with tempfile.TemporaryFile() as file:
    sys.stderr.flush()
    error = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
      yield
    finally:
      sys.stderr.flush()
      os.dup2(error, 2)
      os.close(error)
      file.seek(0)
      for line in file:
        if not _NOISE.search(line):
          os.write(2, line)


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
  """Makes the settings; without effect on a JAX that computes already. TensorFlow is imported without its noise."""
  if backend == "tf":
    with hushed(), contextlib.suppress(ImportError):
      importlib.import_module("tensorflow")
  if backend != "jax":
    return
  if flag is not None and flag not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}".strip()
  with contextlib.suppress(ImportError):  # The agent says what to install.
    importlib.import_module("jax").config.update("jax_cpu_enable_async_dispatch", False)


def place(
  device: Device,
  builder: builders.Builder[Any, Any],
  spec: specs.EnvironmentSpec,
  *,
  num_envs: int,
  measure: bool = True,
  acts: bool = True,
) -> tuple[builders.Builder[Any, Any], Device, str | None]:
  """Puts an agent's parts where they are asked for: the builder that does, the name of the place, and why it is that.

  Args:
    device: `cpu`, `gpu`, `split`, or `auto`, which measures where there is a choice.
    builder: of the agent.
    spec: of the environment.
    num_envs: environments that it acts in at once.
    measure: whether `auto` measures; else it is the CPU.
    acts: whether anyone acts.

  Raises:
    UsageError: there is no accelerator, or the agent is not in JAX, whose devices these are.
  """
  found = _placements(device) if builder.backend == "jax" else {}
  if not found:
    if device != AUTO:
      raise UsageError(f"--device {device}: only agents in JAX are placed on devices: leave it out.")
    return builder, AUTO, None
  why = None
  if device == AUTO and measure and len(found) > 1:
    chosen, seconds = _jax_placement().choose(builder, spec, num_envs, found, acts=acts)
    device = cast(Device, chosen)
    figures = ", ".join(f"{name} {1e3 * each:.3g} ms" for name, each in seconds.items())
    why = f"device: {device}, where a step takes least ({figures}); --device to say otherwise"
  elif device == AUTO:
    device = cast(Device, next(iter(found)))
  return builder if len(found) == 1 else _jax_placement().PlacedBuilder(builder, found[device]), device, why


@contextlib.contextmanager
def on(device: Device) -> Iterator[None]:
  """Has JAX compute on a device meanwhile, `cpu` or `gpu`; by `auto` where it does by itself; raises as `place`."""
  if device == AUTO:
    yield
    return
  where = _placements(device)[device].learner
  with importlib.import_module("jax").default_device(where):
    yield


@contextlib.contextmanager
def looking() -> Iterator[None]:
  """Has JAX make arrays on the CPU meanwhile: for the first one on a GPU it takes most of the memory there.

  So that a process that looks at runs, and lives beside those in which they run, leaves it to them. JAX begins with it:
  it is not for a process that is still to `prepare`.
  """
  with on("cpu") if "cpu" in _placements(AUTO) else contextlib.nullcontext():
    yield


def _placements(device: Device) -> dict[str, Any]:
  """What placements there are, by name, none without acme-jax. Raises UsageError where `device` is not among them."""
  if importlib.util.find_spec("acme_jax") is None:
    return {}
  found: dict[str, Any] = _jax_placement().available()
  if device not in (AUTO, *found):
    raise UsageError(
      f"--device {device}: JAX sees no accelerator here, only the CPU: install a JAX for it, such as jax[cuda13], or "
      'leave --device out; a run that began on one goes on on the CPU with "device": "cpu" in its config.json.'
    )
  return found


def _jax_placement() -> ModuleType:
  return importlib.import_module("acme_jax.placement")
