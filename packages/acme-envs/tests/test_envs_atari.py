import numpy as np
import pytest

import acme_envs

pytest.importorskip("ale_py")
pytest.importorskip("cv2")


def test_observations_are_stacked_grey_frames():
  environment = acme_envs.make("atari:Pong", seed=0)
  timestep = environment.reset()
  assert timestep.observation.shape == (84, 84, 4)
  assert timestep.observation.dtype == np.uint8
  for k in range(3):
    np.testing.assert_array_equal(timestep.observation[..., k], timestep.observation[..., 3])
  following = environment.step(0)
  np.testing.assert_array_equal(following.observation[..., :3], timestep.observation[..., 1:])


def test_frame_limit_truncates():
  environment = acme_envs.make("atari:Breakout", max_frames=40, seed=0)
  environment.reset()
  timesteps = [environment.step(0) for _ in range(10)]
  assert timesteps[-1].last()
  assert timesteps[-1].discount == 1
  assert not any(timestep.last() for timestep in timesteps[:-1])
  assert environment.step(0).first()


def play(environment, actions):
  timesteps = [environment.reset()]
  for action in actions:
    timesteps.append(environment.step(action))
    if timesteps[-1].last():
      break
  return timesteps


def test_episodic_life_ends_learning_but_not_the_game():
  actions = np.tile([1, 0, 0], 400)  # Fires, and never moves: loses its five lives.
  lives = play(acme_envs.make("atari:Breakout", seed=0, episodic_life=True), actions)
  plain = play(acme_envs.make("atari:Breakout", seed=0), actions)
  assert sum(timestep.discount == 0 for timestep in lives[1:]) == 5
  assert sum(timestep.discount == 0 for timestep in plain[1:]) == 1
  assert lives[-1].last()
  assert len(lives) == len(plain)
  for a, b in zip(lives, plain, strict=True):
    np.testing.assert_array_equal(a.observation, b.observation)


def test_rewards_are_clipped_where_asked():
  actions = np.random.default_rng(0).integers(0, 6, 300)
  rewards = [t.reward for t in play(acme_envs.make("atari:SpaceInvaders", seed=0), actions)[1:]]
  environment = acme_envs.make("atari:SpaceInvaders", seed=0, clip_rewards=True)
  clipped = [t.reward for t in play(environment, actions)[1:]]
  assert max(rewards) > 1
  np.testing.assert_array_equal(np.clip(rewards, -1, 1), clipped)
  assert environment.reward_spec().maximum == 1


def test_actions_stick():
  """What differs between seeds is when actions stick."""
  actions = np.random.default_rng(0).integers(0, 4, 60)

  def final(seed, sticky):
    return play(acme_envs.make("atari:SpaceInvaders", seed=seed, sticky_actions=sticky), actions)[-1].observation

  assert np.array_equal(final(0, 0.0), final(1, 0.0))
  assert not np.array_equal(final(0, 0.25), final(1, 0.25))


@pytest.mark.parametrize(("full", "count"), [(False, 4), (True, 18)])
def test_action_spaces(full, count):
  assert acme_envs.make("atari:Breakout", full_action_space=full).action_spec().num_values == count


@pytest.mark.parametrize("options", [{"sticky_actions": 1.5}, {"noop_max": -1}, {"frame_skip": 0}, {"stack": 0}])
def test_bad_options_are_refused(options):
  with pytest.raises(ValueError, match=next(iter(options)).replace("stack", "num_frames")):
    acme_envs.make("atari:Pong", **options)
