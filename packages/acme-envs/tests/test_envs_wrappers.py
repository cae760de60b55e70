from types import SimpleNamespace

import dm_env
import numpy as np
import pytest
import tree
from dm_env import specs

import acme
import acme_envs
from acme_envs import wrappers

ACTION = np.zeros(2, np.float32)


def roll(environment, steps, action=ACTION):
  """reset() and then so many steps."""
  return [environment.reset()] + [environment.step(action) for _ in range(steps)]


def conforms(environment, timestep):
  acme.validation.Validator("observation", environment.observation_spec())(timestep.observation)
  if not timestep.first():
    acme.validation.Validator("reward", environment.reward_spec())(timestep.reward)
    tree.map_structure(lambda spec, value: spec.validate(value), environment.reward_spec(), timestep.reward)


EVERY = {
  "CanonicalSpec": wrappers.CanonicalSpec,
  "ActionRepeat": lambda e: wrappers.ActionRepeat(e, 2),
  "FrameStacking": lambda e: wrappers.FrameStacking(e, 3),
  "ConcatObservation": wrappers.ConcatObservation,
  "ObservationActionReward": wrappers.ObservationActionReward,
  "DelayedReward": lambda e: wrappers.DelayedReward(e, 3),
  "NoopStarts": lambda e: wrappers.NoopStarts(e, 2, ACTION),
  "ExpandScalarObservation": wrappers.ExpandScalarObservation,
}


@pytest.mark.parametrize("name", EVERY)
def test_every_wrapper_gives_what_its_specs_say_and_spoils_nothing(fake, name):
  inner = fake()
  environment = EVERY[name](inner)
  timesteps = roll(environment, 14)
  for timestep in timesteps:
    conforms(environment, timestep)
  for before, after in zip(timesteps, timesteps[1:], strict=False):
    assert after.first() == before.last()  # Steps on into the next episode by itself.
  assert any(timestep.last() for timestep in timesteps)
  assert inner.unspoiled()
  environment.close()
  assert inner.closed


@pytest.mark.parametrize("name", EVERY)
def test_every_wrapper_has_seed_only_where_the_environment_has_one(fake, seeded_fake, name):
  assert not hasattr(EVERY[name](fake()), "seed")
  environment = EVERY[name](seeded_fake())

  def episode(seed):
    environment.seed(seed)
    timesteps = [environment.reset()]
    while not timesteps[-1].last():
      timesteps.append(environment.step(ACTION))
    return [tree.map_structure(np.copy, timestep.observation) for timestep in timesteps]

  first = episode(3)
  episode(4)
  tree.map_structure(np.testing.assert_array_equal, first, episode(3))


def test_canonical_spec_scales_to_the_bounds(fake):
  inner = fake()
  environment = wrappers.CanonicalSpec(inner)
  assert environment.action_spec() == specs.BoundedArray((2,), np.float32, -1, 1)
  environment.reset()
  for action in ([-1, -1], [1, 1], [0, 0.5], [2, -1]):
    environment.step(np.array(action, np.float32))
  np.testing.assert_allclose(inner.actions, [[-1, 0], [3, 10], [1, 7.5], [5, 0]])
  assert inner.actions[0].dtype == np.float32


def test_canonical_spec_clips_where_asked(fake):
  inner = fake()
  environment = wrappers.CanonicalSpec(inner, clip=True)
  environment.reset()
  environment.step(np.array([2, -7], np.float32))
  np.testing.assert_array_equal(inner.actions, [[3, 0]])


@pytest.mark.parametrize(
  "spec", [specs.Array((2,), np.float32), specs.BoundedArray((2,), np.float32, [0, -np.inf], [1, 1])]
)
def test_canonical_spec_needs_finite_bounds(fake, spec):
  inner = fake()
  inner.action_spec = lambda: {"arm": spec}
  with pytest.raises(ValueError, match="finite bounds"):
    wrappers.CanonicalSpec(inner)


