"""Environments written in JAX, by name: `make("CartPole-v1")`, `make("gymnax:Breakout-MinAtar")`."""

import difflib
from collections.abc import Sequence

from acme_anakin.environments import catch, control, memory, suites
from acme_anakin.environments.base import Environment, Outcome, mask_velocity, time_limit

__all__ = ["Environment", "Outcome", "make", "mask_velocity", "names", "time_limit"]

_GAMES = {
  "Acrobot-v1": control.acrobot,
  "CartPole-v1": control.cartpole,
  "MountainCar-v0": control.mountain_car,
  "MountainCarContinuous-v0": control.mountain_car_continuous,
  "Pendulum-v1": control.pendulum,
  "catch": catch.catch,
  "catch_pixels": catch.catch_pixels,
}
_LENGTHS = {"memory_len": memory.memory_len, "tmaze": memory.tmaze}  # Called with a length: "tmaze/10".


WRAPPERS = {"mask_velocity": mask_velocity}


def make(name: str, wrap: Sequence[str] = ()) -> Environment:
  """Makes an environment.

  Args:
    name: one of `names()`, any length in "tmaze/10" and "memory_len/10"; or a suite, colon, and its own name for it.
    wrap: names of wrappers, the innermost first: "mask_velocity".

  Raises:
    ValueError: none is called so, and the message lists near names; or agents cannot play it alone; or a wrapper does
      not fit it.
    ImportError: the suite is not installed; the message names the extra to install.
  """
  environment = _make(name)
  for each in wrap:
    if each not in WRAPPERS:
      raise ValueError(f"No wrapper in JAX is called {each!r}; there are {', '.join(WRAPPERS)}.")
    environment = WRAPPERS[each](environment)
  return environment


def _make(name: str) -> Environment:
  suite, colon, rest = name.partition(":")
  if colon:
    return suites.make(suite, rest)
  game, _, length = name.partition("/")
  if name in _GAMES:
    return _GAMES[name]()
  if game in _LENGTHS and length.isdecimal():
    return _LENGTHS[game](int(length))
  if game in _LENGTHS:
    raise ValueError(f"{name!r}: expected a length after {game}, such as {game}/10.")
  near = difflib.get_close_matches(name.lower(), [known.lower() for known in names()])
  hint = "Did you mean" if near else "There are"
  found = [known for known in names() if not near or known.lower() in near]
  raise ValueError(
    f"No environment in JAX is called {name!r}. {hint} {', '.join(found)}; or a suite's, such as "
    f"gymnax:Breakout-MinAtar (suites: {', '.join(suites.SUITES)})."
  )


def names() -> list[str]:
  """The names of the environments that are here without a suite; of those with a length, one."""
  return sorted([*_GAMES, *(f"{game}/10" for game in _LENGTHS)])
