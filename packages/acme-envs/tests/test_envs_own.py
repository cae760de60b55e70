"""Environments and wrappers of one's own, by file and by module; wrappers by name with options."""

import importlib.metadata
import pathlib
import sys

import numpy as np
import pytest

import acme_envs
from acme_envs import gym, own, wrapping

gymnasium = pytest.importorskip("gymnasium")

MINE = '''
import dm_env
import gymnasium
import numpy as np
from dm_env import specs
import beside

class Walk(gymnasium.Env):
  """Ends after `size` steps."""

  observation_space = gymnasium.spaces.Dict(
    place=gymnasium.spaces.Box(0, 99, (2,), np.float64), steps=gymnasium.spaces.Box(0, 99, (1,), np.float64)
  )
  action_space = gymnasium.spaces.Discrete(2)

  def __init__(self, size=beside.SIZE, render_mode=None):
    self.size, self.render_mode = size, render_mode

  def observe(self):
    return {"place": np.full(2, self.place), "steps": np.full(1, float(self.steps))}

  def reset(self, *, seed=None, options=None):
    super().reset(seed=seed)
    self.place, self.steps = self.np_random.random(), 0
    return self.observe(), {}

  def step(self, action):
    self.steps += 1
    return self.observe(), 1.0, self.steps == self.size, False, {}

  def render(self):
    return np.zeros((8, 8, 3), np.uint8)

class Plain(dm_env.Environment):
  def __init__(self, seed=None):
    self.born_with = seed

  def reset(self):
    return dm_env.restart(np.zeros(1))

  def step(self, action):
    return dm_env.termination(1.0, np.ones(1))

  def observation_spec(self):
    return specs.Array((1,), np.float64)

  def action_spec(self):
    return specs.DiscreteArray(2)

def make_walk(**options):
  return Walk(**options)

def nothing():
  return None

def loses(environment, factor=1):
  return gymnasium.wrappers.TransformReward(environment, lambda reward: -factor * reward)

NUMBER = 3
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
  """A folder with mine.py and what lies beside it; not the current one, and not on the path."""
  monkeypatch.setattr(sys, "path", list(sys.path))
  (tmp_path / "mine.py").write_text(MINE)
  (tmp_path / "beside.py").write_text("SIZE = 3\n")
  (tmp_path / "torn.py").write_text("import math\n\nmath.no_such\n")
  yield str(tmp_path)
  for name, module in list(sys.modules.items()):
    if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
      del sys.modules[name]


def play(environment, steps=1):
  timesteps = [environment.reset()]
  while len(timesteps) <= steps:
    timesteps.append(environment.step(np.int32(0)))
  return timesteps


@pytest.mark.parametrize("name", ["mine.py:Walk", "mine:Walk", "mine.py:make_walk", "mine:make_walk"])
def test_a_gymnasium_environment_of_ones_own(name, folder):
  environment = acme_envs.make(name, seed=3, folder=folder, size=2)
  assert environment.observation_spec()["place"].dtype == np.float32
  first, _, last = play(environment, 2)
  assert last.last() and last.discount == 0
  environment.seed(3)
  assert environment.reset().observation["place"][0] == first.observation["place"][0]
  assert not [finding for finding in acme_envs.check_environment(environment) if finding.severity == "error"]


def test_names_are_of_the_current_folder_and_absolute_ones_of_any(folder, monkeypatch):
  assert acme_envs.make(f"{folder}/mine.py:Walk").environment.environment.size == 3
  monkeypatch.chdir(folder)
  assert acme_envs.make("mine.py:Walk", size=4).environment.environment.size == 4


def test_a_dm_env_environment_of_ones_own(folder):
  environment = acme_envs.make("mine.py:Plain", seed=7, folder=folder)
  assert environment.born_with == 7 and environment.observation_spec().dtype == np.float32
  assert [timestep.reward for timestep in play(environment)] == [None, 1.0]


def test_pictures_are_asked_for_where_it_takes_a_mode(folder):
  environment = acme_envs.make("mine.py:Walk", folder=folder, render=True)
  assert environment.environment.environment.render_mode == "rgb_array" and environment.render().shape == (8, 8, 3)


@pytest.mark.parametrize(
  ("name", "options", "error", "message"),
  [
    ("absent.py:Walk", {}, acme_envs.UnknownEnvironmentError, "There is no file .*absent.py"),
    ("mine.py:Wolk", {}, acme_envs.UnknownEnvironmentError, "mine.py has no 'Wolk'. Did you mean Walk?"),
    ("mine.py:Qqq", {}, acme_envs.UnknownEnvironmentError, "It has Walk, Plain, make_walk, nothing, loses."),
    ("torn.py:Walk", {}, ImportError, "torn.py failed: AttributeError: .*torn.py, line 3"),
    ("mine.py:NUMBER", {}, TypeError, "expected a class or a function that makes an environment, got 3"),
    ("mine.py:nothing", {}, TypeError, "expected a Gymnasium or dm_env environment, got None"),
    ("mine.py:Walk", {"sise": 2}, TypeError, "no option 'sise'. Did you mean size"),
    ("nowhere:Walk", {}, acme_envs.UnknownEnvironmentError, "FILE.py:NAME or MODULE:NAME"),
  ],
)
def test_what_is_wrong_with_it_is_one_line(name, options, error, message, folder):
  with pytest.raises(error, match=message) as raised:
    acme_envs.make(name, folder=folder, **options)
  assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
  ("name", "wrap", "found"),
  [
    ("gym:CartPole-v1", (), False),
    ("gym:mine:Walk-v0", (), True),
    ("mine.py:Walk", (), True),
    ("mine:Walk", (), True),
    ("dm_control:cartpole:swingup", (), False),
    ("jax:CartPole-v1", ("mask_velocity",), False),
    ("gym:CartPole-v1", ("flatten:place", "TimeLimit:5"), False),
    ("gym:CartPole-v1", ("mine:loses:2",), True),
  ],
)
def test_it_is_known_what_needs_a_folder(name, wrap, found):
  assert acme_envs.is_own(name, wrap) is found


@pytest.mark.parametrize(
  ("wrap", "shape"),
  [
    (["flatten"], (3,)),
    (["flatten:place"], (2,)),
    (["flatten:steps,place", "frame_stack:2"], (6,)),
    (["flatten", "frame_stack:num_frames=3"], (9,)),
    (["keep:place"], (2,)),
    (["keep:place,steps", "flatten"], (3,)),
    (["FlattenObservation"], (3,)),
    (["keep:place", "FrameStackObservation:2", "flatten"], (4,)),
    (["mine.py:loses:2", "flatten"], (3,)),
    (["mine:loses:factor=2", "TimeLimit:1", "flatten"], (3,)),
    (["step_limit:1", "flatten"], (3,)),
  ],
  ids=str,
)
def test_wrappers_by_name(wrap, shape, folder):
  environment = acme_envs.make("mine.py:Walk", seed=1, wrap=wrap, folder=folder)
  assert environment.observation_spec().shape == shape
  _, second = play(environment)
  assert second.observation.shape == shape and second.observation.dtype == np.float32
  assert second.reward == (-2 if "loses" in wrap[0] else 1)
  assert second.last() == any("imit" in each for each in wrap)
  environment.seed(1)
  np.testing.assert_array_equal(environment.reset().observation, play(acme_envs.make(
    "mine.py:Walk", seed=1, wrap=wrap, folder=folder), 0)[0].observation)  # fmt: skip


@pytest.mark.parametrize(
  ("wrap", "message"),
  [
    (["frame_stak:4"], "No wrapper is called 'frame_stak'. Did you mean frame_stack?"),
    (["FlatenObservation"], "Did you mean FlattenObservation"),
    (["nonsense"], "There are action_repeat, .*FILE.py:NAME"),
    (["frame_stack:0"], "wrapper 'frame_stack:0': FrameStacking num_frames: expected 1 or more, got 0"),
    (["frame_stack:4,5,6"], "wrapper 'frame_stack:4,5,6': TypeError: "),
    (["frame_stack:[4"], "expected them between commas"),
    (["frame_stack:num_frames=4,5"], "expected NAME=VALUE after the first one with a name, got '5'"),
    (["flatten", "FlattenObservation"], "'FlattenObservation' goes around what is Gymnasium's"),
    (["keep:plaice"], r"keep: expected names of \['place', 'steps'\], got \['plaice'\]"),
    (["mine.py:nothing"], "TypeError: nothing.. takes 0 positional arguments"),
    (["absent.py:loses"], "There is no file"),
  ],
)
def test_wrappers_that_cannot_be_are_one_line(wrap, message, folder):
  with pytest.raises(ValueError, match=message) as raised:
    acme_envs.make("mine.py:Walk", wrap=wrap, folder=folder)
  assert "\n" not in str(raised.value)


def test_frames_are_told_to_a_replay_only_where_they_are_shown_as_they_were_stacked(folder):
  def make(*wrap):
    return getattr(acme_envs.make("mine.py:Plain", wrap=wrap, folder=folder), "frame_stack", None)

  (pathlib.Path(folder) / "more.py").write_text("import acme\nclass Mine(acme.wrappers.EnvironmentWrapper): pass\n")
  assert make("frame_stack:4") == make("frame_stack:4", "step_limit:9") == 4
  assert make("frame_stack:4", "flatten") is make("frame_stack:4", "more.py:Mine") is None


@pytest.mark.parametrize(
  ("text", "value"),
  [
    ("3", 3), ("-1", -1), ("1e-3", 0.001), (".5", 0.5), ("2.", 2.0), ("true", True), ("False", False), ("None", None),
    ("null", None), ("[1, 2.5]", [1, 2.5]), ('{"a": 1}', {"a": 1}), ("human", "human"), ('"3"', "3"), ("", ""),
    ("nan", "nan"), ("NaN", "NaN"), ("[", "["), ("a,b", "a,b"),
  ],
)  # fmt: skip
def test_values_are_read_as_one_types_them(text, value):
  read = acme_envs.parse_value(text)
  assert read == value and type(read) is type(value)


@pytest.fixture
def registering(tmp_path, monkeypatch):
  """A package `minigrid` that registers an id when it is imported."""
  monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
  monkeypatch.setattr(gymnasium.envs.registration, "registry", dict(gymnasium.registry))
  monkeypatch.setattr(gymnasium, "registry", gymnasium.envs.registration.registry)
  monkeypatch.delitem(sys.modules, "minigrid", raising=False)
  return tmp_path / "minigrid.py"


REGISTER = 'import gymnasium\ngymnasium.register("{}", "gymnasium.envs.classic_control:CartPoleEnv")\n'


def test_the_package_that_registers_an_id_is_imported_or_named(registering):
  if importlib.util.find_spec("minigrid") is None:
    with pytest.raises(acme_envs.MissingExtraError, match="pip install minigrid.*gym:minigrid:MiniGrid-Empty-5x5-v0"):
      acme_envs.make("gym:MiniGrid-Empty-5x5-v0")
  registering.write_text(REGISTER.format("MiniGrid-Fake-v0"))
  importlib.invalidate_caches()
  assert acme_envs.make("gym:MiniGrid-Fake-v0").action_spec().num_values == 2


def test_packages_say_by_entry_point_what_they_register(registering, monkeypatch):
  point = importlib.metadata.EntryPoint("__root__", "minigrid.__init__:register", gym._GROUP)
  monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: importlib.metadata.EntryPoints([point]))
  registering.write_text(REGISTER.format("Theirs-v0"))
  importlib.invalidate_caches()
  gym.register("Theirs-v0")
  assert "Theirs-v0" in gym.names()


def test_a_text_is_left_out_by_name():
  class Mission(gymnasium.Env):
    observation_space = gymnasium.spaces.Dict(
      image=gymnasium.spaces.Box(0, 255, (7, 7, 3), np.uint8), mission=gymnasium.spaces.Text(9)
    )
    action_space = gymnasium.spaces.Discrete(2)

  with pytest.raises(acme_envs.UnsupportedSpaceError, match=r"--wrap keep:image or .*minigrid.wrappers:ImgObsWrapper"):
    wrapping.as_dm_env(Mission(), "gym:MiniGrid-Fake-v0")
  kept = wrapping.apply(wrapping.parse("keep:image"), Mission(), "x")
  assert wrapping.as_dm_env(kept, "x").observation_spec().shape == (7, 7, 3)


def test_split_takes_names_alone():
  assert own.split("a/b.py:C.d:4,5") == ("a/b.py", "C.d", "4,5") and own.split("a.b:C") == ("a.b", "C", "")
  assert own.split("gym:CartPole-v1") is own.split("..a:b") is own.split("frame_stack:4") is None
