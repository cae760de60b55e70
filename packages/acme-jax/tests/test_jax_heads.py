"""Heads: where they start, what bounds them, whose parameters are whose."""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_jax import distributions, heads, networks

KEY = jax.random.PRNGKey(0)
X = jax.random.normal(KEY, (2, 8))


def run(function, *args, scale=1.0):
  transformed = hk.without_apply_rng(hk.transform(function))
  params = transformed.init(KEY, *args)
  return params, transformed.apply(jax.tree.map(lambda x: scale * x, params), *args)


def test_gaussian_head_starts_near_zero_with_its_initial_scale():
  params, policy = run(lambda x: heads.GaussianHead(3)(x), X)
  assert isinstance(policy, distributions.DiagonalGaussian)
  np.testing.assert_allclose(policy.mean, np.zeros((2, 3)), atol=0.05)
  np.testing.assert_allclose(policy.stddev, np.full((2, 3), 0.7), atol=0.05)
  scale = X @ params["gaussian_head/stddev"]["w"]
  np.testing.assert_allclose(policy.stddev, np.logaddexp(0, scale) * 0.7 / np.log(2) + 1e-6, rtol=1e-5)


def test_gaussian_head_keeps_its_least_scale():
  _, policy = run(lambda x: heads.GaussianHead(64, init_scale=0.5, min_scale=0.1)(x), X, scale=1e5)
  assert np.min(policy.stddev) == np.float32(0.1)


def test_tanh_gaussian_head_clips_log_stddev():
  _, policy = run(lambda x: heads.TanhGaussianHead(64)(x), X)
  assert isinstance(policy, distributions.TanhGaussian)
  np.testing.assert_allclose(policy.stddev, np.ones((2, 64)), atol=0.1)
  _, policy = run(lambda x: heads.TanhGaussianHead(64, -3.0, 1.0)(x), X, scale=1e5)
  np.testing.assert_allclose([np.min(policy.stddev), np.max(policy.stddev)], np.exp([-3, 1]), rtol=1e-6)


def test_categorical_head_starts_nearly_uniform():
  _, policy = run(lambda x: heads.CategoricalHead(5)(x), X)
  np.testing.assert_allclose(np.exp(policy.log_probs), np.full((2, 5), 0.2), atol=0.02)


def test_value_head():
  params, value = run(lambda x: heads.ValueHead()(x), X)
  np.testing.assert_allclose(value, (X @ params["value_head/value"]["w"])[:, 0], rtol=1e-5, atol=1e-6)


def test_discrete_valued_head():
  _, critic = run(lambda x: heads.DiscreteValuedHead(-2, 2, 5)(x), X)
  np.testing.assert_allclose(critic.atoms, [-2, -1, 0, 1, 2])
  assert critic.logits.shape == (2, 5) and critic.mean().shape == (2,)


@pytest.mark.parametrize("arguments", [(1, 1), (2, 1), (0, 1, 1), (float("nan"), 1)])
def test_discrete_valued_head_refuses_no_range(arguments):
  with pytest.raises(ValueError, match="vmin below vmax and two atoms"):
    run(lambda x: heads.DiscreteValuedHead(*arguments)(x), X)


def critics(observation, action):
  def make():
    return hk.Sequential([networks.LayerNormMLP((4,)), heads.ValueHead()])

  return heads.Ensemble(make, 3)(jnp.concatenate([observation, action], axis=-1))


def test_ensemble_members_share_nothing():
  params, q = run(critics, X, X[:, :2])
  assert q.shape == (3, 2)  # [M, B]
  assert np.unique(np.round(q, 5)).size == 6

  @jax.jit
  def member(params, i):
    return hk.without_apply_rng(hk.transform(critics)).apply(params, X, X[:, :2])[i].sum()

  for i in range(3):
    gradients = jax.tree.leaves(jax.grad(member)(params, i))
    assert sum(np.any(g != 0) for g in gradients) == len(gradients) // 3


def test_ensemble_stacks_any_output():
  _, critic = run(lambda x: heads.Ensemble(lambda: heads.DiscreteValuedHead(-1, 1, 5))(x), X)
  assert critic.logits.shape == (2, 2, 5)
  with pytest.raises(ValueError, match="1 or more"):
    run(lambda x: heads.Ensemble(heads.ValueHead, 0)(x), X)
