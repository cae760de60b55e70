"""What MPO and DMPO share: their policy improvement, for Gaussian, categorical and mixed policies.

The twin of `acme_jax.mpo`, which says what each part is; its losses are those of a batch of states.

References: Abdolmaleki et al. 2018 (1806.06920, 1812.02256); Abdolmaleki et al. 2020 (2005.07513), for the penalty;
Neunert et al. 2020 (2001.00449), for both kinds of actions.

Shapes: N candidates, M states, B batch, D numbers in an action, A actions, G choices, V numbers in a policy's action
(D, or D + Σ A with choices, which are one-hot), K outputs of a critic for an action.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import sonnet as snt
import tensorflow as tf
import tree

from acme import configs, specs, types
from acme_tf import control, functions, learning, networks, program, spaces, variables

Duals = Mapping[str, Any]  # Multipliers by name, before `positive`; variables or tensors.
Critic = Callable[..., tf.Tensor]  # (observation, action) -> [M, K], or, where actions are discrete, o -> [M, A, K]

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


def positive(duals: Duals) -> dict[str, tf.Tensor]:
  """softplus(x) + 1e-8: the multipliers, from what is learned."""
  return {name: tf.nn.softplus(raw) + _SMALLEST for name, raw in duals.items()}


def put_floor(duals: Mapping[str, tf.Variable]) -> None:
  """Sets max(x, −18), after each step of an optimizer: from below, no gradient leads back."""
  for raw in duals.values():
    raw.assign(tf.maximum(raw, _FLOOR))


def e_step(q: tf.Tensor, log_prior: tf.Tensor, temperature: tf.Tensor, epsilon: float) -> tuple[tf.Tensor, tf.Tensor]:
  """The weights of candidates, and the loss of their temperature (1806.06920, eq. 8 and 9).

    w_n ∝ p_n exp(q_n / η),    L(η) = η (ε + log Σ_n p_n exp(q_n / η))

  Args:
    q: [N, M], values of the candidates; a constant.
    log_prior: log p, [N, M].
    temperature: η, [].
    epsilon: ε, nats.

  Returns:
    w [N, M], through which no gradient flows, and L [M], whose mean is to be minimised for η alone.
  """
  tempered = tf.stop_gradient(log_prior) + tf.stop_gradient(q) / temperature  # [N, M]
  loss = temperature * (epsilon + tf.reduce_logsumexp(tempered, axis=0))
  return tf.stop_gradient(tf.nn.softmax(tempered, axis=0)), loss


def trust_region(kl: tf.Tensor, alpha: tf.Tensor, epsilon: float) -> tf.Tensor:
  """stop(α) KL + α (ε − stop(KL)), summed: the loss of a policy held to a constraint, and of its multiplier.

  Args:
    kl: of the target policy from the new one: [M, D], or [M, 1].
    alpha: α: [D], or [1] where the constraint is on the sum over dimensions.
    epsilon: the bound, nats.

  Returns:
    The loss, [M].
  """
  if alpha.shape[0] != kl.shape[1]:
    kl = tf.reduce_sum(kl, axis=1, keepdims=True)  # [M, 1]
  return tf.reduce_sum(tf.stop_gradient(alpha) * kl + alpha * (epsilon - tf.stop_gradient(kl)), axis=1)


def out_of_bounds(action: tf.Tensor) -> tf.Tensor:
  """−‖a − clip(a, −1, 1)‖₂: [N, M, D] to [N, M], a second value of actions, 0 within the bounds."""
  return -tf.norm(action - tf.clip_by_value(action, -1, 1), axis=-1)


class Loss(NamedTuple):
  """A loss, and numbers to log: of each state, [M], and to be averaged over states."""

  total: tf.Tensor
  metrics: dict[str, tf.Tensor]


def gaussian_loss(
  duals: Duals,
  online: networks.Gaussian,
  target: networks.Gaussian,
  action: tf.Tensor,
  q: tf.Tensor,
  settings: Settings,
) -> Loss:
  """The loss of a Gaussian policy and of its multipliers (1812.02256, §4).

  Args:
    duals: raw: "temperature" [], "alpha_mean" and "alpha_stddev" [D] or [1], "penalty_temperature" [] where there is
      a penalty.
    online: over [M, D], which is learned.
    target: over [M, D]; a constant.
    action: [N, M, D], samples of the target policy, not clipped; constants.
    q: [N, M], their values.
    settings: the bounds.

  Returns:
    The loss, and what to log.
  """
  dual = positive(duals)
  uniform = tf.fill(tf.shape(q), -math.log(q.shape[0]))  # [N, M], log 1/N
  weights, total = e_step(q, uniform, dual["temperature"], settings.epsilon)
  metrics = {"kl_weights": _kl(weights, uniform)}
  if settings.epsilon_penalty is not None:
    penalty = out_of_bounds(action)  # [N, M]
    penalized, loss = e_step(penalty, uniform, dual["penalty_temperature"], settings.epsilon_penalty)
    metrics |= {"kl_penalty": _kl(penalized, uniform), "out_of_bounds": -tf.reduce_mean(penalty, axis=0)}
    weights, total = weights + penalized, total + loss
  new_mean = networks.Gaussian(online.loc, target.scale)
  new_stddev = networks.Gaussian(target.loc, online.scale)
  total -= tf.reduce_sum(weights * (new_mean.log_prob(action) + new_stddev.log_prob(action)), axis=0)
  for name, new, epsilon in (
    ("mean", new_mean, settings.epsilon_mean),
    ("stddev", new_stddev, settings.epsilon_stddev),
  ):
    kl = target.kl_per_dimension(new)  # [M, D]
    total += trust_region(kl, dual[f"alpha_{name}"], epsilon)
    metrics[f"kl_{name}"] = tf.reduce_sum(kl, axis=1)
  return Loss(total, metrics | {"stddev": tf.reduce_mean(online.scale, axis=1)})


def categorical_loss(
  duals: Duals, online: networks.Categorical, target: networks.Categorical, q: tf.Tensor, settings: Settings
) -> Loss:
  """The loss of a discrete policy and of its multipliers: expectations are exact, over all actions.

  Args:
    duals: raw: "temperature" [] and "alpha_policy" [].
    online: over [M] of A actions, which is learned.
    target: the same; a constant.
    q: [A, M], values of all actions.
    settings: the bounds.

  Returns:
    The loss, and what to log.
  """
  dual = positive(duals)
  prior, log_probs = tf.transpose(target.log_probs), tf.transpose(online.log_probs)  # [A, M]
  weights, total = e_step(q, prior, dual["temperature"], settings.epsilon)
  kl = target.kl(online)  # [M]
  total += trust_region(kl[:, None], dual["alpha_policy"][None], settings.epsilon_policy)
  total -= tf.reduce_sum(weights * log_probs, axis=0)
  return Loss(total, {"kl_weights": _kl(weights, prior), "kl_policy": kl, "entropy": online.entropy()})


def mixed_loss(
  duals: Duals, online: networks.Mixed, target: networks.Mixed, action: tf.Tensor, q: tf.Tensor, settings: Settings
) -> Loss:
  """The loss of a policy over numbers and choices, and of its multipliers (2001.00449, §3).

  Choices are weighed by the values of whole actions, as the numbers are; by the penalty numbers alone.

  Args:
    duals: raw: as for `gaussian_loss`, and "alpha_policy" [G].
    online: over [M, V], which is learned.
    target: the same; a constant.
    action: [N, M, V], samples of the target policy, not clipped; constants.
    q: [N, M], their values.
    settings: the bounds.

  Returns:
    The loss, and what to log.
  """
  numbers, *choices = target.parts(action)  # [N, M, D], and each [N, M, A]
  total, metrics = gaussian_loss(duals, online.gaussian, target.gaussian, numbers, q, settings)
  dual = positive(duals)
  uniform = tf.fill(tf.shape(q), -math.log(q.shape[0]))  # [N, M], log 1/N
  weights, _ = e_step(q, uniform, dual["temperature"], settings.epsilon)  # As there.
  kls, entropies = [], []
  for chosen, new, old in zip(choices, online.categoricals, target.categoricals, strict=True):
    total -= tf.reduce_sum(weights * tf.reduce_sum(chosen * new.log_probs, axis=-1), axis=0)
    kls.append(old.kl(new))
    entropies.append(new.entropy())
  kl = tf.stack(kls, axis=1)  # [M, G]
  total += trust_region(kl, dual["alpha_policy"], settings.epsilon_policy)
  return Loss(total, metrics | {"kl_policy": tf.reduce_sum(kl, axis=1), "entropy": tf.add_n(entropies)})


def _kl(weights: tf.Tensor, log_prior: tf.Tensor) -> tf.Tensor:
  """KL(w ‖ p), [M]; a weight of 0 counts nothing."""
  return tf.reduce_sum(tf.math.xlogy(weights, weights) - weights * log_prior, axis=0)


class Candidates(NamedTuple):
  """Actions that the policy may be moved to in each of M states, and the target policy's probability of each."""

  action: Any  # [N, M, V]; () where they are all that there are
  log_prior: tf.Tensor  # [N, M]

  def mean(self, values: tf.Tensor) -> tf.Tensor:
    """Σ_n p_n x_n, of values [N, M] or [N, M, K]: their expectation under the target policy, [M] or [M, K]."""
    prior = tf.exp(self.log_prior)
    return tf.reduce_sum((prior if values.shape.rank == 2 else prior[..., None]) * values, axis=0)


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

  def make_critic(self, spec: types.NestedSpec, num_outputs: int, hidden_sizes: Sequence[int]) -> snt.Module:
    return control.Critic(spec, num_outputs, hidden_sizes)

  def values(self, critic: Critic, observation: types.NestedArray, candidates: Candidates) -> tf.Tensor:
    """What the critic gives for each candidate as the environment would execute it: [N, M, K]."""
    action = self.bounded(candidates.action)
    num_candidates, num_states, size = action.shape

    def repeat(leaf: tf.Tensor) -> tf.Tensor:
      return tf.tile(leaf, (num_candidates, *[1] * (leaf.shape.rank - 1)))  # [N·M, …]

    values = critic(tf.nest.map_structure(repeat, observation), tf.reshape(action, (-1, size)))
    return tf.reshape(values, (num_candidates, num_states, -1))

  def value(self, critic: Critic, observation: types.NestedArray, action: tf.Tensor) -> tf.Tensor:
    """What the critic gives for one action in each state, [M, V]: [M, K]."""
    return critic(observation, action)

  def bounded(self, action: tf.Tensor) -> tf.Tensor:
    """What the environment makes of an action: clip(a, −1, 1)."""
    return tf.clip_by_value(action, -1, 1)

  def stored(self, action: types.NestedArray) -> tf.Tensor:
    """The environment's actions [M, …] as policies and critics have them, [M, V]."""
    return self.space.from_environment(action)


