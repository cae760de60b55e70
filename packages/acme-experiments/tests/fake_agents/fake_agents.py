"""An agent of a few lines of numpy, installed by putting this folder on the path: what the tests run and kill."""

import dataclasses
import json
import math

import numpy as np

from acme import builders, configs, core, counting, experience, plugins, specs


@dataclasses.dataclass(frozen=True, kw_only=True)
class FakeConfig(configs.Config):
  learning_rate: configs.Positive = 1e-2
  """How far parameters move in a step; a guess."""
  hidden_sizes: tuple[int, ...] = (4, 4)
  """Read by nothing."""
  double: bool = True
  """Read by nothing."""
  queue: bool = False
  """Whether it learns from a queue."""
  demonstrations: str | None = None
  """What it learns from in its first 300 steps, before it acts, and later, too."""
  vmax: float | None = None
  """The highest return that a critic would tell apart."""
  nan_at: int | None = None
  """The learner step whose loss is NaN."""
  stops_after: int | None = None
  """Evaluations of what is held out after which it is finished; None for one that has no use for it."""


class FakeBuilder(builders.Builder):
  def __init__(self, config):
    self.config = config

  def make_program(self, spec):
    return math.prod(spec.observations.shape), specs.require_discrete(spec, "fake").num_values

  def make_experience(self, spec, program):
    if self.config.queue:
      return experience.Queue(batch_size=2, max_size=8, length=3)
    returns = None if self.config.vmax is None else (0.0, self.config.vmax)
    acting = experience.Transitions(batch_size=4, max_size=100, samples_per_insert=4.0, value_range=returns)
    if self.config.demonstrations is None:
      return acting
    parts = {"demonstrations": acting.from_dataset(self.config.demonstrations), "acting": acting}
    return experience.Mixed(
      parts=parts, share="priority", batch_size=4, samples_per_insert=4.0, pretraining_batches=300
    )

  def make_learner(self, spec, program, inputs):
    return FakeLearner(self.config, program, inputs)

  def make_actor(self, spec, program, inputs):
    return FakeEvaluator(inputs) if inputs.evaluation else FakeActor(program, inputs)


class FakeLearner(core.Learner):
  """Every step moves a linear policy by noise and by what was observed."""

  def __init__(self, config, shape, inputs):
    self.config = config
    self.rng = np.random.default_rng(inputs.seed)
    self.weights = self.rng.normal(size=shape)
    self.dataset = inputs.dataset
    self.logger = inputs.logger
    self.counter = counting.Counter(inputs.counter, prefix="learner")
    self.steps = self.evaluations = 0

  @property
  def finished(self):
    return self.config.stops_after is not None and self.evaluations >= self.config.stops_after

  def evaluate(self):
    """The second one is the best."""
    if self.config.stops_after is None:
      return {}
    self.evaluations += 1
    return {"held_out_loss": 1.0 + abs(self.evaluations - 2), "train_loss": 7.0}

  def step(self):
    self.steps += 1
    data = next(self.dataset).data
    noise = self.rng.normal(size=self.weights.shape) * float(np.mean(data.reward))
    self.weights = self.weights + self.config.learning_rate * (noise + np.mean(data.observation, axis=0).reshape(-1, 1))
    self.counter.increment(steps=1)
    if self.logger is not None and self.steps % 50 == 0:
      loss = float("nan") if self.config.nan_at == self.steps else float(np.sum(self.weights**2))
      self.logger.write({"loss": loss, "learner_steps": self.steps})

  def get_variables(self, names):
    return [self.weights for _ in names]

  def save(self):
    counts = {"steps": self.steps, "evaluations": self.evaluations}
    return {"rng": self.rng.bit_generator.state, "weights": self.weights.copy(), **counts}

  def restore(self, state):
    self.rng.bit_generator.state = state["rng"]
    self.weights, self.steps = state["weights"].copy(), state["steps"]
    self.evaluations = state["evaluations"]


class FakeActor(core.Actor):
  """Acts by the linear policy, or at random."""

  def __init__(self, shape, inputs):
    self.num_actions = shape[1]
    self.rng = np.random.default_rng(inputs.seed)
    self.source, self.adder, self.num_envs = inputs.variables, inputs.adder, inputs.num_envs
    self.update()

  def select_action(self, observation):
    if self.num_envs is not None:
      return np.array([self._act(o) for o in observation], np.int32)
    return self._act(observation)

  def _act(self, observation):
    greedy = int(np.argmax(np.ravel(observation) @ self.weights))
    return np.int32(self.rng.integers(self.num_actions) if self.rng.random() < 0.5 else greedy)

  def observe_first(self, timestep):
    self.adder.add_first(timestep)

  def observe(self, action, next_timestep):
    self.adder.add(action, next_timestep)

  def update(self, wait=False):
    (self.weights,) = self.source.get_variables(["params"])

  def save(self):
    return {"rng": self.rng.bit_generator.state, "adder": self.adder.save()}

  def restore(self, state):
    self.update()
    self.rng.bit_generator.state = state["rng"]
    self.adder.restore(state["adder"])


class FakeEvaluator(core.Actor):
  """Acts greedily, but for noise of its own that an evaluation must not carry over to the next."""

  def __init__(self, inputs):
    self.source = inputs.variables
    self.rng = np.random.default_rng(7)
    self.update()

  def update(self, wait=False):
    (self.weights,) = self.source.get_variables(["params"])

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


class FakeTracker:
  """Keeps what it is told in a file."""

  held = None

  def __init__(self, tracked):
    self.id = tracked.id
    self.path = tracked.path / "told.jsonl"
    self.parameters = tracked.parameters

  def write(self, points, again=False):
    with self.path.open("a") as file:
      for point in points:
        file.write(json.dumps([*point[:3], point.values, again, self.id]) + "\n")

  def finish(self, summary):
    (self.path.parent / "final.json").write_text(json.dumps([dict(summary), self.parameters]))

  def close(self):
    pass


class FakeObserver(core.Saveable):
  """Counts the steps of an episode, and of all."""

  def __init__(self):
    self.here = self.all = 0

  def observe_first(self, environment, timestep):
    self.here = 0

  def observe(self, environment, timestep, action):
    self.here += 1
    self.all += 1

  def get_metrics(self):
    return {"seen": self.here, "seen_in_all": self.all}

  def save(self):
    return {"here": self.here, "all": self.all}

  def restore(self, state):
    self.here, self.all = state["here"], state["all"]


make_builder = FakeBuilder


def fast():
  """For CartPole: found by nobody."""
  return FakeConfig(learning_rate=0.5)


AGENT = plugins.AgentPlugin(
  name="fake",
  summary="A fake.",
  config=FakeConfig,
  actions=("discrete",),
  backends={"numpy": "fake_agents"},
  presets={"fast": fast},
  tuned={"CartPole-v1": "fast", "cartpole": "fast"},
)
CONTINUOUS = plugins.AgentPlugin(
  name="continuous-fake",
  summary="Another.",
  config=FakeConfig,
  actions=("continuous",),
  backends={"numpy": "fake_agents"},
)
