"""The actor: executes a program's policy, one call of a traced function an action."""

from typing import Any

import dm_env
import numpy as np
import tensorflow as tf
import tree

from acme import builders, core, specs, types
from acme_tf import exploration, functions, networks, program, variables

_LAST = int(dm_env.StepType.LAST)
_FIRST = int(dm_env.StepType.FIRST)
_NOT_FIRST = np.zeros(1, bool)


class Actor(core.Actor):
  """Acts by a program's behaviour, or by its evaluation policy, and hands what it sees to an adder.

  Its modules are its own; their values come from the variable source under the name "params". A policy that reads
  nothing but o_t, draws nothing and remembers nothing is called with o_t alone: each further array handed to a call
  costs microseconds. ε is drawn on the host, where it costs least. The seed is constant, and goes into the call with
  the steps; nothing is split or carried from call to call.
  """

  def __init__(
    self, agent: program.Program[Any, Any, Any], spec: specs.EnvironmentSpec, inputs: builders.ActorInputs
  ) -> None:
    """Makes an actor. Raises ValueError where the program has no policy, and its builder is to make the actor."""
    policy = agent.evaluation if inputs.evaluation else agent.behaviour
    if policy is None:
      raise ValueError("This program has no policy, as its acting is no TF function: its builder makes its actors.")
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
    entropy = [inputs.seed, inputs.incarnation] if inputs.incarnation else inputs.seed
    self._rng = np.random.default_rng(entropy)
    self._seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
    self._params = agent.make_params()
    self._client = variables.VariableClient(inputs.variables, program.PARAMS, variables.of(self._params))
    self._core: Any = tensors(policy.initial(self._params, self._num_envs))
    in_call = explore if explore is not None and not isinstance(explore, exploration.EpsilonGreedy) else None
    self._noise: Any = tensors(in_call.initial(self._num_envs)) if in_call is not None else ()
    self._has_state = bool(tf.nest.flatten((self._core, self._noise)))
    self._draws = policy.random or in_call is not None
    self._before: Any = self._core  # What went into the newest call.
    self._extras: Any = ()
    self._first = np.ones(self._num_envs, bool)  # [N], where an episode begins.
    # What else the policy reads of a step, as it is at an episode's first.
    self._zeros = {name: value for name, value in first_step(spec, self._num_envs).items() if name in policy.reads}
    self._last = dict(self._zeros)
    self._steps = inputs.steps  # Environment steps of all actors, as this one knows them.
    self._acting = self._num_envs * self._num_actors  # How many the next action makes.
    self._call = functions.Compiled(self._execute)
    # Whether the policy is to be called where ε chooses, too: for what it remembers, or gives besides an action.
    self._always = self._has_state or self._gives_extras(spec)

  def _execute(self, seed: Any, fields: dict[str, Any], state: Any, noise: Any) -> program.Executed:
    step = program.make_step(**fields)
    drawn = seed if self._draws else None
    return program.execute(self._policy, self._space, self._params, drawn, self._streams, step, state, noise)

  def _fields(self, observation: types.NestedArray) -> dict[str, Any]:
    """What the policy reads of a step, and no more."""
    first = {"start_of_episode": self._first} if self._has_state else {}
    return {"observation": observation, **first, **self._last}

  def _gives_extras(self, spec: specs.EnvironmentSpec) -> bool:
    """Whether there are extras that somebody wants."""
    if self._adder is None or self._epsilon is None:
      return False
    fields = tf.nest.map_structure(tf.constant, self._fields(networks.zeros(spec.observations, self._num_envs)))
    seed = tf.zeros(2, tf.int64)
    done = functions.outputs(lambda: self._execute(seed, fields, self._core, self._noise))
    return bool(tf.nest.flatten(done.extras))

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
      if self._always:
        self._act(observation, steps)
      return self._action_type(self._rng.integers(explore.num_actions))
    return self._act(observation, steps)

  def _act(self, observation: types.NestedArray, steps: int) -> types.NestedArray:
    """The policy's action, and what else it gives."""
    batch = add_batch(observation) if self._one else observation
    seed = np.array([self._seed, steps], np.int64) if self._draws else ()
    done = self._call(seed, self._fields(batch), self._core, self._noise)
    action, self._extras, self._before, self._core, self._noise = done
    actions = self._space.to_host(action)
    if not self._one:
      return actions
    return actions[0] if isinstance(actions, np.ndarray) else tree.map_structure(lambda leaf: leaf[0], actions)

  def observe_first(self, timestep: dm_env.TimeStep) -> None:
    self._first = np.ones(self._num_envs, bool)
    self._acting = self._num_envs * self._num_actors
    self._remember(None, timestep)
    if self._adder is not None:
      self._adder.add_first(timestep)

  def observe(self, action: types.NestedArray, next_timestep: dm_env.TimeStep) -> None:
    if self._adder is not None:
      extras = _arrays(self._extras)
      if self._one:
        extras = tf.nest.map_structure(lambda leaf: leaf[0], extras)
      self._adder.add(action, next_timestep, extras, _arrays(self._before))
    if self._one:
      self._first = _NOT_FIRST
    else:
      step_type = np.asarray(next_timestep.step_type)
      self._first = step_type == _FIRST
      self._acting = int(np.count_nonzero(step_type != _LAST)) * self._num_actors  # Others are passed over.
    self._remember(action, next_timestep)

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
    del wait  # Values are there at once.
    self._client.update()

  def save(self) -> types.State:
    nests = (self._core, self._noise, self._last)
    return {
      "steps": self._steps,
      "acting": self._acting,
      "seed": self._seed,
      "rng": self._rng.bit_generator.state,
      "first": self._first.copy(),
      "state": [[np.array(leaf) for leaf in tf.nest.flatten(nest)] for nest in nests],
      "adder": None if self._adder is None else self._adder.save(),
    }

  def restore(self, state: types.State) -> None:
    """Puts back what `save` returned; the parameters are read from the source, which must be restored first."""
    self._client.update()
    self._steps, self._acting, self._seed = state["steps"], state["acting"], state["seed"]
    self._rng.bit_generator.state = state["rng"]
    self._first = np.array(state["first"])
    nests = (self._core, self._noise, self._zeros)
    restored = [tf.nest.pack_sequence_as(nest, leaves) for nest, leaves in zip(nests, state["state"], strict=True)]
    self._core, self._noise, self._last = restored
    if self._adder is not None:
      self._adder.restore(state["adder"])


def add_batch(nest: types.NestedArray) -> types.NestedArray:
  """The nest as a batch of one: every leaf gets a leading [1]."""
  if isinstance(nest, np.ndarray):
    return nest[None]
  return tree.map_structure(lambda leaf: np.asarray(leaf)[None], nest)


def tensors(nest: Any) -> Any:
  """The nest with tensors as leaves."""
  return tf.nest.map_structure(tf.convert_to_tensor, nest)


def _arrays(nest: Any) -> Any:
  return tf.nest.map_structure(lambda leaf: leaf.numpy() if tf.is_tensor(leaf) else leaf, nest)


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
