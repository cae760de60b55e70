"""What MPO and DMPO share: their policy improvement, for Gaussian, categorical and mixed policies, and what it changes.

In each state there are N candidate actions, with probabilities p_n under the target policy π': N samples of 1/N each,
or, of a discrete policy, every action. The critic values them, q_n, and the policy is improved in two steps:

  E:  w_n ∝ p_n exp(q_n / η),  where η minimises  η ε + η log Σ_n p_n exp(q_n / η), so that KL(w ‖ p) = ε
  M:  max_θ Σ_n w_n log π_θ(a_n),  while KL(π' ‖ π_θ) ≤ ε_…, held by multipliers α: the saddle point of
      −Σ_n w_n log π_θ(a_n) + α (KL − ε_…)

A Gaussian policy is improved in its mean alone, and in its standard deviation alone, each within a bound of its own.
Of a policy over both kinds of actions weights are those of whole actions; each part has its own bound and multiplier.
Weights and KLs are constants to η and α, η and α constants to the policy.

References: Abdolmaleki et al. 2018 (1806.06920, 1812.02256); Abdolmaleki et al. 2020 (2005.07513), for the penalty;
Neunert et al. 2020 (2001.00449), for both kinds of actions.

Shapes: N candidates, M states, B batch, D numbers in an action, A actions, G choices, V numbers in a policy's action
(D, or D + Σ A with choices, which are one-hot), K outputs of a critic for an action.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Self

import chex
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax
import tree

from acme import configs, specs, types
from acme_jax import control, distributions, heads, networks, optimizers, program, spaces, targets

Duals = dict[str, jax.Array]  # Multipliers by name, before `positive`.
Critic = Callable[..., jax.Array]  # (observation, action) -> [M, K], or, where actions are discrete, o -> [M, A, K]

_SMALLEST = 1e-8  # Added to multipliers, which so never are 0.
_FLOOR = -18.0  # Below it softplus is that small itself, and its gradient lost.


class _Fields:
  """Some fields of a config, which documents them."""

  @classmethod
  def of(cls, config: configs.Config) -> Self:
    """Those of a config that has fields of these names."""
    return cls(**{field.name: getattr(config, field.name) for field in dataclasses.fields(cls)})  # type: ignore[arg-type]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(_Fields):
  """What policy improvement reads."""

  num_samples: int
  epsilon: float
  epsilon_mean: float
  epsilon_stddev: float
  epsilon_policy: float
  epsilon_penalty: float | None
  per_dimension: bool
  initial_log_temperature: float
  initial_log_alpha_mean: float
  initial_log_alpha_stddev: float
  initial_stddev: float
  min_stddev: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rates(_Fields):
  """How fast what is learned moves, and its targets."""

  policy_learning_rate: float
  critic_learning_rate: float
  dual_learning_rate: float
  max_gradient_norm: float | None
  target_policy_period: int
  target_critic_period: int


def positive(duals: Duals) -> Duals:
  """softplus(x) + 1e-8: the multipliers, from what is learned."""
  return {name: jax.nn.softplus(raw) + _SMALLEST for name, raw in duals.items()}


def floored(duals: Duals) -> Duals:
  """max(x, −18), to be applied after each step of an optimizer: from below, no gradient leads back."""
  return {name: jnp.maximum(raw, _FLOOR) for name, raw in duals.items()}


def e_step(q: jax.Array, log_prior: jax.Array, temperature: jax.Array, epsilon: float) -> tuple[jax.Array, jax.Array]:
  """The weights of candidates in one state, and the loss of their temperature (1806.06920, eq. 8 and 9).

    w_n ∝ p_n exp(q_n / η),    L(η) = η (ε + log Σ_n p_n exp(q_n / η))

  Args:
    q: [N], values of the candidates; a constant.
    log_prior: log p, [N].
    temperature: η, [].
    epsilon: ε, nats.

  Returns:
    w [N], through which no gradient flows, and L [], whose mean over states is to be minimised for η alone.
  """
  chex.assert_rank([q, log_prior, temperature], [1, 1, 0])
  chex.assert_equal_shape([q, log_prior])
  tempered = jax.lax.stop_gradient(log_prior) + jax.lax.stop_gradient(q) / temperature  # [N]
  loss = temperature * (epsilon + jax.nn.logsumexp(tempered))
  return jax.lax.stop_gradient(jax.nn.softmax(tempered)), loss


def trust_region(kl: jax.Array, alpha: jax.Array, epsilon: float) -> jax.Array:
  """stop(α) KL + α (ε − stop(KL)), summed: the loss of a policy held to a constraint, and of its multiplier.

  Args:
    kl: of the target policy from the new one in one state: [], or [D] of each dimension.
    alpha: α: of the shape of `kl`, or [1] where the constraint is on the sum over dimensions.
    epsilon: the bound, nats.

  Returns:
    The loss, [].
  """
  if alpha.shape != kl.shape:
    kl = jnp.sum(kl, keepdims=True)  # [1]
  chex.assert_equal_shape([kl, alpha])
  stop = jax.lax.stop_gradient
  loss: jax.Array = jnp.sum(stop(alpha) * kl + alpha * (epsilon - stop(kl)))
  return loss


def out_of_bounds(action: jax.Array) -> jax.Array:
  """−‖a − clip(a, −1, 1)‖₂: [N, D] to [N], a second value of actions, 0 within the bounds."""
  distance: jax.Array = jnp.linalg.norm(action - jnp.clip(action, -1, 1), axis=-1)
  return -distance


class Loss(NamedTuple):
  """A loss, and numbers to log."""

  total: jax.Array
  metrics: dict[str, jax.Array]


def gaussian_loss(
  duals: Duals,
  online: distributions.DiagonalGaussian,
  target: distributions.DiagonalGaussian,
  action: jax.Array,
  q: jax.Array,
  settings: Settings,
) -> Loss:
  """The loss of a Gaussian policy and of its multipliers in one state (1812.02256, §4).

  The weights are those of the values and, with `epsilon_penalty`, those of the distance out of bounds, added.

  Args:
    duals: raw: "temperature" [], "alpha_mean" and "alpha_stddev" [D] or [1], "penalty_temperature" [] where there is
      a penalty.
    online: over [D], which is learned.
    target: over [D]; a constant.
    action: [N, D], samples of the target policy, not clipped.
    q: [N], their values.
    settings: the bounds.

  Returns:
    The loss, [], and what to log: all are to be averaged over states.
  """
  chex.assert_rank([online.mean, action, q], [1, 2, 1])
  chex.assert_equal_shape([online.mean, online.stddev, target.mean, target.stddev])
  chex.assert_shape(action, (*q.shape, *online.mean.shape))
  dual = positive(duals)
  uniform = jnp.full_like(q, -math.log(q.shape[0]))  # [N], log 1/N
  weights, total = e_step(q, uniform, dual["temperature"], settings.epsilon)
  metrics = {"kl_weights": _kl(weights, uniform)}
  if settings.epsilon_penalty is not None:
    penalty = out_of_bounds(action)  # [N]
    penalized, loss = e_step(penalty, uniform, dual["penalty_temperature"], settings.epsilon_penalty)
    metrics |= {"kl_penalty": _kl(penalized, uniform), "out_of_bounds": -jnp.mean(penalty)}
    weights, total = weights + penalized, total + loss
  new_mean = distributions.DiagonalGaussian(online.mean, target.stddev)
  new_stddev = distributions.DiagonalGaussian(target.mean, online.stddev)
  total -= jnp.sum(weights * (new_mean.log_prob(action) + new_stddev.log_prob(action)))
  for name, new, epsilon in (
    ("mean", new_mean, settings.epsilon_mean),
    ("stddev", new_stddev, settings.epsilon_stddev),
  ):
    kl = target.kl_per_dimension(new)  # [D]
    total += trust_region(kl, dual[f"alpha_{name}"], epsilon)
    metrics[f"kl_{name}"] = jnp.sum(kl)
  return Loss(total, metrics | {"stddev": jnp.mean(online.stddev)})


def categorical_loss(
  duals: Duals, online: distributions.Categorical, target: distributions.Categorical, q: jax.Array, settings: Settings
) -> Loss:
  """The loss of a discrete policy and of its multipliers in one state: expectations are exact, over all actions.

  Args:
    duals: raw: "temperature" [] and "alpha_policy" [].
    online: over A actions, which is learned.
    target: the same; a constant.
    q: [A], values of all actions.
    settings: the bounds.

  Returns:
    The loss, [], and what to log: all are to be averaged over states.
  """
  chex.assert_rank(q, 1)
  chex.assert_equal_shape([online.logits, target.logits, q])
  dual = positive(duals)
  weights, total = e_step(q, target.log_probs, dual["temperature"], settings.epsilon)
  kl = target.kl(online)
  total += trust_region(kl, dual["alpha_policy"], settings.epsilon_policy) - jnp.sum(weights * online.log_probs)
  metrics = {"kl_weights": _kl(weights, target.log_probs), "kl_policy": kl, "entropy": online.entropy()}
  return Loss(total, metrics)


def mixed_loss(
  duals: Duals,
  online: distributions.Mixed,
  target: distributions.Mixed,
  action: jax.Array,
  q: jax.Array,
  settings: Settings,
) -> Loss:
  """The loss of a policy over numbers and choices, and of its multipliers, in one state (2001.00449, §3).

  Choices are weighed by the values of whole actions, as the numbers are; by the penalty numbers alone.

  Args:
    duals: raw: as for `gaussian_loss`, and "alpha_policy" [G].
    online: over [V], which is learned.
    target: the same; a constant.
    action: [N, V], samples of the target policy, not clipped.
    q: [N], their values.
    settings: the bounds.

  Returns:
    The loss, [], and what to log: all are to be averaged over states.
  """
  chex.assert_rank([action, q], [2, 1])
  numbers, *choices = target.parts(action)  # [N, D], and each [N, A]
  total, metrics = gaussian_loss(duals, online.gaussian, target.gaussian, numbers, q, settings)
  dual = positive(duals)
  weights, _ = e_step(q, jnp.full_like(q, -math.log(q.shape[0])), dual["temperature"], settings.epsilon)  # As there.
  kls, entropies = [], []
  for chosen, new, old in zip(choices, online.categoricals, target.categoricals, strict=True):
    total -= weights @ (chosen @ new.log_probs)
    kls.append(old.kl(new))
    entropies.append(new.entropy())
  kl = jnp.stack(kls)  # [G]
  total += trust_region(kl, dual["alpha_policy"], settings.epsilon_policy)
  return Loss(total, metrics | {"kl_policy": jnp.sum(kl), "entropy": jnp.sum(jnp.stack(entropies))})


def _kl(weights: jax.Array, log_prior: jax.Array) -> jax.Array:
  """KL(w ‖ p), []; a weight of 0 counts nothing."""
  return jnp.sum(jax.scipy.special.xlogy(weights, weights) - weights * log_prior)


class Candidates(NamedTuple):
  """Actions that the policy may be moved to in each of M states, and the target policy's probability of each."""

  action: Any  # [N, M, V]; () where they are all that there are
  log_prior: jax.Array  # [N, M]

  def mean(self, values: jax.Array) -> jax.Array:
    """Σ_n p_n x_n, of values [N, M] or [N, M, K]: their expectation under the target policy, [M] or [M, K]."""
    prior = jnp.exp(self.log_prior)
    return jnp.sum(jnp.reshape(prior, (*prior.shape, *[1] * (values.ndim - 2))) * values, axis=0)