class Continuous(_Vectors):
  """Gaussian policies over a nest of bounded actions, D numbers; critics of observation and action."""

  distribution = networks.Gaussian

  def __init__(self, space: spaces.Continuous, settings: Settings) -> None:
    self.space, self.size = space, space.size  # D
    self._settings = settings

  def policy_shapes(self, num_states: int) -> list[tuple[int, ...]]:
    """Those of the arrays of a distribution."""
    return [(num_states, self.size)] * 2

  def make_head(self) -> snt.Module:
    return networks.GaussianHead(self.size, self._settings.initial_stddev, self._settings.min_stddev)

  def make_duals(self) -> dict[str, tf.Variable]:
    """The multipliers, raw, as they are at first."""
    settings = self._settings
    size = self.size if settings.per_dimension else 1
    duals = {
      "temperature": np.float32(settings.initial_log_temperature),
      "alpha_mean": np.full(size, settings.initial_log_alpha_mean, np.float32),
      "alpha_stddev": np.full(size, settings.initial_log_alpha_stddev, np.float32),
    }
    if settings.epsilon_penalty is not None:
      duals["penalty_temperature"] = np.float32(settings.initial_log_temperature)
    return {name: tf.Variable(value, name=name) for name, value in duals.items()}

  def draw(self, seed: tf.Tensor, num_states: int) -> tf.Tensor:
    """All that an update draws: standard normal [N, M, D]. The seed [2] is consumed."""
    return tf.random.stateless_normal((self._settings.num_samples, num_states, self.size), seed)

  def candidates(self, target: networks.Gaussian, noise: tf.Tensor) -> Candidates:
    """μ + σ ε, not clipped, of policies in M states."""
    action = target.loc + target.scale * noise  # [N, M, D]
    return Candidates(action, tf.fill(tf.shape(action)[:2], -math.log(action.shape[0])))

  def sample(self, policy: networks.Gaussian, seed: tf.Tensor) -> tf.Tensor:
    """One action in each state, as the environment executes it, [M, D]. The seed [2] is consumed."""
    return self.bounded(policy.sample(seed, 1)[0])

  def loss(self, duals: Duals, online: Any, target: Any, candidates: Candidates, q: tf.Tensor) -> Loss:
    """`gaussian_loss` of these candidates."""
    return gaussian_loss(duals, online, target, candidates.action, q, self._settings)


