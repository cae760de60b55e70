"""By turns, an agent on Ray is the agent in one process, bit for bit: one of each kind of experience."""

import dataclasses

import numpy as np
import pytest
import tree

import acme
import acme_ray
from acme import agents, plugins
from acme_ray import nodes, prioritizing
from acme_testing import fakes, linear_q, runs


def small(name):
  """An agent's plug-in, its smallest config, the specs of an environment for it."""
  plugin = linear_q.AGENT if name == "linear_q" else plugins.load_agent(name)
  spec = runs.default_spec(plugin)
  config = runs.small_config(plugin)
  if "demonstrations" in {field.name for field in dataclasses.fields(config)}:
    config = dataclasses.replace(config, demonstrations=runs.dataset(spec))
  return plugin, config, spec


def in_one_process(plugin, config, environment, steps):
  """The parameters of an agent that took so many steps, with the seeds of a run on Ray."""
  place, _, episodes, _ = nodes.run_seeds(0)
  world = environment(int(np.random.SeedSequence([place, 0]).generate_state(1)[0]))
  agent = agents.Agent(plugin.builder(config), acme.make_environment_spec(world), seed=0)
  acme.EnvironmentLoop(world, agent, logger=acme.loggers.InMemoryLogger(), seed=episodes).run(num_steps=steps)
  return tree.map_structure(np.asarray, agent.get_variables(["params"])[0])


# Transitions, a critic over a range of returns, sequences, a queue, a mixture, a mixture of sequences, planning.
@pytest.mark.parametrize("name", ["linear_q", "dqn", "d4pg", "r2d2", "impala", "dqfd", "r2d3", "mcts"])
def test_by_turns_it_is_the_agent_in_one_process(fake_ray, name):
  if name != "linear_q" and name not in plugins.list_agents():
    pytest.skip(f"acme-{name} is not installed.")
  plugin, config, spec = small(name)

  def environment(seed):
    return fakes.FakeEnvironment(spec, seed=seed)

  outcome = acme_ray.run(plugin, environment, config=config, steps=50, turns=True, block_steps=1, final_episodes=0)
  assert outcome.learner_steps >= 2
  assert runs.difference(outcome.params, in_one_process(plugin, config, environment, 50)) == ""


def test_actors_of_r2d2_give_new_sequences_their_first_priorities(fake_ray, monkeypatch):
  plugin, config, spec = small("r2d2")
  found, priorities = [], prioritizing.Prioritizer.priorities

  def noted(*arguments):
    found.append(priorities(*arguments))
    return found[-1]

  monkeypatch.setattr(prioritizing.Prioritizer, "priorities", noted)
  acme_ray.run(
    plugin,
    lambda seed: fakes.FakeEnvironment(spec, seed=seed),
    config=config,
    steps=60,
    block_steps=20,
    final_episodes=0,
  )
  assert len(found) == 3
  assert len(np.unique(np.concatenate(found))) > 2
