"""Checks of an environment, from looking at it to playing it, with messages that say how to mend it."""

from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import dm_env
import numpy as np
import tree
from dm_env import specs

import acme

Episode = list[dm_env.TimeStep]
_MAX_STEPS = 1000  # Of one episode.
_MAX_RAW_STEPS = 100  # Of a Gymnasium environment inside its wrappers.
_MAX_CHANNELS = 16  # Of an image: a smaller side than that is taken for its channels.


class Finding(NamedTuple):
  """Something that a check found."""

  severity: Literal["error", "warning"]
  message: str


def check_environment(environment: dm_env.Environment, *, num_episodes: int = 3, seed: int = 0) -> list[Finding]:
  """Looks for what agents will stumble over; [] where there is nothing.

  Reads the specs, plays a few episodes with random actions (at most 1,000 steps each), resets in the middle of one, and
  plays one seed twice. Plays the environment inside all wrappers too, since these may cast what it gives. Nothing is
  closed.

  Args:
    environment: to check.
    num_episodes: how many episodes to play.
    seed: of the random actions.

  Returns:
    Errors, which break agents, and warnings, which may; each kind once.
  """
  try:
    spec = acme.make_environment_spec(environment)
  except (TypeError, NotImplementedError) as error:
    return [Finding("error", str(error))]
  checks = _Checks(environment, spec, seed)
  try:
    findings = [*_check_specs(spec), *checks.play(num_episodes), *checks.check_resets(), *checks.check_seed()]
    findings += _check_inside(environment, seed)
  except Exception as error:  # An environment may raise anything.
    findings = [*checks.found, Finding("error", f"The environment raised {type(error).__name__}: {error}")]
  return list({finding.message: finding for finding in findings}.values())


def repeats(environment: dm_env.Environment, seed: int, num_steps: int = 4) -> bool:
  """Whether an environment, reset twice with one seed, shows the same twice in its first steps.

  It does not where it has no method `seed(int)`, ignores the seed, or keeps statistics from episode to episode; its
  episodes then cannot be played again. An environment that shows the same here may still differ later.
  """
  if not hasattr(environment, "seed"):
    return False
  action = tree.map_structure(lambda leaf: leaf.generate_value(), environment.action_spec())
  first, second = (_play(environment, seed, num_steps, lambda: action) for _ in range(2))
  return _same(first, second)


def _check_specs(spec: acme.EnvironmentSpec) -> Iterator[Finding]:
  wide = sorted({str(leaf.dtype) for leaf in tree.flatten(spec) if leaf.dtype in (np.float64, np.int64)})
  if wide:
    yield Finding(
      "warning", f"Specs of {' and '.join(wide)} take twice the memory: wrap it in acme.wrappers.SinglePrecision."
    )
  yield from _check_layouts(spec)
  for leaf in tree.flatten(spec.actions):
    if not isinstance(leaf, specs.BoundedArray) or not np.isfinite([leaf.minimum, leaf.maximum]).all():
      yield Finding(
        "error", f"Action spec {acme.specs.describe(leaf)} has no finite bounds: agents scale their actions to them."
      )
  for leaf in tree.flatten(spec.discounts):
    if isinstance(leaf, specs.BoundedArray) and (np.any(leaf.minimum < 0) or np.any(leaf.maximum > 1)):
      yield Finding("error", f"Discount spec {leaf!r} goes beyond [0, 1].")


def _check_layouts(spec: acme.EnvironmentSpec) -> Iterator[Finding]:
  """One finding for all images that are not [height, width, channels]."""
  unusual = []
  for path, leaf in tree.flatten_with_path(spec.observations):
    shape, advice = leaf.shape, None
    if leaf.dtype == np.uint8 and len(shape) == 3 and shape[0] < min(shape[1:]) and shape[0] <= _MAX_CHANNELS:
      advice = "move the channels last"
    elif leaf.dtype == np.uint8 and len(shape) == 2 and min(shape) > _MAX_CHANNELS:
      advice = "add an axis of 1 channel"
    elif leaf.dtype == np.uint8 and len(shape) > 3:
      advice = "join the frames along the last axis (acme_envs.wrappers.FrameStacking)"
    if advice is not None:
      unusual.append(f"observation{''.join(f'[{key}]' for key in path)} of shape {shape}: {advice}")
  if unusual:
    yield Finding(
      "warning", f"Agents take uint8 images as [height, width, channels], others as vectors: {'; '.join(unusual)}."
    )


