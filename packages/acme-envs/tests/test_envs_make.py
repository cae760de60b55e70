import importlib.util
import subprocess
import sys
from importlib import metadata

import numpy as np
import pytest
import tree

import acme
import acme_envs

MODULES = {"gym": "gymnasium", "atari": "ale_py", "dm_control": "dm_control", "bsuite": "bsuite"}
SOME = [
  "gym:CartPole-v1",
  "gym:Pendulum-v1",
  "gym:FrozenLake-v1",
  "atari:Pong",
  "dm_control:cartpole:swingup",
  "dm_control:walker:walk",
  "bsuite:catch/0",
  "bsuite:mountain_car_noise/4",
]


def make(name, **options):
  pytest.importorskip(MODULES[name.partition(":")[0]])
  return acme_envs.make(name, **options)


@pytest.mark.parametrize("name", SOME)
def test_what_is_made_is_single_precision_and_conforms(name):
  environment = make(name, seed=0)
  spec = acme.make_environment_spec(environment)
  assert {leaf.dtype for leaf in tree.flatten(spec)} <= {np.dtype(d) for d in (np.float32, np.int32, np.uint8)}
  assert spec.rewards.dtype == np.float32
  findings = acme_envs.check_environment(environment, num_episodes=2)
  assert not [finding for finding in findings if finding.severity == "error"]
  environment.close()


def test_box2d_is_an_extra():
  pytest.importorskip("gymnasium")
  if importlib.util.find_spec("Box2D") is None:
    with pytest.raises(acme_envs.MissingExtraError, match=r"pip install 'acme-envs\[box2d\]'"):
      make("gym:LunarLanderContinuous-v3")
    pytest.skip("box2d is not installed")
  environment = make("gym:LunarLanderContinuous-v3", seed=0)
  assert environment.action_spec().shape == (2,)
  findings = acme_envs.check_environment(environment, num_episodes=1)
  assert not [finding for finding in findings if finding.severity == "error"]
  environment.close()


def test_popgym_is_an_extra():
  pytest.importorskip("gymnasium")
  name = "gym:popgym-RepeatPreviousEasy-v0"
  if importlib.util.find_spec("popgym") is None:
    with pytest.raises(acme_envs.MissingExtraError, match=r"pip install 'acme-envs\[popgym\]'"):
      make(name)
    pytest.skip("popgym is not installed")
  environment = make(name, seed=0)
  assert environment.action_spec().num_values == environment.observation_spec().num_values == 4
  findings = acme_envs.check_environment(environment, num_episodes=2)
  assert not [finding for finding in findings if finding.severity == "error"]
  environment.close()


@pytest.mark.parametrize(("name", "bounds"), [("cartpole:swingup", (0, 1)), ("lqr:lqr_2_1", None)])
def test_rewards_of_the_control_suite_have_their_bounds(name, bounds):
  spec = make(f"dm_control:{name}").reward_spec()
  assert (bounds is None) == (not hasattr(spec, "minimum"))
  assert bounds is None or (spec.minimum, spec.maximum) == bounds


@pytest.mark.parametrize("name", SOME)
def test_what_is_made_can_be_drawn(name):
  if name.startswith("gym"):
    pytest.importorskip("pygame")
  environment = make(name, render=True)
  environment.reset()
  image = environment.render()
  assert image.dtype == np.uint8
  assert image.ndim == 3
  assert image.shape[2] == 3
  assert image.std() > 0 or name.startswith("bsuite")
  environment.close()


@pytest.mark.parametrize("suite", acme_envs.SUITES)
def test_every_suite_lists_its_names(suite):
  pytest.importorskip(MODULES[suite])
  names = acme_envs.list_environments(suite)
  assert names == sorted(names)
  assert set(SOME) & set(names) == {name for name in SOME if name.startswith(f"{suite}:")}


@pytest.mark.parametrize(
  ("name", "hint"),
  [
    ("gym:CartPol-v1", "gym:CartPole-v1"),
    ("CartPole-v1", "Did you mean gym:CartPole-v1?"),
    ("gymm:CartPole-v1", "gym:CartPole-v1"),
    ("atari:pong", "atari:Pong"),
    ("Pong", "Did you mean atari:Pong?"),
    ("dm_control:cartpole:swngup", "dm_control:cartpole:swingup"),
    ("cartpole:swingup", "dm_control:cartpole:swingup"),
    ("bsuite:catsh/0", "bsuite:catch/0"),
    ("catch/0", "bsuite:catch/0"),
    ("bsuite:catch", "bsuite:catch/0"),
    ("gym:math:NoSuch-v0", "NoSuch"),  # Imports math, which registers nothing.
    ("gym:", "no environment"),
    ("xyzzy", "gym, atari, dm_control, bsuite"),
    ("", "gym, atari, dm_control, bsuite"),
  ],
)
def test_unknown_names_list_near_ones(name, hint):
  for suite, module in MODULES.items():
    if f"{suite}:" in name + hint:
      pytest.importorskip(module)
  with pytest.raises(acme_envs.UnknownEnvironmentError) as error:
    acme_envs.make(name)
  assert hint in str(error.value)


