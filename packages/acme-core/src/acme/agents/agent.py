"""An agent in one process: an actor, a learner, a replay between them, and an exact schedule."""

from collections.abc import Sequence
from typing import Any, ClassVar, Generic, TypeVar

import dm_env
import numpy as np

from acme import builders, core, counting, experience, loggers, plugins, specs, types, validation
from acme import replay as replays

Config = TypeVar("Config")


class Agent(core.Actor, core.VariableSource):
  """Acts, and learns as often as the experience's samples-per-insert ratio asks, without threads.

  After I inserts the learner has taken floor(ratio · (I − min_size) / batch_size) steps: an exact fraction, so that no
  ratio is rounded and the same seed gives the same parameters, bit for bit.

  What is to be learned before anyone acts, `replay.pretraining()` learner steps, is learned when the first episode
  begins; or earlier, piece by piece, where an `acme.LearningLoop` runs the learner.
  """

  def __init__(
    self,
    builder: builders.Builder[Any, Any],
    spec: specs.EnvironmentSpec,
    *,
    replay: plugins.MakeReplay | None = None,
    seed: int = 0,
    num_envs: int | None = None,
    logger: loggers.Logger | None = None,
    counter: counting.Counter | None = None,
  ) -> None:
    """Makes every component from the builder.

    Args:
      builder: makes the components.
      spec: the environment's specs.
      replay: (experience, step spec, seed) -> replay; None for the embedded one, `acme_replay.EmbeddedReplay`.
      seed: split once into a seed for each component.
      num_envs: how many environments it acts in at once, in a VectorEnvironmentLoop; None for one EnvironmentLoop.
      logger: where the learner's metrics go; None for nowhere.
      counter: what the learner counts its steps on.

    Raises:
      PluginError: no replay is given, and acme-replay is not installed.
      TypeError: `replay` makes none.
      ValueError: the replay is for agents with another backend.
    """
    replay_seed, learner_seed, actor_seed, self.evaluator_seed = split_seed(seed)
    self._builder = builder
    self._spec = spec
    self._program = builder.make_program(spec)
    self.experience = described = builder.make_experience(spec, self._program)
    self.replay = made = _make_replay(replay, described, builder.step_spec(spec, self._program), replay_seed)
    if self.replay.backend not in (None, builder.backend):
      raise ValueError(
        f"{type(self.replay).__name__} is for agents with the backend {self.replay.backend!r}, and this one's is "
        f"{builder.backend!r}: take another replay, such as the embedded one, or the agent's other backend."
      )
    wanting = made if described.prioritized else None
    learning = builders.LearnerInputs(
      dataset=made.dataset(), once=made.once, seed=learner_seed, replay=wanting, logger=logger, counter=counter
    )
    self.learner = builder.make_learner(spec, self._program, learning)
    given = builders.ActorInputs(variables=self.learner, seed=actor_seed, adder=made.adder(num_envs), num_envs=num_envs)
    self.actor = builder.make_actor(spec, self._program, given)
    self.replay.remember(
      lambda adder: self.make_actor(builders.ActorInputs(variables=self.learner, seed=actor_seed, adder=adder))
    )
    self._batch_size = described.batch_size
    self._check_observation = validation.Validator("observation", spec.observations, num_envs)
    self._check_reward = validation.Validator("reward", spec.rewards, num_envs)
    self._check_discount = validation.Validator("discount", spec.discounts, num_envs)
    self._num_envs = num_envs
    self._in_episode = False

  def make_evaluator(self, simulator: Any = None) -> core.Actor:
    """Makes an actor that acts greedily with this agent's newest parameters and records nothing.

    `simulator` is the very environment that it will act in, where the agent plans in copies of its own; else None.
    """
    inputs = builders.ActorInputs(variables=self.learner, seed=self.evaluator_seed, evaluation=True)
    return self.make_actor(inputs, simulator)

  def make_actor(self, inputs: builders.ActorInputs, simulator: Any = None) -> core.Actor:
    """Makes one more actor, which may read other variables than this agent's and record elsewhere."""
    builder = self._builder if simulator is None else self._builder.with_simulator(simulator)
    return builder.make_actor(self._spec, self._program, inputs)

  def select_action(self, observation: types.NestedArray) -> types.NestedArray:
    return self.actor.select_action(observation)

  def observe_first(self, timestep: dm_env.TimeStep) -> None:
    """Begins an episode. Raises ValueError where the observation does not fit its spec or is not finite."""
    self._check_observation(timestep.observation)
    while self.replay.pretraining():
      self.learner.step()
    self.actor.update()  # The learner may have learned while nobody acted, as before the first episode.
    self.actor.observe_first(timestep)
    self._in_episode = True

  def observe(self, action: types.NestedArray, next_timestep: dm_env.TimeStep) -> None:
    """Records a step.

    Raises:
      ValueError: observation, reward or discount does not fit its spec or is not finite.
      RuntimeError: no episode has begun.
    """
    if not self._in_episode:
      raise RuntimeError("observe() came before observe_first(): begin each episode with the timestep of reset().")
    self._check_observation(next_timestep.observation)
    self._check_reward(next_timestep.reward)
    self._check_discount(next_timestep.discount)
    self.actor.observe(action, next_timestep)
    self._in_episode = self._num_envs is not None or not next_timestep.last()

  def update(self, wait: bool = False) -> None:
    """Runs the learner steps that are due, then hands the actor the newest parameters."""
    if self.replay.available() < self._batch_size:
      return
    self.learner.step()
    while self._batch_size <= self.replay.available() < np.inf:  # Without a ratio: one step an update.
      self.learner.step()
    self.actor.update(wait)

  def get_variables(self, names: Sequence[str]) -> list[types.NestedArray]:
    return self.learner.get_variables(names)

  def save(self) -> types.State:
    return {
      "learner": self.learner.save(),
      "actor": self.actor.save(),
      "replay": self.replay.save(),
      "in_episode": self._in_episode,
    }

  def restore(self, state: types.State) -> None:
    self.replay.restore(state["replay"])
    self.learner.restore(state["learner"])
    self.actor.restore(state["actor"])
    self._in_episode = state["in_episode"]


