"""The policy's network: a torso, perhaps a recurrent core, and a head, for one step or for whole sequences.

Shapes: B batch, L steps, F features, A actions, D numbers in an action.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import sonnet as snt
import tensorflow as tf

from acme import specs, types
from acme_bc import config as bc_config
from acme_bc.tf import losses
from acme_tf import functions, networks, recurrent, spaces, variables

Parts = tuple[Callable[..., tf.Tensor], snt.RNNCore | None, Callable[[tf.Tensor], Any]]  # torso, core, head
MakeNetwork = Callable[[], Parts]


class Deterministic(NamedTuple):
  """A policy that says what to do."""

  action: tf.Tensor  # [B, D] in [−1, 1]

  def mode(self) -> tf.Tensor:
    """The action: [B, D]."""
    return self.action


class Kind(NamedTuple):
  """A kind of policies, and what cloning does with them; see `acme_bc.jax.networks`."""

  space: spaces.Discrete | spaces.Continuous
  policy: type  # with leaves [B, size]
  size: int  # A or D
  make_head: Callable[[], snt.Module]
  loss: Callable[[Any, tf.Tensor], tf.Tensor]  # (policy, what was done) -> [B]
  measure: str


def make_kind(spec: specs.EnvironmentSpec, config: bc_config.BCConfig) -> Kind:
  """The kind that specs and config ask for. Raises ValueError for other actions, or where the config does not fit."""
  space = spaces.make(spec, "BC", "discrete", "continuous")
  if isinstance(space, spaces.Discrete):
    smoothed = functools.partial(losses.cross_entropy, smoothing=config.label_smoothing)
    head = functools.partial(networks.CategoricalHead, space.num_values, name="categorical_head")
    return Kind(space, networks.Categorical, space.num_values, head, smoothed, "accuracy")
  if config.class_balance:
    raise ValueError("BCConfig.class_balance: it weighs discrete actions, and these are continuous: leave it False.")
  if config.continuous_loss == "mse":
    error = lambda policy, a: losses.squared_error(policy.action, a)  # noqa: E731
    return Kind(space, Deterministic, space.size, functools.partial(BoundedHead, space.size), error, "mse")
  gaussian = config.continuous_loss == "gaussian"
  policy, make = (networks.Gaussian, networks.GaussianHead) if gaussian else (networks.TanhGaussian, SquashedHead)
  made = functools.partial(make, space.size, config.initial_stddev, config.min_stddev)
  return Kind(space, policy, space.size, made, losses.negative_log_prob, "mse")


class BoundedHead(snt.Module):
  """Tanh of a linear layer: [B, F] to actions [B, D] in [−1, 1]."""

  def __init__(self, size: int) -> None:
    super().__init__("bounded_head")
    self._linear = networks.near_zero_linear(size, name="linear")

  def __call__(self, x: tf.Tensor) -> tf.Tensor:
    return tf.tanh(self._linear(x))


class SquashedHead(snt.Module):
  """A `GaussianHead` whose policy is squashed by tanh."""

  def __init__(self, size: int, initial_stddev: float, min_stddev: float) -> None:
    super().__init__("squashed_head")
    self._head = networks.GaussianHead(size, initial_stddev, min_stddev)

  def __call__(self, x: tf.Tensor) -> networks.TanhGaussian:
    return networks.TanhGaussian(*self._head(x))


class Network(snt.Module):
  """Torso, core and head, for one step or for whole sequences."""

  def __init__(self, make: MakeNetwork, kind: Kind, recurrent_: bool) -> None:
    """Makes the parts. Raises ValueError where there is a core and should be none, or the reverse."""
    super().__init__("bc")
    self._torso, inner, self._head = make()
    if (inner is not None) != recurrent_:
      wanted = "a core, as BCConfig.core says" if recurrent_ else "no core, as BCConfig.core is None"
      raise ValueError(f"network: expected {wanted}, got {inner!r}.")
    self._core = None if inner is None else recurrent.Core(inner)
    self._kind = kind

  def __call__(self, observation: types.NestedArray) -> Any:
    """The first step of one episode, with which the variables are made."""
    return self.step(observation, self.initial_state(1))[0]

  def step(self, observation: types.NestedArray, state: Any) -> tuple[Any, Any]:
    """From observations [B, …] and a state to a policy over [B] and a state."""
    x = self._torso(observation)  # [B, F]
    if self._core is not None:
      x, state = self._core.step(x, state)
    return self._to_policy(x), state

  def unroll(self, observation: types.NestedArray, start: tf.Tensor) -> Any:
    """From observations [B, L, …] and starts [B, L] to a policy over [B · L]; within a `tf.function`."""
    x = snt.BatchApply(self._torso)(observation)  # [B, L, F]
    if self._core is not None:
      x, _ = self._core.unroll(x, start, self.initial_state(start.shape[0]))
    return self._to_policy(tf.reshape(x, (-1, x.shape[-1])))

  def initial_state(self, batch: int) -> Any:
    """The state in which episodes begin; () without a core."""
    return () if self._core is None else self._core.initial_state(batch)

  def _to_policy(self, x: tf.Tensor) -> Any:
    given = self._head(x)
    return Deterministic(given) if self._kind.policy is Deterministic else given


class Networks(NamedTuple):
  """A factory, and what its networks work on."""

  make: variables.Factory
  kind: Kind
  observation: types.NestedArray  # zeros [1, …], to make variables with


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
  parts = functools.partial(_default, spec, config, kind) if network is None else network
  make = functools.partial(Network, parts, kind, config.core is not None)
  nets = Networks(make, kind, networks.zeros(spec.observations))
  if network is not None:
    _check(nets)
  return nets


def _default(spec: specs.EnvironmentSpec, config: bc_config.BCConfig, kind: Kind) -> Parts:
  """Torso by the observations and `hidden_sizes`, an LSTM, a GRU or nothing, and the kind's own head."""
  torso = snt.Sequential([networks.ObservationTorso(spec.observations), networks.MLP(config.hidden_sizes)], "torso")
  core = None
  if config.core is not None:
    core = (snt.LSTM if config.core == "lstm" else snt.GRU)(config.core_size)
  return torso, core, kind.make_head()


def _check(nets: Networks) -> None:
  """Raises ValueError where the network gives no policy of its kind over one observation."""
  observation = tf.nest.map_structure(tf.constant, nets.observation)
  network = variables.create(nets.make, observation)
  policy, kind = functions.outputs(lambda: network(functions.single(observation))), nets.kind
  shapes = {tuple(getattr(leaf, "shape", ())) for leaf in tf.nest.flatten(policy)}
  if not isinstance(policy, kind.policy) or shapes != {(1, kind.size)}:
    raise ValueError(
      f"network: expected a head that gives a {kind.policy.__name__} with arrays {(1, kind.size)} for a batch of 1, "
      f"got {policy}. See acme_bc.BC."
    )
