"""Noise on actions: its spectrum, variance and independence, and where it begins anew."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme import configs
from acme_jax import exploration

W = 64


def colored(beta=1.0, window=W, size=2, sigma=1.0, random_steps=0):
  return exploration.Colored(beta=beta, sigma=sigma, window=window, size=size, random_steps=random_steps)


def states(explore, num_envs, steps, first=lambda t: t == 0, seed=0):
  """What `apply` gives at each step, for policies whose actions are all 0: actions and states."""
  state, key, actions, found = explore.initial(num_envs), jax.random.PRNGKey(seed), [], []
  apply = jax.jit(explore.apply)
  zeros = jnp.zeros((num_envs, explore.size))
  for t in range(steps):
    begins = np.broadcast_to(first(t), num_envs)
    action, state = apply(jax.random.fold_in(key, t), state, t, exploration.Streams(), zeros, begins)
    actions.append(np.asarray(action))
    found.append(state)
  return np.array(actions), found


@pytest.mark.parametrize("window", [W, W + 1])
@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 2.0])
def test_the_spectrum_falls_as_the_frequency_to_the_minus_beta(beta, window):
  (noise,) = [state.noise for state in states(colored(beta, window), num_envs=2000, steps=1)[1]]  # [N, D, W]
  power = np.mean(np.abs(np.fft.rfft(noise)) ** 2, axis=(0, 1))[1 : (window + 1) // 2]
  slope, _ = np.polyfit(np.log(np.arange(1, len(power) + 1)), np.log(power), 1)
  assert slope == pytest.approx(-beta, abs=0.05)
  np.testing.assert_allclose(np.std(noise, axis=(0, 1)), 1, atol=0.06)  # At each step.
  np.testing.assert_allclose(np.mean(noise, axis=(0, 1)), 0, atol=0.08)


@pytest.mark.parametrize("window", [1, 2, 3, 1000])
def test_any_window_has_variance_one(window):
  amplitudes = exploration.spectrum(1.0, window).astype(np.float64)
  waves = np.full(len(amplitudes), 4.0)  # ±f, and both their parts vary.
  waves[0] = 1
  if window % 2 == 0:
    waves[-1] = 1
  real = waves == 1
  variance = np.sum(np.where(real, amplitudes**2, 4 * amplitudes**2)) / window**2
  assert variance == pytest.approx(1, rel=1e-6)


def test_streams_dimensions_and_windows_are_independent():
  _, found = states(colored(), num_envs=200, steps=W + 1)
  one, other = (np.asarray(found[t].noise) for t in (0, W))  # [N, D, W]: the second begins where the first was read.
  assert not np.array_equal(one, other)
  rows = np.stack([one[:-1, 0], one[1:, 0], one[:-1, 1], other[:-1, 0]]).reshape(4, -1)
  np.testing.assert_allclose(np.corrcoef(rows), np.eye(4), atol=0.08)


def test_noise_is_read_in_order_and_begins_anew_with_an_episode():
  first = lambda t: np.array([t in (0, 5), t == 0])  # noqa: E731
  actions, found = states(colored(sigma=0.1), num_envs=2, steps=9, first=first)
  (began, then) = np.asarray(found[0].noise), np.asarray(found[5].noise)
  np.testing.assert_array_equal(began[1], then[1])
  assert not np.array_equal(began[0], then[0])
  np.testing.assert_allclose(actions[:5, 0], 0.1 * began[0].T[:5], rtol=1e-5)
  np.testing.assert_allclose(actions[5:, 0], 0.1 * then[0].T[:4], rtol=1e-5)
  np.testing.assert_allclose(actions[:, 1], 0.1 * began[1].T[:9], rtol=1e-5)


def test_ornstein_uhlenbeck_loses_theta_and_gains_sigma_in_a_step():
  """x_t − (1 − θ) x_{t−1} is σ ε_t with ε ~ N(0, I) anew; where an episode begins x was 0 before."""
  explore = exploration.OrnsteinUhlenbeck(sigma=0.2, theta=0.15, size=2)
  first = lambda t: np.arange(1000) < 500 if t == 4 else t == 0  # noqa: E731
  actions, found = states(explore, num_envs=1000, steps=7, first=first)
  x = np.array(found)  # [T, N, D]
  before = np.concatenate([np.zeros((1, 1000, 2)), x[:-1]])
  before[4, :500] = 0
  noise = (x - 0.85 * before) / 0.2
  np.testing.assert_allclose(actions, np.clip(x, -1, 1), rtol=1e-6)
  np.testing.assert_allclose(np.corrcoef(np.moveaxis(noise, 1, 2).reshape(14, -1)), np.eye(14), atol=0.12)
  np.testing.assert_allclose(np.std(noise, axis=1), 1, atol=0.08)
  np.testing.assert_allclose(np.mean(noise, axis=1), 0, atol=0.12)
  assert np.std(x[3]) > 0.3 > 0.25 > np.std(x[4, :500])


@pytest.mark.parametrize(
  "explore",
  [colored(random_steps=4000), exploration.OrnsteinUhlenbeck(sigma=0.3, theta=0.15, size=2, random_steps=4000)],
  ids=["colored", "ou"],
)
def test_actions_are_uniform_in_the_first_steps(explore):
  state, first = explore.initial(4000), np.ones(4000, bool)
  apply = lambda steps: explore.apply(jax.random.PRNGKey(0), state, steps, None, jnp.zeros((4000, 2)), first)[0]  # noqa: E731
  early, late = np.asarray(apply(3999)), np.asarray(apply(4000))
  np.testing.assert_allclose(np.quantile(early, [0.25, 0.5, 0.75]), [-0.5, 0, 0.5], atol=0.04)
  assert not np.allclose(early, late)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(configs.NoiseConfig):
  sigma: float = 0.4


@pytest.mark.parametrize(
  ("noise", "expected"),
  [
    ("gaussian", exploration.Gaussian(sigma=0.4, random_steps=5)),
    ("ou", exploration.OrnsteinUhlenbeck(sigma=0.4, theta=0.15, size=3, random_steps=5)),
    ("pink", exploration.Colored(beta=1.0, sigma=0.4, window=200, size=3, random_steps=5)),
  ],
)
def test_noise_by_name(noise, expected):
  assert exploration.make_noise(Config(noise=noise, pink_window=200, random_steps=5), 3) == expected
