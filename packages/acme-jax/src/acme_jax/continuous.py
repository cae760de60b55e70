"""Continuous actions: scaling to a spec's bounds, critics over observation and action, and Gaussian exploration.

Shapes: B batch, D numbers in an action (all leaves of its nest, flattened), K atoms.
"""

from collections.abc import Callable, Sequence
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import tree

from acme import core, replay, types
from acme_jax import acting, networks


class ActionSpace:
  """A nest of bounded float specs as one vector of D numbers in [−1, 1]."""

  def __init__(self, spec: types.NestedSpec) -> None:
    """Reads the bounds; `acme.specs.require_continuous` has checked that they are finite."""
    self._spec = spec
    leaves = tree.flatten(spec)
    self._shapes = [leaf.shape for leaf in leaves]
    self._leaves = leaves
    self._splits = np.cumsum([int(np.prod(shape)) for shape in self._shapes])[:-1].tolist()
    low = [np.broadcast_to(leaf.minimum, leaf.shape).ravel() for leaf in leaves]
    high = [np.broadcast_to(leaf.maximum, leaf.shape).ravel() for leaf in leaves]
    self._middle = ((np.concatenate(high) + np.concatenate(low)) / 2).astype(np.float32)
    self._half = ((np.concatenate(high) - np.concatenate(low)) / 2).astype(np.float32)
    if not ((self._half > 0) & np.isfinite(self._half)).all():
      raise ValueError(
        f"Expected every action's maximum above its minimum, in a range that float32 holds, got {spec}. Give actions "
        "without real bounds some of their own: the policy is scaled to them."
      )
    self.size = int(self._middle.size)  # D

  def flatten(self, action: types.NestedArray) -> jax.Array:
    """From a nest of actions [B, …] to [B, D] in [−1, 1]."""
    leaves = [jnp.reshape(leaf, (leaf.shape[0], -1)).astype(jnp.float32) for leaf in tree.flatten(action)]
    return (jnp.concatenate(leaves, axis=-1) - self._middle) / self._half

  def unflatten(self, vectors: np.ndarray) -> types.NestedArray:
    """From [B, D] in [−1, 1], on the host, to a nest of actions [B, …] within the bounds, in their dtypes."""
    parts = np.split(vectors * self._half + self._middle, self._splits, axis=-1)
    leaves = [
      np.clip(np.reshape(part, (len(vectors), *leaf.shape)).astype(leaf.dtype), leaf.minimum, leaf.maximum)
      for part, leaf in zip(parts, self._leaves, strict=True)
    ]  # Clipped again: scaling rounds.
    return tree.unflatten_as(self._spec, leaves)


class DeterministicPolicy(hk.Module):
  """tanh(Linear(LayerNormMLP(features))): [B, D] in [−1, 1]."""

  def __init__(self, spec: types.NestedSpec, size: int, hidden_sizes: Sequence[int], name: str | None = None) -> None:
    """Makes a policy over observations of `spec`, with actions of `size` D."""
    super().__init__(name)
    self._spec, self._size, self._hidden_sizes = spec, size, hidden_sizes

  def __call__(self, observation: types.NestedArray) -> jax.Array:
    x = networks.LayerNormMLP(self._hidden_sizes)(networks.ObservationTorso(self._spec)(observation))
    # Near zero at first, so that no action begins saturated.
    return jnp.tanh(hk.Linear(self._size, w_init=hk.initializers.VarianceScaling(1e-4))(x))


class Critic(hk.Module):
  """Linear(LayerNormMLP(features, action)): [B, K], such as one Q-value or the logits of K atoms."""

  def __init__(
    self, spec: types.NestedSpec, num_outputs: int, hidden_sizes: Sequence[int], name: str | None = None
  ) -> None:
    """Makes a critic over observations of `spec` and actions [B, D] in [−1, 1]."""
    super().__init__(name)
    self._spec, self._num_outputs, self._hidden_sizes = spec, num_outputs, hidden_sizes

  def __call__(self, observation: types.NestedArray, action: jax.Array) -> jax.Array:
    x = jnp.concatenate([networks.ObservationTorso(self._spec)(observation), action], axis=-1)
    return hk.Linear(self._num_outputs)(networks.LayerNormMLP(self._hidden_sizes)(x))


class GaussianActor(acting.FeedForwardActor):
  """Adds Gaussian noise, drawn on the host, to a policy's actions, and clips them to their bounds.

  a = clip(π(o) + σ ε, −1, 1), ε ~ N(0, I), scaled from [−1, 1] to the bounds.
  """

  def __init__(
    self,
    policy: Callable[..., Any],
    source: core.VariableSource,
    space: ActionSpace,
    *,
    sigma: float,
    seed: int,
    random_steps: int = 0,
    adder: replay.Adder | None = None,
    num_envs: int | None = None,
  ) -> None:
    """Makes an actor.

    Args:
      policy: jitted, (params, observation [B, …]) -> [B, D] in [−1, 1].
      source: where the policy's parameters come from.
      space: the actions.
      sigma: σ, in units of half an action's range; 0 for none.
      seed: of the noise.
      random_steps: environment steps at first whose actions are drawn uniformly within the bounds.
      adder: takes timesteps and actions; None where nothing is recorded.
      num_envs: N where observations and actions have a leading [N]; None for one environment.
    """
    super().__init__(policy, source, None, adder=adder, num_envs=num_envs)
    self._space = space
    self._sigma = sigma
    self._random_steps = random_steps
    self._random = np.random.default_rng(seed)

  def _act(self, observation: types.NestedArray) -> types.NestedArray:
    if self._steps < self._random_steps:
      shape = (self._num_envs or 1, self._space.size)
      vectors = self._random.uniform(-1, 1, shape).astype(np.float32)  # [B, D]
    else:
      batch = acting.add_batch(observation) if self._num_envs is None else observation
      vectors = np.asarray(self._policy(self._variables.params, batch))
      if self._sigma > 0:
        noise = self._random.standard_normal(vectors.shape, np.float32)
        vectors = np.clip(vectors + np.float32(self._sigma) * noise, -1, 1)
    actions = self._space.unflatten(vectors)
    return actions if self._num_envs is not None else tree.map_structure(lambda leaf: leaf[0], actions)

  def save(self) -> types.State:
    return {**super().save(), "random": self._random.bit_generator.state}

  def restore(self, state: types.State) -> None:
    super().restore(state)
    self._random.bit_generator.state = state["random"]
