"""Wrappers: spaces become specs, ends keep their meaning, and nothing is imported before it is used."""

import copy
import types
import warnings

import dm_env
import numpy as np
import pytest
import tree

from acme import EnvironmentLoop, loggers, make_environment_spec, specs, validation
from acme.wrappers import EnvironmentWrapper, GymWrapper, SinglePrecision, StepLimit
from acme_testing import fakes

F = np.float32


def space(kind, **attributes):
  """A space as Gym and Gymnasium have it, by name."""
  return type(kind, (), attributes)()


BOX = space("Box", shape=(2,), dtype=np.dtype(F), low=np.array([-1, -2], F), high=np.array([1, 2], F))
TWO = space("Discrete", n=2, dtype=np.dtype(np.int64))


class FakeGym:
  """What both libraries have in common; `results` are what `step` gives, one after the other."""

  def __init__(self, results=(), observation_space=BOX, action_space=TWO, observation=None):
    self.observation_space, self.action_space = observation_space, action_space
    self.results = list(results)
    self.observation = np.zeros(2, F) if observation is None else observation
    self.actions, self.seeds, self.closed = [], [], False

  def step(self, action):
    self.actions.append(action)
    return self.results.pop(0)

  def close(self):
    self.closed = True


class NewGym(FakeGym):
  def reset(self, *, seed=None, options=None):
    self.seeds.append(seed)
    return self.observation, {"from": "reset"}

  def render(self):
    return "frame"


class OldGym(FakeGym):
  def reset(self):
    self.seeds.append(None)
    return self.observation

  def seed(self, seed):
    self.seeds.append(("seed", seed))


OBS = np.ones(2, F)
ENDS = [
  (NewGym, (OBS, 1.5, False, False, {}), dm_env.StepType.MID, 1),
  (NewGym, (OBS, 1.5, True, False, {}), dm_env.StepType.LAST, 0),
  (NewGym, (OBS, 1.5, False, True, {}), dm_env.StepType.LAST, 1),
  (NewGym, (OBS, 1.5, True, True, {}), dm_env.StepType.LAST, 0),
  (NewGym, (OBS, 1.5, np.bool_(True), np.bool_(False), {}), dm_env.StepType.LAST, 0),
  (OldGym, (OBS, 1.5, False, {}), dm_env.StepType.MID, 1),
  (OldGym, (OBS, 1.5, True, {}), dm_env.StepType.LAST, 0),
  (OldGym, (OBS, 1.5, True, {"TimeLimit.truncated": True}), dm_env.StepType.LAST, 1),
  (OldGym, (OBS, 1.5, True, {"TimeLimit.truncated": False}), dm_env.StepType.LAST, 0),
  (OldGym, (OBS, 1.5, False, {"TimeLimit.truncated": True}), dm_env.StepType.MID, 1),
]


@pytest.mark.parametrize("gym, result, step_type, discount", ENDS)
def test_ends_of_gym_episodes(gym, result, step_type, discount):
  environment = GymWrapper(gym([result]))
  first = environment.reset()
  assert first.first() and first.reward is None and first.discount is None
  timestep = environment.step(np.int32(1))
  assert (timestep.step_type, timestep.reward, timestep.discount) == (step_type, 1.5, discount)
  assert timestep.reward.dtype == F and timestep.discount.dtype == F
  np.testing.assert_array_equal(timestep.observation, OBS)


@pytest.mark.parametrize("gym, tail", [(NewGym, (True, False, {})), (OldGym, (True, {}))])
def test_gym_resets_before_the_first_and_after_the_last_step(gym, tail):
  environment = GymWrapper(gym([(OBS, 0, *tail)] * 2))
  kinds = [environment.step(0).step_type for _ in range(4)]
  assert kinds == [dm_env.StepType.FIRST, dm_env.StepType.LAST] * 2
  assert len(environment.environment.actions) == 2


def test_gym_seeds_the_next_reset_only():
  new, old = NewGym(), OldGym()
  for gym in (new, old):
    environment = GymWrapper(gym)
    environment.reset()
    environment.seed(7)
    environment.reset()
    environment.reset()
  assert new.seeds == [None, 7, None] and old.seeds == [None, ("seed", 7), None, None]


def test_gym_passes_on_info_render_and_close():
  environment = GymWrapper(NewGym([(OBS, 0, False, False, {"from": "step"})]))
  environment.reset()
  assert environment.last_info == {"from": "reset"}
  environment.step(0)
  assert environment.last_info == {"from": "step"} and environment.render() == "frame"
  environment.close()
  assert environment.environment.closed