def test_canonical_spec_passes_discrete_leaves(fake):
  inner = fake()
  inner.action_spec = lambda: (specs.DiscreteArray(3), specs.BoundedArray((), np.float64, 0, 4))
  environment = wrappers.CanonicalSpec(inner)
  environment.reset()
  environment.step((2, np.float32(0)))
  assert inner.actions == [(2, 2.0)]
  assert environment.action_spec()[0] == specs.DiscreteArray(3)


def test_action_repeat_sums_discounted_rewards_and_stops_at_the_end(fake):
  inner = fake(length=5, discount=0.5, last_discount=0.0)
  environment = wrappers.ActionRepeat(inner, 3)
  _, first, second, after = roll(environment, 3)
  assert first.reward == 1 + 0.5 * 2 + 0.25 * 3
  assert first.discount == 0.125
  assert second.last()
  assert second.reward == 4 + 0.5 * 5
  assert second.discount == 0
  assert after.first()
  assert after.reward is None
  assert environment.reward_spec().maximum == 30


def test_action_repeat_takes_nested_rewards_with_one_discount(fake):
  class Nested(fake):
    def step(self, action):
      timestep = super().step(action)
      return timestep._replace(reward={"x": timestep.reward, "y": -timestep.reward})

  timestep = roll(wrappers.ActionRepeat(Nested(), 2), 1)[1]
  assert timestep.reward == {"x": 2, "y": -2}


def test_frame_stacking_repeats_the_first_frame_and_puts_the_newest_last(fake):
  environment = wrappers.FrameStacking(fake(length=3), 3)
  timesteps = roll(environment, 4)
  scalars = [timestep.observation["a"]["scalar"].tolist() for timestep in timesteps]
  assert scalars == [[0, 0, 0], [0, 0, 1], [0, 1, 2], [1, 2, 3], [0, 0, 0]]
  np.testing.assert_array_equal(timesteps[2].observation["b"], [0, 0, 1, -1, 2, -2])
  assert timesteps[2].observation["a"]["image"].shape == (2, 2, 3)
  np.testing.assert_array_equal(timesteps[2].observation["a"]["image"][0, 1], [0, 1, 2])
  assert timesteps[2].observation["a"]["image"].dtype == np.uint8


@pytest.mark.parametrize(
  ("shape", "num_frames", "expected"), [((4, 4, 1), 3, 3), ((), 3, 3), ((4, 4, 2), 3, None), ((4, 4, 1), 1, None)]
)
def test_frame_stacking_says_how_a_replay_may_store_each_frame_once(shape, num_frames, expected):
  spec = specs.Array(shape, np.uint8)
  environment = wrappers.FrameStacking(SimpleNamespace(observation_spec=lambda: spec), num_frames)
  assert environment.frame_stack == expected


def test_frame_stacking_of_a_nest_has_no_one_stack(fake):
  assert wrappers.FrameStacking(fake(), 3).frame_stack is None


def test_concat_observation_sorts_by_name_or_takes_names(fake):
  timestep = roll(wrappers.ConcatObservation(fake()), 2)[2]
  np.testing.assert_array_equal(timestep.observation, [2, 2, 2, 2, 2, 2, -2])
  timestep = roll(wrappers.ConcatObservation(fake(), names=["b"]), 2)[2]
  np.testing.assert_array_equal(timestep.observation, [2, -2])
  with pytest.raises(ValueError, match=r"no \['c'\].*\['a', 'b'\]"):
    wrappers.ConcatObservation(fake(), names=["c"])


def test_observation_action_reward(fake):
  environment = wrappers.ObservationActionReward(fake(length=2))
  action = np.array([1, 2], np.float32)
  first, mid, last, again = roll(environment, 3, action)
  np.testing.assert_array_equal(first.observation.action, [0, 0])
  assert first.observation.reward == 0
  np.testing.assert_array_equal(mid.observation.action, [1, 2])
  assert mid.observation.reward == 1
  assert last.observation.reward == 2
  np.testing.assert_array_equal(again.observation.action, [0, 0])
  action[:] = 9  # The caller's to change.
  np.testing.assert_array_equal(mid.observation.action, [1, 2])


