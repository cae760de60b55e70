"""Actors: one `tf.function` call an action.

A policy is a function of a batch, `observation [N, …] -> action [N, …]`, in TensorFlow; one environment is a batch of
one, so one function serves every number of environments. One that needs noise is `(seed [2], observation) -> action`,
for the `tf.random.stateless_…` functions: the seed is (the actor's, environment steps), so nothing is carried from
call to call. ε and Gaussian noise are drawn on the host, where they cost least.
"""

from collections.abc import Callable, Iterable
from typing import Any

import dm_env
import numpy as np
import tensorflow as tf
import tree

from acme import core, replay, specs, types
from acme_tf import functions
from acme_tf import variables as tf_variables

Schedule = Callable[[int], float]  # environment steps taken -> value


class FeedForwardActor(core.Actor):
  """Acts by a policy without memory, and hands what it sees to an adder."""

  def __init__(
    self,
    policy: Callable[..., Any],
    source: core.VariableSource,
    action_spec: types.NestedSpec,
    *,
    variables: Iterable[tf.Variable],
    variable: str = "policy",
    adder: replay.Adder | None = None,
    num_envs: int | None = None,
    noise_seed: int | None = None,
  ) -> None:
    """Makes an actor.

    Args:
      policy: see the module's text; it is made a `tf.function` here.
      source: where the variables' values come from.
      action_spec: actions are given its dtypes.
      variables: those that the policy reads, this actor's own.
      variable: the name under which the source has their values.
      adder: takes timesteps and actions; None where nothing is recorded.
      num_envs: N where observations and actions have a leading [N]; None for one environment.
      noise_seed: for a policy that takes a seed; None for one that takes none.
    """
    self._policy = functions.Compiled(policy)
    self._client = tf_variables.VariableClient(source, variable, variables)
    self._action_spec = action_spec
    self._adder = adder
    self._num_envs = num_envs
    self._noise_seed = None if noise_seed is None else noise_seed % 2**31
    self._steps = 0  # Environment steps chosen for.

  def select_action(self, observation: types.NestedArray) -> types.NestedArray:
    action = self._act(observation)
    self._steps += self._num_envs or 1
    return action

  def _act(self, observation: types.NestedArray) -> types.NestedArray:
    """The policy's action."""
    if self._num_envs is None:
      observation = _add_batch(observation)
    action = self._call(observation)
    if isinstance(self._action_spec, specs.Array):
      return self._to_host(self._action_spec, action)
    return tree.map_structure(self._to_host, self._action_spec, action)

  def _call(self, observation: types.NestedArray) -> Any:
    """The policy's batch of actions, on the device."""
    if self._noise_seed is None:
      return self._policy(observation)
    return self._policy(np.array([self._noise_seed, self._steps], np.int64), observation)

  def _to_host(self, spec: specs.Array, action: tf.Tensor) -> Any:
    batch = action.numpy().astype(spec.dtype, copy=False)  # A copy already: the environment may write to it.
    return batch[0] if self._num_envs is None else batch

  def observe_first(self, timestep: dm_env.TimeStep) -> None:
    if self._adder is not None:
      self._adder.add_first(timestep)

  def observe(self, action: types.NestedArray, next_timestep: dm_env.TimeStep) -> None:
    if self._adder is not None:
      self._adder.add(action, next_timestep)

  def update(self, wait: bool = False) -> None:
    del wait  # Values are there at once.
    self._client.update()

  def save(self) -> types.State:
    return {"steps": self._steps, "adder": None if self._adder is None else self._adder.save()}

  def restore(self, state: types.State) -> None:
    """Puts back what `save` returned; parameters are read from the source, which must be restored first."""
    self._steps = state["steps"]
    if self._adder is not None:
      self._adder.restore(state["adder"])
    self._client.update()


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
      source: where the variables' values come from.
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
    explore = self._random.random(self._num_envs) < epsilon  # [N]
    random = self._random.integers(self._num_actions, size=self._num_envs)
    return np.where(explore, random, super()._act(observation)).astype(self._dtype)

  def save(self) -> types.State:
    return {**super().save(), "random": self._random.bit_generator.state}

  def restore(self, state: types.State) -> None:
    super().restore(state)
    self._random.bit_generator.state = state["random"]


