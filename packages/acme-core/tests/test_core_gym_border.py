"""The border with Gymnasium: what a cast would change is an error."""

import numpy as np
import pytest
import tree

import acme
from acme import loggers
from acme.wrappers import GymWrapper, SinglePrecision
from acme_testing import fakes

gymnasium = pytest.importorskip("gymnasium")
spaces = gymnasium.spaces
F = np.float32


class Given(gymnasium.Env):
  """Gives what it is given to give."""

  def __init__(self, observation_space=None, action_space=None, observation=None, result=None):
    self.observation_space = observation_space if observation_space is not None else spaces.Box(-1, 1, (2,), F)
    self.action_space = action_space if action_space is not None else spaces.Discrete(3)
    self.observation = observation if observation is not None else np.zeros(2, F)
    self.result, self.actions = result, []

  def reset(self, *, seed=None, options=None):
    return self.observation, {}

  def step(self, action):
    self.actions.append(action)
    return self.result if self.result is not None else (self.observation, 0.0, False, False, {})


IMAGE, COUNT = spaces.Box(0, 255, (2,), np.uint8), spaces.Discrete(5, start=2)
BAD_OBSERVATIONS = [
  (IMAGE, np.array([0, 300]), r"observation\[1\]: expected a number that uint8 holds, got .*300.*44"),
  (IMAGE, np.array([-1, 0]), r"observation\[0\]: expected a number that uint8 holds, got .*-1.*255"),
  (IMAGE, np.array([0.5, 1]), r"observation\[0\]: expected a number that uint8 holds, got .*0.5"),
  (spaces.Box(-1, 1, (2,), F), np.array([0, 1e300]), r"observation\[1\]: .*float32 holds, got .*1e\+300.*inf"),
  (spaces.Box(-1, 1, (2,), F), None, "observation: expected dtype float32, numbers, got object: None"),
  (spaces.Box(-1, 1, (2,), F), ["a", "b"], "observation: expected dtype float32, numbers"),
  (COUNT, 2.5, "observation: expected a number that int64 holds, got .*2.5"),
  (COUNT, "two", "observation: expected .*'two'"),
  (COUNT, 2**40, "observation: expected a number that int32 holds, got .*1099511627774"),
  (spaces.MultiBinary(2), np.array([0, 1.5]), r"observation\[1\]: expected a number that int8 holds"),
  (spaces.Dict(a=IMAGE), {"a": [0, 256]}, r"observation\[a\]\[1\]: expected a number that uint8 holds"),
  (spaces.Dict(a=IMAGE), {"b": [0, 6]}, r"observation: expected a dict with the keys \['a'\], got"),
  (spaces.Tuple((IMAGE,)), (np.zeros(2), 1), "observation: expected a tuple of 1, got"),
]


@pytest.mark.parametrize("space, observation, message", BAD_OBSERVATIONS)
def test_observations_that_a_cast_would_change(space, observation, message):
  environment = Given(space)
  environment.reset = lambda **_: (observation, {})
  with pytest.raises(ValueError, match=message):
    GymWrapper(environment).reset()


@pytest.mark.parametrize(
  "space, observation, expected",
  [(IMAGE, np.array([0.0, 255.0]), [0, 255]), (IMAGE, [1, 2], [1, 2]), (COUNT, np.array(2.0), 0), (COUNT, 6, 4)],
)
def test_observations_that_a_cast_leaves_as_they_are(space, observation, expected):
  np.testing.assert_array_equal(GymWrapper(Given(space, observation=observation)).reset().observation, expected)


O = np.zeros(2, F)  # noqa: E741


@pytest.mark.parametrize(
  "result, message",
  [
    ((O, 1e300, False, False, {}), r"reward: expected a number that float32 holds, got .*1e\+300"),
    ((O, None, False, False, {}), "reward: expected dtype float32, numbers, got object: None"),
    ((O, "1.5", False, False, {}), "reward: expected .*'1.5'"),
    ((O, 1.0, "no", False, {}), "terminated: expected a truth value, got 'no'"),
    ((O, 1.0, False, None, {}), "truncated: expected a truth value, got None"),
    ((O, 1.0, np.zeros(2, bool), False, {}), "terminated: expected a truth value"),
    ((O, 1.0, False), r"step\(\): expected \(observation, reward, terminated, truncated, info\)"),
    (O, r"step\(\): expected \(observation, reward"),
  ],
)
def test_results_that_are_none(result, message):
  environment = GymWrapper(Given(result=result))
  environment.reset()
  with pytest.raises((ValueError, TypeError), match=message):
    environment.step(0)