@pytest.mark.parametrize(("period", "paid"), [(2, [0, 3, 0, 7, 5]), (None, [0, 0, 0, 0, 15]), (1, [1, 2, 3, 4, 5])])
def test_delayed_reward_pays_every_few_steps_and_at_the_end(fake, period, paid):
  environment = wrappers.DelayedReward(fake(), period)
  for _ in range(2):
    assert [timestep.reward for timestep in roll(environment, 5)] == [None, *paid]


def test_noop_starts_idle_and_begin_again_where_the_episode_ends(fake):
  inner = fake(length=3)
  environment = wrappers.NoopStarts(inner, noop_max=10, noop_action="noop", seed=0)
  starts = set()
  for _ in range(40):
    timestep = environment.reset()
    assert timestep.first()
    assert timestep.reward is None
    starts.add(int(timestep.observation["b"][0]))
  assert starts == {0, 1, 2}
  assert set(inner.actions) == {"noop"}


def test_expand_scalar_observation(fake):
  environment = wrappers.ExpandScalarObservation(fake())
  timestep = environment.reset()
  assert timestep.observation["a"]["scalar"].shape == (1,)
  assert timestep.observation["b"].shape == (2,)
  assert environment.observation_spec()["a"]["scalar"].maximum == 100


@pytest.mark.parametrize("name", ["gym:CartPole-v1", "jax:CartPole-v1"])
def test_mask_velocity_leaves_positions(name):
  gymnasium = pytest.importorskip("gymnasium")
  whole = acme.wrappers.GymWrapper(gymnasium.make("CartPole-v1"))
  environment = wrappers.MaskVelocity(whole, name)
  whole.seed(0)
  timesteps = roll(environment, 2, np.int32(0))
  whole.seed(0)
  for masked, timestep in zip(timesteps, roll(whole, 2, np.int32(0)), strict=True):
    conforms(environment, masked)
    np.testing.assert_array_equal(masked.observation, timestep.observation[[0, 2]])
  np.testing.assert_allclose(environment.observation_spec().maximum, [4.8, 0.4189], rtol=1e-3)


def test_mask_velocity_refuses_what_it_does_not_know(fake):
  with pytest.raises(ValueError, match="expected one of gym:Acrobot-v1, .* got 'bsuite:catch/0'"):
    wrappers.MaskVelocity(fake(), "bsuite:catch/0")


@pytest.mark.parametrize("first", ["frame_stack:4", "observation_action_reward", "mask_velocity"])
def test_mask_velocity_refuses_what_another_wrapper_has_changed(first):
  pytest.importorskip("gymnasium")
  with pytest.raises(ValueError, match="expected the 4 numbers of CartPole-v1, got .*: mask once, before other"):
    acme_envs.make("gym:CartPole-v1", wrap=[first, "mask_velocity"])


def test_mask_velocity_needs_no_bounds():
  pytest.importorskip("gymnasium")
  environment = acme_envs.make("gym:CartPole-v1", wrap=["flatten", "mask_velocity"])
  conforms(environment, environment.reset())
  assert environment.observation_spec().shape == (2,)


@pytest.mark.parametrize(
  "make",
  [
    lambda e: wrappers.ActionRepeat(e, 0),
    lambda e: wrappers.FrameStacking(e, 0),
    lambda e: wrappers.DelayedReward(e, 0),
    lambda e: wrappers.NoopStarts(e, -1),
  ],
)
def test_bad_numbers_are_refused(fake, make):
  with pytest.raises(ValueError, match="or more"):
    make(fake())


def test_wrappers_run_in_the_loop_under_single_precision(seeded_fake):
  environment = acme.wrappers.SinglePrecision(wrappers.ConcatObservation(wrappers.FrameStacking(seeded_fake(), 2)))
  assert isinstance(environment.reset(), dm_env.TimeStep)
  assert hasattr(environment, "seed")
