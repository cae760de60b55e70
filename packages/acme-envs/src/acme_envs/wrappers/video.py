"""Episodes as films."""

import pathlib
from typing import Any

import dm_env
import numpy as np

import acme
from acme_envs import errors


class VideoWrapper(acme.wrappers.EnvironmentWrapper):
  """Writes what is seen to video files, mp4 or gif by their names. Needs the extra `video`.

  Frames are what `render()` returns; where the environment has none, what dm_control's `physics` shows, or else the
  observation, if it is an image. Close the wrapper, so that the last file is whole.
  """

  def __init__(
    self,
    environment: dm_env.Environment,
    path: str | pathlib.Path,
    *,
    num_episodes: int | None = None,
    every: int = 1,
    fps: int = 30,
  ) -> None:
    """Wraps an environment.

    Args:
      environment: to wrap.
      path: of the file, ending in .mp4 or .gif. With "{episode}" in it, each episode has a file of its own, with its
        number (from 0) there; without, one file has them all.
      num_episodes: how many episodes to record; None for all.
      every: records one episode in so many.
      fps: frames, that is environment steps, a second.

    Raises:
      ValueError: another ending, or a number below 1.
      MissingExtraError: imageio or its ffmpeg are not installed.
    """
    super().__init__(environment)
    if pathlib.Path(path).suffix not in (".mp4", ".gif"):
      raise ValueError(f"VideoWrapper path: expected a name that ends in .mp4 or .gif, got {str(path)!r}.")
    for name, value in (("every", every), ("fps", fps), ("num_episodes", 1 if num_episodes is None else num_episodes)):
      if value < 1:
        raise ValueError(f"VideoWrapper {name}: expected 1 or more, got {value!r}.")
    self._imageio = errors.import_extra("imageio.v2", "video")
    if pathlib.Path(path).suffix == ".mp4":
      errors.import_extra("imageio_ffmpeg", "video")
    self._path = str(path)
    self._every, self._fps = every, fps
    self._left = num_episodes
    self._episode = -1
    self._recording = False
    self._writer: Any = None

  def reset(self) -> dm_env.TimeStep:
    return self._record(self._environment.reset())

  def step(self, action: Any) -> dm_env.TimeStep:
    return self._record(self._environment.step(action))

  def close(self) -> None:
    """Ends the file, and closes the environment."""
    try:
      self._close_file()
    finally:
      self._environment.close()

  def _record(self, timestep: dm_env.TimeStep) -> dm_env.TimeStep:
    if timestep.first():
      self._begin()
    if self._recording:
      frame = self._frame(timestep.observation)
      if self._writer is None:
        self._writer = self._open()
      self._writer.append_data(frame)
    if timestep.last() and self._recording:
      self._recording = False
      if "{episode}" in self._path or self._left == 0:
        self._close_file()
    return timestep

  def _begin(self) -> None:
    if self._recording and "{episode}" in self._path:  # An episode that was left before its end.
      self._close_file()
    self._episode += 1
    self._recording = self._left != 0 and self._episode % self._every == 0
    if self._recording and self._left is not None:
      self._left -= 1

  def _open(self) -> Any:
    path = pathlib.Path(self._path.replace("{episode}", str(self._episode)))
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gif":
      return self._imageio.get_writer(path, duration=1000 / self._fps, loop=0)
    return self._imageio.get_writer(path, fps=self._fps, macro_block_size=2)  # Its codec takes even sizes only.

  def _close_file(self) -> None:
    writer, self._writer = self._writer, None
    if writer is not None:
      writer.close()

  def _frame(self, observation: Any) -> np.ndarray:
    """What is seen now: uint8 [height, width, 3]."""
    image = _seen(self._environment, observation)
    if image is None:
      raise RuntimeError(
        f"VideoWrapper: {type(self._environment).__name__} gives no image: expected a method render() that returns "
        "uint8 [height, width, 3], or an image as observation. Gymnasium's environments draw only if made so: "
        "acme_envs.make('gym:…', render=True), or gymnasium.make(…, render_mode='rgb_array')."
      )
    height, width = (size // 2 * 2 for size in image.shape[:2])
    return image[: max(height, 2), : max(width, 2)]


def _seen(environment: Any, observation: Any) -> np.ndarray | None:
  image = None
  if hasattr(environment, "render"):
    image = _as_image(environment.render())
  elif hasattr(environment, "physics"):
    image = _as_image(environment.physics.render(240, 320, camera_id=0))
  return image if image is not None else _as_image(observation)


def _as_image(value: Any) -> np.ndarray | None:
  """As uint8 [height, width, 3], if it is an image: uint8 [H, W], [H, W, 3] or, the newest frame last, [H, W, C]."""
  if not isinstance(value, np.ndarray) or value.dtype != np.uint8 or value.ndim not in (2, 3):
    return None
  if value.ndim == 2:
    value = value[..., None]
  return value if value.shape[-1] == 3 else np.repeat(value[..., -1:], 3, axis=-1)