class Mixed(_Vectors):
  """Policies over a nest of bounded actions, D numbers, and discrete ones, G choices; critics of whole actions."""

  distribution = networks.Mixed
  space: spaces.Mixed

  def __init__(self, space: spaces.Mixed, settings: Settings) -> None:
    self.space, self.size = space, space.size  # V
    self._settings, self._numbers = settings, Continuous(space.continuous, settings)

  def policy_shapes(self, num_states: int) -> list[tuple[int, ...]]:
    return [*self._numbers.policy_shapes(num_states), *((num_states, num) for num in self.space.num_values)]

  def make_head(self) -> snt.Module:
    return networks.MixedHead(self._numbers.make_head, self.space.num_values)

  def make_duals(self) -> dict[str, tf.Variable]:
    alpha = np.full(len(self.space.num_values), self._settings.initial_log_alpha_mean, np.float32)
    return self._numbers.make_duals() | {"alpha_policy": tf.Variable(alpha, name="alpha_policy")}

  def draw(self, seed: tf.Tensor, num_states: int) -> tuple[tf.Tensor, ...]:
    """Standard normal [N, M, D], and Gumbel [N, M, A] of each choice. The seed [2] is consumed."""
    seeds = [tf.random.experimental.stateless_fold_in(seed, i) for i in range(1 + len(self.space.num_values))]
    shape = self._settings.num_samples, num_states
    uniform = [  # Above 0, whose logarithm is none.
      tf.random.stateless_uniform((*shape, num), own, minval=np.finfo(np.float32).tiny)
      for own, num in zip(seeds[1:], self.space.num_values, strict=True)
    ]
    return self._numbers.draw(seeds[0], num_states), *(-tf.math.log(-tf.math.log(each)) for each in uniform)

  def candidates(self, target: networks.Mixed, noise: tuple[tf.Tensor, ...]) -> Candidates:
    """Samples [N, M, V]: of each choice the largest of logits + Gumbel noise."""
    numbers = self._numbers.candidates(target.gaussian, noise[0])
    perturbed = [p.logits + gumbel for p, gumbel in zip(target.categoricals, noise[1:], strict=True)]  # each [N, M, A]
    chosen = [tf.one_hot(tf.argmax(each, axis=-1), each.shape[-1]) for each in perturbed]
    return numbers._replace(action=tf.concat([numbers.action, *chosen], axis=-1))

  def sample(self, policy: networks.Mixed, seed: tf.Tensor) -> tf.Tensor:
    """One action in each state, as the environment executes it, [M, V]. The seed [2] is consumed."""
    return self.bounded(policy.sample(seed))

  def loss(self, duals: Duals, online: Any, target: Any, candidates: Candidates, q: tf.Tensor) -> Loss:
    """`mixed_loss` of these candidates."""
    return mixed_loss(duals, online, target, candidates.action, q, self._settings)


