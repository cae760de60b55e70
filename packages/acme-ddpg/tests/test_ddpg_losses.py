"""DDPG's equations by hand, and against the reference numbers of golden/ (see its README)."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_ddpg.jax import losses


@pytest.mark.parametrize(
  ("q_tm1", "r_t", "discount_t", "q_t", "expected"),
  [
    ([2.0], 1.0, 0.5, [4.0], [1.0]),  # 1 + .5 · 4 − 2
    ([2.0], 1.0, 0.0, [4.0], [-1.0]),  # terminal: only the reward
    ([2.0, 0.0], 1.0, 0.5, [4.0, 6.0], [1.0, 3.0]),  # both learn from the lower
    ([2.0, 0.0], 1.0, 0.5, [6.0, -2.0], [-2.0, 0.0]),
  ],
)
def test_td_errors_by_hand(q_tm1, r_t, discount_t, q_t, expected):
  arguments = jnp.asarray(q_tm1), jnp.float32(r_t), jnp.float32(discount_t), jnp.asarray(q_t)
  np.testing.assert_allclose(losses.td_errors(*arguments), expected, rtol=1e-6)
  slopes = jax.grad(lambda *given: jnp.sum(losses.td_errors(*given)), argnums=(0, 1, 3))(*arguments)
  np.testing.assert_array_equal(slopes[0], -1)
  assert not np.any(slopes[1]) and not np.any(slopes[2])  # The target is a constant.


@pytest.mark.parametrize(
  ("action", "noise", "expected"),
  [
    ([0.1, -0.2], [0.3, 0.1], [0.4, -0.1]),
    ([0.1, -0.2], [0.9, -0.9], [0.6, -0.7]),  # the noise is at most .5
    ([0.9, -0.9], [0.4, -0.4], [1.0, -1.0]),  # and the action within its bounds
  ],
)
def test_smoothed_by_hand(action, noise, expected):
  np.testing.assert_allclose(losses.smoothed(jnp.asarray(action), jnp.asarray(noise), 0.5), expected, rtol=1e-6)


@pytest.mark.parametrize("scale", [1, 300])
def test_td_errors_against_golden(scale):
  g = np.load(pathlib.Path(__file__).parent / "golden" / "ddpg.npz", allow_pickle=False)
  action = g["next_observation"] @ g["target_policy_weights"] + g["target_policy_bias"]
  q_tm1, q_t = (
    np.sum(o @ g[f"{net}_critic_bilinear"] * a, axis=-1)
    + o @ g[f"{net}_critic_observation_weights"]
    + a @ g[f"{net}_critic_action_weights"]
    + g[f"{net}_critic_bias"]
    for net, o, a in (("online", g["observation"], g["action"]), ("target", g["next_observation"], action))
  )
  inputs = q_tm1[:, None], scale * g["reward"], g["gamma"] * g["discount"], q_t[:, None]
  errors = jax.vmap(losses.td_errors)(*(jnp.asarray(x, jnp.float32) for x in inputs))[:, 0]
  expected = g[f"clipping_off.reward_scale_{scale}.td_error"]
  np.testing.assert_allclose(errors, expected, rtol=1e-5, atol=1e-5)
  loss = g[f"clipping_off.reward_scale_{scale}.critic_loss"]
  np.testing.assert_allclose(np.mean(0.5 * errors**2), loss, rtol=1e-5)


@pytest.mark.parametrize(
  "call",
  [
    lambda: losses.td_errors(jnp.zeros((2, 1)), jnp.zeros(()), jnp.zeros(()), jnp.zeros(1)),
    lambda: losses.td_errors(jnp.zeros(1), jnp.zeros(()), jnp.zeros(()), jnp.zeros(2)),
    lambda: losses.smoothed(jnp.zeros((2, 3)), jnp.zeros((2, 3)), 0.5),
  ],
)
def test_batches_without_vmap_are_refused(call):
  with pytest.raises(AssertionError):
    call()
