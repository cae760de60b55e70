"""Running means and variances of observations, to scale them by.

  n' = n + m,  w = m / n',  μ' = μ + w (μ_b − μ),  v' = (1 − w) v + w v_b + w (1 − w) (μ_b − μ)²

for a batch of m observations with mean μ_b and variance v_b. Variances are kept, not sums of squares, so that only the
count grows. Where float32 counts no further, at 2²⁴ times m, later batches keep the weight that the last one had.

Only floating leaves of a nest are scaled; integers, bytes and discrete observations pass through as they are.

Reference: Chan et al. 1979, Updating Formulae and a Pairwise Algorithm for Computing Sample Variances.
"""

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tree

from acme import replay, specs, types
from acme_jax import program

_EPSILON = 1e-8  # Added to variances.
_RESOLUTION = 1e-5  # What varies by a smaller part of its mean varies by little but float32's rounding.
_LARGEST = 10.0  # Of a scaled observation.


class Statistics(NamedTuple):
  """Of all observations so far; a leaf for each of the nest, in its order, None for those that pass through."""

  seen: jax.Array  # n, [] float32
  mean: tuple[jax.Array | None, ...]  # μ, float32 of the shapes in the spec
  variance: tuple[jax.Array | None, ...]  # v, likewise


def init(spec: types.NestedSpec) -> Statistics:
  """Statistics of no observation: they scale by 1."""
  mean = tuple(
    jnp.zeros(leaf.shape, jnp.float32) if np.issubdtype(leaf.dtype, np.floating) else None
    for leaf in tree.flatten(spec)
  )
  return Statistics(jnp.zeros((), jnp.float32), mean, jax.tree.map(jnp.ones_like, mean))


def update_statistics(statistics: Statistics, batch: types.NestedArray, mask: jax.Array | None = None) -> Statistics:
  """Takes a batch of observations in.

  Args:
    statistics: of those before.
    batch: observations with any leading axes, such as [B, …] or [B, T, …].
    mask: [B] or [B, T], 1 for an observation that counts, 0 for padding; None where all count.

  Returns:
    Statistics of all of them.
  """
  means, variances, seen = [], [], statistics.seen
  for leaf, mean, variance in zip(tree.flatten(batch), statistics.mean, statistics.variance, strict=True):
    if mean is not None and variance is not None:
      mean, variance, seen = _merge(statistics.seen, mean, variance, leaf, mask)
    means.append(mean)
    variances.append(variance)
  return Statistics(seen, tuple(means), tuple(variances))


def _merge(
  seen: jax.Array, mean: jax.Array, variance: jax.Array, leaf: jax.Array, mask: jax.Array | None
) -> tuple[jax.Array, jax.Array, jax.Array]:
  leading = leaf.shape[: leaf.ndim - mean.ndim]
  counted = jnp.ones(leading, bool) if mask is None else mask.astype(bool)  # [B, …]
  size = jnp.sum(counted, dtype=jnp.float32)  # m
  counted = jnp.reshape(counted, (math.prod(leading), *[1] * mean.ndim))
  rows = jnp.reshape(leaf, (-1, *mean.shape)).astype(jnp.float32) - mean  # About μ, so that less is rounded away.

  def average(x: jax.Array) -> jax.Array:
    return jnp.sum(jnp.where(counted, x, 0), axis=0) / jnp.maximum(size, 1)

  shift = average(rows)  # μ_b − μ
  batch_variance = average(jnp.square(rows - shift))
  total = seen + size
  w = size / jnp.maximum(total, 1)
  variance = (1 - w) * variance + w * batch_variance + w * (1 - w) * jnp.square(shift)
  return mean + w * shift, variance, total


def normalize(statistics: Statistics, observation: types.NestedArray) -> types.NestedArray:
  """(o − μ) / √v, within ±10: observations with any leading axes, their floating leaves as float32."""

  def scale(leaf: jax.Array, mean: jax.Array | None, variance: jax.Array | None) -> jax.Array:
    if mean is None or variance is None:
      return leaf
    stddev = jnp.sqrt(variance + _EPSILON + jnp.square(_RESOLUTION * mean))
    return jnp.clip((leaf.astype(jnp.float32) - mean) / stddev, -_LARGEST, _LARGEST)

  leaves = zip(tree.flatten(observation), statistics.mean, statistics.variance, strict=True)
  return tree.unflatten_as(observation, [scale(*leaf) for leaf in leaves])


class Normalized(NamedTuple):
  """A program's state, or its parameters, beside the statistics by which it sees observations."""

  inner: Any
  statistics: Statistics


def normalized(agent: program.Program[Any, Any, Any], spec: specs.EnvironmentSpec) -> program.Program[Any, Any, Any]:
  """The program that sees each observation scaled, by statistics of all that it has learned from.

  They are part of its state, so they are saved, and of its parameters, so every actor scales as the learner does.
  """

  def update(state: Normalized, sample: replay.Sample) -> Any:
    data = sample.data
    mask = data.mask if isinstance(data, types.Sequence) else None
    statistics = update_statistics(state.statistics, data.observation, mask)
    inner, priorities, metrics = agent.update(state.inner, sample._replace(data=_scaled(statistics, data)))
    return Normalized(inner, statistics), priorities, metrics

  inner_evaluate, inner_priorities = agent.evaluate, agent.priorities

  def evaluate(state: Normalized, sample: replay.Sample) -> Any:
    assert inner_evaluate is not None
    return inner_evaluate(state.inner, sample._replace(data=_scaled(state.statistics, sample.data)))

  def priorities(params: Normalized, items: Any) -> jax.Array:
    assert inner_priorities is not None
    return inner_priorities(params.inner, _scaled(params.statistics, items))

  return dataclasses.replace(
    agent,
    init=lambda key: Normalized(agent.init(key), init(spec.observations)),
    update=update,
    params=lambda state: Normalized(agent.params(state.inner), state.statistics),
    variables=lambda state: {**agent.variables(state.inner), "statistics": jax.tree.leaves(state.statistics)},
    behaviour=None if agent.behaviour is None else _scaling(agent.behaviour),
    evaluation=None if agent.evaluation is None else _scaling(agent.evaluation),
    evaluate=None if inner_evaluate is None else evaluate,
    priorities=None if inner_priorities is None else priorities,
  )


def _scaling(policy: program.Policy[Any, Any]) -> program.Policy[Any, Any]:
  def act(params: Normalized, key: Any, step: types.Step, core: Any) -> program.Acted[Any]:
    observation = normalize(params.statistics, step.observation)
    return policy.act(params.inner, key, step._replace(observation=observation), core)

  return dataclasses.replace(policy, act=act, initial=lambda params, num_envs: policy.initial(params.inner, num_envs))


def _scaled(statistics: Statistics, data: Any) -> Any:
  """A transition or a sequence, its observations scaled."""
  data = data._replace(observation=normalize(statistics, data.observation))
  if isinstance(data, types.Sequence):
    return data
  if data.one_step != ():
    after = normalize(statistics, data.one_step.next_observation)
    data = data._replace(one_step=data.one_step._replace(next_observation=after))
  return data._replace(next_observation=normalize(statistics, data.next_observation))
