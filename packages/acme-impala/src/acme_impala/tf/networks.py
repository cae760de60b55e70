"""IMPALA's network, which unrolls over sequences, and the two kinds of policies that it gives.

Shapes: B batch, L steps, N environments, F features, H units, D numbers in an action, A actions.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import sonnet as snt
import tensorflow as tf

from acme import specs, types
from acme_impala import config as impala_config
from acme_tf import functions, networks, recurrent, spaces, variables

InitialCore = Callable[[int], Any]  # B -> the recurrent state [B, …] in which episodes begin
Pair = tuple[variables.Factory, InitialCore]


class Discrete:
  """One discrete action, by a categorical policy; the logits that acted are kept."""

  distribution: type = networks.Categorical

  def __init__(self, space: spaces.Discrete, config: impala_config.IMPALAConfig) -> None:
    self.space, self.size = space, space.num_values  # A

  def make_head(self) -> networks.CategoricalHead:
    """Makes a layer from features [B, L, F] to a policy over [B, L]."""
    return networks.CategoricalHead(self.size)

  def sample(self, policy: networks.Categorical, seed: tf.Tensor) -> tuple[tf.Tensor, types.NestedArray]:
    """Actions [N], and what is kept of them. The seed is consumed."""
    return policy.sample(seed), {"logits": policy.logits}

  def mode(self, policy: networks.Categorical) -> tf.Tensor:
    """The most probable actions [N]."""
    return policy.mode()

  def log_probs(self, policy: networks.Categorical, data: types.Sequence) -> tuple[tf.Tensor, tf.Tensor]:
    """Log π and log μ of the actions taken, [B, L] each."""
    behaviour = networks.Categorical(data.extras["logits"])
    return policy.log_prob(data.action), behaviour.log_prob(data.action)


class Continuous:
  """Any bounded float actions, by a Gaussian policy whose draws are clipped; see `acme_impala.jax.networks`."""

  distribution: type = networks.Gaussian

  def __init__(self, space: spaces.Continuous, config: impala_config.IMPALAConfig) -> None:
    self.space, self.size = space, space.size  # D
    self._scales = (config.initial_stddev, config.min_stddev)

  def make_head(self) -> networks.GaussianHead:
    """Makes a layer from features [B, L, F] to a policy over [B, L]."""
    return BoundedGaussianHead(self.size, *self._scales, name="gaussian_head")

  def sample(self, policy: networks.Gaussian, seed: tf.Tensor) -> tuple[tf.Tensor, types.NestedArray]:
    """Actions [N, D] in [−1, 1], and what is kept of them. The seed is consumed."""
    draw = policy.sample(seed, 1)[0]
    return tf.clip_by_value(draw, -1, 1), {"draw": draw, "log_prob": policy.log_prob(draw)}

  def mode(self, policy: networks.Gaussian) -> tf.Tensor:
    """The means, within the bounds: [N, D]."""
    return tf.clip_by_value(policy.mode(), -1, 1)

  def log_probs(self, policy: networks.Gaussian, data: types.Sequence) -> tuple[tf.Tensor, tf.Tensor]:
    """Log π and log μ of the draws, [B, L] each."""
    return policy.log_prob(data.extras["draw"]), data.extras["log_prob"]


class BoundedGaussianHead(networks.GaussianHead):
  """A `GaussianHead` whose mean is within [−1, 1], by tanh."""

  def __call__(self, x: tf.Tensor) -> networks.Gaussian:
    policy = super().__call__(x)
    return policy._replace(loc=tf.tanh(policy.loc))


class Network(snt.Module):
  """Torso by the observations, then `hidden_sizes`, then the core where there is one, then a policy and a value."""

  def __init__(
    self, spec: specs.EnvironmentSpec, config: impala_config.IMPALAConfig, kind: Discrete | Continuous
  ) -> None:
    super().__init__("impala")
    self._torso = networks.ObservationTorso(spec.observations)
    self._hidden = networks.MLP(config.hidden_sizes, activation=tf.tanh, name="hidden")
    self._core = None if config.core is None else _make_core(config)
    self._policy = networks.MLP(config.head_hidden_sizes, activation=tf.tanh, name="policy")
    self._value = networks.MLP(config.head_hidden_sizes, activation=tf.tanh, name="value")
    self._policy_head, self._value_head = kind.make_head(), snt.Linear(1, name="value_head")

  def __call__(self, observation: types.NestedArray, start: tf.Tensor, core: Any) -> tuple[Any, tf.Tensor, Any]:
    """From observations [B, L, …], starts [B, L], a state [B, …] to a policy over [B, L], values [B, L], a state."""
    x = self._hidden(snt.BatchApply(self._torso)(observation))  # [B, L, F]
    if self._core is not None:
      x, core = self._core.unroll(x, start, core)  # [B, L, H]
    return self._policy_head(self._policy(x)), self._value_head(self._value(x))[..., 0], core


def _make_core(config: impala_config.IMPALAConfig) -> recurrent.Core:
  return recurrent.Core((snt.LSTM if config.core == "lstm" else snt.GRU)(config.core_size))


class Networks(NamedTuple):
  """A factory, and what its networks work on."""

  make: variables.Factory  # (observation [B, L, …], starts [B, L], core [B, …]) -> (policy, values [B, L], core)
  initial_core: InitialCore
  kind: Discrete | Continuous
  observation: types.NestedArray  # zeros [1, 1, …], to make variables with

  def inputs(self) -> tuple[Any, ...]:
    """What the network's variables are made with: one sequence of one step."""
    return self.observation, np.ones((1, 1), bool), self.initial_core(1)


