"""What one iteration does: a step in each environment, and what is then due to be learned.

All functions are pure. What takes a `seed` is of one, and is mapped over all; what takes `seeds` is of all at once:
whether any begins an episode anew, and whether anything is due to be learned, is asked for all together.

Shapes: S seeds, N environments each, B batch.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from acme import types
from acme_anakin import acting, adders, store
from acme_anakin.environments import Environment
from acme_jax import exploration, learning
from acme_jax.program import Executed, Program, execute, where

Array = jax.Array

_FEW = 64  # Environments that mostly go on: then whether any begins anew is worth asking.


class Keys(NamedTuple):
  """What of a seed is constant: its keys, as what is drawn follows from how many steps there were."""

  act: Array
  reset: Array
  step: Array
  replay: Array
  evaluate: Array
  values: Mapping[str, Array]  # [] each, of fields of its config; no part of what is saved


class Finished(NamedTuple):
  """Episodes that ended since they were last looked at."""

  number: Array  # [] int32
  returns: Array  # [] the sum of their returns
  lengths: Array  # [] int32, and of their lengths


class Acting(NamedTuple):
  """What acting changes; leaves [N, …] but for those that say otherwise."""

  environment: Any
  step: types.Step  # what the next action is chosen for
  core: Any
  noise: Any
  returns: Array  # of the episodes in progress
  lengths: Array
  steps: Array  # [] int32, of all environments
  finished: Finished


class Learning(NamedTuple):
  """What learning changes."""

  state: Any  # the program's
  sampling: store.Sampling
  steps: Array  # [] int32, SGD steps
  metrics: dict[str, Array]  # of the newest update
  diverged: Array  # [] int32, SGD steps before the first loss that was not finite; −1 for none


class Seed(NamedTuple):
  """All of one seed."""

  keys: Keys
  acting: Acting
  store: store.State
  learning: Learning


@dataclasses.dataclass(frozen=True, eq=False)
class Iteration:
  """An iteration of S seeds.

  Attributes:
    environment: written in JAX.
    replay: of the agent's experience.
    program: a seed's, of `Keys.values`.
    num_envs: N.
    num_seeds: S.
    repeated: updates in a learner step, all on parts of one sample.
  """

  environment: Environment
  replay: store.Store
  program: Callable[[Mapping[str, Array]], Program[Any, Any, Any]]
  num_envs: int
  num_seeds: int
  repeated: int

  def lift(self, function: Callable[..., Any], in_axes: Any = 0) -> Callable[..., Any]:
    """The function of one seed as one of S."""
    return jax.vmap(function, in_axes) if self.num_seeds > 1 else function

  def init(self, init_key: Array, keys: Keys, datasets: Any, passes: Mapping[str, store.Pass]) -> Seed:
    """The first state of one seed. The key is consumed."""
    program = self.program(keys.values)
    state = program.init(init_key)
    params = program.params(state)
    environment, observation = self._reset(keys.reset, jnp.int32(0))
    zeros, none = jnp.zeros(self.num_envs, jnp.float32), jnp.int32(0)
    step = acting.first_step(self.environment, observation)
    memory = acting.begin(acting.behaviour(program), params, self.num_envs)
    acts = Acting(
      environment, step, *memory, zeros, zeros.astype(jnp.int32), none, Finished(none, jnp.float32(0), none)
    )
    executed, outcome = jax.eval_shape(self._act, Seed(keys, acts, None, Learning(state, *[None] * 4)))  # type: ignore[arg-type]
    example = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), _tick(step, executed, outcome, step))
    cores = {name: acting.see(program, params, keys.act, through) for name, through in passes.items()}
    stored, sampling = self.replay.init(example._replace(before=step), datasets, cores)
    _, batch = jax.eval_shape(lambda: self.replay.sample(stored, sampling, datasets, keys.replay))
    _, _, metrics = jax.eval_shape(self._update(program), state, batch.sample)
    metrics = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), metrics)
    return Seed(keys, acts, stored, Learning(state, sampling, none, metrics, jnp.int32(-1)))

  def tick(self, seeds: Seed, datasets: Any) -> Seed:
    """One step in each environment, and what is then due to be learned."""
    executed, outcome = self.lift(self._act)(seeds)
    environment, observation = self._begin_anew(seeds, outcome)
    seeds = self.lift(self._record)(seeds, executed, outcome, environment, observation)
    return seeds._replace(learning=self._learn_what_is_due(seeds, datasets))

  def learn(self, seeds: Seed, learned: Learning, datasets: Any, *, acts: bool = True) -> Learning:
    """One learner step of all seeds; where nobody `acts` yet, on datasets alone."""
    step = functools.partial(self._learn_once, acts=acts)
    return self.lift(step, (0, 0, 0, None))(seeds.keys, seeds.store, learned, datasets)  # type: ignore[no-any-return]

  # Acting.

  def _reset(self, key: Array, steps: Array) -> tuple[Any, Any]:
    return acting.reset(self.environment, jax.random.fold_in(key, steps), self.num_envs)

  def _act(self, seed: Seed) -> tuple[Executed, Any]:
    acts, program, streams = seed.acting, self.program(seed.keys.values), exploration.Streams(0, self.num_envs)
    executed = execute(
      acting.behaviour(program), program.space, program.params(seed.learning.state), seed.keys.act, acts.steps, streams,
      acts.step, acts.core, acts.noise,
    )  # fmt: skip
    return acting.take_step(
      self.environment, acts.environment, executed, jax.random.fold_in(seed.keys.step, acts.steps)
    )

  def _begin_anew(self, seeds: Seed, outcome: Any) -> tuple[Any, Any]:
    """The environments' states and observations, of which those that are over begin anew."""

    def begin(key: Array, steps: Array, outcome: Any) -> tuple[Any, Any]:
      return where(outcome.last, self._reset(key, steps + self.num_envs), (outcome.state, outcome.observation))

    begun = functools.partial(self.lift(begin), seeds.keys.reset, seeds.acting.steps, outcome)
    if self.num_envs * self.num_seeds > _FEW:
      return begun()  # type: ignore[no-any-return]
    return jax.lax.cond(jnp.any(outcome.last), begun, lambda: (outcome.state, outcome.observation))

  def _record(self, seed: Seed, executed: Executed, outcome: Any, environment: Any, observation: Any) -> Seed:
    """Adds what happened to replay, and counts it."""
    acts, last, reward = seed.acting, outcome.last, outcome.reward
    going_on = types.Step(observation, executed.action, reward, outcome.discount, jnp.zeros_like(last))
    after = where(last, acting.first_step(self.environment, observation), going_on)
    tick = _tick(acts.step, executed, outcome, after)
    stored, sampling = self.replay.add(seed.store, seed.learning.sampling, tick)
    returns, lengths = acts.returns + reward, acts.lengths + 1
    ended = Finished(jnp.ones_like(lengths), returns, lengths)
    finished = jax.tree.map(lambda x, y: x + jnp.sum(jnp.where(last, y, 0), dtype=x.dtype), acts.finished, ended)
    acts = Acting(
      environment, after, executed.core, executed.noise, jnp.where(last, 0, returns), jnp.where(last, 0, lengths),
      acts.steps + self.num_envs, finished,
    )  # fmt: skip
    return Seed(seed.keys, acts, stored, seed.learning._replace(sampling=sampling))

  # Learning.

  def _learn_what_is_due(self, seeds: Seed, datasets: Any) -> Learning:
    """As many updates as are due: of all seeds at once, each as often as its own inserts ask for."""
    now = jnp.ravel(seeds.acting.steps)[0] // self.num_envs % self.replay.learns_every == 0
    due = self.lift(lambda learned: now & self.replay.due(learned.sampling))

    def update(learned: Learning) -> Learning:
      updated = self.learn(seeds, learned, datasets)
      alike = self.num_seeds == 1 or self.replay.same_for_all
      return updated if alike else where(due(learned), updated, learned)  # type: ignore[no-any-return]

    return jax.lax.while_loop(lambda learned: jnp.any(due(learned)), update, seeds.learning)

  def _learn_once(self, keys: Keys, stored: store.State, learned: Learning, datasets: Any, acts: bool) -> Learning:
    key = jax.random.fold_in(keys.replay, learned.steps)
    sampling, batch = self.replay.sample(stored, learned.sampling, datasets, key, acting=acts)
    state, priorities, metrics = self._update(self.program(keys.values))(learned.state, batch.sample)
    if priorities is not None:
      sampling = self.replay.write_back(sampling, batch, priorities)
    first_bad = (learned.diverged < 0) & ~jnp.isfinite(metrics["loss"])
    diverged = jnp.where(first_bad, learned.steps, learned.diverged)
    return Learning(state, sampling, learned.steps + self.repeated, metrics, diverged)

  def _update(self, program: Program[Any, Any, Any]) -> Callable[..., Any]:
    return learning.checked(program.update if self.repeated == 1 else learning.scan(program.update, self.repeated))


def _tick(before: types.Step, executed: Executed, outcome: Any, after: types.Step) -> adders.Tick:
  return adders.Tick(
    before=before,
    action=executed.action,
    extras=executed.extras,
    core=executed.core_before,
    reward=outcome.reward,
    discount=outcome.discount,
    observation=outcome.observation,
    last=outcome.last,
    after=after,
  )
