"""[seed(3), episode] is the same as [other episodes, seed(3), episode], bit for bit."""

import numpy as np
import pytest
import tree

import acme_envs

MODULES = {"gym": "gymnasium", "atari": "ale_py", "dm_control": "dm_control", "bsuite": "bsuite"}
BSUITE = [  # All but mnist, which downloads its data.
  *("bandit_scale", "cartpole", "cartpole_noise", "cartpole_scale", "cartpole_swingup", "catch", "catch_noise"),
  *("catch_scale", "deep_sea", "deep_sea_stochastic", "discounting_chain", "memory_len", "memory_size"),
  *("mountain_car", "mountain_car_noise", "mountain_car_scale", "umbrella_distract", "umbrella_length"),
  *("bandit", "bandit_noise"),
]
CASES = [
  *[(f"gym:{name}", {}) for name in ("CartPole-v1", "Pendulum-v1", "Acrobot-v1", "MountainCarContinuous-v0")],
  *[(f"gym:{name}", {}) for name in ("FrozenLake-v1", "Taxi-v4", "Blackjack-v1")],
  *[(f"atari:{name}", {}) for name in ("Pong", "Breakout", "Berzerk")],
  ("atari:Breakout", {"sticky_actions": 0.0, "noop_max": 30}),
  ("atari:SpaceInvaders", {"episodic_life": True, "clip_rewards": True, "noop_max": 5}),
  *[(f"dm_control:{name}", {}) for name in ("cartpole:swingup", "reacher:hard", "walker:run", "finger:turn_hard")],
  *[(f"dm_control:{name}", {}) for name in ("point_mass:hard", "lqr:lqr_2_1", "quadruped:fetch", "stacker:stack_2")],
  *[(f"bsuite:{name}/1", {}) for name in BSUITE],
]


def play(environment, actions, seed=None):
  """One episode, or as much of it as there are actions: every timestep, as bytes."""
  if seed is not None:
    environment.seed(seed)
  timestep = environment.reset()
  record = [timestep]
  for action in actions:
    if timestep.last():
      break
    timestep = environment.step(action)
    record.append(timestep)
  leaves = [tree.flatten(timestep) for timestep in record]
  return [[None if leaf is None else np.asarray(leaf).tobytes() for leaf in row] for row in leaves]


def draw(spec, seed, count):
  rng = np.random.default_rng(seed)
  if np.issubdtype(spec.dtype, np.floating):
    return rng.uniform(spec.minimum, spec.maximum, (count, *spec.shape)).astype(spec.dtype)
  return rng.integers(spec.minimum, spec.maximum, (count, *spec.shape), endpoint=True).astype(spec.dtype)


def make(name, options, seed=None):
  pytest.importorskip(MODULES[name.partition(":")[0]])
  known = acme_envs.list_environments(name.partition(":")[0])
  if name not in known and name == "gym:Taxi-v4":
    name = "gym:Taxi-v3"  # Gymnasium before 1.3.
  return acme_envs.make(name, seed=seed, **options)


@pytest.mark.parametrize(("name", "options"), CASES, ids=lambda value: str(value))
def test_a_seed_determines_the_episode_whatever_was_played_before(name, options):
  environment = make(name, options)
  actions, others = (draw(environment.action_spec(), seed, 150) for seed in (0, 1))
  expected = play(environment, actions, seed=3)
  play(environment, others)
  play(environment, others[:40], seed=4)
  play(environment, others)
  assert play(environment, actions, seed=3) == expected
  assert play(make(name, options, seed=5), actions, seed=3) == expected
  environment.close()


@pytest.mark.parametrize(
  "name",
  ["gym:CartPole-v1", "atari:Breakout", "dm_control:cartpole:swingup", "bsuite:cartpole/0", "bsuite:catch_noise/1"],
)
def test_make_with_a_seed_begins_with_that_seed_and_seeds_differ(name):
  first, second, other = make(name, {}, seed=3), make(name, {}, seed=3), make(name, {}, seed=4)
  actions = draw(first.action_spec(), 0, 100)
  one = [play(first, actions) for _ in range(2)]
  assert [play(second, actions) for _ in range(2)] == one  # Unseeded episodes after it go on the same, too.
  assert [play(other, actions) for _ in range(2)] != one


def test_what_a_bsuite_environment_is_stays_as_it_was_made():
  environment = make("bsuite:deep_sea/0", {})
  mapping = environment.environment.environment._action_mapping.copy()
  environment.seed(123)
  environment.reset()
  np.testing.assert_array_equal(environment.environment.environment._action_mapping, mapping)