class _Vectors:
  """Actions that are vectors of V numbers to policies and critics."""

  space: spaces.Continuous | spaces.Mixed
  size: int  # V

  def zeros(self, num_states: int) -> tuple[np.ndarray, ...]:
    """What a critic takes besides observations [M, …]: actions [M, V]."""
    return (np.zeros((num_states, self.size), np.float32),)

  def critic_shape(self, num_outputs: int) -> tuple[int, ...]:
    """The shape of what a critic gives in a state: (K,)."""
    return (num_outputs,)

  def make_critic(self, spec: types.NestedSpec, num_outputs: int, hidden_sizes: Sequence[int]) -> Critic:
    return control.Critic(spec, num_outputs, hidden_sizes)

  def values(self, critic: Critic, observation: types.NestedArray, candidates: Candidates) -> jax.Array:
    """What the critic gives for each candidate as the environment would execute it: [N, M, K]."""
    values: jax.Array = jax.vmap(critic, in_axes=(None, 0))(observation, self.bounded(candidates.action))
    return values

  def value(self, critic: Critic, observation: types.NestedArray, action: jax.Array) -> jax.Array:
    """What the critic gives for one action in each state, [M, V]: [M, K]."""
    return critic(observation, action)

  def bounded(self, action: jax.Array) -> jax.Array:
    """What the environment makes of an action: clip(a, −1, 1)."""
    return jnp.clip(action, -1, 1)

  def stored(self, action: types.NestedArray) -> jax.Array:
    """The environment's actions [M, …] as policies and critics have them, [M, V]."""
    return self.space.from_environment(action)


