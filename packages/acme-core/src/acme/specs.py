"""What an environment takes and gives."""

from typing import NamedTuple

import dm_env
import numpy as np
import tree
from dm_env.specs import Array, BoundedArray, DiscreteArray

from acme import types

__all__ = [
  "Array", "BoundedArray", "DiscreteArray", "EnvironmentSpec", "batched", "describe",
  "make_environment_spec", "require_continuous", "require_discrete",
]  # fmt: skip


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
      where = path[0] + "".join(f"[{key!r}]" for key in path[1:])
      raise TypeError(f"Expected dm_env specs, got {type(leaf).__name__} at {where} of {environment!r}.")
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
    f"Expected a discrete action spec (dm_env DiscreteArray), got {describe(actions)}: {agent} needs discrete actions, "
    "one a step; for continuous ones use acme-d4pg."
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
        "needs continuous actions; for a discrete one use acme-dqn."
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
  """The spec of `batch` stacked values of `spec`, within the same bounds."""

  def stacked(leaf: Array) -> Array:
    shape = (batch, *leaf.shape)
    if not isinstance(leaf, BoundedArray):
      return Array(shape, leaf.dtype, leaf.name)
    return BoundedArray(shape, leaf.dtype, leaf.minimum, leaf.maximum, leaf.name)

  return tree.map_structure(stacked, spec)


def describe(spec: types.NestedSpec) -> str:
  """A short name for a spec: `BoundedArray(shape=(1,), dtype=float32)`."""

  def brief(leaf: Array) -> str:
    values = f", num_values={leaf.num_values}" if isinstance(leaf, DiscreteArray) else ""
    return f"{type(leaf).__name__}(shape={leaf.shape}, dtype={leaf.dtype}{values})"

  return str(tree.map_structure(brief, spec))
