"""A recurrent actor-critic with V-trace, from a queue in which every sequence is used once, in order.

  L = E[ −ρ̂_t log π(a_t) (r_{t+1} + γ d_{t+1} vs_{t+1} − v_t) + ½ (vs_t − v_t)² − β H(π) ],    ρ_t = π(a_t) / μ(a_t)

where μ are the logits that acted, and the network is unrolled from the recurrent state that acted at the sequence's
first step. Reference: Espeholt et al. 2018 (1802.01561). Shapes: N environments, B batch, L steps, A actions, H units.
"""

import dataclasses
import functools
from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax
import rlax

from acme import configs, experience, plugins, replay, specs, types
from acme_jax import networks, recurrent, spaces
from acme_jax.builder import ProgramBuilder
from acme_jax.program import Acted, Metrics, Policy, Program

__all__ = ["AGENT", "Config", "make_builder", "make_program"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(configs.Config):
  """The hyper-parameters."""

  discount: configs.Fraction = 0.99
  """γ, for each environment step."""
  core_size: configs.PositiveInt = 32
  """H, units of the GRU."""
  unroll_length: configs.PositiveInt = 5
  """L, steps of a sequence, the one to bootstrap from included; 2 or more."""
  batch_size: configs.PositiveInt = 8
  """Sequences in an SGD step."""
  max_queue_size: configs.PositiveInt = 1_000
  """Sequences that may wait."""
  learning_rate: configs.Positive = 1e-2
  """Adam's, per SGD step."""
  entropy_cost: configs.NonNegative = 0.02
  """β, in units of return."""


class TrainingState(NamedTuple):
  """All that changes as the learner learns."""

  params: hk.Params
  opt_state: optax.OptState


def make_experience(config: Config) -> experience.Queue:
  """What it learns from."""
  return experience.Queue(
    length=config.unroll_length, stored_state=True, batch_size=config.batch_size, max_size=config.max_queue_size
  )


def make_network(spec: specs.EnvironmentSpec, num_actions: int, size: int) -> hk.Transformed:
  """(o_t, start_of_episode, each [B, L, …], core [B, H]) -> (logits [B, L, A], values [B, L], core [B, H])."""

  def unroll(
    observation: types.NestedArray, start: jax.Array, core: jax.Array
  ) -> tuple[jax.Array, jax.Array, jax.Array]:
    features = hk.BatchApply(networks.ObservationTorso(spec.observations))(observation)  # [B, L, D]
    outputs, core = recurrent.Core(hk.GRU(size)).unroll(features, start, core)
    heads = hk.BatchApply(hk.Linear(num_actions + 1))(outputs)
    return heads[..., :-1], heads[..., -1], core

  return hk.without_apply_rng(hk.transform(unroll))


def _log_prob(logits: jax.Array, action: jax.Array) -> jax.Array:
  """Log π(a): [B, L]."""
  return jnp.take_along_axis(jax.nn.log_softmax(logits), action[..., None], axis=-1)[..., 0]


def make_program(spec: specs.EnvironmentSpec, config: Config) -> Program[TrainingState, hk.Params, jax.Array]:
  """Makes the agent."""
  num_actions = specs.require_discrete(spec, "This agent").num_values
  network = make_network(spec, num_actions, config.core_size)
  optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(config.learning_rate))

  def init(key: jax.Array) -> TrainingState:
    observation = jax.tree.map(lambda x: x[:, None], networks.zeros(spec.observations))  # [1, 1, …]
    params = network.init(key, observation, np.ones((1, 1), bool), jnp.zeros((1, config.core_size)))
    return TrainingState(params, optimizer.init(params))

  def loss(params: hk.Params, data: types.Sequence) -> jax.Array:
    logits, values, _ = network.apply(params, data.observation, data.start_of_episode, data.core)  # [B, L, A], [B, L]
    log_pi = _log_prob(logits, data.action)  # [B, L]
    log_mu = _log_prob(data.extras["logits"], data.action)
    # 0 where there was no action, so that nothing is learned there, and nothing passes from one episode to another.
    rho = data.acted * jnp.exp(log_pi - log_mu)
    discount = config.discount * data.discount
    result = jax.vmap(rlax.vtrace_td_error_and_advantage)(
      values[:, :-1], values[:, 1:], data.reward[:, :-1], discount[:, :-1], rho[:, :-1]
    )
    entropy = -jnp.sum(jax.nn.softmax(logits) * jax.nn.log_softmax(logits), axis=-1)[:, :-1]
    policy = -log_pi[:, :-1] * jax.lax.stop_gradient(result.pg_advantage) - config.entropy_cost * entropy
    return jnp.mean(data.acted[:, :-1] * policy + 0.5 * result.errors**2)

  def update(state: TrainingState, sample: replay.Sample) -> tuple[TrainingState, None, Metrics]:
    value, gradients = jax.value_and_grad(loss)(state.params, sample.data)
    updates, opt_state = optimizer.update(gradients, state.opt_state)
    return TrainingState(optax.apply_updates(state.params, updates), opt_state), None, {"loss": value}

  def act(params: hk.Params, key: jax.Array | None, step: types.Step, core: jax.Array) -> Acted[jax.Array]:
    observation = jax.tree.map(lambda x: x[:, None], step.observation)  # [N, 1, …]
    start = jnp.zeros((core.shape[0], 1), bool)  # Whoever calls this has begun anew where an episode does.
    logits, _, core = network.apply(params, observation, start, core)
    logits = logits[:, 0]  # [N, A]
    action = jnp.argmax(logits, axis=-1) if key is None else jax.random.categorical(key, logits)
    return Acted(action, {"logits": logits}, core)

  evaluation = Policy(act=act, initial=lambda params, num_envs: jnp.zeros((num_envs, config.core_size)))
  return Program(
    init=init,
    update=update,
    params=lambda state: state.params,
    variables=lambda state: {},
    behaviour=dataclasses.replace(evaluation, random=True),
    evaluation=evaluation,
    space=spaces.make(spec, "This agent", "discrete"),
  )


def make_builder(config: Config) -> ProgramBuilder:
  """Makes the builder."""
  return ProgramBuilder(config, make_experience(config), functools.partial(make_program, config=config))


AGENT = plugins.AgentPlugin(
  name="tiny_actor_critic",
  summary="A recurrent actor-critic with V-trace: an example.",
  config=Config,
  actions=("discrete",),
  backends={"jax": "acme_testing.tiny.actor_critic"},
  references=("Espeholt et al. 2018, arXiv 1802.01561",),
)
