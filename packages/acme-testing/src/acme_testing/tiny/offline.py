"""Q-learning from a dataset alone: nobody acts, and there need be no environment, only its specs.

  δ = r + γ d max_b Q_θ⁻(o', b) − Q_θ(o, a),    L = E[½ δ²]

agent = agents.Agent(AGENT.builder(Config(dataset=path)), spec)
acme.LearningLoop(agent.learner).run(num_steps=10_000)
actor = agent.make_evaluator()

Shapes: N environments, B batch, A actions.
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
from acme_jax import networks, spaces
from acme_jax.builder import ProgramBuilder
from acme_jax.program import Acted, Metrics, Policy, Program
from acme_testing import runs

__all__ = ["AGENT", "Config", "make_builder", "make_program"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(configs.Config):
  """The hyper-parameters."""

  dataset: str | None = None
  """The path of recorded episodes; there must be some."""
  discount: configs.Fraction = 0.99
  """γ, for each environment step."""
  batch_size: configs.PositiveInt = 64
  """Transitions in an SGD step."""
  hidden_sizes: tuple[configs.PositiveInt, ...] = (64,)
  """Units of the network's layers."""
  learning_rate: configs.Positive = 3e-3
  """Adam's, per SGD step."""
  target_update_period: configs.PositiveInt = 50
  """SGD steps between copies to the target network."""


class TrainingState(NamedTuple):
  """All that changes as the learner learns."""

  params: hk.Params
  target_params: hk.Params  # copied from params every config.target_update_period steps
  opt_state: optax.OptState
  steps: jax.Array  # [] int32, SGD steps taken


def make_experience(config: Config) -> experience.Transitions:
  """What it learns from."""
  if config.dataset is None:
    raise ValueError("Config.dataset: expected the path of recorded episodes, got None.")
  return experience.Transitions(batch_size=config.batch_size, dataset=config.dataset)


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

  def loss(params: hk.Params, target_params: hk.Params, data: types.Transition) -> jax.Array:
    q_tm1 = network.apply(params, data.observation)  # [B, A]
    q_t = network.apply(target_params, data.next_observation)
    td_error = jax.vmap(rlax.q_learning)(q_tm1, data.action, data.reward, config.discount * data.discount, q_t)  # [B]
    return 0.5 * jnp.mean(td_error**2)

  def update(state: TrainingState, sample: replay.Sample) -> tuple[TrainingState, None, Metrics]:
    value, gradients = jax.value_and_grad(loss)(state.params, state.target_params, sample.data)
    updates, opt_state = optimizer.update(gradients, state.opt_state)
    params, steps = optax.apply_updates(state.params, updates), state.steps + 1
    target_params = optax.periodic_update(params, state.target_params, steps, config.target_update_period)
    return TrainingState(params, target_params, opt_state, steps), None, {"loss": value}

  def act(params: hk.Params, key: None, step: types.Step, core: tuple[()]) -> Acted[tuple[()]]:
    return Acted(jnp.argmax(network.apply(params, step.observation), axis=-1))  # [N]

  policy = Policy(act=act)
  return Program(
    init=init,
    update=update,
    params=lambda state: state.params,
    variables=lambda state: {"target_params": state.target_params},
    behaviour=policy,
    evaluation=policy,
    space=spaces.make(spec, "This agent", "discrete"),
  )


def make_builder(config: Config) -> ProgramBuilder:
  """Makes the builder."""
  return ProgramBuilder(config, make_experience(config), functools.partial(make_program, config=config))


AGENT = plugins.AgentPlugin(
  name="tiny_offline",
  summary="Q-learning from a dataset alone: an example.",
  config=Config,
  actions=("discrete",),
  backends={"jax": "acme_testing.tiny.offline"},
  small={"dataset": runs.DATASET},
)
