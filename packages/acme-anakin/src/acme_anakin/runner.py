"""What the `acme` command runs on the device: environments called `jax:NAME`, by the entry point `acme.runners`."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from acme import builders
from acme_anakin import environments, loop
from acme_anakin.replay import device_memory


def fits(builder: builders.Builder[Any, Any], name: str, wrap: Sequence[str] = ()) -> str | None:
  """Why an agent cannot run on the device; None where it can.

  Args:
    builder: the agent's.
    name: of an environment, as `environments.make` takes it.
    wrap: names of wrappers, as it takes them, too.

  Raises:
    ValueError: there is no such environment, or the agent does not fit its specs.
    ImportError: the environment's suite is not installed.
  """
  if others := [each for each in wrap if each not in environments.WRAPPERS]:
    return f"No wrapper in JAX is called {others[0]!r}; there are {', '.join(environments.WRAPPERS)}."
  program = builder.make_program(environments.make(name, wrap).spec)
  try:
    loop.jittable(program)
  except ValueError as error:
    return str(error)
  return None


def make(
  builder: builders.Builder[Any, Any],
  name: str,
  *,
  steps: int,
  num_envs: int,
  seeds: Sequence[int],
  wrap: Sequence[str] = (),
  variants: tuple[Mapping[str, Sequence[float]], Callable[[Any], builders.Builder[Any, Any]]] | None = None,
) -> loop.Loop:
  """The run of all seeds; see `loop.Loop`, whose errors are those of this function, and `loop.Variants`."""
  differing = None if variants is None else loop.Variants(*variants)
  environment = environments.make(name, wrap)
  return loop.Loop(builder, environment, steps=steps, num_envs=num_envs, seeds=seeds, variants=differing)


def room(
  make_builder: Callable[[Any], builders.Builder[Any, Any]],
  config: Any,
  name: str,
  fields: Sequence[str],
  *,
  steps: int,
  num_envs: int,
  wrap: Sequence[str] = (),
) -> int:
  """How many seeds may be one program where their configs differ in some fields, which are numbers.

  Args:
    make_builder: of a config, whose fields may be traced.
    config: one of theirs.
    name: of the environment, as for `make`; so are the other arguments.
    fields: in which they differ.

  Returns:
    As many as take a third of the memory that the device has to spare, as one state is made of another and copied when
    it is saved; 0 where the agent cannot be traced without knowing a field, or what is learned from depends on it.
  """
  variants = loop.Variants({field: [getattr(config, field)] * 2 for field in fields}, make_builder)
  make_loop = functools.partial(
    loop.Loop, make_builder(config), environments.make(name, wrap), steps=steps, num_envs=num_envs, abstract=True
  )
  try:
    saved = make_loop(seeds=(0, 0), variants=variants).trace()
  except (TypeError, ValueError, IndexError):  # JAX's own are kinds of these.
    return 0
  if saved != make_loop(seeds=(0, 1)).trace():
    return 0
  return int(device_memory() / 3 / sum(math.prod(shape) * dtype.itemsize / 2 for shape, dtype in saved))
