"""The DeepMind Control Suite (Tassa et al. 2018, 1801.00690)."""

import ctypes
import os
import sys
import warnings
from typing import Any

import dm_env
import numpy as np
from dm_env import specs

import acme
from acme_envs import errors, wrappers


def names() -> list[str]:
  """Returns the suite's tasks, such as "cartpole:swingup"."""
  return sorted(f"{domain}:{task}" for domain, task in _suite().ALL_TASKS)


def make(name: str, *, seed: int | None = None, time_limit: float | None = None) -> dm_env.Environment:
  """Makes a task with observations in one flat float32 array (names sorted) and actions in [-1, 1].

  Args:
    name: "domain:task".
    seed: of the first episode; later ones go on from there. None takes a new one.
    time_limit: seconds of simulated time until an episode is truncated; None for the task's own.
  """
  domain, task = name.split(":")
  # A task that draws its own structure (lqr its masses) draws the same for every seed.
  options: dict[str, Any] = {"random": 0} if time_limit is None else {"random": 0, "time_limit": time_limit}
  environment = _Task(_suite().load(domain, task, task_kwargs=options), domain)
  environment.seed(seed)
  canonical = wrappers.CanonicalSpec(environment, clip=True)
  return acme.wrappers.SinglePrecision(wrappers.ConcatObservation(canonical))


class _Task(acme.wrappers.EnvironmentWrapper):
  """Adds `seed`, `render`, and the bounds of rewards."""

  def __init__(self, environment: dm_env.Environment, domain: str) -> None:
    super().__init__(environment)
    self._rewards = environment.reward_spec()
    if domain != "lqr":  # Of all others the suite promises as much.
      self._rewards = specs.BoundedArray((), self._rewards.dtype, 0, 1, name="reward")

  def reward_spec(self) -> specs.Array:
    return self._rewards

  def seed(self, seed: int | None) -> None:
    """Makes the next reset, and the episode after it, depend on `seed` alone."""
    self._environment.task.random.seed(seed)

  def render(self, height: int = 240, width: int = 320, camera: int = 0) -> np.ndarray:
    """What a camera sees: uint8 [height, width, 3]. Raises RuntimeError where MuJoCo cannot draw."""
    try:
      return np.asarray(self._environment.physics.render(height, width, camera_id=camera))
    except Exception as error:  # MuJoCo's own, of no common kind.
      raise RuntimeError(f"MuJoCo cannot draw ({error}). {_HINT}") from error


_HINT = "Make the first dm_control environment with render=True, or set MUJOCO_GL=egl (osmesa, glfw) before."


def _suite() -> Any:
  with warnings.catch_warnings():  # GLFW complains where there is no screen, and nobody asked it to draw.
    warnings.filterwarnings("ignore", message=".*DISPLAY environment variable is missing")
    return errors.import_extra("dm_control.suite", "dm-control")


def draw_without_a_screen() -> None:
  """Chooses EGL where nothing is chosen and there is no screen: MuJoCo's own choice, GLFW, would then draw nothing.

  Only for those who will draw: Mesa's EGL and TensorFlow, both of which bring LLVM, end in one process with a
  segmentation fault.

  Raises:
    RuntimeError: dm_control has been imported, and has chosen.
  """
  screen = any(os.environ.get(name) for name in ("MUJOCO_GL", "DISPLAY", "WAYLAND_DISPLAY"))
  if screen or sys.platform != "linux":
    return
  try:
    ctypes.CDLL("libEGL.so.1")  # Without it, importing dm_control with this choice would fail.
  except OSError:
    return
  if "dm_control._render" in sys.modules:
    raise RuntimeError(f"dm_control was imported before it was known that it is to draw without a screen. {_HINT}")
  os.environ["MUJOCO_GL"] = "egl"
