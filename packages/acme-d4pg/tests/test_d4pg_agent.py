"""D4PG's parts together: actions within their bounds, targets, priorities, warnings, configs."""

import dataclasses
import functools

import haiku as hk
import jax.numpy as jnp
import numpy as np
import pytest
import tree
from dm_env.specs import Array, BoundedArray, DiscreteArray

import acme
from acme import specs
from acme_d4pg import AGENT, D4PG, D4PGConfig
from acme_d4pg.jax import networks
from acme_testing import fakes, scaling

SMALL = D4PGConfig(policy_hidden_sizes=(16,), critic_hidden_sizes=(16,), batch_size=8, min_replay_size=16, num_atoms=11,
                   max_replay_size=1000, samples_per_insert=4.0, random_steps=8)  # fmt: skip
ACTIONS = {
  "scalar": BoundedArray((), np.float32, -2.0, 2.0),
  "vector": BoundedArray((3,), np.float32, [-1, 0, 2], [1, 10, 3]),
  "matrix": BoundedArray((2, 2), np.float64, -1, 1),
  "nested": {"arm": BoundedArray((2,), np.float32, -1, 1), "hand": (BoundedArray((1,), np.float32, 0, 5),)},
  "uneven": BoundedArray((1,), np.float32, -3.3, 0.7),
  "tenths": BoundedArray((1,), np.float64, -0.1, 0.1),
}


POLICY = hk.transform(lambda o: jnp.tanh(hk.Linear(3)(o)))
CRITIC = hk.transform(lambda o, a: hk.Linear(11)(jnp.concatenate([o, a], axis=-1)))


def _spec(actions):
  return specs.EnvironmentSpec(
    Array((4,), np.float32), actions, Array((), np.float32), BoundedArray((), np.float32, 0, 1)
  )


@pytest.mark.parametrize("num_envs", [None, 3])
@pytest.mark.parametrize("actions", ACTIONS.values(), ids=ACTIONS)
def test_actions_keep_their_spec(actions, num_envs):
  agent = D4PG(_spec(actions), config=dataclasses.replace(SMALL, sigma=2.0), num_envs=num_envs)
  observation = np.ones((4,) if num_envs is None else (num_envs, 4), np.float32)
  for _ in range(20):
    chosen = agent.select_action(observation)
    for i in range(num_envs or 1):
      action = chosen if num_envs is None else tree.map_structure(lambda leaf, i=i: leaf[i], chosen)
      tree.map_structure(lambda spec, leaf: spec.validate(np.asarray(leaf)), actions, action)


@pytest.mark.parametrize("num_envs", [None, 4])
def test_acts_at_random_for_so_many_steps(num_envs):
  config = dataclasses.replace(SMALL, sigma=0.0, random_steps=200)
  agent = D4PG(_spec(ACTIONS["vector"]), config=config, num_envs=num_envs)
  observation = np.ones((4,) if num_envs is None else (num_envs, 4), np.float32)
  drawn, after = (np.concatenate([np.atleast_2d(agent.select_action(observation)) for _ in range(steps)])
                  for steps in (200 // (num_envs or 1), 3))  # fmt: skip
  space = ACTIONS["vector"]
  np.testing.assert_allclose(drawn.mean(axis=0), (space.minimum + space.maximum) / 2, atol=1.0)
  np.testing.assert_allclose(drawn.std(axis=0) / (space.maximum - space.minimum), 12**-0.5, rtol=0.15)
  assert (after == after[0]).all()  # The policy's alone: without noise always the same.


def test_learns_from_nested_actions():
  environment = fakes.FakeEnvironment(_spec(ACTIONS["nested"]), episode_length=5)
  agent = D4PG(acme.make_environment_spec(environment), config=SMALL)
  before = agent.get_variables(["policy", "critic", "target_policy", "target_critic"])
  for online, target in ((0, 2), (1, 3)):
    tree.map_structure(np.testing.assert_array_equal, before[online], before[target])
  acme.EnvironmentLoop(environment, agent, logger=acme.loggers.NullLogger()).run(num_steps=60)
  after = agent.get_variables(["policy", "critic"])
  for old, new in zip(before, after, strict=False):
    assert all(tree.flatten(tree.map_structure(lambda a, b: not np.array_equal(a, b), old, new)))


@pytest.mark.parametrize(
  ("actions", "message"),
  [
    (DiscreteArray(3), "D4PG needs continuous actions"),
    (Array((2,), np.float32), "finite bounds"),
    (BoundedArray((1,), np.float32, -np.inf, np.inf), "finite bounds"),
    (BoundedArray((1,), np.int32, 0, 3), "D4PG needs continuous actions"),
    (BoundedArray((1,), np.float64, -1e39, 1e39), "a range that float32 holds"),
  ],
)
def test_wrong_actions(actions, message):
  with pytest.raises(ValueError, match=message):
    D4PG(_spec(actions))


@pytest.mark.parametrize(
  "values",
  [
    {"vmin": 1.0, "vmax": 1.0},
    {"num_atoms": 1},
    {"critic_hidden_sizes": ()},
    {"sigma": -0.1},
    {"min_replay_size": 2_000_000},
  ],
)
def test_wrong_configs(values):
  with pytest.raises(ValueError, match="D4PGConfig"):
    D4PGConfig(**values)


def test_atoms_hold_what_rewards_come_to():
  bounded = _spec(ACTIONS["vector"])._replace(rewards=BoundedArray((), np.float32, 0, 1))
  assert D4PG(bounded, config=SMALL).experience.value_range == pytest.approx((0, 100))
  config = dataclasses.replace(SMALL, reward_range=(-1.0, 0.0), discount=0.5)
  np.testing.assert_allclose(networks.atoms(config, bounded), np.linspace(-2, 0, 11), atol=1e-6)


@pytest.mark.parametrize(
  ("network", "error", "message"),
  [
    (lambda o: o, TypeError, "network: expected a pair of haiku.Transformed"),
    ((POLICY, POLICY), TypeError, "takes|argument"),
    ((CRITIC, CRITIC), TypeError, "missing"),
    ((hk.transform(lambda o: hk.Linear(2)(o)), CRITIC), ValueError, r"actions \[D\].*\(2, 3\)"),
    ((POLICY, hk.transform(lambda o, a: hk.Linear(7)(o))), ValueError, r"outputs \[K\].*\(2, 11\)"),
  ],
)
def test_own_networks_must_fit(network, error, message):
  with pytest.raises(error, match=message):
    D4PG(_spec(ACTIONS["vector"]), config=SMALL, network=network)


def test_own_networks():
  agent = D4PG(_spec(ACTIONS["vector"]), config=SMALL, network=(POLICY, CRITIC))
  policy, critic = agent.get_variables(["policy", "critic"])
  assert policy["linear"]["w"].shape == (4, 3) and critic["linear"]["w"].shape == (7, 11)


def test_a_run_on_scaled_observations_goes_on_exactly():
  scaling.check_resume(AGENT)


@pytest.mark.long  # As DDPG does.
def test_learns_from_observations_far_from_zero():
  config = D4PGConfig(
    normalize_observations=True, policy_hidden_sizes=(32,), critic_hidden_sizes=(32,), batch_size=32,
    min_replay_size=200, samples_per_insert=16.0, policy_learning_rate=1e-3, critic_learning_rate=3e-3,
    random_steps=200, max_replay_size=10_000, vmin=-2.0, vmax=0.0, num_atoms=21,
  )  # fmt: skip
  scaling.check_learning(functools.partial(D4PG, config=config, seed=100))
