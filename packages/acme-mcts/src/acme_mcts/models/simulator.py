"""Planning with copies of the environment itself.

Shapes: K leaves, A actions, B evaluation batch.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import dm_env
import numpy as np
import tree

from acme import specs, types
from acme_mcts import search

Evaluate = Callable[[types.NestedArray], Any]  # observations [B, …] -> logits [B, A], values [B]


class Simulator:
  """Copies of an environment that go their own way, while the environment stays where it is.

  An environment whose class has the pair `save_state() -> state` and `load_state(state)` is saved and loaded; any
  other is copied by `copy.deepcopy`. A copy holds the environment's random numbers too, so a search sees what chance
  will bring.
  """

  def __init__(self, environment: dm_env.Environment, *, rollout_steps: int = 50, rollout_weight: float = 0.5) -> None:
    """Makes a simulator.

    Args:
      environment: the one that the actor acts in.
      rollout_steps: a new leaf is also valued by a rollout, of so many random steps at most, and what the network says
        of its end; 0 for no rollouts.
      rollout_weight: share of the rollout in a leaf's value, the network's being the rest: λ of Silver et al. 2016,
        which lets a search see beyond its horizon before anything is learned.

    Raises:
      TypeError: it is no dm_env environment, or one that can be neither copied nor saved.
      ValueError: a number is out of its range.
    """
    if not isinstance(environment, dm_env.Environment):
      raise TypeError(
        f"Simulator environment: expected a dm_env environment, got {type(environment).__name__}; wrap a Gymnasium one "
        "in acme.wrappers.GymWrapper."
      )
    if isinstance(rollout_steps, bool) or not isinstance(rollout_steps, int) or rollout_steps < 0:
      raise ValueError(f"Simulator rollout_steps: expected an integer of 0 or more, got {rollout_steps!r}.")
    if not 0 <= rollout_weight <= 1:
      raise ValueError(f"Simulator rollout_weight: expected a number in [0, 1], got {rollout_weight!r}.")
    self.rollout_steps = rollout_steps if rollout_weight > 0 else 0
    self.rollout_weight = rollout_weight
    self.environment = environment
    # Asked of the class: a wrapper that passes unknown attributes on has a state of its own that the pair would miss.
    self._saves = all(hasattr(type(environment), name) for name in ("save_state", "load_state"))
    (_check_saves if self._saves else _check_copies)(environment)

  def check_fits(self, spec: specs.EnvironmentSpec, num_envs: int | None) -> None:
    """Raises ValueError where an agent with such specs, in so many environments, does not act in the environment."""
    if num_envs is not None:
      raise ValueError(
        f"MCTS with a simulator acts in one environment, got num_envs={num_envs}: leave the simulator out, so that it "
        "learns a model, or run one environment."
      )
    theirs = specs.make_environment_spec(self.environment)
    for name in ("observations", "actions"):
      wanted, got = (specs.describe(getattr(each, name)) for each in (spec, theirs))
      if got != wanted:
        raise ValueError(
          f"MCTS simulator: expected {name} {wanted}, as the agent has them, got {got}: give it the very environment "
          "that the agent acts in."
        )

  def now(self) -> Any:
    """The state of the environment as it is."""
    return self.environment.save_state() if self._saves else copy.deepcopy(self.environment)

  def play(self, state: Any, actions: Sequence[Any]) -> tuple[Any, list[dm_env.TimeStep]]:
    """Takes steps from a state, which stays what it was, to the end of `actions` or of the episode."""
    if not self._saves:
      environment = copy.deepcopy(state)
      return environment, _play(environment, actions)
    now = self.environment.save_state()
    try:
      self.environment.load_state(state)
      timesteps = _play(self.environment, actions)
      return self.environment.save_state(), timesteps
    finally:
      self.environment.load_state(now)


def as_simulator(environment: dm_env.Environment | Simulator, like: Simulator | None = None) -> Simulator:
  """The simulator of an environment, or the one given; with the rollouts of `like`. Raises as `Simulator` does."""
  if isinstance(environment, Simulator):
    return environment
  if like is None:
    return Simulator(environment)
  return Simulator(environment, rollout_steps=like.rollout_steps, rollout_weight=like.rollout_weight)


class _Rollout(NamedTuple):
  reward: float  # Σ_k γ^k (Π_{j<k} d_j) r_k
  discount: float  # γ^n Π d
  observation: types.NestedArray  # where it ended


class SimulatorModel:
  """Steps of a simulator, valued by a network and by rollouts."""

  def __init__(
    self, simulator: Simulator, evaluate: Evaluate, action_spec: Any, discount: float, batch_size: int
  ) -> None:
    """Makes a model for up to `batch_size` leaves at once; `evaluate` is always called with as many observations."""
    self._simulator = simulator
    self._evaluate_batch = evaluate
    self._dtype = action_spec.dtype
    self._num_actions = action_spec.num_values
    self._discount = discount
    # A leaf and the end of its rollout are both asked about.
    self._batch_size = 2 * batch_size if simulator.rollout_steps > 0 else batch_size

  def root(self, observation: types.NestedArray, rng: np.random.Generator) -> search.Leaves:
    del rng
    logits, values = self._evaluate([observation])
    return search.Leaves([self._simulator.now()], np.zeros(1), np.ones(1), np.zeros(1, bool), logits, values)

  def expand(self, states: Sequence[Any], actions: np.ndarray, rng: np.random.Generator) -> search.Leaves:
    size = len(states)
    new, timesteps = [], []
    for state, action in zip(states, actions, strict=True):
      child, (timestep,) = self._simulator.play(state, [self._dtype.type(action)])
      if timestep.first():
        raise RuntimeError(
          "The simulator's environment has no episode in progress: give MCTS the environment that the actor acts in "
          "(for an evaluator: agent.make_evaluator(simulator=its environment))."
        )
      new.append(child)
      timesteps.append(timestep)
    observations = [timestep.observation for timestep in timesteps]
    rollouts = self._rollouts(new, timesteps, rng)
    logits, values = self._evaluate(observations + [rollout.observation for rollout in rollouts])
    logits, own, ends = logits[:size], values[:size], values[size:]
    if rollouts:
      played = np.array([rollout.reward + rollout.discount * end for rollout, end in zip(rollouts, ends, strict=True)])
      own = own + self._simulator.rollout_weight * (played - own)
    rewards, discounts = (
      np.array(x, np.float64) for x in zip(*((t.reward, t.discount) for t in timesteps), strict=True)
    )
    terminals = np.array([timestep.last() for timestep in timesteps])
    return search.Leaves(new, rewards, discounts, terminals, logits, own)

  def _rollouts(
    self, states: Sequence[Any], timesteps: Sequence[dm_env.TimeStep], rng: np.random.Generator
  ) -> list[_Rollout]:
    """A rollout from each state; one of no steps where the episode is over."""
    if self._simulator.rollout_steps == 0:
      return []
    rollouts = []
    for state, timestep in zip(states, timesteps, strict=True):
      total, discount = 0.0, 1.0
      if not timestep.last():
        actions = list(rng.integers(self._num_actions, size=self._simulator.rollout_steps).astype(self._dtype))
        _, played = self._simulator.play(state, actions)
        for timestep in played:
          total += discount * float(timestep.reward)
          discount *= self._discount * float(timestep.discount)
      rollouts.append(_Rollout(total, discount, timestep.observation))
    return rollouts

  def _evaluate(self, observations: Sequence[types.NestedArray]) -> tuple[np.ndarray, np.ndarray]:
    """Logits and values of observations, in one call of one shape, so that a function is compiled once."""
    size = len(observations)
    filled = [observations[i % size] for i in range(self._batch_size)]
    logits, values = self._evaluate_batch(tree.map_structure(lambda *leaves: np.stack(leaves), *filled))
    return np.asarray(logits)[:size], np.asarray(values)[:size]


def _play(environment: dm_env.Environment, actions: Sequence[Any]) -> list[dm_env.TimeStep]:
  timesteps = []
  for action in actions:
    timesteps.append(environment.step(action))
    if timesteps[-1].last():
      break
  return timesteps


def _check_copies(environment: dm_env.Environment) -> None:
  """Raises TypeError where copies cannot be made, or do not behave alike."""
  hint = (
    "MCTS with a simulator needs an environment that copy.deepcopy can copy, or whose class has save_state() -> state "
    "and load_state(state). Without a simulator it learns a model instead."
  )
  name = type(environment).__name__
  action = _an_action(environment)
  try:
    copies = [copy.deepcopy(environment) for _ in range(2)]
  except Exception as error:
    raise TypeError(f"{name} cannot be copied: {error!r}. {hint}") from error
  if any(other is environment for other in copies):
    raise TypeError(f"{name} gives itself as its copy. {hint}")
  first, second = (tree.flatten(other.reset().observation) for other in copies)
  if not all(map(np.array_equal, first, second)):
    raise TypeError(f"Two copies of {name} begin with different observations: they share random numbers. {hint}")
  one = copies[0]
  one.step(action)
  try:
    futures = [_future(other, action) for other in (copy.deepcopy(one), copy.deepcopy(one), one)]
  except Exception as error:
    raise TypeError(f"A copy of {name} made within an episode cannot go on: {error!r}. {hint}") from error
  if any(not all(map(np.array_equal, futures[0], future)) for future in futures):
    raise TypeError(
      f"Copies of {name} made within an episode go on in different ways: they begin anew (as Gymnasium's EzPickle has "
      f"them), share something with each other, or draw random numbers from outside. {hint}"
    )


def _check_saves(environment: dm_env.Environment) -> None:
  """Raises TypeError where a state cannot be saved and loaded, or not all of it comes back; it stays what it was."""
  name, action = type(environment).__name__, _an_action(environment)
  futures = []
  try:
    before = environment.save_state()
    environment.reset()
    state = environment.save_state()
    for _ in range(2):
      futures.append(_future(environment, action))
      environment.load_state(state)
    environment.load_state(before)
  except Exception as error:
    raise TypeError(f"{name} cannot be saved and loaded: {error!r}. Mend its save_state() and load_state().") from error
  if not all(map(np.array_equal, *futures)):
    raise TypeError(
      f"{name} goes on in different ways from one saved state: load_state() does not bring all of it back (its random "
      "numbers, say), or save_state() gives what later steps change."
    )


def _an_action(environment: dm_env.Environment) -> Any:
  return tree.map_structure(lambda spec: spec.generate_value(), environment.action_spec())


def _future(environment: dm_env.Environment, action: Any, steps: int = 3) -> list[Any]:
  """All that an environment gives in its next steps."""
  return tree.flatten([tuple(environment.step(action)) for _ in range(steps)])
