"""Whether an agent with `normalize_observations` learns and resumes: what such agents' tests have in common."""

from collections.abc import Callable
from typing import Any

import numpy as np

import acme
from acme import agents, loggers, plugins, specs
from acme_testing import checks, fakes, runs

__all__ = ["check_learning", "check_resume"]

_OFFSET = 1000.0


def check_resume(plugin: plugins.AgentPlugin[Any]) -> None:
  """Holds the agent, on scaled observations, to a program that traces and to an exact resume; raises AssertionError."""
  subject = runs.Subject(plugin, config=runs.small_config(plugin, normalize_observations=True))
  checks.check_program(subject)
  checks.check_resume_is_exact(subject)


def check_learning(make_agent: Callable[[specs.EnvironmentSpec], agents.Agent]) -> None:
  """Trains an agent for 2,500 steps of `fakes.Reach`, whose observations are all far from 0, and evaluates it.

  At random the reward is some −0.6; without scaling it stays so, as all observations look alike.

  Args:
    make_agent: from the environment's specs; the agent scales observations.

  Raises:
    AssertionError: its statistics are not those of the observations, or it returns less than −0.2.
  """
  environment = fakes.Reach(discrete=False, offset=_OFFSET)
  agent = make_agent(acme.make_environment_spec(environment))
  acme.EnvironmentLoop(environment, agent, logger=loggers.NullLogger(), seed=0).run(num_steps=2_500)
  (statistics,) = agent.get_variables(["statistics"])
  seen, mean, variance = statistics
  assert seen > 10_000, seen
  np.testing.assert_allclose(mean, _OFFSET, rtol=0, atol=0.1)
  np.testing.assert_allclose(variance, 0.8**2 / 3, rtol=0.1)
  results = acme.evaluate(fakes.Reach(discrete=False, offset=_OFFSET), agent.make_evaluator(), 50, seed=1)
  returned = np.mean([result["episode_return"] for result in results])
  assert returned >= -0.2, returned