class Continuous(_Vectors):
  """Gaussian policies over a nest of bounded actions, D numbers; critics of observation and action."""

  distribution = distributions.DiagonalGaussian

  def __init__(self, space: spaces.Continuous, settings: Settings) -> None:
    self.space, self.size = space, space.size  # D
    self._settings = settings

  def policy_shapes(self, num_states: int) -> list[tuple[int, ...]]:
    """Those of the arrays of a distribution."""
    return [(num_states, self.size)] * 2

  def make_head(self) -> heads.GaussianHead:
    return heads.GaussianHead(self.size, self._settings.initial_stddev, self._settings.min_stddev)

  def make_duals(self) -> Duals:
    """The multipliers, raw, as they are at first."""
    settings = self._settings
    size = self.size if settings.per_dimension else 1
    duals = {
      "temperature": jnp.float32(settings.initial_log_temperature),
      "alpha_mean": jnp.full(size, settings.initial_log_alpha_mean, jnp.float32),
      "alpha_stddev": jnp.full(size, settings.initial_log_alpha_stddev, jnp.float32),
    }
    if settings.epsilon_penalty is not None:
      duals["penalty_temperature"] = jnp.float32(settings.initial_log_temperature)
    return duals

  def draw(self, key: jax.Array, num_states: int) -> jax.Array:
    """All that an update draws: standard normal [N, M, D]. The key is consumed."""
    return jax.random.normal(key, (self._settings.num_samples, num_states, self.size))

  def candidates(self, target: distributions.DiagonalGaussian, noise: jax.Array) -> Candidates:
    """μ + σ ε, not clipped, of policies in M states."""
    action = target.mean + target.stddev * noise  # [N, M, D]
    return Candidates(action, jnp.full(action.shape[:2], -math.log(action.shape[0])))

  def loss(self, duals: Duals, online: Any, target: Any, candidates: Candidates, q: jax.Array) -> Loss:
    """`gaussian_loss` in M states: each of its leaves is [M]."""
    function = jax.vmap(gaussian_loss, in_axes=(None, 0, 0, 1, 1, None))
    return function(duals, online, target, candidates.action, q, self._settings)


