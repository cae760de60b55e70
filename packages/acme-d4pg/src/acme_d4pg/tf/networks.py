"""D4PG's policy and critic.

Shapes: B batch, D numbers in an action, K atoms.
"""

import math
from typing import NamedTuple

import numpy as np
import sonnet as snt
import tensorflow as tf
import tree

from acme import specs, types
from acme_d4pg import config as d4pg_config
from acme_tf import networks, variables


class ActionSpace:
  """A nest of bounded float specs as one vector of D numbers in [−1, 1]."""

  def __init__(self, spec: types.NestedSpec) -> None:
    """Reads the bounds; `acme.specs.require_continuous` has checked that they are finite."""
    self._spec = spec
    leaves = tree.flatten(spec)
    self._shapes = [leaf.shape for leaf in leaves]
    self._sizes = [math.prod(shape) for shape in self._shapes]
    low = np.concatenate([np.broadcast_to(leaf.minimum, leaf.shape).ravel() for leaf in leaves])
    high = np.concatenate([np.broadcast_to(leaf.maximum, leaf.shape).ravel() for leaf in leaves])
    self._middle = ((high + low) / 2).astype(np.float32)
    self._half = ((high - low) / 2).astype(np.float32)
    if not ((self._half > 0) & np.isfinite(self._half)).all():
      raise ValueError(
        f"Expected every action's maximum above its minimum, in a range that float32 holds, got {spec}. Give actions "
        "without real bounds some of their own: the policy is scaled to them."
      )
    self.size = sum(self._sizes)  # D

  def flatten(self, action: types.NestedArray) -> tf.Tensor:
    """From a nest of actions [B, …] to [B, D] in [−1, 1]."""
    return (networks.flatten(self._spec, action) - self._middle) / self._half

  def unflatten(self, vectors: tf.Tensor) -> types.NestedArray:
    """From [B, D] in [−1, 1] to a nest of actions [B, …] within the bounds, as float32."""
    parts = tf.split(vectors * self._half + self._middle, self._sizes, axis=-1)
    leaves = [tf.reshape(part, (-1, *shape)) for part, shape in zip(parts, self._shapes, strict=True)]
    return tree.unflatten_as(self._spec, leaves)


class Networks(NamedTuple):
  """Factories, and what their networks work on."""

  make_policy: variables.Factory  # observation [B, …] -> action [B, D] in [−1, 1]
  make_critic: variables.Factory  # (observation [B, …], action [B, D]) -> networks.DiscreteValued, logits [B, K]
  space: ActionSpace  # between [−1, 1]^D and the environment's actions
  observation: types.NestedArray  # zeros [1, …], to make variables with


def make_networks(spec: specs.EnvironmentSpec, config: d4pg_config.D4PGConfig) -> Networks:
  """Makes both networks. Raises ValueError where the actions are not continuous and bounded."""
  space = ActionSpace(specs.require_continuous(spec, "D4PG"))
  scaled = spec._replace(actions=specs.Array((space.size,), np.float32))

  def policy() -> snt.Module:
    return snt.Sequential(
      [
        networks.ObservationTorso(spec.observations),
        networks.LayerNormMLP(config.policy_hidden_sizes),
        networks.near_zero_linear(space.size),  # So that no action begins saturated.
        tf.tanh,
      ]
    )

  def critic() -> snt.Module:
    head = networks.DiscreteValuedHead(config.vmin, config.vmax, config.num_atoms)
    return networks.CriticMultiplexer(scaled, snt.Sequential([networks.LayerNormMLP(config.critic_hidden_sizes), head]))

  return Networks(policy, critic, space, networks.zeros(spec.observations))
