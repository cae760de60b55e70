"""A look at the returns that the environment really gives."""

import warnings

import dm_env
import numpy as np

from acme import replay, types

_LONGEST = 10_000  # Steps looked at together: an episode may never end.


class ReturnsInRange(replay.Adder):
  """Warns when discounted returns fall outside [low, high], where a critic over that range cannot tell them apart.

  At the end of each episode, and of each 10,000 steps of it, it computes G_t = r_{t+1} + γ d_{t+1} G_{t+1} for every t,
  and hands everything to another adder unchanged. A return that is cut off there counts as far as it was seen.
  """

  def __init__(
    self, adder: replay.Adder, discount: float, low: float, high: float, max_abs_reward: float | None = None
  ) -> None:
    """Wraps `adder`, which clips rewards to [−max_abs_reward, max_abs_reward]; `discount` is γ."""
    self._adder = adder
    self._discount = discount
    self._limit = np.inf if max_abs_reward is None else max_abs_reward
    self._range = (low, high)
    self._warned = (low, high)  # Beyond these it warns again.
    self._steps: list[list[tuple[float, float]]] = [[]]  # (r_t, d_t) of the episode in progress, by stream

  def add_first(self, timestep: dm_env.TimeStep) -> None:
    self._steps = [[] for _ in range(np.size(timestep.step_type))]
    self._adder.add_first(timestep)

  def add(
    self,
    action: types.NestedArray,
    next_timestep: dm_env.TimeStep,
    extras: types.NestedArray = (),
    core: types.NestedArray = (),
  ) -> None:
    kinds = np.atleast_1d(next_timestep.step_type).tolist()
    rewards = np.clip(np.atleast_1d(next_timestep.reward), -self._limit, self._limit).tolist()
    discounts = np.atleast_1d(next_timestep.discount).tolist()
    for steps, kind, reward, discount in zip(self._steps, kinds, rewards, discounts, strict=True):
      if kind == dm_env.StepType.FIRST:
        continue
      steps.append((reward, discount))
      if kind == dm_env.StepType.LAST or len(steps) == _LONGEST:
        self._check(steps)
        steps.clear()
    self._adder.add(action, next_timestep, extras, core)

  def _check(self, steps: list[tuple[float, float]]) -> None:
    value, low, high = 0.0, np.inf, -np.inf
    for reward, discount in reversed(steps):
      value = reward + self._discount * discount * value
      low, high = min(low, value), max(high, value)
    if low >= self._warned[0] and high <= self._warned[1]:
      return
    # Warn again only once returns go twice as far out on the same side.
    lower, upper = self._warned
    self._warned = (low - abs(low) if low < lower else lower, high + abs(high) if high > upper else upper)
    warnings.warn(
      f"Discounted returns from {low:.4g} to {high:.4g} were seen, outside the critic's [vmin, vmax] = "
      f"[{self._range[0]:g}, {self._range[1]:g}]: it cannot tell them apart. Set vmin and vmax, "
      "or reward_range to a step's lowest and highest reward.",
      stacklevel=2,
    )

  def reset(self) -> None:
    for steps in self._steps:
      steps.clear()
    self._adder.reset()

  def save(self) -> types.State:
    return {"adder": self._adder.save(), "steps": [list(steps) for steps in self._steps], "warned": self._warned}

  def restore(self, state: types.State) -> None:
    self._adder.restore(state["adder"])
    self._steps = [list(steps) for steps in state["steps"]]
    self._warned = tuple(state["warned"])
