"""The fakes are worth testing with: valid under their specs, never trivial, the same for the same seed."""

import dm_env
import numpy as np
import pytest
import tree

from acme import EnvironmentLoop, loggers, make_environment_spec, specs, validation
from acme_testing import fakes

EVERY = [(o, "discrete") for o in fakes.OBSERVATIONS] + [("vector", a) for a in fakes.ACTIONS]


def play(environment, seeds, actor_seed=0):
  """The timesteps of an episode for each seed; None leaves the environment's own."""
  actor = fakes.RandomActor(make_environment_spec(environment), seed=actor_seed)
  timesteps = []
  for seed in seeds:
    if seed is not None:
      environment.seed(seed)
    timesteps.append(environment.reset())
    while not timesteps[-1].last():
      timesteps.append(environment.step(actor.select_action(timesteps[-1].observation)))
  return timesteps


def same(one, other):
  return all(map(np.array_equal, tree.flatten(one), tree.flatten(other)))


@pytest.mark.parametrize("observation, action", EVERY)
def test_values_are_valid_under_the_specs(observation, action):
  spec = fakes.make_spec(observation, action)
  for timestep in play(fakes.FakeEnvironment(spec), [None] * 3):
    tree.map_structure(lambda s, v: s.validate(v), spec.observations, timestep.observation)
    validation.Validator("observation", spec.observations)(timestep.observation)
    if not timestep.first():
      spec.rewards.validate(timestep.reward)
      spec.discounts.validate(timestep.discount)


def test_rewards_and_discounts_are_not_trivial():
  timesteps = [t for t in play(fakes.FakeEnvironment(fakes.make_spec()), [None] * 4) if not t.first()]
  assert all(0.5 <= abs(t.reward) < 2 for t in timesteps) and {t.reward > 0 for t in timesteps} == {True, False}
  assert all(0.5 <= t.discount < 1 for t in timesteps if t.mid())
  ends = [float(t.discount) for t in timesteps if t.last()]
  assert [end > 0 for end in ends] == [False, True, False, True], "terminations and truncations take turns"


def test_nested_rewards():
  spec = fakes.make_spec()._replace(rewards={"a": specs.Array((), np.float64), "b": specs.Array((2,), np.float32)})
  reward = play(fakes.FakeEnvironment(spec), [0])[1].reward
  assert reward["a"].dtype == np.float64 and reward["b"].shape == (2,) and np.all(reward["b"] != 0)


def test_a_seed_determines_the_next_episode():
  spec = fakes.make_spec("nested")
  one = play(fakes.FakeEnvironment(spec), [5])
  other = fakes.FakeEnvironment(spec, seed=9)
  play(other, [3])
  assert same(one, play(other, [5]))
  assert not same(one, play(fakes.FakeEnvironment(spec), [7]))
  assert not same(one, play(fakes.FakeEnvironment(spec), [5], actor_seed=1)), "actions matter"


def test_step_after_the_end_resets_and_a_wrong_action_is_refused():
  environment = fakes.FakeEnvironment(fakes.make_spec(), episode_length=1)
  assert environment.step(99).first()
  with pytest.raises(ValueError, match="Expected an action of DiscreteArray.*got .*99"):
    environment.step(np.int32(99))
  assert environment.step(np.int32(2)).last()
  with pytest.raises(ValueError, match="episode_length"):
    fakes.FakeEnvironment(fakes.make_spec(), episode_length=0)


def test_scripted_environment_plays_its_script():
  o = np.zeros(2, np.float32)
  script = [dm_env.restart(o), dm_env.transition(1.0, o), dm_env.restart(o + 1), dm_env.termination(2.0, o + 2)]
  environment = fakes.ScriptedEnvironment(script)
  assert make_environment_spec(environment).observations.shape == (2,)
  assert [environment.reset(), environment.step(7), environment.reset(), environment.step(8)] == script
  assert environment.actions == [7, 8]
  with pytest.raises(RuntimeError, match="script of 4 timesteps is over"):
    environment.reset()
  with pytest.raises(ValueError, match="begin with a first one"):
    fakes.ScriptedEnvironment(script[1:])


@pytest.mark.parametrize("action", fakes.ACTIONS)
def test_random_actor_is_seeded_valid_and_saveable(action):
  spec = fakes.make_spec(action=action)
  one, other = (fakes.RandomActor(spec, seed=3) for _ in range(2))
  first = [one.select_action(None) for _ in range(5)]
  assert same(first, [other.select_action(None) for _ in range(5)])
  state = one.save()
  following = [one.select_action(None) for _ in range(5)]
  one.restore(state)
  assert same(following, [one.select_action(None) for _ in range(5)]) and not same(first, following)
  EnvironmentLoop(fakes.FakeEnvironment(spec), one, logger=loggers.NullLogger()).run(num_episodes=2)
