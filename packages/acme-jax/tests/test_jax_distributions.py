"""Distributions against scipy, integrals and the reference numbers of golden/ (see its README)."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from acme_jax import distributions

KEY = jax.random.PRNGKey(0)
RNG = np.random.default_rng(0)
MEAN, OTHER_MEAN = RNG.normal(size=(2, 4, 3)).astype(np.float32)
STDDEV, OTHER_STDDEV = RNG.uniform(0.2, 2, size=(2, 4, 3)).astype(np.float32)
LOGITS, OTHER_LOGITS = RNG.normal(size=(2, 4, 5)).astype(np.float32)

gaussian = distributions.DiagonalGaussian(MEAN, STDDEV)
tanh_gaussian = distributions.TanhGaussian(MEAN, STDDEV)
categorical = distributions.Categorical(LOGITS)


@pytest.fixture(scope="module")
def golden():
  return np.load(pathlib.Path(__file__).parent / "golden" / "bc.npz", allow_pickle=False)


def f32(*arrays):
  return [jnp.asarray(x, jnp.float32) for x in arrays]


def test_gaussian_agrees_with_scipy():
  x = RNG.normal(size=(6, 4, 3)).astype(np.float32)  # [N, B, D], against a batch of distributions [B, D]
  np.testing.assert_allclose(gaussian.log_prob(x), stats.norm(MEAN, STDDEV).logpdf(x).sum(-1), rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose(gaussian.entropy(), stats.norm(MEAN, STDDEV).entropy().sum(-1), rtol=1e-5)
  np.testing.assert_array_equal(gaussian.mode(), MEAN)


def test_gaussian_kl_is_the_mean_of_the_difference_of_log_probabilities():
  other = distributions.DiagonalGaussian(OTHER_MEAN, OTHER_STDDEV)
  kl = gaussian.kl_per_dimension(other)
  nodes, weights = np.polynomial.hermite_e.hermegauss(8)  # exact for these polynomials
  x = MEAN[..., None] + STDDEV[..., None] * nodes
  p = stats.norm(MEAN[..., None], STDDEV[..., None]).logpdf(x)
  q = stats.norm(OTHER_MEAN[..., None], OTHER_STDDEV[..., None]).logpdf(x)
  np.testing.assert_allclose(kl, (p - q) @ weights / weights.sum(), rtol=1e-4, atol=1e-5)
  np.testing.assert_array_equal(gaussian.kl_per_dimension(gaussian), 0)


@pytest.mark.parametrize("distribution", [gaussian, tanh_gaussian])
def test_samples_have_the_shape_asked_for_and_carry_gradients(distribution):
  assert distribution.sample(KEY).shape == (4, 3)
  assert distribution.sample(KEY, (7, 2)).shape == (7, 2, 4, 3)
  gradients = jax.grad(lambda d: jnp.sum(d.sample(KEY)))(jax.tree.map(jnp.asarray, distribution))
  assert all(np.all(gradient != 0) for gradient in gradients)


def test_gaussian_samples_have_its_moments():
  x = gaussian.sample(KEY, (20_000,))
  np.testing.assert_allclose(np.mean(x, axis=0), MEAN, atol=0.05)
  np.testing.assert_allclose(np.std(x, axis=0), STDDEV, rtol=0.03)


@pytest.mark.parametrize("name", ["gaussian", "tanh_gaussian"])
def test_log_prob_and_its_gradients_against_golden(golden, name):
  kind = {"gaussian": distributions.DiagonalGaussian, "tanh_gaussian": distributions.TanhGaussian}[name]
  mean, stddev, action = f32(*(golden[f"{name}.{key}"] for key in ("mean", "stddev", "action")))
  rows = golden["tanh_gaussian.inside_threshold"] if name == "tanh_gaussian" else np.ones(8, bool)
  log_prob = kind(mean, stddev).log_prob(action)  # [B]
  np.testing.assert_allclose(log_prob[rows], golden[f"{name}.log_prob"][rows], rtol=1e-5, atol=1e-5)
  gradients = jax.grad(lambda d: -jnp.mean(d.log_prob(action)))(kind(mean, stddev))
  for gradient, key in zip(gradients, ("mean", "stddev"), strict=True):
    np.testing.assert_allclose(gradient[rows], golden[f"{name}.grad_{key}"][rows], rtol=1e-4, atol=1e-5)


def test_tanh_gaussian_density_integrates_to_one():
  # Over u = atanh(a): ∫ p(a) da = ∫ p(tanh u) (1 − tanh² u) du.
  u = np.linspace(-6, 6, 4001)
  d = distributions.TanhGaussian(jnp.asarray([0.3]), jnp.asarray([0.7]))
  density = np.exp(d.log_prob(jnp.tanh(jnp.asarray(u, jnp.float32))[:, None]))
  assert np.sum(density / np.cosh(u) ** 2) * (u[1] - u[0]) == pytest.approx(1, abs=1e-3)


def test_tanh_gaussian_sample_has_the_log_probability_of_the_stored_action():
  action, log_prob = tanh_gaussian.sample_and_log_prob(KEY, (10,))
  np.testing.assert_array_equal(action, tanh_gaussian.sample(KEY, (10,)))
  inside = np.all(np.abs(action) < 0.999, axis=-1)
  assert inside.sum() > 20
  np.testing.assert_allclose(log_prob[inside], tanh_gaussian.log_prob(action)[inside], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("action", [1.0, -1.0, 1 - 1e-7])
def test_tanh_gaussian_at_and_by_its_bounds_is_finite(action):
  value, gradient = jax.value_and_grad(lambda d: jnp.sum(d.log_prob(jnp.full((4, 3), action))))(
    jax.tree.map(jnp.asarray, tanh_gaussian)
  )
  assert np.isfinite(value)
  assert all(np.isfinite(g).all() for g in gradient)
  edge = tanh_gaussian.log_prob(jnp.full((4, 3), np.sign(action) * np.float32(1 - 1e-6)))
  np.testing.assert_array_equal(tanh_gaussian.log_prob(jnp.full((4, 3), action)), edge)


def test_tanh_gaussian_far_out_is_finite():
  d = distributions.TanhGaussian(jnp.asarray([40.0]), jnp.asarray([1.0]))
  action, log_prob = d.sample_and_log_prob(KEY)
  assert action == d.mode() == 1
  assert np.isfinite(log_prob)  # log(1 − tanh² u) would be −∞


def test_categorical_agrees_with_sums_by_hand():
  p, q = (np.exp(x) / np.exp(x).sum(-1, keepdims=True) for x in (LOGITS, OTHER_LOGITS))
  action = np.array([0, 4, 2, 2])
  np.testing.assert_allclose(categorical.log_prob(action), np.log(p[np.arange(4), action]), rtol=1e-5)
  assert categorical.log_prob(np.zeros((6, 4), np.int32)).shape == (6, 4)
  np.testing.assert_allclose(categorical.entropy(), -(p * np.log(p)).sum(-1), rtol=1e-5)
  kl = categorical.kl(distributions.Categorical(OTHER_LOGITS))
  np.testing.assert_allclose(kl, (p * np.log(p / q)).sum(-1), rtol=1e-4, atol=1e-6)
  np.testing.assert_array_equal(categorical.mode(), np.argmax(p, axis=-1))


def test_categorical_samples_by_its_probabilities():
  actions = categorical.sample(KEY, (20_000,))
  assert actions.shape == (20_000, 4) and actions.dtype == jnp.int32
  shares = np.stack([np.bincount(column, minlength=5) for column in np.asarray(actions).T]) / 20_000
  np.testing.assert_allclose(shares, np.exp(categorical.log_probs), atol=0.015)


def test_categorical_log_prob_and_its_gradient_against_golden(golden):
  action = jnp.asarray(golden["discrete.action"])
  (logits,) = f32(golden["discrete.logits"])  # huge ones in row 0
  loss, gradient = jax.value_and_grad(lambda x: -jnp.mean(distributions.Categorical(x).log_prob(action)))(logits)
  np.testing.assert_allclose(loss, golden["discrete.loss"], rtol=1e-5)
  np.testing.assert_allclose(gradient, golden["discrete.grad_logits"], rtol=1e-5, atol=1e-6)


def test_discrete_valued_mean():
  atoms = jnp.asarray([-1.0, 0.0, 3.0])
  logits = jnp.log(jnp.asarray([[0.5, 0.25, 0.25], [0.0, 0.0, 1.0]]))
  np.testing.assert_allclose(distributions.DiscreteValued(atoms, logits).mean(), [0.25, 3], rtol=1e-6)
  mean = jax.vmap(lambda d: d.mean(), in_axes=(distributions.DiscreteValued(None, 0),))
  np.testing.assert_allclose(mean(distributions.DiscreteValued(atoms, logits)), [0.25, 3], rtol=1e-6)


def test_distributions_are_pytrees_of_one_policy_under_vmap():
  x = jnp.zeros((4, 3))
  batched = jax.vmap(lambda d, x: d.log_prob(x))(jax.tree.map(jnp.asarray, gaussian), x)
  np.testing.assert_allclose(batched, gaussian.log_prob(x), rtol=1e-6)