@pytest.mark.parametrize("reward", [1, 1.0, np.float64(1), F(1), np.int64(1), np.array(1.0), True])
def test_rewards_of_any_kind(reward):
  environment = GymWrapper(Given(result=(O, reward, np.bool_(False), np.array(False), {})))
  environment.reset()
  assert environment.step(0).reward == 1 and environment.step(0).reward.dtype == F


@pytest.mark.parametrize(
  "space, action",
  [(spaces.Discrete(3), 1.5), (spaces.MultiDiscrete([3, 3]), [0.5, 1]), (IMAGE, [256, 0]), (spaces.Discrete(3), "1")],
)
def test_actions_that_a_cast_would_change(space, action):
  environment = GymWrapper(Given(action_space=space))
  environment.reset()
  with pytest.raises(ValueError, match="action.*: expected"):
    environment.step(action)


def test_single_precision_refuses_what_32_bits_do_not_hold():
  environment = SinglePrecision(GymWrapper(Given(spaces.Dict(a=spaces.Box(-9, 9, (), np.float64)), observation=1)))
  inner = environment.environment.environment
  inner.observation = {"a": 0.1}
  assert environment.reset().observation["a"] == F(0.1)
  inner.observation = {"a": 1e39}
  with pytest.raises(ValueError, match=r"observation\[a\]: expected a number that float32 holds, got .*1e\+39"):
    environment.reset()


def test_type_errors_of_a_reset_are_its_own():
  class Broken(Given):
    resets = 0

    def reset(self, *, seed=None, options=None):
      self.resets += 1
      raise TypeError("mine")

    def seed(self, seed):
      raise AssertionError("not an old Gym")

  environment = GymWrapper(Broken())
  environment.seed(3)
  with pytest.raises(TypeError, match="mine"):
    environment.reset()
  assert environment.environment.resets == 1


def test_seeds_that_an_environment_refuses_lose_their_upper_bits():
  class Narrow(Given):
    seeds = []

    def reset(self, *, seed=None, options=None):
      self.seeds.append(int.from_bytes(seed.to_bytes(4, signed=True), signed=True))  # Raises where it is no int32.
      return self.observation, {}

  environment = GymWrapper(Narrow())
  for seed in (5, 2**31 - 1, 2**31 + 7, 2**32 - 1):
    environment.seed(seed)
    environment.reset()
  assert Narrow.seeds == [5, 2**31 - 1, 7, 2**31 - 1]


@pytest.mark.parametrize(
  "space, words",
  [
    (spaces.Text(5), ["observation: expected a space", "got Text", r"TransformObservation\("]),
    (
      spaces.Dict(mission=spaces.Text(5), image=IMAGE),
      [r"observation\[mission\]", r"FilterObservation\(.*\['image'\]"],
    ),
    (spaces.Tuple((spaces.Sequence(IMAGE), IMAGE)), [r"observation\[0\]", "got Sequence"]),
    (spaces.Dict(a=spaces.Dict(b=spaces.Graph(IMAGE, None)), c=IMAGE), [r"observation\[a\]\[b\]", r"\['c'\]", "Graph"]),
  ],
)
def test_spaces_without_a_spec_say_which_wrapper_helps(space, words):
  for word in words:
    with pytest.raises(TypeError, match=word) as info:
      GymWrapper(Given(space))
    assert "\n" not in str(info.value)
  with pytest.raises(TypeError, match=r"^action.*TransformAction\("):
    GymWrapper(Given(action_space=space))


ALL_SPACES = {
  "Box": IMAGE, "Discrete": COUNT, "MultiDiscrete": spaces.MultiDiscrete([2, 3]), "MultiBinary": spaces.MultiBinary(2),
  "Dict": spaces.Dict(a=IMAGE, b=spaces.Dict(c=COUNT)), "Tuple": spaces.Tuple((IMAGE, COUNT)),
}  # fmt: skip


@pytest.mark.parametrize("kind", ALL_SPACES)
def test_nothing_is_written_to_the_terminal(kind, capfd, caplog):
  space = ALL_SPACES[kind]
  environment = GymWrapper(Given(space, space, space.sample()))
  actor = fakes.RandomActor(acme.make_environment_spec(environment))
  acme.EnvironmentLoop(environment, actor, logger=loggers.NullLogger()).run(num_steps=5)
  acme.VectorEnvironmentLoop([environment], actor_of_one(actor), logger=loggers.NullLogger()).run(num_steps=5)
  captured = capfd.readouterr()
  assert (captured.out, captured.err, caplog.records) == ("", "", [])


def actor_of_one(actor):
  select = actor.select_action
  actor.select_action = lambda observation: tree.map_structure(lambda leaf: np.asarray(leaf)[None], select(observation))
  return actor
