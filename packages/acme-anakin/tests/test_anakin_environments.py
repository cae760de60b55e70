"""The environments in JAX: each as its twin in Gymnasium or bsuite, step for step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import acme
from acme_anakin import environments
from acme_anakin.environments import memory

NAMES = [*environments.names(), "tmaze/1", "memory_len/1"]
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def compiled(name):
  """An environment, and its functions jitted; its step needs no key."""
  environment = environments.make(name)
  step = jax.jit(environment.step)
  unused = key(0)
  return environment, jax.jit(environment.reset), lambda state, action: step(unused, state, action)


def key(seed):
  return jax.random.PRNGKey(seed)


def random_action(spec, rng):
  if isinstance(spec, acme.specs.DiscreteArray):
    return spec.dtype.type(rng.integers(spec.num_values))
  return rng.uniform(spec.minimum, spec.maximum, spec.shape).astype(spec.dtype)


# Players that get somewhere, from an observation.
PLAYERS = {
  "CartPole-v1": lambda o: np.int32(o[2] + 0.3 * o[3] + 0.02 * o[0] + 0.05 * o[1] > 0),
  "Pendulum-v1": lambda o: np.float32([2 * np.sign(o[2])] if o[0] < 0.8 else [-8 * o[1] - 2 * o[2]]),
  "Acrobot-v1": lambda o: np.int32(2 if o[5] > 0 else 0),
  "MountainCar-v0": lambda o: np.int32(2 if o[1] > 0 else 0),
  "MountainCarContinuous-v0": lambda o: np.float32([1.5 * np.sign(o[1])]),  # Beyond its bounds: the twin clips, too.
}
EPISODES = [(seed, player) for seed in range(3) for player in ("random", "good")]


@pytest.mark.parametrize("name", PLAYERS)
def test_classic_control_is_gymnasium_s_step_for_step(name):
  gymnasium = pytest.importorskip("gymnasium")
  twin = gymnasium.make(name, disable_env_checker=True)
  environment, reset, step = compiled(name)
  endings = set()
  for seed, player in EPISODES:
    rng = np.random.default_rng(seed)
    twin.reset()
    state, observation = reset(key(seed))
    last = False
    while not last:
      action = PLAYERS[name](observation) if player == "good" else random_action(environment.spec.actions, rng)
      precision = np.float32 if name == "MountainCarContinuous-v0" else np.float64
      twin.unwrapped.state = np.array(state.state, precision)
      if name == "CartPole-v1":
        twin.unwrapped.steps_beyond_terminated = None
      state, observation, reward, discount, last = jax.device_get(step(state, action))
      expected, expected_reward, terminated, truncated, _ = twin.step(action if action.shape else int(action))
      np.testing.assert_allclose(observation, expected, **CLOSE)
      np.testing.assert_allclose(reward, expected_reward, **CLOSE)
      assert (last, discount) == (terminated or truncated, 0 if terminated else 1)
    endings.add("terminated" if terminated else "truncated")
  assert endings == {"truncated"} if name == "Pendulum-v1" else {"terminated", "truncated"}


@pytest.mark.parametrize("name", PLAYERS)
def test_classic_control_begins_and_is_specified_as_gymnasium_s(name):
  gymnasium = pytest.importorskip("gymnasium")
  twin = gymnasium.make(name, disable_env_checker=True)
  environment = environments.make(name)
  expected = acme.make_environment_spec(acme.wrappers.GymWrapper(twin))
  assert repr(environment.spec._replace(rewards=expected.rewards)) == repr(expected)
  mine, rewards = environment.spec.rewards, expected.rewards  # Gymnasium does not say how they are bounded.
  assert (mine.shape, mine.dtype, mine.name) == (rewards.shape, rewards.dtype, rewards.name)
  assert environment.max_episode_steps == twin.spec.max_episode_steps
  states = np.asarray(jax.jit(jax.vmap(environment.reset))(jax.random.split(key(0), 4000))[0].state)  # [4000, D]
  twin.reset(seed=0)
  twins = np.array([(twin.unwrapped.reset(), np.array(twin.unwrapped.state))[1] for _ in range(4000)])
  for mine, other in zip(states.T, twins.T, strict=True):
    both = np.sort(np.concatenate([mine, other]))
    cumulative = [np.searchsorted(np.sort(sample), both, side="right") / 4000 for sample in (mine, other)]
    assert np.abs(cumulative[0] - cumulative[1]).max() < 0.05  # Kolmogorov and Smirnov's, at 1 in 10,000.


def set_catch(twin, state):
  twin._ball_y, twin._ball_x, twin._paddle_x = map(int, state)


def set_memory(twin, state):
  twin._timestep, twin._context = int(state.time), np.array([int(state.cue)])


@pytest.mark.parametrize(
  ("name", "bsuite_id", "options", "set_state"),
  [
    ("catch", "catch", {}, set_catch),
    ("memory_len/1", "memory_len", {"memory_length": 1}, set_memory),
    ("memory_len/7", "memory_len", {"memory_length": 7}, set_memory),
  ],
)
def test_bsuite_twins(name, bsuite_id, options, set_state):
  bsuite = pytest.importorskip("bsuite")
  twin = bsuite.load(bsuite_id, options)
  environment, reset, step = compiled(name)
  rng = np.random.default_rng(0)
  rewards = set()
  for seed in range(12):
    state, observation = reset(key(seed))
    twin.reset()
    set_state(twin, state)
    np.testing.assert_array_equal(observation, twin._observation() if name == "catch" else twin._get_observation())
    last = False
    while not last:
      action = random_action(environment.spec.actions, rng)
      set_state(twin, state)
      expected = twin.step(int(action))
      state, observation, reward, discount, last = jax.device_get(step(state, action))
      np.testing.assert_allclose(observation, expected.observation, **CLOSE)
      assert (reward, discount, last) == (expected.reward, expected.discount, expected.last())
    rewards.add(float(reward))
  assert rewards == {-1.0, 1.0}
  starts = jax.jit(jax.vmap(environment.reset))(jax.random.split(key(0), 4000))[0]
  drawn = starts.ball_column if name == "catch" else starts.cue
  counts = np.bincount(drawn)
  assert np.allclose(counts / 4000, 1 / (5 if name == "catch" else 2), atol=0.03), counts


def test_catch_pixels_draws_the_board():
  _, reset, _ = compiled("catch")
  _, reset_pixels, _ = compiled("catch_pixels")
  board, frame = reset(key(3))[1], reset_pixels(key(3))[1]
  assert frame.shape == (84, 84, 1) and frame.dtype == np.uint8
  np.testing.assert_array_equal(frame[2:-2, 2:-2, 0], np.repeat(np.repeat(255 * board, 8, 0), 16, 1))
  assert not np.any(frame[:2]) and not np.any(frame[:, -2:])


L, R, F = memory.LEFT, memory.RIGHT, memory.FORWARD


@pytest.mark.parametrize(
  ("cue", "actions", "rewards", "discount"),
  [
    (1, [F, F, F, R], [0, 0, 0, 1], 0),
    (1, [F, F, F, L], [0, 0, 0, -0.1], 0),
    (-1, [F, F, F, L], [0, 0, 0, 1], 0),
    (-1, [F, F, F, F, R], [0, 0, 0, 0, -0.1], 0),
    (-1, [F, L], [0, 0], 0),
    (1, [R], [0], 0),
    (1, [F] * 16, [0] * 16, 1),  # The time limit.
  ],
)
def test_tmaze(cue, actions, rewards, discount):
  _, reset, step = compiled("tmaze/3")
  state, observation = next(start for start in map(reset, map(key, range(20))) if start[0].state.cue == cue)
  np.testing.assert_array_equal(observation, [cue, 0, 1])
  for i, (action, reward) in enumerate(zip(actions, rewards, strict=True)):
    outcome = step(state, action)
    state = outcome.state
    np.testing.assert_allclose(outcome.reward, reward, rtol=1e-6)
    assert outcome.last == (i == len(actions) - 1)
    forward = actions[: i + 1].count(F)
    np.testing.assert_array_equal(outcome.observation, [0, forward >= 3, 1])
  assert outcome.discount == discount


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_a_scan_can_carry_it(name, x64):
  environment = environments.make(name)
  with jax.enable_x64(x64) if hasattr(jax, "enable_x64") else jax.experimental.enable_x64(x64):
    start = jax.eval_shape(environment.reset, key(0))
    action = environment.spec.actions.generate_value()
    outcome = jax.eval_shape(environment.step, key(0), start[0], action)
  assert jax.tree.structure(start) == jax.tree.structure(tuple(outcome[:2]))
  for leaf in jax.tree.leaves((start, outcome)):
    assert not leaf.weak_type
    assert leaf.dtype not in (jnp.float64, jnp.int64)
  for before, after in zip(jax.tree.leaves(start), jax.tree.leaves(outcome[:2]), strict=True):
    assert (before.shape, before.dtype) == (after.shape, after.dtype)
  spec = environment.spec
  for leaf, expected in (
    (start[1], spec.observations),
    (outcome.reward, spec.rewards),
    (outcome.discount, spec.discounts),
  ):
    assert (leaf.shape, leaf.dtype) == (expected.shape, expected.dtype)
  assert outcome.last.dtype == bool


@pytest.mark.parametrize("name", [name for name in NAMES if hasattr(environments.make(name).spec.rewards, "minimum")])
def test_rewards_keep_within_their_bounds(name):
  environment = environments.make(name)
  reset, step = jax.jit(environment.reset), jax.jit(environment.step)
  rng, rewards, spec = np.random.default_rng(0), environment.spec.rewards, environment.spec.actions
  state, _ = reset(key(0))
  for i in range(60):
    action = rng.choice([spec.minimum, spec.maximum]).astype(spec.dtype)
    outcome = step(key(i), state, action)
    assert rewards.minimum <= outcome.reward <= rewards.maximum
    state = reset(key(i))[0] if outcome.last else outcome.state


def test_time_limit_counts_each_episode_and_leaves_the_discount():
  environment = environments.time_limit(environments.make("catch"), 4)
  lasts = []
  state, _ = environment.reset(key(0))
  for _ in range(4):
    outcome = environment.step(key(0), state, 1)
    state = outcome.state
    lasts.append(bool(outcome.last))
  assert lasts == [False, False, False, True] and outcome.discount == 1
  assert environment.max_episode_steps == 4
  assert environments.time_limit(environments.make("CartPole-v1"), 900).max_episode_steps == 500
  with pytest.raises(ValueError, match="1 or more"):
    environments.time_limit(environment, 0)


def test_mask_velocity_leaves_positions():
  whole, masked = environments.make("CartPole-v1"), environments.mask_velocity(environments.make("CartPole-v1"))
  assert masked.spec.observations.shape == (2,)
  np.testing.assert_array_equal(masked.spec.observations.maximum, whole.spec.observations.maximum[[0, 2]])
  state, observation = masked.reset(key(0))
  np.testing.assert_array_equal(observation, whole.reset(key(0))[1][jnp.array([0, 2])])
  ours, theirs = masked.step(key(0), state, 1), whole.step(key(0), state, 1)
  np.testing.assert_array_equal(ours.observation, theirs.observation[jnp.array([0, 2])])
  with pytest.raises(ValueError, match="got catch"):
    environments.mask_velocity(environments.make("catch"))
  with pytest.raises(ValueError, match=r"expected the 4 numbers of CartPole-v1, got .*shape=\(2,\).*: mask once"):
    environments.mask_velocity(masked)


@pytest.mark.parametrize(
  ("name", "message"),
  [
    ("Cartpole-v1", "Did you mean CartPole-v1"),
    ("nothing", "There are .*catch.*tmaze/10"),
    ("tmaze", "expected a length after tmaze, such as tmaze/10"),
    ("tmaze/0", "expected 1 or more, got 0"),
    ("tmaze/1073741820", "tmaze length: expected 1000000000 at most, got 1073741820"),
    ("memory_len/99999999999", "expected 1000000000 at most, got 99999999999"),
    ("memory_len/x", "such as memory_len/10"),
    ("gymnaxx:CartPole-v1", "gymnax"),
  ],
)
def test_unknown_names_are_explained(name, message):
  with pytest.raises(ValueError, match=message):
    environments.make(name)


def test_wrappers_by_name():
  assert environments.make("CartPole-v1", ["mask_velocity"]).spec.observations.shape == (2,)
  with pytest.raises(ValueError, match="No wrapper in JAX is called 'mask'; there are mask_velocity"):
    environments.make("CartPole-v1", ["mask"])
