"""The smallest agent that passes the battery: Q-learning, linear in the observation, in NumPy, with a replay of lists.

  Q(o, a) = w_a · φ(o),    w_a ← w_a + α mean_i[δ_i φ(o_i)],    δ = r + γ d max_b Q_target(o', b) − Q(o, a)

It is what the battery itself is tested with, and an agent for tests that want one without a backend. φ is the
observation, flattened and squashed, with a 1. Nothing here is made for speed.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dm_env
import numpy as np
import tree

from acme import agents, builders, configs, core, plugins, replay, specs, types

__all__ = ["AGENT", "LinearQ", "LinearQBuilder", "LinearQConfig", "ListReplay"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LinearQConfig:
  """The hyper-parameters."""

  discount: configs.Fraction = 0.9
  """γ, for each environment step."""
  learning_rate: configs.Positive = 0.01
  """α, for each learner step."""
  epsilon: configs.Fraction = 0.1
  """Probability of a random action."""
  eval_epsilon: configs.Fraction = 0.0
  """The same at evaluation."""
  batch_size: configs.PositiveInt = 32
  """Transitions in a learner step."""
  target_update_period: configs.PositiveInt = 20
  """Learner steps between copies of w to the target."""
  samples_per_insert: configs.Positive = 8.0
  """Transitions sampled for each one inserted."""
  min_replay_size: configs.PositiveInt = 100
  """Transitions inserted before the first learner step."""
  max_replay_size: configs.PositiveInt = 10_000
  """Transitions held; then the oldest goes."""
  prioritized: bool = True
  """Samples transitions by |δ|, without importance weights."""
  priority_exponent: configs.NonNegative = 0.6
  """With `prioritized`: the power that priorities are raised to. 1511.05952 §3.3."""

  def __post_init__(self) -> None:
    configs.validate(self)
    if self.min_replay_size > self.max_replay_size:
      raise ValueError(
        f"LinearQConfig.min_replay_size: expected at most max_replay_size, {self.max_replay_size}, "
        f"got {self.min_replay_size}."
      )


class ListReplay(replay.Replay):
  """One table of one-step transitions, in a list."""

  def __init__(self, tables: Sequence[replay.Table], step_spec: types.Step, seed: int) -> None:
    (self._table,) = tables
    self._rng = np.random.default_rng(seed)
    self._items: list[list[Any]] = []  # [key, priority, transition], the oldest first.
    self._inserts = self._samples = 0

  def writer(self, num_streams: int | None = None) -> "ListWriter":
    return ListWriter(self)

  def insert(self, transition: types.Transition) -> None:
    """Adds a transition, at the largest priority."""
    priority = max((item[1] for item in self._items), default=1.0)
    self._items.append([self._inserts, priority, transition])
    del self._items[: -self._table.max_size]
    self._inserts += 1

  def dataset(self, table: str, batch_size: int) -> Iterator[replay.Sample]:
    while True:
      weights = np.ones(len(self._items))
      if isinstance(self._table.sampler, replay.Prioritized):
        weights = np.array([item[1] for item in self._items]) ** self._table.sampler.exponent
      weights = weights / weights.sum()
      chosen = self._rng.choice(len(self._items), batch_size, p=weights)
      self._samples += batch_size
      data = tree.map_structure(lambda *leaves: np.stack(leaves), *(self._items[i][2] for i in chosen))
      keys = np.array([self._items[i][0] for i in chosen])
      yield replay.Sample(data, keys, weights[chosen], len(self._items))

  def update_priorities(self, table: str, keys: np.ndarray, priorities: np.ndarray) -> None:
    new = dict(zip(keys.tolist(), priorities.tolist(), strict=True))
    for item in self._items:
      item[1] = new.get(item[0], item[1])

  def info(self) -> Mapping[str, replay.TableInfo]:
    return {self._table.name: replay.TableInfo(len(self._items), self._inserts, self._samples)}

  def available(self, table: str) -> float:
    return self._table.rate_limiter.allowed(self._inserts, self._samples)

  def save(self) -> types.State:
    items = [
      [key, priority, [tree.flatten(field) for field in transition]] for key, priority, transition in self._items
    ]
    return {"items": items, "rng": self._rng.bit_generator.state, "counts": [self._inserts, self._samples]}

  def restore(self, state: types.State) -> None:
    self._items = [[key, p, types.Transition(*map(_unpack, leaves))] for key, p, leaves in state["items"]]
    self._rng.bit_generator.state = state["rng"]
    self._inserts, self._samples = state["counts"]


def _unpack(leaves: list[np.ndarray]) -> types.NestedArray:
  """Observations are stored as features, so every field but the extras has one leaf."""
  return leaves[0] if leaves else ()


class ListWriter(replay.Writer):
  """Makes one-step transitions of the two newest steps."""

  def __init__(self, store: ListReplay) -> None:
    self._store = store
    self._steps: list[types.Step] = []

  def append(self, step: types.Step) -> None:
    self._steps = [*self._steps[-1:], step]

  def create_item(
    self, table: str, trajectory: Any, priority: float | None = None, streams: np.ndarray | None = None
  ) -> None:
    before, after = self._steps
    self._store.insert(
      types.Transition(before.observation, after.action, trajectory.reward, trajectory.discount, after.observation)
    )

  def save(self) -> types.State:
    return [list(step) for step in self._steps]

  def restore(self, state: types.State) -> None:
    self._steps = [types.Step(*step) for step in state]


class OneStepAdder(replay.Adder):
  """Every step is an item."""

  def __init__(self, writer: replay.Writer) -> None:
    self._writer = writer

  def add_first(self, timestep: dm_env.TimeStep) -> None:
    zero, one = np.float32(0), np.float32(1)
    self._writer.append(types.Step(features(timestep.observation), np.int32(0), zero, one, True))

  def add(self, action: types.NestedArray, next_timestep: dm_env.TimeStep, extras: types.NestedArray = ()) -> None:
    _, reward, discount, observation = next_timestep
    self._writer.append(types.Step(features(observation), np.asarray(action), reward, discount, False))
    self._writer.create_item("replay", replay.TransitionItem(1, reward, discount))

  def reset(self) -> None:
    pass

  def save(self) -> types.State:
    return self._writer.save()

  def restore(self, state: types.State) -> None:
    self._writer.restore(state)


def features(observation: types.NestedArray) -> np.ndarray:
  """φ(o): every number of an observation, squashed, and a 1."""
  flat = [np.tanh(np.asarray(leaf, np.float64).ravel()) for leaf in tree.flatten(observation)]
  return np.concatenate([*flat, [1.0]])


class LinearQActor(core.Actor):
  """ε-greedy in w_a · φ(o)."""

  def __init__(
    self, variables: core.VariableSource, num_actions: int, epsilon: float, seed: int, adder: replay.Adder | None
  ) -> None:
    self._variables = variables
    self._num_actions = num_actions
    self._epsilon = epsilon
    self._rng = np.random.default_rng(seed)
    self._adder = adder
    self.update()

  def select_action(self, observation: types.NestedArray) -> types.NestedArray:
    if self._rng.random() < self._epsilon:
      return np.int32(self._rng.integers(self._num_actions))
    return np.int32(np.argmax(features(observation) @ self._w))

  def observe_first(self, timestep: dm_env.TimeStep) -> None:
    if self._adder is not None:
      self._adder.add_first(timestep)

  def observe(self, action: types.NestedArray, next_timestep: dm_env.TimeStep) -> None:
    if self._adder is not None:
      self._adder.add(action, next_timestep)

  def update(self, wait: bool = False) -> None:
    (self._w,) = self._variables.get_variables(["params"])

  def save(self) -> types.State:
    return {"rng": self._rng.bit_generator.state, "w": self._w, "adder": self._adder.save() if self._adder else None}

  def restore(self, state: types.State) -> None:
    self._rng.bit_generator.state = state["rng"]
    self._w = state["w"]
    if self._adder:
      self._adder.restore(state["adder"])


class LinearQLearner(core.Learner):
  """The update of the module's docstring."""

  def __init__(
    self, config: LinearQConfig, w: np.ndarray, dataset: Iterator[replay.Sample], store: replay.Replay | None
  ) -> None:
    self._config = config
    self._w = self._target_w = w  # [F, A]; never written to, always replaced.
    self._dataset = dataset
    self._store = store
    self._steps = 0

  def step(self) -> None:
    sample = next(self._dataset)
    o_tm1, a_tm1, r_t, d_t, o_t, _ = sample.data
    q_t = (o_t @ self._target_w).max(axis=1)  # [B]
    chosen = np.arange(len(a_tm1)), a_tm1
    td_error = r_t + self._config.discount * d_t * q_t - (o_tm1 @ self._w)[chosen]  # [B]
    loss = float(np.mean(td_error**2))
    if not math.isfinite(loss):
      raise FloatingPointError(f"The loss is {loss} at step {self._steps}.")
    one_hot = np.eye(self._w.shape[1])[a_tm1]  # [B, A]
    self._w = self._w + self._config.learning_rate * o_tm1.T @ (td_error[:, None] * one_hot) / len(a_tm1)
    self._steps += 1
    if self._steps % self._config.target_update_period == 0:
      self._target_w = self._w
    if self._store is not None and self._config.prioritized:
      self._store.update_priorities("replay", sample.keys, np.abs(td_error) + 1e-6)

  def get_variables(self, names: Sequence[str]) -> list[types.NestedArray]:
    known = {"params": self._w, "target_params": self._target_w}
    for name in names:
      if name not in known:
        raise KeyError(f"No variables are called {name!r}; known: {', '.join(known)}.")
    return [known[name] for name in names]

  def save(self) -> types.State:
    return {"w": self._w, "target_w": self._target_w, "steps": self._steps}

  def restore(self, state: types.State) -> None:
    self._w, self._target_w, self._steps = state["w"], state["target_w"], state["steps"]