def _check_inside(environment: Any, seed: int) -> Iterator[Finding]:
  """Plays an episode of the environment inside all wrappers, as it is."""
  layers = [environment]
  while hasattr(inner := getattr(layers[-1], "environment", None), "reset"):
    layers.append(inner)
  raw = layers[-1]
  if hasattr(raw, "observation_space"):
    findings = _check_raw_gym(raw, layers[-2].observation_spec(), seed)
  elif len(layers) > 1:
    findings = _Checks(raw, acme.make_environment_spec(raw), seed).play(1)
  else:
    findings = []
  for severity, message in findings:
    yield Finding(severity, f"Inside its wrappers, {type(raw).__name__}: {message}")


def _check_raw_gym(raw: Any, spec: Any, seed: int) -> list[Finding]:
  """Compares what a Gymnasium environment gives with its own spaces, before GymWrapper casts it."""
  raw.action_space.seed(seed)
  findings = {}
  over = True
  for _ in range(_MAX_RAW_STEPS):
    result = raw.reset() if over else raw.step(raw.action_space.sample())
    is_new = isinstance(result, tuple) and isinstance(result[-1], dict)
    observation = result[0] if is_new else result
    over = not over and any(map(bool, result[2:-1]))  # Terminated, truncated; old Gym's done.
    for (path, leaf), value in zip(tree.flatten_with_path(spec), tree.flatten_up_to(spec, observation), strict=True):
      name = f"observation{''.join(f'[{key}]' for key in path)}"
      got = np.asarray(value).dtype
      if got != leaf.dtype and not (got.kind in "iu" and leaf.dtype == np.int32):
        message = f"{name}: expected dtype {leaf.dtype} as its space says, got {got}, which is cast at each step."
        findings[name] = Finding("warning", message)
  return list(findings.values())


