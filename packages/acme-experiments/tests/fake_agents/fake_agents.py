"""An agent of a few lines of numpy, installed by putting this folder on the path: what the tests run and kill."""

import dataclasses
import math

import numpy as np

from acme import configs, core, plugins, specs


@dataclasses.dataclass(frozen=True, kw_only=True)
class FakeConfig:
  learning_rate: configs.Positive = 1e-2
  """How far parameters move in a step; a guess."""
  hidden_sizes: tuple[int, ...] = (4, 4)
  """Read by nothing."""
  double: bool = True
  """Read by nothing."""
  nan_at: int | None = None
  """The learner step whose loss is NaN."""

  def __post_init__(self) -> None:
    configs.validate(self)


class FakeAgent(core.Actor):
  """Acts by a linear policy; every step moves the parameters by noise and by what was observed."""

  def __init__(self, spec, *, config=None, seed=0, num_envs=None, logger=None, counter=None):
    actions = specs.require_discrete(spec, "fake")
    self.config = config if config is not None else FakeConfig()
    self.rng = np.random.default_rng(seed)
    self.weights = self.rng.normal(size=(math.prod(spec.observations.shape), actions.num_values))
    self.num_envs = num_envs
    self.logger = logger
    self.counter = counter
    self.steps = 0
    self.memory = np.zeros(64)
    self.learner = self  # One object for all: its state as an agent is that of its learner.

  def make_evaluator(self):
    return FakeEvaluator(self)

  def select_action(self, observation):
    if self.num_envs is not None:
      return np.array([self._act(o) for o in observation], np.int32)
    return self._act(observation)

  def _act(self, observation):
    greedy = int(np.argmax(np.ravel(observation) @ self.weights))
    return np.int32(self.rng.integers(self.weights.shape[1]) if self.rng.random() < 0.1 else greedy)

  def observe_first(self, timestep):
    self._learn(timestep.observation, 0.0 if self.num_envs is None else np.zeros(self.num_envs))

  def observe(self, action, next_timestep):
    if not np.all(np.isfinite(next_timestep.observation)):
      raise ValueError("observation: expected finite numbers. The environment gave a NaN or an infinity.")
    self._learn(next_timestep.observation, next_timestep.reward)

  def update(self, wait=False):
    self.steps += 1
    self.memory[self.steps % 64] = self.rng.normal()
    if self.counter is not None:
      self.counter.increment(learner_steps=1)
    if self.logger is not None and self.steps % 50 == 0:
      loss = float("nan") if self.config.nan_at == self.steps else float(np.sum(self.weights**2))
      self.logger.write({"loss": loss, "learner_steps": self.steps})

  def _learn(self, observation, reward):
    for o, r in [(observation, reward)] if self.num_envs is None else zip(observation, reward, strict=True):
      noise = self.rng.normal(size=self.weights.shape)
      self.weights += self.config.learning_rate * (noise * float(r) + np.ravel(o)[:, None] * self.memory.mean())

  def save(self):
    state = {
      "rng": self.rng.bit_generator.state,
      "weights": self.weights.copy(),
      "memory": self.memory.copy(),
      "steps": self.steps,
    }
    return {"learner": state}

  def restore(self, state):
    state = state.get("learner", state)
    self.rng.bit_generator.state = state["rng"]
    self.weights, self.memory, self.steps = state["weights"].copy(), state["memory"].copy(), state["steps"]


class FakeEvaluator(core.Actor):
  """Acts greedily, but for noise of its own that an evaluation must not carry over to the next."""

  def __init__(self, agent):
    self.agent = agent
    self.rng = np.random.default_rng(7)

  def update(self, wait=False):
    self.weights = self.agent.weights.copy()

  def select_action(self, observation):
    return np.int32(np.argmax(np.ravel(observation) @ self.weights + 0.1 * self.rng.normal(size=self.weights.shape[1])))

  def observe_first(self, timestep):
    pass

  def observe(self, action, next_timestep):
    pass

  def save(self):
    return {"rng": self.rng.bit_generator.state}

  def restore(self, state):
    self.rng.bit_generator.state = state["rng"]


AGENT = plugins.AgentPlugin(
  name="fake",
  summary="A fake.",
  config=FakeConfig,
  builder=FakeConfig,
  agent=FakeAgent,
  actions="discrete",
  presets={"fast": lambda: FakeConfig(learning_rate=0.5)},
)
CONTINUOUS = plugins.AgentPlugin(
  name="continuous-fake",
  summary="Another.",
  config=FakeConfig,
  builder=FakeConfig,
  agent=FakeAgent,
  actions="continuous",
)
