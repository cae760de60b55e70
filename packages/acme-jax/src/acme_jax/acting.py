"""The actor: executes a program's policy, one jitted call an action."""

from typing import Any

import dm_env
import jax
import numpy as np
import tree

from acme import builders, core, specs, types
from acme_jax import exploration, networks, program, variables

_LAST = int(dm_env.StepType.LAST)
_FIRST = int(dm_env.StepType.FIRST)
_NOT_FIRST = np.zeros(1, bool)
_FEW_STEPS = 2**31  # Fewer fit what a key is folded with, and leave room to tell more from them.


class Actor(core.Actor):
  """Acts by a program's behaviour, or by its evaluation policy, and hands what it sees to an adder.

  A policy that reads nothing but o_t, draws nothing and remembers nothing is called with o_t alone: each further array
  handed to a compiled call costs microseconds. ε is drawn on the host, where it costs least. The key is constant, and
  folded with the steps in the call; nothing is split or carried from call to call.
  """

  def __init__(
    self, agent: program.Program[Any, Any, Any], spec: specs.EnvironmentSpec, inputs: builders.ActorInputs
  ) -> None:
    """Makes an actor. Raises ValueError where the program has no policy, and its builder is to make the actor."""
    policy = agent.evaluation if inputs.evaluation else agent.behaviour
    if policy is None:
      raise ValueError("This program has no policy, as its acting is no pure function: its builder makes its actors.")
    self._policy: program.Policy[Any, Any] = policy
    self._space = agent.space
    self._adder = inputs.adder
    self._one = inputs.num_envs is None
    self._num_envs = inputs.num_envs or 1
    self._num_actors = inputs.num_actors
    self._streams = exploration.Streams(*inputs.streams)
    explore = policy.explore
    self._epsilon = explore if isinstance(explore, exploration.EpsilonGreedy) else None
    self._action_type: Any = None if self._epsilon is None else np.dtype(spec.actions.dtype).type
    in_call = explore is not None and self._epsilon is None
    self._rng = np.random.default_rng([inputs.seed, inputs.incarnation] if inputs.incarnation else inputs.seed)
    self._key = jax.random.PRNGKey(inputs.seed)
    if inputs.incarnation:
      self._key = jax.random.fold_in(self._key, _FEW_STEPS + inputs.incarnation)  # No step's key.
    self._variables = variables.VariableClient(inputs.variables, program.PARAMS)
    self._core: Any = policy.initial(self._variables.params, self._num_envs)
    self._noise: Any = explore.initial(self._num_envs) if explore is not None and in_call else ()
    self._has_state = bool(jax.tree.leaves((self._core, self._noise)))
    self._draws = policy.random or in_call
    self._before: Any = self._core  # What went into the newest call.
    self._extras: Any = ()
    self._first = np.ones(self._num_envs, bool)  # [N], where an episode begins.
    # What else the policy reads of a step, as it is at an episode's first.
    self._zeros = {name: value for name, value in first_step(spec, self._num_envs).items() if name in policy.reads}
    self._last = dict(self._zeros)
    self._steps = inputs.steps  # Environment steps of all actors, as this one knows them.
    self._acting = self._num_envs * self._num_actors  # How many the next action makes.
    self._call = jax.jit(self._execute)
    self._act_plainly = jax.jit(lambda params, o: self._execute(params, None, None, make_step(o), (), ()).action)
    # What needs nothing but o_t, and has nobody who wants more of it, gives nothing but the action.
    self._plain = not (self._draws or self._has_state or self._zeros) and not self._gives_extras(spec)

  def _execute(self, params: Any, key: Any, steps: Any, step: types.Step, state: Any, noise: Any) -> program.Executed:
    explore, streams = self._epsilon is None, self._streams
    return program.execute(self._policy, self._space, params, key, steps, streams, step, state, noise, explore=explore)

  def _gives_extras(self, spec: specs.EnvironmentSpec) -> bool:
    """Whether there are extras that somebody wants."""
    if self._adder is None:
      return False
    step = make_step(networks.zeros(spec.observations, self._num_envs))
    done = jax.eval_shape(lambda params: self._execute(params, None, None, step, (), ()), self._variables.params)
    return bool(jax.tree.leaves(done.extras))

  def select_action(self, observation: types.NestedArray) -> types.NestedArray:
    steps = self._steps
    self._steps = steps + self._acting
    explore = self._epsilon
    if explore is None:
      return self._act(observation, steps)
    epsilon = explore.values(steps, self._streams, self._num_envs)
    if not self._one:
      chosen = np.flatnonzero(self._rng.random(self._num_envs) < epsilon)
      action = self._act(observation, steps)  # [N]
      if len(chosen):
        action[chosen] = self._rng.integers(explore.num_actions, size=len(chosen))
      return action
    if epsilon > 0 and self._rng.random() < epsilon:
      if not self._plain:  # For what it remembers.
        self._act(observation, steps)
      return self._action_type(self._rng.integers(explore.num_actions))
    return self._act(observation, steps)

  def _act(self, observation: types.NestedArray, steps: int) -> types.NestedArray:
    """The policy's action, and what else it gives."""
    batch = add_batch(observation) if self._one else observation
    if self._plain:
      action = self._act_plainly(self._variables.params, batch)
    else:
      step = make_step(batch, start_of_episode=self._first if self._has_state else None, **self._last)
      key, low = self._fold(steps) if self._draws else (None, None)
      done = self._call(self._variables.params, key, low, step, self._core, self._noise)
      action, self._extras, self._before, self._core, self._noise = done
    batch = self._space.to_host(action)
    if not self._one:
      return batch
    return batch[0] if isinstance(batch, np.ndarray) else tree.map_structure(lambda leaf: leaf[0], batch)

  def _fold(self, steps: int) -> tuple[jax.Array, np.uint32]:
    """A key and a number below 2³² for any number of steps, which stays large once they are many."""
    if steps < _FEW_STEPS:
      return self._key, np.uint32(steps)
    return jax.random.fold_in(self._key, steps // _FEW_STEPS), np.uint32(_FEW_STEPS + steps % _FEW_STEPS)

  def observe_first(self, timestep: dm_env.TimeStep) -> None:
    self._first = np.ones(self._num_envs, bool)
    self._acting = self._num_envs * self._num_actors
    self._remember(None, timestep)
    if self._adder is not None:
      self._adder.add_first(timestep)

  def observe(self, action: types.NestedArray, next_timestep: dm_env.TimeStep) -> None:
    if self._adder is not None:
      self._adder.add(action, next_timestep, self._host_extras(), self._before)
    if self._one:
      self._first = _NOT_FIRST
    else:
      step_type = np.asarray(next_timestep.step_type)
      self._first = step_type == _FIRST
      self._acting = int(np.count_nonzero(step_type != _LAST)) * self._num_actors  # Others are passed over.
    self._remember(action, next_timestep)

  def _host_extras(self) -> types.NestedArray:
    if isinstance(self._extras, tuple) and not self._extras:
      return ()
    return tree.map_structure(lambda leaf: np.asarray(leaf)[0] if self._one else np.asarray(leaf), self._extras)

  def _remember(self, action: types.NestedArray, timestep: dm_env.TimeStep) -> None:
    """Keeps what the policy reads of a step besides o_t, as replay stores it: zeros, and a discount of 1, at first."""
    if action is None or not self._zeros:
      self._last = dict(self._zeros)
      return
    given = {"action": action, "reward": timestep.reward, "discount": timestep.discount}
    for name, zeros in self._zeros.items():
      new = add_batch(given[name]) if self._one else given[name]
      self._last[name] = tree.map_structure(lambda x, zero: _where(self._first, zero, x), new, zeros)

  def update(self, wait: bool = False) -> None:
    del wait  # Parameters are there at once; JAX waits for their values where they are used.
    self._variables.update()

  def save(self) -> types.State:
    nests = (self._core, self._noise, self._last)
    return {
      "steps": self._steps,
      "acting": self._acting,
      "key": np.asarray(self._key),
      "rng": self._rng.bit_generator.state,
      "first": self._first.copy(),
      "state": [[np.array(leaf) for leaf in jax.tree.leaves(nest)] for nest in nests],
      "adder": None if self._adder is None else self._adder.save(),
    }

  def restore(self, state: types.State) -> None:
    """Puts back what `save` returned; the parameters are read from the source, which must be restored first."""
    self._variables.update()
    self._steps, self._acting = state["steps"], state["acting"]
    self._key = jax.numpy.asarray(state["key"])
    self._rng.bit_generator.state = state["rng"]
    self._first = np.array(state["first"])
    nests = (self._core, self._noise, self._zeros)
    restored = [
      jax.tree.unflatten(jax.tree.structure(nest), leaves) for nest, leaves in zip(nests, state["state"], strict=True)
    ]
    self._core, self._noise, self._last = restored
    if self._adder is not None:
      self._adder.restore(state["adder"])


def add_batch(nest: types.NestedArray) -> types.NestedArray:
  """The nest as a batch of one: every leaf gets a leading [1]."""
  if isinstance(nest, np.ndarray):
    return nest[None]
  return tree.map_structure(lambda leaf: np.asarray(leaf)[None], nest)


def make_step(observation: types.NestedArray, **others: Any) -> types.Step:
  """A step of which only some fields are there."""
  fields = {"action": None, "reward": None, "discount": None, "start_of_episode": None}
  return types.Step(observation, **(fields | others))


def first_step(spec: specs.EnvironmentSpec, num_envs: int) -> dict[str, types.NestedArray]:
  """What replay stores of the first step of an episode besides o_t, [N, …]."""
  ones = tree.map_structure(np.ones_like, networks.zeros(spec.discounts, num_envs))
  return {
    "action": networks.zeros(spec.actions, num_envs),
    "reward": networks.zeros(spec.rewards, num_envs),
    "discount": ones,
  }


def _where(mask: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
  """`one` where `mask` [N], `other` elsewhere, in the dtype of `one`."""
  return np.where(mask.reshape(-1, *[1] * (one.ndim - 1)), one, other).astype(one.dtype, copy=False)