class Discrete:
  """Categorical policies over A actions; critics that value all of them at once. Nothing is sampled."""

  distribution = networks.Categorical

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

  def make_head(self) -> snt.Module:
    return networks.CategoricalHead(self.size)

  def make_critic(self, spec: types.NestedSpec, num_outputs: int, hidden_sizes: Sequence[int]) -> snt.Module:
    return AllActionsCritic(spec, self.size, num_outputs, hidden_sizes)

  def make_duals(self) -> dict[str, tf.Variable]:
    settings = self._settings
    duals = {"temperature": settings.initial_log_temperature, "alpha_policy": settings.initial_log_alpha_mean}
    return {name: tf.Variable(np.float32(value), name=name) for name, value in duals.items()}

  def draw(self, seed: tf.Tensor, num_states: int) -> tuple[()]:
    return ()

  def candidates(self, target: networks.Categorical, noise: Any) -> Candidates:
    return Candidates((), tf.transpose(target.log_probs))  # [A, M]

  def values(self, critic: Critic, observation: types.NestedArray, candidates: Candidates) -> tf.Tensor:
    return tf.transpose(critic(observation), (1, 0, 2))  # [A, M, K]

  def value(self, critic: Critic, observation: types.NestedArray, action: tf.Tensor) -> tf.Tensor:
    """The same for an action [M]."""
    return tf.gather(critic(observation), action, axis=1, batch_dims=1)  # [M, K]

  def sample(self, policy: networks.Categorical, seed: tf.Tensor) -> tf.Tensor:
    return policy.sample(seed)  # [M]

  def bounded(self, action: tf.Tensor) -> tf.Tensor:
    return action

  def stored(self, action: types.NestedArray) -> tf.Tensor:
    return action

  def loss(self, duals: Duals, online: Any, target: Any, candidates: Candidates, q: tf.Tensor) -> Loss:
    """`categorical_loss` of all actions."""
    return categorical_loss(duals, online, target, q, self._settings)


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