def make_networks(
  spec: specs.EnvironmentSpec, config: impala_config.IMPALAConfig, network: Pair | None = None
) -> Networks:
  """Makes the network that the config and specs ask for, or takes `network` where it fits them.

  Raises:
    ValueError: the actions are neither one discrete one nor bounded floats, or the network's output does not fit.
    TypeError: `network` is no pair of functions.
  """
  space = spaces.make(spec, "IMPALA", "discrete", "continuous")
  kind = Discrete(space, config) if isinstance(space, spaces.Discrete) else Continuous(space, config)
  observation = tf.nest.map_structure(lambda x: x[:, None], networks.zeros(spec.observations))
  if network is None:
    initial = lambda batch: () if config.core is None else _make_core(config).initial_state(batch)  # noqa: E731
    return Networks(functools.partial(Network, spec, config, kind), initial, kind, observation)
  if not isinstance(network, tuple) or len(network) != 2 or not all(map(callable, network)):
    raise TypeError(f"network: expected functions that make a module and its first state, got {network!r}.")
  nets = Networks(*network, kind, observation)
  _check(nets)
  return nets


def _check(nets: Networks) -> None:
  """Holds the network to what it is to give."""
  inputs = tf.nest.map_structure(tf.constant, nets.inputs())
  network = variables.create(nets.make, *inputs)
  given = functions.outputs(lambda: network(*functions.single(inputs)))
  fits = isinstance(given, tuple) and len(given) == 3 and isinstance(given[0], nets.kind.distribution)
  fits = fits and {tuple(leaf.shape) for leaf in given[0]} == {(1, 1, nets.kind.size)}
  shapes = lambda nest: [tuple(leaf.shape) for leaf in tf.nest.flatten(nest)]  # noqa: E731
  if not fits or tuple(given[1].shape) != (1, 1) or shapes(given[2]) != shapes(inputs[2]):
    raise ValueError(
      f"network: expected a {nets.kind.distribution.__name__} of acme_tf.networks with arrays "
      f"{(1, 1, nets.kind.size)}, values (1, 1) and a recurrent state like {inputs[2]} for a sequence of 1 step, got "
      f"{given}."
    )
