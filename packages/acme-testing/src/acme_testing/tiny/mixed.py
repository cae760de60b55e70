"""Q-learning from demonstrations and from acting at once, with a margin that holds the demonstrators' actions up.

  L = E_i[w_i (½ δ_i² + λ 1[i is a demonstration] (max_b(Q(o, b) + m 1[b ≠ a]) − Q(o, a)))],
  δ = R + γ D max_b Q_θ⁻(o', b) − Q_θ(o, a)

Before it acts it may learn from the demonstrations alone: `acme.LearningLoop(agent.learner).run(num_steps)`.
Reference: Hester et al. 2017 (1704.03732). Shapes: N environments, B batch, A actions.
"""

import dataclasses
import functools
from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import optax
import rlax

from acme import configs, experience, plugins, replay, specs, types
from acme_jax import exploration, learning, networks, spaces
from acme_jax.builder import ProgramBuilder
from acme_jax.program import Acted, Metrics, Policy, Program

__all__ = ["AGENT", "Config", "make_builder", "make_program"]

_DEMONSTRATIONS = 0  # Their place among the experience's parts.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(configs.TransitionConfig):
  """The hyper-parameters."""

  demonstrations: str | None = None
  """The path of recorded episodes; there must be some."""
  demonstration_share: configs.Fraction | None = None
  """Their share of each batch, above 0 and below 1; None samples all by priority, wherever they are from."""
  margin: configs.NonNegative = 0.8
  """m, in units of return."""
  margin_cost: configs.NonNegative = 0.1
  """λ, from 0, which leaves the margin out."""
  hidden_sizes: tuple[configs.PositiveInt, ...] = (64,)
  """Units of the network's layers."""
  learning_rate: configs.Positive = 3e-3
  """Adam's, per SGD step."""
  epsilon: configs.Fraction = 0.05
  """Probability of a random action."""
  target_update_period: configs.PositiveInt = 50
  """SGD steps between copies to the target network."""
  prioritized: bool = True
  """Samples transitions by |δ|. 1511.05952. False samples uniformly."""
  n_step: configs.PositiveInt = 1
  """n, environment steps before a target bootstraps."""
  batch_size: configs.PositiveInt = 32
  """Transitions in an SGD step."""

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.demonstration_share is not None and not 0 < self.demonstration_share < 1:
      raise ValueError(
        f"Config.demonstration_share: expected a number between 0 and 1, got {self.demonstration_share}."
      )


class TrainingState(NamedTuple):
  """All that changes as the learner learns."""

  params: hk.Params
  target_params: hk.Params  # copied from params every config.target_update_period steps
  opt_state: optax.OptState
  steps: jax.Array  # [] int32, SGD steps taken


def make_experience(config: Config) -> experience.Mixed:
  """What it learns from."""
  if config.demonstrations is None:
    raise ValueError("Config.demonstrations: expected the path of recorded episodes, got None.")
  online, share = experience.Transitions.of(config), config.demonstration_share
  return experience.Mixed(
    parts={"demonstrations": online.from_dataset(config.demonstrations), "online": online},
    share="priority" if share is None else {"demonstrations": share, "online": 1 - share},
    batch_size=online.batch_size,
    samples_per_insert=config.samples_per_insert,
  )


def make_program(spec: specs.EnvironmentSpec, config: Config) -> Program[TrainingState, hk.Params, tuple[()]]:
  """Makes the agent."""
  num_actions = specs.require_discrete(spec, "This agent").num_values
  optimizer = optax.adam(config.learning_rate)

  def values(observation: types.NestedArray) -> jax.Array:
    x = networks.ObservationTorso(spec.observations)(observation)
    return hk.Linear(num_actions)(networks.mlp(x, config.hidden_sizes))  # [B, A]

  network: hk.Transformed = hk.without_apply_rng(hk.transform(values))

  def init(key: jax.Array) -> TrainingState:
    params = network.init(key, networks.zeros(spec.observations))
    return TrainingState(params, params, optimizer.init(params), jnp.zeros((), jnp.int32))

  def loss(params: hk.Params, target_params: hk.Params, sample: replay.Sample) -> tuple[jax.Array, jax.Array]:
    data = sample.data
    q_tm1 = network.apply(params, data.observation)  # [B, A]
    q_t = network.apply(target_params, data.next_observation)
    td_error = jax.vmap(rlax.q_learning)(q_tm1, data.action, data.reward, config.discount * data.discount, q_t)  # [B]
    others = config.margin * (1 - jax.nn.one_hot(data.action, num_actions, dtype=jnp.float32))  # [B, A]
    margin = jnp.max(q_tm1 + others, axis=1) - rlax.batched_index(q_tm1, data.action)  # [B]
    losses = 0.5 * td_error**2 + config.margin_cost * (sample.table == _DEMONSTRATIONS) * margin
    if config.prioritized:
      losses *= learning.importance_weights(sample.probabilities, config.importance_sampling_exponent)
    return jnp.mean(losses), jnp.abs(td_error)

  def update(state: TrainingState, sample: replay.Sample) -> tuple[TrainingState, jax.Array, Metrics]:
    (value, priorities), gradients = jax.value_and_grad(loss, has_aux=True)(state.params, state.target_params, sample)
    updates, opt_state = optimizer.update(gradients, state.opt_state)
    params, steps = optax.apply_updates(state.params, updates), state.steps + 1
    target_params = optax.periodic_update(params, state.target_params, steps, config.target_update_period)
    return TrainingState(params, target_params, opt_state, steps), priorities, {"loss": value}

  def act(params: hk.Params, key: None, step: types.Step, core: tuple[()]) -> Acted[tuple[()]]:
    return Acted(jnp.argmax(network.apply(params, step.observation), axis=-1))  # [N]

  epsilon = exploration.linear_schedule(config.epsilon, config.epsilon, 0)
  return Program(
    init=init,
    update=update,
    params=lambda state: state.params,
    variables=lambda state: {"target_params": state.target_params},
    behaviour=Policy(act=act, explore=exploration.EpsilonGreedy(num_actions=num_actions, epsilon=epsilon)),
    evaluation=Policy(act=act),
    space=spaces.make(spec, "This agent", "discrete"),
  )


def make_builder(config: Config) -> ProgramBuilder:
  """Makes the builder."""
  return ProgramBuilder(config, make_experience(config), functools.partial(make_program, config=config))


AGENT = plugins.AgentPlugin(
  name="tiny_mixed",
  summary="Q-learning from demonstrations and from acting: an example.",
  config=Config,
  actions=("discrete",),
  backends={"jax": "acme_testing.tiny.mixed"},
  presets={"shares": lambda: Config(demonstration_share=0.25)},
  references=("Hester et al. 2017, arXiv 1704.03732",),
)
