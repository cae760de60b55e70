"""R2D2's network: a torso, a recurrent core and a head, for one step or for whole sequences.

Shapes: B batch, L steps, A actions, F features, H units of the core.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp

from acme import specs, types
from acme_jax import networks, recurrent
from acme_r2d2 import config as r2d2_config

Parts = tuple[Callable[..., jax.Array], hk.RNNCore, Callable[[jax.Array], jax.Array]]  # torso, core, head
MakeNetwork = Callable[[], Parts]  # called within hk.transform


class Inputs(NamedTuple):
  """What the network sees of a step, leaves [B, …] or [B, L, …]."""

  observation: types.NestedArray  # o_t
  action: jax.Array  # a_{t−1}; 0 at the first step of an episode
  reward: jax.Array  # r_t; 0 at the first step


class Networks(NamedTuple):
  """Pure functions."""

  init: Callable[[jax.Array], hk.Params]  # the key is consumed
  step: Callable[..., tuple[jax.Array, Any]]  # (params, inputs [B, …], state [B, H]) -> q [B, A], state
  unroll: Callable[..., tuple[jax.Array, Any]]  # (params, inputs [B, L, …], start [B, L], state) -> q [B, L, A], state
  initial_state: Callable[[hk.Params, int], Any]  # (params, B) -> state [B, H] in which episodes begin
  num_actions: int  # A


def make_networks(
  spec: specs.EnvironmentSpec, config: r2d2_config.R2D2Config, network: MakeNetwork | None = None
) -> Networks:
  """Makes the network that the config and specs ask for, or takes the parts that `network` makes.

  Raises:
    TypeError: `network` is no function.
    ValueError: the actions are not discrete, or its outputs are no Q-values of them.
  """
  num_actions = specs.require_discrete(spec, "R2D2").num_values
  if network is not None and not callable(network):
    raise TypeError(f"network: expected a function that makes torso, core and head, got {network!r}.")
  make = network or (lambda: _default(spec, config, num_actions))

  def functions() -> Any:
    torso, inner, head = make()
    core = recurrent.Core(inner)

    def features(inputs: Inputs) -> jax.Array:
      return torso(inputs.observation, jax.nn.one_hot(inputs.action, num_actions, dtype=jnp.float32), inputs.reward)

    def step(inputs: Inputs, state: Any) -> tuple[jax.Array, Any]:
      outputs, state = core.step(features(inputs), state)
      return head(outputs), state

    def unroll(inputs: Inputs, start_of_episode: jax.Array, state: Any) -> tuple[jax.Array, Any]:
      outputs, state = core.unroll(hk.BatchApply(features)(inputs), start_of_episode, state)
      return hk.BatchApply(head)(outputs), state

    def initialize(inputs: Inputs) -> Any:
      return step(inputs, core.initial_state(inputs.action.shape[0]))

    return initialize, (step, unroll, core.initial_state)

  transformed = hk.without_apply_rng(hk.multi_transform(functions))
  step, unroll, initial_state = transformed.apply
  zeros = Inputs(*networks.zeros((spec.observations, spec.actions, spec.rewards)))
  nets = Networks(lambda key: transformed.init(key, zeros), step, unroll, initial_state, num_actions)
  if network is not None:
    _check(nets, zeros)
  return nets


def _default(spec: specs.EnvironmentSpec, config: r2d2_config.R2D2Config, num_actions: int) -> Parts:
  """Torso by the observations and `hidden_sizes`, an LSTM or a GRU, a plain or dueling head."""

  def torso(observation: types.NestedArray, action: jax.Array, reward: jax.Array) -> jax.Array:
    x = networks.mlp(networks.ObservationTorso(spec.observations)(observation), config.hidden_sizes)  # [B, F]
    return jnp.concatenate([x, action, jnp.tanh(reward)[:, None]], axis=-1)

  def head(x: jax.Array) -> jax.Array:
    if config.dueling:
      return networks.DuelingHead(num_actions, config.head_hidden_sizes)(x)[..., 0]
    x = networks.mlp(x, config.head_hidden_sizes)
    return hk.Linear(num_actions)(x)

  core = hk.LSTM(config.core_size) if config.core == "lstm" else hk.GRU(config.core_size)
  return torso, core, head


def _check(nets: Networks, inputs: Inputs) -> None:
  """Raises ValueError where the network does not give float [1, A] for one step; nothing is computed."""

  def run(key: jax.Array) -> jax.Array:
    params = nets.init(key)
    return nets.step(params, inputs, nets.initial_state(params, 1))[0]

  output = jax.eval_shape(run, jax.random.PRNGKey(0))
  shapes = jax.tree.map(lambda x: x.shape, output)
  if shapes != (1, nets.num_actions) or not jnp.issubdtype(output.dtype, jnp.floating):
    raise ValueError(
      f"network: expected a head that gives one float array of Q-values [A], shape {(1, nets.num_actions)} for a batch "
      f"of 1, got {output}. Change the head's last layer."
    )