class Mixed(_Vectors):
  """Policies over a nest of bounded actions, D numbers, and discrete ones, G choices; critics of whole actions."""

  distribution = distributions.Mixed
  space: spaces.Mixed

  def __init__(self, space: spaces.Mixed, settings: Settings) -> None:
    self.space, self.size = space, space.size  # V
    self._settings, self._numbers = settings, Continuous(space.continuous, settings)

  def policy_shapes(self, num_states: int) -> list[tuple[int, ...]]:
    return [*self._numbers.policy_shapes(num_states), *((num_states, num) for num in self.space.num_values)]

  def make_head(self) -> heads.MixedHead:
    return heads.MixedHead(self._numbers.make_head, self.space.num_values)

  def make_duals(self) -> Duals:
    alpha = jnp.full(len(self.space.num_values), self._settings.initial_log_alpha_mean, jnp.float32)
    return self._numbers.make_duals() | {"alpha_policy": alpha}

  def draw(self, key: jax.Array, num_states: int) -> tuple[jax.Array, ...]:
    """Standard normal [N, M, D], and Gumbel [N, M, A] of each choice. The key is consumed."""
    keys = jax.random.split(key, 1 + len(self.space.num_values))
    shape = self._settings.num_samples, num_states
    gumbel = [jax.random.gumbel(k, (*shape, num)) for k, num in zip(keys[1:], self.space.num_values, strict=True)]
    return self._numbers.draw(keys[0], num_states), *gumbel

  def candidates(self, target: distributions.Mixed, noise: tuple[jax.Array, ...]) -> Candidates:
    """Samples [N, M, V]: of each choice the largest of logits + Gumbel noise."""
    numbers = self._numbers.candidates(target.gaussian, noise[0])
    perturbed = [p.logits + gumbel for p, gumbel in zip(target.categoricals, noise[1:], strict=True)]  # each [N, M, A]
    chosen = [jax.nn.one_hot(jnp.argmax(each, axis=-1), each.shape[-1]) for each in perturbed]
    return numbers._replace(action=jnp.concatenate([numbers.action, *chosen], axis=-1))

  def loss(self, duals: Duals, online: Any, target: Any, candidates: Candidates, q: jax.Array) -> Loss:
    """`mixed_loss` in M states."""
    function = jax.vmap(mixed_loss, in_axes=(None, 0, 0, 1, 1, None))
    return function(duals, online, target, candidates.action, q, self._settings)


