"""The episodes of an environment: each seeded from its number, and played again to be restored."""

import functools
from typing import Any

import dm_env
import numpy as np
import tree

from acme import core, types


def episode_seed(seed: int, episode: int) -> int:
  """The seed with which episode `episode` of a loop seeded with `seed` is reset."""
  return int(np.random.SeedSequence([seed, episode]).generate_state(1)[0])


class Episodes(core.Saveable):
  """Resets and steps an environment, whose state in the middle of an episode is the episode's seed and actions."""

  def __init__(self, environment: dm_env.Environment, seed: int | None, first: int = 0, stride: int = 1) -> None:
    """Counts the episodes `first`, `first + stride`, …; none is seeded without a seed or without `environment.seed`."""
    self.environment = environment
    self._seed = seed if hasattr(environment, "seed") else None
    self._next = first
    self._stride = stride
    self._timestep: dm_env.TimeStep | None = None
    self._actions: list[types.NestedArray] = []
    flat = isinstance(environment.action_spec(), dm_env.specs.Array)
    self._copy = np.array if flat else functools.partial(tree.map_structure, np.array)

  @property
  def reproducible(self) -> bool:
    """Whether the episode in progress can be saved."""
    return self._seed is not None

  def reset(self) -> dm_env.TimeStep:
    """Begins the next episode."""
    if self._seed is not None:
      self.environment.seed(episode_seed(self._seed, self._next))
    self._next += self._stride
    self._actions = []
    self._timestep = self.environment.reset()
    return self._timestep

  def step(self, action: types.NestedArray) -> dm_env.TimeStep:
    """Takes a step, and remembers it."""
    if self._seed is not None:
      self._actions.append(self._copy(action))  # A copy: the actor may use its array again.
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
    state["observation"] = tree.flatten(self._timestep.observation)
    state["length"] = len(self._actions)
    state["actions"] = tree.map_structure(lambda *a: np.stack(a), *self._actions) if self._actions else ()
    return state

  def restore(self, state: types.State) -> dm_env.TimeStep | None:
    """Plays the saved episode again, and returns its newest timestep; None where none was in progress.

    Raises:
      RuntimeError: the environment comes to another observation.
    """
    self._next = state["next"]
    self._timestep = None
    if state["observation"] is None:
      return None
    self._next -= self._stride
    timestep = self.reset()
    for i in range(state["length"]):
      timestep = self.step(tree.map_structure(lambda a, i=i: a[i], state["actions"]))
    if not all(map(np.array_equal, tree.flatten(timestep.observation), state["observation"])):
      raise RuntimeError(
        f"Episode {self._next - self._stride}, played again from its seed and its {state['length']} actions, came to "
        "another observation: the environment is not deterministic given its seed, so it cannot be resumed within an "
        "episode."
      )
    return timestep