class LinearQBuilder(builders.Builder[tuple[int, int]]):
  """Makes the components; its networks are the numbers of features and of actions."""

  def __init__(self, config: LinearQConfig) -> None:
    self.config = config

  @property
  def samples_per_step(self) -> int:
    return self.config.batch_size

  def make_networks(self, spec: specs.EnvironmentSpec) -> tuple[int, int]:
    num_actions = int(specs.require_discrete(spec, "LinearQ").num_values)
    return len(features(tree.map_structure(lambda leaf: leaf.generate_value(), spec.observations))), num_actions

  def make_tables(self, spec: specs.EnvironmentSpec, networks: tuple[int, int]) -> list[replay.Table]:
    config = self.config
    return [
      replay.Table(
        max_size=config.max_replay_size,
        sampler=replay.Prioritized(config.priority_exponent) if config.prioritized else replay.Uniform(),
        rate_limiter=replay.RateLimiter(min_size=config.min_replay_size, samples_per_insert=config.samples_per_insert),
      )
    ]

  def make_adder(self, spec: specs.EnvironmentSpec, networks: tuple[int, int], writer: replay.Writer) -> replay.Adder:
    return OneStepAdder(writer)

  def make_dataset(self, store: replay.Replay) -> Iterator[replay.Sample]:
    return store.dataset("replay", self.config.batch_size)

  def make_learner(
    self,
    spec: specs.EnvironmentSpec,
    networks: tuple[int, int],
    dataset: Iterator[replay.Sample],
    *,
    seed: int,
    store: replay.Replay | None = None,
    logger: Any = None,
    counter: Any = None,
  ) -> LinearQLearner:
    w = 0.1 * np.random.default_rng(seed).standard_normal(networks)
    return LinearQLearner(self.config, w, dataset, store)

  def make_actor(
    self,
    spec: specs.EnvironmentSpec,
    networks: tuple[int, int],
    variables: core.VariableSource,
    *,
    seed: int,
    adder: replay.Adder | None = None,
    num_envs: int | None = None,
    evaluation: bool = False,
  ) -> LinearQActor:
    epsilon = self.config.eval_epsilon if evaluation else self.config.epsilon
    return LinearQActor(variables, networks[1], epsilon, seed, None if evaluation else adder)


class LinearQ(agents.Agent):
  """The agent."""

  def __init__(
    self, spec: specs.EnvironmentSpec, *, config: LinearQConfig | None = None, seed: int = 0, **kwargs: Any
  ) -> None:
    """Makes an agent; other arguments are those of `acme.agents.Agent`."""
    builder = LinearQBuilder(config if config is not None else LinearQConfig())
    super().__init__(builder, spec, make_replay=ListReplay, seed=seed, **kwargs)


AGENT = plugins.AgentPlugin(
  name="linear_q",
  summary="Q-learning, linear in the observation: an example in NumPy",
  config=LinearQConfig,
  builder=LinearQBuilder,
  agent=LinearQ,
  actions="discrete",
  presets={"uniform": lambda: LinearQConfig(prioritized=False)},
)
