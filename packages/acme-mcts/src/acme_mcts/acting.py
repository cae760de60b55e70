"""The actor that searches, and an observer of its searches; no framework.

Shapes: N environments, A actions.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import dm_env
import numpy as np
import tree

from acme import builders, core, specs, types
from acme_mcts import config as mcts_config
from acme_mcts import search


def extras_spec(spec: specs.EnvironmentSpec) -> types.NestedSpec:
  """What the actor gives its adder with each action: the shares of the visits, [A]."""
  return {"policy": specs.BoundedArray((spec.actions.num_values,), np.float32, 0, 1, name="policy")}


class Client(Protocol):
  """What fetches newer variables for the model."""

  def update(self) -> None: ...


class MCTSActor(core.Actor):
  """Searches from each observation; while training with noise and by drawing from the visits, else by the most visits.

  The shares of the visits go to the adder as `{"policy": [A] float32}`. Several environments are searched one after
  the other.
  """

  def __init__(
    self,
    model: search.Model,
    client: Client,
    action_spec: specs.DiscreteArray,
    config: mcts_config.MCTSConfig,
    inputs: builders.ActorInputs,
  ) -> None:
    """Makes an actor.

    Args:
      model: what to plan with.
      client: gives the model newer variables, when `update` is called.
      action_spec: the discrete actions.
      config: the search's numbers.
      inputs: the seed is that of noise, of the actions drawn, and of the model where that is random.
    """
    self._model = model
    self._client = client
    self._dtype = action_spec.dtype.type
    self._config = config
    self._random = np.random.default_rng([inputs.seed, inputs.incarnation] if inputs.incarnation else inputs.seed)
    self._adder = None if inputs.evaluation else inputs.adder
    self._num_envs = inputs.num_envs
    self._evaluation = inputs.evaluation
    self._policy = np.zeros((inputs.num_envs or 1, action_spec.num_values), np.float32)  # [N, A] of the newest searches
    self.last_search: search.SearchResult | None = None  # the newest one, of the last environment

  def select_action(self, observation: types.NestedArray) -> types.NestedArray:
    if self._num_envs is None:
      return self._act(0, observation)
    actions = [self._act(i, tree.map_structure(lambda x, i=i: x[i], observation)) for i in range(self._num_envs)]
    return np.array(actions)

  def _act(self, index: int, observation: types.NestedArray) -> Any:
    """Searches for one environment."""
    result = search.search(self._model, observation, self._config, self._random, noise=not self._evaluation)
    self.last_search = result
    self._policy[index] = result.policy
    if self._evaluation:
      return self._dtype(result.best_action())
    return self._dtype(result.sample_action(self._config.temperature, self._random))

  def observe_first(self, timestep: dm_env.TimeStep) -> None:
    if self._adder is not None:
      self._adder.add_first(timestep)

  def observe(self, action: types.NestedArray, next_timestep: dm_env.TimeStep) -> None:
    if self._adder is not None:
      policy = (self._policy[0] if self._num_envs is None else self._policy).copy()
      self._adder.add(action, next_timestep, {"policy": policy})

  def update(self, wait: bool = False) -> None:
    del wait  # Values are there at once.
    self._client.update()

  def save(self) -> types.State:
    return {
      "random": self._random.bit_generator.state,
      "policy": self._policy.copy(),
      "adder": None if self._adder is None else self._adder.save(),
    }

  def restore(self, state: types.State) -> None:
    """Puts back what `save` returned; parameters are read from the source, which must be restored first."""
    self._random.bit_generator.state = state["random"]
    self._policy = np.array(state["policy"])
    if self._adder is not None:
      self._adder.restore(state["adder"])
    self.update()


class SearchObserver:
  """Gives an environment loop the statistics of its actor's searches, as means over an episode.

  `search_value` is the root's, `search_depth` the edges of a simulation, `search_max_depth` of the longest one,
  `search_entropy` of the visits in nats, `search_visits_i` the share of action i.
  """

  def __init__(self, actor: Any) -> None:
    """Makes an observer of an `MCTSActor`, or of an `MCTS` agent."""
    self._actor = getattr(actor, "actor", actor)
    self._results: list[search.SearchResult] = []

  def observe_first(self, environment: dm_env.Environment, timestep: dm_env.TimeStep) -> None:
    self._results = []

  def observe(self, environment: dm_env.Environment, timestep: dm_env.TimeStep, action: types.NestedArray) -> None:
    if self._actor.last_search is not None:
      self._results.append(self._actor.last_search)

  def get_metrics(self) -> Mapping[str, float]:
    if not self._results:
      return {}
    metrics = {
      f"search_{name}": float(np.mean([getattr(result, name) for result in self._results]))
      for name in ("value", "depth", "max_depth", "entropy")
    }
    shares = np.mean([result.policy for result in self._results], axis=0)
    return metrics | {f"search_visits_{i}": float(share) for i, share in enumerate(shares)}
