"""Environments in JAX as plain dm_env ones, and by name in the `acme` command."""

import jax
import numpy as np
import pytest

import acme
from acme_anakin import environments
from acme_anakin.environments import host


def play(environment, actions):
  """All that an episode shows, to its end or as long as there are actions."""
  timesteps = [environment.reset()]
  for action in actions:
    if timesteps[-1].last():
      break
    timesteps.append(environment.step(action))
  return timesteps


def assert_same(first, second):
  assert len(first) == len(second)
  for one, other in zip(first, second, strict=True):
    assert one.step_type == other.step_type and one.reward == other.reward and one.discount == other.discount
    np.testing.assert_array_equal(one.observation, other.observation)


@pytest.mark.parametrize("name", environments.names())
def test_a_seed_makes_the_episode(name):
  environment = host.make(name, seed=3)
  rng = np.random.default_rng(0)
  spec = environment.action_spec()
  draw = (lambda: rng.integers(spec.num_values)) if spec.dtype == np.int32 else lambda: rng.uniform(-1, 1, 1)
  actions = [np.asarray(draw(), spec.dtype) for _ in range(40)]
  first = play(environment, actions)
  play(environment, actions[::-1])
  environment.seed(3)
  assert_same(first, play(environment, actions))
  environment.seed(2**32 - 1)
  environment.reset()


def test_timesteps_are_dm_env_s():
  environment = host.make("catch", seed=0)
  spec = acme.make_environment_spec(environment)
  timesteps = play(environment, [np.int32(1)] * 20)
  assert timesteps[0].first() and timesteps[0].reward is None and timesteps[0].discount is None
  assert len(timesteps) == 10 and timesteps[-1].last() and timesteps[-1].discount == 0
  for timestep in timesteps[1:]:
    spec.observations.validate(timestep.observation)
    assert type(timestep.reward) is np.float32 and type(timestep.discount) is np.float32
  assert environment.step(np.int32(0)).first()


def test_a_time_limit_is_a_truncation():
  environment = host.HostEnvironment(environments.time_limit(environments.make("CartPole-v1"), 3), seed=0)
  timesteps = play(environment, [np.int32(1)] * 5)
  assert len(timesteps) == 4 and timesteps[-1].last() and timesteps[-1].discount == 1


def test_it_is_the_pure_environment():
  pure = environments.make("CartPole-v1")
  hosted = host.HostEnvironment(pure, seed=0)
  timestep = hosted.reset()
  state = pure.reset(jax.random.PRNGKey(0))[0]._replace(state=jax.numpy.asarray(timestep.observation))
  for action in (0, 1, 1):
    timestep, outcome = hosted.step(np.int32(action)), pure.step(jax.random.PRNGKey(0), state, action)
    state = outcome.state
    np.testing.assert_allclose(timestep.observation, outcome.observation, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["jax:CartPole-v1", "jax:Pendulum-v1", "jax:catch_pixels", "jax:tmaze/4"])
def test_by_name_through_acme_envs(name):
  acme_envs = pytest.importorskip("acme_envs")
  environment = acme_envs.make(name, seed=0)
  assert not [finding for finding in acme_envs.check_environment(environment) if finding.severity == "error"]
  assert "jax:CartPole-v1" in acme_envs.list_environments("jax")


def test_a_run_stopped_within_an_episode_is_the_same_run():
  """By the loop's own state: the seed and the actions of the open episode."""
  core_episodes = pytest.importorskip("acme.episodes")
  whole, resumed = (core_episodes.Episodes(host.make("CartPole-v1", seed=seed), seed=0) for seed in (1, 2))
  whole.reset()
  for action in (0, 1, 0):
    whole.step(np.int32(action))
  timestep = resumed.restore(whole.save())
  assert_same([whole.step(np.int32(1))], [resumed.step(np.int32(1))])
  assert timestep.mid()
