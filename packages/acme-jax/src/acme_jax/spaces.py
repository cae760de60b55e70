"""Between what policies give and the environment's actions.

Shapes: B batch, D numbers in an action (all leaves of its nest, flattened).
"""

import math
from typing import Any, Literal, Protocol, overload

import jax
import jax.numpy as jnp
import numpy as np
import tree

from acme import specs, types


class ActionSpace(Protocol):
  """An environment's actions."""

  def to_environment(self, action: Any) -> types.NestedArray:
    """From what a policy gives, [B, …], to actions within the bounds of the specs; may be traced."""

  def to_host(self, action: types.NestedArray) -> types.NestedArray:
    """The same actions as numpy arrays of the specs' dtypes, the caller's own."""


class Discrete:
  """One discrete action, an int."""

  def __init__(self, spec: specs.DiscreteArray) -> None:
    self.dtype = np.dtype(spec.dtype)
    self.num_values = int(spec.num_values)

  def to_environment(self, action: Any) -> types.NestedArray:
    return action

  def to_host(self, action: types.NestedArray) -> np.ndarray:
    return np.asarray(action).astype(self.dtype)  # A copy: the environment may write to it.


class Continuous:
  """A nest of bounded float specs as one vector of D numbers in [−1, 1]."""

  def __init__(self, spec: types.NestedSpec) -> None:
    """Reads the bounds; `acme.specs.require_continuous` has checked that they are finite."""
    self._spec = spec
    self._leaves: list[specs.BoundedArray] = tree.flatten(spec)
    if not sum(math.prod(leaf.shape) for leaf in self._leaves):
      raise ValueError(f"Expected an action of one number or more, got {specs.describe(spec)}.")
    shapes = [leaf.shape for leaf in self._leaves]
    self._splits = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1].tolist()
    # Rounded to within the bounds, so that no float32 lies outside those of a float64 spec.
    low = [_round(leaf.minimum, leaf.shape, np.inf) for leaf in self._leaves]
    high = [_round(leaf.maximum, leaf.shape, -np.inf) for leaf in self._leaves]
    self._low, self._high = low, high
    with np.errstate(over="ignore", invalid="ignore"):
      flat = [np.concatenate([x.ravel() for x in bounds]) for bounds in (low, high)]
      self._middle = ((flat[1].astype(np.float64) + flat[0]) / 2).astype(np.float32)
      self._half = ((flat[1].astype(np.float64) - flat[0]) / 2).astype(np.float32)
    if not ((self._half > 0) & np.isfinite(self._half)).all():
      raise ValueError(
        f"Expected every action's maximum above its minimum, in a range that float32 holds, got {spec}. Give actions "
        "without real bounds some of their own: the policy is scaled to them."
      )
    self.size = int(self._middle.size)  # D

  def from_environment(self, action: types.NestedArray) -> jax.Array:
    """From a nest of actions [B, …] to [B, D] in [−1, 1]."""
    leaves = [jnp.reshape(leaf, (leaf.shape[0], -1)).astype(jnp.float32) for leaf in tree.flatten(action)]
    vector: jax.Array = (jnp.concatenate(leaves, axis=-1) - self._middle) / self._half
    return vector

  def to_environment(self, action: Any) -> types.NestedArray:
    """From [B, D] in [−1, 1] to a nest of actions [B, …], float32, within the bounds."""
    parts = jnp.split(action * self._half + self._middle, self._splits, axis=-1)
    leaves = [
      jnp.clip(jnp.reshape(part, (part.shape[0], *leaf.shape)), low, high)  # Scaling rounds.
      for part, leaf, low, high in zip(parts, self._leaves, self._low, self._high, strict=True)
    ]
    return tree.unflatten_as(self._spec, leaves)

  def to_host(self, action: types.NestedArray) -> types.NestedArray:
    if isinstance(self._spec, specs.Array):
      return np.asarray(action).astype(self._spec.dtype)
    return tree.map_structure(lambda leaf, spec: np.asarray(leaf).astype(spec.dtype), action, self._spec)