class Policy(snt.Module):
  """head(LayerNormMLP(features)): a distribution over actions."""

  def __init__(
    self, spec: types.NestedSpec, make_head: Callable[[], Any], hidden_sizes: Sequence[int], name: str | None = None
  ) -> None:
    """Makes a policy over observations of `spec`; `make_head` as `Continuous.make_head`."""
    super().__init__(name)
    self._torso = networks.ObservationTorso(spec)
    self._hidden = networks.LayerNormMLP(hidden_sizes)
    self._head = make_head()

  def __call__(self, observation: types.NestedArray) -> Any:
    return self._head(self._hidden(self._torso(observation)))


class AllActionsCritic(snt.Module):
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
    self._shape = (num_actions, num_outputs)
    self._torso = networks.ObservationTorso(spec)
    self._hidden = networks.LayerNormMLP(hidden_sizes)
    self._head = snt.Linear(num_actions * num_outputs, name="head")

  def __call__(self, observation: types.NestedArray) -> tf.Tensor:
    return tf.reshape(self._head(self._hidden(self._torso(observation))), (-1, *self._shape))


def make_networks(
  spec: specs.EnvironmentSpec,
  kind: Kind,
  num_outputs: int,
  policy_hidden_sizes: Sequence[int],
  critic_hidden_sizes: Sequence[int],
) -> control.Factories:
  """Makes the factories of a policy and of a critic with K outputs for an action."""
  return (
    functools.partial(Policy, spec.observations, kind.make_head, policy_hidden_sizes),
    functools.partial(kind.make_critic, spec.observations, num_outputs, critic_hidden_sizes),
  )


class Networks(NamedTuple):
  """Factories, and what their networks work on."""

  make_policy: variables.Factory  # observation [B, …] -> distribution over actions [B, V], or over A
  make_critic: variables.Factory  # (observation [B, …], action [B, V]) -> [B, K]; of discrete actions o -> [B, A, K]
  kind: Kind  # of actions, and how policies over them are improved
  observation: types.NestedArray  # zeros [1, …], to make variables with


def check_networks(network: Any, spec: specs.EnvironmentSpec, kind: Kind, num_outputs: int) -> None:
  """Holds a pair of policy and critic to what they are to give.

  Raises:
    TypeError: it is no pair of functions that make Sonnet modules.
    ValueError: the policy does not give a distribution over the actions, or the critic K outputs for an action.
  """
  if not isinstance(network, tuple) or len(network) != 2 or not all(map(callable, network)):
    raise TypeError(
      f"network: expected a pair of functions that make Sonnet modules, policy and critic, got {network!r}."
    )
  policy, critic = network
  observation = tf.nest.map_structure(tf.constant, networks.zeros(spec.observations, batch=2))
  given = variables.create(policy, observation)(functions.single(observation))
  shapes = kind.policy_shapes(2)
  if not isinstance(given, kind.distribution) or [tuple(leaf.shape) for leaf in tf.nest.flatten(given)] != shapes:
    raise ValueError(
      f"network: expected a policy that gives an acme_tf.networks.{kind.distribution.__name__} with arrays "
      f"{shapes} for a batch of 2 observations, got {given!r}. acme_tf.networks has fitting heads."
    )
  networks.check_output(critic, spec, kind.critic_shape(num_outputs), "outputs [K] for each action", *kind.zeros(2))


