import ctypes.util
import os
import re
import subprocess
import sys

import numpy as np
import pytest

import acme_envs
from acme_envs import wrappers

imageio = pytest.importorskip("imageio.v3")
pytest.importorskip("imageio_ffmpeg")


@pytest.fixture
def film(fake):
  """An environment of 6 frames an episode that draws its count, in an odd size."""

  class Drawn(fake):
    def render(self):
      return np.full((17, 33, 3), self._count * 20, np.uint8)

  return Drawn


def play(environment, episodes):
  for _ in range(episodes):
    timestep = environment.reset()
    while not timestep.last():
      timestep = environment.step(np.zeros(2, np.float32))


@pytest.mark.parametrize("ending", ["mp4", "gif"])
def test_one_file_has_all_episodes(film, tmp_path, ending):
  path = tmp_path / "sub" / f"film.{ending}"
  environment = wrappers.VideoWrapper(film(), path)
  play(environment, 2)
  environment.close()
  frames = imageio.imread(path, index=None) if ending == "gif" else np.stack(list(imageio.imiter(path)))
  assert frames.shape == (12, 16, 32, 3)
  np.testing.assert_allclose(frames[:, 8, 16, 0], np.tile(np.arange(6) * 20, 2), atol=6)
  assert environment.environment.closed


def test_each_episode_a_file_and_only_some_of_them(film, tmp_path):
  environment = wrappers.VideoWrapper(film(), tmp_path / "{episode}.mp4", every=2, num_episodes=2)
  play(environment, 6)
  assert sorted(path.name for path in tmp_path.iterdir()) == ["0.mp4", "2.mp4"]
  assert len(list(imageio.imiter(tmp_path / "2.mp4"))) == 6  # Whole before the wrapper is closed.
  environment.close()


def test_an_episode_left_early_is_kept(film, tmp_path):
  environment = wrappers.VideoWrapper(film(), tmp_path / "{episode}.mp4")
  environment.reset()
  environment.step(np.zeros(2, np.float32))
  play(environment, 1)
  environment.close()
  assert [len(list(imageio.imiter(tmp_path / f"{i}.mp4"))) for i in (0, 1)] == [2, 6]


def test_image_observations_do_where_nothing_is_drawn(fake, tmp_path):
  class Image(fake):
    def _observation(self):
      return np.zeros((20, 20, 4), np.uint8)

  environment = wrappers.VideoWrapper(Image(), tmp_path / "film.mp4")
  play(environment, 1)
  environment.close()
  assert len(list(imageio.imiter(tmp_path / "film.mp4"))) == 6


def test_no_image_is_an_error_that_says_what_to_do(fake, tmp_path):
  environment = wrappers.VideoWrapper(fake(), tmp_path / "film.mp4")
  with pytest.raises(RuntimeError, match="render=True"):
    environment.reset()


@pytest.mark.parametrize(
  ("path", "options", "message"),
  [("film.avi", {}, "mp4 or .gif"), ("f.mp4", {"every": 0}, "every"), ("f.mp4", {"num_episodes": 0}, "num_episodes")],
)
def test_bad_arguments_are_refused(fake, path, options, message):
  with pytest.raises(ValueError, match=message):
    wrappers.VideoWrapper(fake(), path, **options)


@pytest.mark.parametrize(
  ("script", "message"),
  [
    ("make(name).render()", "MuJoCo cannot draw.*Make the first dm_control environment with render=True"),
    ("make(name); make(name, render=True)", "dm_control was imported before it was known.*render=True"),
  ],
)
def test_drawing_without_a_screen_must_be_said_first(script, message):
  pytest.importorskip("dm_control")
  screens = ("MUJOCO_GL", "DISPLAY", "WAYLAND_DISPLAY")
  environment = {name: value for name, value in os.environ.items() if name not in screens}
  code = f"from acme_envs import make; name = 'dm_control:cartpole:balance'; {script}"
  done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
  if ctypes.util.find_library("EGL") is None and "import" in message:
    pytest.skip("this machine has no EGL to choose")
  assert re.search(f"RuntimeError: {message}", done.stderr)


def test_seed_is_passed_on_only_where_there_is_one(fake, seeded_fake, tmp_path):
  assert not hasattr(wrappers.VideoWrapper(fake(), tmp_path / "f.mp4"), "seed")
  assert hasattr(wrappers.VideoWrapper(seeded_fake(), tmp_path / "f.mp4"), "seed")


@pytest.mark.parametrize(
  ("name", "module"),
  [("dm_control:cartpole:swingup", "dm_control"), ("bsuite:catch/0", "bsuite"), ("gym:CartPole-v1", "gymnasium")],
)
def test_made_environments_can_be_filmed(name, module, tmp_path):
  pytest.importorskip(module)
  environment = wrappers.VideoWrapper(acme_envs.make(name, render=True), tmp_path / "film.mp4")
  environment.reset()
  for _ in range(3):
    environment.step(np.zeros(environment.action_spec().shape, environment.action_spec().dtype))
  environment.close()
  assert len(list(imageio.imiter(tmp_path / "film.mp4"))) == 4
