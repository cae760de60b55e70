"""An agent in one process: an actor, a learner, a replay between them, and an exact schedule."""

from collections.abc import Callable, Sequence
from typing import Any

import dm_env
import numpy as np

from acme import builders, core, counting, loggers, replay, specs, types

MakeReplay = Callable[[Sequence[replay.Table], types.Step, int], replay.Replay]


class Agent(core.Actor, core.VariableSource):
  """Acts, and learns as often as the table's samples-per-insert ratio asks, without threads.

  After I inserts the learner has taken floor(ratio · (I − min_size) / samples_per_step) steps: an exact fraction, so
  that no ratio is rounded and the same seed gives the same parameters, bit for bit.
  """

  def __init__(
    self,
    builder: builders.Builder[Any],
    spec: specs.EnvironmentSpec,
    *,
    make_replay: MakeReplay,
    seed: int = 0,
    num_envs: int | None = None,
    logger: loggers.Logger | None = None,
    counter: counting.Counter | None = None,
  ) -> None:
    """Makes every component from the builder.

    Args:
      builder: makes the components.
      spec: the environment's specs.
      make_replay: (tables, step spec, seed) -> store; `acme_replay.EmbeddedReplay` is one.
      seed: split once into a seed for each component.
      num_envs: how many environments it acts in at once, in a VectorEnvironmentLoop; None for one EnvironmentLoop.
      logger: where the learner's metrics go.
      counter: what the learner counts its steps on.
    """
    seeds = [int(s) for s in np.random.SeedSequence(seed).generate_state(4)]
    replay_seed, learner_seed, actor_seed, self._evaluator_seed = seeds
    self._builder = builder
    self._spec = spec
    self._networks = builder.make_networks(spec)
    tables = builder.make_tables(spec, self._networks)
    replay.check_unique(tables)
    self._table = tables[0].name
    extras = builder.extras_spec(spec, self._networks)
    self.replay = make_replay(tables, builders.step_spec(spec, extras), replay_seed)
    dataset = builder.make_dataset(self.replay)
    self.learner = builder.make_learner(
      spec, self._networks, dataset, seed=learner_seed, store=self.replay, logger=logger, counter=counter
    )
    adder = builder.make_adder(spec, self._networks, self.replay.writer(num_envs))
    self.actor = builder.make_actor(spec, self._networks, self.learner, seed=actor_seed, adder=adder, num_envs=num_envs)
    self._samples_per_step = builder.samples_per_step
    self._check_observation = specs.Validator("observation", spec.observations, num_envs)
    self._check_reward = specs.Validator("reward", spec.rewards, num_envs)
    self._check_discount = specs.Validator("discount", spec.discounts, num_envs)
    self._num_envs = num_envs
    self._in_episode = False

  def make_evaluator(self) -> core.Actor:
    """Makes an actor that acts greedily with this agent's newest parameters and records nothing."""
    return self._builder.make_actor(
      self._spec, self._networks, self.learner, seed=self._evaluator_seed, evaluation=True
    )

  def select_action(self, observation: types.NestedArray) -> types.NestedArray:
    return self.actor.select_action(observation)

  def observe_first(self, timestep: dm_env.TimeStep) -> None:
    """Begins an episode. Raises ValueError where the observation does not fit its spec or is not finite."""
    self._check_observation(timestep.observation)
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
    due = self.replay.available(self._table) >= self._samples_per_step
    if not due:
      return
    while due:
      self.learner.step()
      available = self.replay.available(self._table)
      due = self._samples_per_step <= available < np.inf  # Without a ratio: one step an update.
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