class Discrete:
  """Categorical policies over A actions; critics that value all of them at once. Nothing is sampled."""

  distribution = distributions.Categorical

  def __init__(self, space: spaces.Discrete, settings: Settings) -> None:
    self.space, self.size = space, space.num_values  # A
    self._settings = settings

  def policy_shapes(self, num_states: int) -> list[tuple[int, ...]]:
    return [(num_states, self.size)]

  def zeros(self, num_states: int) -> tuple[np.ndarray, ...]:
    """Nothing: a critic takes observations alone."""
    return ()

  def critic_shape(self, num_outputs: int) -> tuple[int, ...]:
    """(A, K)."""
    return self.size, num_outputs

  def make_head(self) -> heads.CategoricalHead:
    return heads.CategoricalHead(self.size)

  def make_critic(self, spec: types.NestedSpec, num_outputs: int, hidden_sizes: Sequence[int]) -> Critic:
    return AllActionsCritic(spec, self.size, num_outputs, hidden_sizes)

  def make_duals(self) -> Duals:
    temperature, alpha = self._settings.initial_log_temperature, self._settings.initial_log_alpha_mean
    return {"temperature": jnp.float32(temperature), "alpha_policy": jnp.float32(alpha)}

  def draw(self, key: jax.Array, num_states: int) -> tuple[()]:
    return ()

  def candidates(self, target: distributions.Categorical, noise: Any) -> Candidates:
    return Candidates((), jnp.moveaxis(target.log_probs, -1, 0))  # [A, M]

  def values(self, critic: Critic, observation: types.NestedArray, candidates: Candidates) -> jax.Array:
    return jnp.moveaxis(critic(observation), 1, 0)  # [A, M, K]

  def value(self, critic: Critic, observation: types.NestedArray, action: jax.Array) -> jax.Array:
    """The same for an action [M]."""
    return jnp.take_along_axis(critic(observation), action[:, None, None], axis=1)[:, 0]  # [M, K]

  def bounded(self, action: jax.Array) -> jax.Array:
    return action

  def stored(self, action: types.NestedArray) -> jax.Array:
    return jnp.asarray(action)

  def loss(self, duals: Duals, online: Any, target: Any, candidates: Candidates, q: jax.Array) -> Loss:
    """`categorical_loss` in M states."""
    return jax.vmap(categorical_loss, in_axes=(None, 0, 0, 1, None))(duals, online, target, q, self._settings)


Kind = Continuous | Mixed | Discrete


