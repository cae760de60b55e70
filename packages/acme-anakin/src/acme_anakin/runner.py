"""What the `acme` command runs on the device: environments called `jax:NAME`, by the entry point `acme.runners`."""

import functools
import math
from collections.abc import Sequence
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


def make(builder: builders.Builder[Any, Any], name: str, *, wrap: Sequence[str] = (), **options: Any) -> loop.Loop:
  """The run of all seeds; options and errors are those of `loop.Loop`, whose `variants` may be a plain tuple."""
  return loop.Loop(builder, environments.make(name, wrap), **options)


def room(make_builder: loop.MakeBuilder, config: Any, name: str, fields: Sequence[str], **options: Any) -> int:
  """How many seeds may be one program where their configs differ in some fields, which are numbers.

  Args:
    make_builder: of a config, whose fields may be traced.
    config: one of theirs.
    name: of the environment.
    fields: in which they differ.
    **options: those of `make`, but for `seeds`.

  Returns:
    As many as take a third of the memory that the device has to spare, as one state is made of another and copied when
    it is saved; 0 where the agent cannot be traced without knowing a field, or what is learned from depends on it.
  """
  values = {field: [getattr(config, field)] * 2 for field in fields}
  made = functools.partial(make, make_builder(config), name, seeds=(0, 1), abstract=True, **options)
  try:
    saved = made(variants=(values, make_builder)).trace()
  except Exception:  # Whatever an agent's code makes of a number that nobody knows.
    return 0
  if saved != made().trace():
    return 0
  return int(device_memory() / 3 / sum(math.prod(shape) * dtype.itemsize / 2 for shape, dtype in saved))
