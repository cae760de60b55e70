"""Actors: one jitted call an action.

A policy is a jitted function of a batch, `(params, observation [N, …]) -> action [N, …]`; one environment is a batch of
one, so one function serves every number of environments. One that needs noise is
`(params, key, step, observation) -> action`, and folds `step` into the constant key itself: no key is split or
carried from call to call. ε is drawn on the host, where it costs least.
"""

from collections.abc import Callable
from typing import Any

import dm_env
import jax
import numpy as np
import tree

from acme import core, replay, specs, types
from acme_jax import variables

Schedule = Callable[[int], float]  # environment steps taken -> value


class FeedForwardActor(core.Actor):
  """Acts by a policy without memory, and hands what it sees to an adder."""

  def __init__(
    self,
    policy: Callable[..., Any],
    source: core.VariableSource,
    action_spec: types.NestedSpec,
    *,
    variable: str = "policy",
    adder: replay.Adder | None = None,
    num_envs: int | None = None,
    noise_seed: int | None = None,
  ) -> None:
    """Makes an actor.

    Args:
      policy: see the module's text.
      source: where the policy's parameters come from.
      action_spec: actions are given its dtypes.
      variable: the name of the parameters.
      adder: takes timesteps and actions; None where nothing is recorded.
      num_envs: N where observations and actions have a leading [N]; None for one environment.
      noise_seed: for a policy that takes a key; None for one that takes none.
    """
    self._policy = policy
    self._variables = variables.VariableClient(source, variable)
    self._action_spec = action_spec
    self._adder = adder
    self._num_envs = num_envs
    self._key = None if noise_seed is None else jax.random.PRNGKey(noise_seed)
    self._steps = 0  # Environment steps chosen for.

  def select_action(self, observation: types.NestedArray) -> types.NestedArray:
    action = self._act(observation)
    self._steps += self._num_envs or 1
    return action

  def _act(self, observation: types.NestedArray) -> types.NestedArray:
    """The policy's action."""
    if self._num_envs is None:
      observation = add_batch(observation)
    if self._key is None:
      action = self._policy(self._variables.params, observation)
    else:
      action = self._policy(self._variables.params, self._key, self._steps, observation)
    if isinstance(self._action_spec, specs.Array):
      return self._to_host(self._action_spec, action)
    return tree.map_structure(self._to_host, self._action_spec, action)

  def _to_host(self, spec: specs.Array, action: jax.Array) -> Any:
    batch = np.asarray(action).astype(spec.dtype)  # A copy: the environment may write to it.
    return batch[0] if self._num_envs is None else batch

  def observe_first(self, timestep: dm_env.TimeStep) -> None:
    if self._adder is not None:
      self._adder.add_first(timestep)

  def observe(self, action: types.NestedArray, next_timestep: dm_env.TimeStep) -> None:
    if self._adder is not None:
      self._adder.add(action, next_timestep)

  def update(self, wait: bool = False) -> None:
    del wait  # Parameters are there at once; JAX waits for their values where they are used.
    self._variables.update()

  def save(self) -> types.State:
    return {"steps": self._steps, "adder": None if self._adder is None else self._adder.save()}

  def restore(self, state: types.State) -> None:
    """Puts back what `save` returned; the parameters are read from the source, which must be restored first."""
    self._steps = state["steps"]
    if self._adder is not None:
      self._adder.restore(state["adder"])
    self._variables.update()


class EpsilonGreedyActor(FeedForwardActor):
  """Acts by its policy, or with probability ε uniformly at random over a discrete action spec."""

  def __init__(
    self,
    policy: Callable[..., Any],
    source: core.VariableSource,
    action_spec: specs.DiscreteArray,
    *,
    epsilon: Schedule,
    seed: int,
    **kwargs: Any,
  ) -> None:
    """Makes an actor.

    Args:
      policy: see the module's text.
      source: where the policy's parameters come from.
      action_spec: the discrete actions.
      epsilon: ε by the environment steps that this actor has taken.
      seed: of the random actions.
      **kwargs: see `FeedForwardActor`.
    """
    super().__init__(policy, source, action_spec, **kwargs)
    self._num_actions = action_spec.num_values
    self._dtype = action_spec.dtype.type
    self._epsilon = epsilon
    self._random = np.random.default_rng(seed)

  def _act(self, observation: types.NestedArray) -> types.NestedArray:
    epsilon = self._epsilon(self._steps)
    if not epsilon > 0:
      return super()._act(observation)
    if self._num_envs is None:
      if self._random.random() < epsilon:
        return self._dtype(self._random.integers(self._num_actions))
      return super()._act(observation)
    explore = np.flatnonzero(self._random.random(self._num_envs) < epsilon)
    action = super()._act(observation)  # [N]
    if len(explore):
      action[explore] = self._random.integers(self._num_actions, size=len(explore))
    return action

  def save(self) -> types.State:
    return {**super().save(), "random": self._random.bit_generator.state}

  def restore(self, state: types.State) -> None:
    super().restore(state)
    self._random.bit_generator.state = state["random"]


def linear_schedule(initial: float, final: float, steps: int) -> Schedule:
  """From `initial` at step 0 in a straight line to `final` at `steps`, and `final` from there on."""
  if steps == 0 or initial == final:
    return lambda step: final
  slope = (final - initial) / steps
  return lambda step: initial + slope * step if step < steps else final


def add_batch(observation: types.NestedArray) -> types.NestedArray:
  """The observation as a batch of one: every leaf gets a leading [1]."""
  if isinstance(observation, np.ndarray):
    return observation[None]
  return tree.map_structure(lambda leaf: np.asarray(leaf)[None], observation)
