"""The interfaces: who acts, who learns, who can be saved.

An `Actor` chooses actions and sees what came of them; a `Learner` turns samples into parameters; an actor reads
those parameters from a `VariableSource`. Whatever has state is `Saveable`.
"""

import abc
from collections.abc import Mapping, Sequence

import dm_env

from acme import types


class Saveable(abc.ABC):
  """Something whose whole state can be taken out and put back."""

  @abc.abstractmethod
  def save(self) -> types.State:
    """Returns the state: dicts, lists and tuples of numpy arrays, numbers, strings and None.

    The arrays are copies, or are never written again: the caller may keep them while the object works on.
    """

  @abc.abstractmethod
  def restore(self, state: types.State) -> None:
    """Puts back what `save` returned; continuing is then the same, bit for bit, as not having stopped."""


class Actor(Saveable):
  """Chooses actions, and is shown their consequences.

  The calls of one episode: `observe_first`, then (`select_action`, `observe`) until the last timestep, with `update`
  wherever new parameters may be taken. Arrays handed in belong to the caller and are not written to.
  """

  @abc.abstractmethod
  def select_action(self, observation: types.NestedArray) -> types.NestedArray:
    """Returns the action for one observation, both as the environment's specs say (no batch axis)."""

  @abc.abstractmethod
  def observe_first(self, timestep: dm_env.TimeStep) -> None:
    """Begins an episode with the timestep that `environment.reset()` gave."""

  @abc.abstractmethod
  def observe(self, action: types.NestedArray, next_timestep: dm_env.TimeStep) -> None:
    """Records that `action` led to `next_timestep`."""

  @abc.abstractmethod
  def update(self, wait: bool = False) -> None:
    """Takes newer parameters where there are any; with `wait`, not before they have arrived."""

  def save(self) -> types.State:
    return {}

  def restore(self, state: types.State) -> None:
    """Puts back what `save` returned; nothing, where an actor keeps no state."""


class VariableSource(abc.ABC):
  """Where actors read parameters."""

  @abc.abstractmethod
  def get_variables(self, names: Sequence[str]) -> list[types.NestedArray]:
    """Returns one nest of arrays a name, in the order asked for (numpy's, or what `numpy.asarray` takes).

    Raises:
      KeyError: an unknown name; the message lists the known ones.
    """


class Learner(VariableSource, Saveable):
  """Improves parameters from samples.

  Attributes:
    finished: whether further steps are of no use, as far as it can tell from what is held out.
  """

  finished: bool = False

  @abc.abstractmethod
  def step(self) -> None:
    """Takes one sample from the dataset and learns from it."""

  def settle(self) -> None:
    """Hands back the priorities that are still to be handed back, so that the next sample knows of them."""

  def evaluate(self) -> Mapping[str, float]:
    """Means over what is held out from learning, by name; empty where nothing is, or the agent has no use for it.

    From then on the parameters that it gives are those of the best evaluation.
    """
    return {}