def make_kind(spec: specs.EnvironmentSpec, agent: str, config: configs.Config) -> Kind:
  """How an environment's actions are chosen and improved, by a config that has the fields of `Settings`.

  Raises:
    ValueError: they are neither one discrete action nor a nest with bounded floats; the message says what to do.
  """
  leaves = tree.flatten(spec.actions)
  if len(leaves) > 1 and all(isinstance(leaf, specs.DiscreteArray) for leaf in leaves):
    raise ValueError(
      f"{agent} takes one discrete action, or a nest with continuous ones in it, got {specs.describe(spec.actions)}."
    )
  space, settings = spaces.make(spec, agent, "discrete", "continuous", "mixed"), Settings.of(config)
  if isinstance(space, spaces.Mixed):
    return Mixed(space, settings)
  return Discrete(space, settings) if isinstance(space, spaces.Discrete) else Continuous(space, settings)


class Policy(hk.Module):
  """head(LayerNormMLP(features)): a distribution over actions."""

  def __init__(
    self, spec: types.NestedSpec, make_head: Callable[[], Any], hidden_sizes: Sequence[int], name: str | None = None
  ) -> None:
    """Makes a policy over observations of `spec`; `make_head` as `Continuous.make_head`."""
    super().__init__(name)
    self._spec, self._make_head, self._hidden_sizes = spec, make_head, hidden_sizes

  def __call__(self, observation: types.NestedArray) -> Any:
    x = networks.LayerNormMLP(self._hidden_sizes)(networks.ObservationTorso(self._spec)(observation))
    return self._make_head()(x)


class AllActionsCritic(hk.Module):
  """Linear(LayerNormMLP(features)): [B, A, K], K outputs for each action."""

  def __init__(
    self,
    spec: types.NestedSpec,
    num_actions: int,
    num_outputs: int,
    hidden_sizes: Sequence[int],
    name: str | None = None,
  ) -> None:
    super().__init__(name)
    self._spec, self._shape, self._hidden_sizes = spec, (num_actions, num_outputs), hidden_sizes

  def __call__(self, observation: types.NestedArray) -> jax.Array:
    x = networks.LayerNormMLP(self._hidden_sizes)(networks.ObservationTorso(self._spec)(observation))
    return jnp.reshape(hk.Linear(self._shape[0] * self._shape[1])(x), (-1, *self._shape))


class Params(NamedTuple):
  """All that is learned, or what there is of each part."""

  policy: Any
  critic: Any
  duals: Any


class TrainingState(NamedTuple):
  """All that changes as the learner learns."""

  params: Params
  target_policy: Any  # copied from params every config.target_policy_period steps
  target_critic: Any  # and every config.target_critic_period steps
  opt_state: optax.OptState
  key: jax.Array  # constant; what is drawn at a step follows from both
  steps: jax.Array  # [] int32, SGD steps taken


def make_optimizer(rates: Rates) -> optax.GradientTransformation:
  """Adam for each part of `Params`, by its learning rate; gradients of networks have a largest norm, each its own."""
  adam, norm = optimizers.adam, rates.max_gradient_norm
  parts = {
    "policy": adam(rates.policy_learning_rate, max_gradient_norm=norm),
    "critic": adam(rates.critic_learning_rate, max_gradient_norm=norm),
    "duals": adam(rates.dual_learning_rate),
  }
  return optax.multi_transform(parts, Params(*parts))


Pair = tuple[hk.Transformed, hk.Transformed]  # a policy and a critic


class Networks(NamedTuple):
  """Pure functions."""

  policy: hk.Transformed  # observation [B, …] -> distribution over actions [B, V], or over A
  critic: hk.Transformed  # (observation [B, …], action [B, V]) -> [B, K]; of discrete actions o -> [B, A, K]
  kind: Kind  # of actions, and how policies over them are improved
  observation: types.NestedArray  # zeros [1, …], to initialise with


def make_networks(
  spec: specs.EnvironmentSpec,
  kind: Kind,
  num_outputs: int,
  policy_hidden_sizes: Sequence[int],
  critic_hidden_sizes: Sequence[int],
) -> Pair:
  """Makes a policy and a critic with K outputs for an action."""

  def policy(observation: types.NestedArray) -> Any:
    return Policy(spec.observations, kind.make_head, policy_hidden_sizes)(observation)

  def critic(*inputs: Any) -> jax.Array:
    return kind.make_critic(spec.observations, num_outputs, critic_hidden_sizes)(*inputs)

  return hk.transform(policy), hk.transform(critic)


