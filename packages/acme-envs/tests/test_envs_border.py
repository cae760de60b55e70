"""What crosses from and to environments: no cast changes it, no wrapper shares it, and the terminal stays quiet."""

import importlib.metadata
import os
import pathlib
import re
import subprocess
import sys
import tomllib

import numpy as np
import pytest

import acme
import acme_envs
from acme_envs import errors, wrappers

PACKAGE = pathlib.Path(__file__).parents[1]


def test_extras_have_names_that_every_pip_takes():
  extras = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]["optional-dependencies"]
  assert all(re.fullmatch("[a-z0-9-]+", extra) for extra in extras)
  named = re.findall(r'import_extra\(\s*f?"[^"]*", "([^"]*)"', "".join(map(read, (PACKAGE / "src").rglob("*.py"))))
  assert len(named) > 5 and set(named) <= set(extras)
  table = re.findall(r"^\| `[a-z_]+:[^|]*\| `([^`]*)` \|", read(PACKAGE / "README.md"), re.MULTILINE)
  assert len(table) == len(acme_envs.SUITES) + 2 and set(table) <= set(extras)  # Box2D's and POPGym's are Gymnasium's.
  with pytest.raises(errors.MissingExtraError, match=r"pip install 'acme-envs\[dm-control\]'"):
    errors.import_extra("no_such_module", "dm-control")


def read(path):
  return path.read_text()


class Greedy(acme.wrappers.EnvironmentWrapper):
  """Changes the action that it is given."""

  def step(self, action):
    timestep = super().step(action.copy())
    action *= 99
    return timestep


def test_an_action_repeated_is_the_same_each_time(fake):
  inner = fake()
  environment = wrappers.ActionRepeat(Greedy(inner), 3)
  environment.reset()
  environment.step(np.ones(2, np.float32))
  assert [action.tolist() for action in inner.actions] == [[1, 1]] * 3


def test_an_action_observed_is_the_one_taken(fake):
  environment = wrappers.ObservationActionReward(Greedy(fake()))
  environment.reset()
  assert environment.step(np.ones(2, np.float32)).observation.action.tolist() == [1, 1]


def test_idle_steps_stay_idle(fake):
  inner, noop = fake(length=50), np.zeros(2, np.float32) + 0.5
  environment = wrappers.NoopStarts(Greedy(inner), noop_max=9, noop_action=noop, seed=1)
  environment.reset()
  environment.reset()
  assert inner.actions and all(action.tolist() == [0.5, 0.5] for action in inner.actions)


def test_wrappers_refuse_what_a_cast_would_change(fake):
  class Image(fake):
    def _observation(self):
      return np.full((2, 2, 1), 150 * self._count)  # Becomes 300.

    def observation_spec(self):
      return super().observation_spec()["a"]["image"]

    def reset(self):
      timestep = super().reset()
      return timestep._replace(observation=timestep.observation.astype(np.uint8))

  environment = wrappers.FrameStacking(Image(), 2)
  environment.reset()
  environment.step(np.zeros(2, np.float32))
  with pytest.raises(ValueError, match="observation.*: expected a number that uint8 holds, got .*300.*44"):
    environment.step(np.zeros(2, np.float32))
  canonical = wrappers.CanonicalSpec(fake())
  canonical.reset()
  with pytest.raises(ValueError, match="action: expected dtype float32, numbers"):
    canonical.step(np.array(["0.5", "0.5"]))


def test_a_space_without_a_spec_is_one_line():
  gymnasium = pytest.importorskip("gymnasium")

  class Mission(gymnasium.Env):
    observation_space = gymnasium.spaces.Dict(
      image=gymnasium.spaces.Box(0, 255, (7, 7, 3), np.uint8), mission=gymnasium.spaces.Text(9)
    )
    action_space = gymnasium.spaces.Discrete(2)

  gymnasium.register("Mission-v0", lambda **_: Mission())
  with pytest.raises(ValueError, match=r"^gym:Mission-v0: observation\[mission\].*Text.*FilterObservation.*'image'"):
    acme_envs.make("gym:Mission-v0")


@pytest.mark.parametrize(
  ("name", "module"), [("gym:CartPole-v1", "gymnasium"), ("dm_control:cartpole:balance", "dm-control")]
)
def test_the_terminal_stays_quiet_without_a_screen(name, module):
  try:
    importlib.metadata.version(module)
  except importlib.metadata.PackageNotFoundError:
    pytest.skip(f"{module} is not installed")
  code = f"import acme_envs; e = acme_envs.make({name!r}); e.reset(); e.close()"
  screens = ("DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL")
  environment = {key: value for key, value in os.environ.items() if key not in screens}
  result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
  assert (result.stdout, result.stderr) == ("", "")