class _Checks:
  """The checks that play. `found` has the findings so far."""

  def __init__(self, environment: dm_env.Environment, spec: acme.EnvironmentSpec, seed: int) -> None:
    self.found: list[Finding] = []
    self._environment = environment
    self._spec = spec
    self._seed = seed
    self._validators = {
      name: acme.validation.Validator(name, leaf)
      for name, leaf in (("observation", spec.observations), ("reward", spec.rewards), ("discount", spec.discounts))
    }

  def play(self, num_episodes: int) -> list[Finding]:
    """Plays episodes, looking at each timestep."""
    rng = np.random.default_rng(self._seed)
    lengths, ended = [], False
    for _ in range(num_episodes):
      timestep = self._environment.reset()
      self._check_first(timestep, "reset()")
      length = 0
      while not timestep.last() and length < _MAX_STEPS:
        timestep = self._step(timestep, rng)
        length += 1
      ended = ended or timestep.last()
      if timestep.last() and not np.any(tree.flatten(timestep.discount)):
        lengths.append(length)
    if not ended:
      self._add(
        "warning",
        f"No episode of {num_episodes} ended within {_MAX_STEPS:,} steps of random actions: an evaluation waits for "
        "the end, so give it a limit of steps (acme.wrappers.StepLimit, --wrap step_limit:1000) where it has none.",
      )
    if len(lengths) == num_episodes > 1 and len(set(lengths)) == 1 and lengths[0] > 1:
      self._add(
        "warning",
        f"All {num_episodes} episodes ended after {lengths[0]} steps with discount 0. If that is a time limit, not an "
        "end of the task, end with discount 1 (dm_env.truncation, acme.wrappers.StepLimit): agents bootstrap there.",
      )
    return self.found

  def check_resets(self) -> list[Finding]:
    """Steps on after the end of an episode, and resets in the middle of one."""
    rng = np.random.default_rng(self._seed)
    timestep = self._environment.reset()
    for _ in range(_MAX_STEPS):
      timestep = self._environment.step(_draw(self._spec.actions, rng))
      if timestep.last():
        self._check_first(self._environment.step(_draw(self._spec.actions, rng)), "step() after the last timestep")
        break
    self._environment.reset()
    self._environment.step(_draw(self._spec.actions, rng))
    self._check_first(self._environment.reset(), "reset() within an episode")
    return self.found

  def check_seed(self) -> list[Finding]:
    """Plays the same seed and actions twice, with another episode between."""
    if not hasattr(self._environment, "seed"):
      self._add(
        "warning",
        "It has no method seed(int) that determines the next episode: runs are not reproducible, and can be saved only "
        "between episodes.",
      )
      return self.found
    first = self._episode(3, actions=0)
    self._episode(4, actions=1)
    if not _same(first, self._episode(3, actions=0)):
      self._add(
        "error",
        "After seed(3), the same actions led to another episode once a different one had been played: draw everything "
        "random from a generator that seed() sets, and reset all state in reset(). If it cannot be so, have no seed().",
      )
    return self.found

  def _episode(self, seed: int, actions: int, num_steps: int = 100) -> Episode:
    rng = np.random.default_rng(actions)
    return _play(self._environment, seed, num_steps, lambda: _draw(self._spec.actions, rng))

  def _step(self, timestep: dm_env.TimeStep, rng: np.random.Generator) -> dm_env.TimeStep:
    action = _draw(self._spec.actions, rng)
    before, action_before = _copy(timestep.observation), _copy(action)
    following = self._environment.step(action)
    if not _same(timestep.observation, before):
      self._add("error", "step() wrote into the observation given before: others keep it, so give a new array.")
    if not _same(action, action_before):
      self._add("error", "step() wrote into the action: it belongs to the caller, so copy it first.")
    if following.first():
      self._add("error", "step() within an episode gave a timestep of type FIRST: expected MID or LAST.")
    else:
      self._validate("reward", following.reward)
      if self._validate("discount", following.discount):
        discounts = np.concatenate([np.ravel(leaf) for leaf in tree.flatten(following.discount)])
        if np.any(discounts < 0) or np.any(discounts > 1):
          self._add("error", f"discount: expected a number in [0, 1], got {following.discount!r}.")
    self._check_observation(following.observation)
    return following

  def _check_first(self, timestep: dm_env.TimeStep, call: str) -> None:
    if not timestep.first():
      self._add("error", f"{call}: expected a timestep of type FIRST, got {timestep.step_type!r}. See dm_env.restart.")
    elif timestep.reward is not None or timestep.discount is not None:
      self._add(
        "error",
        f"{call}: expected None for reward and discount, got {timestep.reward!r} and {timestep.discount!r}. "
        "See dm_env.restart.",
      )
    self._check_observation(timestep.observation)

  def _check_observation(self, observation: Any) -> None:
    if not self._validate("observation", observation):
      return
    for spec, leaf in zip(tree.flatten(self._spec.observations), tree.flatten(observation), strict=True):
      if isinstance(spec, specs.BoundedArray) and (np.any(leaf < spec.minimum) or np.any(leaf > spec.maximum)):
        self._add("warning", f"observation: outside the bounds of spec {spec.name!r}. Widen them, or use specs.Array.")

  def _validate(self, name: str, value: Any) -> bool:
    try:
      self._validators[name](value)
    except ValueError as error:
      if not any(finding.message.startswith(f"{name}: ") for finding in self.found):  # One of a kind will do.
        self._add("error", f"{name}: {str(error).removeprefix(f'{name}: ')}")
      return False
    return True

  def _add(self, severity: Literal["error", "warning"], message: str) -> None:
    self.found.append(Finding(severity, message))


def _play(environment: Any, seed: int, num_steps: int, next_action: Callable[[], Any]) -> Episode:
  """The first `num_steps` steps of an episode that begins with a seed."""
  environment.seed(seed)
  episode = [_copy(environment.reset())]
  while len(episode) <= num_steps and not episode[-1].last():
    episode.append(_copy(environment.step(next_action())))
  return episode


def _draw(spec: Any, rng: np.random.Generator) -> Any:
  """A random action within its bounds; within [-1, 1] where there are none."""

  def draw(leaf: specs.Array) -> Any:
    low = np.nan_to_num(getattr(leaf, "minimum", -1.0), neginf=-1.0)
    high = np.nan_to_num(getattr(leaf, "maximum", 1.0), posinf=1.0)
    if np.issubdtype(leaf.dtype, np.floating):
      return rng.uniform(low, high, leaf.shape).astype(leaf.dtype)
    return np.asarray(rng.integers(low, high, leaf.shape, endpoint=True), leaf.dtype)

  return tree.map_structure(draw, spec)


def _copy(nest: Any) -> Any:
  return tree.map_structure(lambda leaf: leaf.copy() if isinstance(leaf, np.ndarray) else leaf, nest)


def _same(a: Any, b: Any) -> bool:
  """Whether two nests hold the same, bit for bit; NaN equals NaN."""
  a, b = tree.flatten(a), tree.flatten(b)
  return len(a) == len(b) and all(
    type(x) is type(y) and (np.asarray(x).tobytes() == np.asarray(y).tobytes() if x is not None else True)
    for x, y in zip(a, b, strict=True)
  )
