"""Agents that act learn from a dataset, too: nobody acts but the evaluator."""

import numpy as np
import pytest
import tree

import acme_envs
from acme import make_environment_spec, plugins
from acme_replay import datasets

FEW = "--steps 3 --eval-every 0 --eval-episodes 1 --config.batch-size 4"
SMALL = "--config.policy-hidden-sizes 8 --config.critic-hidden-sizes 8"
AGENTS = {  # The environment, fields of the config, and the same and others on the command line.
  "dqn": ("gym:CartPole-v1", {}, "--config.hidden-sizes 8"),
  "r2d2": ("gym:CartPole-v1", {}, "--config.burn-in-length 1 --config.trace-length 4"),
  "d4pg": ("gym:Pendulum-v1", {}, SMALL),
  "mpo": ("gym:Pendulum-v1", {"retrace": True}, f"--config.retrace True {SMALL}"),
}


def write_episodes(path, agent, environment, fields):
  """Random actions, with whatever extras the agent's actor would have noted."""
  environment = acme_envs.make(environment, seed=0)
  spec, rng = make_environment_spec(environment), np.random.default_rng(0)
  plugin = plugins.load_agent(agent)
  builder = plugin.builder(plugin.config(**fields))
  index = datasets.Index(spec=spec, extras=builder.extras_spec(spec, builder.make_program(spec)))
  with datasets.Writer(path, index) as writer:
    for _ in range(3):
      steps, actions = [environment.reset()], []
      while not steps[-1].last() and len(actions) < 30:
        low, high = getattr(spec.actions, "minimum", 0), getattr(spec.actions, "maximum", 0)
        high = getattr(spec.actions, "num_values", high)  # Rounded down.
        actions.append(np.asarray(rng.uniform(low, high), spec.actions.dtype))
        steps.append(environment.step(actions[-1]))
      columns = [[step.observation for step in steps], actions, *([step[k] for step in steps[1:]] for k in (1, 2))]
      zeros = [np.zeros((len(actions), *leaf.shape), leaf.dtype) for leaf in tree.flatten(index.extras)]
      writer.write(datasets.Episode(*map(np.stack, columns), tree.unflatten_as(index.extras, zeros)))


@pytest.mark.parametrize("agent", AGENTS)
def test_an_agent_learns_from_a_dataset(acme_command, tmp_path, agent):
  pytest.importorskip(f"acme_{agent}")
  pytest.importorskip("jax")
  environment, fields, options = AGENTS[agent]
  write_episodes(tmp_path / "data", agent, environment, fields)
  code, text, error = acme_command(f"run {agent} {environment} --dataset data --out offline {FEW} {options}")
  assert code == 0, error
  assert "evaluation return" in text


def test_what_a_dataset_lacks_is_named(acme_command, tmp_path):
  """Retrace takes the probabilities of the actions, which MPO notes where it explores by itself."""
  pytest.importorskip("acme_mpo")
  pytest.importorskip("jax")
  environment = acme_envs.make("gym:Pendulum-v1")
  spec = make_environment_spec(environment)
  with datasets.Writer(tmp_path / "data", datasets.Index(spec=spec)) as writer:
    ones = np.ones(2, np.float32)
    writer.write(datasets.Episode(np.zeros((3, 3)), np.zeros((2, 1)), ones, ones))
  code, _, error = acme_command(f"run mpo gym:Pendulum-v1 --dataset data --out offline {FEW} --config.retrace True")
  assert code == 2 and "it lacks extras/log_prob" in error and error.count("\n") == 1