def test_gym_discrete_actions_with_a_start():
  gym = NewGym([(OBS, 0, False, False, {})], action_space=space("Discrete", n=3, start=5))
  environment = GymWrapper(gym)
  environment.reset()
  environment.step(np.int32(2))
  assert environment.action_spec().num_values == 3 and gym.actions == [7] and type(gym.actions[0]) is int


def test_gym_observations_of_another_dtype_or_order():
  box = space("Box", shape=(), dtype=np.dtype(F), low=-1.0, high=1.0)
  both = space("Dict", spaces={"a": box, "b": BOX})
  gym = NewGym(observation_space=both, observation={"b": [1, 2], "a": 0.5})
  observation = GymWrapper(gym).reset().observation
  validation.Validator("observation", GymWrapper(gym).observation_spec())(observation)
  assert list(observation) == ["a", "b"] and observation["b"].dtype == F


def test_old_gym_pairs_are_not_taken_for_observation_and_info():
  pair = space("Tuple", spaces=[BOX, space("Dict", spaces={"a": BOX})])
  gym = OldGym(observation_space=pair, observation=(OBS, {"a": OBS}))
  observation = GymWrapper(gym).reset().observation
  np.testing.assert_array_equal(observation[1]["a"], OBS)


@pytest.mark.parametrize("kind", ["Text", "Graph", "Sequence"])
def test_spaces_without_a_spec_are_named(kind):
  with pytest.raises(TypeError, match=f"Box.*got {kind}"):
    GymWrapper(NewGym(observation_space=space("Dict", spaces={"a": space(kind)})))


def gymnasium_spaces():
  gymnasium = pytest.importorskip("gymnasium")
  s = gymnasium.spaces
  return gymnasium, {
    "Box": s.Box(-1, 1, (2, 3), F),
    "unbounded Box": s.Box(-np.inf, np.inf, (2,), np.float64),
    "image": s.Box(0, 255, (4, 4, 3), np.uint8),
    "Discrete": s.Discrete(3),
    "Discrete with a start": s.Discrete(3, start=-1),
    "MultiDiscrete": s.MultiDiscrete([2, 5]),
    "MultiDiscrete of two axes": s.MultiDiscrete([[2, 5], [3, 3]]),
    "MultiDiscrete with a start": s.MultiDiscrete([2, 5], start=[10, -3]),
    "MultiBinary": s.MultiBinary(4),
    "MultiBinary of two axes": s.MultiBinary([2, 3]),
    "Dict": s.Dict({"b": s.Discrete(2), "a": s.Dict({"x": s.Box(0, 1, ())})}),
    "Tuple": s.Tuple((s.Discrete(4), s.Box(0, 1, (2,)))),
  }


SPACES = [
  "Box", "unbounded Box", "image", "Discrete", "Discrete with a start", "MultiDiscrete", "MultiDiscrete of two axes",
  "MultiDiscrete with a start", "MultiBinary", "MultiBinary of two axes", "Dict", "Tuple",
]  # fmt: skip


@pytest.mark.parametrize("name", SPACES)
def test_gymnasium_observations_are_valid_under_their_specs(name):
  _, spaces = gymnasium_spaces()
  for seed in range(5):
    spaces[name].seed(seed)
    environment = GymWrapper(NewGym(observation_space=spaces[name], observation=spaces[name].sample()))
    spec, observation = environment.observation_spec(), environment.reset().observation
    validation.Validator("observation", spec)(observation)
    tree.map_structure(lambda leaf, value: leaf.validate(value), spec, observation)


@pytest.mark.parametrize("name", SPACES)
def test_gymnasium_actions_are_valid_in_their_spaces(name):
  _, spaces = gymnasium_spaces()
  gym = NewGym([(OBS, 0, False, False, {})] * 20, action_space=spaces[name])
  environment = GymWrapper(gym)
  environment.reset()
  actor = fakes.RandomActor(make_environment_spec(environment))
  for _ in range(20):
    environment.step(actor.select_action(None))
  assert all(spaces[name].contains(action) for action in gym.actions), gym.actions


def test_cartpole_runs_and_is_truncated_by_its_limit():
  gymnasium = pytest.importorskip("gymnasium")
  environment = GymWrapper(gymnasium.make("CartPole-v1", max_episode_steps=5))
  actor = fakes.RandomActor(make_environment_spec(environment))
  loop = EnvironmentLoop(environment, actor, logger=loggers.NullLogger(), seed=0)
  results = [loop.run_episode() for _ in range(3)]
  assert [(r["episode_length"], r["truncated"]) for r in results] == [(5, True)] * 3
  loop.run(num_steps=3)
  loop.restore(loop.save())


