"""An agent, its environments and its replay in one jitted program, for one seed or hundreds at once.

Acting, stepping with resets, items, sampling and updates are one compiled loop ("Anakin": Hessel et al. 2021,
2104.06272). It takes any agent's program and experience; an agent knows nothing of it. What an iteration of it does is
in `iteration`; here it is run for so many steps, evaluated, saved and restored.

Shapes: S seeds, N environments each, E episodes.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from acme import builders, core, experience, types
from acme_anakin import acting, store
from acme_anakin.environments import Environment
from acme_anakin.iteration import Iteration, Keys, Seed
from acme_jax import learning
from acme_jax.builder import ProgramBuilder
from acme_jax.program import PARAMS, Program

Array = jax.Array

MakeBuilder = Callable[[Any], builders.Builder[Any, Any]]  # of a config


class Variants(NamedTuple):
  """Configs that differ in numbers: those of the S seeds, of which several may be the same seed."""

  values: Mapping[str, Sequence[float]]  # [S] each, by field of the config
  make_builder: MakeBuilder  # of a config whose fields may be traced


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
    self._shared = program = jittable(builder.make_program(spec))
    self.experience = description = builder.make_experience(spec, program)
    self._datasets, passes = store.read_datasets(description, builder.step_spec(spec, program))
    self._store = store.Store(description, num_envs, steps)
    batches = description.pretraining_batches if isinstance(description, experience.Mixed) else 0
    repeated = getattr(builder.config, "num_sgd_steps_per_step", 1)
    self._pretraining = batches * repeated if self.acts else 0  # SGD steps.
    self._iteration = Iteration(environment, self._store, self._program, num_envs, len(self.seeds), repeated)
    self._run = jax.jit(self._ticks, donate_argnums=0)
    self._update = jax.jit(self._updates, donate_argnums=0)
    self._evaluate = jax.jit(self._evaluate_all, static_argnames="episodes")
    first = self._iteration.lift(self._iteration.init, (0, 0, None, None))
    init = functools.partial(jax.eval_shape, first) if abstract else jax.jit(first)
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
    values, _ = self._variants or ({}, None)
    keys = [_keys(seed, {name: of[i] for name, of in values.items()}) for i, seed in enumerate(self.seeds)]
    return jax.tree.map(lambda *leaves: stack(leaves) if len(self.seeds) > 1 else leaves[0], *keys)

  def _program(self, values: Mapping[str, Array]) -> Program[Any, Any, Any]:
    """A seed's program. Raises ValueError where what its config differs in decides what items there are."""
    if self._variants is None:
      return self._shared
    # Nothing that was computed from the numbers comes along, and no traced one is validated, which cannot be.
    config, spec = object.__new__(type(self._config)), self._environment.spec
    for field in dataclasses.fields(self._config):
      object.__setattr__(config, field.name, values.get(field.name, getattr(self._config, field.name)))
    _, make_builder = self._variants
    builder = make_builder(config)
    program: Program[Any, Any, Any] = builder.make_program(spec)
    if builder.make_experience(spec, program) != self.experience:
      raise ValueError(f"What is learned from depends on {', '.join(values)}: configs may not differ in it.")
    return program

  def trace(self) -> list[tuple[tuple[int, ...], Any]]:
    """The shapes and dtypes of what is saved, once all is traced that would be compiled: nothing is computed.

    Raises:
      TypeError, ValueError: Python itself needs to know a field in which configs differ, as a size or in a branch.
    """
    state = jax.eval_shape(self._iteration.tick, self._state, self._datasets)
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
    if not self.acts:
      return self._learn(steps)
    self._learn(self.pretraining)
    self._state = self._run(self._state, self._datasets, -(-steps // self._num_envs))

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
    self._learn(steps)
    return self.report()

  def _learn(self, steps: int) -> None:
    if steps:
      self._state = self._update(self._state, self._datasets, -(-steps // self._iteration.repeated))

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
      program = self._program(keys.values)
      return {PARAMS: program.params(state), **program.variables(state)}

    found = jax.jit(self._iteration.lift(known))(self._state.keys, self._state.learning.state)
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
    restored = jax.tree.map(lambda new, old: jax.device_put(new.reshape(old.shape), old.sharding), restored, plain)
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

  # What is compiled.

  def _ticks(self, seeds: Seed, datasets: Any, num_ticks: Array) -> Seed:
    return jax.lax.fori_loop(0, num_ticks, lambda _, seeds: self._iteration.tick(seeds, datasets), seeds)

  def _updates(self, seeds: Seed, datasets: Any, num_steps: Array) -> Seed:
    """Updates without acting in between: before anyone acts, or where nobody does."""
    learn = functools.partial(self._iteration.learn, seeds, datasets=datasets, acts=False)
    return seeds._replace(learning=jax.lax.fori_loop(0, num_steps, lambda _, learned: learn(learned), seeds.learning))

  def _evaluate_all(self, seeds: Seed, key: Array | None, episodes: int) -> Array:
    def evaluate(keys: Keys, state: Any, steps: Array) -> Array:
      own, program = jax.random.fold_in(keys.evaluate, steps) if key is None else key, self._program(keys.values)
      return acting.rollout(program, self._environment, program.params(state), own, episodes)

    taken = seeds.acting.steps if self.acts else seeds.learning.steps
    return self._iteration.lift(evaluate)(seeds.keys, seeds.learning.state, taken)


def _with_values(seeds: Seed, values: Mapping[str, Array]) -> Seed:
  return seeds._replace(keys=seeds.keys._replace(values=values))


def _keys(seed: int, values: Mapping[str, float]) -> tuple[Any, Keys]:
  """A seed's key for `init`, the one that a host's learner has; its others, beside the values that its config has."""
  # As `acme.agents.Agent` splits it: replay, learner, actor, evaluator.
  replay_seed, learner_seed, actor_seed, evaluator_seed = np.random.SeedSequence(seed).generate_state(4)
  init, act, evaluate = (jax.random.PRNGKey(int(s)) for s in (learner_seed, actor_seed, evaluator_seed))
  reset, step, replay = jax.random.split(jax.random.PRNGKey(int(replay_seed)), 3)
  own = {name: jnp.float32(value) for name, value in values.items()}
  return init, Keys(act=act, reset=reset, step=step, replay=replay, evaluate=evaluate, values=own)


def jittable(program: Any) -> Program[Any, Any, Any]:
  """The program that `Builder.make_program` made. Raises ValueError where it cannot run in a jitted loop."""
  if not isinstance(program, Program):
    raise ValueError('This agent is no program in JAX, so it cannot run in a jitted loop: ask for backend="jax".')
  if program.behaviour is None or program.evaluation is None:
    raise ValueError("This agent's acting is no pure function, so it cannot run in a jitted loop: run it on the host.")
  return program
