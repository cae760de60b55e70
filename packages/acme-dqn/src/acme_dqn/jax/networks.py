"""DQN's network, and what it means.

Shapes: B batch, A actions, K atoms or quantiles.
"""

from collections.abc import Callable
from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from acme import specs, types
from acme_dqn import config as dqn_config
from acme_jax import networks

Params = hk.Params


class Networks(NamedTuple):
  """Pure functions."""

  network: hk.Transformed  # observation [B, …] -> Q-values [B, A], atoms' logits [B, A, K], or quantiles [B, A, K]
  values: Callable[[jax.Array], jax.Array]  # any of these -> Q-values [B, A]
  num_actions: int  # A
  observation: types.NestedArray  # zeros [1, …], to initialise with


def make_networks(
  spec: specs.EnvironmentSpec, config: dqn_config.DQNConfig, network: hk.Transformed | None = None
) -> Networks:
  """Makes the network that the config and specs ask for, or takes `network` where it fits them.

  Raises:
    TypeError: `network` is no hk.Transformed.
    ValueError: its outputs do not fit.
  """
  num_actions = specs.require_discrete(spec, "DQN").num_values
  outputs, what = _outputs(config)
  shape = (num_actions, outputs) if outputs else (num_actions,)
  if network is None:
    network = hk.transform(_default(spec, config, shape))
  elif isinstance(network, hk.Transformed):
    networks.check_output(network, spec, shape, what)
  else:
    raise TypeError(f"network: expected a haiku.Transformed, got {network!r}. Make one with haiku.transform(…).")
  return Networks(network, _values(config), num_actions, networks.zeros(spec.observations))


def atoms(config: dqn_config.DQNConfig) -> np.ndarray:
  """The support of C51: [K] returns from vmin to vmax."""
  return np.linspace(config.vmin, config.vmax, config.num_atoms, dtype=np.float32)


def _outputs(config: dqn_config.DQNConfig) -> tuple[int, str]:
  """How many outputs an action has, 0 for one without an axis of its own, and what they are."""
  if config.categorical:
    return config.num_atoms, "logits [A, num_atoms]"
  if config.quantile:
    return config.num_quantiles, "quantiles [A, num_quantiles]"
  return 0, "Q-values [A]"


def _values(config: dqn_config.DQNConfig) -> Callable[[jax.Array], jax.Array]:
  """From the network's outputs to Q-values [B, A]."""
  if config.categorical:
    support = atoms(config)
    return lambda logits: jax.nn.softmax(logits) @ support  # [B, A, K] -> [B, A]
  if config.quantile:
    return lambda quantiles: jnp.mean(quantiles, axis=-1)  # [B, A, K] -> [B, A]
  return lambda q: q


def _default(
  spec: specs.EnvironmentSpec, config: dqn_config.DQNConfig, shape: tuple[int, ...]
) -> Callable[[types.NestedArray], jax.Array]:
  """Torso by the observations, then `hidden_sizes`, then a plain or dueling head, all with or without noise."""

  def linear(size: int) -> Callable[[jax.Array], jax.Array]:
    return networks.NoisyLinear(size, config.noisy_sigma) if config.noisy else hk.Linear(size)

  def network(observation: types.NestedArray) -> jax.Array:
    x = networks.ObservationTorso(spec.observations)(observation)  # [B, D]
    num_outputs = shape[1] if len(shape) > 1 else 1
    if config.dueling:
      *torso, last = config.hidden_sizes
      x = networks.mlp(x, torso, linear)
      x = networks.DuelingHead(shape[0], (last,), num_outputs, linear)(x)  # [B, A, K]
    else:
      x = linear(shape[0] * num_outputs)(networks.mlp(x, config.hidden_sizes, linear))
    return jnp.reshape(x, (-1, *shape))

  return network