def test_unknown_options_are_named():
  pytest.importorskip("ale_py")
  with pytest.raises(TypeError, match="'frameskip'. Did you mean frame_skip"):
    acme_envs.make("atari:Pong", frameskip=4)


@pytest.mark.parametrize("name", SOME)
def test_a_missing_extra_is_named(name, monkeypatch):
  suite = name.partition(":")[0]
  extra = suite.replace("_", "-")
  for module in list(sys.modules):
    if module.partition(".")[0] == MODULES[suite]:
      monkeypatch.delitem(sys.modules, module)
  monkeypatch.setitem(sys.modules, MODULES[suite], None)  # Makes importing it fail.
  with pytest.raises(acme_envs.MissingExtraError, match=rf"pip install 'acme-envs\[{extra}\]'"):
    acme_envs.make(name)


def test_importing_imports_no_suite():
  code = (
    "import acme_envs, sys; "
    "print({'gymnasium', 'ale_py', 'cv2', 'dm_control', 'mujoco', 'bsuite', 'imageio'} & set(sys.modules))"
  )
  assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_options_reach_gymnasium():
  environment = make("gym:FrozenLake-v1", is_slippery=False, map_name="8x8")
  assert environment.observation_spec().num_values == 64


def test_dm_control_ends_at_its_time_limit_as_a_truncation():
  environment = make("dm_control:cartpole:swingup", time_limit=0.05)
  environment.reset()
  timesteps = [environment.step(np.zeros(1, np.float32)) for _ in range(5)]
  assert [timestep.last() for timestep in timesteps] == [False] * 4 + [True]
  assert timesteps[-1].discount == 1


def test_dm_control_actions_are_canonical():
  environment = make("dm_control:finger:spin")
  spec = environment.action_spec()
  assert (spec.minimum, spec.maximum, spec.dtype) == (-1, 1, np.float32)
  assert environment.observation_spec().shape == (9,)


class Suite:
  """What another package offers as a suite."""

  @staticmethod
  def names():
    return ["one"]

  @staticmethod
  def make(name, *, seed=None, size=1):
    if name != "one":
      raise ValueError(f"no {name}")
    return name, seed, size


@pytest.fixture
def offered(monkeypatch):
  """Has packages offer suites: name -> how many packages do."""

  def offer(**counts):
    points = [
      metadata.EntryPoint(name, f"{__name__}:Suite", "acme.environments") for name, count in counts.items()
      for _ in range(count)
    ]  # fmt: skip
    monkeypatch.setattr(metadata.EntryPoint, "load", lambda _: Suite)
    monkeypatch.setattr(metadata, "entry_points", lambda **selected: metadata.EntryPoints(points).select(**selected))

  return offer


def test_other_packages_offer_suites(offered):
  offered(theirs=1)
  assert acme_envs.suites() == [*acme_envs.SUITES, "jax", "theirs"]
  assert acme_envs.make("theirs:one", seed=3, size=2) == ("one", 3, 2)
  assert acme_envs.list_environments("theirs") == ["theirs:one"]
  with pytest.raises(ValueError, match="no two"):
    acme_envs.make("theirs:two")
  with pytest.raises(TypeError, match="no option 'sise'. Did you mean size"):
    acme_envs.make("theirs:one", sise=1)
  with pytest.raises(acme_envs.UnknownEnvironmentError, match="Did you mean theirs:one"):
    acme_envs.make("their:one")
  with pytest.raises(acme_envs.UnknownEnvironmentError, match="'theirs:' names no environment"):
    acme_envs.make("theirs:")


def test_a_suite_of_another_package_that_is_not_there_is_named(offered):
  offered()
  assert acme_envs.missing_package("jax") == "acme-anakin"
  for call in (lambda: acme_envs.make("jax:CartPole-v1"), lambda: acme_envs.list_environments("jax")):
    with pytest.raises(acme_envs.MissingExtraError, match="pip install acme-anakin"):
      call()
  offered(jax=1)
  assert acme_envs.missing_package("jax") is None


def test_a_suite_that_two_packages_offer_is_refused(offered):
  offered(theirs=2)
  with pytest.raises(ValueError, match="Two packages claim the suite 'theirs'"):
    acme_envs.make("theirs:one")
