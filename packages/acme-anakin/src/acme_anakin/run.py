"""A whole run on the device, for those who want its curves and no directory of it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from acme import builders
from acme_anakin import environments
from acme_anakin.loop import Loop


class Run(NamedTuple):
  """What a run was. S seeds, K evaluations, E episodes each."""

  loop: Loop  # at the end: its state can be saved, evaluated, run on
  steps: np.ndarray  # [K], environment steps of each seed at an evaluation
  returns: np.ndarray  # [K, S, E], of the episodes evaluated
  reports: list[dict[str, np.ndarray]]  # K of what `Loop.run` gave


def run(
  builder: builders.Builder[Any, Any],
  environment: environments.Environment | str,
  *,
  steps: int,
  num_envs: int = 1,
  seeds: int | Sequence[int] = 1,
  evaluate_every: int | None = None,
  evaluate_episodes: int = 10,
) -> Run:
  """Trains an agent in an environment written in JAX, wholly on the device.

  Args:
    builder: the agent's, as `acme_dqn.AGENT.builder(config)`.
    environment: it, or its name: "CartPole-v1", "gymnax:CartPole-v1".
    steps: environment steps of each seed.
    num_envs: environments of each seed.
    seeds: how many, from 0 on, or which.
    evaluate_every: environment steps between evaluations; None evaluates at the end alone. A call of the compiled loop
      lasts as long.
    evaluate_episodes: E.

  Raises:
    ValueError: the agent cannot run in a jitted loop, or there is no such environment.
  """
  if isinstance(environment, str):
    environment = environments.make(environment)
  every = steps if evaluate_every is None else evaluate_every
  if every < 1:
    raise ValueError(f"evaluate_every: expected 1 or more steps, got {evaluate_every!r}.")
  chosen = range(seeds) if isinstance(seeds, int) else seeds
  loop = Loop(builder, environment, steps=steps, num_envs=num_envs, seeds=chosen)
  taken, returns, reports = [], [], []
  while loop.steps < steps:
    reports.append(loop.run(min(every, steps - loop.steps)))
    taken.append(loop.steps)
    returns.append(loop.evaluate(evaluate_episodes))
  return Run(loop, np.array(taken), np.array(returns), reports)