class Mixed:
  """A nest of bounded float specs and of discrete ones as one vector of V numbers.

  First come the D numbers of all float leaves, in [−1, 1], then each discrete leaf's choice as a one-hot vector.
  """

  def __init__(self, spec: types.NestedSpec) -> None:
    """Reads the bounds; the float leaves are as `Continuous` takes them."""
    self._spec = spec
    leaves = tree.flatten(spec)
    self._discrete = [isinstance(leaf, specs.DiscreteArray) for leaf in leaves]
    self.continuous = Continuous([leaf for leaf in leaves if not isinstance(leaf, specs.DiscreteArray)])
    self.num_values = [
      int(leaf.num_values) for leaf in leaves if isinstance(leaf, specs.DiscreteArray)
    ]  # the A of each
    self.size = self.continuous.size + sum(self.num_values)  # V

  def from_environment(self, action: types.NestedArray) -> jax.Array:
    """From a nest of actions [B, …] to [B, V]."""
    leaves = list(zip(tree.flatten(action), self._discrete, strict=True))
    numbers = self.continuous.from_environment([leaf for leaf, discrete in leaves if not discrete])
    choices = [leaf for leaf, discrete in leaves if discrete]
    return jnp.concatenate([numbers, *map(jax.nn.one_hot, choices, self.num_values)], axis=-1)

  def to_environment(self, action: Any) -> types.NestedArray:
    """From [B, V] to a nest of actions [B, …], float32 within the bounds and int32."""
    sizes = [self.continuous.size, *self.num_values]
    numbers, *choices = jnp.split(action, np.cumsum(sizes)[:-1].tolist(), axis=-1)
    floats = iter(self.continuous.to_environment(numbers))
    chosen = iter([jnp.argmax(each, axis=-1).astype(jnp.int32) for each in choices])
    return tree.unflatten_as(self._spec, [next(chosen if discrete else floats) for discrete in self._discrete])

  def to_host(self, action: types.NestedArray) -> types.NestedArray:
    return tree.map_structure(lambda leaf, spec: np.asarray(leaf).astype(spec.dtype), action, self._spec)


@overload
def make(
  spec: specs.EnvironmentSpec, agent: str, *kinds: Literal["discrete", "continuous"]
) -> Discrete | Continuous: ...
@overload
def make(spec: specs.EnvironmentSpec, agent: str, *kinds: str) -> Discrete | Continuous | Mixed: ...
def make(spec: specs.EnvironmentSpec, agent: str, *kinds: str) -> Discrete | Continuous | Mixed:
  """The space of an environment's actions, of which `agent` takes some `kinds`: "discrete", "continuous", "mixed".

  Raises:
    ValueError: they are of none of these kinds; the message says what to use instead.
  """
  leaves, single = tree.flatten(spec.actions), isinstance(spec.actions, specs.DiscreteArray)
  others = [leaf for leaf in leaves if not isinstance(leaf, specs.DiscreteArray)]
  mixes = "mixed" in kinds and 0 < len(others) < len(leaves)
  floats = all(np.issubdtype(leaf.dtype, np.floating) for leaf in others)
  if len(kinds) > 1 and not (floats and (single or mixes or len(others) == len(leaves))):
    raise ValueError(
      "Expected one discrete action (dm_env DiscreteArray) or floats (dm_env BoundedArray), got "
      f"{specs.describe(spec.actions)}: {agent} takes either{', and both in a nest' if 'mixed' in kinds else ''}."
    )
  if mixes:
    specs.require_continuous(spec._replace(actions=others), agent)
    return Mixed(spec.actions)
  if "continuous" not in kinds or ("discrete" in kinds and single):
    return Discrete(specs.require_discrete(spec, agent))
  return Continuous(specs.require_continuous(spec, agent))


def _round(bound: Any, shape: tuple[int, ...], towards: float) -> np.ndarray:
  """A bound as float32, by at most one step towards the inside."""
  exact = np.broadcast_to(np.asarray(bound), shape)
  with np.errstate(over="ignore"):
    rounded = exact.astype(np.float32)
    outside = rounded < exact if towards > 0 else rounded > exact
    outside &= np.isfinite(rounded)  # What float32 does not hold stays infinite, and is refused.
    return np.where(outside, np.nextafter(rounded, np.float32(towards)), rounded)
