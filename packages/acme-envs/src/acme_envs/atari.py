"""Atari 2600 games, prepared as Machado et al. 2018 (1709.06009) say. The emulator, and the games, are ale-py's."""

import dm_env
import numpy as np
from dm_env import specs

from acme_envs import errors, wrappers

_TWO_PLAYERS = ("combat", "joust", "maze_craze", "warlords")  # ale-py has no single-player mode for these.


def names() -> list[str]:
  """Returns the games that ale-py brings, such as "SpaceInvaders"."""
  return sorted(_roms())


def make(
  name: str,
  *,
  seed: int | None = None,
  sticky_actions: float = 0.25,
  noop_max: int = 0,
  frame_skip: int = 4,
  stack: int = 4,
  size: int = 84,
  clip_rewards: bool = False,
  episodic_life: bool = False,
  full_action_space: bool = False,
  max_frames: int = 108_000,
) -> dm_env.Environment:
  """Makes an Atari game; observations are uint8 [size, size, stack], the newest frame last.

  Args:
    name: of the game.
    seed: of the first episode; later ones go on from there.
    sticky_actions: probability that a frame repeats the action before (Machado et al. 2018, §5); 0 turns it off.
    noop_max: an episode begins with 1 to this many idle frames; Mnih et al. 2015 take 30, with sticky_actions=0.
    frame_skip: frames for which an action is held; of the last two, each pixel's maximum is shown.
    stack: steps shown in one observation; the first is repeated where an episode begins.
    size: height and width, in pixels.
    clip_rewards: whether rewards are clipped to [-1, 1]; scores are then no longer the game's.
    episodic_life: whether losing a life gives a discount of 0, so that learners do not bootstrap over it. The game and
      the episode go on, so returns and seeds keep their meaning.
    full_action_space: whether to take all 18 actions rather than those that the game uses.
    max_frames: emulator frames after which an episode is truncated (half an hour at 60 a second).
  """
  environment = AtariEnvironment(
    name,
    seed=seed,
    sticky_actions=sticky_actions,
    noop_max=noop_max,
    frame_skip=frame_skip,
    size=size,
    clip_rewards=clip_rewards,
    episodic_life=episodic_life,
    full_action_space=full_action_space,
    max_frames=max_frames,
  )
  return wrappers.FrameStacking(environment, stack)


class AtariEnvironment(dm_env.Environment):
  """One game, in single grey frames: uint8 [size, size, 1]. `make` says what the arguments are."""

  def __init__(
    self,
    name: str,
    *,
    seed: int | None,
    sticky_actions: float,
    noop_max: int,
    frame_skip: int,
    size: int,
    clip_rewards: bool,
    episodic_life: bool,
    full_action_space: bool,
    max_frames: int,
  ) -> None:
    if not 0 <= sticky_actions < 1:
      raise ValueError(f"atari sticky_actions: expected a probability below 1, got {sticky_actions!r}.")
    for option, value, low in (("noop_max", noop_max, 0), ("frame_skip", frame_skip, 1), ("size", size, 1)):
      if value < low:
        raise ValueError(f"atari {option}: expected {low} or more, got {value!r}.")
    ale_py = errors.import_extra("ale_py", "atari")
    self._cv2 = errors.import_extra("cv2", "atari")
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    self._ale = ale_py.ALEInterface()
    self._ale.setFloat("repeat_action_probability", sticky_actions)
    self._ale.setInt("max_num_frames_per_episode", max_frames)
    self._rom = errors.import_extra("ale_py.roms", "atari").get_rom_path(_roms()[name])
    self._load(seed)
    self._actions = self._ale.getLegalActionSet() if full_action_space else self._ale.getMinimalActionSet()
    self._noop_max, self._frame_skip, self._size = noop_max, frame_skip, size
    self._clip_rewards, self._episodic_life = clip_rewards, episodic_life
    # The newest two frames.
    self._frame, self._last_frame = (np.zeros(self._ale.getScreenDims(), np.uint8) for _ in range(2))
    self._seed: int | None = None
    self._over = True

  def seed(self, seed: int) -> None:
    """Makes the next reset, and the episode after it, depend on `seed` alone."""
    self._seed = seed

  def reset(self) -> dm_env.TimeStep:
    # Resetting leaves some games' state as it was, so a seeded episode loads the game anew (0.1 s).
    if self._seed is not None:
      self._load(self._seed)
      self._seed = None
    self._ale.reset_game()
    for _ in range(self._rng.integers(1, self._noop_max + 1) if self._noop_max else 0):
      self._ale.act(0)
      if self._ale.game_over():
        self._ale.reset_game()
    self._over = False
    self._lives = self._ale.lives()
    self._grab()
    self._grab()
    return dm_env.restart(self._observation())

  def step(self, action: int) -> dm_env.TimeStep:
    if self._over:
      return self.reset()
    reward = 0.0
    for _ in range(self._frame_skip):
      reward += self._ale.act(self._actions[int(action)])
      self._grab()
      if self._ale.game_over():
        break
    self._over = self._ale.game_over()
    lives = self._ale.lives()
    terminal = self._ale.game_over(with_truncation=False) or (self._episodic_life and lives < self._lives)
    self._lives = lives
    if self._clip_rewards:
      reward = max(-1.0, min(1.0, reward))
    step_type = dm_env.StepType.LAST if self._over else dm_env.StepType.MID
    return dm_env.TimeStep(step_type, np.float32(reward), np.float32(not terminal), self._observation())

  def observation_spec(self) -> specs.BoundedArray:
    return specs.BoundedArray((self._size, self._size, 1), np.uint8, 0, 255, name="frame")

  def action_spec(self) -> specs.DiscreteArray:
    return specs.DiscreteArray(len(self._actions), np.int32, name="action")

  def reward_spec(self) -> specs.Array:
    if self._clip_rewards:
      return specs.BoundedArray((), np.float32, -1, 1, name="reward")
    return specs.Array((), np.float32, name="reward")

  def discount_spec(self) -> specs.BoundedArray:
    return specs.BoundedArray((), np.float32, 0, 1, name="discount")

  def render(self) -> np.ndarray:
    """The screen in colour: uint8 [210, 160, 3]."""
    return np.asarray(self._ale.getScreenRGB())

  def _load(self, seed: int | None) -> None:
    game_seed, noop_seed = np.random.SeedSequence(seed).generate_state(2)
    self._ale.setInt("random_seed", int(game_seed) >> 1)  # Takes 31 bits.
    self._ale.loadROM(self._rom)
    self._rng = np.random.default_rng(noop_seed)

  def _grab(self) -> None:
    self._frame, self._last_frame = self._last_frame, self._frame
    self._ale.getScreenGrayscale(self._frame)

  def _observation(self) -> np.ndarray:
    frame = np.maximum(self._frame, self._last_frame)  # Some sprites are drawn on every other frame only.
    return self._cv2.resize(frame, (self._size, self._size), interpolation=self._cv2.INTER_AREA)[..., None]


def _roms() -> dict[str, str]:
  """The games' names, "SpaceInvaders", and what ale-py calls their files, "space_invaders"."""
  roms = errors.import_extra("ale_py.roms", "atari").get_all_rom_ids()
  return {rom.title().replace("_", ""): rom for rom in roms if rom not in _TWO_PLAYERS}
