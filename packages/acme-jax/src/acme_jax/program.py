"""An agent in JAX: one program of pure functions, from which every way to run it is made.

A host loop, a learner and actors on Ray, and a jitted loop on the device call the same functions. Whatever differs
between them (who holds the state, where steps come from) is theirs; what is computed is the program's.

Shapes: N environments (streams), B batch, D numbers in an action.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from acme import replay, types
from acme_jax import exploration, spaces

S = TypeVar("S")  # The state of learning.
P = TypeVar("P")  # What acting reads.
C = TypeVar("C")  # The recurrent state.

Metrics = dict[str, jax.Array]
Update = Callable[[S, replay.Sample], tuple[S, jax.Array | None, Metrics]]
Evaluate = Callable[[S, replay.Sample], tuple[Metrics, jax.Array]]

PARAMS = "params"  # The variables that actors ask for: what `Program.params` gives.


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
    act: (params, key, step, core) -> Acted; `step` is what replay stores of this timestep: o_t, a_{t-1}, r_t, d_t and
      start_of_episode, each [N, …], and only those fields that `reads` names. The key is this step's own, and is
      consumed; None where the policy is not `random`.
    initial: (params, N) -> the recurrent state [N, …] in which episodes begin.
    explore: what is done to the action then; None leaves it.
    reads: the fields of the step that `act` reads: each costs microseconds in a call from the host.
    random: whether `act` draws anything.
  """

  act: Callable[[P, Any, types.Step, C], Acted[C]]
  initial: Callable[[P, int], C] = no_core  # type: ignore[assignment]
  explore: exploration.Exploration | None = None
  reads: tuple[str, ...] = ("observation",)
  random: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Program(Generic[S, P, C]):
  """An agent.

  Attributes:
    init: key -> the state, of everything that learning changes; the key may be traced, and is consumed.
    update: (state, sample) -> (state, priorities [B] or None, metrics), with "loss" among the metrics.
    params: what both policies act with, of a state.
    variables: by name what `get_variables` gives, of a state; targets are called "target_…".
    behaviour: how it acts while it learns; None where acting is no pure function, as a search in a tree: the agent's
      builder then makes the actor, and no jitted loop can run it.
    evaluation: how it acts when it is evaluated.
    space: between what policies give and the environment's actions.
    evaluate: (state, sample) -> (metrics, number), of a sample that is never learned from: the metrics, with "loss"
      among them, are means over so many items or steps. None where the agent has no use for what is held out.
    patience: evaluations in a row that may bring no lower loss, until the learner is finished; None for any number.
    priorities: (params, items [B]) -> [B], of new items, where an actor of many knows better than "the largest so far";
      None where it does not.
  """

  init: Callable[[jax.Array], S]
  update: Update[S]
  params: Callable[[S], P]
  variables: Callable[[S], Mapping[str, Any]]
  behaviour: Policy[P, C] | None
  evaluation: Policy[P, C] | None
  space: spaces.ActionSpace
  evaluate: Evaluate[S] | None = None
  patience: int | None = None
  priorities: Callable[[P, Any], jax.Array] | None = None


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
  key: jax.Array | None,
  steps: jax.Array | int,
  stream: exploration.Streams,
  step: types.Step,
  core: C,
  noise: Any,
  *,
  explore: bool = True,
) -> Executed:
  """Acts once in N environments: the one place where a policy is called, for every way to run it.

  The recurrent state and the noise begin anew where an episode does; the policy acts; it explores; the action is scaled
  to the environment.

  Args:
    policy: how.
    space: the environment's actions.
    params: the policy's.
    key: constant; what is drawn at `steps` follows from both. None where nothing is drawn.
    steps: environment steps taken before, as this actor counts those of all.
    stream: which environments of how many these are.
    step: [N, …]; `start_of_episode` is read where there is a recurrent state or noise.
    core: [N, …].
    noise: the exploration's state.
    explore: whether to explore here; False where the host does.
  """
  num_envs = jax.tree.leaves(step.observation)[0].shape[0]
  if key is not None:
    key = jax.random.fold_in(key, steps)
  if jax.tree.leaves(core):
    core = where(step.start_of_episode, policy.initial(params, num_envs), core)
  act_key = None
  if key is not None and policy.random:
    act_key = key
    if policy.explore is not None:  # Siblings: whatever the policy makes of its key, exploration's is none of those.
      act_key, key = jax.random.split(key)
  acted = policy.act(params, act_key, step, core)
  action = acted.action
  if explore and policy.explore is not None:
    action, noise = policy.explore.apply(key, noise, steps, stream, action, step.start_of_episode)
  return Executed(space.to_environment(action), acted.extras, core, acted.core, noise)


def where(mask: jax.Array, one: Any, other: Any) -> Any:
  """Leaves [N, …] of `one` where `mask` [N], of `other` elsewhere."""
  return jax.tree.map(lambda x, y: jnp.where(mask.reshape(-1, *[1] * (x.ndim - 1)), x, y), one, other)
