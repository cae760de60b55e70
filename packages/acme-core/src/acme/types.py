"""The records that pass between environment, replay and learner.

Notation: o_t is the observation at time t, a_t the action chosen there, r_{t+1} and d_{t+1} the reward and the
environment's discount that came with o_{t+1}. d is 0 at a true termination and stays as it was at a truncation.
"""

from typing import Any, NamedTuple

NestedArray = Any  # A numpy array or number, or a dict, list, tuple or NamedTuple of them.
NestedSpec = Any  # The same with a dm_env.specs.Array at each leaf.
State = Any  # Dicts, lists and tuples of numpy arrays, numbers, strings and None.


class Step(NamedTuple):
  """What replay stores once for each timestep: o_t, and what led to it."""

  observation: NestedArray  # o_t
  action: NestedArray  # a_{t-1}; zeros at the first step of an episode
  reward: NestedArray  # r_t; zeros at the first step
  discount: NestedArray  # d_t; ones at the first step
  start_of_episode: Any  # [] bool, whether o_t came from a reset
  extras: NestedArray = ()  # what the actor knew when it chose a_{t-1}: log-probability, visits of a search, …


class OneStep(NamedTuple):
  """What the first step of a transition led to."""

  reward: NestedArray  # r_{t+1}
  discount: NestedArray  # d_{t+1}
  next_observation: NestedArray  # o_{t+1}


class Transition(NamedTuple):
  """From o_t to o_{t+n}; a sample holds B of them, so every leaf has a leading [B].

  R = Σ_{k<n} γ^k (Π_{j<k} d_{t+j+1}) r_{t+k+1}, D = γ^(n-1) Π_{k<n} d_{t+k+1}; the learner multiplies D by one more γ.
  """

  observation: NestedArray  # o_t
  action: NestedArray  # a_t
  reward: NestedArray  # R
  discount: NestedArray  # D
  next_observation: NestedArray  # o_{t+n}
  extras: NestedArray = ()  # of a_t
  one_step: Any = ()  # OneStep, where the experience asks for it


class Sequence(NamedTuple):
  """L consecutive steps; a sample holds B of them, so every leaf has a leading [B, L].

  The final observation of an episode is a step of its own, with zeros for action, reward, discount and extras. A loss
  is masked by `acted`, a value to bootstrap from is not.
  """

  observation: NestedArray  # o_t
  action: NestedArray  # a_t
  reward: NestedArray  # r_{t+1}
  discount: NestedArray  # d_{t+1}
  start_of_episode: Any  # bool, whether o_t came from a reset
  mask: Any  # float32, 1 for a step that happened and 0 for padding
  extras: NestedArray = ()  # of a_t
  acted: Any = ()  # float32, 1 where a_t, r_{t+1}, d_{t+1} are there: 0 for padding and an episode's final observation
  previous_action: NestedArray = ()  # a_{t-1}; zeros at the first step of an episode
  previous_reward: NestedArray = ()  # r_t; zeros at the first step of an episode
  core: NestedArray = ()  # [B, …], the recurrent state that went into `act` at the first step, where it is stored