class GaussianActor(FeedForwardActor):
  """Acts by its policy plus Gaussian noise, clipped to the bounds of a continuous action spec, nested or not."""

  def __init__(
    self,
    policy: Callable[..., Any],
    source: core.VariableSource,
    action_spec: types.NestedSpec,
    *,
    sigma: float,
    seed: int,
    random_steps: int = 0,
    **kwargs: Any,
  ) -> None:
    """Makes an actor.

    Args:
      policy: see the module's text.
      source: where the variables' values come from.
      action_spec: bounded floats.
      sigma: standard deviation, in units of half the range between an action's bounds: of the action itself on [-1, 1].
      seed: of the noise.
      random_steps: environment steps at first whose actions are drawn uniformly within the bounds.
      **kwargs: see `FeedForwardActor`.
    """
    super().__init__(policy, source, action_spec, **kwargs)
    self._sigma = sigma
    self._random_steps = random_steps
    self._random = np.random.default_rng(seed)

  def _act(self, observation: types.NestedArray) -> types.NestedArray:
    if self._steps < self._random_steps:
      return tree.map_structure(self._uniform, self._action_spec)
    return tree.map_structure(self._explore, self._action_spec, super()._act(observation))

  def _uniform(self, spec: specs.BoundedArray) -> np.ndarray:
    shape = spec.shape if self._num_envs is None else (self._num_envs, *spec.shape)
    return np.asarray(self._random.uniform(spec.minimum, spec.maximum, shape), spec.dtype)

  def _explore(self, spec: specs.BoundedArray, action: np.ndarray) -> np.ndarray:
    scale = self._sigma * (spec.maximum - spec.minimum) / 2
    noisy = action + scale * self._random.standard_normal(np.shape(action))
    return np.asarray(np.clip(noisy, spec.minimum, spec.maximum), spec.dtype)

  def save(self) -> types.State:
    return {**super().save(), "random": self._random.bit_generator.state}

  def restore(self, state: types.State) -> None:
    super().restore(state)
    self._random.bit_generator.state = state["random"]


class RecurrentActor(FeedForwardActor):
  """Acts by a policy with memory, `(observation, core state) -> (action, new core state)`.

  The state in which an action was chosen goes to the adder as `{"core_state": …}` (Kapturowski et al. 2019, §3). An
  environment that was reset gets the initial state; a policy that takes a seed takes it first.
  """

  def __init__(
    self,
    policy: Callable[..., Any],
    source: core.VariableSource,
    action_spec: types.NestedSpec,
    *,
    initial_state: types.NestedArray,
    **kwargs: Any,
  ) -> None:
    """Makes an actor.

    Args:
      policy: see above.
      source: where the variables' values come from.
      action_spec: actions are given its dtypes.
      initial_state: of one environment, a nest of arrays without batch axis.
      **kwargs: see `FeedForwardActor`.
    """
    super().__init__(policy, source, action_spec, **kwargs)
    size = self._num_envs or 1
    self._initial = tree.map_structure(lambda leaf: np.stack([np.asarray(leaf)] * size), initial_state)  # [N, …]
    self._state = self._before = self._initial

  def _call(self, observation: types.NestedArray) -> Any:
    noise = () if self._noise_seed is None else (np.array([self._noise_seed, self._steps], np.int64),)
    self._before = self._state
    action, state = self._policy(*noise, observation, self._state)
    self._state = tree.map_structure(lambda leaf: leaf.numpy(), state)
    return action

  def observe_first(self, timestep: dm_env.TimeStep) -> None:
    self._state = self._initial
    super().observe_first(timestep)

  def observe(self, action: types.NestedArray, next_timestep: dm_env.TimeStep) -> None:
    if self._adder is not None:
      before = tree.map_structure(lambda x: x[0], self._before) if self._num_envs is None else self._before
      self._adder.add(action, next_timestep, {"core_state": before})
    if self._num_envs is not None:
      first = np.asarray(next_timestep.step_type) == dm_env.StepType.FIRST  # [N]

      def reset(new: np.ndarray, initial: np.ndarray) -> np.ndarray:
        return np.where(first.reshape(-1, *[1] * (new.ndim - 1)), initial, new)

      self._state = tree.map_structure(reset, self._state, self._initial)

  def save(self) -> types.State:
    return {**super().save(), "state": tree.flatten(self._state), "before": tree.flatten(self._before)}

  def restore(self, state: types.State) -> None:
    super().restore(state)
    self._state = tree.unflatten_as(self._initial, state["state"])
    self._before = tree.unflatten_as(self._initial, state["before"])


def linear_schedule(initial: float, final: float, steps: int) -> Schedule:
  """From `initial` at step 0 in a straight line to `final` at `steps`, and `final` from there on."""
  if steps == 0 or initial == final:
    return lambda step: final
  slope = (final - initial) / steps
  return lambda step: initial + slope * step if step < steps else final


def _add_batch(observation: types.NestedArray) -> types.NestedArray:
  if isinstance(observation, np.ndarray):
    return observation[None]
  return tree.map_structure(lambda leaf: np.asarray(leaf)[None], observation)