class TrainingState(NamedTuple):
  """All that changes as the learner learns."""

  policy: snt.Module
  critic: snt.Module
  duals: dict[str, tf.Variable]
  target_policy: snt.Module  # copied from the policy every config.target_policy_period steps
  target_critic: snt.Module  # from the critic every config.target_critic_period
  optimizers: tuple[snt.Optimizer, ...]  # of policy, critic, duals
  seed: tf.Variable  # [] int64, constant; what is drawn at a step follows from both
  steps: tf.Variable  # [] int64, SGD steps taken


_NAMED = TrainingState._fields[:5]  # What `get_variables` gives.


def make_state(nets: Networks, rates: Rates, seed: int) -> TrainingState:
  """The first state: the target networks are equal to the online networks. The seed is consumed."""
  policy_seed, critic_seed, seed = (int(each) for each in np.random.SeedSequence(seed).generate_state(3))
  inputs = (nets.observation, *nets.kind.zeros(1))
  policy = variables.create(nets.make_policy, nets.observation, seed=policy_seed)
  critic = variables.create(nets.make_critic, *inputs, seed=critic_seed)
  duals = nets.kind.make_duals()
  return TrainingState(
    policy=policy,
    critic=critic,
    duals=duals,
    target_policy=variables.make_target(nets.make_policy, policy, nets.observation),
    target_critic=variables.make_target(nets.make_critic, critic, *inputs),
    optimizers=(
      learning.adam(rates.policy_learning_rate, policy.trainable_variables),
      learning.adam(rates.critic_learning_rate, critic.trainable_variables),
      learning.adam(rates.dual_learning_rate, variables.of(duals)),
    ),
    seed=tf.Variable(seed, dtype=tf.int64, name="seed"),
    steps=tf.Variable(0, dtype=tf.int64, name="steps"),
  )


def draw(nets: Networks, state: TrainingState, num_states: int) -> Any:
  """All that one update draws."""
  return nets.kind.draw(tf.stack([state.seed, state.steps]), num_states)


def parts(state: TrainingState) -> tuple[Sequence[tf.Variable], ...]:
  """What is learned: the variables of policy, critic and duals."""
  return state.policy.trainable_variables, state.critic.trainable_variables, variables.of(state.duals)


def step(rates: Rates, state: TrainingState, gradients: Sequence[Any]) -> dict[str, tf.Tensor]:
  """Takes a step by the gradients of `parts`; returns the multipliers, to log."""
  limits = (rates.max_gradient_norm, rates.max_gradient_norm, None)
  for optimizer, *inputs in zip(state.optimizers, gradients, parts(state), limits, strict=True):
    learning.apply_gradients(optimizer, *inputs)
  put_floor(state.duals)
  state.steps.assign_add(1)
  for online, target, period in (
    (state.policy, state.target_policy, rates.target_policy_period),
    (state.critic, state.target_critic, rates.target_critic_period),
  ):
    variables.periodic_copy(state.steps, period, online.variables, target.variables)
  return {name: tf.reduce_mean(value) for name, value in positive(state.duals).items()}


def make_program(
  nets: Networks,
  rates: Rates,
  update: program.Update[TrainingState],
  make_policy: Callable[..., program.Policy[snt.Module, tuple[()]]],
) -> program.Program[TrainingState, snt.Module, tuple[()]]:
  """Makes the program; `make_policy(evaluation=…)` makes its policies, which act by the policy's module."""
  return program.Program(
    init=functools.partial(make_state, nets, rates),
    update=update,
    params=lambda state: state.policy,
    make_params=lambda: variables.create(nets.make_policy, nets.observation),
    variables=lambda state: {name: getattr(state, name) for name in _NAMED},
    behaviour=make_policy(evaluation=False),
    evaluation=make_policy(evaluation=True),
    space=nets.kind.space,
  )
