"""What the `acme` command runs on the device: environments called `jax:NAME`, by the entry point `acme.runners`."""

from collections.abc import Sequence
from typing import Any

from acme import builders
from acme_anakin import environments, loop


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
) -> loop.Loop:
  """The run of all seeds; see `loop.Loop`, whose errors are those of this function."""
  return loop.Loop(builder, environments.make(name, wrap), steps=steps, num_envs=num_envs, seeds=seeds)