def take_networks(network: Pair, spec: specs.EnvironmentSpec, kind: Kind, num_outputs: int) -> Networks:
  """Takes a pair of policy and critic; raises as `check_networks`."""
  check_networks(network, spec, kind, num_outputs)
  policy, critic = (hk.without_apply_rng(each) for each in network)
  return Networks(policy, critic, kind, networks.zeros(spec.observations))


def check_networks(network: Any, spec: specs.EnvironmentSpec, kind: Kind, num_outputs: int) -> None:
  """Holds a pair of policy and critic to what they are to give; nothing is computed.

  Raises:
    TypeError: it is no pair of haiku.Transformed.
    ValueError: the policy does not give a distribution over the actions, or the critic K outputs for an action.
  """
  pair = isinstance(network, tuple) and len(network) == 2
  if not pair or not all(isinstance(each, hk.Transformed) for each in network):
    raise TypeError(f"network: expected a pair of haiku.Transformed, policy and critic, got {network!r}.")
  policy, critic = network
  observation = networks.zeros(spec.observations, batch=2)

  def run(key: jax.Array) -> Any:
    return policy.apply(policy.init(key, observation), key, observation)

  given = jax.eval_shape(run, jax.random.PRNGKey(0))
  shapes = kind.policy_shapes(2)
  if not isinstance(given, kind.distribution) or [leaf.shape for leaf in jax.tree.leaves(given)] != shapes:
    raise ValueError(
      f"network: expected a policy that gives an acme_jax.distributions.{kind.distribution.__name__} with arrays "
      f"{shapes} for a batch of 2 observations, got {given}. Change its last layer: acme_jax.heads has some."
    )
  networks.check_output(critic, spec, kind.critic_shape(num_outputs), "outputs [K] for each action", *kind.zeros(2))


def make_state(
  nets: Networks, rates: Rates, policy_key: jax.Array, critic_key: jax.Array, key: jax.Array
) -> TrainingState:
  """The first state, `key` being its own: the target networks are the online networks. The keys are consumed."""
  policy = nets.policy.init(policy_key, nets.observation)
  critic = nets.critic.init(critic_key, nets.observation, *nets.kind.zeros(1))
  params = Params(policy, critic, nets.kind.make_duals())
  return TrainingState(params, policy, critic, make_optimizer(rates).init(params), key, jnp.zeros((), jnp.int32))


def draw(nets: Networks, state: TrainingState, num_states: int) -> Any:
  """All that one update draws."""
  return nets.kind.draw(jax.random.fold_in(state.key, state.steps), num_states)


def make_step(rates: Rates) -> Callable[[TrainingState, Params], tuple[TrainingState, dict[str, jax.Array]]]:
  """The pure function (state, gradients) -> (state after a step, multipliers to log)."""
  optimizer = make_optimizer(rates)

  def step(state: TrainingState, gradients: Params) -> tuple[TrainingState, dict[str, jax.Array]]:
    updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
    params: Params = optax.apply_updates(state.params, updates)
    params, steps = params._replace(duals=floored(params.duals)), state.steps + 1
    target_policy = targets.periodic_update(params.policy, state.target_policy, steps, rates.target_policy_period)
    target_critic = targets.periodic_update(params.critic, state.target_critic, steps, rates.target_critic_period)
    multipliers = {name: jnp.mean(value) for name, value in positive(params.duals).items()}
    return TrainingState(params, target_policy, target_critic, opt_state, state.key, steps), multipliers

  return step


def make_program(
  nets: Networks,
  init: Callable[[jax.Array], TrainingState],
  update: program.Update[TrainingState],
  make_policy: Callable[..., program.Policy[hk.Params, tuple[()]]],
) -> program.Program[TrainingState, hk.Params, tuple[()]]:
  """Makes the program; arguments as those of `acme_jax.control.make_program`."""
  return program.Program(
    init=init,
    update=update,
    params=lambda state: state.params.policy,
    variables=lambda state: {
      **state.params._asdict(),
      "target_policy": state.target_policy,
      "target_critic": state.target_critic,
    },
    behaviour=make_policy(evaluation=False),
    evaluation=make_policy(evaluation=True),
    space=nets.kind.space,
  )
