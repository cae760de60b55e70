"""An agent in TensorFlow: one program, from which an actor and a learner are made.

The twin of `acme_jax.program`, but that a state is made of Sonnet modules, optimizers and variables, which the update
changes, and that what acting reads are modules, too: each actor has its own, and is given their values by name.

Shapes: N environments (streams), B batch, D numbers in an action.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import tensorflow as tf

from acme import replay, types
from acme_tf import exploration, functions, spaces

S = TypeVar("S")  # The state of learning.
P = TypeVar("P")  # What acting reads.
C = TypeVar("C")  # The recurrent state.

Metrics = dict[str, tf.Tensor]
Update = Callable[[S, replay.Sample], tuple[tf.Tensor | None, Metrics]]
Evaluate = Callable[[S, replay.Sample], tuple[Metrics, tf.Tensor]]

PARAMS = "params"  # The variables that actors ask for: those of what `Program.params` gives.


class Acted(NamedTuple, Generic[C]):
  """What a policy gives."""

  action: types.NestedArray  # [N, …], discrete ones as they are, continuous ones [N, D] in [−1, 1]
  extras: types.NestedArray = ()  # [N, …], stored with the action
  core: Any = ()  # [N, …], the recurrent state from here on


def no_core(params: Any, num_envs: int) -> tuple[()]:
  """The recurrent state of a policy that has none."""
  del params, num_envs
  return ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Policy(Generic[P, C]):
  """How an agent acts, in N environments at once.

  Attributes:
    act: (params, seed, step, core) -> Acted; `step` is what replay stores of this timestep: o_t, a_{t-1}, r_t, d_t and
      start_of_episode, each [N, …], and only those fields that `reads` names. The seed [2], for the
      `tf.random.stateless_…` functions, is this step's own, and is consumed; None where the policy is not `random`.
    initial: (params, N) -> the recurrent state [N, …] in which episodes begin.
    explore: what is done to the action then; None leaves it.
    reads: the fields of the step that `act` reads: each costs microseconds in a call.
    random: whether `act` draws anything.
  """

  act: Callable[[P, Any, types.Step, C], Acted[C]]
  initial: Callable[[P, int], C] = no_core  # type: ignore[assignment]
  explore: exploration.EpsilonGreedy | exploration.Exploration | None = None
  reads: tuple[str, ...] = ("observation",)
  random: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Program(Generic[S, P, C]):
  """An agent.

  Attributes:
    init: seed -> the state, of everything that learning changes: a NamedTuple of modules, optimizers with their slots
      made (`acme_tf.learning.adam`), variables, or nests of them. The seed is consumed.
    update: (state, sample) -> (priorities [B] or None, metrics), with "loss" among the metrics; it changes the state.
      Whatever it draws, it draws in one function and passes to the loss, so that both backends can be given the same.
    params: what both policies act with, of a state: a module, or a nest of them.
    make_params: makes such modules, with variables of their own, for an actor.
    variables: by name what `get_variables` gives, of a state; targets are called "target_…".
    behaviour: how it acts while it learns; None where acting is no function in TensorFlow, as a search in a tree: the
      agent's builder then makes the actor.
    evaluation: how it acts when it is evaluated.
    space: between what policies give and the environment's actions.
    evaluate: (state, sample) -> (metrics, number), of a sample that is never learned from: the metrics, with "loss"
      among them, are means over so many items or steps. None where the agent has no use for what is held out.
    patience: evaluations in a row that may bring no lower loss, until the learner is finished; None for any number.
    priorities: (params, items [B]) -> [B], of new items, where an actor of many knows better than "the largest so far";
      None where it does not.
  """

  init: Callable[[int], S]
  update: Update[S]
  params: Callable[[S], P]
  make_params: Callable[[], P]
  variables: Callable[[S], Mapping[str, Any]]
  behaviour: Policy[P, C] | None
  evaluation: Policy[P, C] | None
  space: spaces.ActionSpace
  evaluate: Evaluate[S] | None = None
  patience: int | None = None
  priorities: Callable[[P, Any], tf.Tensor] | None = None


class Executed(NamedTuple):
  """What an execution of a policy gives."""

  action: types.NestedArray  # [N, …], within the bounds of the environment's specs
  extras: types.NestedArray
  core_before: Any  # [N, …], what went into `act`
  core: Any  # [N, …]
  noise: Any  # the exploration's state


def execute(
  policy: Policy[P, C],
  space: spaces.ActionSpace,
  params: P,
  seed: tf.Tensor | None,
  stream: exploration.Streams,
  step: types.Step,
  core: C,
  noise: Any,
) -> Executed:
  """Acts once in N environments: the one place where a policy is called; within a `tf.function`.

  The recurrent state and the noise begin anew where an episode does; the policy acts; it explores, but by ε, which is
  the host's to draw; the action is scaled to the environment.

  Args:
    policy: how.
    space: the environment's actions.
    params: the policy's.
    seed: [2] int64, the actor's own, and the environment steps taken before; None where nothing is drawn.
    stream: which environments of how many these are.
    step: [N, …]; `start_of_episode` is read where there is a recurrent state or noise.
    core: [N, …].
    noise: the exploration's state.
  """
  step = types.Step(*(None if field is None else functions.single(field) for field in step))
  num_envs = tf.nest.flatten(step.observation)[0].shape[0]
  if tf.nest.flatten(core):
    core = where(step.start_of_episode, policy.initial(params, num_envs), core)
  acted = policy.act(params, seed if policy.random else None, step, core)
  action, explore = acted.action, policy.explore
  if explore is not None and not isinstance(explore, exploration.EpsilonGreedy):
    assert seed is not None
    own = tf.random.experimental.stateless_fold_in(seed, 0) if policy.random else seed
    action, noise = explore.apply(own, noise, seed[1], stream, action, step.start_of_episode)
  return Executed(space.to_environment(action), acted.extras, core, acted.core, noise)


def make_step(observation: types.NestedArray, **others: Any) -> types.Step:
  """A step of which only some fields are there."""
  return types.Step(observation, *(others.get(name) for name in types.Step._fields[1:5]))


def where(mask: tf.Tensor, one: Any, other: Any) -> Any:
  """Leaves [N, …] of `one` where `mask` [N], of `other` elsewhere."""

  def leaf(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    return tf.where(tf.reshape(mask, (-1, *[1] * (len(y.shape) - 1))), x, y)

  return tf.nest.map_structure(leaf, one, other)
