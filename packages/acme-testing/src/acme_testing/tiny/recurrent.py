"""Recurrent Q-learning from overlapping sequences that keep the recurrent state.

  (q_t, h_{t+1}) = Q_θ(o_t, a_{t-1}, r_t, h_t),    δ_t = r_{t+1} + γ d_{t+1} max_b Q_θ⁻(…)_{t+1}[b] − q_t[a_t]

unrolled from the state h_0 that acted at the sequence's first step; the loss is the mean of ½ δ² where there was an
action. Shapes: N environments, B batch, L steps, A actions, H units.
"""

import dataclasses
import functools
from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax

from acme import configs, experience, plugins, replay, specs, types
from acme_jax import exploration, networks, recurrent, spaces
from acme_jax.builder import ProgramBuilder
from acme_jax.program import Acted, Metrics, Policy, Program

__all__ = ["AGENT", "Config", "make_builder", "make_program"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(configs.ReplayConfig):
  """The hyper-parameters; an item is a sequence."""

  core_size: configs.PositiveInt = 32
  """H, units of the GRU."""
  sequence_length: configs.PositiveInt = 4
  """L, steps of a sequence, the one to bootstrap from included."""
  sequence_period: configs.PositiveInt = 3
  """Steps from one sequence's beginning to the next one's."""
  learning_rate: configs.Positive = 3e-3
  """Adam's, per SGD step."""
  epsilon: configs.Fraction = 0.1
  """Probability of a random action, after as many steps as `epsilon_decay_steps`; 1 at first."""
  epsilon_decay_steps: configs.NonNegativeInt = 1_000
  """Environment steps over which it falls."""
  target_update_period: configs.PositiveInt = 50
  """SGD steps between copies to the target network."""
  batch_size: configs.PositiveInt = 32
  """Sequences in an SGD step."""
  samples_per_insert: configs.Positive = 8.0
  """Sequences sampled for each one inserted."""
  min_replay_size: configs.PositiveInt = 100
  """Sequences inserted before the first SGD step."""


class TrainingState(NamedTuple):
  """All that changes as the learner learns."""

  params: hk.Params
  target_params: hk.Params  # copied from params every config.target_update_period steps
  opt_state: optax.OptState
  steps: jax.Array  # [] int32, SGD steps taken


def make_experience(config: Config) -> experience.Sequences:
  """What it learns from."""
  return experience.Sequences(
    length=config.sequence_length,
    period=config.sequence_period,
    stored_state=True,
    batch_size=config.batch_size * config.num_sgd_steps_per_step,
    max_size=config.max_replay_size,
    min_size=config.min_replay_size,
    samples_per_insert=config.samples_per_insert,
  )


def make_network(spec: specs.EnvironmentSpec, num_actions: int, size: int) -> hk.Transformed:
  """(o_t, a_{t-1}, r_t, start_of_episode, each [B, L, …], core [B, H]) -> (q [B, L, A], core [B, H])."""

  def unroll(
    observation: types.NestedArray, action: jax.Array, reward: jax.Array, start: jax.Array, core: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    features = hk.BatchApply(networks.ObservationTorso(spec.observations))(observation)  # [B, L, D]
    inputs = [features, jax.nn.one_hot(action, num_actions, dtype=jnp.float32), reward[..., None].astype(jnp.float32)]
    outputs, core = recurrent.Core(hk.GRU(size)).unroll(jnp.concatenate(inputs, axis=-1), start, core)
    return hk.BatchApply(hk.Linear(num_actions))(outputs), core

  return hk.without_apply_rng(hk.transform(unroll))


def make_program(spec: specs.EnvironmentSpec, config: Config) -> Program[TrainingState, hk.Params, jax.Array]:
  """Makes the agent."""
  num_actions = specs.require_discrete(spec, "This agent").num_values
  network = make_network(spec, num_actions, config.core_size)
  optimizer = optax.adam(config.learning_rate)

  def init(key: jax.Array) -> TrainingState:
    zeros = networks.zeros((spec.observations, spec.actions, spec.rewards))
    inputs = jax.tree.map(lambda x: x[:, None], (*zeros, np.ones(1, bool)))  # [1, 1, …]
    params = network.init(key, *inputs, jnp.zeros((1, config.core_size)))
    return TrainingState(params, params, optimizer.init(params), jnp.zeros((), jnp.int32))

  def loss(params: hk.Params, target_params: hk.Params, data: types.Sequence) -> jax.Array:
    inputs = (data.observation, data.previous_action, data.previous_reward, data.start_of_episode, data.core)
    q, _ = network.apply(params, *inputs)  # [B, L, A]
    q_target, _ = network.apply(target_params, *inputs)
    q_tm1 = jnp.take_along_axis(q, data.action[..., None], axis=-1)[:, :-1, 0]  # [B, L - 1]
    target = data.reward + config.discount * data.discount * jnp.roll(jnp.max(q_target, axis=-1), -1, axis=1)  # [B, L]
    acted = data.acted[:, :-1]
    td_error = acted * (jax.lax.stop_gradient(target[:, :-1]) - q_tm1)  # [B, L - 1]
    return 0.5 * jnp.sum(td_error**2) / jnp.maximum(jnp.sum(acted), 1)

  def update(state: TrainingState, sample: replay.Sample) -> tuple[TrainingState, None, Metrics]:
    value, gradients = jax.value_and_grad(loss)(state.params, state.target_params, sample.data)
    updates, opt_state = optimizer.update(gradients, state.opt_state)
    params, steps = optax.apply_updates(state.params, updates), state.steps + 1
    target_params = optax.periodic_update(params, state.target_params, steps, config.target_update_period)
    return TrainingState(params, target_params, opt_state, steps), None, {"loss": value}

  def act(params: hk.Params, key: None, step: types.Step, core: jax.Array) -> Acted[jax.Array]:
    inputs = jax.tree.map(lambda x: x[:, None], (step.observation, step.action, step.reward))  # [N, 1, …]
    start = jnp.zeros((core.shape[0], 1), bool)  # Whoever calls this has begun anew where an episode does.
    q, core = network.apply(params, *inputs, start, core)
    return Acted(jnp.argmax(q[:, 0], axis=-1), core=core)

  policy = Policy(
    act=act,
    initial=lambda params, num_envs: jnp.zeros((num_envs, config.core_size)),
    reads=("observation", "action", "reward"),
  )
  epsilon = exploration.linear_schedule(1.0, config.epsilon, config.epsilon_decay_steps)
  return Program(
    init=init,
    update=update,
    params=lambda state: state.params,
    variables=lambda state: {"target_params": state.target_params},
    behaviour=dataclasses.replace(policy, explore=exploration.EpsilonGreedy(num_actions=num_actions, epsilon=epsilon)),
    evaluation=policy,
    space=spaces.make(spec, "This agent", "discrete"),
  )


def make_builder(config: Config) -> ProgramBuilder:
  """Makes the builder."""
  return ProgramBuilder(config, make_experience(config), functools.partial(make_program, config=config))


AGENT = plugins.AgentPlugin(
  name="tiny_recurrent",
  summary="Recurrent Q-learning: an example.",
  config=Config,
  actions=("discrete",),
  backends={"jax": "acme_testing.tiny.recurrent"},
  references=("Kapturowski et al. 2019, R2D2",),
  small={"sequence_length": 4, "sequence_period": 2, "epsilon_decay_steps": 20},
)
