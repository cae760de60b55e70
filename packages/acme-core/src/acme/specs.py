"""What an environment takes and gives, and checks that say clearly when something else comes."""

import math
from typing import Any, NamedTuple

import dm_env
import numpy as np
import tree
from dm_env.specs import Array, BoundedArray, DiscreteArray

from acme import types


class EnvironmentSpec(NamedTuple):
  """The specs of an environment: each a dm_env spec or a nest of them."""

  observations: types.NestedSpec
  actions: types.NestedSpec
  rewards: types.NestedSpec
  discounts: types.NestedSpec


def make_environment_spec(environment: dm_env.Environment) -> EnvironmentSpec:
  """Reads an environment's four specs.

  Raises:
    TypeError: a spec has a leaf that is no dm_env spec, or the environment is a Gymnasium one not yet wrapped.
  """
  if not hasattr(environment, "observation_spec"):
    hint = " Wrap it: acme.wrappers.GymWrapper(environment)." if hasattr(environment, "observation_space") else ""
    raise TypeError(f"Expected a dm_env.Environment, got {type(environment).__name__}.{hint}")
  spec = EnvironmentSpec(
    environment.observation_spec(), environment.action_spec(), environment.reward_spec(), environment.discount_spec()
  )
  for path, leaf in tree.flatten_with_path(spec):
    if not isinstance(leaf, Array):
      raise TypeError(f"Expected dm_env specs, got {type(leaf).__name__} at {_field(path)} of {environment!r}.")
  return spec


def require_discrete(spec: EnvironmentSpec, agent: str) -> DiscreteArray:
  """Returns the action spec where it is a single discrete one.

  Raises:
    ValueError: it is something else; the message names the agents to use instead. Or the reward is not one number.
  """
  _require_scalar_reward(spec, agent)
  actions = spec.actions
  if isinstance(actions, DiscreteArray):
    return actions
  raise ValueError(
    f"Expected a discrete action spec (dm_env DiscreteArray), got {describe(actions)}: {agent} needs discrete actions; "
    "for continuous ones use acme-d4pg or acme-mpo."
  )


def require_continuous(spec: EnvironmentSpec, agent: str) -> types.NestedSpec:
  """Returns the action spec where every leaf is a float array with finite bounds.

  Raises:
    ValueError: it is something else; the message says what to do. Or the reward is not one number.
  """
  _require_scalar_reward(spec, agent)
  for leaf in tree.flatten(spec.actions):
    if isinstance(leaf, DiscreteArray) or not np.issubdtype(leaf.dtype, np.floating):
      raise ValueError(
        f"Expected a continuous action spec (dm_env BoundedArray of floats), got {describe(spec.actions)}: {agent} "
        "needs continuous actions; for discrete ones use acme-dqn or acme-impala."
      )
    bounded = isinstance(leaf, BoundedArray) and np.all(np.isfinite(leaf.minimum)) and np.all(np.isfinite(leaf.maximum))
    if not bounded:
      raise ValueError(
        f"Expected finite bounds on every action, got {describe(leaf)}: {agent} scales its policy to the bounds. "
        "Give the action spec a finite minimum and maximum."
      )
  return spec.actions


def _require_scalar_reward(spec: EnvironmentSpec, agent: str) -> None:
  if not isinstance(spec.rewards, Array) or spec.rewards.shape:
    got = f"Expected a scalar reward spec (dm_env Array of shape ()), got {describe(spec.rewards)}"
    raise ValueError(f"{got}: {agent} learns from one number a step. Wrap the environment to give one.")


def batched(spec: types.NestedSpec, batch: int) -> types.NestedSpec:
  """The spec of `batch` stacked values of `spec`, without bounds."""
  return tree.map_structure(lambda leaf: Array((batch, *leaf.shape), leaf.dtype, leaf.name), spec)


def describe(spec: types.NestedSpec) -> str:
  """A short name for a spec: `BoundedArray(shape=(1,), dtype=float32)`."""

  def brief(leaf: Array) -> str:
    values = f", num_values={leaf.num_values}" if isinstance(leaf, DiscreteArray) else ""
    return f"{type(leaf).__name__}(shape={leaf.shape}, dtype={leaf.dtype}{values})"

  return str(tree.map_structure(brief, spec))


class Validator:
  """Checks values against a spec: structure, shape, dtype, and that floats are finite.

  Bounds are not checked: many environments step a little outside their own.
  """

  def __init__(self, name: str, spec: types.NestedSpec, batch: int | None = None) -> None:
    """Makes a validator of `spec`, or of `batch` stacked values of it; `name` is what its errors call the value."""
    self._name = name
    self._spec = spec if batch is None else batched(spec, batch)
    self._leaf = self._spec if isinstance(self._spec, Array) else None

  def __call__(self, value: types.NestedArray) -> None:
    """Raises ValueError where `value` does not fit, naming the leaf, what was expected and what came."""
    if self._leaf is not None:
      shape, dtype = self._leaf.shape, self._leaf.dtype
      fits = isinstance(value, np.ndarray | np.generic) and value.shape == shape and value.dtype == dtype
      if not fits or (dtype.kind == "f" and not _surely_finite(value)):
        self._check(self._name, self._leaf, value)
      return
    try:
      tree.assert_same_structure(self._spec, value)
    except (ValueError, TypeError) as error:
      raise ValueError(
        f"{self._name}: expected the structure of its spec, {describe(self._spec)}, got another one. {error}"
      ) from None
    leaves = tree.flatten(value)
    for (path, spec), leaf in zip(tree.flatten_with_path(self._spec), leaves, strict=True):
      self._check(f"{self._name}[{']['.join(map(str, path))}]", spec, leaf)

  def _check(self, name: str, spec: Array, value: Any) -> None:
    array = value if isinstance(value, np.ndarray) else np.asarray(value)
    if array.shape != spec.shape:
      raise ValueError(f"{name}: expected shape {spec.shape} as its spec says, got {array.shape}.")
    # A Python number stands for a scalar of the spec's dtype; an array must have that dtype itself.
    if array.dtype != spec.dtype and (array is value or not np.can_cast(array.dtype, spec.dtype, "same_kind")):
      raise ValueError(f"{name}: expected dtype {spec.dtype} as its spec says, got {array.dtype}.")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
      raise ValueError(f"{name}: expected finite numbers, got {array!r}. The environment gave a NaN or an infinity.")


def _surely_finite(value: Any) -> bool:
  """False where an element is not finite, or where it cannot be told so quickly: then the sum of squares is not."""
  return math.isfinite(value if value.ndim == 0 else np.vdot(value, value))


def _field(path: tuple[Any, ...]) -> str:
  """The spec that a path in an EnvironmentSpec leads to."""
  first, *rest = path
  name = EnvironmentSpec._fields[first] if isinstance(first, int) else str(first)
  return name + "".join(f"[{key!r}]" for key in rest)