class Doubles(dm_env.Environment):
  """Gives and takes 64 bits."""

  def __init__(self, observation, spec):
    self.timestep, self.spec, self.action = observation, spec, None

  def reset(self):
    return dm_env.restart(self.timestep)

  def step(self, action):
    self.action = action
    return dm_env.transition(1.5, self.timestep, 0.5)

  def observation_spec(self):
    return self.spec

  def action_spec(self):
    return {"a": specs.BoundedArray((1,), np.float64, -1, 1), "b": specs.DiscreteArray(3, np.int64)}


def test_single_precision():
  observation = {"d": np.ones(2), "i": np.int64(3), "u": np.zeros(2, np.uint8), "p": 2.5, "t": np.True_}
  spec = {
    "d": specs.BoundedArray((2,), np.float64, -1, 1),
    "i": specs.Array((), np.int64),
    "u": specs.Array((2,), np.uint8),
    "p": specs.Array((), np.float64),
    "t": specs.Array((), bool),
  }
  inside = Doubles(observation, spec)
  environment = SinglePrecision(inside)
  full = make_environment_spec(environment)
  assert {key: leaf.dtype for key, leaf in full.observations.items()} == {
    "d": F, "i": np.int32, "u": np.uint8, "p": F, "t": bool,
  }  # fmt: skip
  assert full.actions["b"].num_values == 3 and full.actions["b"].dtype == np.int32
  assert full.observations["d"].minimum == -1 and full.rewards.dtype == F
  first = environment.reset()
  assert first.reward is None
  validation.Validator("observation", full.observations)(first.observation)
  timestep = environment.step({"a": np.ones(1, F), "b": np.int32(2)})
  assert timestep.reward.dtype == F and timestep.reward == 1.5 and timestep.discount == 0.5
  assert inside.action["a"].dtype == np.float64 and inside.action["b"].dtype == np.int64


def test_single_precision_of_bounds_that_do_not_fit():
  largest = np.finfo(np.float64).max
  spec = {"f": specs.BoundedArray((), np.float64, -largest, largest), "i": specs.BoundedArray((), np.int64, 0, 2**62)}
  inside = Doubles({"f": 0.5, "i": np.int64(5)}, spec)
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    environment = SinglePrecision(inside)
    full = environment.observation_spec()
    tree.map_structure(lambda leaf, value: leaf.validate(value), full, environment.reset().observation)


def limited(steps, length=3, seed=0):
  return StepLimit(fakes.FakeEnvironment(fakes.make_spec(), episode_length=length, seed=seed), steps)


def test_step_limit_truncates():
  environment = limited(2)
  kinds, discounts = [], []
  for _ in range(6):
    timestep = environment.step(np.int32(0))
    kinds.append(int(timestep.step_type))
    discounts.append(timestep.discount)
  assert kinds == [0, 1, 2, 0, 1, 2]
  assert 0 < discounts[2] < 1, "the discount stays what it was"


@pytest.mark.parametrize("limit", [3, 4])
def test_step_limit_leaves_a_termination(limit):
  environment = limited(limit)
  environment.reset()
  steps = [environment.step(np.int32(0)) for _ in range(3)]
  assert steps[-1].last() and steps[-1].discount == 0
  assert environment.step(np.int32(0)).first()


def test_step_limit_refuses():
  with pytest.raises(ValueError, match="step_limit: expected 1 or more, got 0"):
    limited(0)


def test_the_base_wrapper_passes_everything_on():
  inside = fakes.FakeEnvironment(fakes.make_spec("nested"))
  inside.colour = "red"
  environment = EnvironmentWrapper(inside)
  assert make_environment_spec(environment) == make_environment_spec(inside)
  assert environment.environment is inside and environment.colour == "red"
  environment.seed(3)
  one = environment.reset()
  inside.seed(3)
  tree.map_structure(np.testing.assert_array_equal, one.observation, inside.reset().observation)
  environment.close()
  assert inside.closed
  with pytest.raises(AttributeError, match="taste"):
    _ = environment.taste
  assert not hasattr(EnvironmentWrapper(types.SimpleNamespace()), "seed")


def test_wrappers_can_be_copied():
  environment = StepLimit(EnvironmentWrapper(fakes.FakeEnvironment(fakes.make_spec(), episode_length=9)), 5)
  environment.reset()
  other = copy.deepcopy(environment)
  assert other.environment is not environment.environment
  one, two = environment.step(np.int32(1)), other.step(np.int32(1))
  tree.map_structure(np.testing.assert_array_equal, one, two)
