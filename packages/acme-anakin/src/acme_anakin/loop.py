"""An agent, its environments and its replay in one jitted program, for one seed or hundreds at once.

Acting, stepping with resets, items, sampling and updates are one compiled loop ("Anakin": Hessel et al. 2021,
2104.06272). It takes any agent's program and experience; an agent knows nothing of it.

Shapes: S seeds, N environments each, B batch, E episodes.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tree

from acme import builders, core, experience, types
from acme_anakin import adders, store
from acme_anakin.environments import Environment
from acme_jax import exploration, learning, networks
from acme_jax.builder import ProgramBuilder
from acme_jax.program import PARAMS, Executed, Policy, Program, execute, where

Array = jax.Array

_FEW = 64  # Environments that mostly go on: then whether any begins anew is worth asking.
_ENDLESS = 10_000  # Steps after which an evaluated episode without a limit is cut short.


MakeBuilder = Callable[[Any], builders.Builder[Any, Any]]  # of a config


class Variants(NamedTuple):
  """Configs that differ in numbers: those of the S seeds, of which several may be the same seed."""

  values: Mapping[str, Sequence[float]]  # [S] each, by field of the config
  make_builder: MakeBuilder  # of a config whose fields may be traced


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


class Loop(core.Saveable):
  """Runs an agent of S seeds, each in N environments, on the device.

  Semantics are the host's, but for episodes that begin anew in the same tick: items, truncation that bootstraps from
  the last observation, and the exact ratio of samples to inserts of every seed. Where one item comes of each step, all
  seeds learn at the same times, and no work is masked; else a seed that has nothing to learn waits for the others.
  """

  def __init__(
    self,
    builder: builders.Builder[Any, Any],
    environment: Environment,
    *,
    steps: int,
    num_envs: int = 1,
    seeds: Sequence[int] = (0,),
    devices: Sequence[jax.Device] | None = None,
    variants: Variants | None = None,
    abstract: bool = False,
  ) -> None:
    """Makes the first state of all seeds.

    Args:
      builder: the agent's.
      environment: written in JAX.
      steps: of each seed's environments in all calls of `run` together: replay is no larger than they fill.
      num_envs: N.
      seeds: S of them; each is what it would be alone, but for rounding.
      devices: over which the seeds are spread, an equal number on each; None for the first alone.
      variants: in which numbers the seeds' configs differ from the builder's; None for in none.
      abstract: makes shapes in place of arrays, for `trace`.

    Raises:
      ValueError: the agent has no program in JAX, or cannot act or learn in a jitted loop; or the seeds cannot be
        spread evenly; or configs may not differ in these fields, which may be a TypeError, too: see `trace`.
    """
    self._environment, self._num_envs, self.seeds = environment, num_envs, tuple(seeds)
    self._config, self._variants, spec = builder.config, variants, environment.spec
    if num_envs < 1 or not self.seeds or (variants is None and len(set(self.seeds)) < len(self.seeds)):
      raise ValueError(f"Expected num_envs of 1 or more and seeds that differ, got {num_envs} and {self.seeds}.")
    if not 0 < steps < 2**31 - num_envs:
      raise ValueError(f"steps: expected a number above 0 that fits 32 bits, got {steps}.")
    if isinstance(builder, ProgramBuilder) and type(builder).make_learner is not ProgramBuilder.make_learner:
      raise ValueError("This agent's learner does more than its program says, as it is configured: run it on the host.")
    program = jittable(builder.make_program(spec))
    self._shared: Program[Any, Any, Any] = program
    self.experience = description = builder.make_experience(spec, program)
    self._datasets, passes = store.read_datasets(description, builder.step_spec(spec, program))
    self._store = store.Store(description, num_envs, steps)
    batches = description.pretraining_batches if isinstance(description, experience.Mixed) else 0
    self._repeated = repeated = getattr(builder.config, "num_sgd_steps_per_step", 1)
    self._pretraining = batches * repeated if self.acts else 0  # SGD steps.
    self._lift: Callable[..., Any] = jax.vmap if len(self.seeds) > 1 else lambda f, in_axes=0: f
    self._run = jax.jit(self._ticks, donate_argnums=0)
    self._pretrain = jax.jit(self._learn_alone, static_argnames="acting", donate_argnums=0)
    self._evaluate = jax.jit(self._evaluate_all, static_argnames="episodes")
    init = functools.partial(jax.eval_shape, self._init) if abstract else jax.jit(self._init)
    keys = jax.eval_shape(lambda: self._keys(jnp.stack)) if abstract else self._keys(np.stack)
    self._state: Seed = init(*keys, self._datasets, passes)
    self._spread(devices)

  def _spread(self, devices: Sequence[jax.Device] | None) -> None:
    if devices is None or len(devices) < 2:
      return
    if len(self.seeds) % len(devices):
      raise ValueError(f"devices: expected a number that divides {len(self.seeds)} seeds, got {len(devices)}.")
    mesh = jax.sharding.Mesh(np.asarray(devices), ("seeds",))
    self._state = jax.device_put(self._state, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("seeds")))

  def _keys(self, stack: Callable[..., Any]) -> Any:
    values = {} if self._variants is None else self._variants.values
    keys = [_keys(seed, {name: of[i] for name, of in values.items()}) for i, seed in enumerate(self.seeds)]
    return jax.tree.map(lambda *leaves: stack(leaves) if len(self.seeds) > 1 else leaves[0], *keys)

  def _program(self, keys: Keys) -> Program[Any, Any, Any]:
    """A seed's program. Raises ValueError where what its config differs in decides what items there are."""
    if self._variants is None:
      return self._shared
    # Nothing that was computed from the numbers comes along, and no traced one is validated, which cannot be.
    config, spec = object.__new__(type(self._config)), self._environment.spec
    for field in dataclasses.fields(self._config):
      object.__setattr__(config, field.name, keys.values.get(field.name, getattr(self._config, field.name)))
    builder = self._variants.make_builder(config)
    program: Program[Any, Any, Any] = builder.make_program(spec)
    if builder.make_experience(spec, program) != self.experience:
      raise ValueError(f"What is learned from depends on {', '.join(keys.values)}: configs may not differ in it.")
    return program

  def trace(self) -> list[tuple[tuple[int, ...], Any]]:
    """The shapes and dtypes of what is saved, once all is traced that would be compiled: nothing is computed.

    Raises:
      TypeError, ValueError: Python itself needs to know a field in which configs differ, as a size or in a branch.
    """
    state = jax.eval_shape(self._tick, self._state, self._datasets)
    jax.eval_shape(functools.partial(self._evaluate_all, key=None, episodes=1), state)
    return [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(_with_values(state, {}))]

  # What a caller does.

  @property
  def acts(self) -> bool:
    """Whether it acts; else all that it learns from comes from datasets."""
    return self._store.online is not None

  @property
  def steps(self) -> int:
    """Environment steps of each seed so far; of one that does not act, SGD steps."""
    taken = self._state.acting.steps if self.acts else self._state.learning.steps
    return int(np.max(np.asarray(taken)))

  def run(self, steps: int) -> dict[str, np.ndarray]:
    """Takes at least so many environment steps in each seed, a multiple of N, and learns as often as they ask for.

    An agent that learns from datasets alone takes SGD steps.

    Returns:
      [S] each: `steps`, `learner_steps`, `episodes` that ended, their mean `episode_return` and `episode_length` (NaN
      where none ended), the newest update's metrics, and `diverged`, SGD steps before the first loss that was not
      finite, −1 where all were.
    """
    self.advance(steps)
    return self.report()

  def advance(self, steps: int) -> None:
    """`run` without its report: in how many calls steps are taken changes nothing."""
    if self.acts:
      self._learn_before(self.pretraining)
      self._state = self._run(self._state, self._datasets, -(-steps // self._num_envs))
    else:
      self._state = self._pretrain(self._state, self._datasets, -(-steps // self._repeated), acting=True)

  @property
  def pretraining(self) -> int:
    """SGD steps still to take before acting, of those that the agent asks for; `run` takes them, too."""
    if not self._pretraining:
      return 0
    return max(0, self._pretraining - int(np.max(np.asarray(self._state.learning.steps))))

  def pretrain(self, steps: int) -> dict[str, np.ndarray]:
    """Takes so many SGD steps on datasets alone, before acting. Raises ValueError where there is none."""
    if not self._datasets:
      raise ValueError("There is nothing to learn from before acting: this agent's experience has no dataset.")
    self._learn_before(steps)
    return self.report()

  def _learn_before(self, steps: int) -> None:
    if steps:
      self._state = self._pretrain(self._state, self._datasets, -(-steps // self._repeated), acting=not self.acts)

  def evaluate(self, episodes: int, seed: int | None = None) -> np.ndarray:
    """Returns of E episodes [S, E], by the evaluation policy.

    Args:
      episodes: E.
      seed: of their starts, the same for all S; None for starts that differ by seed and evaluation.
    """
    key = None if seed is None else jax.random.PRNGKey(seed)
    return np.asarray(self._evaluate(self._state, key, episodes=episodes)).reshape(len(self.seeds), episodes)

  def get_variables(self, names: Sequence[str]) -> list[types.NestedArray]:
    """The program's variables by name, each leaf [S, …]. Raises KeyError for an unknown name."""

    def known(keys: Keys, state: Any) -> dict[str, Any]:
      program = self._program(keys)
      return {PARAMS: program.params(state), **program.variables(state)}

    found = jax.jit(self._lift(known))(self._state.keys, self._state.learning.state)
    return [self._of_seeds(each) for each in learning.find(found, names)]

  def save(self) -> types.State:
    """Returns the state of all seeds, leaves [S, …]: those of some restore a loop of them alone, of their config."""
    return {"seeds": list(self.seeds), "state": learning.to_lists(self._of_seeds(_with_values(self._state, {})))}

  def restore(self, state: types.State) -> None:
    """Puts back what `save` returned. Raises ValueError where it is of other seeds, or of another agent or config."""
    if tuple(state["seeds"]) != self.seeds:
      raise ValueError(f"The saved state is of the seeds {state['seeds']}, expected {list(self.seeds)}.")
    plain = _with_values(self._state, {})
    restored = learning.from_lists(self._of_seeds(plain), state["state"])
    if len(self.seeds) == 1:
      restored = jax.tree.map(lambda x: x[0], restored)
    restored = jax.tree.map(lambda new, old: jax.device_put(new, old.sharding), restored, plain)
    self._state = _with_values(restored, self._state.keys.values)

  def _of_seeds(self, nest: Any) -> Any:
    """Numpy arrays with a leading [S]."""
    return jax.tree.map(lambda x: np.asarray(x).reshape(len(self.seeds), *x.shape[len(self.seeds) > 1 :]), nest)

  def report(self) -> dict[str, np.ndarray]:
    """What `run` returns, of all steps since the last report."""
    acting, learned = self._state.acting, self._state.learning
    zeros = jax.tree.map(jnp.zeros_like, acting.finished)
    self._state = self._state._replace(acting=acting._replace(finished=zeros))
    finished, learned_metrics = self._of_seeds((acting.finished, learned.metrics))
    counts = {"steps": acting.steps, "learner_steps": learned.steps, "diverged": learned.diverged}
    with np.errstate(invalid="ignore", divide="ignore"):
      episodes = {
        "episodes": finished.number,
        "episode_return": finished.returns / finished.number,
        "episode_length": finished.lengths / finished.number,
      }
    return self._of_seeds(counts) | episodes | learned_metrics

  # What is compiled; S seeds where the name says so.

  def _init(self, init_key: Array, keys: Keys, datasets: Any, passes: dict[str, store.Pass]) -> Seed:
    def init(init_key: Array, keys: Keys) -> Seed:
      num_envs, program = self._num_envs, self._program(keys)
      state = program.init(init_key)
      params = program.params(state)
      environment, observation = self._reset(keys.reset, jnp.int32(0))
      core_state, noise = _begin(_behaviour(program), params, num_envs)
      zeros = jnp.zeros(num_envs, jnp.float32)
      counts = Finished(jnp.int32(0), jnp.float32(0), jnp.int32(0))
      step = first_step(self._environment, observation)
      acting = Acting(environment, step, core_state, noise, zeros, zeros.astype(jnp.int32), jnp.int32(0), counts)
      executed, outcome = jax.eval_shape(self._act, Seed(keys, acting, None, Learning(state, *[None] * 4)))  # type: ignore[arg-type]
      example = jax.tree.map(
        lambda x: jnp.zeros(x.shape, x.dtype), _tick(acting, executed, outcome, jax.eval_shape(lambda: step))
      )._replace(before=step)
      cores = {name: _cores(program, params, keys.act, through) for name, through in passes.items()}
      stored, sampling = self._store.init(example, datasets, cores)
      _, batch = jax.eval_shape(lambda: self._store.sample(stored, sampling, datasets, keys.replay))
      _, _, metrics = jax.eval_shape(self._update(program), state, batch.sample)
      metrics = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), metrics)
      return Seed(keys, acting, stored, Learning(state, sampling, jnp.int32(0), metrics, jnp.int32(-1)))

    return self._lift(init)(init_key, keys)

  def _update(self, program: Program[Any, Any, Any]) -> Callable[..., Any]:
    return learning.checked(program.update if self._repeated == 1 else learning.scan(program.update, self._repeated))

  def _ticks(self, seeds: Seed, datasets: Any, num_ticks: Array) -> Seed:
    return jax.lax.fori_loop(0, num_ticks, lambda _, seeds: self._tick(seeds, datasets), seeds)

  def _tick(self, seeds: Seed, datasets: Any) -> Seed:
    """One step in each environment, and what is then due to be learned."""
    executed, outcome = self._lift(self._act)(seeds)
    environment, observation = self._begin_anew(seeds, outcome)
    seeds = self._lift(self._record)(seeds, executed, outcome, environment, observation)
    return seeds._replace(learning=self._learn(seeds, datasets))

  def _act(self, seed: Seed) -> tuple[Executed, Any]:
    acting, program, streams = seed.acting, self._program(seed.keys), exploration.Streams(0, self._num_envs)
    executed = execute(
      _behaviour(program), program.space, program.params(seed.learning.state), seed.keys.act, acting.steps, streams,
      acting.step, acting.core, acting.noise,
    )  # fmt: skip
    return take_step(self._environment, acting.environment, executed, jax.random.fold_in(seed.keys.step, acting.steps))

  def _reset(self, key: Array, steps: Array) -> tuple[Any, Any]:
    return reset(self._environment, jax.random.fold_in(key, steps), self._num_envs)

  def _begin_anew(self, seeds: Seed, outcome: Any) -> tuple[Any, Any]:
    """The environments' states and observations, of which those that are over begin anew."""

    def begin(key: Array, steps: Array, outcome: Any) -> tuple[Any, Any]:
      begun = self._reset(key, steps + self._num_envs)
      return where(outcome.last, begun, (outcome.state, outcome.observation))

    def some() -> Any:
      return self._lift(begin)(seeds.keys.reset, seeds.acting.steps, outcome)

    if self._num_envs * len(self.seeds) > _FEW:
      return some()
    return jax.lax.cond(jnp.any(outcome.last), some, lambda: (outcome.state, outcome.observation))

  def _record(self, seed: Seed, executed: Executed, outcome: Any, environment: Any, observation: Any) -> Seed:
    """Adds what happened to replay, and counts it."""
    acting, last, reward = seed.acting, outcome.last, outcome.reward
    going_on = types.Step(observation, executed.action, reward, outcome.discount, jnp.zeros_like(last))
    after = where(last, first_step(self._environment, observation), going_on)
    tick = _tick(acting, executed, outcome, after)
    stored, sampling = self._store.add(seed.store, seed.learning.sampling, tick)
    returns, lengths = acting.returns + reward, acting.lengths + 1
    done = acting.finished
    finished = Finished(
      done.number + jnp.sum(last, dtype=jnp.int32),
      done.returns + jnp.sum(jnp.where(last, returns, 0)),
      done.lengths + jnp.sum(jnp.where(last, lengths, 0), dtype=jnp.int32),
    )
    acting = Acting(
      environment, after, executed.core, executed.noise, jnp.where(last, 0, returns), jnp.where(last, 0, lengths),
      acting.steps + self._num_envs, finished,
    )  # fmt: skip
    return Seed(seed.keys, acting, stored, seed.learning._replace(sampling=sampling))

  def _learn(self, seeds: Seed, datasets: Any) -> Learning:
    """As many updates as are due: of all seeds at once, each as often as its own inserts ask for."""
    now = jnp.ravel(seeds.acting.steps)[0] // self._num_envs % self._store.learns_every == 0
    due = self._lift(lambda learned: now & self._store.due(learned.sampling))

    def update(learned: Learning) -> Learning:
      return self._lift(self._step, in_axes=(0, 0, 0, None))(seeds.keys, seeds.store, learned, datasets)

    if len(self.seeds) == 1:
      return jax.lax.while_loop(due, update, seeds.learning)
    if self._store.same_for_all:
      return jax.lax.while_loop(lambda learned: due(learned)[0], update, seeds.learning)
    masked = lambda learned: where(due(learned), update(learned), learned)  # noqa: E731
    return jax.lax.while_loop(lambda learned: jnp.any(due(learned)), masked, seeds.learning)

  def _step(self, keys: Keys, stored: store.State, learned: Learning, datasets: Any, acting: bool = True) -> Learning:
    """One learner step."""
    key = jax.random.fold_in(keys.replay, learned.steps)
    sampling, batch = self._store.sample(stored, learned.sampling, datasets, key, acting=acting)
    state, priorities, metrics = self._update(self._program(keys))(learned.state, batch.sample)
    if priorities is not None:
      sampling = self._store.write_back(sampling, batch, priorities)
    first_bad = (learned.diverged < 0) & ~jnp.isfinite(metrics["loss"])
    diverged = jnp.where(first_bad, learned.steps, learned.diverged)
    return Learning(state, sampling, learned.steps + self._repeated, metrics, diverged)

  def _learn_alone(self, seeds: Seed, datasets: Any, num_steps: Array, acting: bool) -> Seed:
    """Updates without acting in between."""

    def update(_: Any, learned: Learning) -> Learning:
      step = functools.partial(self._step, acting=acting)
      return self._lift(step, in_axes=(0, 0, 0, None))(seeds.keys, seeds.store, learned, datasets)

    return seeds._replace(learning=jax.lax.fori_loop(0, num_steps, update, seeds.learning))

  def _evaluate_all(self, seeds: Seed, key: Array | None, episodes: int) -> Array:
    def evaluate(keys: Keys, state: Any, steps: Array) -> Array:
      own, program = jax.random.fold_in(keys.evaluate, steps) if key is None else key, self._program(keys)
      return rollout(program, self._environment, program.params(state), own, episodes)

    taken = seeds.acting.steps if self.acts else seeds.learning.steps
    return self._lift(evaluate)(seeds.keys, seeds.learning.state, taken)


def rollout(program: Program[Any, Any, Any], environment: Environment, params: Any, key: Array, episodes: int) -> Array:
  """Returns of E episodes [E], all at once, by a program's evaluation policy. One without a limit ends at 10,000 steps.

  Args:
    program: the agent's.
    environment: written in JAX.
    params: what the policy acts with.
    key: consumed.
    episodes: E.
  """
  policy = program.evaluation
  assert policy is not None
  limit = environment.max_episode_steps or _ENDLESS
  reset_key, act_key, step_key = jax.random.split(key, 3)
  state, observation = reset(environment, reset_key, episodes)
  step = first_step(environment, observation)
  streams = exploration.Streams(0, episodes)

  def go_on(carry: Any) -> Array:
    *_, over, _, t = carry
    return ~jnp.all(over) & (t < limit)

  def body(carry: Any) -> Any:
    state, step, memory, over, total, t = carry
    executed = execute(policy, program.space, params, act_key, t * episodes, streams, step, *memory)
    executed, outcome = take_step(environment, state, executed, jax.random.fold_in(step_key, t))
    total = total + jnp.where(over, 0, outcome.reward)
    led = (executed.action, outcome.reward, outcome.discount)
    step = types.Step(outcome.observation, *led, start_of_episode=jnp.zeros(episodes, bool))
    return outcome.state, step, (executed.core, executed.noise), over | outcome.last, total, t + 1

  over, zeros = jnp.zeros(episodes, bool), jnp.zeros(episodes, jnp.float32)
  carry = (state, step, _begin(policy, params, episodes), over, zeros, jnp.int32(0))
  total: Array = jax.lax.while_loop(go_on, body, carry)[4]
  return total


def reset(environment: Environment, key: Array, num_envs: int) -> tuple[Any, Any]:
  """Begins episodes in N environments: their state and o_0, [N, …] each. The key is consumed."""
  return jax.vmap(environment.reset)(jax.random.split(key, num_envs))


def take_step(environment: Environment, state: Any, executed: Executed, key: Array) -> tuple[Executed, Any]:
  """Takes a step in N environments: what was executed, of the specs' dtypes, and the outcome. The key is consumed."""
  action = tree.map_structure(lambda x, spec: x.astype(spec.dtype), executed.action, environment.spec.actions)
  keys = jax.random.split(key, jax.tree.leaves(action)[0].shape[0])
  return executed._replace(action=action), jax.vmap(environment.step)(keys, state, action)


def first_step(environment: Environment, observation: Any) -> types.Step:
  """The step [N, …] with which episodes begin."""
  spec, num_envs = environment.spec, jax.tree.leaves(observation)[0].shape[0]
  action, reward, discount = networks.zeros((spec.actions, spec.rewards, spec.discounts), num_envs)
  return types.Step(observation, action, reward, jnp.ones_like(discount), jnp.ones(num_envs, bool))


def _cores(program: Program[Any, Any, Any], params: Any, key: Array, through: store.Pass) -> Any:
  """The recurrent states [C, …] with which the sequences of a dataset begin, of an actor that sees its episodes."""
  policy, streams = _behaviour(program), exploration.Streams(0, 1)

  def see(core_state: Any, step: types.Step) -> tuple[Any, Any]:
    executed = execute(policy, program.space, params, key, 0, streams, step, core_state, (), explore=False)
    return executed.core, executed.core_before

  _, cores = jax.lax.scan(see, policy.initial(params, 1), through.steps)  # [T, 1, …]
  return jax.tree.map(lambda x: x[through.first, 0], cores)


def _behaviour(program: Program[Any, Any, Any]) -> Policy[Any, Any]:
  assert program.behaviour is not None
  return program.behaviour


def _begin(policy: Policy[Any, Any], params: Any, num_envs: int) -> tuple[Any, Any]:
  """The recurrent state and the noise in which episodes begin."""
  noise = () if policy.explore is None else policy.explore.initial(num_envs)
  return policy.initial(params, num_envs), jax.tree.map(jnp.asarray, noise)


def _tick(acting: Acting, executed: Executed, outcome: Any, after: types.Step) -> adders.Tick:
  return adders.Tick(
    before=acting.step,
    action=executed.action,
    extras=executed.extras,
    core=executed.core_before,
    reward=outcome.reward,
    discount=outcome.discount,
    observation=outcome.observation,
    last=outcome.last,
    after=after,
  )


def _with_values(seeds: Seed, values: Mapping[str, Array]) -> Seed:
  return seeds._replace(keys=seeds.keys._replace(values=values))


def _keys(seed: int, values: Mapping[str, float]) -> tuple[Any, Keys]:
  """A seed's key for `init`, the one that a host's learner has; its others, beside the values that its config has."""
  # As `acme.agents.Agent` splits it: replay, learner, actor, evaluator.
  replay_seed, learner_seed, actor_seed, evaluator_seed = np.random.SeedSequence(seed).generate_state(4)
  made: list[Any] = [jax.random.PRNGKey(int(s)) for s in (learner_seed, actor_seed, evaluator_seed)]
  own: Any = {name: np.asarray(value, np.float32) for name, value in values.items()}
  keys = jax.random.split(jax.random.PRNGKey(int(replay_seed)), 3)
  return made[0], Keys(act=made[1], reset=keys[0], step=keys[1], replay=keys[2], evaluate=made[2], values=own)


def jittable(program: Any) -> Program[Any, Any, Any]:
  """The program that `Builder.make_program` made. Raises ValueError where it cannot run in a jitted loop."""
  if not isinstance(program, Program):
    raise ValueError('This agent is no program in JAX, so it cannot run in a jitted loop: ask for backend="jax".')
  if program.behaviour is None or program.evaluation is None:
    raise ValueError("This agent's acting is no pure function, so it cannot run in a jitted loop: run it on the host.")
  return program
