"""The policy's network: a torso, perhaps a recurrent core, and a head, for one step or for whole sequences.

Shapes: B batch, L steps, F features, A actions, D numbers in an action.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp

from acme import specs, types
from acme_bc import config as bc_config
from acme_bc.jax import losses
from acme_jax import distributions, heads, networks, recurrent, spaces

Head = Callable[[jax.Array], Any]  # [B, F] to a policy over [B]
MakeNetwork = Callable[[], tuple[Callable[..., jax.Array], hk.RNNCore | None, Head]]  # called within hk.transform


class Deterministic(NamedTuple):
  """A policy that says what to do."""

  action: jax.Array  # […, D] in [−1, 1]

  def mode(self) -> jax.Array:
    """The action: […, D]."""
    return self.action


class Kind(NamedTuple):
  """A kind of policies, and what cloning does with them."""

  space: spaces.Discrete | spaces.Continuous
  policy: type  # with leaves […, size]
  size: int  # A or D
  make_head: Callable[[], Head]  # within hk.transform
  loss: Callable[[Any, jax.Array], jax.Array]  # (policy, what was done) -> [], for one step
  measure: str  # what else is measured: the share of steps in which the policy does the same, or its squared error


class Networks(NamedTuple):
  """Pure functions."""

  init: Callable[[jax.Array], hk.Params]  # the key is consumed
  step: Callable[..., tuple[Any, Any]]  # (params, observation [B, …], state) -> policy over [B], state
  unroll: Callable[..., tuple[Any, Any]]  # (params, observation [B, L, …], starts [B, L], state) -> over [B, L], state
  initial_state: Callable[[int], Any]  # B -> the state [B, …] in which episodes begin; () without a core
  kind: Kind


def make_kind(spec: specs.EnvironmentSpec, config: bc_config.BCConfig) -> Kind:
  """The kind that specs and config ask for. Raises ValueError for other actions, or where the config does not fit."""
  space = spaces.make(spec, "BC", "discrete", "continuous")
  if isinstance(space, spaces.Discrete):
    size = space.num_values
    loss = functools.partial(losses.cross_entropy, smoothing=config.label_smoothing)
    return Kind(space, distributions.Categorical, size, lambda: heads.CategoricalHead(size), loss, "accuracy")
  if config.class_balance:
    raise ValueError("BCConfig.class_balance: it weighs discrete actions, and these are continuous: leave it False.")
  size = space.size
  if config.continuous_loss == "mse":
    return Kind(space, Deterministic, size, lambda: _bounded(size), _error_of_policy, "mse")
  if config.continuous_loss == "gaussian":
    make = functools.partial(heads.GaussianHead, size, config.initial_stddev, config.min_stddev)
    return Kind(space, distributions.DiagonalGaussian, size, make, losses.negative_log_prob, "mse")
  make_squashed = functools.partial(_squashed, size, config.initial_stddev, config.min_stddev)
  return Kind(space, distributions.TanhGaussian, size, make_squashed, losses.negative_log_prob, "mse")


def make_networks(
  spec: specs.EnvironmentSpec, config: bc_config.BCConfig, network: MakeNetwork | None = None
) -> Networks:
  """Makes the network that the config and specs ask for, or takes the parts that `network` makes.

  Raises:
    TypeError: `network` is no function.
    ValueError: the actions are of no kind that can be cloned, or the network's parts do not fit them and the config.
  """
  kind = make_kind(spec, config)
  if network is not None and not callable(network):
    raise TypeError(f"network: expected a function that makes torso, core and head, got {network!r}.")
  make = functools.partial(_default, spec, config, kind) if network is None else network

  def functions() -> Any:
    torso, inner, head = make()
    if (inner is None) != (config.core is None):
      raise ValueError(
        f"network: expected a core where BCConfig.core has one, which is {config.core!r}, got {inner!r}."
      )
    core = None if inner is None else recurrent.Core(inner)

    def to_policy(x: jax.Array) -> Any:
      given = head(x)
      return Deterministic(given) if kind.policy is Deterministic else given

    def step(observation: types.NestedArray, state: Any) -> tuple[Any, Any]:
      x = torso(observation)  # [B, F]
      if core is not None:
        x, state = core.step(x, state)
      return to_policy(x), state

    def unroll(observation: types.NestedArray, start_of_episode: jax.Array, state: Any) -> tuple[Any, Any]:
      x = hk.BatchApply(torso)(observation)  # [B, L, F]
      if core is not None:
        x, state = core.unroll(x, start_of_episode, state)
      return hk.BatchApply(to_policy)(x), state

    def initial_state(batch: int) -> Any:
      return () if core is None else core.initial_state(batch)

    return (lambda observation: step(observation, initial_state(1))), (step, unroll, initial_state)

  transformed = hk.without_apply_rng(hk.multi_transform(functions))
  step, unroll, initial_state = transformed.apply
  observation = networks.zeros(spec.observations)
  nets = Networks(
    init=lambda key: transformed.init(key, observation),
    step=step,
    unroll=unroll,
    initial_state=lambda batch: initial_state({}, batch),
    kind=kind,
  )
  _check(nets, networks.zeros(spec.observations))
  return nets


def _default(spec: specs.EnvironmentSpec, config: bc_config.BCConfig, kind: Kind) -> Any:
  """Torso by the observations and `hidden_sizes`, an LSTM, a GRU or nothing, and the kind's own head."""

  def torso(observation: types.NestedArray) -> jax.Array:
    return networks.mlp(networks.ObservationTorso(spec.observations)(observation), config.hidden_sizes)

  core = None
  if config.core is not None:
    core = (hk.LSTM if config.core == "lstm" else hk.GRU)(config.core_size)
  return torso, core, kind.make_head()


def _bounded(size: int) -> Head:
  """Tanh of a linear layer: [B, F] to actions [B, D] in [−1, 1]."""
  linear = heads.near_zero_linear(size, name="action")
  return lambda x: jnp.tanh(linear(x))


def _squashed(size: int, initial_stddev: float, min_stddev: float) -> Head:
  """A `TanhGaussian`, its deviation before tanh as that of a `GaussianHead`."""
  head = heads.GaussianHead(size, initial_stddev, min_stddev)
  return lambda x: distributions.TanhGaussian(*head(x))


def _error_of_policy(policy: Deterministic, a: jax.Array) -> jax.Array:
  return losses.squared_error(policy.action, a)


def _check(nets: Networks, observation: types.NestedArray) -> None:
  """Raises ValueError where the network gives no policy of its kind over one observation; nothing is computed."""

  def run(key: jax.Array) -> Any:
    return nets.step(nets.init(key), observation, nets.initial_state(1))[0]

  policy, kind = jax.eval_shape(run, jax.random.PRNGKey(0)), nets.kind
  shapes = {jnp.shape(leaf) for leaf in jax.tree.leaves(policy)}
  if not isinstance(policy, kind.policy) or shapes != {(1, kind.size)}:
    raise ValueError(
      f"network: expected a head that gives a {kind.policy.__name__} with arrays {(1, kind.size)} for a batch of 1, "
      f"got {policy}. See acme_bc.BC."
    )
