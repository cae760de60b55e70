"""IMPALA's network, which unrolls over sequences, and the two kinds of policies that it gives.

Shapes: B batch, L steps, N environments, F features, H units, D numbers in an action, A actions.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp

from acme import specs, types
from acme_impala import config as impala_config
from acme_jax import distributions, heads, networks, recurrent, spaces

InitialCore = Callable[[int], Any]  # B -> the recurrent state [B, …] in which episodes begin
Pair = tuple[hk.Transformed, InitialCore]


class Discrete:
  """One discrete action, by a categorical policy; the logits that acted are kept."""

  distribution: type = distributions.Categorical

  def __init__(self, space: spaces.Discrete, config: impala_config.IMPALAConfig) -> None:
    self.space, self.size = space, space.num_values  # A

  def make_head(self) -> Callable[[jax.Array], distributions.Categorical]:
    """Makes a layer from features [B, L, F] to a policy over [B, L], within `hk.transform`."""
    return heads.CategoricalHead(self.size)

  def sample(self, policy: distributions.Categorical, key: jax.Array) -> tuple[jax.Array, types.NestedArray]:
    """Actions [N], and what is kept of them. The key is consumed."""
    return policy.sample(key), {"logits": policy.logits}

  def mode(self, policy: distributions.Categorical) -> jax.Array:
    """The most probable actions [N]."""
    return policy.mode()

  def log_probs(self, policy: distributions.Categorical, data: types.Sequence) -> tuple[jax.Array, jax.Array]:
    """Log π and log μ of the actions taken, [B, L] each."""
    behaviour = distributions.Categorical(data.extras["logits"])
    return policy.log_prob(data.action), behaviour.log_prob(data.action)


class Continuous:
  """Any bounded float actions, by a Gaussian policy whose draws are clipped to the bounds when they are executed.

  Its mean is a tanh, within the bounds: beyond them all draws would do the same, and no gradient lead back. The draw is
  kept beside its log-probability, and is what the policy is said to have done: clipping belongs to the environment, so
  that densities and their ratios are exact at the bounds, too.
  """

  distribution: type = distributions.DiagonalGaussian

  def __init__(self, space: spaces.Continuous, config: impala_config.IMPALAConfig) -> None:
    self.space, self.size = space, space.size  # D
    self._scales = (config.initial_stddev, config.min_stddev)

  def make_head(self) -> Callable[[jax.Array], distributions.DiagonalGaussian]:
    """Makes a layer from features [B, L, F] to a policy over [B, L], within `hk.transform`."""
    head = heads.GaussianHead(self.size, *self._scales)

    def bounded(x: jax.Array) -> distributions.DiagonalGaussian:
      policy = head(x)
      return policy._replace(mean=jnp.tanh(policy.mean))

    return bounded

  def sample(self, policy: distributions.DiagonalGaussian, key: jax.Array) -> tuple[jax.Array, types.NestedArray]:
    """Actions [N, D] in [−1, 1], and what is kept of them. The key is consumed."""
    draw = policy.sample(key)
    return jnp.clip(draw, -1, 1), {"draw": draw, "log_prob": policy.log_prob(draw)}

  def mode(self, policy: distributions.DiagonalGaussian) -> jax.Array:
    """The means, within the bounds: [N, D]."""
    return jnp.clip(policy.mode(), -1, 1)

  def log_probs(self, policy: distributions.DiagonalGaussian, data: types.Sequence) -> tuple[jax.Array, jax.Array]:
    """Log π and log μ of the draws, [B, L] each."""
    return policy.log_prob(data.extras["draw"]), data.extras["log_prob"]


class Networks(NamedTuple):
  """Pure functions, and what they need."""

  unroll: hk.Transformed  # (observation [B, L, …], starts [B, L], core [B, …]) -> (policy, values [B, L], core)
  initial_core: InitialCore
  kind: Discrete | Continuous
  observation: types.NestedArray  # zeros [1, 1, …], to initialise with


def make_networks(
  spec: specs.EnvironmentSpec, config: impala_config.IMPALAConfig, network: Pair | None = None
) -> Networks:
  """Makes the network that the config and specs ask for, or takes `network` where it fits them.

  Raises:
    ValueError: the actions are neither one discrete one nor bounded floats, or the network's output does not fit.
    TypeError: `network` is no pair of a haiku.Transformed and a function.
  """
  space = spaces.make(spec, "IMPALA", "discrete", "continuous")
  kind = Discrete(space, config) if isinstance(space, spaces.Discrete) else Continuous(space, config)
  if network is None:
    network = _default(spec, config, kind)
  elif not (isinstance(network, tuple) and len(network) == 2 and isinstance(network[0], hk.Transformed)):
    raise TypeError(f"network: expected a haiku.Transformed and a function for its first state, got {network!r}.")
  unroll, initial_core = network
  nets = Networks(hk.without_apply_rng(unroll), initial_core, kind, _with_time(networks.zeros(spec.observations)))
  _check(nets, _with_time(networks.zeros(spec.observations, batch=2)))
  return nets


def _default(spec: specs.EnvironmentSpec, config: impala_config.IMPALAConfig, kind: Discrete | Continuous) -> Pair:
  """Torso by the observations, then `hidden_sizes`, then the core where there is one, then a policy and a value."""
  mlp = functools.partial(networks.mlp, activation=jnp.tanh)

  def make_core() -> recurrent.Core:
    return recurrent.Core((hk.LSTM if config.core == "lstm" else hk.GRU)(config.core_size))

  def unroll(observation: types.NestedArray, start: jax.Array, core: Any) -> tuple[Any, jax.Array, Any]:
    x = hk.BatchApply(networks.ObservationTorso(spec.observations))(observation)  # [B, L, F]
    x = mlp(x, config.hidden_sizes)
    if config.core is not None:
      x, core = make_core().unroll(x, start, core)  # [B, L, H]
    policy, value = (mlp(x, config.head_hidden_sizes) for _ in range(2))
    return kind.make_head()(policy), heads.ValueHead()(value), core

  initial = hk.transform(lambda batch: make_core().initial_state(batch))
  return hk.transform(unroll), lambda batch: () if config.core is None else initial.apply({}, None, batch)


def _with_time(nest: types.NestedArray) -> types.NestedArray:
  """[B, …] as sequences of one step, [B, 1, …]."""
  return jax.tree.map(lambda x: x[:, None], nest)


def _check(nets: Networks, observation: types.NestedArray) -> None:
  """Holds the network to what it is to give; nothing is computed."""

  def run(key: jax.Array) -> Any:
    inputs = (observation, jnp.ones((2, 1), bool), nets.initial_core(2))
    return inputs[-1], nets.unroll.apply(nets.unroll.init(key, *inputs), *inputs)

  core, given = jax.eval_shape(run, jax.random.PRNGKey(0))
  fits = isinstance(given, tuple) and len(given) == 3 and isinstance(given[0], nets.kind.distribution)
  fits = fits and {leaf.shape for leaf in given[0]} == {(2, 1, nets.kind.size)} and given[1].shape == (2, 1)
  if not fits or jax.tree.map(jnp.shape, given[2]) != jax.tree.map(jnp.shape, core):
    raise ValueError(
      f"network: expected a {nets.kind.distribution.__name__} of acme_jax.distributions with arrays "
      f"{(2, 1, nets.kind.size)}, values (2, 1) and a recurrent state like {core} for 2 sequences of 1 step, got "
      f"{given}."
    )