def split_seed(seed: int) -> tuple[int, int, int, int]:
  """The seeds of an agent's replay, learner, actor and evaluator."""
  replay, learner, actor, evaluator = map(int, np.random.SeedSequence(seed).generate_state(4))
  return replay, learner, actor, evaluator


def _make_replay(
  make: plugins.MakeReplay | None, description: experience.Experience, step_spec: types.Step, seed: int
) -> replays.Replay:
  """Makes the replay, the embedded one by default. Raises TypeError where `make` makes none."""
  make = plugins.load_replay() if make is None else make
  made = make(description, step_spec, seed) if callable(make) else make
  if not callable(make) or not isinstance(made, replays.Replay):
    raise TypeError(
      f"replay: expected a function (experience, step spec, seed) -> acme.replay.Replay, got {make!r}"
      f"{f', which made {made!r}' if callable(make) else ''}. Give acme_replay.EmbeddedReplay, or a functools.partial."
    )
  return made


class PluginAgent(Agent, Generic[Config]):
  """The agent that a package offers, as a class of its own: `class DQN(PluginAgent[DQNConfig]): plugin = AGENT`."""

  plugin: ClassVar[plugins.AgentPlugin[Any]]

  def __init__(
    self,
    spec: specs.EnvironmentSpec,
    *,
    config: Config | None = None,
    backend: str | None = None,
    network: Any = None,
    replay: plugins.MakeReplay | None = None,
    seed: int = 0,
    num_envs: int | None = None,
    logger: loggers.Logger | None = None,
    counter: counting.Counter | None = None,
    **options: Any,
  ) -> None:
    """Makes an agent.

    Args:
      spec: the environment's specs, from `acme.make_environment_spec`.
      config: every number and switch; None for the default.
      backend: "jax" for JAX and Haiku, "tf" for TensorFlow and Sonnet; None for the agent's first.
      network: in place of the one that the config and the specs ask for: see the agent's README; None for that one.
      replay: (experience, step spec, seed) -> replay; None for the embedded one, `acme_replay.EmbeddedReplay`.
      seed: of everything random in the agent.
      num_envs: how many environments it acts in at once; None for one.
      logger: where the learner's metrics go; None for nowhere.
      counter: what the learner counts its steps on.
      **options: others that the agent's `make_builder` takes.

    Raises:
      ValueError: the specs do not fit the agent, or the network's output the config; or there is no such backend, or
        it lacks a switch of the config.
      ImportError: the backend is not installed.
    """
    builder = self.plugin.builder(config, backend=backend, network=network, **options)
    super().__init__(builder, spec, replay=replay, seed=seed, num_envs=num_envs, logger=logger, counter=counter)
