"""The episodes of an environment: each seeded from its number, and played again to be restored."""

import warnings
from typing import Any

import dm_env
import numpy as np
import tree

from acme import core, types

MAX_LENGTH = 1_000_000  # Steps up to which an episode can be restored: 4 to 100 MB, and minutes to play again.


def episode_seed(seed: int, episode: int) -> int:
  """The seed of episode `episode` of a loop seeded with `seed`, or of whatever else is numbered so."""
  return int(np.random.SeedSequence([seed, episode]).generate_state(1)[0])


class Episodes(core.Saveable):
  """Resets and steps an environment, whose state in the middle of an episode is the episode's seed and actions.

  An episode of more than MAX_LENGTH steps, or one that an environment does not repeat, is given up when it is restored:
  a warning says so, and the next one begins.
  """

  def __init__(self, environment: dm_env.Environment, seed: int | None, first: int = 0, stride: int = 1) -> None:
    """Counts the episodes `first`, `first + stride`, …; none is seeded without a seed or without `environment.seed`."""
    self.environment = environment
    self._seed = seed if hasattr(environment, "seed") else None
    self._next = first
    self._stride = stride
    self._timestep: dm_env.TimeStep | None = None
    self._actions = _Actions()

  @property
  def reproducible(self) -> bool:
    """Whether the episode in progress can be saved."""
    return self._seed is not None

  def reset(self) -> dm_env.TimeStep:
    """Begins the next episode."""
    if self._seed is not None:
      self.environment.seed(episode_seed(self._seed, self._next))
    self._next += self._stride
    self._actions.clear()
    self._timestep = self.environment.reset()
    return self._timestep

  def step(self, action: types.NestedArray) -> dm_env.TimeStep:
    """Takes a step, and remembers it."""
    if self._seed is not None:
      self._actions.append(action)
    self._timestep = self.environment.step(action)
    return self._timestep

  def save(self) -> types.State:
    """Returns the number of the next episode, and what it takes to play the one in progress again.

    Raises:
      RuntimeError: within an episode that was not seeded.
    """
    state: dict[str, Any] = {"next": self._next, "observation": None}
    if self._timestep is None or self._timestep.last():
      return state
    if self._seed is None:
      raise RuntimeError(
        "Cannot save within an episode: the environment has no seed(int) method, or the loop no seed, so the "
        "episode could not be played again. Save between episodes (run(num_episodes=…))."
      )
    if self._actions.length > MAX_LENGTH:
      return state | {"given_up": True}
    state["observation"] = tree.flatten(self._timestep.observation)
    state["length"] = self._actions.length
    state["actions"] = self._actions.stacked()
    return state

  def restore(self, state: types.State) -> dm_env.TimeStep | None:
    """Plays the saved episode again, and returns its newest timestep; None where none was in progress or it is lost."""
    self._next = state["next"]
    self._timestep = None
    number = self._next - self._stride
    if state.get("given_up"):
      warnings.warn(
        f"Episode {number} had more than {MAX_LENGTH:,} steps and is not played again: a new one begins.", stacklevel=2
      )
    if state["observation"] is None:
      return None
    self._next = number
    timestep = self.reset()
    for i in range(state["length"]):
      if timestep.last():
        break
      timestep = self.step(tree.map_structure(lambda a, i=i: a[i], state["actions"]))
    shown = tree.flatten(timestep.observation)
    if not timestep.last() and all(map(np.array_equal, shown, state["observation"])):
      return timestep
    warnings.warn(
      f"Episode {number}, played again from its seed and its {state['length']} actions, came to another observation: "
      "the environment is not deterministic given its seed. A new episode begins in its place.",
      stacklevel=2,
    )
    self._timestep = None
    return None


class _Actions:
  """The actions of an episode up to MAX_LENGTH, in arrays that double when they are full: a few bytes a step."""

  def __init__(self) -> None:
    self.length = 0  # Steps, those that are no longer kept included.
    self._first: types.NestedArray = None  # Shows the structure.
    self._arrays: list[np.ndarray] = []  # By leaf, [capacity, …].
    self._nested = False

  def clear(self) -> None:
    self.length = 0

  def append(self, action: types.NestedArray) -> None:
    """Copies an action, since the actor may use its array again."""
    i = self.length
    self.length += 1
    if i >= MAX_LENGTH:
      return
    if not self._arrays:
      self._first, self._nested = action, tree.is_nested(action)
      leaves = [np.asarray(leaf) for leaf in tree.flatten(action)]
      self._arrays = [np.empty((64, *leaf.shape), leaf.dtype) for leaf in leaves]
    elif i == len(self._arrays[0]):
      self._arrays = [np.concatenate([array, np.empty_like(array)]) for array in self._arrays]
    if not self._nested:
      self._arrays[0][i] = action
      return
    for array, leaf in zip(self._arrays, tree.flatten(action), strict=True):
      array[i] = leaf

  def stacked(self) -> types.NestedArray:
    """All of them, each leaf [L, …]."""
    if not self.length:
      return ()
    return tree.unflatten_as(self._first, [array[: self.length].copy() for array in self._arrays])
