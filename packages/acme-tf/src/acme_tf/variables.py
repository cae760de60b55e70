"""Making, naming, copying and reading a network's variables.

A network travels as a factory, a function without arguments that returns a new Sonnet module, so that a learner, its
target and each actor have variables of their own.
"""

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import sonnet as snt
import tensorflow as tf

from acme import core
from acme_tf import functions

Factory = Callable[[], Any]  # a new snt.Module, its variables not yet made
Values = Mapping[str, np.ndarray]  # by variable name


def create(make: Factory, *inputs: Any, seed: int = 0) -> Any:
  """Makes a network and its variables; the same seed gives the same values.

  The network is called once within a graph of its own, whose random numbers follow from the graph's seed: neither
  TensorFlow's global seed nor what was drawn before matters.

  Args:
    make: makes a new module.
    *inputs: what the module is called with; `networks.zeros(spec)` fits a spec.
    seed: consumed here; taken modulo 2³¹.

  Raises:
    TypeError: `make` is not a factory but a module, or gives the same one each time.
  """
  network = make if isinstance(make, snt.Module) else make()
  if network is make or make() is network:
    raise TypeError(
      f"Expected a function that makes a network, a new one each time, got {network!r} itself or each time: learner, "
      "target and actors each need one of their own. Pass `lambda: MyNetwork(…)`."
    )
  tf.function(functools.partial(_build, network, seed % 2**31))(*inputs)
  return network


def _build(network: Any, seed: int, *inputs: Any) -> None:
  tf.compat.v1.set_random_seed(seed)  # Within a graph this is the seed of that graph alone.
  network(*functions.single(inputs))


def of(nest: Any) -> tuple[tf.Variable, ...]:
  """All variables of a nest of modules, optimizers and variables, in order; None has none."""
  parts = [part for part in tf.nest.flatten(nest) if part is not None]
  return tuple(v for part in parts for v in ([part] if isinstance(part, tf.Variable) else part.variables))


def named(variables: Iterable[tf.Variable]) -> dict[str, tf.Variable]:
  """Variables by name, in their order; a second `linear/w` is called `linear/w_1`, a third `linear/w_2`."""
  found: dict[str, tf.Variable] = {}
  seen: dict[str, int] = {}
  for variable in variables:
    name = variable.name.partition(":")[0]
    count = seen[name] = seen.get(name, -1) + 1
    found[f"{name}_{count}" if count else name] = variable
  return found


def values(variables: Iterable[tf.Variable]) -> dict[str, np.ndarray]:
  """Copies of the variables' values, by name."""
  return {name: variable.numpy() for name, variable in named(variables).items()}


def check(variables: Iterable[tf.Variable], new: Values) -> None:
  """Checks that values fit variables of the same names.

  Raises:
    ValueError: a name is missing or over, or a value differs in shape or dtype; the message names the first that does.
  """
  known = named(variables)
  hint = "They are of another agent, network, environment or config."
  if different := sorted(known.keys() ^ new.keys()):
    where = "is missing from" if different[0] in known else "is over in"
    raise ValueError(f"The variable {different[0]!r} {where} the values given. {hint}")
  for name, variable in known.items():
    value, dtype = np.asarray(new[name]), variable.dtype.as_numpy_dtype
    if value.shape != tuple(variable.shape) or value.dtype != dtype:
      raise ValueError(
        f"The value of {name!r} is {value.dtype}{list(value.shape)}, expected "
        f"{np.dtype(dtype)}{list(variable.shape)}. {hint}"
      )


def assign(variables: Iterable[tf.Variable], new: Values) -> None:
  """Gives variables the values of the same name; raises ValueError, as `check`, before any is changed."""
  variables = tuple(variables)
  check(variables, new)
  for name, variable in named(variables).items():
    variable.assign(new[name])


def make_target(make: Factory, online: Any, *inputs: Any) -> Any:
  """Makes a target network that starts equal to the online one; its variables are its own."""
  target = create(make, *inputs)
  copy(online.variables, target.variables)
  return target


def copy(source: Iterable[tf.Variable], target: Iterable[tf.Variable]) -> None:
  """Gives each variable of `target` the value of the one in the same place of `source`."""
  for variable, copied in zip(source, target, strict=True):
    copied.assign(variable)


def move(source: Iterable[tf.Variable], target: Iterable[tf.Variable], rate: float) -> None:
  """τ source + (1 − τ) target (Lillicrap et al. 2015, 1509.02971), each variable to its place; `rate` is τ."""
  for variable, moved in zip(source, target, strict=True):
    moved.assign(rate * variable + (1 - rate) * moved)


def periodic_copy(
  steps: tf.Variable, period: int, source: Iterable[tf.Variable], target: Iterable[tf.Variable], rate: float = 1.0
) -> None:
  """Copies, or moves, `source` to `target` where `steps` [] is a multiple of `period`; for use in a `tf.function`."""

  def now() -> tf.Tensor:
    if rate == 1:
      copy(source, target)
    else:
      move(source, target, rate)
    return tf.constant(True)

  tf.cond(tf.equal(steps % period, 0), now, lambda: tf.constant(False))


class VariableClient:
  """Gives an actor's variables the newest values that a source has under `name`."""

  def __init__(self, source: core.VariableSource, name: str, variables: Iterable[tf.Variable]) -> None:
    """Makes a client, and takes the values that there are."""
    self._source = source
    self._names = (name,)
    self._variables = tuple(variables)
    self._newest: Values | None = None
    self.update()

  def update(self) -> None:
    """Takes the source's newest values; costs next to nothing where they are the ones it has."""
    (newest,) = self._source.get_variables(self._names)
    if newest is not self._newest:
      assign(self._variables, newest)
      self._newest = newest
