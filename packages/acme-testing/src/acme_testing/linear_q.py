"""The smallest agent that passes the battery: Q-learning, linear in the observation, in NumPy.

  Q(o, a) = w_a · φ(o),    w_a ← w_a + α mean_i[v_i δ_i φ(o_i)],    δ = R + γ D max_b Q_target(o', b) − Q(o, a)

over n-step transitions (acme.types.Transition) with importance weights v. It is what the battery itself is tested with,
and an agent for tests that want one without a backend. φ is the observation, flattened and squashed, with a 1.

Shapes: N environments, B batch, F features, A actions.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import dm_env
import numpy as np
import tree

from acme import agents, builders, configs, core, counting, experience, plugins, replay, specs, types

__all__ = ["AGENT", "LinearQ", "LinearQBuilder", "LinearQConfig", "make_builder"]

Shape = tuple[int, int]  # [F, A] of the weights: all that the parts of this agent share.


@dataclasses.dataclass(frozen=True, kw_only=True)
class LinearQConfig(configs.TransitionConfig):
  """The hyper-parameters."""

  learning_rate: configs.Positive = 0.01
  """α, for each SGD step."""
  epsilon: configs.Fraction = 0.1
  """Probability of a random action."""
  eval_epsilon: configs.Fraction = 0.0
  """The same at evaluation."""
  target_update_period: configs.PositiveInt = 20
  """SGD steps between copies of w to the target."""
  prioritized: bool = True
  """Samples transitions by |δ|. 1511.05952. False samples uniformly."""


def features(observation: types.NestedArray) -> np.ndarray:
  """φ(o): every number of observations [B, …], squashed, and a 1: [B, F]."""
  leaves = [np.asarray(leaf, np.float64) for leaf in tree.flatten(observation)]
  flat = [np.tanh(leaf.reshape(len(leaf), -1)) for leaf in leaves]
  return np.concatenate([*flat, np.ones((len(leaves[0]), 1))], axis=1)


class LinearQActor(core.Actor):
  """ε-greedy in w_a · φ(o)."""

  def __init__(self, epsilon: float, dtype: Any, inputs: builders.ActorInputs) -> None:
    self._epsilon, self._dtype = epsilon, dtype
    self._variables, self._one = inputs.variables, inputs.num_envs is None
    self._adder = None if inputs.evaluation else inputs.adder
    self._rng = np.random.default_rng([inputs.seed, inputs.index, inputs.incarnation])
    self.update()

  def select_action(self, observation: types.NestedArray) -> types.NestedArray:
    if self._one:
      observation = tree.map_structure(lambda leaf: np.asarray(leaf)[None], observation)
    q = features(observation) @ self._w  # [N, A]
    random = self._rng.integers(q.shape[1], size=len(q))
    action = np.where(self._rng.random(len(q)) < self._epsilon, random, q.argmax(axis=1)).astype(self._dtype)  # [N]
    return action[0] if self._one else action

  def observe_first(self, timestep: dm_env.TimeStep) -> None:
    if self._adder is not None:
      self._adder.add_first(timestep)

  def observe(self, action: types.NestedArray, next_timestep: dm_env.TimeStep) -> None:
    if self._adder is not None:
      self._adder.add(action, next_timestep)

  def update(self, wait: bool = False) -> None:
    (self._w,) = self._variables.get_variables(["params"])

  def save(self) -> types.State:
    adder = None if self._adder is None else self._adder.save()
    return {"rng": self._rng.bit_generator.state, "w": self._w, "adder": adder}

  def restore(self, state: types.State) -> None:
    self._rng.bit_generator.state = state["rng"]
    self._w = state["w"]
    if self._adder is not None:
      self._adder.restore(state["adder"])


class LinearQLearner(core.Learner):
  """The update of the module's docstring."""

  def __init__(self, config: LinearQConfig, shape: Shape, inputs: builders.LearnerInputs) -> None:
    self._config, self._dataset, self._replay = config, inputs.dataset, inputs.replay
    # [F, A]; never written to, always replaced.
    self._w = self._target_w = 0.1 * np.random.default_rng(inputs.seed).standard_normal(shape)
    self._counter = counting.Counter(inputs.counter, prefix="learner")
    self._steps = 0

  def step(self) -> None:
    sample = next(self._dataset)
    batches = np.split(np.arange(len(sample.keys)), self._config.num_sgd_steps_per_step)
    td_error = np.concatenate([self._sgd_step(_take(sample, rows)) for rows in batches])
    if self._replay is not None:
      self._replay.update_priorities(sample.keys, np.abs(td_error))

  def _sgd_step(self, sample: replay.Sample) -> np.ndarray:
    """Learns from one batch; returns δ [B]."""
    config, data = self._config, sample.data
    phi = features(data.observation)  # [B, F]
    q_t = (features(data.next_observation) @ self._target_w).max(axis=1)  # [B]
    taken = np.eye(self._w.shape[1])[data.action]  # [B, A]
    td_error = data.reward + config.discount * data.discount * q_t - ((phi @ self._w) * taken).sum(axis=1)
    if not math.isfinite(loss := float(np.mean(td_error**2))):
      raise FloatingPointError(f"The loss is {loss} at step {self._steps}.")
    weights = (sample.probabilities.min() / sample.probabilities) ** config.importance_sampling_exponent  # [B], max 1
    self._w = self._w + config.learning_rate * phi.T @ ((weights * td_error)[:, None] * taken) / len(td_error)
    self._steps += 1
    self._counter.increment(steps=1)
    if self._steps % config.target_update_period == 0:
      self._target_w = self._w
    return td_error

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


def _take(sample: replay.Sample, rows: np.ndarray) -> replay.Sample:
  """Some rows of a sample."""
  data = tree.map_structure(lambda leaf: leaf[rows], sample.data)
  return sample._replace(data=data, probabilities=sample.probabilities[rows])


class LinearQBuilder(builders.Builder[LinearQConfig, Shape]):
  """Makes the components."""

  def __init__(self, config: LinearQConfig) -> None:
    self.config = config

  def make_program(self, spec: specs.EnvironmentSpec) -> Shape:
    num_actions = int(specs.require_discrete(spec, "LinearQ").num_values)
    return sum(math.prod(leaf.shape) for leaf in tree.flatten(spec.observations)) + 1, num_actions

  def make_experience(self, spec: specs.EnvironmentSpec, program: Shape) -> experience.Transitions:
    return experience.Transitions.of(self.config)

  def make_learner(self, spec: specs.EnvironmentSpec, program: Shape, inputs: builders.LearnerInputs) -> LinearQLearner:
    return LinearQLearner(self.config, program, inputs)

  def make_actor(self, spec: specs.EnvironmentSpec, program: Shape, inputs: builders.ActorInputs) -> LinearQActor:
    epsilon = self.config.eval_epsilon if inputs.evaluation else self.config.epsilon
    return LinearQActor(epsilon, spec.actions.dtype, inputs)


def make_builder(config: LinearQConfig) -> LinearQBuilder:
  """Makes the builder."""
  return LinearQBuilder(config)


AGENT = plugins.AgentPlugin(
  name="linear_q",
  summary="Q-learning, linear in the observation: an example in NumPy",
  config=LinearQConfig,
  actions=("discrete",),
  backends={"numpy": "acme_testing.linear_q"},
  presets={"uniform": lambda: LinearQConfig(prioritized=False)},
)


class LinearQ(agents.PluginAgent[LinearQConfig]):
  """The agent."""

  plugin = AGENT
