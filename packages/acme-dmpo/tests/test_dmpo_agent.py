"""DMPO's parts together: actions within their bounds, configs, networks, a warning, and that it learns."""

import dataclasses
import functools

import dm_env
import haiku as hk
import jax.numpy as jnp
import numpy as np
import pytest
import tree
from dm_env.specs import Array, BoundedArray, DiscreteArray

import acme
from acme import loggers, specs
from acme_dmpo import AGENT, DMPO, DMPOConfig
from acme_jax import heads
from acme_testing import fakes, scaling

SMALL = DMPOConfig(policy_hidden_sizes=(16,), critic_hidden_sizes=(16,), batch_size=8, num_samples=4, num_atoms=11,
                   min_replay_size=16, max_replay_size=1000, samples_per_insert=4.0)  # fmt: skip
ACTIONS = {
  "scalar": BoundedArray((), np.float32, -2.0, 2.0),
  "nested": {"arm": BoundedArray((2,), np.float32, -1, 1), "hand": (BoundedArray((1,), np.float64, 0, 5),)},
  "discrete": DiscreteArray(3, np.int64),
  "mixed": {"arm": BoundedArray((2,), np.float32, 0, 5), "gears": (DiscreteArray(3, np.int64), DiscreteArray(2))},
}
NAMES = ["policy", "critic", "duals", "target_policy", "target_critic"]


def _spec(actions):
  scalar = Array((), np.float32)
  return specs.EnvironmentSpec(Array((4,), np.float32), actions, scalar, scalar)


@pytest.mark.parametrize("actions", ACTIONS.values(), ids=ACTIONS)
def test_actions_keep_their_spec_and_every_parameter_learns(actions):
  environment = fakes.FakeEnvironment(_spec(actions), episode_length=5)
  agent = DMPO(acme.make_environment_spec(environment), config=dataclasses.replace(SMALL, initial_stddev=2.0))
  for _ in range(20):
    action = agent.select_action(np.ones(4, np.float32))
    tree.map_structure(lambda spec, leaf: spec.validate(np.asarray(leaf)), actions, action)
  before = agent.get_variables(NAMES)
  for online, target in ((0, 3), (1, 4)):
    tree.map_structure(np.testing.assert_array_equal, before[online], before[target])
  acme.EnvironmentLoop(environment, agent, logger=loggers.NullLogger()).run(num_steps=60)
  for old, new in zip(before[:3], agent.get_variables(NAMES[:3]), strict=True):
    assert all(tree.flatten(tree.map_structure(lambda a, b: not np.array_equal(a, b), old, new)))


@pytest.mark.parametrize(
  ("actions", "message"),
  [
    (BoundedArray((1,), np.float32, -np.inf, np.inf), "finite bounds"),
    ((DiscreteArray(3), DiscreteArray(2)), "DMPO takes one discrete action, or a nest with continuous ones"),
  ],
)
def test_wrong_actions(actions, message):
  with pytest.raises(ValueError, match=message):
    DMPO(_spec(actions))


@pytest.mark.parametrize("values", [{"vmin": 1.0, "vmax": 1.0}, {"num_atoms": 1}, {"policy_hidden_sizes": ()}])
def test_wrong_configs(values):
  with pytest.raises(ValueError, match=f"DMPOConfig.*{next(iter(values))}"):
    DMPOConfig(**values)


def test_returns_outside_the_atoms_are_warned_of():
  environment = fakes.FakeEnvironment(_spec(ACTIONS["scalar"]), episode_length=5)
  agent = DMPO(acme.make_environment_spec(environment), config=dataclasses.replace(SMALL, vmin=-1e-3, vmax=1e-3))
  with pytest.warns(UserWarning, match="vmin|vmax|range"):
    acme.EnvironmentLoop(environment, agent, logger=loggers.NullLogger(), should_update=False).run(num_episodes=5)


def test_own_networks():
  policy = hk.transform(lambda o: heads.GaussianHead(1)(o))
  critic = hk.transform(lambda o, a: hk.Linear(11)(jnp.concatenate([o, a], axis=-1)))
  agent = DMPO(_spec(ACTIONS["scalar"]), config=SMALL, network=(policy, critic))
  assert agent.get_variables(["critic"])[0]["linear"]["w"].shape == (5, 11)
  with pytest.raises(ValueError, match=r"outputs \[K\] for each action"):
    DMPO(_spec(ACTIONS["scalar"]), config=dataclasses.replace(SMALL, num_atoms=7), network=(policy, critic))


class Sign(dm_env.Environment):
  """One step: the reward is −1 for an action that is not of the observation's sign, and 0 for others."""

  def __init__(self, discrete):
    self._rng, self._discrete = np.random.default_rng(0), discrete

  def seed(self, seed):
    self._rng = np.random.default_rng(seed)

  def reset(self):
    self._goal = self._rng.uniform(-1, 1, size=1).astype(np.float32)
    return dm_env.restart(self._goal)

  def step(self, action):
    right = (action == 1 if self._discrete else action > 0) == (self._goal[0] > 0)
    return dm_env.termination(np.float32(right - 1), self._goal)

  def observation_spec(self):
    return BoundedArray((1,), np.float32, -1, 1)

  def action_spec(self):
    return DiscreteArray(2) if self._discrete else BoundedArray((), np.float32, -1, 1)


@pytest.mark.slow
@pytest.mark.parametrize("discrete", [False, pytest.param(True, marks=pytest.mark.long)])
def test_learns(discrete):
  """At random the reward is −0.5."""
  config = DMPOConfig(
    policy_hidden_sizes=(32,), critic_hidden_sizes=(32,), batch_size=32, min_replay_size=200, samples_per_insert=32.0,
    policy_learning_rate=3e-3, critic_learning_rate=3e-3, vmin=-1.0, vmax=0.0, num_atoms=11, max_replay_size=10_000,
    initial_log_temperature=1.0, initial_log_alpha_mean=1.0,
  )  # fmt: skip
  environment = Sign(discrete)
  agent = DMPO(acme.make_environment_spec(environment), config=config, seed=100)
  acme.EnvironmentLoop(environment, agent, logger=loggers.NullLogger(), seed=0).run(num_steps=2_500)
  results = acme.evaluate(Sign(discrete), agent.make_evaluator(), 50, seed=1)
  assert np.mean([result["episode_return"] for result in results]) >= -0.1


def test_a_run_on_scaled_observations_goes_on_exactly():
  scaling.check_resume(AGENT)


@pytest.mark.long  # As DDPG does.
def test_learns_from_observations_far_from_zero():
  config = DMPOConfig(
    normalize_observations=True, policy_hidden_sizes=(32,), critic_hidden_sizes=(32,), batch_size=32,
    min_replay_size=200, samples_per_insert=32.0, policy_learning_rate=3e-3, critic_learning_rate=3e-3,
    initial_log_temperature=1.0, initial_log_alpha_mean=1.0, max_replay_size=10_000, vmin=-2.0, vmax=0.0, num_atoms=21,
  )  # fmt: skip
  scaling.check_learning(functools.partial(DMPO, config=config, seed=100))
